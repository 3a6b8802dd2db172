"""The ways compared fairly: each at the strength that does the same harm, on the tasks where they differ most.

Harm is what a mark does that misses, the mean over `misses.KINDS`. Strength is matched on validation rows; what is told,
harm too, comes from test rows. Intervals are bootstraps, paired for differences: every way is drawn on the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from seka.miniature.measures import ways as w
from seka.miniature.measures.evaluate import TEST, VALIDATION, Rate
from seka.miniature.measures.misses import misses, plain_logits, spill
from seka.miniature.measures.shipped import Shipped
from seka.miniature.measures.sideeffects import matched
from seka.miniature.measures.tasks import TASKS, follows, rows_of, written
from seka.miniature.measures.ways import Way
from seka.steering import Steering

TARGET = 0.05
"""Nats of KL at a mark that misses, which every strength is matched to."""
MATCHED_ON, TOLD_ON = 60, 60
"""Rows of each kind of miss that strengths are matched on, of validation, and that harm is told on, of test."""
GRADED = ("conflict, unseen wordings", "one against 3", "visitor")
BASE = "key scaling"
DRAWS = 2000

Made = Callable[[float], Way]


def made(here: Shipped) -> dict[str, Way | Made]:
    """Every way that is compared; those that have a strength as a function of it."""
    everywhere = Steering(here.model, w.key_scaling(here.pooled, equally=True), positive=1.0, layers="all")

    def of(name: str) -> Made:
        return lambda gain: w.steered(here.steerings[name].with_gain(gain))

    return {
        "none": w.plain(here.model),
        "marked prompt": w.written(here.model),
        "logit bias": partial(w.biased, here.model),
        "key scaling, every head": lambda gain: w.steered(everywhere.with_gain(gain)),
        **{name: of(name) for name in here.steerings},
    }


def spread(here: Shipped, most: int) -> dict[str, Any]:
    """Strength, harm and rates of every way, and both differences to key scaling; at most `most` rows of each task. Last the
    harm of what is shipped, at its own strength."""
    tuning, testing = misses(VALIDATION, min(most, MATCHED_ON)), misses(TEST, min(most, TOLD_ON))
    plain, told = (plain_logits(here.model, here.tokenizer, prompts) for prompts in (tuning, testing))

    def harm(way: Way) -> float:
        kinds = spill(here.tokenizer, tuning, way, plain)
        return sum(float(some.mean()) for some in kinds.values()) / len(kinds)

    found: dict[str, dict[str, Any]] = {}
    spilt: dict[str, dict[str, Tensor]] = {}
    hits: dict[str, dict[str, Tensor]] = {}
    graded = {name: replace(TASKS[name], n=min(most, TASKS[name].n)) for name in GRADED}
    rows = {name: rows_of(task, here.tokenizer) for name, task in graded.items()}
    for name, make in made(here).items():
        way, gain = strong(make, harm)
        hits[name] = {
            title: torch.tensor(follows(task, rows[title], here.model, here.tokenizer, way), dtype=torch.float64)
            for title, task in graded.items()
        }
        spilt[name] = spill(here.tokenizer, testing, way, told)
        found[name] = {
            "gain": None if gain is None else round(gain, 4),
            "side effect": interval(spilt[name]),
            "tasks": {task: written(Rate(int(some.sum()), len(some))) for task, some in hits[name].items()},
        }
    for name, mine in hits.items():
        found[name]["mean"] = interval(mine)
        found[name]["over key scaling"] = interval({task: mine[task] - hits[BASE][task] for task in GRADED})
        more = {kind: some - spilt[BASE][kind] for kind, some in spilt[name].items()}
        found[name]["side effect over key scaling"] = interval(more)
    counts = {"matched on": min(most, MATCHED_ON), "told on": min(most, TOLD_ON)}
    return {
        "target": TARGET,
        **counts,
        "draws": DRAWS,
        "ways": found,
        "recommended": {
            name: {"gain": way.steering.positive, **interval(spill(here.tokenizer, testing, way, told))}
            for name, way in here.ways.items()
            if way.steering
        },
    }


def strong(make: Way | Made, harm: Callable[[Way], float]) -> tuple[Way, float | None]:
    """A way at the strength that does TARGET of harm, and that strength; a way without a strength as it is."""
    if isinstance(make, Way):
        return make, None
    gain = matched(lambda gain: harm(make(gain)), TARGET)
    return make(gain), gain


def interval(values: Mapping[str, Tensor], draws: int = DRAWS) -> dict[str, float]:
    """Mean over tasks of the mean over rows, {task: (N,)}, and its 95 % interval from seeded draws of rows.

    The draws depend on the task's place and number of rows alone, so that two ways are drawn on the same rows.
    """
    means = []
    for seed, some in enumerate(values.values()):
        picked = torch.randint(len(some), (draws, len(some)), generator=torch.Generator().manual_seed(seed))
        means.append(some[picked].mean(1))
    low, high = torch.stack(means).mean(0).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    value = sum(float(some.mean()) for some in values.values()) / len(values)
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}
