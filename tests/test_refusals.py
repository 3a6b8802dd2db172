"""What cannot be steered is refused: by name, with the reason and what to do, before the model is called where possible.

And beside each refusal what is right nearby, so that nothing is refused without need.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from byhand import Plan
from conftest import build_tokenizer
from decoding import greedy
from setting import counted, footprint, forward, invent, logits, prompts, rows_of, steerable, steering_of, tokens_of
from transformers import (
    ContinuousBatchingConfig,
    DynamicCache,
    GenerationConfig,
    GenerationMixin,
)

import seka
from seka import Steering
from seka.tokens import Tokens

PROMPT = prompts()[0]
OPTIONS = {"max_new_tokens": 4, "do_sample": False}
PAGED = {"continuous_batching_config": ContinuousBatchingConfig(num_blocks=8, max_batch_tokens=64)}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"guidance_scale": 2.0}, "guidance_scale cannot be combined with seka: it calls the model again"),
    ({"negative_prompt_ids": torch.zeros((1, 2), dtype=torch.long)}, "negative_prompt_ids cannot be combined"),
    ({"negative_prompt_attention_mask": torch.ones((1, 2))}, "negative_prompt_attention_mask cannot be combined"),
    ({"custom_generate": lambda *a, **k: None}, "custom_generate cannot be combined with seka: its calls"),
    ({"custom_generate": "somebody/loop"}, "custom_generate cannot be combined with seka: its calls"),
    ({"trust_remote_code": True}, "trust_remote_code cannot be combined with seka: it runs a decoding loop"),
    ({"token_healing": True}, "token_healing cannot be combined with seka: it changes the prompt's last tokens"),
    ({"cache_implementation": "paged"}, "cache_implementation='paged' cannot be combined with seka: .* another cache"),
    ({"prompt_lookup_num_tokens": 2, "num_beams": 2}, "prompt_lookup_num_tokens cannot be combined with num_beams=2"),
    ({"assistant_early_exit": 1, "num_return_sequences": 2}, "assistant_early_exit .* with num_return_sequences=2"),
    ({"stop_strings": ["x"], "num_return_sequences": 2, "do_sample": True}, "stop_strings cannot be combined"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED, ids=[str(n) for n in range(len(REFUSED))])
def test_refused_modes_of_generate(llama: Any, tokenizer: Any, options: dict[str, Any], message: str) -> None:
    """As keywords, in a generation_config, and in the model's own; with a steering and without; nothing is called."""
    configured = {"generation_config": GenerationConfig()}
    for name, value in options.items():
        setattr(configured["generation_config"], name, value)
    own = copy.deepcopy(llama)
    vars(own.generation_config).update(options)
    steerings = {id(model): steering_of(model) for model in (llama, own)}
    with counted(llama) as calls, counted(own) as others:
        for model, given in ((llama, options), (llama, configured), (own, {})):
            for each in (None, steerings[id(model)]):
                with pytest.raises(ValueError, match=message):
                    seka.generate(model, tokenizer, PROMPT, each, max_new_tokens=2, **given)
    assert calls == others == []


def test_an_assistant_follows_one_sequence(llama: Any, tokenizer: Any) -> None:
    assistant = steerable("llama", seed=1)
    for options in ({"num_beams": 3}, {"num_return_sequences": 2, "do_sample": True}):
        (name, value) = next(iter(options.items()))
        with pytest.raises(
            ValueError, match=f"assistant_model cannot be combined with {name}={value}: .* one sequence"
        ):
            seka.generate(llama, tokenizer, PROMPT, steering_of(llama), assistant_model=assistant, **options)


def test_settings_that_ask_for_nothing_are_no_refusal(llama: Any, tokenizer: Any) -> None:
    steering = steering_of(llama)
    expected = seka.generate(llama, tokenizer, PROMPT, steering, **OPTIONS)
    nothing = {"guidance_scale": 1.0, "custom_generate": None, "num_return_sequences": 1, "token_healing": False}
    out = seka.generate(llama, tokenizer, PROMPT, steering, **OPTIONS, **nothing)
    assert out.ids == expected.ids
    assert out.ids != seka.generate(llama, tokenizer, PROMPT, **OPTIONS).ids


# Inside a steering, in the caller's own code


@pytest.mark.parametrize("negative", [None, "other", "longer"])
def test_guidance_inside_a_steering(llama: Any, one: Tokens, negative: str | None) -> None:
    """The unconditional prompt is another prompt: one token, other tokens of the same number, or more of them."""
    width = one.ids.shape[1]
    ids = {None: None, "other": one.ids.flip(1), "longer": torch.arange(width + 3)[None]}[negative]
    before = footprint(llama)
    with (
        steering_of(llama).on(one),
        pytest.raises(ValueError, match=r"guidance_scale calls it with another prompt|other tokens inside a steering"),
    ):
        llama.generate(one.ids, attention_mask=one.attention, guidance_scale=2.0, negative_prompt_ids=ids, **OPTIONS)
    assert footprint(llama) == before


@pytest.mark.parametrize("how", ["generate_batch", "paged"])
def test_continuous_batching_inside_a_steering(how: str) -> None:
    """Its own thread reports the error to its log and to its results; the steering raises it where it ends."""
    model = steerable("llama", dtype=torch.float32)
    tokens, before = seka.encode(PROMPT, build_tokenizer()), footprint(model)
    request = [tokens.ids[0].tolist()]
    model.generation_config.eos_token_id = -1
    errors: list[str] = []

    def call() -> None:
        with steering_of(model).on(tokens):
            if how == "paged":
                model.generate(tokens.ids, cache_implementation="paged", max_new_tokens=2, **PAGED)
            else:
                results = model.generate_batch(request, max_new_tokens=2, **PAGED)
                errors.extend(result.error for result in results.values())

    with pytest.raises(RuntimeError, match=r"continuous batching .* use model\.generate"):
        call()
    assert all("continuous batching" in error for error in errors)
    assert len(errors) == (how == "generate_batch")
    assert footprint(model) == before
    (after,) = model.generate_batch(request, max_new_tokens=2, **PAGED).values()
    assert len(after.generated_tokens) == 2  # and the model is free again


def test_assisted_decoding_of_several_rows(llama: Any) -> None:
    """transformers refuses it by itself."""
    tokens = seka.encode(prompts(), build_tokenizer())
    for options in ({"prompt_lookup_num_tokens": 2}, {"assistant_model": steerable("llama", seed=1)}):
        with steering_of(llama).on(tokens), pytest.raises(ValueError, match="only supported for batch_size = 1"):
            llama.generate(tokens.ids, attention_mask=tokens.attention, **OPTIONS, **options)


def test_a_loop_of_ones_own_is_right_or_refused(llama: Any, one: Tokens) -> None:
    """Inside a steering each call counts by itself: one that computes the prompt's columns is steered."""
    ((ids, marks),) = rows_of(one)
    projection = invent(llama)

    def loop(model: Any, input_ids: Any, **kwargs: Any) -> Any:
        return GenerationMixin._sample(model, input_ids, **kwargs)

    def cut(model: Any, input_ids: Any, **kwargs: Any) -> Any:
        return GenerationMixin._sample(model, input_ids[:, 2:], **kwargs)

    with Steering(llama, projection, 8.0).on(one):
        out = llama.generate(one.ids, attention_mask=one.attention, custom_generate=loop, **OPTIONS)
        with pytest.raises(ValueError, match="other tokens inside a steering"):
            llama.generate(one.ids, attention_mask=one.attention, custom_generate=cut, **OPTIONS)
    by_hand = greedy(llama, "llama", ids, marks, Plan([projection], 8.0), 4)
    assert out[0, len(ids) :].tolist() == by_hand
    assert by_hand != greedy(llama, "llama", ids, marks, None, 4)


def test_calls_of_another_shape(llama: Any) -> None:
    tokens = seka.encode(prompts(), build_tokenizer())
    rows, width = tokens.ids.shape
    with steering_of(llama).on(tokens), torch.no_grad():
        with pytest.raises(
            ValueError, match=f"called with 4 rows inside a steering of {rows}; wanted the same rows, or a"
        ):
            llama(tokens.ids[[0, 1, 2, 0]])
        with pytest.raises(ValueError, match=f"called with {width - 1} columns inside a steering of {width} tokens"):
            llama(tokens.ids[:, 1:])
        with pytest.raises(ValueError, match="without input_ids or inputs_embeds"):
            llama.model()


def test_other_tokens_also_where_nothing_is_marked(llama: Any, one: Tokens) -> None:
    """A prompt is told by all its columns: also a chunk without marks, and a later turn's, must be its own."""
    other = one.ids.clone()
    unmarked = int((one.highlight[0] == 0).nonzero()[0])
    other[0, unmarked] += 1
    with steering_of(llama).on(one), torch.no_grad():
        for ids in (other, other[:, : unmarked + 1]):
            with pytest.raises(ValueError, match="other tokens inside a steering"):
                llama(ids, past_key_values=DynamicCache(config=llama.config))
        cache = DynamicCache(config=llama.config)
        llama(one.ids[:, :1], past_key_values=cache)
        with pytest.raises(ValueError, match="other tokens inside a steering"):
            llama(one.ids[:, 2:3], past_key_values=cache)


def test_other_tokens_through_a_multimodal_wrapper(one: Tokens) -> None:
    """It hands embeddings to the text model; the ids are those that it was called with itself."""
    wrapper = steerable("gemma3")
    steering = Steering(wrapper, invent(wrapper), 60.0)
    other = one.ids.clone()
    other[0, 1] += 1
    with steering.on(one), torch.no_grad():
        steered = wrapper(one.ids, attention_mask=one.attention).logits
        for call in (lambda: wrapper(other), lambda: wrapper(input_ids=other)):
            with pytest.raises(ValueError, match="other tokens inside a steering"):
                call()
        embedded = wrapper.get_input_embeddings()(other)
        assert wrapper(inputs_embeds=embedded).logits.shape == steered.shape  # what they stand for is the caller's
    assert not torch.equal(steered, logits(wrapper, one))


def test_what_stands_on_padding_does_not_matter(llama: Any) -> None:
    """A batch padded with other ids is the same prompt, and answers the same."""
    tokens = seka.encode(prompts(), build_tokenizer())
    padded = Tokens(tokens.ids.masked_fill(tokens.attention == 0, 3), tokens.attention, tokens.highlight)
    real = tokens.attention.bool()
    with steering_of(llama).on(tokens):
        one, two = (forward(llama, each).logits[real] for each in (tokens, padded))
    assert torch.equal(one, two)
    assert not torch.equal(one, forward(llama, tokens).logits[real])


def test_attention_that_passes_the_hooks_by(llama: Any, one: Tokens) -> None:
    """A replaced attention that multiplies by the key weights itself would not be steered: it is an error, not a plain answer."""
    model = copy.deepcopy(llama)
    steering = steering_of(model)
    plain = logits(model, one)
    key = model.model.layers[1].self_attn.k_proj
    model.model.layers[1].self_attn.forward = _fused(model.model.layers[1].self_attn)
    torch.testing.assert_close(logits(model, one), plain)
    with pytest.raises(RuntimeError, match=r"layers \[1\] computed keys without calling the modules"):
        logits(model, one, steering)
    assert not key._forward_hooks
    assert torch.equal(logits(model, one, Steering(model, invent(model), 0.0, layers=[0, 2])), plain)


def _fused(attention: Any) -> Any:
    original = type(attention).forward

    class Bare(torch.nn.Module):
        def __init__(self, weight: Any) -> None:
            super().__init__()
            self.weight = weight

        def forward(self, hidden: Any) -> Any:
            return torch.nn.functional.linear(hidden, self.weight)

    bare = Bare(attention.k_proj.weight)

    def forward(*args: Any, **kwargs: Any) -> Any:
        real, attention._modules["k_proj"] = attention._modules["k_proj"], bare
        try:
            return original(attention, *args, **kwargs)
        finally:
            attention._modules["k_proj"] = real

    return forward


def test_a_batch_that_was_given_as_other_rows(llama: Any) -> None:
    """A row count that is a multiple by chance is told by its tokens."""
    two = tokens_of([([1, 2, 3], {1: 1.0}), ([4, 5, 6], {})])
    with steering_of(llama).on(two), pytest.raises(ValueError, match="other tokens"), torch.no_grad():
        llama(torch.tensor([[1, 2, 3], [4, 5, 6], [1, 2, 3], [4, 5, 6]]))
