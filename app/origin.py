"""Where a run comes from: versions, and what tells its model from others. Goes along with every record."""

from __future__ import annotations

import platform
from typing import Any
from weakref import WeakKeyDictionary

import torch
import transformers
from torch import nn

from app.models import Studio
from seka.fingerprint import digest, fingerprint
from seka.version import VERSION

_KNOWN: WeakKeyDictionary[nn.Module, dict[str, Any]] = WeakKeyDictionary()


def made(studio: Studio) -> dict[str, Any]:
    """{"seka", "torch", "transformers", "python": versions, "revision", "fingerprint": of the model}.

    The fingerprint is of a few entries of every weight, the same in float32 and in bfloat16.
    """
    versions = {
        "seka": VERSION,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
    return {**versions, **(_model(studio.model) if studio.model is not None else {})}


def _model(model: nn.Module) -> dict[str, Any]:
    if model not in _KNOWN:
        found = fingerprint(model)
        _KNOWN[model] = {"revision": found["revision"], "fingerprint": digest(found)}
    return _KNOWN[model]
