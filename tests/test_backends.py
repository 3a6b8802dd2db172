"""Attention back ends: all of them see the edited keys."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from copy import deepcopy
from functools import cache
from typing import Any

import flash
import pytest
import torch
from cells import ROWS
from families import FAMILIES
from setting import forward, invent, steerable, tokens_of
from test_attention import other
from torch import Tensor
from transformers import AttentionInterface

import seka
from seka import Steering, backends
from seka.tokens import Tokens

NEW = 4
pytestmark = pytest.mark.filterwarnings("ignore:_compile flag on create_block_mask:DeprecationWarning")


def batch() -> Tokens:
    return tokens_of(ROWS)


def produce(model: Any, family: str, **options: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (N, V) of every prompt token, the three rows' new tokens (3, NEW) and their logits (3, NEW, V).

    The first and the last row are steered, the middle one is plain.
    """
    tokens = batch().to(model.device)
    first, last = (Steering(model, invent(own(family), seed), FAMILIES[family].gain) for seed in (0, 1))
    with seka.steer(model, tokens, [first, None, last]), torch.no_grad():
        logits = forward(model, tokens).logits[tokens.attention == 1]
        out = model.generate(
            tokens.ids,
            attention_mask=tokens.attention,
            max_new_tokens=NEW,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
            **options,
        )
    return logits, out.sequences[:, -NEW:], torch.stack(out.logits, 1)


@cache
def own(family: str) -> Any:
    return steerable(family, dtype=torch.float32)


@cache
def expected(family: str) -> tuple[Tensor, Tensor]:
    """Of the implementation that the family's tiny model has; steered rows differ from plain ones, the plain one not."""
    model, tokens = own(family), batch()
    logits, new, _ = produce(model, family)
    with torch.no_grad():
        plain = model.generate(tokens.ids, attention_mask=tokens.attention, max_new_tokens=NEW, do_sample=False)
    differs = (plain[:, -NEW:] != new).any(1)
    assert differs.tolist() == [True, False, True]
    return logits, new


@cache
def rounding(family: str) -> float:
    """How far float32 logits of the family's own implementation lie from float64 ones."""
    exact = copy.deepcopy(own(family)).double()
    return float((produce(exact, family)[0] - expected(family)[0]).abs().max())


#: What transformers cannot run, or not rightly, with a family.
REASONS = {
    ("falcon_many", "eager"): "transformers adds Falcon's ALiBi twice in eager attention (see test_attention)",
    ("falcon_many", "flash_attention_2"): "FlashAttention has no ALiBi in transformers",
    ("gpt_oss", "flex_attention"): "transformers has no attention sinks in flex attention on a CPU",
    ("gpt_oss", "flash_attention_2"): "transformers runs attention sinks in kernels of the hub only",
}
CACHED = {"qwen3": (True, False), "gemma2": (True, False)}
SUPPORT = {"flex_attention": "_supports_flex_attn", "flash_attention_2": "_supports_flash_attn"}


@pytest.mark.parametrize("attention", ["eager", "flex_attention", "flash_attention_2"])
@pytest.mark.parametrize("family", FAMILIES)
def test_back_ends_agree(family: str, attention: str) -> None:
    """The same logits and tokens, in a left-padded batch of plain and steered rows; in flex attention without a cache.

    In float32, where eager attention takes its softmax. Flex attention runs uncompiled, as it does in every steering;
    the kernels of FlashAttention are written plainly, all of transformers around them is its own.
    """
    if (reason := REASONS.get((family, attention))) is not None:
        pytest.skip(reason)
    if FAMILIES[family].attention == attention:
        pytest.skip("transformers has no SDPA for this family: the others are compared with its eager attention")
    if not getattr(own(family), SUPPORT.get(attention, ""), True):
        pytest.skip(f"transformers has no {attention} for this family")
    logits, new = expected(family)
    with flash.installed() if attention == "flash_attention_2" else nullcontext():
        model = other(own(family), attention)
        assert model.config.get_text_config()._attn_implementation == attention
        for cached in CACHED.get(family, (attention != "flex_attention",)):
            found = produce(model, family, use_cache=cached)
            apart = float((found[0] - logits).abs().max())
            assert apart <= 1e-4 or apart <= 4 * rounding(family)
            assert torch.equal(found[1], new)


def test_what_flex_attention_refuses_on_a_cpu() -> None:
    """The reason for leaving it out above."""
    with pytest.raises(ValueError, match="Attention sinks cannot be run on CPU with flex attention"):
        produce(other(own("gpt_oss"), "flex_attention"), "gpt_oss")


@pytest.mark.parametrize("attention", ["flex_attention", "flash_attention_2"])
def test_a_back_end_is_really_called(attention: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And gets the edited keys: once in every layer, steered and plain ones differ at the marked columns only."""
    seen: list[Tensor] = []
    inner = AttentionInterface()[attention]

    def spy(module: Any, query: Tensor, key: Tensor, *args: Any, **options: Any) -> Any:
        seen.append(key.clone())
        return inner(module, query, key, *args, **options)

    monkeypatch.setitem(AttentionInterface._global_mapping, attention, spy)
    tokens = batch()
    with flash.installed():
        model = other(own("qwen3"), attention)
        steering = Steering(model, invent(own("qwen3")), 8.0)
        seen.clear()
        with seka.steer(model, tokens, [None, None, None]):
            forward(model, tokens)
        with steering.on(tokens):
            forward(model, tokens)
    assert len(seen) == 6
    moved = (seen[0] - seen[3]).abs().amax((1, 3))
    assert torch.equal(moved > 1e-6, tokens.highlight != 0)
    assert (seen[2] - seen[5]).abs().max() > 1e-3


DEVICE = "cuda"
WHY_NO_GPU = (
    "no CUDA device"
    if not torch.cuda.is_available()
    else "neither flash_attn nor the hub's kernels is installed"
    if backends.installed() is None
    else ""
)


@pytest.mark.skipif(bool(WHY_NO_GPU), reason=WHY_NO_GPU or "runs")
@pytest.mark.parametrize("family", FAMILIES)
def test_flash_attention_on_a_gpu(family: str) -> None:
    """In bfloat16 its steered logits are as near to float32 as those of eager attention, plain ones are elsewhere, and
    tokens are the same as long as rounding does not decide between the best two."""
    if not own(family)._supports_flash_attn or (family, "flash_attention_2") in REASONS:
        pytest.skip(REASONS.get((family, "flash_attention_2"), "transformers has no FlashAttention for this family"))
    half = deepcopy(own(family)).to(torch.bfloat16)
    exact, _ = expected(family)
    eager, fast = (other(half, attention).to(DEVICE) for attention in ("eager", "flash_attention_2"))
    (wanted, tokens, scores), (found, new, _) = (
        [out.cpu() for out in produce(model, family)] for model in (eager, fast)
    )
    assert (found - exact).abs().mean() < 1.5 * (wanted - exact).abs().mean()
    plain = forward(fast, batch().to(DEVICE)).logits.cpu()[batch().attention == 1]
    assert (plain - exact).abs().mean() > 3 * (found - exact).abs().mean()
    best = scores.float().topk(2).values
    decided = (best[..., 0] - best[..., 1] > 2 * (found - wanted).abs().max()).long().cumprod(1).bool()
    assert torch.equal(new[decided], tokens[decided])
