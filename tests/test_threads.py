"""Several visitors of one model, each in a thread of his own: everybody gets what he would get alone."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from conftest import build_model, build_tokenizer
from setting import footprint, forward, invent, logits, steerable, steering_of
from visits import OTHER, PROMPT, jobs, same, streams, visit
from waiting import WAIT, join, start, until

import seka
from seka import Steering
from seka.locks import Lock, lock
from seka.sites import sites
from seka.tokens import Tokens


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads change places as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_everybody_gets_what_he_would_get_alone(impatient: None) -> None:
    """Seven threads, every way into the library, some left in the middle and some raising; the model is as it was."""
    model = steerable("qwen3")
    made = jobs(model)
    before, plain = footprint(model), made["plain"]()
    assert visit(made, visitors=7, each=12) == {}
    gc.collect()
    assert footprint(model) == before
    assert torch.equal(made["plain"](), plain)
    assert not lock(model).steered
    assert lock(model)._owner is None
    assert not lock(model)._waiting


def test_no_two_jobs_are_alike(impatient: None) -> None:
    """So that a result of one visitor in another's hands is seen above."""
    made = jobs(steerable("qwen3"))
    results = {name: made[name]() for name in ("rows", "other rows")}
    plain = forward(steerable("qwen3"), seka.encode([PROMPT, OTHER, PROMPT], build_tokenizer())).logits
    assert not same(results["rows"], results["other rows"])
    assert not any(same(result, plain) for result in results.values())
    assert not same(made["raising"](), made["plain"]())
    assert made["generate"]() != made["unsteered"]()


def test_without_the_lock_they_do_not(monkeypatch: pytest.MonkeyPatch, impatient: None) -> None:
    """Were it not for the lock, visitors would get each other's steering, or errors, since a steering looks after itself."""
    monkeypatch.setattr(Lock, "__enter__", lambda self: self)
    monkeypatch.setattr(Lock, "__exit__", lambda self, *_: None)
    monkeypatch.setattr(Lock, "steered", property(lambda self: False, lambda self, value: None), raising=False)
    monkeypatch.setattr("seka.calls.Calls.mine", lambda self: True)
    model = build_model.__wrapped__("qwen3", tie_word_embeddings=False)
    made = {name: job for name, job in jobs(model).items() if name in ("raising", "plain", "rows", "other rows")}
    assert visit(made, visitors=4, each=40)


def test_two_threads_steer_one_model(qwen: Any, tokens: Tokens) -> None:
    """At once, for certain: the second comes while the first is in the middle of its block."""
    steerings = [Steering(qwen, invent(qwen), 5.0), Steering(qwen.model, invent(qwen, 1), 2.0, layers=[1])]
    alone = [logits(qwen, tokens, s) for s in steerings]
    inside, seen = threading.Event(), []

    def first() -> None:
        with steerings[0].on(tokens):
            inside.set()
            until(lambda: len(lock(qwen)._waiting) == 2)
            seen.append(torch.equal(forward(qwen, tokens).logits, alone[0]))

    def second() -> None:
        inside.wait(WAIT)
        seen.append(torch.equal(logits(qwen, tokens, steerings[1]), alone[1]))

    def third() -> None:
        inside.wait(WAIT)
        with lock(qwen.model):
            seen.append(torch.equal(logits(qwen, tokens), plain))

    plain = logits(qwen, tokens)
    join(*[start(work) for work in (first, second, third)])
    assert seen == [True, True, True]
    assert len({tuple(x.flatten().tolist()) for x in (*alone, plain)}) == 3


def test_a_wrapper_is_looked_into_when_nobody_steers_what_it_wraps(tokens: Tokens) -> None:
    """Finding the places of keys calls the model once."""
    model, found = build_model.__wrapped__("qwen3"), []
    with steering_of(model).on(tokens):
        other = start(lambda: found.append(sites(model.model)))
        until(lambda: len(lock(model)._waiting) == 1)
    join(other)
    assert found == [sites(model)]


def test_two_models_do_not_wait_for_each_other(qwen: Any, tokens: Tokens) -> None:
    other = build_model("llama")
    steering, expected = steering_of(other), logits(other, tokens, steering_of(other))
    mine = logits(qwen, tokens, steering_of(qwen))
    seen: list[bool] = []
    with steering_of(qwen).on(tokens):
        join(start(lambda: seen.append(torch.equal(logits(other, tokens, steering), expected))))
        assert torch.equal(forward(qwen, tokens).logits, mine)
    assert seen == [True]


def test_a_call_of_another_thread_is_refused(qwen: Any, tokens: Tokens) -> None:
    """One that does not hold the lock, and one in a generator whose steps run in several threads; then all goes on."""

    def steps() -> Iterator[Any]:
        with steering_of(qwen).on(tokens):
            yield None
            yield forward(qwen, tokens).logits

    made = steps()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(next, made).result()
    with pytest.raises(RuntimeError, match="another thread than the one that steers it"):
        logits(qwen, tokens)
    with pytest.raises(RuntimeError, match="another thread than the one that steers it"):
        next(made)
    seen: list[Any] = []
    join(start(lambda: seen.append(logits(qwen, tokens, steering_of(qwen)))))
    assert not torch.equal(seen[0], logits(qwen, tokens))


def test_a_stream_that_is_left_leaves_nothing(qwen: Any, tokenizer: Any) -> None:
    before = footprint(qwen)
    steps = [seka.stream(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=9) for _ in range(3)]
    next(steps[0])
    assert footprint(qwen) == before  # no hook between steps
    join(start(lambda: lock(qwen).__enter__().__exit__()))  # and no lock
    next(steps[1])
    steps[1].close()
    join(start(steps.clear))  # collected in another thread
    gc.collect()
    assert footprint(qwen) == before


def test_a_stream_has_no_step_within_a_steering(qwen: Any, tokens: Tokens, tokenizer: Any) -> None:
    """Not in the thread that steers, whom the lock does not keep out."""
    steps = seka.stream(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=3)
    next(steps)
    with steering_of(qwen).on(tokens), pytest.raises(RuntimeError, match="is being steered already"):
        next(steps)


def test_streams_in_turn() -> None:
    """Streams of one model, stepped in turn and each step by another thread, are what each is alone."""
    made = list(streams(steerable("qwen3")).values())
    alone, running = [list(stream()) for stream in made], [stream() for stream in made]
    together: list[list[Any]] = [[] for _ in made]
    for _ in range(5):
        for seen, steps in zip(together, running, strict=True):
            with ThreadPoolExecutor(1) as pool:
                seen.append(pool.submit(next, steps).result())
    assert together == alone
    assert all(plain != steered for steps in alone for plain, steered in steps[-1:])


def test_a_long_stream_lets_others_in(tokenizer: Any) -> None:
    """While it runs, a short one takes every second step or so, and is done long before it."""
    model = steerable("qwen3")
    steering, order = steering_of(model), []

    def run(name: str, new: int) -> None:
        for _ in seka.stream(model, tokenizer, PROMPT, steering, max_new_tokens=new):
            order.append(name)

    long = start(lambda: run("long", 150))
    until(lambda: len(order) > 3)
    join(start(lambda: run("short", 10)), long)
    last = max(at for at, name in enumerate(order) if name == "short")
    first = order.index("short")
    assert order[first:last].count("long") <= 50
    assert order[last:].count("long") >= 50
