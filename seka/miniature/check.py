"""Recompute the figures of the model card from the shipped files, and fail when one is off by more than half a point; a
perplexity's multiple, a matched gain and the rank correlation have tolerances of their own."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any

from seka.miniature import path
from seka.miniature.card import CARD, FIGURES, ROWS, card, stored
from seka.miniature.measures.figures import SECTIONS, measured
from seka.miniature.measures.shipped import fingerprints, name
from seka.miniature.measures.tasks import MOST

TOLERANCE = 0.005
"""How far a rate, and any other number without a tolerance of its own, may be from what is stored: half a point."""
GAIN = 0.02
"""The same for a gain, as a share of it: rounding moves the effects at the bounds that a matched one lies between."""
MULTIPLE = TOLERANCE / 10
"""The same for a perplexity as a multiple: all of them are near 1, and what is over 1 is told."""
CORRELATION = 0.02
"""The same for the rank correlation: heads that nearly tie may change places with another processor's rounding."""
DERIVED = ("furthest apart",)
"""What follows from other figures, which are compared, and may change with a near tie."""


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """Where two trees of plain values differ, in words, a line each; `old` is what is stored.

    Rates, {"hits", "n", ...}, may differ by TOLERANCE and other fractions by theirs. How many rows there were, counts and
    names may not differ at all, and no figure may be missing. The intervals of rates follow from them.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        found = [f"{at}/{key}: stored, but no longer measured" for key in old if key not in new]
        found += [f"{at}/{key}: measured, but not stored" for key in new if key not in old]
        shared = [key for key in old if key in new and key not in DERIVED]
        if {"hits", "n"} <= set(shared):
            found += _rates(old, new, at)
            shared = [key for key in shared if key not in ("hits", "n", "low", "high")]
        return found + [line for key in shared for line in differences(old[key], new[key], f"{at}/{key}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [line for index, (a, b) in pairs for line in differences(a, b, f"{at}/{index}")]
    numbers = all(isinstance(some, int | float) and not isinstance(some, bool) for some in (old, new))
    if numbers and isinstance(old + new, float):
        own = {"gain": GAIN * abs(old), "rank correlation": CORRELATION}
        allowed = own.get(at.rsplit("/", 1)[-1], MULTIPLE if "/perplexity/" in at else TOLERANCE)
        return [] if abs(old - new) <= allowed + 1e-9 else [f"{at}: {old:g} stored, {new:g} measured"]
    return [] if old == new and type(old) is type(new) else [f"{at}: {old!r} stored, {new!r} measured"]


def _rates(old: dict[str, Any], new: dict[str, Any], at: str) -> list[str]:
    if old["n"] != new["n"]:
        return [f"{at}: {old['n']} rows stored, {new['n']} measured"]
    a, b = (some["hits"] / max(1, some["n"]) for some in (old, new))
    return [] if abs(a - b) <= TOLERANCE + 1e-9 else [f"{at}: {100 * a:.1f} % stored, {100 * b:.1f} % measured"]


def unfit(figures: dict[str, Any]) -> list[str]:
    """What needs no measuring: files that the figures are not of, strengths that were not chosen, a card of other figures."""
    here = fingerprints()
    found = [
        f"{file}: the figures were measured from another one"
        for file in sorted({**here, **figures["files"]})
        if here.get(file) != figures["files"].get(file)
    ]
    if found:
        return found
    chosen = json.loads((path() / "experts_figures.json").read_text(encoding="utf-8"))
    told = {
        "experts": {key: entry["gain"] for key, entry in chosen["experts"].items()},
        "router": {key: chosen["router"][key] for key in ("gain", "score", "sharpness")},
        **{key: chosen[key] for key in ("layers", "scales")},
    }
    used = figures["sections"].get("strength", {})
    found = differences(told, {key: used.get(key) for key in told}, "experts_figures.json")
    if CARD.read_text(encoding="utf-8") != card(figures):
        found.append(f"{name(CARD)}: not what its figures say; python -m seka miniature card --render")
    return found


def check(sections: list[str], report: Callable[[str], None] = lambda line: None) -> list[str]:
    """Every difference between figures.json and the same sections measured now; what is unfit ends it before it begins."""
    figures = stored()
    if found := unfit(figures):
        return found
    kept = {section: some for section, some in figures["sections"].items() if section in sections}
    new = json.loads(json.dumps(measured(sections, figures.get(ROWS, MOST), report)))  # as a file holds it
    return differences(kept, new)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m seka miniature check`."""
    parser.add_argument("--short", action="store_true", help="only the first rows of two tasks: a minute")


def run(args: argparse.Namespace, report: Callable[[str], None] = lambda line: None) -> None:
    """Report every difference; exit status 1 when there is one."""
    found = check(["short"] if args.short else list(SECTIONS), report)
    for line in found:
        report(line)
    if found:
        raise SystemExit(1)
    report(f"{name(FIGURES)}: every figure {'of the short form ' if args.short else ''}is measured again")
