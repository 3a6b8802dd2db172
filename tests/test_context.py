"""Prompts and answers against the model's context: both lengths are named, nothing is cut, nothing is called."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from conftest import build_tokenizer
from setting import counted, forward, steerable, steering_of
from transformers import GenerationConfig

import seka
from seka import Prompt
from seka.tokens import Tokens


def test_longer_than_the_context_everywhere(triplets: list[seka.Triplet]) -> None:
    """Both lengths are named, by whoever takes a prompt; nothing has been called and nothing is cut."""
    model, tokenizer = steerable("llama", max_position_embeddings=12), build_tokenizer()
    steering = steering_of(model)
    prompt = Prompt.marked("Ada **plays golf** in town. " * 3)
    length = len(seka.align(prompt, tokenizer).ids)
    assert length > 12
    with counted(model) as calls:
        for call in (
            lambda: seka.generate(model, tokenizer, prompt, steering, max_new_tokens=1),
            lambda: seka.generate(model, tokenizer, prompt, max_new_tokens=1),
            lambda: seka.generate(model, tokenizer, prompt, steering),
            lambda: seka.stream(model, tokenizer, prompt, steering, max_new_tokens=1),
            lambda: seka.compare(model, tokenizer, prompt, steering, max_new_tokens=1),
            lambda: seka.learn(model, tokenizer, triplets),
            lambda: seka.encode([Prompt("Ada"), prompt], tokenizer, limit=12),
            lambda: steering.on(seka.encode(prompt, tokenizer)).__enter__(),
        ):
            with pytest.raises(ValueError, match=r"\b\d+ tokens.*\b12\b") as error:
                call()
            assert str(error.value).startswith((f"the prompt has {length} tokens", "a text of 16 tokens does not fit"))
    assert calls == []
    assert seka.encode(prompt, tokenizer, limit=length).ids.shape[1] == length


@pytest.mark.parametrize("keywords", [True, False])
def test_lengths_that_are_asked_for(keywords: bool) -> None:
    """max_new_tokens, max_length, min_new_tokens and the default, each up to the context's end and one beyond."""
    limit = 24
    model, tokenizer = steerable("llama", max_position_embeddings=limit), build_tokenizer()
    steering = steering_of(model)
    prompt = Prompt.marked("Ada **plays golf**. Ada plays")
    length = len(seka.align(prompt, tokenizer).ids)
    room = limit - length

    def count(**options: Any) -> int:
        options = {"do_sample": False, "eos_token_id": 399, **options}
        given = options if keywords else {"generation_config": GenerationConfig(**options)}
        return len(seka.generate(model, tokenizer, prompt, steering, **given).ids)

    assert count(max_new_tokens=room) == count(max_length=limit) == room
    assert count() == min(20, room)
    assert count(max_new_tokens=2, max_length=limit) == 2  # transformers lets max_new_tokens win
    assert count(max_new_tokens=4, min_new_tokens=4) == 4
    for options, message in (
        (
            {"max_new_tokens": room + 1},
            f"the prompt has {length} tokens and {room + 1} more are asked for; the model holds {limit}",
        ),
        (
            {"max_length": limit + 1},
            f"the prompt has {length} tokens and {room + 1} more are asked for; the model holds {limit}",
        ),
        (
            {"max_length": length},
            f"max_length is {length}, which counts the prompt, and the prompt has {length} tokens",
        ),
        ({"max_new_tokens": 3, "min_new_tokens": 4}, "at least 4 new tokens are wanted and at most 3 are allowed"),
        ({"max_new_tokens": 3, "min_length": length + 4}, "at least 4 new tokens are wanted and at most 3 are allowed"),
    ):
        with counted(model) as calls, pytest.raises(ValueError, match=message):
            count(**options)
        assert calls == []


def test_lengths_of_the_models_own_settings() -> None:
    """Where a call asks for nothing, the model's generation settings do."""
    model = copy.deepcopy(steerable("llama", max_position_embeddings=24))
    tokenizer, prompt = build_tokenizer(), Prompt.marked("Ada **plays golf**. Ada plays")
    length = len(seka.align(prompt, tokenizer).ids)
    model.generation_config.max_new_tokens = 3
    assert len(seka.generate(model, tokenizer, prompt, do_sample=False).ids) == 3
    assert seka.generate(model, tokenizer, prompt, do_sample=False).finish == "length"
    model.generation_config.max_new_tokens = 100
    with pytest.raises(
        ValueError, match=f"the prompt has {length} tokens and 100 more are asked for; the model holds 24"
    ):
        seka.generate(model, tokenizer, prompt)
    assert len(seka.generate(model, tokenizer, prompt, max_new_tokens=2, do_sample=False).ids) == 2


def test_an_answer_cut_by_max_length_was_not_stopped() -> None:
    """Beside a stop string that is never said, the length is what ends it."""
    model, tokenizer, prompt = steerable("llama"), build_tokenizer(), Prompt.marked("Ada **plays** golf")
    length = len(seka.align(prompt, tokenizer).ids)
    options = {"stop_strings": ["never said"], "do_sample": False}
    assert seka.generate(model, tokenizer, prompt, max_length=length + 3, **options).finish == "length"
    assert seka.generate(model, tokenizer, prompt, **options).finish == "length"  # transformers' own 20


def test_a_steering_by_hand(tokenizer: Any) -> None:
    """Entering a steering names both lengths; padding is no length."""
    model = steerable("llama", max_position_embeddings=12)
    tokens = seka.encode(
        Prompt.marked("Previously Ada plays chess. Currently **Ada plays golf**. Ada plays"), tokenizer
    )
    length = tokens.ids.shape[1]
    assert length > 12
    with (
        pytest.raises(ValueError, match=f"the prompt has {length} tokens; the model holds 12"),
        steering_of(model).on(tokens),
    ):
        pass
    fits = Tokens(tokens.ids[:, :12], tokens.attention[:, :12], tokens.highlight[:, :12])
    wide = Tokens(*(torch.cat([torch.zeros_like(t), t], 1) for t in (fits.ids, fits.attention, fits.highlight)))
    for each in (fits, wide):
        with steering_of(model).on(each):
            forward(model, each)
