"""Rows of a batch: each is what it would be alone, whatever the others are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from setting import (
    close,
    forward,
    invent,
    last,
    logits,
    prompts,
    rows_of,
    steerable,
    tokens_of,
)

import seka
from seka import Router, Steering
from seka.tokens import Tokens


def test_rows_do_not_depend_on_their_batch(family: str, tokens: Tokens) -> None:
    model = steerable(family)
    projection = invent(model)
    steerings = [Steering(model, projection, 5.0), None, Steering(model, invent(model, 1), 2.0, 1.0)]
    with seka.steer(model, tokens, steerings):
        together = forward(model, tokens).logits
    for row, (ids, marks) in enumerate(rows_of(tokens)):
        alone = logits(model, tokens_of([(ids, marks)]), steerings[row])[0]
        torch.testing.assert_close(last(together, row, len(ids)), alone, rtol=0, atol=close(family))
        assert torch.equal(last(together, row, len(ids)).argmax(-1), alone.argmax(-1))


def test_rows_do_not_depend_on_their_batch_in_float32(tokens: Tokens) -> None:
    model = steerable("llama", dtype=torch.float32)
    steering = Steering(model, invent(model), 2.0)
    together = logits(model, tokens, steering)
    for row, pair in enumerate(rows_of(tokens)):
        alone = logits(model, tokens_of([pair]), steering)[0]
        torch.testing.assert_close(last(together, row, len(pair[0])), alone, rtol=0, atol=1e-4)


def test_a_plain_row_is_the_model_without_seka(family: str, tokens: Tokens) -> None:
    """Bit for bit, whatever the other rows do."""
    model = steerable(family)
    steering = Steering(model, Router({"a": invent(model), "b": invent(model, 1)}), 7.0)
    plain = logits(model, tokens)
    with seka.steer(model, tokens, [steering, None, steering]):
        mixed = forward(model, tokens).logits
    assert torch.equal(mixed[1], plain[1])
    assert not torch.equal(mixed[0], plain[0])
    assert not torch.equal(mixed[2], plain[2])
    with seka.steer(model, tokens, [None] * 3):
        assert torch.equal(forward(model, tokens).logits, plain)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_sweep_in_one_batch(family: str, tokenizer: Any, mixed: bool) -> None:
    """Strengths side by side are what separate runs are; also with a router, and with the negative channel."""
    model = steerable(family)
    source = Router({"a": invent(model), "b": invent(model, 1)}) if mixed else invent(model)
    base = Steering(model, source, 1.0, 0.0 if mixed else 0.5)
    gains = [0.0, 0.5, 3.0, -2.0]
    one = seka.encode(prompts()[1], tokenizer)
    batch = Tokens(*(t.repeat(len(gains), 1) for t in (one.ids, one.attention, one.highlight)))
    with seka.steer(model, batch, [base.with_gain(g) for g in gains]):
        swept = forward(model, batch).logits
    ends = []
    for row, gain in enumerate(gains):
        alone = Steering(model, source, gain, base.negative)
        torch.testing.assert_close(swept[row], logits(model, one, alone)[0], rtol=0, atol=close(family))
        ends.append(swept[row, -1])
    assert min((a - b).abs().max() for i, a in enumerate(ends) for b in ends[:i]) > 100 * close(family)


def test_with_gain_leaves_the_first_alone(qwen: Any) -> None:
    first = Steering(qwen, invent(qwen), 1.0)
    second = first.with_gain(3.0, 2.0)
    assert (first.positive, first.negative, second.positive, second.negative) == (1.0, 0.0, 3.0, 2.0)
    assert second.with_gain(0.5).negative == 2.0
