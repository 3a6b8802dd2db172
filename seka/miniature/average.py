"""The mean of the weights of runs with one beginning, or of a run and its own beginning, often better than any of them.

Wortsman et al. 2022: "Model soups" of the first, "Robust fine-tuning of zero-shot models" of the second.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

from seka.miniature import path

FIGURES = "training_figures.json"
NUMBERED = ("after", "mean of")
"""What of a stage are numbers of other stages."""


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

    "mean of" numbers, from 1, the stages whose weights were taken, of a run that is a mean itself a list of its own;
    a stage's "after" is the one that it began with.
    """
    stages: list[dict[str, Any]] = []
    taken: list[Any] = []
    for run in runs:
        own = [*run["before"], {key: value for key, value in run.items() if key != "before"}]
        numbers = [_number(stages, stage) for stage in own]
        for index, (stage, number) in enumerate(zip(own, numbers, strict=True)):
            after = stage.get("after", index)
            stages[number - 1]["after"] = numbers[after - 1] if after else 0
            if "mean of" in stage:
                stages[number - 1]["mean of"] = _renumbered(stage["mean of"], numbers)
        taken.append(_renumbered(run["mean of"], numbers) if "mean of" in run else numbers[-1])
    whole, means = ([one for one in taken if isinstance(one, int) is plain] for plain in (True, False))
    return {**stages[-1], "before": stages[:-1], "mean of": [*sorted(whole), *means]}


def _number(stages: list[dict[str, Any]], stage: Mapping[str, Any]) -> int:
    """The stage's number, from 1; it is added where it is not known yet. Numbers in it are its own run's, so they do not tell."""
    alone = {key: value for key, value in stage.items() if key not in NUMBERED}
    for number, other in enumerate(stages, 1):
        if alone == {key: value for key, value in other.items() if key not in NUMBERED}:
            return number
    stages.append(alone)
    return len(stages)


def _renumbered(taken: Sequence[Any], numbers: Sequence[int]) -> list[Any]:
    return [_renumbered(one, numbers) if isinstance(one, list) else numbers[one - 1] for one in taken]


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
