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

from seka.miniature import path
from seka.miniature.learn import learnt
from seka.miniature.measures import ways as w
from seka.miniature.measures.evaluate import VALIDATION, draw
from seka.miniature.measures.heads import maps
from seka.miniature.measures.shipped import POOLED
from seka.miniature.measures.sideeffects import perplexity
from seka.miniature.measures.tasks import TASKS, UNSEEN, measure
from seka.miniature.measures.ways import Way
from seka.projections import Projection
from seka.routing import Router
from seka.steering import Steering


def ways(model: Any, projections: dict[str, Projection], gain: float) -> dict[str, Way]:
    """The model as it is, its experts, and the controls, all at one gain."""
    experts = {name: projection for name, projection in projections.items() if name != POOLED}
    sources = w.sources(Router(experts, sharpness=8.0), projections[POOLED])
    steered = {name: w.steered(Steering(model, source, positive=gain)) for name, source in sources.items()}
    return {"none": w.plain(model)} | steered


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
        rows = draw("conflict", 64, VALIDATION, tokenizer, UNSEEN)
        tell("heads", maps(model, tokenizer, projections[POOLED], args.gain, rows))
