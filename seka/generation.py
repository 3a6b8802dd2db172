"""Plain and steered text from one model. Knows decoding; where keys are edited is `steering`'s business."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from seka.choice import Choice
from seka.decoding import Result as Result
from seka.decoding import Step, decode, end_ids, text_of
from seka.devices import input_device
from seka.locks import lock, steered
from seka.modes import Settings
from seka.prompts import Prompt
from seka.steering import Steering
from seka.tokens import encode, pad_id


@dataclass(frozen=True)
class Comparison:
    """The plain and the steered answer to one prompt, from one batch. seconds: since the start. prompt_tokens: T. steering:
    what steered the second one; None where nobody noted it."""

    prompt: Prompt
    plain: Result
    steered: Result
    seconds: float = field(default=0.0, compare=False)
    prompt_tokens: int = 0
    steering: Steering | None = field(default=None, compare=False, repr=False)

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
    ends = end_ids(model, tokenizer, settings["eos_token_id"])

    def answer(ids: list[int], others: tuple[Result, ...] = ()) -> Result:
        stop = next((n for n, i in enumerate(ids) if i in ends), None)
        kept = ids if stop is None else ids[: stop + 1]
        cut = "stopped" if settings.may_stop() and len(ids) < most else "length"
        finish = cut if stop is None else "eos"
        return Result(prompt, text_of(tokenizer, kept, finish), tuple(kept), (), finish, routing, others)

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
    choice = Choice(do_sample, temperature, top_k, top_p, repetition_penalty, seed)
    return _pairs(prompt, steering, decode(model, tokenizer, prompt, [None, steering], choice, max_new_tokens, stop))


def _pairs(prompt: Prompt, steering: Steering, steps: Iterator[Step]) -> Iterator[Comparison]:
    for step in steps:
        plain, other = step.results
        yield Comparison(prompt, plain, other, step.seconds, step.prompt_tokens, steering)
