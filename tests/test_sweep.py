"""A sweep of strengths: every row is what its strength gives alone, the curves are the model's own probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from setting import counted, footprint, invent, logits, steerable, steering_of

import seka
from seka import Prompt, Router, Steering
from seka.sweep import stream, sweep

PROMPT = Prompt.marked("Previously Ada plays chess. Currently **Ada plays golf**. ~~Ada~~ plays")
STRENGTHS = (0.0, 0.5, 8.0, -2.0)


@pytest.mark.parametrize("source", ["projection", "router", "two banks"])
def test_each_row_is_what_its_strength_gives_alone(family: str, tokenizer: Any, source: str) -> None:
    model = steerable(family)
    router = Router({"a": invent(model), "b": invent(model, 1)})
    negative = 0.5 if source == "two banks" else 0.0
    steering = Steering(model, router if source == "router" else invent(model), 1.0, negative)
    before = footprint(model)
    swept = sweep(model, tokenizer, PROMPT, steering, STRENGTHS, max_new_tokens=8)
    assert footprint(model) == before
    assert swept.strengths == STRENGTHS
    for gain, answer in zip(STRENGTHS, swept.answers, strict=True):
        alone = Steering(model, steering.source, gain, negative)
        given = seka.generate(model, tokenizer, PROMPT, alone, max_new_tokens=8, do_sample=False)
        assert (answer.ids, answer.text, answer.finish) == (given.ids, given.text, given.finish)
    assert len({answer.ids for answer in swept.answers}) > 1
    if not negative:
        plain = seka.generate(model, tokenizer, PROMPT, max_new_tokens=8, do_sample=False)
        assert swept.answers[0].ids == plain.ids


def test_strength_zero_is_the_plain_model_bit_for_bit(qwen: Any, tokenizer: Any) -> None:
    pair = seka.compare(qwen, tokenizer, PROMPT, steering_of(qwen, 8.0), max_new_tokens=6)
    swept = sweep(qwen, tokenizer, PROMPT, steering_of(qwen, 1.0), (0.0, 8.0), max_new_tokens=6)
    assert [answer.probabilities for answer in swept.answers] == [pair.plain.probabilities, pair.steered.probabilities]


def test_sampled_rows_are_those_of_separate_streams(qwen: Any, tokenizer: Any) -> None:
    options = {"max_new_tokens": 8, "do_sample": True, "temperature": 1.5, "seed": 3}
    swept = sweep(qwen, tokenizer, PROMPT, steering_of(qwen), STRENGTHS, **options)
    for gain, answer in zip(STRENGTHS, swept.answers, strict=True):
        assert answer.ids == seka.compare(qwen, tokenizer, PROMPT, steering_of(qwen, gain), **options).steered.ids


def test_curves_are_the_probabilities_of_the_first_token(qwen: Any, tokenizer: Any) -> None:
    """Softmax by hand, in float64, of one forward for each strength."""
    swept = sweep(qwen, tokenizer, PROMPT, steering_of(qwen), STRENGTHS, top=5, max_new_tokens=3)
    tokens = seka.encode(PROMPT, tokenizer)
    rows = []
    for gain in STRENGTHS:
        scores = logits(qwen, tokens, steering_of(qwen, gain))[0, -1].double().tolist()
        total = math.fsum(math.exp(score - max(scores)) for score in scores)
        rows.append([math.exp(score - max(scores)) / total for score in scores])
    largest = [max(row[token] for row in rows) for token in range(len(rows[0]))]
    expected = sorted(range(len(largest)), key=lambda token: -largest[token])[:5]
    assert list(swept.curves) == expected
    for token, curve in swept.curves.items():
        np.testing.assert_allclose(curve, [row[token] for row in rows], atol=1e-6)
    for place, answer in enumerate(
        swept.answers
    ):  # greedy answers begin with the likeliest, which is among those followed
        assert swept.curves[answer.ids[0]][place] == max(curve[place] for curve in swept.curves.values())
        assert swept.curves[answer.ids[0]][place] == pytest.approx(answer.probabilities[0])


def test_it_grows_in_one_batch_and_stops_when_asked(qwen: Any, tokenizer: Any) -> None:
    with counted(qwen) as calls:
        steps = list(stream(qwen, tokenizer, PROMPT, steering_of(qwen), STRENGTHS, max_new_tokens=9))
    assert [rows for rows, _ in calls] == [len(STRENGTHS)] * len(steps)
    assert steps[0].curves == steps[-1].curves
    with counted(qwen) as calls:
        *_, last = stream(
            qwen, tokenizer, PROMPT, steering_of(qwen), STRENGTHS, max_new_tokens=9, stop=lambda: len(calls) == 3
        )
    assert len(calls) == 3
    assert [answer.ids for answer in last.answers] == [answer.ids for answer in steps[2].answers]
    assert {answer.finish for answer in last.answers} <= {"stopped", "eos"}
    *_, none = stream(qwen, tokenizer, PROMPT, steering_of(qwen), STRENGTHS, stop=lambda: True)
    assert not none.curves
    assert all(not answer.ids for answer in none.answers)


@pytest.mark.parametrize(
    ("strengths", "options", "message"),
    [
        ((), {}, "no strengths given"),
        ((0.2, 0.2), {}, "each of them once"),
        ((0.2, math.nan), {}, "finite gain"),
        ((0.2,), {"top": 0}, "top is 0"),
        ((0.2,), {"max_new_tokens": 0}, "wanted at least 1"),
        ((0.2,), {"do_sample": True, "temperature": -1.0}, "temperature is -1.0"),
        ((0.2,), {"max_new_tokens": 10**6}, "the model holds"),
    ],
)
def test_refused_before_the_model_is_called(
    qwen: Any, tokenizer: Any, strengths: tuple[float, ...], options: dict[str, Any], message: str
) -> None:
    with counted(qwen) as calls, pytest.raises(ValueError, match=message):
        stream(qwen, tokenizer, PROMPT, steering_of(qwen), strengths, **options)
    assert calls == []


def test_half_precision_keeps_strength_zero_plain(tokenizer: Any) -> None:
    model = steerable("qwen3", dtype=torch.bfloat16)
    swept = sweep(model, tokenizer, PROMPT, steering_of(model), (0.0, 8.0), max_new_tokens=4)
    plain = seka.compare(model, tokenizer, PROMPT, steering_of(model), max_new_tokens=4).plain
    assert swept.answers[0].ids == plain.ids
    assert swept.answers[0].probabilities == plain.probabilities
