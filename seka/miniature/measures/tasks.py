"""The list of what is measured: rows, ways and counts of every figure of the card, so that two runs measure the same.

A task is measured by itself, on rows that depend on nothing but its name, and returns plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any

from seka.miniature.corpus.asking import TRAINING, Case, Options
from seka.miniature.corpus.cases import conflict, passage
from seka.miniature.corpus.replies import INSTRUCTIONS
from seka.miniature.corpus.visitors import visitor
from seka.miniature.measures import ways as w
from seka.miniature.measures.evaluate import (
    TEST,
    Ask,
    Make,
    Rate,
    Right,
    Row,
    both_ways,
    distracted,
    draw,
    first_right,
    ignored,
    kept,
    one_marked,
    unsteered,
    whole_right,
)
from seka.miniature.measures.ways import Way

N = 500
UNSEEN = Options(words=True)
NOWHERE = Options(words=True, wordings=True)
POSITIONS = (0.0, 0.25, 0.5, 0.75, 1.0)
ALL = ("none", "adaptive", "pooled", "random subspace", "key scaling")
FEW = ("none", "adaptive", "key scaling")


@dataclass(frozen=True)
class Task:
    """One table of the card. count: what is counted on the rows, see COUNTS. whole: whole answers, not first tokens."""

    title: str
    kind: str | Make
    count: str
    options: Options = TRAINING
    ways: tuple[str, ...] = FEW
    n: int = N
    whole: bool = False


def instructions(random: Random, options: Options) -> Case:
    """Two instructions of any kind."""
    return INSTRUCTIONS[random.choice(list(INSTRUCTIONS))](random, options)


def phrases(random: Random, options: Options) -> Case:
    """Two statements whose values are of several words."""
    while True:
        case = conflict(random, options)
        if all(" " in statement.value for statement in case.statements):
            return case


def phrases_in_passages(random: Random, options: Options) -> Case:
    """A passage with an answer of several words."""
    while True:
        case = passage(random, options)
        if " " in case.answer.strip():
            return case


TASKS: dict[str, Task] = {
    "conflict": Task("Two statements contradict each other; unseen words", "conflict", "rivals", UNSEEN, ALL),
    "conflict, unseen wordings": Task("The same, and every wording unseen as well", "conflict", "rivals", NOWHERE, ALL),
    "conflict, invented values": Task(
        "The same, values invented", "conflict", "rivals", replace(UNSEEN, invented=True)
    ),
    "visitor": Task("Typed by a visitor: names and words from an English word list", visitor, "rivals", TRAINING, ALL),
    **{
        f"one against {count}": Task(
            f"One marked statement against {count} that contradict it",
            "several",
            "one",
            replace(UNSEEN, count=count + 1),
        )
        for count in (2, 3, 5)
    },
    "biography": Task("Biography with another line of work as a distraction", "biography", "rivals", UNSEEN, ALL),
    "instructions": Task("Two rules that cannot both be followed", instructions, "rivals", UNSEEN, FEW, whole=True),
    "passage": Task("Question about a passage", "passage", "sentences", UNSEEN),
    **{
        f"long passage, at {round(100 * position)} %": Task(
            "Question about a long passage, by the place of the sentence that answers",
            "long passage",
            "one",
            replace(UNSEEN, position=position),
            ("none", "adaptive"),
            100,
        )
        for position in POSITIONS
    },
    "whole answers": Task(
        "Whole answers of two statements that contradict each other", phrases, "rivals", UNSEEN, whole=True
    ),
    "whole answers kept": Task("Whole answers about a passage", phrases_in_passages, "sentences", UNSEEN, whole=True),
    "override": Task("A capital told wrongly", "override", "rivals"),
}
SHORT = {"conflict": ("none", "adaptive"), "visitor": ("none", "adaptive")}
"""What a quick check measures again."""


def rivals(rows: Sequence[Row], ask: Ask, plain: Sequence[Any], right: Right) -> dict[str, Rate]:
    """Two rivals, each marked in turn; and, by first tokens, the plain one ignored."""
    found = both_ways(rows, ask, right)
    return found | ignored(rows, ask, plain) if right is first_right else found


def one(rows: Sequence[Row], ask: Ask, _plain: Sequence[Any], right: Right) -> dict[str, Rate]:
    """One statement marked: the least likely of rivals, or the one that answers."""
    pick: Callable[[Row], int] = lambda row: row.less_likely if row.case.chances else row.case.chosen  # noqa: E731
    return one_marked(rows, ask, pick, "marked", right)


def sentences(rows: Sequence[Row], ask: Ask, plain: Sequence[Any], right: Right) -> dict[str, Rate]:
    """The right sentence marked, another one marked, and what was right already."""
    return distracted(rows, ask, right) | kept(rows, plain, ask, right)


COUNTS = {"rivals": rivals, "one": one, "sentences": sentences}


def measure(task: Task, model: Any, tokenizer: Any, ways: dict[str, Way], split: str = TEST) -> dict[str, Any]:
    """{way: {figure: {hits, n, low, high}}} on the task's rows."""
    rows = draw(task.kind, task.n, split, tokenizer, task.options, 1 if task.count == "sentences" else 2)
    right = whole_right if task.whole else first_right

    def asking(way: Way) -> Ask:
        return (
            partial(w.answers, model, tokenizer, way=way) if task.whole else partial(w.first_tokens, tokenizer, way=way)
        )

    plain = asking(ways["none"])([row.marked(0) for row in rows])
    found = {"none": unsteered(rows, plain, right)}
    for name in task.ways:
        if name != "none":
            found[name] = COUNTS[task.count](rows, asking(ways[name]), plain, right)
    return {name: {figure: written(rate) for figure, rate in rates.items()} for name, rates in found.items()}


def written(rate: Rate) -> dict[str, Any]:
    """A rate as plain values for a file."""
    if not rate.n:
        return {"hits": 0, "n": 0, "low": 0.0, "high": 1.0}
    low, high = rate.interval
    return {"hits": rate.hits, "n": rate.n, "low": round(low, 4), "high": round(high, 4)}
