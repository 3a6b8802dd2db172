"""The share of the last token's attention, against the attention matrices transformers itself returns."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import FAMILIES, build_model, build_tokenizer
from naive import hooks_of

from seka import Prompt, attention_on_highlight, encode

TEXTS = ["Previously **Ada plays** chess. Currently Ada ~~plays~~ golf.", "**golf**", "Ada plays golf **in town**"]
SIZES: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 6},
    "gemma2": {"sliding_window": 6},
    "gemma3_text": {"sliding_window": 6},
}


def by_hand(family: str, prompt: Prompt) -> list[torch.Tensor]:
    """Per layer (Q,), from whole attention matrices of one unpadded row."""
    eager = build_model(family, dtype=torch.float32, seed=2, **SIZES.get(family, {}))
    eager.set_attn_implementation("eager")
    tokens = encode(prompt, build_tokenizer())
    with torch.no_grad():
        attentions = eager(input_ids=tokens.ids, output_attentions=True, use_cache=False).attentions
    on = tokens.highlight[0] != 0
    return [layer[0, :, -1, on].sum(-1) for layer in attentions]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("back_end", ["eager", "sdpa"])
def test_it_is_the_share_in_the_attention_matrix(family: str, back_end: str) -> None:
    """Rotary embedding, soft caps, sliding windows and padding included."""
    if family == "gemma2" and back_end == "sdpa":
        pytest.skip("transformers runs Gemma 2 in eager attention only")
    prompts = [Prompt.marked(text) for text in TEXTS]
    expected = [by_hand(family, prompt) for prompt in prompts]
    model = build_model(family, dtype=torch.float32, seed=2, **SIZES.get(family, {}))
    model.set_attn_implementation(back_end)
    found = attention_on_highlight(model, encode(prompts, build_tokenizer()))
    assert list(found) == [0, 1, 2]
    shares = torch.stack(list(found.values()))
    assert shares.shape == (3, 3, 4)
    assert ((shares >= 0) & (shares <= 1 + 1e-6)).all()
    assert 0.01 < shares.mean() < 0.99
    for row, layers in enumerate(expected):
        for layer, share in enumerate(layers):
            torch.testing.assert_close(found[layer][row], share, rtol=1e-3, atol=1e-5)
    assert model.config._attn_implementation == back_end


def test_nothing_marked_is_zero_and_everything_is_one(qwen: Any) -> None:
    text = "Ada plays golf"
    tokens = encode([Prompt(text), Prompt(text, [(0, len(text))])], build_tokenizer())
    for share in attention_on_highlight(qwen, tokens).values():
        torch.testing.assert_close(share, torch.tensor([[0.0] * 4, [1.0] * 4]))


def test_the_model_is_as_it_was(qwen: Any) -> None:
    tokens = encode(Prompt.marked(TEXTS[0]), build_tokenizer())
    before, hooks = qwen(input_ids=tokens.ids).logits, hooks_of(qwen)
    attention_on_highlight(qwen, tokens)
    assert torch.equal(qwen(input_ids=tokens.ids).logits, before)
    tokens.ids[0, 0] = 9999  # no such token: the forward fails
    with pytest.raises((IndexError, RuntimeError)):
        attention_on_highlight(qwen, tokens)
    assert qwen.config._attn_implementation == "sdpa"
    assert hooks_of(qwen) == hooks


def test_a_back_end_without_a_mask_is_refused() -> None:
    model = build_model.__wrapped__("qwen3")
    attention_on_highlight(model, encode(Prompt.marked("**Ada**"), build_tokenizer()))
    model.config._attn_implementation = "flex_attention"
    with pytest.raises(ValueError, match="'flex_attention' does not show its mask; wanted 'sdpa' or 'eager'"):
        attention_on_highlight(model, encode(Prompt.marked("**Ada**"), build_tokenizer()))
