"""Inside a steering nothing else is steered by mistake: other prompts, plain answers and learning are refused or right."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import TRIPLETS, build_model
from transformers import GenerationConfig, StaticCache, StoppingCriteria, StoppingCriteriaList

import seka
from seka import Prompt, Steering


@pytest.fixture
def steering(qwen: Any, learnt: Callable[..., seka.Projection]) -> Steering:
    return Steering(qwen, learnt(qwen), positive=5.0)


PROMPT = Prompt.marked("Ada plays **chess**. Ada plays golf. Ada is a player of")


def test_other_tokens_are_refused(qwen: Any, tokenizer: Any, steering: Steering) -> None:
    tokens = seka.encode(PROMPT, tokenizer)
    other = tokens.ids.clone()
    other[0, 0] += 1
    with steering.on(tokens), torch.no_grad():
        steered = qwen(tokens.ids, attention_mask=tokens.attention).logits
        for ids in (other, torch.cat([other, other], 1)):
            with pytest.raises(ValueError, match="other tokens inside a steering"):
                qwen(ids)
        assert torch.equal(qwen(tokens.ids, attention_mask=tokens.attention).logits, steered)


def test_a_plain_answer_is_refused_rather_than_steered(qwen: Any, tokenizer: Any, steering: Steering) -> None:
    with steering.on(seka.encode(PROMPT, tokenizer)), pytest.raises(RuntimeError, match="being steered already"):
        seka.generate(qwen, tokenizer, PROMPT, max_new_tokens=2)


def test_learning_is_refused(qwen: Any, tokenizer: Any, steering: Steering) -> None:
    with (
        steering.on(seka.encode(PROMPT, tokenizer)),
        pytest.raises(RuntimeError, match="leave the steering, then learn"),
    ):
        seka.learn(qwen, tokenizer, TRIPLETS)


def test_a_static_cache_that_is_reset_begins_anew(qwen: Any, tokenizer: Any, steering: Steering) -> None:
    tokens = seka.encode(PROMPT, tokenizer)
    cache = StaticCache(config=qwen.config, max_cache_len=tokens.ids.shape[1] + 4)
    with steering.on(tokens), torch.no_grad():
        first = qwen(tokens.ids, past_key_values=cache).logits
        qwen(tokens.ids[:, :1], past_key_values=cache)
        cache.reset()
        second = qwen(tokens.ids, past_key_values=cache).logits
    with torch.no_grad():
        plain = qwen(tokens.ids).logits
    torch.testing.assert_close(second, first)
    assert (second - plain).abs().max() > 0.1


def test_learning_beside_another_thread_learns_the_same(tokenizer: Any) -> None:
    model = build_model("qwen3", seed=3)
    alone = seka.learn(model, tokenizer, TRIPLETS)
    stop = threading.Event()

    def others() -> None:
        while not stop.is_set():
            with torch.no_grad():
                model(torch.randint(0, 300, (7, 9)))

    thread = threading.Thread(target=others)
    thread.start()
    try:
        beside = seka.learn(model, tokenizer, TRIPLETS * 1)
    finally:
        stop.set()
        thread.join()
    for layer in alone.layers:
        torch.testing.assert_close(beside.shift[layer], alone.shift[layer])
        torch.testing.assert_close(beside.positive(layer), alone.positive(layer))


def test_a_generation_config_is_read_like_keywords(qwen: Any, tokenizer: Any) -> None:
    free = seka.generate(qwen, tokenizer, PROMPT, max_new_tokens=4, do_sample=False)
    config = GenerationConfig(max_new_tokens=4, do_sample=False, eos_token_id=free.ids[1])
    result = seka.generate(qwen, tokenizer, PROMPT, generation_config=config)
    assert (result.ids, result.finish) == (free.ids[:2], "eos")
    with pytest.raises(ValueError, match="guidance_scale"):
        seka.generate(qwen, tokenizer, PROMPT, generation_config=GenerationConfig(guidance_scale=2.0, max_new_tokens=2))


def test_an_answer_ended_by_a_criterion_was_stopped(qwen: Any, tokenizer: Any) -> None:
    class Two(StoppingCriteria):
        def __call__(self, ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
            return torch.full((len(ids),), ids.shape[1] >= len(seka.align(PROMPT, tokenizer).ids) + 2)

    options = {"max_new_tokens": 6, "do_sample": False, "stop_strings": ["never said"]}
    result = seka.generate(qwen, tokenizer, PROMPT, stopping_criteria=StoppingCriteriaList([Two()]), **options)
    assert (len(result.ids), result.finish) == (2, "stopped")
    assert seka.generate(qwen, tokenizer, PROMPT, **options).finish == "length"
