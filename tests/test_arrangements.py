"""How a model may be spread over devices: asked for by name, told from another model, or refused with the reason."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PROMPTS, TRIPLETS, build_tokenizer
from setting import invent, steerable
from spread import ARRANGEMENTS, pair_of, parts
from torch import nn
from transformers import AutoModelForCausalLM

import seka
from seka import ProjectionMismatch, Steering, UnsupportedModel
from seka.devices import entries, refusal, weights
from seka.fingerprint import fingerprint
from seka.loading import load
from seka.sites import sites

NEW = 4


@pytest.mark.parametrize("name", ["model.embed_tokens.weight", "model.layers.1.mlp.down_proj.weight"])
def test_a_weight_that_is_away_is_in_the_fingerprint(name: str, tmp_path: Path) -> None:
    pair = pair_of("qwen3", "all on disk")
    other = deepcopy(pair.whole)
    with torch.no_grad():
        other.get_parameter(name).mul_(1.5)
    other.save_pretrained(tmp_path)
    spread = ARRANGEMENTS["all on disk"][0](other, tmp_path)
    with pytest.raises(ProjectionMismatch, match="same shape but other weights"):
        invent(pair.whole).check(spread)


def test_weights_without_values_are_refused_by_name() -> None:
    config = steerable("qwen3").config
    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(config)
    with pytest.raises(ValueError, match=r"weight of the embedding has no values.*load the model with its weights"):
        sites(empty)
    with pytest.raises(ValueError, match=r"weight 'self_attn\.q_proj\.weight' has no values"):
        dict(weights(empty.model.layers[0]))


def test_an_entry_is_found_by_its_flat_place() -> None:
    weight = torch.arange(24.0).view(2, 3, 4)
    assert entries(weight, torch.tensor([0, 5, 23])).tolist() == [0.0, 5.0, 23.0]


def test_loading_takes_a_device_map(tmp_path: Path) -> None:
    pair = pair_of("qwen3", "all on disk")
    places = {name: "disk" if ".1" in name else "cpu" for name in parts(pair.whole)}
    model, tokenizer = load(str(pair.folder), device_map=places, offload_folder=str(tmp_path))
    assert model.model.layers[1].mlp.up_proj.weight.is_meta
    assert not model.training
    steering = Steering(model, invent(pair.whole), pair.gain)
    result = seka.compare(model, tokenizer, seka.Prompt.marked(PROMPTS[0]), steering, max_new_tokens=NEW)
    assert not result.identical
    whole, _ = load(str(pair.folder), device_map="auto")
    assert fingerprint(whole)["weights"] == fingerprint(pair.whole)["weights"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"device": "cpu", "device_map": "auto"}, "device and device_map contradict each other"),
        ({"device_map": "auto", "tp_plan": "auto"}, "device_map and tp_plan contradict each other"),
        ({"tp_plan": "auto"}, "torchrun --nproc-per-node N"),
        ({"offload_folder": "away"}, "give a device_map too"),
        ({"name": None, "device_map": "auto"}, "the embedded one is small: leave it out"),
    ],
)
def test_loading_refuses_what_contradicts_itself(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        load(**{"name": "no such model", **options})


def test_wrappers_are_refused_by_name(qwen: Any) -> None:
    with pytest.raises(UnsupportedModel, match=r"DataParallel cannot be steered.*DataParallel\.module"):
        Steering(nn.DataParallel(qwen), invent(qwen), 1.0)
    with pytest.raises(UnsupportedModel, match="DataParallel cannot be steered"):
        seka.learn(nn.DataParallel(qwen), build_tokenizer(), TRIPLETS)
    staged = deepcopy(qwen)
    staged._pp_stage = object()  # what transformers leaves on a model that it divides by layers
    with pytest.raises(UnsupportedModel, match="only some of its layers"):
        sites(staged)
    assert refusal(qwen) is None
