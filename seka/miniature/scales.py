"""How strongly each head acts beside the others: scales of the gain, by gradient ascent through the steered model.

Each expert has scales of its own: it may act in a head where another does not, and the router weighs them by the prompt. What
grows is the share of rows whose answers follow the mark in both directions, made smooth, less a price for what stories lose.
Rows and stories are of validation, other ones in each step; those that choose the gain are not among them.
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
from seka.miniature.measures.tasks import NOWHERE, UNSEEN, instructions
from seka.projections import Projection
from seka.routing import Router
from seka.steering import Steering

STEPS = 100
RATE = 0.03
"""Adam's rate in the first step; it falls to a fifth of that in a straight line."""
BEGIN = 0.15
"""Strength that every head begins with: gain times scale."""
LEAST = 0.05
"""Scale, 1 being the strongest of all, that a head must have in one of the experts, or it is left alone."""
FAINT = 0.01
"""Scale where there is to be next to none; a file has no 0."""
SHARPNESS = 8.0
SCORE = "relative"
"""Sharpness and score are the router's: the shipped one acts as the one that scales are found for."""
PRICE = 1.0
"""Share of rows that a nat of excess loss a token of a story is worth."""
TALES = 16
"""Stories of a step."""
KINDS: Sequence[tuple[str | Make, Options, int, bool, float]] = (
    (instructions, UNSEEN, 24, True, 1.5),
    ("choice", UNSEEN, 16, True, 2.0),
    ("pick", UNSEEN, 12, True, 1.5),
    ("form", UNSEEN, 8, True, 1.0),
    ("number", UNSEEN, 4, True, 0.3),
    ("conflict", UNSEEN, 12, False, 1.0),
    ("conflict", NOWHERE, 32, False, 4.0),
    ("biography", UNSEEN, 12, False, 1.0),
)
"""Rows of a step, and whether whole answers or their first tokens are read, as in the targets: of two rivals that begin
differently the first token tells, of instructions the form of the whole is what was asked for. Last what a kind weighs:
more where marks are followed least often, least where they always are."""
Scales = dict[str, dict[int, list[float]]]
"""{expert: {layer: [H]}}"""


def tune(
    model: Any,
    tokenizer: Any,
    experts: Mapping[str, Projection],
    heads: Sequence[tuple[int, int]],
    steps: int = STEPS,
    report: Callable[[str], None] = lambda line: None,
) -> Scales:
    """Scales of (layer, KV head) of each expert of a mixture, or of one expert alone; 1 for the strongest of all.

    0 for heads that are not given, and in every expert for those that end below LEAST in all of them. The mean over the second
    half of the steps, as one step's rows are few. ValueError where no head is given, and where no scale stays above 0.
    """
    free = {layer: torch.zeros_like(row) for layer, row in next(iter(experts.values())).scale.items()}
    for layer, head in heads:
        free[layer][head] = 1.0
    leaves = {name: {layer: (BEGIN * row).requires_grad_() for layer, row in free.items()} for name in experts}
    total = {name: {layer: torch.zeros_like(row) for layer, row in free.items()} for name in experts}
    ascent = torch.optim.Adam([leaf for own in leaves.values() for leaf in own.values()], lr=RATE, betas=(0.8, 0.95))
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
                for name, own in leaves.items():
                    for layer, row in own.items():
                        row.mul_(free[layer]).clamp_(min=0)
                        if step >= steps // 2:
                            total[name][layer] += row
    most = max(float(row.max()) for own in total.values() for row in own.values())
    if most == 0:
        raise ValueError(f"no scale of {list(heads)} stays above 0; wanted heads that do something for a mark")
    kept = {layer: torch.stack([own[layer] for own in total.values()]).amax(0) >= LEAST * most for layer in free}
    return {
        name: {layer: [round(scale, 2) for scale in (row / most * kept[layer]).tolist()] for layer, row in own.items()}
        for name, own in total.items()
    }


def acting(scales: Scales) -> list[tuple[int, int]]:
    """The (layer, head) that act in any of the experts."""
    return sorted(
        {
            (layer, head)
            for own in scales.values()
            for layer, row in own.items()
            for head, scale in enumerate(row)
            if scale
        }
    )


def filled(scales: Scales, heads: Sequence[tuple[int, int]]) -> Scales:
    """Scales above 0 for every head: FAINT where one of `heads` acts in other experts alone; and where a head is none of them,
    which a visitor may ask for all the same, the smallest of the expert's own that is not below LEAST."""

    def every(own: dict[int, list[float]]) -> dict[int, list[float]]:
        least = min((scale for row in own.values() for scale in row if scale >= LEAST), default=LEAST)
        return {
            layer: [scale or (FAINT if (layer, head) in heads else least) for head, scale in enumerate(row)]
            for layer, row in own.items()
        }

    return {name: every(own) for name, own in scales.items()}


def written(scales: Scales, heads: Sequence[tuple[int, int]]) -> dict[str, dict[str, list[float]]]:
    """The scales of `heads` as plain values for a file, {expert: {layer: [H]}}; 0 for heads beside them in their layers."""
    layers = {layer for layer, _ in heads}
    return {
        name: {
            str(layer): [scale if (layer, head) in heads else 0.0 for head, scale in enumerate(row)]
            for layer, row in own.items()
            if layer in layers
        }
        for name, own in scales.items()
    }


def terms(model: Any, tokenizer: Any, steering: Steering, step: int) -> Iterator[Tensor]:
    """What a steering is worth on the rows of a step, as () terms to be added up: a share of rows, made smooth, for each of
    KINDS, and last the price of the excess loss of stories, which is a gain where they become likelier."""
    split = f"{VALIDATION}, step {step}"
    every = sum(weight for *_, weight in KINDS)
    for kind, options, n, whole, weight in KINDS:
        margins = both(tokenizer, draw(kind, n, split, tokenizer, options), steering, whole)
        yield margins.sigmoid().prod(1).mean() * weight / every
    yield -PRICE * excess(model, tokenizer, steering, split, TALES)


def mixed(model: Any, experts: Mapping[str, Projection], scales: Mapping[str, Mapping[int, Tensor]]) -> Steering:
    """The mixture at gain 1 in every head, or the one expert as it acts alone, differentiable by the scales of each."""

    def scaled(expert: Projection, own: Mapping[int, Tensor]) -> Projection:
        parts = {layer: replace(expert.part(layer), scale=own[layer]) for layer in expert.layers}
        return replace(expert, parts=parts)

    ready = {name: scaled(expert, scales[name]) for name, expert in experts.items()}
    source = Router(ready, sharpness=SHARPNESS, score=SCORE) if len(ready) > 1 else next(iter(ready.values()))
    return Steering(model, source, positive=1.0, layers="all")


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
