"""Every figure of the model card, in sections that are measured by themselves, as plain values. It writes no file.

Test rows are read here and nowhere else. All draws are seeded by name, so that two runs read the same rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from seka.miniature.measures.datasheet import COUNT, datasheet
from seka.miniature.measures.evaluate import TEST, Rate, draw
from seka.miniature.measures.heads import maps
from seka.miniature.measures.matching import MATCHING, shares
from seka.miniature.measures.shipped import Shipped
from seka.miniature.measures.sideeffects import harms
from seka.miniature.measures.spread import spread
from seka.miniature.measures.tasks import MOST, SHORT, TASKS, UNSEEN, N, Task, measure, written
from seka.projections import Projection

ROUTED, STEERED = 200, 100
"""Rows of each kind for the router; and for the effects of heads, each of which is a reading of all of them."""

Report = Callable[[str], None]
Section = Callable[[Shipped, int, Report], dict[str, Any]]


def strength(here: Shipped, most: int, report: Report) -> dict[str, Any]:
    """What the shipped files recommend."""
    experts = {name: expert.recommended_gain for name, expert in here.router.experts.items()}
    return {
        "experts": {**experts, here.pooled.name: here.pooled.recommended_gain},
        "router": {
            "gain": here.router.recommended_gain,
            "score": here.router.score,
            "sharpness": here.router.sharpness,
        },
        "layers": here.router.recommended_layers,
        "scales": {
            **scales(here.router.experts, here.steerings["adaptive"].selected),
            **scales({here.pooled.name: here.pooled}, here.steerings["pooled"].selected),
        },
        "gains": {name: steering.positive for name, steering in here.steerings.items()},
    }


def scales(experts: Mapping[str, Projection], selected: Mapping[int, Tensor]) -> dict[str, dict[str, list[float]]]:
    """{expert: {layer: [H]}} of the layers that are steered: each head's scale; 0 for a head that is not steered."""
    return {
        name: {
            str(layer): [round(scale, 4) for scale in (expert.part(layer).scale * heads).tolist()]
            for layer, heads in selected.items()
        }
        for name, expert in experts.items()
    }


def tabled(tasks: dict[str, Task]) -> Section:
    """The section that measures some tasks, each way at its recommended strength."""

    def section(here: Shipped, most: int, report: Report) -> dict[str, Any]:
        found = {}
        for name, task in tasks.items():
            began = time.monotonic()
            found[name] = measure(replace(task, n=min(most, task.n)), here.model, here.tokenizer, here.ways)
            report(f"{name}: {time.monotonic() - began:.0f} s")
        return found

    return section


def perplexity(here: Shipped, most: int, report: Report) -> dict[str, Any]:
    """Perplexity of a story after a marked statement of another matter, as a multiple of the unsteered one, by way."""
    found = harms(here.model, here.tokenizer, here.steerings, TEST, min(most, N))
    return {
        name: {
            "gain": here.steerings[name].positive,
            "n": harm.n,
            "multiple": round(harm.multiple, 4),
            "low": round(harm.interval[0], 4),
            "high": round(harm.interval[1], 4),
        }
        for name, harm in found.items()
    }


def routing(here: Shipped, most: int, report: Report) -> dict[str, Any]:
    """{kind of row: how often the largest share is that of the matching expert, and every expert's mean share}."""
    found: dict[str, Any] = {}
    for expert, kind in MATCHING.items():
        rows = draw(kind, min(most, ROUTED), TEST, here.tokenizer, UNSEEN)
        each = shares(here.tokenizer, [row.marked(row.less_likely) for row in rows], here.steerings["adaptive"])
        hits = sum(max(share, key=share.__getitem__) == expert for share in each)
        found[kind] = {
            "matching": expert,
            **written(Rate(hits, len(rows))),
            "shares": {name: round(sum(share[name] for share in each) / len(each), 4) for name in here.router.names},
        }
    return found


def heads(here: Shipped, most: int, report: Report) -> dict[str, Any]:
    """Sensitivity and causal effect of every head of the pooled expert."""
    rows = draw("conflict", min(most, STEERED), TEST, here.tokenizer, UNSEEN)
    gain = here.steerings["pooled"].positive
    return maps(here.model, here.tokenizer, here.pooled, gain, rows)


SECTIONS: dict[str, Section] = {
    "strength": strength,
    "short": tabled(SHORT),
    "tasks": tabled(TASKS),
    "perplexity": perplexity,
    "routing": routing,
    "heads": heads,
    "spread": lambda here, most, report: spread(here, most),
    "datasheet": lambda here, most, report: datasheet(here.tokenizer, min(COUNT, 10 * most)),
}


def measured(
    sections: Sequence[str], most: int = MOST, report: Report = lambda line: None, here: Shipped | None = None
) -> dict[str, Any]:
    """{section: its figures} from the shipped files, on at most `most` rows of each task. ValueError for an unknown one."""
    if unknown := [name for name in sections if name not in SECTIONS]:
        raise ValueError(f"no section {unknown[0]!r}; wanted some of {', '.join(SECTIONS)}")
    here = here or Shipped.load()
    found = {}
    for name in sections:
        began = time.monotonic()
        found[name] = SECTIONS[name](here, most, report)
        report(f"{name}: measured in {time.monotonic() - began:.0f} s")
    return found
