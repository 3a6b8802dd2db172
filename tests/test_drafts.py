"""Assisted decoding: drafts by a second model, by the model itself, by its first layers. One row, as transformers has it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from byhand import Plan
from conftest import build_model, build_tokenizer
from decoding import greedy
from naive import chatty
from setting import invent, prompts, rows_of, steerable, tokens_of
from shapes import NEW, OPTIONS, ROW, different, every_shape, generated, setting_of

import seka
from seka import Router, Steering


@contextmanager
def columns_of(model: Any) -> Iterator[list[int]]:
    """How many columns each call of the model computes."""
    seen: list[int] = []
    handle = model.register_forward_pre_hook(
        lambda _m, _a, kwargs: seen.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        yield seen
    finally:
        handle.remove()


def assistant_of(family: str, noise: float) -> Any:
    """Nearly the same model, not steered: some of its drafts hold, some do not."""
    model = copy.deepcopy(steerable(family))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            weight += noise * torch.randn(weight.shape, generator=generator, dtype=weight.dtype) * weight.std()
    model.generation_config.num_assistant_tokens = 3
    model.generation_config.num_assistant_tokens_schedule = "constant"
    model.generation_config.assistant_confidence_threshold = 0.0
    return model


@every_shape
@pytest.mark.parametrize("options", [{}, {"prefill_chunk_size": 4}], ids=str)
def test_a_second_model_drafts(family: str, options: dict[str, Any]) -> None:
    """The first call computes the prompt and a draft; refused drafts are cut off the cache; the assistant stays plain."""
    model, steering, plan = setting_of(family)
    assistant, tokens = assistant_of(family, 0.02), tokens_of([ROW])
    by_hand = greedy(model, family, *ROW, plan, NEW)
    assert different(by_hand, model, family, *ROW)
    with columns_of(model) as called, columns_of(assistant) as drafted:
        out = generated(model, tokens, [steering], assistant_model=assistant, **options)
    assert out == [by_hand]
    assert called[0] > len(ROW[0])
    assert drafted
    alone = assistant.generate(tokens.ids, attention_mask=tokens.attention, **OPTIONS)
    with steering.on(tokens):
        beside = assistant.generate(tokens.ids, attention_mask=tokens.attention, **OPTIONS)
    assert torch.equal(alone, beside)


def test_drafts_hold_and_fail() -> None:
    """The cases above are no accident: with this assistant drafts are kept as well as thrown away."""
    family = "llama"
    model, steering, plan = setting_of(family)
    assistant, tokens = assistant_of(family, 0.0), tokens_of([ROW])
    long = {**OPTIONS, "max_new_tokens": 16}
    with columns_of(model) as called, steering.on(tokens):
        out = model.generate(tokens.ids, attention_mask=tokens.attention, assistant_model=assistant, **long)
    assert out[0, len(ROW[0]) :].tolist() == greedy(model, family, *ROW, plan, 16)
    assert len(called) < 16  # fewer calls than tokens: drafts were kept
    assert sum(called) > len(ROW[0]) + 16  # more columns than tokens: drafts were thrown away


@pytest.mark.parametrize("way", ["online", "two_pass"])
def test_drafts_under_a_router(way: str) -> None:
    """The prompt's last query stands before the draft in the first call."""
    model = steerable("qwen3")
    router = Router({"a": invent(model), "b": invent(model, 1)}, way=way)
    steering, plan = Steering(model, router, 8.0), Plan(list(router.experts.values()), 8.0, score="energy", way=way)
    by_hand = greedy(model, "qwen3", *ROW, plan, NEW)
    assert different(by_hand, model, "qwen3", *ROW)
    out = generated(model, tokens_of([ROW]), [steering], assistant_model=assistant_of("qwen3", 0.02))
    assert out == [by_hand]
    assert generated(model, tokens_of([ROW]), [steering], assistant_early_exit=1) == [by_hand]


@every_shape
@pytest.mark.parametrize("draft", ["all of it", "its first layers"])
def test_the_model_drafts_for_itself(family: str, draft: str) -> None:
    """The whole model or its first layers draft, steered as well; the answer stays the greedy one."""
    model, steering, plan = setting_of(family)
    options: dict[str, Any] = {"assistant_model": model} if draft == "all of it" else {"assistant_early_exit": 2}
    by_hand = greedy(model, family, *ROW, plan, NEW)
    assert generated(model, tokens_of([ROW]), [steering], **options) == [by_hand]
    assert different(by_hand, model, family, *ROW)


def test_generate_passes_drafts_on() -> None:
    model, steering, plan = setting_of("llama")
    tokenizer, prompt = build_tokenizer(), prompts()[1]
    ((ids, marks),) = rows_of(seka.encode(prompt, tokenizer))
    by_hand = greedy(model, "llama", ids, marks, plan, NEW)
    for options in ({"assistant_model": assistant_of("llama", 0.02)}, {"prompt_lookup_num_tokens": 2}):
        result = seka.generate(model, tokenizer, prompt, steering, **OPTIONS, **options)
        assert list(result.ids) == by_hand
    assert different(by_hand, model, "llama", ids, marks)


def test_an_assistant_with_another_tokenizer() -> None:
    """Drafts are translated between the vocabularies; the answer is the steered model's own."""
    model, steering, plan = setting_of("llama")
    other = build_model("qwen3", vocab_size=350, seed=4)
    tokenizer, prompt = build_tokenizer(), prompts()[1]
    ((ids, marks),) = rows_of(seka.encode(prompt, tokenizer))
    with columns_of(other) as drafted:
        result = seka.generate(
            model,
            tokenizer,
            prompt,
            steering,
            assistant_model=other,
            assistant_tokenizer=chatty("trimmed"),
            **OPTIONS,
        )
    assert drafted
    assert list(result.ids) == greedy(model, "llama", ids, marks, plan, NEW)
    assert different(result.ids, model, "llama", ids, marks)


def test_sampled_drafts_follow_the_steered_distribution() -> None:
    """With top_k=1 a draw is greedy, so speculative sampling has to give the greedy answer."""
    model, steering, plan = setting_of("llama")
    options = {"assistant_model": assistant_of("llama", 0.02), "do_sample": True, "top_k": 1}
    out = generated(model, tokens_of([ROW]), [steering], **options)
    assert out == [greedy(model, "llama", *ROW, plan, NEW)]
    assert different(out[0], model, "llama", *ROW)
