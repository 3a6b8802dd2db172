"""Which expert the router picks: the share of each in a prompt's coefficients; and the prompts of its experts' baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from seka.miniature.measures import ways as w
from seka.miniature.measures.evaluate import VALIDATION, draw
from seka.miniature.measures.tasks import UNSEEN
from seka.prompts import Prompt
from seka.steering import Steering
from seka.tokens import encode

MATCHING = {"facts": "conflict", "roles": "biography", "instructions": "instructions", "passages": "passage"}
"""The kind of rows that is like what each expert was learnt from; instructions are of every kind."""
USUAL = 100
"""Prompts of each of these kinds that baselines are measured on."""


def usual(tokenizer: Any, n: int = USUAL) -> list[Prompt]:
    """`n` validation prompts of each kind of MATCHING, with nothing marked; words are unseen ones, wordings those of
    training."""
    return [
        Prompt(row.case.prompt) for kind in MATCHING.values() for row in draw(kind, n, VALIDATION, tokenizer, UNSEEN)
    ]


def shares(tokenizer: Any, prompts: Sequence[Prompt], steering: Steering, size: int = 32) -> list[dict[str, float]]:
    """{expert: share} of each prompt's coefficients, over layers and heads. ValueError for a steering without a router."""
    if steering.router is None:
        raise ValueError("this steering has no router, so no expert has a share; wanted Steering(model, Router(...))")
    found: dict[int, dict[str, float]] = {}
    for chosen in w.batches(prompts, size):
        tokens = encode([prompts[i] for i in chosen], tokenizer)
        with steering.on(tokens) as session:
            w.plain(steering.model).read(tokens)
        assert session.routing is not None
        found |= {i: session.routing.row(place).totals() for place, i in enumerate(chosen)}
    return [found[i] for i in range(len(prompts))]
