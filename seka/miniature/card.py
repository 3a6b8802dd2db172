"""Measure the shipped model and experts, and write the model card from the figures: no number in it is typed by hand."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import torch

from seka.miniature import path
from seka.miniature.measures.figures import SECTIONS, measured
from seka.miniature.measures.shipped import Shipped, fingerprints, name
from seka.miniature.measures.tasks import MOST
from seka.miniature.render import render

FIGURES, CARD = path() / "figures.json", path() / "README.md"
KEPT = ("files", "seconds", "sections")
ROWS = "rows"
MADE = {"training": "train --ship", "experts": "learn", "recipes": "compare RUN ... --keep"}
"""{beginning of a file's name: what makes it}: what the card tells beside figures.json."""
Report = Callable[[str], None]


def stored() -> dict[str, Any]:
    """What figures.json holds: {"files": {file: sha256}, "rows", "threads", "seconds": {section: s}, "sections": {name: figures}}.

    ValueError where it is missing or not of that form.
    """
    try:
        found = json.loads(FIGURES.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(found.get(key), dict) for key in KEPT):
        raise ValueError(f"{name(FIGURES)} holds no figures of this card; measure them: python -m seka miniature card")
    return found


def measure(sections: list[str], most: int, report: Report) -> None:
    """Measure some sections and keep them in figures.json, each as soon as it is there.

    Others that were measured from the same files on as many rows stay, the rest goes.
    """
    files = fingerprints()
    now = {"files": files, ROWS: most, "threads": torch.get_num_threads()}
    figures: dict[str, Any] = {**now, "seconds": {}, "sections": {}}
    try:
        before = stored()
    except ValueError:
        before = figures
    if (before["files"], before.get(ROWS)) == (files, most):
        figures = {**before, **now}
    elif before["sections"]:
        report(f"figures of other files or rows dropped: {', '.join(before['sections'])}")
    here = Shipped.load()
    for section in sections:
        began = time.monotonic()
        figures["sections"] |= measured([section], most, report, here)
        figures["seconds"][section] = round(time.monotonic() - began)
        FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def card(figures: dict[str, Any]) -> str:
    """The card's text. ValueError where a section or a file it tells about is missing."""
    if missing := [section for section in SECTIONS if section not in figures["sections"]]:
        raise ValueError(
            f"{name(FIGURES)} lacks {', '.join(missing)}; measure: python -m seka miniature card --sections {' '.join(missing)}"
        )
    told = {}
    for key, command in MADE.items():
        file = path() / f"{key}_figures.json"
        try:
            told[key] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{name(file)} could not be read ({error}); it is written by python -m seka miniature {command}"
            ) from None
    return render(figures, told["training"], told["experts"], told["recipes"])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m seka miniature card`."""
    parser.add_argument(
        "--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS), metavar="SECTION",
        help=f"measure only some of: {', '.join(SECTIONS)}",
    )  # fmt: skip
    parser.add_argument("--rows", type=int, default=MOST, help=f"at most so many rows of each task (default {MOST})")
    parser.add_argument("--render", action="store_true", help="measure nothing; write the card from the figures")


def run(args: argparse.Namespace, report: Report = lambda line: None) -> None:
    """Measure, keep the figures beside the weights, and write README.md there once every section is measured."""
    if args.rows < 1:
        raise ValueError(f"{args.rows} rows asked for; wanted at least 1")
    if not args.render:
        measure(args.sections, args.rows, report)
    figures = stored()
    missing = [section for section in SECTIONS if section not in figures["sections"]]
    if missing and not args.render:
        report(f"{name(CARD)}: not written, still to be measured: {', '.join(missing)}")
        return
    CARD.write_text(card(figures), encoding="utf-8")
    report(f"{name(CARD)}: written")
