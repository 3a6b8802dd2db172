"""Where experts that were learnt on the page are kept: a folder for each model, named after its weights.

So they are there again when the page is started anew, and never meet another model. Knows files; no studio, no gradio.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from torch import nn

from app import environment
from seka.fingerprint import digest, fingerprint
from seka.projections import Projection

logger = logging.getLogger(__name__)


def root() -> Path:
    """The folder of all models' folders."""
    return environment.read().cache / "experts"


def file(model: nn.Module, name: str) -> Path:
    """The file of an expert of this model, whether it is there or not."""
    return _folder(model) / f"{name}.safetensors"


def keep(model: nn.Module, name: str, expert: Projection) -> None:
    """Write an expert. ValueError where the folder cannot be written."""
    path = file(model, name)
    try:
        expert.save(path)
    except OSError as error:
        raise ValueError(f"the expert could not be kept in {path.parent} ({error}); set SEKA_CACHE") from None


def recall(model: nn.Module) -> dict[str, Projection]:
    """What was learnt on these very weights before, by name. A file that does not belong here is left out, and logged."""
    out = {}
    for path in sorted(_folder(model).glob("*.safetensors")):
        try:
            expert = Projection.load(path)
            expert.check(model)
        except (ValueError, OSError) as error:
            logger.warning("%s is left out: %s", path, error)
        else:
            out[path.stem] = expert
    return out


def _folder(model: nn.Module) -> Path:
    found = fingerprint(model)
    readable = re.sub(r"[^a-z0-9]+", "-", str(found["model"]).lower()).strip("-") or "model"
    return root() / f"{readable[:60]}-{digest(found)}"
