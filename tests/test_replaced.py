"""Modules that are replaced after a model has been looked at, and callers that must not disturb each other's looks."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from conftest import build_model
from setting import experts, forward, invent, logits
from torch import Tensor, nn
from waiting import join, start

import seka
from seka import Router, Steering
from seka.attention import attention_on_highlight
from seka.probe import _alike
from seka.sites import sites
from seka.tokens import Tokens


class Adapter(nn.Module):
    """What adapters do to a projection: the old one, and something added to it."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base, self.extra = base, copy.deepcopy(base)
        self.out_features = base.out_features

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.base(hidden) + self.extra(hidden)
        return out


def test_a_wrapped_projection_is_found_anew_and_an_old_steering_is_refused(tokens: Tokens) -> None:
    model = copy.deepcopy(build_model("llama"))
    steering = Steering(model, invent(model), 8.0)
    before = sites(model)
    attention = model.model.layers[1].self_attn
    attention.k_proj = Adapter(attention.k_proj)
    with pytest.raises(RuntimeError, match="make the Steering anew"), steering.on(tokens):
        pass
    after = sites(model)
    assert after[1].key is attention.k_proj
    assert after[0] == before[0]
    anew = Steering(model, invent(model), 8.0)
    assert not torch.allclose(logits(model, tokens, anew), forward(model, tokens).logits)
    with anew.on(tokens):
        kept = forward(model, tokens, use_cache=True).past_key_values.layers[1].keys
    plain = forward(model, tokens, use_cache=True).past_key_values.layers[1].keys
    assert not torch.allclose(kept, plain)


def test_a_compiled_model_is_looked_at_once() -> None:
    model = build_model("llama")
    assert sites(torch.compile(model)) is sites(model)


def test_nothing_is_like_nan() -> None:
    assert _alike(torch.ones(2, 3), torch.ones(2, 3))
    assert not _alike(torch.full((2, 3), torch.nan), torch.ones(2, 3))
    assert not _alike(torch.ones(2, 3), torch.full((2, 3), torch.nan))


def test_a_strangers_call_does_not_show_in_the_attention_of_somebody_else(tokens: Tokens) -> None:
    """Another thread calls the model, without its lock, right before the last layer is looked at."""
    model = build_model("llama")
    other = Tokens(torch.randint(1, 300, tokens.ids.shape), torch.ones_like(tokens.ids), tokens.highlight.flip(0))
    alone = attention_on_highlight(model, tokens)
    calls: list[Any] = []

    def disturb(_module: nn.Module, _args: Any) -> None:
        if not calls:
            calls.append(1)
            join(start(lambda: calls.append(forward(model, other).logits)))

    handle = model.model.layers[-1].register_forward_pre_hook(disturb)
    try:
        found = attention_on_highlight(model, tokens)
    finally:
        handle.remove()
    assert len(calls) == 2
    for layer, share in alone.items():
        torch.testing.assert_close(found[layer], share, rtol=0, atol=1e-9)


def test_two_passes_need_the_prompts_tokens(qwen: Any, tokens: Tokens) -> None:
    """Experts that are weighed by the tokens cannot steer embeddings of nobody knows what."""
    embedded = qwen.get_input_embeddings()(tokens.ids).detach() * 1.5
    inputs = {"inputs_embeds": embedded, "attention_mask": tokens.attention}
    steering = Steering(qwen, Router(experts(qwen), way="two_pass"), 4.0)
    with pytest.raises(ValueError, match="way='online'"), steering.on(tokens):
        qwen(**inputs)
    online = Steering(qwen, Router(experts(qwen)), 4.0)
    with torch.no_grad(), online.on(tokens):
        steered = qwen(**inputs).logits
    with torch.no_grad():
        assert not torch.allclose(steered, qwen(**inputs).logits)
    assert isinstance(online.router, seka.Router)
