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

ONLINE: dict[str, dict[str, Any]] = {
    "routed": {},
    "routed, no cache": {"use_cache": False},
    "routed, static": {"cache_implementation": "static"},
}
TWO_PASS: dict[str, dict[str, Any]] = {
    "routed, no cache": {"use_cache": False},
    "routed, chunked": {"prefill_chunk_size": 5},
    "routed, static, chunked": {"cache_implementation": "static", "prefill_chunk_size": 7},
}


@matrix(ONLINE, turn=3)
def test_in_one_pass(family: str, mode: str) -> None:
    here, options = cell(family), ONLINE[mode]
    if not refused(here, **options):
        assert here.produce(rows=routed(here, "online"), **options) == by_hand(here, "online")


@matrix(TWO_PASS, turn=3)
def test_in_two_passes(family: str, mode: str) -> None:
    here, options = cell(family), TWO_PASS[mode]
    if not refused(here, **options):
        assert here.produce(rows=routed(here, "two_pass"), **options) == by_hand(here, "two_pass")


@matrix(["beams"], turn=3)
def test_beams(family: str, mode: str) -> None:
    here = cell(family)
    assert here.produce(rows=routed(here, "online"), num_beams=2) == by_hand(here, "online", search=True)


def test_a_prompt_in_pieces_is_not_routed_in_one_pass() -> None:
    here = cell("qwen3")
    for options in (TWO_PASS["routed, chunked"], TWO_PASS["routed, static, chunked"]):
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
        return [beams(here.model, here.family, *row, NEW, 2)[0] for row in rows]
    return [greedy(here.model, here.family, *row, NEW) for row in rows]
