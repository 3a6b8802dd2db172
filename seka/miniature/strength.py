"""At which gain experts and their mixture act: chosen on validation rows, before the test rows.

A score is the mean, over kinds of rows with two rivals, of how often the answer follows the mark in both directions, of an
instruction's answer every token (`measures.margins`). The rule (`choose_gain`) knows numbers alone. Which
heads act, and how strongly, is in `scales`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

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
PLATEAU = 0.01
"""How far below the best a score must be for smaller gains not to be asked for."""
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
    return min(gain for gain, found in scores.items() if found >= _below(scores, 0.0)), scores


def _below(scores: Mapping[float, float], distance: float) -> float:
    """`distance` below the best; shares of rows are rounded, and equal scores are to be equal, hence the last bit."""
    return max(scores.values()) - distance - 1e-9


def rows(n: int, tokenizer: Any) -> dict[str, list[Row]]:
    """{name: n validation rows} for each of SCORED, words unseen, half of them with unseen wordings too."""
    if n < 2 or n % 2:
        raise ValueError(f"{n} rows of each task asked for; wanted 2, 4, 6, ...: half of them have unseen wordings")
    kinds: dict[str, str | Make] = {**MATCHING, WORKED: worked_out}
    return {
        name: [row for half in (UNSEEN, NOWHERE) for row in draw(kinds[name], n // 2, VALIDATION, tokenizer, half)]
        for name in SCORED
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
        return sum(float((margins > 0).all(1).double().mean()) for margins in found) / len(SCORED)

    def harm(gain: float) -> float:
        measured[gain] = harms(model, tokenizer, {"": steering.with_gain(gain)}, VALIDATION, STORIES)[""].interval[1]
        return measured[gain]

    gain, scores = choose_gain(score, harm)
    if gain not in measured:
        harm(gain)
    return Strength(gain, scores, measured)
