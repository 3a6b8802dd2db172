"""What the embedded model is meant to reach, and whether measured figures do. It measures nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from seka.miniature.measures.tasks import POSITIONS

DEFAULT = "adaptive"
"""The way that is judged: what the page begins with, at its recommended strength."""
FLAT, HARMLESS = 0.05, 1.02
"""How far rates by position may lie apart; and the perplexity of a story, as a multiple, that is allowed."""


@dataclass(frozen=True)
class Target:
    """One line of the table: a figure of a task when marked, at `least`; and one without steering, within `plain`.

    unmarked: the figure without steering; "" where one answer cannot be right in both directions.
    plain: (lowest, highest) that is wanted of it; None where it is only to be stated.
    """

    what: str
    task: str
    figure: str
    least: float
    unmarked: str = ""
    plain: tuple[float, float] | None = None


LESS, BOTH = "less likely one marked", "both ways"
KINDS = {
    "conflict": "wordings of training",
    "conflict, unseen wordings": "unseen wordings",
    "conflict, invented values": "invented values",
}
TARGETS = (
    *(
        Target(f"contradiction ({about}), the less likely statement marked", task, LESS, least, "the less likely", (0.2, 0.4))
        for (task, about), least in zip(KINDS.items(), (0.97, 0.9, 0.9), strict=True)
    ),
    *(
        Target(f"contradiction ({about}), both directions on the same prompt", task, BOTH, least)
        for (task, about), least in zip(KINDS.items(), (0.95, 0.85, 0.85), strict=True)
    ),
    *(
        Target(f"one marked statement against {count}", f"one against {count}", "marked", least, "the less likely", (0.0, most))
        for count, least, most in ((2, 0.95, 0.35), (3, 0.9, 0.25), (5, 0.8, 0.15))
    ),
    Target("biography with a distraction, the role marked", "biography", "first one marked", 0.97, "the first", (0.35, 0.55)),
    Target("two instructions that name what to write, both directions, whole output", "instructions", BOTH, 0.9),
    Target(
        "two instructions how to find what to write, both directions, whole output", "instructions, worked out", BOTH, 0.9,
    ),
    Target(
        "whole answers of several words, right ones kept", "whole answers kept", "right ones kept", 0.9,
        "the corpus's",
    ),
    Target("whole answers of several words, the less likely marked", "whole answers", LESS, 0.85, "the less likely"),
    Target("typed by a visitor, the first statement marked", "visitor", "first one marked", 0.85, "the first"),
    Target("typed by a visitor, both directions", "visitor", BOTH, 0.85),
)  # fmt: skip


def met(reached: bool) -> str:
    """The word for it."""
    return "met" if reached else "missed"


def value(rate: Mapping[str, Any]) -> float:
    """A rate's share, 0 to 1; 0 of no rows."""
    return float(rate["hits"] / rate["n"]) if rate["n"] else 0.0


def by_position(tasks: Mapping[str, Any], way: str) -> dict[str, Mapping[str, Any]]:
    """{position: rate} in long passages, the right sentence marked; without steering, how often the answer is right."""
    figure = "the corpus's" if way == "none" else "marked"
    places = [f"{round(100 * position)} %" for position in POSITIONS]
    return {place: tasks[f"long passage, at {place}"][way][figure] for place in places}


def apart(rates: Mapping[str, Mapping[str, Any]]) -> float:
    """Distance of the best from the worst of some rates; of 100 % from 95 % exactly 0.05, which a float would exceed."""
    values = [Fraction(rate["hits"], rate["n"]) if rate["n"] else Fraction(0) for rate in rates.values()]
    return float(max(values) - min(values))


def verdicts(sections: Mapping[str, Any]) -> list[tuple[Target, bool | None, bool]]:
    """Each target with whether the unsteered figure is as wanted (None: nothing is) and whether the default way reaches it."""
    found = []
    for target in TARGETS:
        task = sections["tasks"][target.task]
        as_wanted = None
        if target.plain:
            low, high = target.plain
            as_wanted = low <= value(task["none"][target.unmarked]) <= high
        found.append((target, as_wanted, value(task[DEFAULT][target.figure]) >= target.least))
    return found
