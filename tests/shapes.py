"""Four families whose keys lie differently, each with a steering and the same by hand; tests of single modes share them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import pytest
from byhand import Plan
from conftest import build_tokenizer
from decoding import greedy
from families import FAMILIES
from setting import footprint, invent, prompts, rows_of, steerable

import seka
from seka import Steering
from seka.tokens import Tokens

SHAPES = ("qwen3", "llama", "gemma3_text", "olmo2")  # a key norm per head, none, one that turns the axes, one over all
every_shape = pytest.mark.parametrize("family", SHAPES)

NEW = 6
OPTIONS = {"max_new_tokens": NEW, "do_sample": False}
#: A prompt that repeats itself, so that drafts are found, and marks within and at its end.
ROW = ([7, 8, 9, 10, 7, 8, 9, 10, 7, 8], {2: 1.0, 5: 1.0, 9: -0.5})


@cache
def batch() -> Tokens:
    """Three prompts of different lengths."""
    return seka.encode(prompts(), build_tokenizer())


def setting_of(family: str, **changes: Any) -> tuple[Any, Steering, Plan]:
    """A model, a steering with both channels, and the same by hand."""
    model = steerable(family, **changes)
    projection, gain = invent(model), FAMILIES[family].gain
    return model, Steering(model, projection, gain, 1.0), Plan([projection], gain, 1.0)


def generated(model: Any, tokens: Tokens, rows: Sequence[Steering | None], **options: Any) -> list[list[int]]:
    """New tokens of model.generate under steering, after which the model is as it was."""
    before = footprint(model)
    with seka.steer(model, tokens, rows):
        out = model.generate(tokens.ids, attention_mask=tokens.attention, **{**OPTIONS, **options})
    assert footprint(model) == before
    return out[:, tokens.ids.shape[1] :].tolist()


def different(steered: Sequence[int], model: Any, family: str, ids: Sequence[int], marks: Mapping[int, float]) -> bool:
    return list(steered) != greedy(model, family, ids, marks, None, NEW)


def both(family: str, tokens: Tokens, new: int = 5, **options: Any) -> tuple[list[list[int]], list[list[int]]]:
    """New tokens of each row, all steered in one batch, after comparing them with those by hand; and the plain ones."""
    model, steering, plan = setting_of(family)
    steered = generated(model, tokens, [steering] * len(tokens), **options, max_new_tokens=new)
    assert steered == [greedy(model, family, *row, plan, new) for row in rows_of(tokens)]
    return steered, [greedy(model, family, *row, None, new) for row in rows_of(tokens)]


def differ(answers: tuple[list[list[int]], list[list[int]]], rows: Sequence[int]) -> None:
    """Exactly these rows have another answer than their plain one."""
    assert [n for n, (a, b) in enumerate(zip(*answers, strict=True)) if a != b] == list(rows)
