"""The token after the prompt, against keys edited by hand and sums written out in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from byhand import Plan, run
from conftest import build_model, build_tokenizer
from setting import footprint, invent, rows_of

import seka
from seka.next_tokens import next_tokens

PROMPT = seka.Prompt.marked("Previously **Ada plays chess**. Currently Ada ~~plays~~ golf. Ada plays")


def by_hand(model: Any, family: str, plan: Plan | None) -> list[float]:
    """Probabilities of the whole vocabulary, the softmax as a loop."""
    ((ids, marks),) = rows_of(seka.encode(PROMPT, build_tokenizer()))
    logits = run(model, family, ids, marks, plan)[0][-1].double().tolist()
    total = sum(math.exp(x - max(logits)) for x in logits)
    return [math.exp(x - max(logits)) / total for x in logits]


@pytest.mark.parametrize("family", ["qwen3", "gemma2", "gpt2"])
def test_it_is_the_softmax_of_either_model(family: str) -> None:
    model, projection = build_model(family, torch.float32), invent(build_model(family, torch.float32))
    steering = seka.Steering(model, projection, 6.0)
    found = next_tokens(model, build_tokenizer(), PROMPT, steering, top=5)
    plain, steered = by_hand(model, family, None), by_hand(model, family, Plan([projection], 6.0))
    likely = {i for row in (plain, steered) for i in sorted(range(len(row)), key=lambda i: -row[i])[:5]}
    assert [token.id for token in found.top] == sorted(likely, key=lambda i: -max(plain[i], steered[i]))
    for token in found.top:
        assert token.text == build_tokenizer().decode([token.id])
        assert token.plain == pytest.approx(plain[token.id], rel=1e-3)
        assert token.steered == pytest.approx(steered[token.id], rel=1e-3)
    moved = sum(abs(p - q) for p, q in zip(plain, steered, strict=True)) / 2
    assert found.moved == pytest.approx(moved, rel=1e-3)
    assert moved > 0.01


def test_the_first_token_of_a_greedy_answer_is_the_likeliest() -> None:
    model, tokenizer = build_model("qwen3"), build_tokenizer()
    steering = seka.Steering(model, invent(model), 6.0)
    pair = seka.compare(model, tokenizer, PROMPT, steering, max_new_tokens=1)
    before = footprint(model)
    found = next_tokens(model, tokenizer, PROMPT, steering, top=3)
    for row, result in (("plain", pair.plain), ("steered", pair.steered)):
        likeliest = max(found.top, key=lambda token: getattr(token, row))
        assert (likeliest.id, getattr(likeliest, row)) == (result.ids[0], pytest.approx(result.probabilities[0]))
    assert footprint(model) == before


def test_strength_zero_moves_nothing() -> None:
    model = build_model("qwen3")
    found = next_tokens(model, build_tokenizer(), PROMPT, seka.Steering(model, invent(model), 0.0))
    assert found.moved == 0
    assert all(token.plain == token.steered for token in found.top)
    assert len(found.top) == 6


def test_the_whole_vocabulary_sums_to_one() -> None:
    model, tokenizer = build_model("qwen3"), build_tokenizer()
    found = next_tokens(model, tokenizer, PROMPT, seka.Steering(model, invent(model), 6.0), top=10**6)
    assert sorted(token.id for token in found.top) == list(range(model.config.vocab_size))
    for row in ("plain", "steered"):
        assert sum(getattr(token, row) for token in found.top) == pytest.approx(1, abs=1e-5)
    assert found.moved == pytest.approx(sum(abs(token.plain - token.steered) for token in found.top) / 2, rel=1e-4)


def test_no_token_is_no_answer() -> None:
    model = build_model("qwen3")
    with pytest.raises(ValueError, match="top is 0; wanted at least 1"):
        next_tokens(model, build_tokenizer(), PROMPT, seka.Steering(model, invent(model), 1.0), top=0)
