"""Which expert the router picks: the share of each in a prompt's coefficients, and whether the largest is the matching one's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seka.miniature.measures import ways as w
from seka.miniature.measures.evaluate import Rate, Row
from seka.prompts import Prompt
from seka.steering import Steering
from seka.tokens import encode

MATCHING = {"facts": "conflict", "roles": "biography", "instructions": "instructions", "passages": "passage"}
"""The kind of rows that is like what each expert was learnt from; instructions are of every kind."""


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


def matching(tokenizer: Any, rows: Mapping[str, Sequence[Row]], steering: Steering) -> Rate:
    """How often the largest share is that of the expert under whose name a row stands, the less likely statement marked."""
    hits = 0
    for expert, some in rows.items():
        found = shares(tokenizer, [row.marked(row.less_likely) for row in some], steering)
        hits += sum(max(share, key=share.__getitem__) == expert for share in found)
    return Rate(hits, sum(len(some) for some in rows.values()))
