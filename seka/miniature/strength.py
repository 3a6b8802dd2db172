"""Which heads are useful, at which gain experts act, how sharply the router chooses: on validation rows, before the test rows.

A score is the mean, over kinds of rows with two rivals, of how often the answer follows the mark in both directions, of an
instruction's answer every token (`measures.margins`). The rules (`choose_gain`, `choose_sharpness`) know numbers alone. How
strongly each head acts is in `scales`.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seka.effects import effects
from seka.miniature.measures.evaluate import VALIDATION, Make, Row, draw
from seka.miniature.measures.margins import both
from seka.miniature.measures.matching import MATCHING
from seka.miniature.measures.sideeffects import harms
from seka.miniature.measures.tasks import NOWHERE, UNSEEN, worked_out
from seka.projections import Projection
from seka.routing import Router
from seka.steering import Steering

GAINS = (
    0.03, 0.05, 0.08, 0.12, 0.15, 0.18, 0.2, 0.22, 0.24, 0.27, 0.3, 0.33, 0.36, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7,
    0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.3, 2.6, 3.0,
)  # fmt: skip
HEADS = 24
"""How many heads may act: those that do most for a mark for the harm that they do (`most_useful`)."""
ALONE = 1.0
"""Gain at which a head is steered alone."""
FEW = 24
"""Rows of each task that a head's effect is measured on, at most: taken at even steps, so that some have unseen wordings."""
TALES = 60
"""Stories that a head's harm is measured on."""
NOISE = 5e-4
"""Excess loss in nats a token that counts as none: less is not told apart by so few stories."""
SHARPNESS = (1.0, 4.0, 8.0, 16.0)
PLATEAU = 0.01
"""How far below the best score another one may be to count as good as it: a few rows are no difference."""
HARM = 1.02
"""Perplexity of a story after a marked sentence, as a multiple of the unsteered one, up to which a gain does no harm: the
upper end of its 95 % interval is meant, so that other stories seldom find more."""
STORIES = 200
"""Stories that a harm is measured on."""
WORKED = "worked out"
"""Rows of instructions that say how to find what to write; they stand beside those of MATCHING."""
SCORED = {"facts": False, "roles": False, "instructions": True, WORKED: True}
"""Whose rows have two rivals each: conflicts, biographies and instructions of either kind; and whether the whole answer is
read, or its first token, as in the targets."""


@dataclass(frozen=True)
class Strength:
    """A gain, and what was measured to choose it: the scores and, as multiples of the unsteered one, the upper ends of the
    perplexities of the gains that were in question."""

    gain: float
    scores: Mapping[float, float]
    perplexity: Mapping[float, float]

    @property
    def score(self) -> float:
        """The score at the gain."""
        return self.scores[self.gain]

    @property
    def harm(self) -> float:
        """The upper end of the perplexity at the gain."""
        return self.perplexity[self.gain]

    def __str__(self) -> str:
        return f"gain {self.gain:g} of " + ", ".join(
            f"{gain:g} {score:.3f}" for gain, score in sorted(self.scores.items())
        )

    def written(self) -> dict[str, Any]:
        """As plain values for a file."""

        def table(values: Mapping[float, float]) -> dict[str, float]:
            return {f"{gain:g}": round(value, 4) for gain, value in sorted(values.items())}

        return {"gain": self.gain, "scores": table(self.scores), "perplexity": table(self.perplexity)}


def choose_gain(score: Callable[[float], float], harm: Callable[[float], float]) -> tuple[float, dict[float, float]]:
    """Of the GAINS that do no harm the one that scores best, of equals the smallest; and the scores asked for.

    Where the smallest one does harm, that one. Harm is taken to grow with the gain. Scores are asked for from the largest
    harmless gain down, until one is more than PLATEAU below the best.
    """
    allowed = GAINS[: max(1, bisect_right(GAINS, HARM, key=harm))]
    scores: dict[float, float] = {}
    for gain in reversed(allowed):
        scores[gain] = score(gain)
        if scores[gain] < _below(scores, PLATEAU):
            break
    return max(scores, key=lambda gain: (scores[gain], -gain)), scores


def choose_sharpness(found: Mapping[float, Strength]) -> float:
    """The largest of the sharpnesses that do no harm at their gain (of all, where every one does) and score at most PLATEAU
    below the best of them: it shows most plainly which expert a prompt is given to."""
    scores = {sharpness: found[sharpness].score for sharpness in _harmless(found) or found}
    return max(sharpness for sharpness, score in scores.items() if score >= _below(scores, PLATEAU))


def _harmless(found: Mapping[Any, Strength]) -> list[Any]:
    return [name for name, here in found.items() if here.harm <= HARM]


def _below(scores: Mapping[float, float], distance: float) -> float:
    """`distance` below the best; shares of rows are no exact fractions, hence the last bit."""
    return max(scores.values()) - distance - 1e-9


def most_useful(effect: Mapping[int, Sequence[float]], harm: Mapping[int, Sequence[float]]) -> list[tuple[int, int]]:
    """(layer, head) of heads that do something for a mark, those first that do most for the harm that they do.

    effect, harm: {layer: [H]} in nats. A harm below NOISE counts as NOISE.
    """
    worth = {
        (layer, head): gain / max(harm[layer][head], NOISE)
        for layer, row in effect.items()
        for head, gain in enumerate(row)
        if gain > 0
    }
    return sorted(worth, key=lambda place: (-worth[place], place))


def alone(
    model: Any, tokenizer: Any, projection: Projection, given: Mapping[str, Sequence[Row]]
) -> list[tuple[int, int]]:
    """The heads in the order of `most_useful`, each steered alone at the gain ALONE.

    Its effect: nats that the marked answer's first token gains, mean over SCORED, FEW rows of each, either one marked.
    Its harm: nats a token that TALES stories lose.
    """
    effect: dict[int, Tensor] = {}
    for name in SCORED:
        some = given[name][:: max(1, len(given[name]) // FEW)][:FEW]
        asked = [(row.marked(i), row.case.answers[i]) for row in some for i in (0, 1)]
        for layer, found in effects(model, tokenizer, projection, asked, ALONE).items():
            effect[layer] = effect.get(layer, torch.zeros(())) + found.nan_to_num(0.0) / len(SCORED)
    every = Steering(model, projection, ALONE, layers="all")
    heads = {
        (layer, head): every.only({layer: [head]})
        for layer, row in every.selected.items()
        for head in row.nonzero()[:, 0].tolist()
    }
    told = harms(model, tokenizer, {f"{layer}:{head}": one for (layer, head), one in heads.items()}, VALIDATION, TALES)
    harm = {layer: [0.0] * len(row) for layer, row in effect.items()}
    for layer, head in heads:
        harm[layer][head] = math.log(told[f"{layer}:{head}"].multiple)
    return most_useful({layer: row.tolist() for layer, row in effect.items()}, harm)


def rows(n: int, tokenizer: Any) -> dict[str, list[Row]]:
    """{expert: n validation rows} of its kind in MATCHING and of WORKED, words unseen, half of them with unseen wordings too."""
    if n < 2 or n % 2:
        raise ValueError(f"{n} rows of each task asked for; wanted 2, 4, 6, ...: half of them have unseen wordings")
    kinds: dict[str, str | Make] = {**MATCHING, WORKED: worked_out}
    return {
        name: [row for options in (UNSEEN, NOWHERE) for row in draw(kind, n // 2, VALIDATION, tokenizer, options)]
        for name, kind in kinds.items()
    }


def strength(
    model: Any, tokenizer: Any, source: Projection | Router, given: Mapping[str, Sequence[Row]], layers: str = "all"
) -> Strength:
    """The gain of an expert or a mixture in some layers or heads, on the given rows."""
    steering = Steering(model, source, positive=GAINS[0], layers=layers)
    measured: dict[float, float] = {}

    def score(gain: float) -> float:
        with torch.no_grad():
            steered = steering.with_gain(gain)
            found = [both(tokenizer, given[name], steered, whole) for name, whole in SCORED.items()]
        return sum(float((margins > 0).all(1).float().mean()) for margins in found) / len(SCORED)

    def harm(gain: float) -> float:
        measured[gain] = harms(model, tokenizer, {"": steering.with_gain(gain)}, VALIDATION, STORIES)[""].interval[1]
        return measured[gain]

    gain, scores = choose_gain(score, harm)
    if gain not in measured:
        harm(gain)
    return Strength(gain, scores, measured)
