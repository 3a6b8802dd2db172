"""The share of the last token's attention, against the attention matrices transformers itself returns."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
import torch
from byhand import Plan, run
from conftest import build_model, build_tokenizer
from families import FAMILIES
from places import places
from setting import footprint, invent, rows_of
from torch import Tensor
from transformers import AutoModelForCausalLM

from seka import Prompt, Steering, attention_on_highlight, encode
from seka.attention import _observers
from seka.sites import sites

TEXTS = ["Previously **Ada plays** chess. Currently Ada ~~plays~~ golf.", "**golf**", "Ada plays golf **in town**"]
PROMPTS = [Prompt.marked(text) for text in TEXTS]


def other(model: Any, attention: str) -> Any:
    """The same model, made with another attention implementation."""
    made = AutoModelForCausalLM.from_config(
        deepcopy(model.config), dtype=model.dtype, attn_implementation=attention
    ).eval()
    made.load_state_dict(model.state_dict())
    return made


@cache
def pair(family: str) -> tuple[Any, Any]:
    """A family's model in its own implementation and in eager attention; sliding windows are shorter than the prompt."""
    model = build_model(family, dtype=torch.float32, seed=2, sliding_window=6)
    return model, other(model, "eager")


def forward_of(model: Any, ids: Tensor) -> Tensor:
    with torch.no_grad():
        return model(input_ids=ids, use_cache=False).logits


def by_hand(model: Any, family: str, plan: Plan | None = None) -> list[dict[int, Tensor]]:
    """For each row {layer: (Q,)}, from the whole attention matrices of one unpadded row, as the family's eager attention
    returns them; with a plan its keys are edited by hand."""
    rows: list[dict[int, Tensor]] = []

    def note(layer: int, on: list[int]) -> Any:
        return lambda _module, _inputs, output: rows[-1].update({layer: output[1][0, :, -1, on].sum(-1)})

    for ids, marks in rows_of(encode(PROMPTS, build_tokenizer())):
        rows.append({})
        at = places(model, family)
        handles = [place.attention.register_forward_hook(note(place.layer, list(marks))) for place in at]
        try:
            run(model, family, ids, marks, plan)
        finally:
            for handle in handles:
                handle.remove()
    return rows


def compared(found: dict[int, Tensor], expected: list[dict[int, Tensor]]) -> None:
    shares = torch.cat([share.flatten() for share in found.values()])
    assert ((shares >= 0) & (shares <= 1 + 1e-6)).all()
    assert 0.01 < shares.mean() < 0.99
    assert shares.std() > 0.01
    for row, layers in enumerate(expected):
        assert list(found) == list(layers)
        for layer, share in layers.items():
            torch.testing.assert_close(found[layer][row], share, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_it_is_the_share_in_the_attention_matrix(family: str) -> None:
    """Rotary embedding, ALiBi, soft caps, sinks, sliding windows, keys of other layers, padding and steered keys."""
    own, eager = pair(family)
    tokens, invented, gain = encode(PROMPTS, build_tokenizer()), invent(eager), FAMILIES[family].gain
    plain, steered = by_hand(eager, family), by_hand(eager, family, Plan([invented], gain))
    for model in (own, eager):
        before = model.config.get_text_config()._attn_implementation
        if family == "falcon_many" and model is own:
            with pytest.raises(ValueError, match=r"adds ALiBi a second time.*attn='eager'"):
                attention_on_highlight(model, tokens)
            continue
        compared(attention_on_highlight(model, tokens), plain)
        with Steering(model, invented, gain).on(tokens):
            compared(attention_on_highlight(model, tokens), steered)
        assert model.config.get_text_config()._attn_implementation == before
    for layer in plain[0]:
        moved = [(one[layer] - other[layer]).abs().max() for one, other in zip(plain, steered, strict=True)]
        assert max(moved) > 1e-2


@pytest.mark.parametrize("back_end", ["flex_attention", "flash_attention_2", "kernels-community/flash-attn2"])
@pytest.mark.parametrize("family", ["qwen3", "gemma2", "gpt_oss"])
def test_a_back_end_that_shows_no_weights_is_left_for_the_moment(family: str, back_end: str) -> None:
    """For SDPA, or eager attention in a family without it; nothing of the back end itself is called."""
    own, eager = pair(family)
    model = other(own, "eager")
    sites(model)  # looked for in a run of its own
    model.config._attn_implementation = back_end
    found = attention_on_highlight(model, encode(PROMPTS, build_tokenizer()))
    compared(found, by_hand(eager, family))
    assert model.config._attn_implementation == back_end


def test_a_back_end_that_cannot_be_left_is_refused() -> None:
    model = other(build_model("falcon"), "sdpa")
    sites(model)
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(
        ValueError, match=r"FalconForCausalLM loaded with 'flash_attention_2' shows no .* weights; load it"
    ):
        attention_on_highlight(model, encode(PROMPTS, build_tokenizer()))


def test_falcon_adds_alibi_twice_in_eager_attention() -> None:
    """The reason for which its weights are refused; when this fails, transformers has put it right."""
    sdpa, eager = (other(build_model("falcon_many"), attention) for attention in ("sdpa", "eager"))
    ids = torch.arange(1, 9)[None]
    assert (forward_of(sdpa, ids) - forward_of(eager, ids)).abs().max() > 1e-3
    sdpa, eager = (other(build_model("falcon"), attention) for attention in ("sdpa", "eager"))
    torch.testing.assert_close(forward_of(sdpa, ids), forward_of(eager, ids), rtol=0, atol=1e-6)


def test_nothing_marked_is_zero_and_everything_is_one(qwen: Any) -> None:
    text = "Ada plays golf"
    tokens = encode([Prompt(text), Prompt(text, [(0, len(text))])], build_tokenizer())
    for share in attention_on_highlight(qwen, tokens).values():
        torch.testing.assert_close(share, torch.tensor([[0.0] * 4, [1.0] * 4]))


def test_the_model_is_as_it_was(qwen: Any) -> None:
    tokens = encode(PROMPTS[0], build_tokenizer())
    before, hooks = forward_of(qwen, tokens.ids), footprint(qwen)
    attention_on_highlight(qwen, tokens)
    assert torch.equal(forward_of(qwen, tokens.ids), before)
    tokens.ids[0, 0] = 9999  # no such token: the forward fails
    with pytest.raises((IndexError, RuntimeError)):
        attention_on_highlight(qwen, tokens)
    assert qwen.config._attn_implementation == "sdpa"
    assert footprint(qwen) == hooks
    assert not _observers


def test_two_models_are_looked_at_at_once() -> None:
    """One thread each, which do not wait for each other: what each sees is its own."""
    tokens = encode(PROMPTS, build_tokenizer())
    models = [build_model(family, dtype=torch.float32) for family in ("qwen3", "llama", "bloom")]
    alone = [attention_on_highlight(model, tokens) for model in models]
    with ThreadPoolExecutor(len(models)) as pool:
        together = list(pool.map(lambda n: attention_on_highlight(models[n % 3], tokens), range(24)))
    for n, shares in enumerate(together):
        assert all(torch.equal(share, alone[n % 3][layer]) for layer, share in shares.items())
