"""Answers to one prompt grow side by side in one batch, every row steered its own way. Knows decoding alone: what the rows
are, and what their answers are compared for, is told by `generation` and `sweep`.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from seka.choice import Choice
from seka.devices import input_device
from seka.eager import uncompiled
from seka.locks import lock, steered
from seka.prompts import Prompt
from seka.routing import Routing
from seka.sites import check_fits
from seka.steering import Steering, steer
from seka.tokens import Tokens, encode


@dataclass(frozen=True)
class Result:
    """One answer. ids: new tokens, without the prompt's. probabilities: the model's own (before temperature and the like)
    of each of them; empty where they were not followed. finish: "eos", "length" or "stopped"; None while running.
    others: the further answers where several were asked for, in transformers' order (of beams the best is first)."""

    prompt: Prompt
    text: str
    ids: tuple[int, ...]
    probabilities: tuple[float, ...] = ()
    finish: str | None = None
    routing: Routing | None = field(default=None, compare=False, repr=False)
    others: tuple[Result, ...] = ()


@dataclass(frozen=True)
class Step:
    """Every row's answer after one step. logits (B, V) float32: what its last tokens were chosen from; None where no step
    was made. seconds: since the start. prompt_tokens: T."""

    results: tuple[Result, ...]
    logits: Tensor | None
    seconds: float
    prompt_tokens: int


def decode(
    model: Any,
    tokenizer: Any,
    prompt: Prompt,
    rows: Sequence[Steering | None],
    choice: Choice,
    max_new_tokens: int,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Step]:
    """One Step after every step of the model, the last with every row at its end. rows: each row's steering, None: plain.

    A row ends at its own end-of-text token. `stop` is asked before every step. The model's lock is held step by step, so
    several of these may run in turn. ValueError, at once, for a prompt that does not fit the model's context.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}; wanted at least 1")
    one = encode(prompt, tokenizer).to(input_device(model))
    check_fits(model, int(one.ids.shape[1]), max_new_tokens)
    batch = Tokens(*(part.repeat(len(rows), 1) for part in (one.ids, one.attention, one.highlight)))
    return _steps(model, tokenizer, prompt, batch, rows, choice, max_new_tokens, stop or (lambda: False))


def _steps(
    model: Any,
    tokenizer: Any,
    prompt: Prompt,
    batch: Tokens,
    rows: Sequence[Steering | None],
    choice: Choice,
    max_new_tokens: int,
    stop: Callable[[], bool],
) -> Iterator[Step]:
    start, length = time.perf_counter(), batch.ids.shape[1]
    ends = end_ids(model, tokenizer)
    answers = [_Row(tokenizer) for _ in rows]
    routing, cache, ids = None, None, batch.ids
    logits: Tensor | None = None
    placed = "position_ids" in inspect.signature(uncompiled(model).forward).parameters

    def now() -> Step:
        routed = [
            routing.row(i) if routing is not None and row is not None and row.router is not None else None
            for i, row in enumerate(rows)
        ]
        results = tuple(answer.result(prompt, its) for answer, its in zip(answers, routed, strict=True))
        return Step(results, logits, time.perf_counter() - start, length)

    for step in range(max_new_tokens):
        if stop():
            break
        with lock(model), torch.no_grad():
            if steered(model):
                raise RuntimeError("this model is being steered already, by this thread; leave that steering first")
            if step == 0:
                with steer(model, batch, rows) as session:
                    out = model(batch.ids, attention_mask=batch.attention, use_cache=True, logits_to_keep=1)
                routing = session.routing
            else:
                where = ids.new_full((len(rows), 1), length + step - 1)  # some families count from 0 again without it
                extra = {"position_ids": where} if placed else {}
                out = model(ids[:, -1:], past_key_values=cache, use_cache=True, **extra)
        cache, logits = out.past_key_values, out.logits[:, -1].float()
        chosen = choice(ids, logits)
        ids = torch.cat([ids, chosen[:, None]], 1)
        picked = logits.softmax(-1).gather(1, chosen[:, None])[:, 0].tolist()
        for answer, token, probability in zip(answers, chosen.tolist(), picked, strict=True):
            answer.add(token, probability, ends, step + 1 == max_new_tokens)
        yield now()
        if all(answer.finish for answer in answers):
            return
    for answer in answers:
        answer.finish = answer.finish or "stopped"
    yield now()


class _Row:
    """One growing answer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.ids: list[int] = []
        self.probabilities: list[float] = []
        self.finish: str | None = None

    def add(self, token: int, probability: float, ends: set[int], last: bool) -> None:
        if self.finish:
            return
        self.ids.append(token)
        self.probabilities.append(probability)
        self.finish = "eos" if token in ends else "length" if last else None

    def result(self, prompt: Prompt, routing: Routing | None) -> Result:
        text = text_of(self.tokenizer, self.ids, self.finish)
        return Result(prompt, text, tuple(self.ids), tuple(self.probabilities), self.finish, routing)


def text_of(tokenizer: Any, ids: list[int], finish: str | None) -> str:
    """What the ids say; while the answer grows, a last character is held back until its bytes are all there."""
    text = str(tokenizer.decode(ids, skip_special_tokens=True))
    return text if finish else text.rstrip("\ufffd")


def end_ids(model: Any, tokenizer: Any, ids: int | list[int] | None = None) -> set[int]:
    """Ids that end an answer: those asked for, else the model's generation settings', else the tokenizer's."""
    config = getattr(model, "generation_config", None)
    ids = getattr(config, "eos_token_id", None) if ids is None else ids
    ids = tokenizer.eos_token_id if ids is None else ids
    return set() if ids is None else set(ids) if isinstance(ids, list | tuple) else {int(ids)}
