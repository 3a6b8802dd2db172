"""What comes right after a prompt: how likely the plain and the steered model find each token. Writes no text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from seka.choice import Choice
from seka.decoding import decode
from seka.prompts import Prompt
from seka.steering import Steering


@dataclass(frozen=True)
class NextToken:
    """One token of the vocabulary, its text, and its probability after the prompt in either model."""

    id: int
    text: str
    plain: float
    steered: float


@dataclass(frozen=True)
class NextTokens:
    """top: the likeliest tokens of either model, sorted by the larger of their two probabilities. moved: total variation
    distance of the two distributions, half the sum over the vocabulary of |plain - steered|: how much probability went to
    other tokens, from 0 to 1."""

    top: tuple[NextToken, ...]
    moved: float


def next_tokens(model: Any, tokenizer: Any, prompt: Prompt, steering: Steering, top: int = 6) -> NextTokens:
    """The likeliest tokens after a prompt, plain against steered, from one step of the model with a row for each.

    Probabilities are the model's own: the softmax of its logits, before temperature and the like. top: how many tokens of
    each model, so that up to twice as many come back. ValueError when top is below 1 and when the prompt does not fit the
    model's context.
    """
    if top < 1:
        raise ValueError(f"top is {top}; wanted at least 1 token")
    step = next(decode(model, tokenizer, prompt, [None, steering], Choice(), 1))
    assert step.logits is not None  # of the one step, which nothing stops
    both = step.logits.softmax(-1).cpu()
    plain, steered = both.tolist()
    likely = set(both.topk(min(top, len(plain))).indices.flatten().tolist())
    found = [
        NextToken(i, str(tokenizer.decode([i])), plain[i], steered[i])
        for i in sorted(likely, key=lambda i: (-max(plain[i], steered[i]), i))
    ]
    return NextTokens(tuple(found), float((both[0] - both[1]).abs().sum()) / 2)
