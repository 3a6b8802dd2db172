"""What steering does where it should do nothing: to a story after a marked sentence, and to an answer that a mark misses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import torch

from seka.miniature.corpus.asking import TRAINING
from seka.miniature.corpus.cases import conflict
from seka.miniature.corpus.stories import story
from seka.miniature.measures import ways as w
from seka.miniature.measures.evaluate import Row
from seka.miniature.measures.ways import Way
from seka.prompts import Prompt
from seka.steering import Steering
from seka.tokens import encode


@torch.no_grad()
def perplexity(model: Any, tokenizer: Any, steering: Steering, split: str, n: int = 100) -> float:
    """Perplexity of a story after a marked sentence of another matter, as a multiple of the unsteered one."""
    total, count = [0.0, 0.0], 0
    for index in range(n):
        random = Random(f"0/{split}/side effect/{index}")
        case, tale = conflict(random, TRAINING), story(random)
        head = case.prompt[: max(statement.end for statement in case.statements)] + ".\n"
        statement = case.statements[index % 2]
        tokens = encode(Prompt(head + tale, ((statement.start, statement.end),)), tokenizer)
        own = len(tokenizer(tale)["input_ids"])
        with steering.on(tokens):
            edited = model(tokens.ids, attention_mask=tokens.attention, use_cache=False).logits[0]
        plain = model(tokens.ids, attention_mask=tokens.attention, use_cache=False).logits[0]
        for way, logits in enumerate((plain, edited)):
            loss = torch.nn.functional.cross_entropy(logits[-own - 1 : -1], tokens.ids[0, -own:], reduction="sum")
            total[way] += float(loss)
        count += own
    return float(torch.tensor((total[1] - total[0]) / count).exp())


def spill(tokenizer: Any, rows: Sequence[Row], way: Way, plain: torch.Tensor) -> float:
    """Mean KL(way || plain) in nats of the first answer token when a sentence that does not answer is marked.

    plain: (N, V) logits of the rows' prompts without steering.
    """
    prompts = [row.marked((row.case.chosen + 1) % len(row.firsts)) for row in rows]
    steered = w.logits(tokenizer, prompts, way).log_softmax(-1)
    return float((steered.exp() * (steered - plain.log_softmax(-1))).sum(-1).mean())


def matched(effect: Callable[[float], float], target: float, low: float = 1e-3, high: float = 8.0) -> float:
    """The gain at which a growing effect reaches `target`, by bisection of its logarithm; `high` where it never does."""
    if effect(high) < target:
        return high
    for _ in range(12):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if effect(middle) < target else (low, middle)
    return float((low * high) ** 0.5)
