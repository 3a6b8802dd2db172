"""Measure the shipped model and experts, and write the model card from the figures: no number in it is typed by hand."""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations, product
from pathlib import Path
from typing import Any

import torch

from seka.miniature import ROOT, experts, load, path
from seka.miniature.cases import TRAINING, Options
from seka.miniature.corpus import draw as draw_document
from seka.miniature.evaluate import (
    TEST,
    VALIDATION,
    Ask,
    Rate,
    both_ways,
    draw,
    first_tokens,
    key_scaling,
    side_effect,
    task,
    unsteered,
)
from seka.miniature.render import percent, render
from seka.miniature.world import HELD, split_words
from seka.projections import Projection
from seka.routing import SCORES, WAYS, Router
from seka.steering import Steering

SEEDS = (0, 1, 2)
"""Draws of the random subspace."""
MATCH = {"biography": "roles", "passage": "passages"}
"""Which expert a task is measured with; all others with `MAIN`."""
SPLITS = {
    "words and wordings of training": TRAINING,
    "unseen words": Options(words=True),
    "unseen wordings": Options(wordings=True),
    "unseen words and wordings": Options(words=True, wordings=True),
}
KINDS = ("conflict", "several", "biography", "passage", "override", "opening", "choice", "pronouns")
MAIN = "reports"
"""The expert whose gain the controls use and with which the gain is swept."""
ROUTED = ("conflict", "biography", "choice")
"""Tasks on which the ways of weighing experts are compared."""
SWEEP = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


def methods(model: Any, expert: str) -> dict[str, list[Steering]]:
    """{name: steerings to average over}: the expert, all experts, and controls at the expert's gain."""
    projections = {name: Projection.load(file) for name, file in experts().items()}
    main = projections[expert]
    gain = main.recommended_gain
    return {
        "expert": [Steering(model, main)],
        "adaptive": [Steering(model, Router(projections))],
        "random subspace": [Steering(model, main.random(seed), positive=gain) for seed in SEEDS],
        "key scaling": [Steering(model, key_scaling(main), positive=gain)],
    }


def pooled(results: Sequence[dict[str, Rate]]) -> dict[str, Rate]:
    """The same rates over several draws, counted together."""
    return {name: Rate(sum(r[name].hits for r in results), sum(r[name].n for r in results)) for name in results[0]}


def measure(n: int, report: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Every figure of the card, on `n` test rows a task."""
    model, tokenizer = load()
    began = time.monotonic()
    steerings = {expert: methods(model, expert) for expert in {MAIN, *MATCH.values()}}
    tables: dict[str, dict[str, Any]] = {}
    for split, options in SPLITS.items():
        for kind in KINDS if options == TRAINING else KINDS[:4]:
            rows = draw(kind, n, TEST, tokenizer, options)
            plain_ask: Ask = partial(first_tokens, model, tokenizer, steering=None)
            plain = plain_ask([row.marked(0) for row in rows])
            entry = {"none": written(unsteered(rows, plain) | task(kind, rows, plain_ask, plain))}
            for name, variants in steerings[MATCH.get(kind, MAIN)].items():
                asks = [partial(first_tokens, model, tokenizer, steering=variant) for variant in variants]
                entry[name] = written(pooled([task(kind, rows, ask, plain) for ask in asks]))
            tables[f"{kind}, {split}"] = entry
            if report:
                both = ", ".join(f"{m} {percent(rates.get('both ways'))}" for m, rates in entry.items())
                report(f"{kind}, {split}: both ways {both}; {time.monotonic() - began:.0f} s")
    return {
        "n": n,
        "expert": {kind: MATCH.get(kind, MAIN) for kind in KINDS},
        "gains": {expert: {name: v[0].positive for name, v in found.items()} for expert, found in steerings.items()},
        "tables": tables,
        "side effect": {name: round(side_effect(model, tokenizer, v[0]), 3) for name, v in steerings[MAIN].items()},
        "sweep": sweep(model, tokenizer, n),
        "routing": routing(model, tokenizer, n),
        "minutes": round((time.monotonic() - began) / 60, 1),
    }


def leaked(count: int = 20_000) -> dict[str, Any]:
    """Held-out words that training documents hold all the same: they stand in fixed wordings or in longer words."""
    held = sorted({word for name in HELD for word in split_words(name, True)})
    text = "\n".join(draw_document(0, "training", index)[1] for index in range(count)).lower()
    found = [word for word in held if re.search(rf"\b{re.escape(word.lower())}\b", text)]
    return {"held": len(held), "found": found, "documents": count}


def likeness() -> dict[str, float]:
    """{"a, b": mean over heads of tr(P_a P_b) / sqrt(rank_a rank_b)}: 1 for two experts with the same subspaces."""
    projections = {name: Projection.load(file) for name, file in experts().items()}
    found = {}
    for a, b in combinations(projections, 2):
        one, two = projections[a], projections[b]
        shares = []
        for layer in one.layers:
            p, q = one.positive(layer), two.positive(layer)
            ranks = (one.part(layer).positive.rank * two.part(layer).positive.rank).sqrt()
            shares.append((p * q).sum((1, 2)) / ranks)
        found[f"{a}, {b}"] = round(float(torch.stack(shares).mean()), 3)
    return found


def sweep(model: Any, tokenizer: Any, n: int) -> dict[str, dict[str, Any]]:
    """{method: {gain: ...}}: conflicts followed both ways and the side effect, over a range of gains."""
    main = Projection.load(experts()[MAIN])
    rows = draw("conflict", n, TEST, tokenizer)
    found: dict[str, dict[str, Any]] = {}
    for name, projection in (("expert", main), ("random subspace", main.random(0)), ("key scaling", key_scaling(main))):
        found[name] = {}
        for gain in SWEEP:
            steering = Steering(model, projection, positive=gain)
            ask = partial(first_tokens, model, tokenizer, steering=steering)
            rates = written(task("override", rows, ask, ask([row.marked(0) for row in rows])))
            found[name][str(gain)] = rates["both ways"] | {
                "side effect": round(side_effect(model, tokenizer, steering, 30), 3)
            }
    return found


def routing(model: Any, tokenizer: Any, n: int) -> dict[str, dict[str, Any]]:
    """{"score, way": {kind: rate}}: both ways followed, for every way to weigh the experts, on validation rows."""
    projections = {name: Projection.load(file) for name, file in experts().items()}
    found: dict[str, dict[str, Any]] = {}
    for score, way in product(SCORES, WAYS):
        steering = Steering(model, Router(projections, score=score, way=way))
        ask = partial(first_tokens, model, tokenizer, steering=steering)
        found[f"{score}, {way}"] = {
            kind: written(both_ways(draw(kind, n, VALIDATION, tokenizer), ask))["both ways"] for kind in ROUTED
        }
    return found


def written(rates: dict[str, Rate]) -> dict[str, dict[str, Any]]:
    """Rates as plain values for a file."""
    return {
        name: {"hits": r.hits, "n": r.n, "low": round(r.interval[0], 4), "high": round(r.interval[1], 4)}
        for name, r in rates.items()
        if r.n
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m seka miniature card`."""
    parser.add_argument("--rows", type=int, default=200, help="test rows of each task (default 200)")
    parser.add_argument("--render", action="store_true", help="write the card anew from the figures that are there")


def run(args: argparse.Namespace, report: Callable[[str], None] | None = None) -> None:
    """Measure, keep the figures beside the weights, and write README.md there."""
    place: Path = path() / "figures.json"
    if not args.render:
        place.write_text(json.dumps(measure(args.rows, report), indent=1) + "\n", encoding="utf-8")
    figures = json.loads(place.read_text(encoding="utf-8"))
    figures |= {"leaked": leaked(), "likeness": likeness()}
    for name in ("training", "experts"):
        figures[name] = json.loads((path() / f"{name}_figures.json").read_text(encoding="utf-8"))
    (path() / "README.md").write_text(render(figures), encoding="utf-8")
    if report:
        report(f"{(path() / 'README.md').relative_to(ROOT)}: written")
