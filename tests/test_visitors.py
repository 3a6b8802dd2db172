"""Several visitors of one model: other threads, streams in turn, streams at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from setting import (
    footprint,
    forward,
    invent,
    logits,
    steerable,
    steering_of,
    tokens_of,
)

import seka
from seka import Comparison, Prompt, Router, Steering
from seka.tokens import Tokens

PROMPT = Prompt.marked("Previously Ada plays chess. Currently **Ada plays golf**. Ada plays")


def test_another_thread_is_not_edited(qwen: Any, tokens: Tokens) -> None:
    steering = Steering(qwen, Router({"a": invent(qwen), "b": invent(qwen, 1)}), 5.0)
    plain, seen = logits(qwen, tokens), []
    with steering.on(tokens):
        visitor = threading.Thread(target=lambda: seen.append(logits(qwen, tokens)))
        visitor.start()
        visitor.join()
        mine = forward(qwen, tokens).logits
        other_shape = threading.Thread(target=lambda: seen.append(forward(qwen, tokens_of([([1, 2, 3], {})])).logits))
        other_shape.start()
        other_shape.join()
    assert torch.equal(seen[0], plain)
    assert len(seen) == 2  # a batch of another shape is no error in a thread that steers nothing
    assert torch.equal(mine, logits(qwen, tokens, steering))
    assert not torch.equal(mine, plain)


def test_two_threads_steer_one_model(qwen: Any, tokens: Tokens) -> None:
    """Each gets what it would get alone."""
    steerings = [Steering(qwen, invent(qwen), 5.0), Steering(qwen, invent(qwen, 1), 2.0, layers=[1])]
    alone = [logits(qwen, tokens, s) for s in steerings]
    wrong: list[int] = []

    def visit(which: int) -> None:
        for _ in range(4):
            if not torch.equal(logits(qwen, tokens, steerings[which]), alone[which]):
                wrong.append(which)

    threads = [threading.Thread(target=visit, args=(n % 2,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not torch.equal(alone[0], alone[1])


def test_a_stream_that_is_left_leaves_nothing(qwen: Any, tokenizer: Any) -> None:
    before = footprint(qwen)
    steps = seka.stream(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=9)
    next(steps)
    assert footprint(qwen) == before  # no hook and no lock between steps
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(seka.locks.lock(qwen).acquire, True, 5).result()
        pool.submit(seka.locks.lock(qwen).release).result()
    steps.close()
    assert footprint(qwen) == before


def test_streams_in_turn(tokenizer: Any) -> None:
    """Three streams of one model, stepped in turn and each step by another thread, are what each is alone."""
    model = steerable("qwen3")
    made = [
        (PROMPT, steering_of(model), {}),
        (
            Prompt.marked("**Bob** sings; so ~~Bob~~"),
            Steering(model, Router({"a": invent(model), "b": invent(model, 1)}), 6.0),
            {},
        ),
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
