"""The mean of runs: their weights, and what is told of the stages they came from."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from cards import training
from conftest import build_model, build_tokenizer
from transformers import AutoModelForCausalLM

from seka.miniature import average, findings
from seka.miniature.tables import stages


def stage(seed: int, **more: Any) -> dict[str, Any]:
    """One run's figures, told apart by its seed."""
    one = training()
    return {**one, "before": [], "recipe": {**one["recipe"], "seed": seed, "start": ""}, **more}


def alone(figures: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in figures.items() if key != "before"}


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Two runs that began with a third one's weights, that one given as a model's own folder."""
    begun = stage(0)
    told = [begun, *(stage(seed, before=[alone(begun)]) for seed in (1, 2))]
    folders = []
    for seed, figures in enumerate(told):
        folder = tmp_path / f"run{seed}"
        inside = folder / "model" if seed else folder
        build_model("qwen3", seed=seed).save_pretrained(inside)
        build_tokenizer().save_pretrained(inside)
        (inside / "training_figures.json").write_text(json.dumps(figures), encoding="utf-8")
        folders.append(folder)
    return folders


def test_every_weight_is_the_mean_of_the_runs(runs: list[Path], tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    average.add_arguments(parser)
    lines: list[str] = []
    average.run(parser.parse_args([*map(str, runs), "--out", str(tmp_path / "mean")]), lines.append)
    folder = tmp_path / "mean" / "model"
    assert lines == [f"{folder}: the mean of 3 runs"]
    found = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    parts = [AutoModelForCausalLM.from_pretrained(average.weights(run), dtype=torch.float64) for run in runs]
    assert len(list(found.named_parameters())) > 10
    for name, value in found.named_parameters():
        wanted = sum(part.get_parameter(name) for part in parts) / 3
        assert torch.equal(value, wanted.bfloat16().double()), name
    told = json.loads((folder / "training_figures.json").read_text(encoding="utf-8"))
    assert told["mean of"] == [1, 2, 3]
    assert [one["recipe"]["seed"] for one in (*told["before"], told)] == [0, 1, 2]


def test_what_has_no_mean_is_refused(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 run given; wanted at least two"):
        average.average(runs[:1])
    with pytest.raises(ValueError, match="nothing: no run that ended"):
        average.average([runs[0], tmp_path / "nothing"])
    build_model("qwen3", layers=2).save_pretrained(runs[2] / "model")
    with pytest.raises(ValueError, match=r"run2 has another shape or tokenizer than .*run0"):
        average.average(runs)


def test_stages_are_told_once_and_in_order() -> None:
    """Two runs of one beginning, their mean, and a run that goes on from the mean."""
    first = {**stage(0)}
    second, third = (
        {**stage(seed, before=[alone(first)]), "recipe": {**first["recipe"], "seed": seed, "start": "x"}}
        for seed in (1, 2)
    )
    mean = average.history([first, second, third])
    assert mean["mean of"] == [1, 2, 3]
    later = {**second, "before": [*mean["before"], alone(mean)], "recipe": {**second["recipe"], "seed": 3}}
    told = average.history([mean, later])
    assert [one["recipe"]["seed"] for one in (*told["before"], told)] == [0, 1, 2, 3]
    assert (told["after"], told["mean of"]) == (3, [4, [1, 2, 3]])
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in stages(told, "ab").splitlines()[2:]]
    assert [row[1] for row in rows] == ["random initialisation", "stage 1", "stage 1", "the mean of stages 1, 2, 3"]
    after = {**later, "before": [*told["before"], alone(told)], "recipe": {**second["recipe"], "seed": 4}}
    said = average.history([after, first, told])
    assert said["mean of"] == [1, 5, [4, [1, 2, 3]]]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in stages(said, "ab").splitlines()[2:]]
    assert rows[-1][1] == "the mean of stage 4 and what it began with"
    assert findings.mean(told["mean of"]) == "the mean of stage 4 and (the mean of stages 1, 2, 3)"
    assert findings.mean([4, 1, [1, 2, 3], [1, 2, 3]], [*told["before"], told]) == (
        "the mean of stages 4, 1 and what stage 4 began with (2 times)"
    )
    twice = average.history([first, later, later])
    assert twice["mean of"] == [1, 4, 4]
    assert findings.mean(twice["mean of"]) == "the mean of stages 1, 4 (2 times)"


def test_numbers_of_stages_are_those_of_the_whole_list() -> None:
    """Each run counts its stages from 1; put together, "after" and "mean of" still name the same ones."""
    first = stage(0)

    def on(seed: int, *before: dict[str, Any]) -> dict[str, Any]:
        start = {**first["recipe"], "seed": seed, "start": "x"}
        return {**stage(seed, before=[alone(one) for one in before]), "recipe": start}

    other, second = on(7, first), on(2, first)
    third = on(3, first, second)
    mean = average.history([first, second, third])
    assert (mean["after"], mean["mean of"]) == (2, [1, 2, 3])
    told = average.history([other, mean, third])
    every = [*told["before"], told]
    assert [one["recipe"]["seed"] for one in every] == [0, 7, 2, 3]
    assert [one["after"] for one in every] == [0, 1, 1, 3]
    assert told["mean of"] == [2, 4, [1, 3, 4]]
