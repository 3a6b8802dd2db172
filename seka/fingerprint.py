"""What tells one model from another of the same shape. Knows weights and geometry; no projection."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seka.devices import entries, weights
from seka.sites import blocks, sites, text_config


def fingerprint(model: nn.Module) -> dict[str, Any]:
    """What tells this model from another one of the same shape: geometry, and a few entries of every weight.

    They are compared with a tolerance, so that a model loaded in bfloat16 still is the model it was in float32.
    """
    found = sites(model)
    config = text_config(model)
    geometry = {
        "model_type": model.config.model_type,  # type: ignore[union-attr]
        "hidden_size": config.hidden_size,
        "vocab_size": config.vocab_size,
        "query_heads": [site.query_heads for site in found],
        "heads": [site.heads for site in found],
        "widths": [site.width for site in found],
    }
    return {
        "model": _name(model),
        "revision": getattr(model.config, "_commit_hash", None),
        "geometry": geometry,
        "config_digest": hashlib.sha256(json.dumps(geometry, sort_keys=True).encode()).hexdigest()[:16],
        "weights": _weights(model),
    }


def digest(found: Mapping[str, Any]) -> str:
    """A short name for exactly the weights that a fingerprint is of, the same in float32 and in bfloat16."""
    rounded = {name: torch.tensor(values).bfloat16().tolist() for name, values in found["weights"].items()}
    text = json.dumps([found["geometry"], rounded], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _name(model: Any) -> str:
    """The model's id, or the last part of a local folder: a file that travels names no machine's folders."""
    name = str(getattr(model.config, "_name_or_path", ""))
    return Path(name).name if Path(name).is_dir() else name


def _weights(model: Any) -> dict[str, list[float]]:
    """A few entries of the embedding and of every weight in every layer, by name."""
    samples = {"embedding": _sample(dict(weights(model.get_input_embeddings()))["weight"])}
    for layer, block in enumerate(blocks(model)):
        samples |= {f"{layer}.{name}": _sample(weight) for name, weight in weights(block)}
    return samples


def _sample(weight: Tensor, count: int = 4) -> list[float]:
    # Whole numbers throughout: in float32 the last place of a large matrix rounds to one beyond its end.
    index = torch.arange(1, count + 1) * (weight.numel() - 1) // count
    return [float(f"{value:.6g}") for value in entries(weight, index).cpu().tolist()]
