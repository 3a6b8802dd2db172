"""What steering does to a story after a marked sentence, where it should do nothing; and strengths that do the same harm."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import torch

from seka.miniature.corpus.asking import LISTED
from seka.miniature.corpus.cases import conflict
from seka.miniature.corpus.stories import story
from seka.miniature.measures import ways as w
from seka.prompts import Prompt
from seka.steering import Steering
from seka.tokens import Tokens, encode


@dataclass(frozen=True)
class Harm:
    """Perplexity of `n` stories as a multiple of the unsteered one, with a 95 % interval."""

    multiple: float
    interval: tuple[float, float]
    n: int


def stories(split: str, n: int) -> tuple[list[Prompt], list[str]]:
    """`n` prompts that end in a story, a statement of another matter marked before it, and the stories alone."""
    prompts, tales = [], []
    for index in range(n):
        random = Random(f"0/{split}/side effect/{index}")
        case, tale = conflict(random, LISTED), story(random)
        head = case.prompt[: max(statement.end for statement in case.statements)] + ".\n"
        statement = case.statements[index % 2]
        prompts.append(Prompt(head + tale, ((statement.start, statement.end),)))
        tales.append(tale)
    return prompts, tales


def harms(
    model: Any, tokenizer: Any, steerings: Mapping[str, Steering], split: str, n: int, size: int = 16
) -> dict[str, Harm]:
    """The perplexity of stories under each steering, on the same `n` stories.

    The multiple is exp of the mean excess loss per token; its interval is that of a ratio of sums over the stories, by
    their spread around it.
    """
    prompts, tales = stories(split, n)
    counts = torch.tensor([len(tokenizer(tale)["input_ids"]) for tale in tales])
    plain = torch.zeros(n, dtype=torch.float64)
    more = {name: torch.zeros(n, dtype=torch.float64) for name in steerings}
    for chosen in w.batches(prompts, size):
        tokens = encode([prompts[i] for i in chosen], tokenizer)
        with torch.no_grad():
            plain[chosen] = _losses(model, tokens, counts[chosen])
            for name, steering in steerings.items():
                with steering.on(tokens):
                    more[name][chosen] = _losses(model, tokens, counts[chosen]) - plain[chosen]
    found = {}
    for name, gained in more.items():
        mean = float(gained.sum() / counts.sum())
        error = float((gained - mean * counts).square().mean().sqrt() / counts.float().mean()) / max(1, n - 1) ** 0.5
        low, high = (math.exp(mean + side * 1.959964 * error) for side in (-1, 1))
        found[name] = Harm(math.exp(mean), (low, high), n)
    return found


def excess(model: Any, tokenizer: Any, steering: Steering, split: str, n: int) -> torch.Tensor:
    """() nats that a token of `n` stories loses under a steering, all in one batch; gradients flow where they are wanted."""
    prompts, tales = stories(split, n)
    counts = torch.tensor([len(tokenizer(tale)["input_ids"]) for tale in tales])
    tokens = encode(prompts, tokenizer)
    with torch.no_grad():
        plain = _losses(model, tokens, counts)
    with steering.on(tokens):
        return (_losses(model, tokens, counts) - plain).sum() / counts.sum()


def _losses(model: Any, tokens: Tokens, counts: torch.Tensor) -> torch.Tensor:
    """(B,) summed loss in nats of the last `counts` tokens of each row."""
    keep = int(counts.max()) + 1
    out = model(
        tokens.ids,
        attention_mask=tokens.attention,
        position_ids=tokens.positions,
        logits_to_keep=keep,
        use_cache=False,
    )
    scores = out.logits[:, :-1].log_softmax(-1).gather(-1, tokens.ids[:, 1 - keep :, None])[:, :, 0]
    own = torch.arange(keep - 1, 0, -1) <= counts[:, None]
    losses: torch.Tensor = -(scores.double() * own).sum(-1)
    return losses


def matched(effect: Callable[[float], float], target: float, low: float = 0.01, high: float = 8.0) -> float:
    """The gain at which a growing effect reaches `target`; `high` where it never does, `low` where it does from there on.

    Bisection of its logarithm until the bounds are a quarter apart, then a straight line between their logarithms: an
    effect that grows like a power of the gain is met exactly. The line is between the bounds themselves where there is no
    effect at the lower one.
    """
    most, least = effect(high), effect(low)
    if most < target:
        return high
    if least >= target:
        return low
    while high > 1.25 * low:
        middle = (low * high) ** 0.5
        some = effect(middle)
        if some < target:
            low, least = middle, some
        else:
            high, most = middle, some
    if least <= 0:
        return low + (high - low) * (target - least) / (most - least)
    along = math.log(target / least) / math.log(most / least)
    return float(low * (high / low) ** along)
