"""What visitors of one model do: every way into the library, alone and in several threads at once."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch
from conftest import TRIPLETS, build_tokenizer
from setting import forward, invent, steering_of
from waiting import WAIT, join, start

import seka
from seka import Prompt, Router, Steering
from seka.locks import lock

PROMPT = Prompt.marked("Previously Ada plays chess. Currently **Ada plays golf**. Ada plays")
OTHER = Prompt.marked("**Bob** sings; so ~~Bob~~")


class Oops(Exception):
    """Raised by a visitor inside his own block."""


def streams(model: Any) -> dict[str, Callable[[], Iterator[Any]]]:
    """Streams of five steps with parameters of their own: one projection or several, marks of both signs, sampling."""
    experts = {"a": invent(model), "b": invent(model, 1)}
    online, ahead = (Steering(model, Router(experts, way=way), 6.0) for way in ("online", "two_pass"))
    weak = Steering(model, invent(model, 1), 3.0, negative=-0.5, layers=[1])

    def stream(prompt: Prompt, steering: Steering, **options: Any) -> Callable[[], Iterator[Any]]:
        def run() -> Iterator[Any]:
            for step in seka.stream(model, build_tokenizer(), prompt, steering, max_new_tokens=5, **options):
                yield step.plain, step.steered

        return run

    return {
        "stream": stream(PROMPT, steering_of(model)),
        "sampled": stream(OTHER, online, do_sample=True, seed=5),
        "weak": stream(PROMPT, weak),
        "two passes": stream(PROMPT, ahead),
    }


def jobs(model: Any) -> dict[str, Callable[[], Any]]:
    """What visitors do: every way into the library, each with parameters of its own. A job returns what can be compared."""
    tokenizer = build_tokenizer()
    both, one = seka.encode([PROMPT, OTHER, PROMPT], tokenizer), seka.encode(OTHER, tokenizer)
    strong, weak = steering_of(model, 8.0), Steering(model, invent(model, 1), 3.0, negative=-0.5, layers=[1])
    online = Steering(model, Router({"a": invent(model), "b": invent(model, 1)}), 6.0)

    def generate(steering: Steering | None, **options: Any) -> Callable[[], Any]:
        return lambda: seka.generate(model, tokenizer, PROMPT, steering, max_new_tokens=4, **options)

    def rows(*steerings: Steering | None) -> Callable[[], Any]:
        def run() -> Any:
            with seka.steer(model, both, steerings):
                return forward(model, both).logits

        return run

    def raising() -> Any:
        try:
            with strong.on(one):
                first = forward(model, one).logits
                raise Oops
        except Oops:
            return first

    def plain() -> Any:
        with lock(model):
            return forward(model, one).logits

    def shares() -> Any:
        with weak.on(both):
            return seka.attention_on_highlight(model, both)

    def learn(**options: Any) -> Callable[[], Any]:
        def run() -> Any:
            learnt = seka.learn(model, tokenizer, TRIPLETS[:3], **options)
            return {at: part.positive.basis() for at, part in learnt.parts.items()}

        return run

    return {
        **{name: (lambda made=made: list(made())) for name, made in streams(model).items()},
        "left": lambda: list(islice(streams(model)["weak"](), 2)),
        "generate": generate(strong, do_sample=False),
        "beams": generate(online, do_sample=False, num_beams=2),
        "unsteered": generate(None, do_sample=False),
        "rows": rows(None, strong, weak),
        "other rows": rows(online, None, strong.with_gain(2.0)),
        "raising": raising,
        "plain": plain,
        "shares": shares,
        "learn": learn(),
        "learn one": learn(layers=[1], energy=0.5),
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else bool(one == other)


def visit(made: dict[str, Callable[[], Any]], visitors: int, each: int) -> dict[str, str]:
    """Jobs of so many threads at once that did not come out as alone, and how."""
    alone = {name: job() for name, job in made.items()}
    wrong: dict[str, str] = {}
    begin = threading.Barrier(visitors)

    def run(seed: int) -> None:
        names = random.Random(seed).choices(list(made), k=each)
        begin.wait(WAIT)
        for name in names:
            try:
                if not same(made[name](), alone[name]):
                    wrong[name] = "differs"
            except Exception as error:
                wrong[name] = repr(error)

    join(*[start(lambda seed=seed: run(seed)) for seed in range(visitors)])
    return wrong
