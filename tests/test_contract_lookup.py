"""Prompt look-up in every family that transformers drafts for: one row, candidates found, some of them refused."""

from __future__ import annotations

from byhand import Plan
from cells import NEW, cell, every_family
from decoding import greedy
from setting import counted, tokens_of
from unsupported import refused

from seka import Steering

#: A row that repeats itself.
ROW = ([7, 208, 9, 310, 7, 208, 9, 310, 7, 208], {1: 1.0, 2: 1.0, 5: 1.0, 6: -0.5})


@every_family
def test_prompt_lookup(family: str) -> None:
    here, options = cell(family), {"tokens": tokens_of([ROW]), "prompt_lookup_num_tokens": 3}
    if refused(here, **options):
        return
    projection = here.projections[0]
    with counted(here.model) as shapes:
        plain = here.generate(**options)
    assert shapes[0][1] > len(ROW[0])  # candidates come with the prompt
    out = here.produce(rows=[Steering(here.model, projection, here.gain)], **options)
    assert out == [greedy(here.model, family, *ROW, Plan([projection], here.gain), NEW)]
    assert out != plain
