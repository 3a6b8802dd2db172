"""Ways to make a model heed a mark: steering, its controls, and doing nothing.

They are compared in `tasks`, and with controls, all doing the same harm, in `spread`. Every way reads a batch of marked prompts
and says what comes next, so that nothing but the way differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from seka.factors import Factors
from seka.projections import Projection
from seka.prompts import Prompt
from seka.routing import Router
from seka.steering import Steering
from seka.tokens import Tokens, encode

Read = Callable[[Tokens], Tensor]
BUDGET = 4_000
"""Characters of a batch, padding included: long prompts are read sooner a few at a time, one beyond it alone."""


@dataclass(frozen=True)
class Way:
    """read: logits (B, V) of the token after each prompt. write: what becomes of a marked prompt before it is read.
    steering: what `answers` steers with; None for ways that change no key."""

    read: Read
    write: Callable[[Prompt], Prompt] = lambda prompt: prompt
    steering: Steering | None = None


def plain(model: Any) -> Way:
    """The model as it is; marks change nothing."""
    return Way(lambda tokens: _logits(model, tokens, tokens.attention))


def steered(steering: Steering) -> Way:
    """Keys of marked tokens edited."""

    def read(tokens: Tokens) -> Tensor:
        with steering.on(tokens):
            return _logits(steering.model, tokens, tokens.attention)

    return Way(read, steering=steering)


def written(model: Any) -> Way:
    """The marks as a reader would write them, `**so**`, in the prompt's own text."""
    return replace(plain(model), write=_starred)


def biased(model: Any, bias: float) -> Way:
    """A constant added to every attention logit of a marked column, in all layers and heads."""

    def read(tokens: Tokens) -> Tensor:
        columns = tokens.ids.shape[1]
        allowed = torch.ones(columns, columns, dtype=torch.bool).tril() & (tokens.attention[:, None, :] > 0)
        allowed |= torch.eye(columns, dtype=torch.bool)  # padding must see something
        mask = torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)
        return _logits(model, tokens, (mask + bias * tokens.highlight[:, None, :] * allowed)[:, None])

    return Way(read)


def key_scaling(projection: Projection, equally: bool = False) -> Projection:
    """The control k' = (1 + g s) k, s each head's scale, or 1 `equally`: the whole space in the place of a learnt subspace."""
    parts = {}
    for layer in projection.layers:
        part = projection.part(layer)
        heads, width = part.positive.values.shape
        whole = Factors(part.positive.values, torch.full((heads,), width), torch.eye(width).repeat(heads, 1, 1))
        scale = torch.ones_like(part.scale) if equally else part.scale
        parts[layer] = replace(part, positive=whole, negative=None, scale=scale, baseline=None)
    return Projection(parts, {**projection.header, "name": "key scaling"})


def sources(router: Router, pooled: Projection) -> dict[str, Projection | Router]:
    """What keys are edited with in each way that steers: the mixed experts, the one of all kinds, and two controls."""
    return {
        "adaptive": router,
        "pooled": pooled,
        "random subspace": pooled.random(0),
        "key scaling": key_scaling(pooled),
    }


def _starred(prompt: Prompt) -> Prompt:
    text = prompt.text
    for start, end in sorted(prompt.spans, reverse=True):
        text = f"{text[:start]}**{text[start:end]}**{text[end:]}"
    return Prompt(text)


def _logits(model: Any, tokens: Tokens, attention: Tensor) -> Tensor:
    with torch.no_grad():
        out = model(
            tokens.ids, attention_mask=attention, position_ids=tokens.positions, logits_to_keep=1, use_cache=False
        )
    logits: Tensor = out.logits[:, -1]
    return logits


def batches(prompts: Sequence[Prompt], size: int) -> list[list[int]]:
    """Indices of prompts of similar length, `size` at a time, or fewer where the longest would make more than BUDGET."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].text))
    found: list[list[int]] = []
    for i in order:
        if not found or len(found[-1]) == size or (len(found[-1]) + 1) * len(prompts[i].text) > BUDGET:
            found.append([])
        found[-1].append(i)
    return found


def logits(tokenizer: Any, prompts: Sequence[Prompt], way: Way, size: int = 32) -> Tensor:
    """(N, V) logits of the token after each prompt."""
    found: dict[int, Tensor] = {}
    for chosen in batches(prompts, size):
        tokens = encode([way.write(prompts[i]) for i in chosen], tokenizer)
        found |= dict(zip(chosen, way.read(tokens), strict=True))
    return torch.stack([found[i] for i in range(len(prompts))])


def first_tokens(tokenizer: Any, prompts: Sequence[Prompt], way: Way, size: int = 32) -> list[int]:
    """The most likely token after each prompt."""
    found: list[int] = logits(tokenizer, prompts, way, size).argmax(-1).tolist()
    return found


def answers(
    model: Any, tokenizer: Any, prompts: Sequence[Prompt], way: Way, new: Sequence[int], size: int = 64
) -> list[str]:
    """Greedy answers; `new` says for each prompt how many tokens are wanted of its answer, which may be longer."""
    found = [""] * len(prompts)
    for chosen in batches(prompts, size):
        tokens = encode([way.write(prompts[i]) for i in chosen], tokenizer)
        options = {"attention_mask": tokens.attention, "do_sample": False}
        options["max_new_tokens"] = max(new[i] for i in chosen)
        if way.steering is None:
            out = model.generate(tokens.ids, **options)
        else:
            with way.steering.on(tokens):
                out = model.generate(tokens.ids, **options)
        for i, ids in zip(chosen, out[:, tokens.ids.shape[1] :], strict=True):
            found[i] = tokenizer.decode(ids, skip_special_tokens=True)
    return found
