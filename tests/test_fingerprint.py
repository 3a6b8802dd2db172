"""What tells one model from another of the same shape."""

from __future__ import annotations

from typing import Any

import torch
from conftest import build_model

from seka.fingerprint import _sample, fingerprint


def test_fingerprints_tell_models_apart_whatever_their_type(model: Any, family: str) -> None:
    here = fingerprint(model)
    twin, other = build_model(family, dtype=torch.float32), build_model(family, seed=1)
    assert fingerprint(twin)["geometry"] == here["geometry"] == fingerprint(other)["geometry"]
    assert fingerprint(twin)["config_digest"] == here["config_digest"]
    names = [name for name, _ in model.model.layers[0].named_parameters()]
    assert set(here["weights"]) == {"embedding", *(f"{layer}.{name}" for layer in range(3) for name in names)}
    samples = [torch.tensor(list(fingerprint(m)["weights"].values())) for m in (model, other)]
    assert (samples[0] - samples[1]).abs().max() > 0.1
    assert here["geometry"]["heads"] == [2, 2, 2]
    assert here["geometry"]["model_type"] == family


def test_samples_stay_inside_a_weight_too_large_for_float32_places() -> None:
    assert len(_sample(torch.empty(5120 * 5120, dtype=torch.bfloat16))) == 4
    assert _sample(torch.arange(3.0)) == [0.0, 1.0, 1.0, 2.0]
