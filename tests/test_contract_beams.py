"""Beams of every family: each hypothesis is of a row steered its own way, against a beam search by hand."""

from __future__ import annotations

from functools import cache
from typing import Any

from cells import NEW, Cell, cell, matrix
from decoding import beams, drawn_beams
from unsupported import refused

WIDTH, TEMPERATURE = 2, 0.5
BEAMS = {"num_beams": WIDTH, "num_return_sequences": WIDTH}
MODES: dict[str, dict[str, Any]] = {
    "beams": {},
    "beams, no cache": {"use_cache": False},
    "beams, static, chunked": {"cache_implementation": "static", "prefill_chunk_size": 5},
}


@matrix(MODES, turn=0)
def test_beams(family: str, mode: str) -> None:
    """All hypotheses of every row, in order."""
    here, options = cell(family), {**BEAMS, **MODES[mode]}
    if not refused(here, **options):
        assert here.produce(**options) == [extra for row in searched(here) for extra in row]


@matrix(["beams", "beams, no cache"], turn=1)
def test_drawn_beams(family: str, mode: str) -> None:
    """Beam sampling: the same draws from the same hypotheses."""
    here, options = cell(family), {**BEAMS, **MODES[mode], "do_sample": True, "top_k": 0, "temperature": TEMPERATURE}
    if not refused(here, **options):
        seed, by_hand = drawn(here)
        assert here.produce(seed=seed, **options) == [extra for row in by_hand for extra in row]


@cache
def searched(here: Cell) -> list[list[list[int]]]:
    return here.telling(lambda rows, _: [beams(here.model, here.family, *row, NEW, WIDTH) for row in rows])[1]


@cache
def drawn(here: Cell) -> tuple[int, list[list[list[int]]]]:
    return here.telling(lambda rows, seed: drawn_beams(here.model, here.family, rows, NEW, WIDTH, seed, TEMPERATURE))
