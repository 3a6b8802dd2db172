"""Two turns over one cache, in every family: marks of the first turn stay in it, those of the second are edited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from byhand import Plan
from cells import NEW, ROWS, Cell, Row, cell, expected, matrix
from decoding import greedy
from setting import tokens_of
from unsupported import refused

AGAIN = 2  # tokens of the second answer
QUESTION = [40, 311, 42, 143, 244, 45]
MARKED = {0: 1.0, 1: 1.0, 2: -1.0, 3: 1.0, 4: 1.0, 5: 1.0}  # column 5 is the last of all
CACHES: dict[str, dict[str, Any]] = {"dynamic": {}, "static": {"cache_implementation": "static", "max_cache_len": 64}}


@matrix(CACHES, turn=3)
def test_marks_in_both_turns(family: str, mode: str) -> None:
    here = cell(family)
    if refused(here, **CACHES[mode]):
        return
    first = here.produce(return_dict_in_generate=True, **CACHES[mode])
    assert first.sequences[:, -NEW:].tolist() == expected(here)
    rows = conversation(expected(here), first=True)
    by_hand = answers(here, rows, here.plans)
    assert here.produce(tokens_of(rows), past_key_values=first.past_key_values, max_new_tokens=AGAIN) == by_hand
    ends = [len(ids) - len(QUESTION) for ids, _ in rows]
    before = [(ids, {c: w for c, w in marks.items() if c < end}) for (ids, marks), end in zip(rows, ends, strict=True)]
    assert here.differs(by_hand, answers(here, before, here.plans))  # the second turn's marks matter on their own


@matrix(["dynamic"], turn=3)
def test_marks_in_the_second_turn_only(family: str, mode: str) -> None:
    """A plain conversation that is steered from its second turn on."""
    here = cell(family)
    first = here.generate(return_dict_in_generate=True, **CACHES[mode])
    rows = conversation(first.sequences[:, -NEW:].tolist(), first=False)
    by_hand = answers(here, rows, here.plans)
    assert here.produce(tokens_of(rows), past_key_values=first.past_key_values, max_new_tokens=AGAIN) == by_hand
    assert here.differs(by_hand, answers(here, rows, [None] * len(rows)))


def conversation(said: list[list[int]], first: bool) -> list[Row]:
    """Each prompt, its answer and a question; marks in the question, and in the prompt where asked for."""
    rows = []
    for (ids, marks), answer in zip(ROWS, said, strict=True):
        start = len(ids) + len(answer)
        later = {start + n: weight for n, weight in MARKED.items()}
        rows.append(([*ids, *answer, *QUESTION], {**(marks if first else {}), **later}))
    return rows


def answers(here: Cell, rows: list[Row], plans: Sequence[Plan | None]) -> list[list[int]]:
    return [greedy(here.model, here.family, *row, plan, AGAIN) for row, plan in zip(rows, plans, strict=True)]
