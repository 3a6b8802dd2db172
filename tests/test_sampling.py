"""Sampling: both rows draw with one noise, and each draw follows the row's own distribution."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from byhand import Plan, run
from setting import (
    invent,
    rows_of,
    steerable,
    steering_of,
)

import seka
from seka import Prompt, Steering

PROMPT = Prompt.marked("Previously Ada plays chess. Currently **Ada plays golf**. Ada plays")


def test_shared_noise(tokenizer: Any) -> None:
    """At gain 0 both rows draw the same; a seed gives its draw again; another seed another one."""
    model = steerable("qwen3")
    steering = steering_of(model)
    options = {"max_new_tokens": 20, "do_sample": True, "temperature": 1.5}
    idle = seka.compare(model, tokenizer, PROMPT, steering.with_gain(0.0), seed=3, **options)
    assert idle.identical
    assert idle.plain.probabilities == idle.steered.probabilities
    one, two, other = (seka.compare(model, tokenizer, PROMPT, steering, seed=s, **options) for s in (3, 3, 4))
    assert one == two
    assert one.plain.ids == idle.plain.ids  # the plain row's draw is its own, whatever the other row does
    assert one.plain.ids != other.plain.ids
    assert one.plain.ids != one.steered.ids
    assert len(set(one.plain.ids)) > 5


def test_sampling_leaves_the_global_generator_alone(qwen: Any, tokenizer: Any) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    seka.compare(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=2, do_sample=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_sampling_follows_the_distribution(tokenizer: Any) -> None:
    """First tokens of 500 seeds against the softmax of the row's own logits: chi square below its 99.9 % point."""
    model = steerable("qwen3", layers=1, vocab_size=300)
    steering = Steering(model, invent(model), 8.0)
    prompt = Prompt.marked("Ada **plays**")
    options = {"max_new_tokens": 1, "do_sample": True, "temperature": 2.0, "top_k": 6}
    draws = [seka.compare(model, tokenizer, prompt, steering, seed=seed, **options) for seed in range(500)]
    ((ids, marks),) = rows_of(seka.encode(prompt, tokenizer))
    for side, plan in (("plain", None), ("steered", Plan([steering.source], 8.0))):
        best = (run(model, "qwen3", ids, marks, plan)[0][-1] / 2.0).topk(6)
        expected = best.values.softmax(-1) * 500
        seen = [getattr(d, side).ids[0] for d in draws]
        counts = torch.tensor([seen.count(int(i)) for i in best.indices], dtype=torch.float64)
        assert counts.sum() == 500  # nothing outside the six
        assert expected.min() > 5
        assert ((counts - expected) ** 2 / expected).sum() < 20.5  # 5 degrees of freedom


def test_noise_differs_from_step_to_step(qwen: Any, tokenizer: Any) -> None:
    """With logits made flat the draws of one run spread over the vocabulary."""
    handle = qwen.lm_head.register_forward_hook(lambda _m, _a, out: out * 0)
    try:
        out = seka.compare(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=40, do_sample=True, seed=1)
    finally:
        handle.remove()
    assert out.identical
    assert len(set(out.plain.ids)) > 30
    assert out.plain.probabilities == pytest.approx([1 / 400] * 40)


def test_top_p(tokenizer: Any) -> None:
    """With next to no mass allowed, sampling is greedy."""
    model = steerable("qwen3")
    sampled = seka.compare(
        model, tokenizer, PROMPT, steering_of(model), max_new_tokens=6, do_sample=True, top_p=1e-6, temperature=4.0
    )
    exact = seka.compare(model, tokenizer, PROMPT, steering_of(model), max_new_tokens=6)
    assert (sampled.plain.ids, sampled.steered.ids) == (exact.plain.ids, exact.steered.ids)
