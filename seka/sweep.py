"""One prompt at several strengths, from one batch: every answer, and how likely each first token becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from seka.choice import Choice
from seka.decoding import Result, Step, decode
from seka.prompts import Prompt
from seka.steering import Steering


@dataclass(frozen=True)
class Sweep:
    """G answers to one prompt, in the order of their strengths.

    strengths (G,): the gain of each row's steering. answers (G,): what came of it.
    curves {token id: (G,)}: the model's own probability of that first token at each strength, for the tokens that are most
    likely at any of them, the likeliest first; empty where no step was made. seconds: since the start. prompt_tokens: T.
    """

    prompt: Prompt
    strengths: tuple[float, ...]
    answers: tuple[Result, ...]
    curves: Mapping[int, tuple[float, ...]]
    seconds: float = field(default=0.0, compare=False)
    prompt_tokens: int = 0


def sweep(
    model: Any, tokenizer: Any, prompt: Prompt, steering: Steering, strengths: Sequence[float], **kwargs: Any
) -> Sweep:
    """The whole sweep at once; the keyword arguments are those of `stream`."""
    *_, last = stream(model, tokenizer, prompt, steering, strengths, **kwargs)
    return last


def stream(
    model: Any,
    tokenizer: Any,
    prompt: Prompt,
    steering: Steering,
    strengths: Sequence[float],
    *,
    top: int = 6,
    max_new_tokens: int = 64,
    do_sample: bool = False,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    seed: int = 0,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Sweep]:
    """The answers as they grow, a Sweep after every step of the model; row g is what the steering with gain g gives alone.

    strengths: finite gains, each once; 0 is the plain model (but for a negative channel, which every row keeps). top: how
    many tokens the curves follow. The rest is `seka.stream`'s: sampled rows share one noise, each row ends at its own end.
    ValueError for strengths that are none, no number or there twice, and for what `seka.stream` refuses.
    """
    if not strengths:
        raise ValueError("no strengths given; wanted at least one, for example [0, 0.2, 0.4]")
    if len(set(strengths)) != len(strengths):
        raise ValueError(f"strengths are {list(strengths)}; wanted each of them once")
    if top < 1:
        raise ValueError(f"top is {top}; wanted at least 1 token to follow")
    choice = Choice(do_sample, temperature, top_k, top_p, repetition_penalty, seed)
    rows = [steering.with_gain(gain) for gain in strengths]
    steps = decode(model, tokenizer, prompt, rows, choice, max_new_tokens, stop)
    return _sweeps(prompt, tuple(row.positive for row in rows), steps, top)


def _sweeps(prompt: Prompt, strengths: tuple[float, ...], steps: Iterator[Step], top: int) -> Iterator[Sweep]:
    curves: dict[int, tuple[float, ...]] = {}
    for step in steps:
        if not curves and step.logits is not None:
            curves = _curves(step.logits, top)
        yield Sweep(prompt, strengths, step.results, curves, step.seconds, step.prompt_tokens)


def _curves(logits: Tensor, top: int) -> dict[int, tuple[float, ...]]:
    """logits (G, V) of the first new token -> {id: probability in each row} of the ids with the largest of these."""
    probabilities = logits.softmax(-1)
    best = probabilities.amax(0).topk(min(top, probabilities.shape[-1])).indices
    return {token: tuple(probabilities[:, token].tolist()) for token in best.tolist()}
