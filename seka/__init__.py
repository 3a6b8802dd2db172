"""Prompt highlighting that a language model really follows: learned key steering (SEKA and AdaSEKA)."""

from __future__ import annotations

import importlib
from types import ModuleType

from seka import triplets
from seka.attention import attention_on_highlight
from seka.baselines import with_baselines
from seka.generation import Comparison, Result, compare, generate, stream
from seka.learn import learn
from seka.next_tokens import NextTokens, next_tokens
from seka.projections import Projection, ProjectionMismatch
from seka.prompts import MARKERS, Prompt
from seka.routing import Router, Routing
from seka.sites import UnsupportedModel
from seka.steering import Steering, steer
from seka.sweep import Sweep, sweep
from seka.tokens import Alignment, Tokens, align, chat, encode
from seka.triplets import Triplet
from seka.version import VERSION as __version__

__all__ = [
    "MARKERS",
    "Alignment",
    "Comparison",
    "NextTokens",
    "Projection",
    "ProjectionMismatch",
    "Prompt",
    "Result",
    "Router",
    "Routing",
    "Steering",
    "Sweep",
    "Tokens",
    "Triplet",
    "UnsupportedModel",
    "__version__",
    "align",
    "attention_on_highlight",
    "chat",
    "compare",
    "encode",
    "figures",
    "generate",
    "learn",
    "miniature",
    "next_tokens",
    "steer",
    "stream",
    "sweep",
    "triplets",
    "with_baselines",
]  # fmt: skip


def __getattr__(name: str) -> ModuleType:
    """`seka.figures` and `seka.miniature` load when they are first asked for: plotly is not needed to steer."""
    if name in ("figures", "miniature"):
        return importlib.import_module(f"seka.{name}")
    raise AttributeError(f"module 'seka' has no attribute {name!r}")
