"""A look at any weights by the tasks of its card, on validation rows: to compare recipes and to see a run grow.

Experts are learnt on the spot and everything acts at one strength; nothing is chosen and nothing is kept. The figures of
the model card are another matter: they come from test rows and the shipped files.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from seka.effects import effects
from seka.learn import learn
from seka.miniature import path
from seka.miniature.corpus.triplets import KINDS, triplets
from seka.miniature.measures import ways as w
from seka.miniature.measures.evaluate import VALIDATION, draw
from seka.miniature.measures.sideeffects import perplexity
from seka.miniature.measures.tasks import TASKS, UNSEEN, measure
from seka.miniature.measures.ways import Way
from seka.projections import Projection
from seka.routing import Router
from seka.steering import Steering

POOLED = "pooled"


def learnt(model: Any, tokenizer: Any, count: int) -> dict[str, Projection]:
    """An expert for each kind of triplet, and one of all kinds together, `count` triplets each."""
    given = {kind: triplets(kind, count) for kind in KINDS}
    given[POOLED] = [triplet for some in given.values() for triplet in some[: count // len(KINDS)]]
    return {name: learn(model, tokenizer, some, name=name) for name, some in given.items()}


def ways(model: Any, projections: dict[str, Projection], gain: float) -> dict[str, Way]:
    """The model as it is, its experts, and the controls, all at one gain."""
    pooled = projections[POOLED]
    experts = {name: projection for name, projection in projections.items() if name != POOLED}
    sources: dict[str, Projection | Router] = {
        "adaptive": Router(experts, sharpness=8.0),
        "pooled": pooled,
        "random subspace": pooled.random(0),
        "key scaling": w.key_scaling(pooled),
    }
    steered = {name: w.steered(Steering(model, source, positive=gain)) for name, source in sources.items()}
    return {"none": w.plain(model)} | steered


def head_effects(model: Any, tokenizer: Any, projection: Projection, gain: float, n: int) -> dict[str, Any]:
    """Causal effect and sensitivity of every head, {layer: [H]} each, and how well they agree in rank."""
    rows = draw("conflict", n, VALIDATION, tokenizer, UNSEEN)
    asked = [(row.marked(row.less_likely), row.case.answers[row.less_likely]) for row in rows]
    moved, shift = effects(model, tokenizer, projection, asked, gain), projection.relative_shift
    flat = [torch.cat([values[layer] for layer in projection.layers]) for values in (moved, shift)]
    ranks = torch.stack([values.argsort().argsort() for values in flat]).double()
    return {
        "effect": {layer: [round(v, 3) for v in moved[layer].tolist()] for layer in projection.layers},
        "shift": {layer: [round(v, 3) for v in shift[layer].tolist()] for layer in projection.layers},
        "rank correlation": round(float(torch.corrcoef(ranks)[0, 1]), 3),
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m seka miniature trial`."""
    parser.add_argument("--model", type=Path, default=path(), help="folder of the weights (default: the shipped ones)")
    parser.add_argument("--rows", type=int, default=100, help="validation rows of each task (default 100)")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), metavar="TASK", help=f"some of: {', '.join(TASKS)}")
    parser.add_argument("--gain", type=float, default=0.15, help="strength of every way (default 0.15)")
    parser.add_argument("--heads", action="store_true", help="also steer every head alone")


def run(args: argparse.Namespace, report: Callable[[str], None] | None = None) -> None:
    """One line of JSON for each task, with hits and n of everything that is counted."""
    model = Qwen3ForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(args.model)
    projections = learnt(model, tokenizer, 200)
    found = ways(model, projections, args.gain)

    def tell(name: str, figures: Any) -> None:
        if report:
            report(json.dumps({"task": name, **figures}))

    for name in args.tasks or TASKS:
        task = replace(TASKS[name], n=min(args.rows, TASKS[name].n))
        if task.kind == "long passage" and model.config.max_position_embeddings < 1024:
            tell(name, {"left out": f"the model holds {model.config.max_position_embeddings} tokens"})
        else:
            tell(name, measure(task, model, tokenizer, found, VALIDATION))
    steerings = {name: way.steering for name, way in found.items() if way.steering is not None}
    harm = {name: round(perplexity(model, tokenizer, s, VALIDATION, 50), 4) for name, s in steerings.items()}
    tell("perplexity", harm)
    if args.heads:
        tell("heads", head_effects(model, tokenizer, projections[POOLED], args.gain, 64))
