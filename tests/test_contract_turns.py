"""Two turns over one cache, in every family: marks of the first turn stay in it, those of the second are edited.

The first row is steered in both turns, the last one in the second only, the middle one never.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from byhand import Plan
from cells import NEW, ROWS, Cell, Row, cell, matrix
from decoding import greedy
from setting import tokens_of
from unsupported import refused

QUESTION = [40, 311, 42, 143, 244, 45]
MARKED = {0: 1.0, 1: 1.0, 2: -1.0, 3: 1.0, 4: 1.0, 5: 1.0}  # column 5 is the last of all
MODES: dict[str, dict[str, Any]] = {
    "two turns": {},
    "two turns, static": {"cache_implementation": "static", "max_cache_len": 64},
}


@matrix(MODES, turn=4)
def test_marks_in_either_turn(family: str, mode: str) -> None:
    here = cell(family)
    if refused(here, **MODES[mode]):
        return
    first = here.produce(rows=[here.steerings[0], None, None], return_dict_in_generate=True, **MODES[mode])
    said = answers(here, ROWS, [here.plans[0], None, None])
    assert first.sequences[:, -NEW:].tolist() == said
    rows = [asked(ids + answer, marks) for (ids, marks), answer in zip([ROWS[0], *bare(ROWS[1:])], said, strict=True)]
    by_hand = answers(here, rows, here.plans)
    assert here.produce(tokens_of(rows), past_key_values=first.past_key_values) == by_hand
    before = [(ids, {c: w for c, w in marks.items() if c < len(ids) - len(QUESTION)}) for ids, marks in rows]
    assert here.differs(by_hand, answers(here, before, here.plans))  # the second turn's marks matter on their own


def asked(ids: list[int], marks: dict[int, float]) -> Row:
    """The row goes on with a marked question."""
    return [*ids, *QUESTION], {**marks, **{len(ids) + n: weight for n, weight in MARKED.items()}}


def bare(rows: Sequence[Row]) -> list[Row]:
    return [(ids, {}) for ids, _ in rows]


def answers(here: Cell, rows: Sequence[Row], plans: Sequence[Plan | None]) -> list[list[int]]:
    return [greedy(here.model, here.family, *row, plan, NEW) for row, plan in zip(rows, plans, strict=True)]
