"""Training runs compared: what is counted, on which rows, and what is kept."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from cards import recipes, training

from seka import Router, Steering, encode, miniature
from seka.miniature import compare
from seka.miniature.learn import learnt
from seka.miniature.measures.evaluate import VALIDATION, Row
from seka.miniature.measures.sideeffects import harms
from seka.miniature.measures.tasks import TASKS, rows_of
from seka.miniature.render import compared

N = 6


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The shipped model in a run's folder, and once more with the values of its last layer gone."""
    monkeypatch.setattr(compare, "path", lambda: tmp_path)
    monkeypatch.setattr(compare, "STORIES", 4)
    monkeypatch.setattr(compare, "TASKED", ("conflict", "one against 3", "instructions"))
    monkeypatch.setattr(compare, "learnt", partial(learnt, count=8, n=2))
    model, tokenizer = miniature.load()
    told = (miniature.path() / "training_figures.json").read_text(encoding="utf-8")
    folders = [tmp_path / name for name in ("whole", "broken")]
    for folder in folders:
        model.save_pretrained(folder / "model")
        tokenizer.save_pretrained(folder / "model")
        (folder / "model" / "training_figures.json").write_text(told, encoding="utf-8")
        with torch.no_grad():
            model.model.layers[-1].self_attn.v_proj.weight.zero_()
    return folders


def test_what_is_counted_is_what_one_prompt_at_a_time_says(runs: list[Path], tmp_path: Path) -> None:
    lines: list[str] = []
    parser = argparse.ArgumentParser()
    compare.add_arguments(parser)
    compare.run(parser.parse_args([*map(str, runs), "--rows", str(N), "--keep"]), lines.append)
    kept = json.loads((tmp_path / compare.FILE).read_text(encoding="utf-8"))
    assert (list(kept["runs"]), kept["rows"]) == (["whole", "broken"], N)
    model, tokenizer = miniature.load()
    given = miniature.router()
    assert kept["strength"] == {
        "gain": given.recommended_gain,
        "score": given.score,
        "sharpness": given.sharpness,
        "layers": given.recommended_layers,
    }
    fresh = learnt(model, tokenizer, 8, 2)
    experts = {
        name: replace(
            fresh[name],
            parts={at: replace(part, scale=shipped.parts[at].scale) for at, part in fresh[name].parts.items()},
        )
        for name, shipped in given.experts.items()
    }
    router = Router(experts, sharpness=given.sharpness, score=given.score)
    steering = Steering(model, router, positive=given.recommended_gain, layers=given.recommended_layers)
    whole, broken = kept["runs"]["whole"], kept["runs"]["broken"]
    for name, entry in whole["tasks"].items():
        task = replace(TASKS[name], n=N)
        hits = read = 0
        for row in rows_of(task, tokenizer, VALIDATION):
            marked = (0, 1) if task.count == "rivals" else (row.less_likely,)
            hits += all(says(model, tokenizer, steering, row, i, i, task.whole) for i in marked)
            read += any(says(model, tokenizer, None, row, 0, i, task.whole) for i in range(len(row.firsts)))
        assert (entry["followed"]["hits"], entry["read"]["hits"], entry["followed"]["n"]) == (hits, read, N), name
    for one in (whole, broken):
        shares = [entry["followed"]["hits"] / N for entry in one["tasks"].values()]
        assert one["mean"]["value"] == pytest.approx(sum(shares) / len(shares), abs=1e-4)
        assert one["mean"]["low"] <= one["mean"]["value"] <= one["mean"]["high"]
    assert whole["difference to the best"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    difference = broken["mean"]["value"] - whole["mean"]["value"]
    assert broken["difference to the best"]["value"] == pytest.approx(difference, abs=2e-4)
    assert difference < 0
    harm = harms(model, tokenizer, {"": steering}, VALIDATION, 4)[""]
    assert whole["perplexity"]["multiple"] == pytest.approx(harm.multiple, abs=1e-3)
    assert len(lines) == 4
    assert lines[2].startswith(f"whole: followed {100 * whole['mean']['value']:.1f} %")
    invented = recipes()["runs"]["a"]
    assert set(whole) == set(invented)
    assert "| `whole` |" in compared(kept, training())


def says(
    model: Any, tokenizer: Any, steering: Steering | None, row: Row, marked: int, answer: int, whole: bool
) -> bool:
    """Whether the greedy answer of one prompt, read alone, is that of statement `answer`."""
    tokens = encode(row.marked(marked), tokenizer)
    wanted = row.case.wholes[answer]
    new = len(tokenizer(wanted)["input_ids"]) + 4 if whole else 1
    options = {"attention_mask": tokens.attention, "max_new_tokens": new, "do_sample": False}
    if steering is None:
        out = model.generate(tokens.ids, **options)
    else:
        with steering.on(tokens):
            out = model.generate(tokens.ids, **options)
    ids = out[0, tokens.ids.shape[1] :]
    if not whole:
        return int(ids[0]) == row.firsts[answer]
    return str(tokenizer.decode(ids, skip_special_tokens=True)).startswith(wanted.rstrip())


def test_what_cannot_be_compared_is_refused(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 rows of whole; wanted at least 1 row"):
        compare.compare(runs[:1], 0)
    with pytest.raises(ValueError, match=r"whole, whole; wanted .* different names"):
        compare.compare([runs[0], tmp_path / "elsewhere" / "whole"], 2)
    with pytest.raises(ValueError, match="nothing: no run that ended; python -m seka miniature train --out"):
        compare.compare([runs[0], tmp_path / "nothing"], 2)
    tokenizer = runs[1] / "model" / "tokenizer.json"
    merges = json.loads(tokenizer.read_text(encoding="utf-8"))
    merges["model"]["merges"] = merges["model"]["merges"][:50]
    tokenizer.write_text(json.dumps(merges), encoding="utf-8")
    with pytest.raises(ValueError, match="broken has another tokenizer than whole, which draws other rows"):
        compare.compare(runs, 20)
    assert not (tmp_path / compare.FILE).exists()


def test_a_run_that_became_a_stage_has_its_number() -> None:
    found = recipes()
    shipped = training()
    assert "`a`, stage 2 |" in compared(found, shipped)
    assert "Runs with a stage's number became that stage" in compared(found, shipped)
    assert "`a`, stage" not in compared(found, {**shipped, "documents": "of another corpus"})
    longer = {**shipped, "recipe": {**shipped["recipe"], "minutes": 500.0}}
    assert "`a`, stage 2 |" in compared(found, longer)
    newer = {**shipped, "recipe": {**shipped["recipe"], "momentum": 0.9}}
    assert ", stage " not in compared(found, newer)
    assert "became that stage" not in compared(found, newer)
    stage = {key: value for key, value in shipped.items() if key != "before"}
    assert "`a`, stage 1 |" in compared(found, {**newer, "before": [stage]})
