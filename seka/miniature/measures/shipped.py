"""What is measured: the shipped model with its experts, each way at the strength that its file recommends."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seka import miniature
from seka.miniature.measures import ways as w
from seka.miniature.measures.ways import Way
from seka.projections import Projection
from seka.routing import Router
from seka.steering import Steering

POOLED = "pooled"


@dataclass(frozen=True)
class Shipped:
    """The model and what steers it. The controls act at the pooled expert's gain."""

    model: Any
    tokenizer: Any
    router: Router
    pooled: Projection

    @classmethod
    def load(cls) -> Shipped:
        """From the repository's files. ValueError without a pooled expert."""
        alone = miniature.alone()
        if POOLED not in alone:
            raise ValueError(
                f"projections/experts.json names no expert {POOLED!r} that stands alone; make it: python -m seka miniature learn"
            )
        return cls(*miniature.load(), miniature.router(), Projection.load(alone[POOLED]))

    @functools.cached_property
    def steerings(self) -> dict[str, Steering]:
        """By the names of `ways.sources`."""
        return {name: Steering(self.model, source) for name, source in w.sources(self.router, self.pooled).items()}

    @functools.cached_property
    def ways(self) -> dict[str, Way]:
        """The model as it is, and the ways that are no controls."""
        learnt = {name: w.steered(self.steerings[name]) for name in ("adaptive", POOLED)}
        return {"none": w.plain(self.model)} | learnt


def fingerprints() -> dict[str, str]:
    """{file: sha256} of everything that the figures depend on, by its path in the repository."""
    folder, listed = miniature.path(), miniature.experts() | miniature.alone()
    files = [folder / name for name in ("config.json", "model.safetensors", "tokenizer.json")]
    files += [miniature.ROOT / "projections" / "experts.json", *listed.values()]
    return {name(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}


def name(file: Path) -> str:
    """A file's path in the repository."""
    return file.resolve().relative_to(miniature.ROOT).as_posix()
