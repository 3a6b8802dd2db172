"""Cells of the matrix that transformers itself cannot run. Each is tried again, without steering, whenever it is met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from cells import Cell


@dataclass(frozen=True)
class Unsupported:
    """Families that cannot be run with these options together: transformers' words, and what lies behind them."""

    families: tuple[str, ...]
    options: frozenset[str]
    words: str
    reason: str


TABLE = (
    Unsupported(
        ("falcon_many",),
        frozenset({"cache_implementation"}),
        "too many values to unpack",
        "ALiBi is computed from a mask of two axes; a static cache brings one of four",
    ),
    Unsupported(
        ("falcon_one",),
        frozenset({"cache_implementation", "prefill_chunk_size"}),
        "must have same slice shapes",
        "a static cache that is made before the first chunk expects as many key heads as query heads; there is one",
    ),
    Unsupported(
        ("qwen3_next", "qwen3_5_text", "qwen3_5_moe_text", "bamba", "falcon_h1", "granitemoehybrid"),
        frozenset({"prompt_lookup_num_tokens"}),
        "not supported with stateful models",
        "the state of linear attention cannot forget a candidate that is turned down",
    ),
)


def refused(cell: Cell, **options: Any) -> bool:
    """Whether the table has this cell; then the plain model must refuse it still, in the table's words."""
    for entry in TABLE:
        if cell.family in entry.families and entry.options <= set(options):
            with pytest.raises((ValueError, RuntimeError), match=entry.words):
                cell.generate(**options)
            return True
    return False
