"""Plain and steered text from one model. Knows decoding; where keys are edited is `steering`'s business."""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from seka.choice import Choice
from seka.devices import input_device
from seka.eager import uncompiled
from seka.locks import lock, steered
from seka.modes import Settings
from seka.prompts import Prompt
from seka.routing import Routing
from seka.sites import check_fits
from seka.steering import Steering, steer
from seka.tokens import Tokens, encode, pad_id


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
class Comparison:
    """The plain and the steered answer to one prompt, from one batch. seconds: since the start. prompt_tokens: T."""

    prompt: Prompt
    plain: Result
    steered: Result
    seconds: float = field(default=0.0, compare=False)
    prompt_tokens: int = 0

    @property
    def identical(self) -> bool:
        return self.plain.ids == self.steered.ids


def generate(model: Any, tokenizer: Any, prompt: Prompt, steering: Steering | None = None, **kwargs: Any) -> Result:
    """One answer by transformers' own `generate`, whose keyword arguments these are; steered when a steering is given.

    With num_return_sequences the first answer holds the `others`. inputs_embeds stand for the prompt's tokens, one each.
    ValueError for modes that cannot be steered honestly and for a prompt that does not fit the model's context. Nothing
    is truncated. Compiled code runs uncompiled while it is steered.
    """
    settings = Settings(model, kwargs)
    settings.refuse()
    tokens = encode(prompt, tokenizer).to(input_device(model))
    length = int(tokens.ids.shape[1])
    most = settings.new_tokens(model, length)
    if (embedded := kwargs.get("inputs_embeds")) is not None and embedded.shape[:2] != tokens.ids.shape:
        raise ValueError(
            f"inputs_embeds has {tuple(embedded.shape[:2])} rows and columns; wanted {tuple(tokens.ids.shape)}, one for "
            "each token of the prompt, so that marks can be placed"
        )
    options = dict(kwargs)
    if settings["pad_token_id"] is None:
        options |= _forced(kwargs, pad_token_id=pad_id(tokenizer))
    if settings["stop_strings"] or kwargs.get("assistant_tokenizer") is not None:
        options["tokenizer"] = tokenizer
    with lock(model), torch.no_grad():
        routing = None
        if steered(model):
            raise RuntimeError(
                "this model is being steered already, so no answer would be plain; leave the steering first"
            )
        if steering is None:
            out = model.generate(tokens.ids, attention_mask=tokens.attention, **options)
        else:
            with steering.on(tokens) as session:
                out = model.generate(tokens.ids, attention_mask=tokens.attention, **options)
            routing = session.routing
    sequences: Tensor = out if isinstance(out, Tensor) else out.sequences
    ends = _ends(model, tokenizer, settings["eos_token_id"])

    def answer(ids: list[int], others: tuple[Result, ...] = ()) -> Result:
        stop = next((n for n, i in enumerate(ids) if i in ends), None)
        kept = ids if stop is None else ids[: stop + 1]
        cut = "stopped" if settings.may_stop() and len(ids) < most else "length"
        finish = cut if stop is None else "eos"
        return Result(prompt, _text(tokenizer, kept, finish), tuple(kept), (), finish, routing, others)

    first, *rest = sequences[:, length:].tolist()
    return answer(first, tuple(answer(ids) for ids in rest))


def _forced(given: dict[str, Any], **settings: Any) -> dict[str, Any]:
    """Settings added where transformers wants them: in a copy of the generation_config given, else as keywords."""
    if given.get("generation_config") is None:
        return settings
    config = copy.deepcopy(given["generation_config"])
    config.update(**settings)
    return {"generation_config": config}


def compare(model: Any, tokenizer: Any, prompt: Prompt, steering: Steering, **kwargs: Any) -> Comparison:
    """Plain and steered answer from one batch; the keyword arguments are those of `stream`, and no others."""
    known = inspect.signature(stream).parameters
    if unknown := [name for name in kwargs if name not in known]:
        taken = [name for name, parameter in known.items() if parameter.kind is parameter.KEYWORD_ONLY]
        raise ValueError(
            f"compare does not take {', '.join(unknown)}; it takes {', '.join(taken)}. For transformers' other ways to "
            "decode use seka.generate, once with the steering and once without"
        )
    *_, last = stream(model, tokenizer, prompt, steering, **kwargs)
    return last


def stream(
    model: Any,
    tokenizer: Any,
    prompt: Prompt,
    steering: Steering,
    *,
    max_new_tokens: int = 64,
    do_sample: bool = False,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    seed: int = 0,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Comparison]:
    """Both answers as they grow: one Comparison after every step, row 0 plain and row 1 steered in one batch.

    Greedy unless `do_sample`; then both rows are drawn with the same noise, so that they differ only where steering
    changes the distribution. A row ends at its own end-of-text token. `stop` is asked before every step. The model's
    lock is held step by step, so several streams may run in turn.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}; wanted at least 1")
    choice = Choice(do_sample, temperature, top_k, top_p, repetition_penalty, seed)
    one = encode(prompt, tokenizer).to(input_device(model))
    check_fits(model, int(one.ids.shape[1]), max_new_tokens)
    both = Tokens(one.ids.repeat(2, 1), one.attention.repeat(2, 1), one.highlight.repeat(2, 1))
    return _steps(model, tokenizer, prompt, both, steering, choice, max_new_tokens, stop or (lambda: False))


def _steps(
    model: Any,
    tokenizer: Any,
    prompt: Prompt,
    both: Tokens,
    steering: Steering,
    choice: Choice,
    max_new_tokens: int,
    stop: Callable[[], bool],
) -> Iterator[Comparison]:
    start, length = time.perf_counter(), both.ids.shape[1]
    ends = _ends(model, tokenizer)
    rows = [_Row(tokenizer), _Row(tokenizer)]
    routing, cache, ids = None, None, both.ids
    placed = "position_ids" in inspect.signature(uncompiled(model).forward).parameters

    def now() -> Comparison:
        plain = rows[0].result(prompt, None)
        other = rows[1].result(prompt, routing.row(1) if routing is not None else None)
        return Comparison(prompt, plain, other, time.perf_counter() - start, length)

    for step in range(max_new_tokens):
        if stop():
            break
        with lock(model), torch.no_grad():
            if steered(model):
                raise RuntimeError("this model is being steered already, by this thread; leave that steering first")
            if step == 0:
                with steer(model, both, [None, steering]) as session:
                    out = model(both.ids, attention_mask=both.attention, use_cache=True, logits_to_keep=1)
                routing = session.routing
            else:
                where = ids.new_full((2, 1), length + step - 1)  # some families count from 0 again without it
                extra = {"position_ids": where} if placed else {}
                out = model(ids[:, -1:], past_key_values=cache, use_cache=True, **extra)
        cache, logits = out.past_key_values, out.logits[:, -1].float()
        chosen = choice(ids, logits)
        ids = torch.cat([ids, chosen[:, None]], 1)
        picked = zip(rows, chosen.tolist(), logits.softmax(-1).gather(1, chosen[:, None])[:, 0].tolist(), strict=True)
        for row, token, probability in picked:
            row.add(token, probability, ends, step + 1 == max_new_tokens)
        yield now()
        if all(row.finish for row in rows):
            return
    for row in rows:
        row.finish = row.finish or "stopped"
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
        text = _text(self.tokenizer, self.ids, self.finish)
        return Result(prompt, text, tuple(self.ids), tuple(self.probabilities), self.finish, routing)


def _text(tokenizer: Any, ids: list[int], finish: str | None) -> str:
    """What the ids say; while the answer grows, a last character is held back until its bytes are all there."""
    text = str(tokenizer.decode(ids, skip_special_tokens=True))
    return text if finish else text.rstrip("\ufffd")


def _ends(model: Any, tokenizer: Any, ids: int | list[int] | None = None) -> set[int]:
    """Ids that end an answer: those asked for, else the model's generation settings', else the tokenizer's."""
    config = getattr(model, "generation_config", None)
    ids = getattr(config, "eos_token_id", None) if ids is None else ids
    ids = tokenizer.eos_token_id if ids is None else ids
    return set() if ids is None else set(ids) if isinstance(ids, list | tuple) else {int(ids)}
