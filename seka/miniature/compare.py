"""Recipes and seeds compared: training runs on the same validation rows, experts learnt on the spot, one strength for all.

What is counted is how often the answer follows the mark, the mean over TASKED. With --keep, the figures of all runs are
kept for the card, those of the runs that were not finished too. No test row is read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from seka.miniature import path, router
from seka.miniature.learn import learnt
from seka.miniature.measures import ways as w
from seka.miniature.measures.evaluate import VALIDATION, Rate, Row, unsteered
from seka.miniature.measures.sideeffects import harms
from seka.miniature.measures.spread import interval
from seka.miniature.measures.tasks import TASKS, Task, asking, follows, rows_of, written
from seka.routing import Router
from seka.steering import Steering

TASKED = (
    "conflict", "conflict, unseen wordings", "one against 3", "biography", "instructions", "instructions, worked out",
    "visitor",
)  # fmt: skip
"""Every kind of target but passages, which take as long as all of these."""
STORIES = 100
"""Validation stories that the side effect is measured on."""
FILE = "recipes_figures.json"
Report = Callable[[str], None]
Rows = dict[str, list[Row]]


def compare(folders: Sequence[Path], n: int, report: Report = lambda line: None) -> dict[str, Any]:
    """{"rows", "strength", "runs": {folder's name: its figures}} of runs that `train` made, `n` rows of each task.

    Gain, scales, score, sharpness and heads are those of the shipped router. Each mean and each difference to the best mean has
    the 95 % interval of a bootstrap over rows, the difference that of a paired one. ValueError for n < 1, for folders of
    one name, for one without a run, and for runs whose tokenizers draw other rows.
    """
    names = [folder.resolve().name for folder in folders]
    if n < 1 or len(set(names)) < len(names):
        raise ValueError(f"{n} rows of {', '.join(names)}; wanted at least 1 row and folders with different names")
    for folder in folders:
        if not (folder / "model" / "training_figures.json").exists():
            raise ValueError(f"{folder}: no run that ended; python -m seka miniature train --out {folder} makes one")
    tasks = {name: replace(TASKS[name], n=n) for name in TASKED}
    given, first = router(), None
    runs: dict[str, dict[str, Any]] = {}
    hits: dict[str, dict[str, Tensor]] = {}
    for name, folder in zip(names, folders, strict=True):
        model = Qwen3ForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "model")
        rows = {title: rows_of(task, tokenizer, VALIDATION) for title, task in tasks.items()}
        cases = {title: [row.case for row in some] for title, some in rows.items()}
        first = first or cases
        if cases != first:
            raise ValueError(
                f"{name} has another tokenizer than {names[0]}, which draws other rows; wanted runs with --start and one "
                "tokenizer, or of one seed"
            )
        run = json.loads((folder / "model" / "training_figures.json").read_text(encoding="utf-8"))
        hits[name], found = measured(tasks, rows, model, tokenizer, adaptive(model, tokenizer, given))
        runs[name] = {key: run[key] for key in ("recipe", "steps", "tokens", "minutes", "documents")} | found
        report(f"{name}: {json.dumps(found['tasks'])}")
    best = max(runs, key=lambda name: runs[name]["mean"]["value"])
    for name, mine in hits.items():
        runs[name]["difference to the best"] = interval({task: mine[task] - hits[best][task] for task in tasks})
    strength = {
        "gain": given.recommended_gain,
        "score": given.score,
        "sharpness": given.sharpness,
        "layers": given.recommended_layers,
    }
    return {"rows": n, "strength": strength, "runs": runs}


def measured(
    tasks: Mapping[str, Task], rows: Rows, model: Any, tokenizer: Any, steering: Steering
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Of one model {task: (N,)} 1 where the answer follows the mark, and the figures as plain values."""
    way, plain = w.steered(steering), w.plain(model)
    hits: dict[str, Tensor] = {}
    rates: dict[str, dict[str, Any]] = {}
    for name, task in tasks.items():
        hits[name] = torch.tensor(follows(task, rows[name], model, tokenizer, way), dtype=torch.float64)
        rates[name] = {
            "read": written(read(task, rows[name], model, tokenizer, plain)),
            "followed": written(Rate(int(hits[name].sum()), len(rows[name]))),
        }
    harm = harms(model, tokenizer, {"": steering}, VALIDATION, STORIES)[""]
    low, high = harm.interval
    return hits, {
        "tasks": rates,
        "mean": interval(hits),
        "perplexity": {
            "n": harm.n,
            "multiple": round(harm.multiple, 4),
            "low": round(low, 4),
            "high": round(high, 4),
        },
    }


def adaptive(model: Any, tokenizer: Any, given: Router) -> Steering:
    """Experts learnt on this model, mixed and at the strength of a given router, its scales of each expert included."""
    scales = {
        name: {layer: row.tolist() for layer, row in expert.scale.items()} for name, expert in given.experts.items()
    }
    found = learnt(model, tokenizer)
    experts = {name: found[name].scaled(scale) for name, scale in scales.items()}
    mixed = Router(experts, sharpness=given.sharpness, score=given.score)
    return Steering(model, mixed, positive=given.recommended_gain, layers=given.recommended_layers)


def read(task: Task, rows: Sequence[Row], model: Any, tokenizer: Any, plain: w.Way) -> Rate:
    """How often the unsteered answer is any rival's: what steering can at most choose between."""
    ask, right = asking(task, rows, model, tokenizer, plain)
    return unsteered(rows, ask([row.marked(0) for row in rows]), right)["any of them"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m seka miniature compare`."""
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder that `train --out` wrote")
    parser.add_argument("--rows", type=int, default=200, help="validation rows of each task (default 200)")
    parser.add_argument(
        "--keep", action="store_true", help=f"write the figures to assets/miniature/{FILE}, for the card"
    )


def run(args: argparse.Namespace, report: Report = lambda line: None) -> None:
    """Report the figures of each run, and the means with their intervals; keep all if asked to."""
    found = compare(args.runs, args.rows, report)
    for name, figures in found["runs"].items():
        mean, less = figures["mean"], figures["difference to the best"]
        report(
            f"{name}: followed {100 * mean['value']:.1f} % ({100 * mean['low']:.1f}-{100 * mean['high']:.1f}), "
            f"{100 * less['value']:.1f} points from the best ({100 * less['low']:.1f} to {100 * less['high']:.1f}), "
            f"a story's perplexity {figures['perplexity']['multiple']:.4f} times"
        )
    if args.keep:
        (path() / FILE).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
