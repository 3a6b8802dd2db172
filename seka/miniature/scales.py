"""How strongly each head acts beside the others: scales of the gain, by gradient ascent through the steered model.

What grows is the share of rows whose whole answers follow the mark in both directions, made smooth, less a price for what
stories lose. Rows and stories are of validation, other ones in each step; those that choose the gain are not among them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from seka.miniature.corpus.asking import Options
from seka.miniature.measures.evaluate import VALIDATION, Make, draw
from seka.miniature.measures.margins import both
from seka.miniature.measures.sideeffects import excess
from seka.miniature.measures.tasks import NOWHERE, UNSEEN, instructions, worked_out
from seka.projections import Projection
from seka.routing import Router
from seka.steering import Steering

STEPS = 48
RATE = 0.03
"""Adam's rate in the first step; it falls to a fifth of that in a straight line."""
BEGIN = 0.15
"""Strength that every head begins with: gain times scale."""
LEAST = 0.1
"""Share of the strongest head's scale below which a head is left alone."""
PRICE = 1.0
"""Share of rows that a nat of excess loss a token of a story is worth."""
TALES = 16
"""Stories of a step."""
KINDS: Sequence[tuple[str | Make, Options, int]] = (
    (instructions, UNSEEN, 32),
    (worked_out, UNSEEN, 32),
    ("conflict", UNSEEN, 20),
    ("conflict", NOWHERE, 20),
    ("biography", UNSEEN, 12),
)
"""Rows of a step, each kind weighing the same."""


def tune(
    model: Any,
    tokenizer: Any,
    experts: Mapping[str, Projection],
    heads: Sequence[tuple[int, int]],
    steps: int = STEPS,
    report: Callable[[str], None] = lambda line: None,
) -> dict[int, list[float]]:
    """{layer: [H]} scales of (layer, KV head) for a mixture of experts, 1 for the strongest; 0 for heads that are not given
    and for those that end below LEAST. The mean over the second half of the steps, as one step's rows are few.

    ValueError where no head is given, and where no scale stays above 0.
    """
    free = {layer: torch.zeros_like(row) for layer, row in next(iter(experts.values())).scale.items()}
    for layer, head in heads:
        free[layer][head] = 1.0
    leaves = {layer: (BEGIN * row).requires_grad_() for layer, row in free.items()}
    total = {layer: torch.zeros_like(row) for layer, row in free.items()}
    ascent = torch.optim.Adam(leaves.values(), lr=RATE, betas=(0.8, 0.95))
    schedule = torch.optim.lr_scheduler.LinearLR(ascent, 1.0, 0.2, steps)
    with frozen(model):
        for step in range(steps):
            ascent.zero_grad()
            found = []
            for term in terms(model, tokenizer, mixed(model, experts, leaves), step):
                (-term).backward()  # term by term, as the graph of one is large; what optimisers do is descend
                found.append(float(term.detach()))
            report(f"scales, step {step + 1} of {steps}: both ways {sum(found[:-1]):.3f}, stories {found[-1]:+.4f}")
            ascent.step()
            schedule.step()
            with torch.no_grad():
                for layer, row in leaves.items():
                    row.mul_(free[layer]).clamp_(min=0)
                    if step >= steps // 2:
                        total[layer] += row
    most = max(float(row.max()) for row in total.values())
    if most == 0:
        raise ValueError(f"no scale of {list(heads)} stays above 0; wanted heads that do something for a mark")
    shares = {layer: (row / most).tolist() for layer, row in total.items()}
    return {layer: [round(share, 2) if share >= LEAST else 0.0 for share in row] for layer, row in shares.items()}


def terms(model: Any, tokenizer: Any, steering: Steering, step: int) -> Iterator[Tensor]:
    """What a steering is worth on the rows of a step, as () terms to be added up: a share of rows, made smooth, for each of
    KINDS, and last the price of the excess loss of stories, which is a gain where they become likelier."""
    split = f"{VALIDATION}, step {step}"
    for kind, options, n in KINDS:
        margins = both(tokenizer, draw(kind, n, split, tokenizer, options), steering)
        yield margins.sigmoid().prod(1).mean() / len(KINDS)
    yield -PRICE * excess(model, tokenizer, steering, split, TALES)


def mixed(model: Any, experts: Mapping[str, Projection], scales: Mapping[int, Tensor]) -> Steering:
    """The mixture at gain 1 in every head, differentiable by the scales."""

    def scaled(expert: Projection) -> Projection:
        parts = {layer: replace(expert.part(layer), scale=scales[layer]) for layer in expert.layers}
        return replace(expert, parts=parts)

    router = Router({name: scaled(expert) for name, expert in experts.items()})
    return Steering(model, router, positive=1.0, layers="all")


@contextmanager
def frozen(model: Any) -> Iterator[None]:
    """No gradient of the model's own weights is kept."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_()
