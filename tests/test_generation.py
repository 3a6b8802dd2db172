"""Generation: both texts of a comparison are what separate runs give, and what is refused."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from byhand import Plan, run
from conftest import build_model
from decoding import greedy
from setting import (
    counted,
    footprint,
    forward,
    invent,
    rows_of,
    steerable,
    steering_of,
)

import seka
from seka import Prompt, Router, Steering

TEXT = "Previously Ada plays chess. Currently **Ada plays golf**. Ada plays"
PROMPT = Prompt.marked(TEXT)


def test_both_rows_are_what_generate_gives(family: str, tokenizer: Any) -> None:
    """The plain row is model.generate without seka, the steered row generate under steering and the loop by hand."""
    model = steerable(family)
    steering = steering_of(model)
    tokens = seka.encode(PROMPT, tokenizer)
    out = seka.compare(model, tokenizer, PROMPT, steering, max_new_tokens=10)
    end = tokenizer.eos_token_id
    options = {"attention_mask": tokens.attention, "max_new_tokens": 10, "do_sample": False, "eos_token_id": end}
    plain = model.generate(tokens.ids, **options)
    assert out.plain.ids == tuple(plain[0, tokens.ids.shape[1] :].tolist())
    with steering.on(tokens):
        steered = model.generate(tokens.ids, **options)
    assert out.steered.ids == tuple(steered[0, tokens.ids.shape[1] :].tolist())
    ((ids, marks),) = rows_of(tokens)
    by_hand = greedy(model, family, ids, marks, Plan([steering.source], 8.0), len(out.steered.ids))
    assert list(out.steered.ids) == by_hand
    assert not out.identical
    assert out.prompt == PROMPT
    assert out.prompt_tokens == len(ids)
    for result, given in ((out.plain, None), (out.steered, steering)):
        assert result.finish == ("eos" if end in result.ids else "length")
        alone = seka.generate(model, tokenizer, PROMPT, given, max_new_tokens=10, do_sample=False)
        assert (alone.ids, alone.text, alone.finish) == (result.ids, result.text, result.finish)
        assert alone.text == tokenizer.decode(list(alone.ids), skip_special_tokens=True)


def test_the_plain_text_is_that_of_an_unmarked_prompt(qwen: Any, tokenizer: Any) -> None:
    """Markers are never read by the model."""
    out = seka.compare(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=6)
    unmarked = Prompt(TEXT.replace("**", ""))
    assert out.plain.ids == seka.generate(qwen, tokenizer, unmarked, max_new_tokens=6, do_sample=False).ids


def test_a_stream_grows(tokenizer: Any) -> None:
    """One comparison a step, each going on where the last ended; the model is called once for each."""
    model = steerable("qwen3")
    before, steering = footprint(model), steering_of(model)
    with counted(model) as calls:
        steps = list(seka.stream(model, tokenizer, PROMPT, steering, max_new_tokens=7))
    assert footprint(model) == before
    length = len(rows_of(seka.encode(PROMPT, tokenizer))[0][0])
    assert calls == [(2, length)] + [(2, 1)] * 6  # a whole prompt once, then a token each
    assert [len(s.plain.ids) for s in steps] == [len(s.steered.ids) for s in steps] == list(range(1, 8))
    for one, two in pairwise(steps):
        for a, b in ((one.plain, two.plain), (one.steered, two.steered)):
            assert b.ids[:-1] == a.ids
            assert b.probabilities[:-1] == a.probabilities
            assert b.text.startswith(a.text)
            assert a.finish is None
        assert one.seconds <= two.seconds
    assert steps[-1] == seka.compare(model, tokenizer, PROMPT, steering_of(model), max_new_tokens=7)


def test_probabilities_are_the_models_own(family: str, tokenizer: Any) -> None:
    """Of the model itself, whatever temperature, cuts and penalties choose the tokens by."""
    model = steerable(family)
    steering = steering_of(model)
    options = {"do_sample": True, "temperature": 3.0, "top_k": 9, "repetition_penalty": 1.3, "seed": 2}
    out = seka.compare(model, tokenizer, PROMPT, steering, max_new_tokens=4, **options)
    ((ids, marks),) = rows_of(seka.encode(PROMPT, tokenizer))
    for result, plan in ((out.plain, None), (out.steered, Plan([steering.source], 8.0))):
        grown = [*ids, *result.ids]
        own = run(model, family, grown, marks, plan, len(ids))[0].softmax(-1)
        expected = [float(own[len(ids) - 1 + n, token]) for n, token in enumerate(result.ids)]
        assert result.probabilities == pytest.approx(expected, rel=1e-4)
    assert out.plain.ids != out.steered.ids


def test_repetition_penalty(tokenizer: Any) -> None:
    model = build_model("gemma3_text")  # with tied embeddings it says one thing over and over
    options = {"max_new_tokens": 8, "repetition_penalty": 5.0}
    assert len(set(seka.compare(model, tokenizer, PROMPT, steering_of(model), max_new_tokens=8).plain.ids)) < 4
    out = seka.compare(model, tokenizer, PROMPT, steering_of(model), **options)
    for result, steering in ((out.plain, None), (out.steered, steering_of(model))):
        alone = seka.generate(model, tokenizer, PROMPT, steering, do_sample=False, **options)
        assert alone.ids == result.ids
    assert len(set(out.plain.ids)) == 8


def test_routing_is_of_the_steered_row(qwen: Any, tokenizer: Any) -> None:
    router = Router({"a": invent(qwen), "b": invent(qwen, 1)})
    steering = Steering(qwen, router, 5.0)
    with steering.on(tokens := seka.encode(PROMPT, tokenizer)) as session:
        forward(qwen, tokens)
    expected = session.routing
    assert expected is not None
    steps = list(seka.stream(qwen, tokenizer, PROMPT, steering, max_new_tokens=3))
    alone = seka.generate(qwen, tokenizer, PROMPT, steering, max_new_tokens=3, do_sample=False)
    for result in (*(s.steered for s in steps), alone):
        assert result.routing is not None
        assert result.routing.names == ("a", "b")
        for layer, alpha in expected.coefficients.items():
            torch.testing.assert_close(result.routing.coefficients[layer], alpha, rtol=0, atol=1e-6)
    assert all(s.plain.routing is None for s in steps)


def test_a_prompt_that_does_not_fit(tokenizer: Any) -> None:
    """Both lengths are named; nothing is cut, and nothing has been called."""
    model = steerable("qwen3", max_position_embeddings=32)
    long = Prompt.marked("**Ada** " * 40)
    length = len(rows_of(seka.encode(long, tokenizer))[0][0])
    steering = steering_of(model)
    message = f"the prompt has {length} tokens and 4 more are asked for; the model holds 32"
    with counted(model) as calls:
        with pytest.raises(ValueError, match=message):
            seka.generate(model, tokenizer, long, steering, max_new_tokens=4)
        with pytest.raises(ValueError, match=message):
            seka.stream(model, tokenizer, long, steering, max_new_tokens=4)  # at once, not at its first step
    assert calls == []
    fits = len(rows_of(seka.encode(PROMPT, tokenizer))[0][0])
    assert len(seka.compare(model, tokenizer, PROMPT, steering, max_new_tokens=32 - fits).plain.ids) == 32 - fits
    with pytest.raises(ValueError, match="the model holds 32"):
        seka.compare(model, tokenizer, PROMPT, steering, max_new_tokens=33 - fits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guidance_scale": 2.0}, "guidance_scale cannot be combined with seka"),
        ({"custom_generate": lambda *a, **k: None}, "custom_generate cannot be combined with seka"),
        ({"negative_prompt_ids": torch.zeros((1, 2), dtype=torch.long)}, "negative_prompt_ids cannot be combined"),
        ({"cache_implementation": "paged"}, "paged cache"),
    ],
)
def test_refused_modes(qwen: Any, tokenizer: Any, options: dict[str, Any], message: str) -> None:
    with counted(qwen) as calls, pytest.raises(ValueError, match=message):
        seka.generate(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=2, **options)
    assert calls == []


def test_refused_settings(qwen: Any, tokenizer: Any) -> None:
    for options, message in [
        ({"max_new_tokens": 0}, "max_new_tokens is 0; wanted at least 1"),
        ({"do_sample": True, "temperature": 0.0}, "temperature is 0.0; wanted more than 0, or do_sample=False"),
    ]:
        with pytest.raises(ValueError, match=message):
            seka.stream(qwen, tokenizer, PROMPT, steering_of(qwen), **options)


def test_routing_online_refuses_chunks(qwen: Any, tokenizer: Any) -> None:
    known = {"a": invent(qwen), "b": invent(qwen, 1)}
    options = {"max_new_tokens": 4, "do_sample": False}
    with pytest.raises(ValueError, match="way='two_pass'"):
        seka.generate(qwen, tokenizer, PROMPT, Steering(qwen, Router(known), 5.0), prefill_chunk_size=4, **options)
    two = Steering(qwen, Router(known, way="two_pass"), 5.0)
    chunked = seka.generate(qwen, tokenizer, PROMPT, two, prefill_chunk_size=4, **options)
    assert chunked.ids == seka.generate(qwen, tokenizer, PROMPT, two, **options).ids
    assert chunked.ids != seka.generate(qwen, tokenizer, PROMPT, **options).ids
