"""Generation: both texts of a comparison are what separate runs give, and everything that ends or interrupts them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from byhand import Plan, footprint, forward, greedy, invent, rows_of, run, steerable
from conftest import build_model
from torch import Tensor

import seka
from seka import Comparison, Prompt, Router, Steering
from seka.sites import decoder

TEXT = "Previously Ada plays chess. Currently **Ada plays golf**. Ada plays"
PROMPT = Prompt.marked(TEXT)


def steering_of(model: Any, gain: float = 8.0, seed: int = 0) -> Steering:
    return Steering(model, invent(model, seed), gain)


@contextmanager
def scripted(model: Any, rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The model says what is written: row b's n-th call prefers rows[b][n]. Yields the calls' numbers."""
    calls: list[int] = []

    def hook(_module: Any, _args: Any, logits: Tensor) -> Tensor:
        out = logits.clone()
        for row, script in enumerate(rows):
            out[row, -1, script[min(len(calls), len(script) - 1)]] = 1e4
        calls.append(len(calls))
        return out

    handle = model.lm_head.register_forward_hook(hook)
    try:
        yield calls
    finally:
        handle.remove()


@contextmanager
def counted(model: Any) -> Iterator[list[tuple[int, ...]]]:
    """Shapes of the decoder's calls."""
    shapes: list[tuple[int, ...]] = []

    def note(_module: Any, args: Any, kwargs: Any) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        shapes.append(tuple(ids.shape))

    handle = decoder(model).register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield shapes
    finally:
        handle.remove()


# Greedy


def test_both_rows_are_what_generate_gives(family: str, tokenizer: Any) -> None:
    """The plain row is model.generate without seka, the steered row generate under steering and the loop by hand."""
    model = steerable(family)
    steering = steering_of(model)
    tokens = seka.encode(PROMPT, tokenizer)
    out = seka.compare(model, tokenizer, PROMPT, steering, max_new_tokens=10)
    end = tokenizer.eos_token_id
    options = {"attention_mask": tokens.attention, "max_new_tokens": 10, "do_sample": False, "eos_token_id": end}
    plain = model.generate(tokens.ids, **options)
    assert out.plain.ids == tuple(plain[0, tokens.ids.shape[1] :].tolist())
    with steering.on(tokens):
        steered = model.generate(tokens.ids, **options)
    assert out.steered.ids == tuple(steered[0, tokens.ids.shape[1] :].tolist())
    ((ids, marks),) = rows_of(tokens)
    by_hand = greedy(model, family, ids, marks, Plan([steering.source], 8.0), len(out.steered.ids))
    assert list(out.steered.ids) == by_hand
    assert not out.identical
    assert out.prompt == PROMPT
    assert out.prompt_tokens == len(ids)
    for result, given in ((out.plain, None), (out.steered, steering)):
        assert result.finish == ("eos" if end in result.ids else "length")
        alone = seka.generate(model, tokenizer, PROMPT, given, max_new_tokens=10, do_sample=False)
        assert (alone.ids, alone.text, alone.finish) == (result.ids, result.text, result.finish)
        assert alone.text == tokenizer.decode(list(alone.ids), skip_special_tokens=True)


def test_the_plain_text_is_that_of_an_unmarked_prompt(qwen: Any, tokenizer: Any) -> None:
    """Markers are never read by the model."""
    out = seka.compare(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=6)
    unmarked = Prompt(TEXT.replace("**", ""))
    assert out.plain.ids == seka.generate(qwen, tokenizer, unmarked, max_new_tokens=6, do_sample=False).ids


def test_a_stream_grows(qwen: Any, tokenizer: Any) -> None:
    """One comparison a step, each going on where the last ended; the model is called once for each."""
    model = steerable("qwen3")
    before = footprint(model)
    with counted(model) as calls:
        steps = list(seka.stream(model, tokenizer, PROMPT, steering_of(model), max_new_tokens=7))
    assert footprint(model) == before
    length = len(rows_of(seka.encode(PROMPT, tokenizer))[0][0])
    assert calls == [(2, length)] + [(2, 1)] * 6  # a whole prompt once, then a token each
    assert [len(s.plain.ids) for s in steps] == [len(s.steered.ids) for s in steps] == list(range(1, 8))
    for one, two in zip(steps, steps[1:], strict=False):
        for a, b in ((one.plain, two.plain), (one.steered, two.steered)):
            assert b.ids[:-1] == a.ids
            assert b.probabilities[:-1] == a.probabilities
            assert b.text.startswith(a.text)
            assert a.finish is None
        assert one.seconds <= two.seconds
    assert steps[-1] == seka.compare(model, tokenizer, PROMPT, steering_of(model), max_new_tokens=7)


def test_probabilities_are_the_models_own(family: str, tokenizer: Any) -> None:
    """Of the model itself, whatever temperature, cuts and penalties choose the tokens by."""
    model = steerable(family)
    steering = steering_of(model)
    options = {"do_sample": True, "temperature": 3.0, "top_k": 9, "repetition_penalty": 1.3, "seed": 2}
    out = seka.compare(model, tokenizer, PROMPT, steering, max_new_tokens=4, **options)
    ((ids, marks),) = rows_of(seka.encode(PROMPT, tokenizer))
    for result, plan in ((out.plain, None), (out.steered, Plan([steering.source], 8.0))):
        grown = [*ids, *result.ids]
        own = run(model, family, grown, marks, plan, len(ids))[0].softmax(-1)
        expected = [float(own[len(ids) - 1 + n, token]) for n, token in enumerate(result.ids)]
        assert result.probabilities == pytest.approx(expected, rel=1e-4)
    assert out.plain.ids != out.steered.ids


def test_repetition_penalty(tokenizer: Any) -> None:
    model = build_model("gemma3_text")  # with tied embeddings it says one thing over and over
    options = {"max_new_tokens": 8, "repetition_penalty": 5.0}
    assert len(set(seka.compare(model, tokenizer, PROMPT, steering_of(model), max_new_tokens=8).plain.ids)) < 4
    out = seka.compare(model, tokenizer, PROMPT, steering_of(model), **options)
    for result, steering in ((out.plain, None), (out.steered, steering_of(model))):
        alone = seka.generate(model, tokenizer, PROMPT, steering, do_sample=False, **options)
        assert alone.ids == result.ids
    assert len(set(out.plain.ids)) == 8


def test_routing_is_of_the_steered_row(qwen: Any, tokenizer: Any) -> None:
    router = Router({"a": invent(qwen), "b": invent(qwen, 1)})
    steering = Steering(qwen, router, 5.0)
    with steering.on(tokens := seka.encode(PROMPT, tokenizer)) as session:
        forward(qwen, tokens)
    expected = session.routing
    assert expected is not None
    steps = list(seka.stream(qwen, tokenizer, PROMPT, steering, max_new_tokens=3))
    alone = seka.generate(qwen, tokenizer, PROMPT, steering, max_new_tokens=3, do_sample=False)
    for result in (*(s.steered for s in steps), alone):
        assert result.routing is not None
        assert result.routing.names == ("a", "b")
        for layer, alpha in expected.coefficients.items():
            torch.testing.assert_close(result.routing.coefficients[layer], alpha, rtol=0, atol=1e-6)
    assert all(s.plain.routing is None for s in steps)


# Sampling


def test_shared_noise(qwen: Any, tokenizer: Any) -> None:
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


def test_top_p(qwen: Any, tokenizer: Any) -> None:
    """With next to no mass allowed, sampling is greedy."""
    model = steerable("qwen3")
    sampled = seka.compare(
        model, tokenizer, PROMPT, steering_of(model), max_new_tokens=6, do_sample=True, top_p=1e-6, temperature=4.0
    )
    exact = seka.compare(model, tokenizer, PROMPT, steering_of(model), max_new_tokens=6)
    assert (sampled.plain.ids, sampled.steered.ids) == (exact.plain.ids, exact.steered.ids)


# Ends


def test_each_row_ends_at_its_own_end(qwen: Any, tokenizer: Any) -> None:
    a, b, end = 70, 71, tokenizer.eos_token_id
    with scripted(qwen, [[a, b, end, a, a, a], [b, a, b, a, end, a]]) as calls:
        steps = list(seka.stream(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=9))
    last = steps[-1]
    assert last.plain.ids == (a, b, end)
    assert last.steered.ids == (b, a, b, a, end)
    assert (last.plain.finish, last.steered.finish) == ("eos", "eos")
    assert last.plain.text == tokenizer.decode([a, b])
    assert len(last.plain.probabilities) == 3
    assert len(calls) == len(steps) == 5  # and the model is not called again
    assert [s.plain.finish for s in steps] == [None, None, "eos", "eos", "eos"]
    with scripted(qwen, [[a, end], [a]]):
        out = seka.compare(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=3)
    assert (out.plain.finish, out.steered.finish) == ("eos", "length")


def test_ends_of_generate(qwen: Any, tokenizer: Any) -> None:
    """The end asked for counts, and what comes after an end is not part of the answer."""
    with scripted(qwen, [[70, 71, 72, 73]]):
        out = seka.generate(qwen, tokenizer, PROMPT, max_new_tokens=8, do_sample=False, eos_token_id=72)
    assert (out.ids, out.finish) == ((70, 71, 72), "eos")
    end = tokenizer.eos_token_id
    with scripted(qwen, [[70, end, 73]]):  # this model's own settings name no end; the tokenizer does
        out = seka.generate(qwen, tokenizer, PROMPT, max_new_tokens=4, do_sample=False)
    assert (out.ids, out.finish, out.text) == ((70, end), "eos", tokenizer.decode([70]))


@pytest.mark.parametrize("after", [0, 1, 3])
def test_stop_keeps_the_partial_text(qwen: Any, tokenizer: Any, after: int) -> None:
    model = steerable("qwen3")
    whole = seka.compare(model, tokenizer, PROMPT, steering_of(model), max_new_tokens=9)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > after

    with counted(model) as calls:
        steps = list(seka.stream(model, tokenizer, PROMPT, steering_of(model), max_new_tokens=9, stop=stop))
    assert len(calls) == after
    last = steps[-1]
    assert (last.plain.finish, last.steered.finish) == ("stopped", "stopped")
    assert last.plain.ids == whole.plain.ids[:after]
    assert last.steered.ids == whole.steered.ids[:after]
    assert last.steered.text == tokenizer.decode(list(whole.steered.ids[:after]), skip_special_tokens=True)
    assert footprint(model)[0] == 0


def test_a_stopped_row_that_had_ended_keeps_its_end(qwen: Any, tokenizer: Any) -> None:
    asked: list[int] = []
    with scripted(qwen, [[70, tokenizer.eos_token_id], [70]]):
        steps = seka.stream(
            qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=9, stop=lambda: len(asked) > 3 or asked.append(1)
        )
        *_, last = steps
    assert (last.plain.finish, last.steered.finish) == ("eos", "stopped")


def test_a_stream_that_is_left_leaves_nothing(qwen: Any, tokenizer: Any) -> None:
    before = footprint(qwen)
    steps = seka.stream(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=9)
    next(steps)
    assert footprint(qwen) == before  # no hook and no lock between steps
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(seka.session.lock(qwen).acquire, True, 5).result()
        pool.submit(seka.session.lock(qwen).release).result()
    steps.close()
    assert footprint(qwen) == before


def test_half_a_letter_is_held_back(qwen: Any, tokenizer: Any) -> None:
    """Bytes of a letter arrive one by one; the text shows it when it is whole, and keeps what stays broken at the end."""
    text = "a🎉bé"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == 8
    broken = ids[:3]
    with scripted(qwen, [[*ids, ids[0]], [*broken, broken[-1]]]):
        steps = list(seka.stream(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=8))
    assert [s.plain.text for s in steps] == ["a", "a", "a", "a", "a🎉", "a🎉b", "a🎉b", text]
    assert [s.steered.text for s in steps][:3] == ["a", "a", "a"]
    assert "\ufffd" in steps[-1].steered.text  # what ended broken is shown as such


# Visitors


def test_streams_in_turn(tokenizer: Any) -> None:
    """Three streams of one model, stepped in turn and each step by another thread, are what each is alone."""
    model = steerable("qwen3")
    made = [
        (PROMPT, steering_of(model), {}),
        (Prompt.marked("**Bob** sings; so ~~Bob~~"), Steering(model, Router({"a": invent(model), "b": invent(model, 1)}), 6.0), {}),
        (Prompt.marked("In town **Dan** plays"), steering_of(model, 3.0, 2), {"do_sample": True, "seed": 5}),
    ]
    alone = [list(seka.stream(model, tokenizer, p, s, max_new_tokens=6, **o)) for p, s, o in made]
    streams = [seka.stream(model, tokenizer, p, s, max_new_tokens=6, **o) for p, s, o in made]
    together: list[list[Comparison]] = [[], [], []]
    for _ in range(6):
        for n, steps in enumerate(streams):
            with ThreadPoolExecutor(1) as pool:  # a fresh thread each time
                together[n].append(pool.submit(next, steps).result())
    assert together == alone
    assert all(not steps[-1].identical for steps in alone)


def test_visitors_at_once(tokenizer: Any) -> None:
    """Streams in threads of their own, and a visitor who calls generate: each gets what it would get alone."""
    model = steerable("qwen3")
    steerings = [steering_of(model, 8.0), steering_of(model, 3.0, 1)]
    alone = [seka.compare(model, tokenizer, PROMPT, s, max_new_tokens=5) for s in steerings]
    plain = seka.generate(model, tokenizer, PROMPT, max_new_tokens=5, do_sample=False)
    results: list[tuple[int, Any]] = []

    def visit(which: int) -> None:
        for _ in range(3):
            if which == 2:
                results.append((2, seka.generate(model, tokenizer, PROMPT, max_new_tokens=5, do_sample=False)))
            else:
                results.append((which, seka.compare(model, tokenizer, PROMPT, steerings[which], max_new_tokens=5)))

    threads = [threading.Thread(target=visit, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 9
    for which, result in results:
        assert result == ([*alone, plain][which])
    assert alone[0].steered.ids != alone[1].steered.ids


# Refusals


def test_a_prompt_that_does_not_fit(tokenizer: Any) -> None:
    """Both lengths are named; nothing is cut, and nothing has been called."""
    model = steerable("qwen3", max_position_embeddings=32)
    long = Prompt.marked("**Ada** " * 40)
    length = len(rows_of(seka.encode(long, tokenizer))[0][0])
    steering = steering_of(model)
    message = f"the prompt has {length} tokens and 4 more are asked for; the model holds 32"
    with counted(model) as calls:
        with pytest.raises(ValueError, match=message):
            seka.generate(model, tokenizer, long, steering, max_new_tokens=4)
        with pytest.raises(ValueError, match=message):
            seka.stream(model, tokenizer, long, steering, max_new_tokens=4)  # at once, not at its first step
    assert calls == []
    fits = len(rows_of(seka.encode(PROMPT, tokenizer))[0][0])
    assert len(seka.compare(model, tokenizer, PROMPT, steering, max_new_tokens=32 - fits).plain.ids) == 32 - fits
    with pytest.raises(ValueError, match="the model holds 32"):
        seka.compare(model, tokenizer, PROMPT, steering, max_new_tokens=33 - fits)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"guidance_scale": 2.0}, "guidance_scale cannot be combined with seka"),
        ({"custom_generate": lambda *a, **k: None}, "custom_generate cannot be combined with seka"),
        ({"negative_prompt_ids": torch.zeros((1, 2), dtype=torch.long)}, "negative_prompt_ids cannot be combined"),
        ({"cache_implementation": "paged"}, "paged cache"),
    ],
)
def test_refused_modes(qwen: Any, tokenizer: Any, options: dict[str, Any], message: str) -> None:
    with counted(qwen) as calls, pytest.raises(ValueError, match=message):
        seka.generate(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=2, **options)
    assert calls == []


def test_refused_settings(qwen: Any, tokenizer: Any) -> None:
    for options, message in [
        ({"max_new_tokens": 0}, "max_new_tokens is 0; wanted at least 1"),
        ({"do_sample": True, "temperature": 0.0}, "temperature is 0.0; wanted more than 0, or do_sample=False"),
    ]:
        with pytest.raises(ValueError, match=message):
            seka.stream(qwen, tokenizer, PROMPT, steering_of(qwen), **options)


def test_routing_online_refuses_chunks(qwen: Any, tokenizer: Any) -> None:
    known = {"a": invent(qwen), "b": invent(qwen, 1)}
    options = {"max_new_tokens": 4, "do_sample": False}
    with pytest.raises(ValueError, match="use Router\\(..., way='two_pass'\\)"):
        seka.generate(qwen, tokenizer, PROMPT, Steering(qwen, Router(known), 5.0), prefill_chunk_size=4, **options)
    two = Steering(qwen, Router(known, way="two_pass"), 5.0)
    chunked = seka.generate(qwen, tokenizer, PROMPT, two, prefill_chunk_size=4, **options)
    assert chunked.ids == seka.generate(qwen, tokenizer, PROMPT, two, **options).ids
    assert chunked.ids != seka.generate(qwen, tokenizer, PROMPT, **options).ids
