"""The mean of the weights of runs with one beginning, which reads better than any of them (Wortsman et al. 2022, model soups)."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from seka.miniature import path

FIGURES = "training_figures.json"


def weights(folder: Path) -> Path:
    """Where a run's weights are: in its folder `model`, or, shipped, in the folder itself."""
    return folder / "model" if (folder / "model").exists() else folder


def average(folders: Sequence[Path]) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast, dict[str, Any]]:
    """The mean model (bfloat16, computed in float64), its tokenizer, and what there is to say of the runs.

    ValueError for fewer than two runs, for a folder without one, and for runs of other shapes or tokenizers.
    """
    if len(folders) < 2:
        raise ValueError(f"{len(folders)} run given; wanted at least two to take the mean of")
    for folder in folders:
        if not (weights(folder) / FIGURES).exists():
            raise ValueError(f"{folder}: no run that ended; python -m seka miniature train --out {folder} makes one")
    total: dict[str, torch.Tensor] = {}
    for folder in folders:
        model = Qwen3ForCausalLM.from_pretrained(weights(folder), dtype=torch.float64)
        tokenizer = PreTrainedTokenizerFast.from_pretrained(weights(folder))
        if not total:
            first, shapes = tokenizer.backend_tokenizer.to_str(), {n: p.shape for n, p in model.named_parameters()}
        if tokenizer.backend_tokenizer.to_str() != first or {n: p.shape for n, p in model.named_parameters()} != shapes:
            raise ValueError(f"{folder} has another shape or tokenizer than {folders[0]}; a mean of them means nothing")
        for name, value in model.named_parameters():
            total[name] = total.get(name, torch.zeros(())) + value.detach() / len(folders)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(total[name])
    told = [json.loads((weights(folder) / FIGURES).read_text(encoding="utf-8")) for folder in folders]
    return model.bfloat16(), tokenizer, history(told)


def history(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What training_figures.json says of a mean: the last new stage's figures, with the stages of all runs before it.

    "mean of" numbers, from 1, the stages whose weights were taken; a stage's "after" is the one that it began with.
    """
    stages: list[dict[str, Any]] = []
    taken = []
    for run in runs:
        after = 0
        for stage in (*run["before"], {key: value for key, value in run.items() if key != "before"}):
            known = [{**other, "after": stage.get("after", other["after"])} for other in stages]
            mine = {**stage, "after": stage.get("after", after)}
            if mine not in known:
                stages.append(mine)
                known.append(mine)
            after = known.index(mine) + 1
        taken.append(after)
    return {**stages[-1], "before": stages[:-1], "mean of": sorted(taken)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m seka miniature average`."""
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="folder that `train --out` wrote, or a model's"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/mean"), help="folder, whose `model` is written")
    parser.add_argument("--ship", action="store_true", help="write to assets/miniature, not to OUT/model")


def run(args: argparse.Namespace, report: Callable[[str], None] = lambda line: None) -> None:
    """Write the mean of the runs as transformers reads it."""
    model, tokenizer, figures = average(args.runs)
    folder = path() if args.ship else args.out / "model"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / FIGURES).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    report(f"{folder}: the mean of {len(args.runs)} runs")
