"""Models that do not lie whole on one device: the same answers, projections and fingerprints as when they do.

What is on one device is itself proven by hand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from byhand import Plan, run
from conftest import PROMPTS, TRIPLETS, build_tokenizer
from decoding import greedy
from families import FAMILIES as TABLE
from setting import close, experts, forward, invent, last, routed, rows_of, steerable
from spread import ARRANGEMENTS, Pair, pair_of, parts
from transformers import AutoModelForCausalLM

import seka
from seka import Projection, Router, Steering
from seka.attention import attention_on_highlight
from seka.devices import input_device, weights
from seka.fingerprint import fingerprint
from seka.sites import blocks, sites
from seka.tokens import Tokens

NEW = 4
PAIRS = [
    *(("qwen3", way) for way in ARRANGEMENTS),
    ("llama", "all on disk"),
    ("gemma3_text", "all in memory"),
    ("gpt2", "all on disk"),
    ("phi3", "layers in memory"),
]
FAMILIES = sorted({family for family, _ in PAIRS})


@pytest.fixture(params=PAIRS, ids=" ".join)
def pair(request: pytest.FixtureRequest) -> Pair:
    return pair_of(*request.param)


def at_rest(model: Any) -> tuple[int, dict[str, str]]:
    """What steering must leave as it was: hooks, and where every parameter is."""
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    return hooks, {name: weight.device.type for name, weight in model.named_parameters()}


def prompts() -> Tokens:
    return seka.encode([seka.Prompt.marked(text) for text in PROMPTS], build_tokenizer())


def test_weights_are_away_between_calls(pair: Pair) -> None:
    """Or the rest of this file would prove nothing."""
    devices = {name: weight.device.type for name, weight in pair.spread.named_parameters()}
    assert "meta" in devices.values()
    assert (pair.spread.get_input_embeddings().weight.device.type == "meta") == pair.embedding_away
    assert all(weight.device.type == "cpu" for weight in pair.whole.parameters())
    assert input_device(pair.spread) == input_device(pair.whole) == torch.device("cpu")


def test_what_is_away_is_read_as_it_is(pair: Pair) -> None:
    before = at_rest(pair.spread)
    found, wanted = dict(weights(pair.spread)), dict(pair.whole.named_parameters())
    assert found.keys() >= wanted.keys()
    assert all(torch.equal(found[name], weight) for name, weight in wanted.items())
    assert fingerprint(pair.spread)["weights"] == fingerprint(pair.whole)["weights"]
    assert fingerprint(pair.spread)["geometry"] == fingerprint(pair.whole)["geometry"]
    for here, there in zip(sites(pair.whole), sites(pair.spread), strict=True):
        assert (here.key_layout, here.query_layout) == (there.key_layout, there.query_layout)
    assert at_rest(pair.spread) == before


def test_learning_is_the_same_and_either_model_takes_it(pair: Pair, tmp_path: Path) -> None:
    learnt = [seka.learn(model, build_tokenizer(), TRIPLETS, min_attention_ratio=0.1) for model in pair.both]
    for layer in learnt[0].layers:
        one, other = (projection.part(layer) for projection in learnt)
        torch.testing.assert_close(one.relative_shift, other.relative_shift, rtol=1e-6, atol=0)
        for a, b in ((one.positive, other.positive), (one.negative, other.negative)):
            torch.testing.assert_close(a.values, b.values, rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(a.projector(), b.projector(), rtol=0, atol=1e-5)
    assert learnt[0].header["triplets"] == learnt[1].header["triplets"]
    for model, projection in zip(pair.both, reversed(learnt), strict=True):
        projection.save(tmp_path / "learnt.safetensors")
        Steering(model, Projection.load(tmp_path / "learnt.safetensors"), 1.0)


def test_logits_are_those_by_hand(pair: Pair) -> None:
    """Several gains, both channels; prompts of different lengths in one batch."""
    tokens, projection = prompts(), invent(pair.whole)
    before, plain = at_rest(pair.spread), forward(pair.spread, tokens).logits
    torch.testing.assert_close(plain, forward(pair.whole, tokens).logits, rtol=0, atol=close(pair.family))
    for positive, negative in ((pair.gain, 0.0), (0.7, 0.4)):
        with Steering(pair.spread, projection, positive, negative).on(tokens):
            out = forward(pair.spread, tokens).logits
        assert (out - plain).abs().max() > 1e-3
        for row, (ids, marks) in enumerate(rows_of(tokens)):
            expected, _ = run(pair.whole, pair.family, ids, marks, Plan([projection], positive, negative))
            torch.testing.assert_close(last(out, row, len(ids)), expected, rtol=0, atol=close(pair.family))
    assert torch.equal(forward(pair.spread, tokens).logits, plain)
    assert at_rest(pair.spread) == before


@pytest.mark.parametrize("way", ["online", "two_pass"])
def test_routing_is_the_same(pair: Pair, way: str) -> None:
    tokens, router = prompts(), Router(experts(pair.whole), way=way)
    (out, routing), (expected, wanted) = (routed(model, tokens, router, pair.gain) for model in reversed(pair.both))
    torch.testing.assert_close(out, expected, rtol=0, atol=close(pair.family))
    assert (out - forward(pair.spread, tokens).logits).abs().max() > 1e-3
    for layer, coefficients in wanted.coefficients.items():
        torch.testing.assert_close(routing.coefficients[layer], coefficients, rtol=0, atol=1e-6)


def test_answers_are_those_by_hand(pair: Pair) -> None:
    """compare, generate and stream; greedy."""
    tokenizer, prompt, projection = build_tokenizer(), seka.Prompt.marked(PROMPTS[0]), invent(pair.whole)
    (ids, marks), *_ = rows_of(seka.encode(prompt, tokenizer))
    plain = greedy(pair.whole, pair.family, ids, marks, None, NEW)
    wanted = greedy(pair.whole, pair.family, ids, marks, Plan([projection], pair.gain), NEW)
    assert wanted != plain
    steering = Steering(pair.spread, projection, pair.gain)
    both = seka.compare(pair.spread, tokenizer, prompt, steering, max_new_tokens=NEW)
    assert (list(both.plain.ids), list(both.steered.ids)) == (plain, wanted)
    for given, expected in ((steering, wanted), (None, plain)):
        for options in ({}, {"use_cache": False}):
            one = seka.generate(
                pair.spread,
                tokenizer,
                prompt,
                given,
                max_new_tokens=NEW,
                do_sample=False,
                disable_compile=True,
                **options,
            )
            assert list(one.ids) == expected


def test_samples_and_beams_are_the_same(pair: Pair) -> None:
    tokenizer, prompt, projection = build_tokenizer(), seka.Prompt.marked(PROMPTS[1]), invent(pair.whole)
    for options in ({"do_sample": True}, {"num_beams": 3, "do_sample": False}):
        answers = []
        for model in pair.both:
            torch.manual_seed(3)
            steering = Steering(model, projection, pair.gain)
            answers.append(seka.generate(model, tokenizer, prompt, steering, max_new_tokens=NEW, **options).ids)
        assert answers[0] == answers[1]


def test_attention_is_the_same(pair: Pair) -> None:
    shares, wanted = (attention_on_highlight(model, prompts()) for model in reversed(pair.both))
    assert shares.keys() == wanted.keys()
    for layer, share in shares.items():
        torch.testing.assert_close(share, wanted[layer], rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tied_embedding_may_be_away(family: str) -> None:
    """It is read where the ids go in and where the logits come out."""
    pair, tokens = pair_of(family, "all on disk", True), prompts()
    projection = invent(pair.whole)
    assert fingerprint(pair.spread)["weights"] == fingerprint(pair.whole)["weights"]
    with Steering(pair.spread, projection, pair.gain).on(tokens):
        out = forward(pair.spread, tokens).logits
    with Steering(pair.whole, projection, pair.gain).on(tokens):
        torch.testing.assert_close(out, forward(pair.whole, tokens).logits, rtol=0, atol=close(family))
    assert (out - forward(pair.spread, tokens).logits).abs().max() > 1e-3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: two kinds of device in one model")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_gpu_and_the_memory_beside_it(family: str, tmp_path: Path) -> None:
    whole, tokens = steerable(family), prompts()
    whole.save_pretrained(tmp_path)
    places: dict[str, Any] = {name: "cpu" if name.endswith(".1") else 0 for name in parts(whole)}
    spread = AutoModelForCausalLM.from_pretrained(tmp_path, device_map=places, dtype="auto").eval()
    assert all(weight.is_meta for weight in blocks(spread)[1].parameters())
    gain, there = TABLE[family].gain, tokens.to("cuda")
    for way in ("online", "two_pass"):
        router = Router(experts(whole), way=way)
        out, wanted = routed(spread, there, router, gain)[0].cpu(), routed(whole, tokens, router, gain)[0]
        torch.testing.assert_close(out, wanted, rtol=0, atol=1e-5)
    learnt = [seka.learn(model, build_tokenizer(), TRIPLETS) for model in (whole, spread)]
    assert {t.device.type for p in learnt[1].parts.values() for t in (p.shift, p.positive.vectors)} == {"cpu"}
    for layer in learnt[0].layers:
        torch.testing.assert_close(learnt[0].shift[layer], learnt[1].shift[layer], rtol=1e-5, atol=1e-5)
    prompt, answers = seka.Prompt.marked(PROMPTS[0]), []
    for model in (whole, spread):
        steering = Steering(model, invent(whole), gain)
        answers.append(seka.compare(model, build_tokenizer(), prompt, steering, max_new_tokens=NEW))
    assert answers[0].steered.ids == answers[1].steered.ids != answers[0].plain.ids == answers[1].plain.ids
