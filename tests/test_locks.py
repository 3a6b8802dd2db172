"""The lock of a model: whose it is, in which order it is given, and that it is always given back."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import build_model, build_tokenizer
from setting import invent, logits, steering_of, tokens_of
from waiting import join, start, until

import seka
from seka.locks import Lock, exclusive, lock, steered

PROMPT = seka.Prompt.marked("Previously Ada plays chess. Currently **Ada plays golf**. Ada plays")


def test_turns_come_in_the_order_of_asking() -> None:
    """Also for the holder: who gives the lock back and asks again at once comes after those who wait."""
    held, order = Lock(), []

    def visit(name: int) -> None:
        with held:
            order.append(name)

    with held:
        threads = []
        for name in range(5):
            threads.append(start(lambda name=name: visit(name)))
            until(lambda count=name + 1: len(held._waiting) == count)
    with held:
        order.append(-1)
    join(*threads)
    assert order == [0, 1, 2, 3, 4, -1]


def test_the_thread_that_has_it_may_take_it_again() -> None:
    held, inside = Lock(), []
    with held:
        with held:
            pass
        other = start(lambda: [inside.append(True) for _ in [held.__enter__()]])
        until(lambda: len(held._waiting) == 1)
        assert not inside  # the inner block's end gave nothing away
    join(other)
    assert inside


def test_it_may_be_given_back_by_another_thread() -> None:
    """A generator left inside its block ends in whichever thread collects it, even after its own thread has ended."""
    held = Lock()

    def steps() -> Any:
        with held:
            yield 1

    made: list[Any] = []

    def begin() -> None:
        made.append(steps())
        next(made[0])

    join(start(begin))
    waiting = start(lambda: held.__enter__().__exit__())
    until(lambda: len(held._waiting) == 1)
    made.clear()  # collected here
    join(waiting)


def test_whoever_gives_up_waiting_lets_the_next_one_through(monkeypatch: pytest.MonkeyPatch) -> None:
    held = Lock()
    wait_for = held._changed.wait_for
    served: list[str] = []

    def interrupted(predicate: Callable[[], bool]) -> bool:
        if threading.current_thread().name == "impatient":
            wait_for(lambda: held._owner is None)
            raise KeyboardInterrupt
        return wait_for(predicate)

    monkeypatch.setattr(held._changed, "wait_for", interrupted)

    def impatient() -> None:
        with pytest.raises(KeyboardInterrupt):
            held.__enter__()

    def patient() -> None:
        with held:
            served.append("patient")

    with held:
        first = threading.Thread(target=impatient, name="impatient", daemon=True)
        first.start()
        until(lambda: len(held._waiting) == 1)
        second = start(patient)
        until(lambda: len(held._waiting) == 2)
    join(first, second)
    assert served == ["patient"]


def test_a_model_has_one_lock_however_it_is_wrapped(qwen: Any) -> None:
    class Wrapper(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = qwen

        def get_decoder(self) -> Any:
            return self.inner.get_decoder()

    same = [qwen, qwen.model, torch.compile(qwen), torch.compile(qwen.model), Wrapper()]
    assert {id(lock(model)) for model in same} == {id(lock(qwen))}
    assert lock(build_model("llama")) is not lock(qwen)
    with exclusive(qwen.model):
        assert steered(qwen)
        assert not steered(build_model("llama"))
    assert not steered(qwen)


def test_a_second_steering_within_the_first_is_refused(qwen: Any) -> None:
    """And the first goes on as if nothing had been."""
    tokens = tokens_of([([1, 2, 3], {1: 1.0})])
    steering, within = steering_of(qwen), seka.Steering(qwen.model, invent(qwen), 8.0)
    expected = logits(qwen, tokens, steering)
    with steering.on(tokens):
        for again in (steering, within):
            with pytest.raises(RuntimeError, match="this model is being steered already"), again.on(tokens):
                pass
        with lock(qwen):
            assert torch.equal(logits(qwen, tokens), expected)
    assert not torch.equal(logits(qwen, tokens), expected)


def test_a_model_is_forgotten() -> None:
    """Nothing that was done with a model keeps it in memory, nor its lock."""
    model = build_model.__wrapped__("qwen3", seed=9)
    tokenizer, tokens = build_tokenizer(), seka.encode(PROMPT, build_tokenizer())
    steering = steering_of(model)
    logits(model, tokens, steering)
    seka.compare(model, tokenizer, PROMPT, steering, max_new_tokens=2)
    seka.generate(model, tokenizer, PROMPT, steering, max_new_tokens=2)
    seka.attention_on_highlight(model, tokens)
    left = seka.stream(model, tokenizer, PROMPT, steering, max_new_tokens=5)
    next(left)
    with pytest.raises(ZeroDivisionError), steering.on(tokens):
        1 / 0  # noqa: B018
    gone = [weakref.ref(thing) for thing in (model, model.model, lock(model))]
    del model, steering, left
    gc.collect()
    assert [thing() for thing in gone] == [None, None, None]
