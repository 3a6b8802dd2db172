"""A router in every family: each row weighed by its own last token, once; a prompt in pieces only in two passes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from byhand import Plan
from cells import NEW, ROWS, Cell, cell, matrix
from decoding import beams, greedy
from unsupported import refused

from seka import Router, Steering

MODES: dict[str, dict[str, Any]] = {
    "routed": {},
    "routed, no cache": {"use_cache": False},
    "routed, static": {"cache_implementation": "static"},
}
PIECES: dict[str, dict[str, Any]] = {
    "routed, chunked": {"prefill_chunk_size": 5},
    "routed, static, chunked": {"cache_implementation": "static", "prefill_chunk_size": 7},
}


@matrix(MODES, turn=4)
@pytest.mark.parametrize("way", ["online", "two_pass"])
def test_routed(family: str, mode: str, way: str) -> None:
    here, options = cell(family), MODES[mode]
    if not refused(here, **options):
        assert here.produce(rows=routed(here, way), **options) == by_hand(here, way)


@matrix(["routed"], turn=4)
def test_routed_beams(family: str, mode: str) -> None:
    here = cell(family)
    found = here.produce(rows=routed(here, "online"), num_beams=2, max_new_tokens=2, **MODES[mode])
    assert found == by_hand(here, "online", search=True)


@matrix(PIECES, turn=4)
def test_a_prompt_in_pieces_is_routed_in_two_passes(family: str, mode: str) -> None:
    here, options = cell(family), PIECES[mode]
    if refused(here, **options):
        return
    assert here.produce(rows=routed(here, "two_pass"), **options) == by_hand(here, "two_pass")
    with pytest.raises(ValueError, match="computed in pieces"):
        here.produce(rows=routed(here, "online"), **options)


@cache
def routed(here: Cell, way: str) -> list[Steering | None]:
    experts = dict(zip("ab", here.projections, strict=True))
    steering = Steering(here.model, Router(experts, way=way), here.gain)
    return [steering, None, steering.with_gain(here.gain / 2)]


@cache
def by_hand(here: Cell, way: str, search: bool = False) -> list[list[int]]:
    gains = (here.gain, None, here.gain / 2)
    plans = [Plan(here.projections, gain, score="energy", way=way) if gain else None for gain in gains]
    found = answers(here, plans, search)
    assert here.differs(found, answers(here, [None] * len(plans), search))
    return found


def answers(here: Cell, plans: Sequence[Plan | None], search: bool) -> list[list[int]]:
    rows = [(*row, plan) for row, plan in zip(ROWS, plans, strict=True)]
    if search:
        return [beams(here.model, here.family, *row, 2, 2)[0] for row in rows]
    return [greedy(here.model, here.family, *row, NEW) for row in rows]
