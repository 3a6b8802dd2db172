"""Sampling from every family: transformers' draw of one token for all rows at once, from distributions by hand."""

from __future__ import annotations

from functools import cache
from typing import Any

from cells import NEW, Cell, cell, matrix
from decoding import sample
from unsupported import refused

TEMPERATURE = 0.5
DRAW = {"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": TEMPERATURE}
MODES: dict[str, dict[str, Any]] = {
    "sampling": {},
    "sampling, no cache": {"use_cache": False},
}


@matrix(MODES, turn=2)
def test_sampling(family: str, mode: str) -> None:
    here, options = cell(family), {**DRAW, **MODES[mode]}
    if not refused(here, **options):
        seed, by_hand = drawn(here)
        assert here.produce(seed=seed, **options) == by_hand


@matrix(["sampling"], turn=2)
def test_several_sequences(family: str, mode: str) -> None:
    """Two draws of each row; both are of a row steered its own way."""
    here = cell(family)
    out = here.produce(seed=5, num_return_sequences=2, max_new_tokens=2, **DRAW, **MODES[mode])
    assert out == sample(here.model, family, [row for row in here.rows() for _ in range(2)], 2, 5, TEMPERATURE)
    assert out[::2] != out[1::2]


@cache
def drawn(here: Cell) -> tuple[int, list[list[int]]]:
    return here.telling(lambda rows, seed: sample(here.model, here.family, rows, NEW, seed, TEMPERATURE))
