"""Compiled models: steering is neither lost in a graph traced before nor left in one traced meanwhile."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from conftest import build_tokenizer
from setting import invent, logits, prompts, steerable, tokens_of
from shapes import OPTIONS, ROW, batch, generated
from transformers import CompileConfig

import seka
from seka import Prompt, Steering


def compiled(model: Any, how: str) -> Any:
    """What to call after compiling a copy of a model in one of the ways people do it."""
    torch._dynamo.reset()
    model = copy.deepcopy(model)
    if how == "wrapped":
        return torch.compile(model, backend="eager")
    if how == "in place":
        model.compile(backend="eager")
    elif how == "its forward":
        model.forward = torch.compile(model.forward, backend="eager")
    elif how == "its layers":
        for layer in model.model.layers:
            layer.compile(backend="eager")
    return model


@pytest.mark.parametrize(
    ("how", "first"),
    [
        ("wrapped", "plain"),
        ("wrapped", "steered"),
        ("in place", "plain"),
        ("its forward", "plain"),
        ("its layers", "plain"),
    ],
)
def test_a_compiled_model(how: str, first: str) -> None:
    """Hooks that come after compiling count, and hooks that were there at compiling leave nothing behind."""
    original, tokens = steerable("llama", layers=1), tokens_of([ROW])
    model = compiled(original, how)
    steering, same = Steering(model, invent(model), 8.0), Steering(original, invent(original), 8.0)
    plain, steered = logits(original, tokens), logits(original, tokens, same)
    assert (plain - steered).abs().max() > 1e-3
    for turn in (first, "steered", "plain"):
        out = logits(model, tokens, steering if turn == "steered" else None)
        torch.testing.assert_close(out, steered if turn == "steered" else plain, rtol=0, atol=1e-9)
    torch._dynamo.reset()


def test_compare_with_a_compiled_model() -> None:
    original = steerable("llama", layers=1)
    model, tokenizer, prompt = compiled(original, "wrapped"), build_tokenizer(), Prompt.marked("Ada **plays**")
    for each in (model, original):
        steering = Steering(each, invent(original), 8.0)
        out = seka.compare(each, tokenizer, prompt, steering, max_new_tokens=2)
        alone = seka.compare(original, tokenizer, prompt, Steering(original, invent(original), 8.0), max_new_tokens=2)
        assert (out.plain.ids, out.steered.ids) == (alone.plain.ids, alone.steered.ids)
        assert not out.identical
    torch._dynamo.reset()


def test_a_compiled_model_is_compiled_again_afterwards() -> None:
    """Only steered calls run uncompiled, and the wrapper's lock is the model's."""
    seen: list[int] = []

    def backend(graph: Any, _inputs: Any) -> Any:
        def count(*args: Any) -> Any:
            seen.append(1)
            return graph(*args)

        return count

    torch._dynamo.reset()
    original = copy.deepcopy(steerable("llama", layers=1))
    model = torch.compile(original, backend=backend)
    steering = Steering(model, invent(original), 8.0)
    logits(model, batch())
    compiled_calls = len(seen)
    assert compiled_calls
    logits(model, batch(), steering)
    assert len(seen) == compiled_calls
    logits(model, batch())
    assert len(seen) > compiled_calls
    assert seka.locks.lock(model) is seka.locks.lock(original)
    with seka.steer(original, batch(), [steering] * 3), pytest.raises(RuntimeError, match="being steered already"):
        seka.generate(model, build_tokenizer(), prompts()[0], **OPTIONS)
    torch._dynamo.reset()


def test_a_compiled_model_is_learnt_from(triplets: list[seka.Triplet]) -> None:
    """Twice: what the first run traced would carry its hooks into the second."""
    original = steerable("llama", layers=1)
    model = compiled(original, "its layers")
    expected = seka.learn(original, build_tokenizer(), triplets)
    for _ in range(2):
        torch.testing.assert_close(seka.learn(model, build_tokenizer(), triplets).positive(0), expected.positive(0))
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("first", "options"), [("plain", {}), ("plain", {"prefill_chunk_size": 5}), ("steered", {"prefill_chunk_size": 5})]
)
def test_generate_compiles_by_itself(first: str, options: dict[str, Any]) -> None:
    """With a static cache `generate` compiles its decoding, and a prompt in chunks; steering is neither lost nor left."""
    torch._dynamo.reset()
    model, tokens = copy.deepcopy(steerable("llama", layers=1)), tokens_of([ROW])
    rows = [Steering(model, invent(model), 8.0, 1.0)]
    config = CompileConfig(backend="eager", mode=None, fullgraph=False)
    config._compile_all_devices = True
    options = {"max_new_tokens": 3, "cache_implementation": "static", **options}
    plain, steered = (generated(model, tokens, each, **options, disable_compile=True) for each in ([None], rows))
    assert plain != steered
    for turn in (first, "steered", "plain"):
        if turn == "steered":
            assert generated(model, tokens, rows, **options, compile_config=config) == steered
        else:
            out = model.generate(tokens.ids, do_sample=False, **options, compile_config=config)
            assert out[:, len(ROW[0]) :].tolist() == plain
    assert model._compiled_call is not None
    torch._dynamo.reset()
