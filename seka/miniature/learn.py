"""The experts of the embedded model: contrastive triplets of several kinds, learnt with `seka.learn`, gains chosen."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from seka.learn import learn
from seka.miniature import ROOT, load, path
from seka.miniature import sentences as s
from seka.miniature.cases import biography, conflict, passage
from seka.miniature.evaluate import VALIDATION, Row, both_ways, draw, first_tokens
from seka.miniature.ordinary import general
from seka.miniature.world import relations, sentence
from seka.projections import Projection
from seka.steering import Steering
from seka.triplets import Triplet

COUNT = 400
GAINS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
PLATEAU = 0.02
"""A gain is on the plateau when it is at most this far below the best score."""


def facts(random: Random) -> Triplet:
    """One statement; the other question is about somebody else."""
    fact, other = s.draw_fact(random), s.draw_fact(random)
    while other.who == fact.who or other.relation == fact.relation:
        other = s.draw_fact(random)
    context = sentence(s.state(random, fact, s.draw_style(random, fact))) + "."
    return Triplet(context, s.ask(random, fact), fact.what, s.ask(random, other))


def roles(random: Random) -> Triplet:
    """A short biography and a question about the work; the other question is about a detail of it."""
    case = biography(random)
    while not case.context:
        case = biography(random)
    details = [r for r in relations() if r.subject == "person" and r.name != "job"]
    other = s.draw_fact(random, False, random.choice(details), case.facts[0].who)
    return Triplet(case.context, case.question, case.statements[0].value, s.ask(random, other))


def passages(random: Random) -> Triplet:
    """Several people and things; the other question is about another sentence of the same passage."""
    case = passage(random)
    while not case.context or len(case.facts) < 2:
        case = passage(random)
    others = [fact for n, fact in enumerate(case.facts) if n != case.chosen]
    return Triplet(case.context, case.question, case.answer.strip(), s.ask(random, random.choice(others)))


def reports(random: Random) -> Triplet:
    """Two statements that contradict each other; the other question is about something else."""
    case = conflict(random)
    while not case.context:
        case = conflict(random)
    return Triplet(case.context, case.question, case.answer.strip(), s.ask(random, s.draw_fact(random)))


KINDS: dict[str, tuple[Callable[[Random], Triplet], str]] = {
    "facts": (facts, "single statements"),
    "roles": (roles, "short biographies, asked for the work"),
    "passages": (passages, "several people and things, asked about one"),
    "reports": (reports, "two statements that contradict each other"),
}


def triplets(kind: str, count: int = COUNT, seed: int = 0) -> list[Triplet]:
    """`count` triplets of a kind, from words and wordings of training alone, the answer standing in the context once."""
    found: list[Triplet] = []
    random = Random(f"{seed}/triplets/{kind}")
    while len(found) < count:
        triplet = KINDS[kind][0](random)
        if triplet.context.lower().count(triplet.answer.lower()) == 1:
            found.append(triplet)
    return found


def scores(model: Any, tokenizer: Any, projection: Projection, rows: Sequence[Sequence[Row]]) -> dict[float, float]:
    """Mean share of validation rows that follow the mark in both directions, by gain."""
    found = {}
    for gain in GAINS:
        ask = partial(first_tokens, model, tokenizer, steering=Steering(model, projection, positive=gain))
        found[gain] = sum(both_ways(group, ask)["both ways"].value for group in rows) / len(rows)
    return found


def choose_gain(by_gain: dict[float, float]) -> float:
    """The smallest gain on the plateau: more strength would only cost."""
    best = max(by_gain.values())
    return min(gain for gain, score in by_gain.items() if score >= best - PLATEAU)


def make(
    model: Any, tokenizer: Any, folder: Path, n: int = 200, report: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """Learn and save every expert with its gain; returns the validation scores."""
    rows = [draw(kind, n, VALIDATION, tokenizer) for kind in ("conflict", "biography")]
    listed, measured = {}, {}
    for kind, (_, description) in KINDS.items():
        given = triplets(kind)
        about = f"Learnt from {len(given)} questions about {description}."
        projection = learn(model, tokenizer, given, name=kind, description=about)
        by_gain = scores(model, tokenizer, projection, rows)
        gain = choose_gain(by_gain)
        projection.with_header(recommended_gain=gain, model="seka-miniature").save(folder / f"{kind}.safetensors")
        listed[kind] = f"{kind}.safetensors"
        measured[kind] = {
            "triplets": len(given),
            "validation rows of each kind": n,
            "gain": gain,
            "scores": {str(g): round(v, 4) for g, v in by_gain.items()},
        }
        if report:
            report(f"{kind}: gain {gain}, " + ", ".join(f"{g} {v:.3f}" for g, v in by_gain.items()))
    (folder / "experts.json").write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")
    return measured


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m seka miniature learn`."""
    parser.add_argument("--rows", type=int, default=200, help="validation rows of each kind that choose the gains")


def run(args: argparse.Namespace, report: Callable[[str], None] | None = None) -> None:
    """Learn the experts of the shipped model anew, and write the bundled triplets."""
    model, tokenizer = load()
    measured = make(model, tokenizer, ROOT / "projections", args.rows, report)
    (path() / "experts_figures.json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    lines = [json.dumps(asdict(triplet), ensure_ascii=False) for triplet in general()]
    (ROOT / "assets" / "triplets.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
