"""A steering acts in the thread that entered it; a call of another one waits for the lock, or is refused aloud."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from byhand import Plan
from conftest import build_tokenizer
from decoding import greedy
from setting import footprint, forward, invent, logits, rows_of, steering_of
from transformers import TextIteratorStreamer
from waiting import WAIT, join, start

import seka
from seka import Steering
from seka.tokens import Tokens

OPTIONS = {"max_new_tokens": 4, "do_sample": False}


def test_a_plain_call_under_the_lock_waits_and_is_plain(llama: Any, one: Tokens) -> None:
    plain, seen = logits(llama, one), []

    def visit() -> None:
        with seka.locks.lock(llama):
            seen.append(logits(llama, one))

    with steering_of(llama).on(one):
        visitor = start(visit)
        mine = forward(llama, one).logits
        assert not seen
    join(visitor)
    assert torch.equal(seen[0], plain)
    assert not torch.equal(mine, plain)


def test_generation_in_a_thread_of_its_own(llama: Any, one: Tokens) -> None:
    """The steering is entered where the model is called; around the thread it is refused, in the thread and at its end."""
    tokenizer, projection = build_tokenizer(), invent(llama)
    steering = Steering(llama, projection, 8.0)
    ((ids, marks),) = rows_of(one)
    by_hand = greedy(llama, "llama", ids, marks, Plan([projection], 8.0), 4)

    def work(streamer: Any) -> None:
        with steering.on(one):
            llama.generate(one.ids, attention_mask=one.attention, streamer=streamer, **OPTIONS)

    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True, timeout=WAIT)
    worker = start(lambda: work(streamer))
    text = "".join(streamer)
    join(worker)
    assert text == tokenizer.decode(by_hand)
    assert by_hand != greedy(llama, "llama", ids, marks, None, 4)

    before = footprint(llama)

    def around(own: bool) -> list[torch.Tensor]:
        with steering.on(one), ThreadPoolExecutor(1) as pool:
            late = pool.submit(lambda: llama.generate(one.ids, attention_mask=one.attention, **OPTIONS))
            with pytest.raises(RuntimeError, match=r"hold seka\.locks\.lock"):
                late.result(WAIT)
            return [forward(llama, one).logits] if own else []

    with pytest.raises(RuntimeError, match="Enter the steering in the thread that calls the model"):
        around(own=False)
    (inside,) = around(own=True)  # who calls the model himself is not blamed for a stranger
    assert torch.equal(inside, logits(llama, one, steering))
    assert footprint(llama) == before


def test_a_thread_that_was_there_before_does_not_disturb_the_steering(llama: Any, one: Tokens) -> None:
    """It gets the error; the steering it has walked into ends well."""
    go, seen = threading.Event(), []

    def visit() -> None:
        go.wait(WAIT)
        with pytest.raises(RuntimeError, match="another thread"):
            logits(llama, one)
        seen.append(True)

    visitor = start(visit)
    with steering_of(llama).on(one):
        go.set()
        join(visitor)
        inside = forward(llama, one).logits
    assert seen == [True]
    assert torch.equal(inside, logits(llama, one, steering_of(llama)))


def test_an_error_of_the_block_is_not_replaced(llama: Any, one: Tokens) -> None:
    def call() -> None:
        with steering_of(llama).on(one), ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: logits(llama, one)).exception(WAIT)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call()
