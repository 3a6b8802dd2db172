"""The list of what is measured: rows, ways and counts of every figure of the card, so that two runs measure the same.

A task is measured by itself, on rows that depend on nothing but its name, and returns plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any

from seka.miniature.corpus.asking import LISTED, Case, Options
from seka.miniature.corpus.cases import conflict, passage
from seka.miniature.corpus.replies import INSTRUCTIONS, WORKED_OUT
from seka.miniature.corpus.untried import untried
from seka.miniature.corpus.visitors import visitor
from seka.miniature.measures import ways as w
from seka.miniature.measures.evaluate import (
    TEST,
    Ask,
    Make,
    Rate,
    Right,
    Row,
    asked_for,
    both_ways,
    distracted,
    draw,
    first_right,
    followed,
    heeded,
    ignored,
    unsteered,
    whole_right,
)
from seka.miniature.measures.ways import Way

N = 500
UNSEEN = Options(words=True)
NOWHERE = Options(words=True, wordings=True)
SPARE = 4
"""Tokens that a whole answer may take beyond the tokenizer's own way to write it."""
POSITIONS, PLACED = (0.0, 0.5, 1.0), 200
"""Where in long passages the sentence stands that answers, and rows of each place: one takes as long as a dozen others."""
THREE = ("none", "adaptive", "pooled")
TWO = ("none", "adaptive")


@dataclass(frozen=True)
class Task:
    """One table of the card. count: what is counted on the rows, see COUNTS. whole: whole answers, not first tokens.
    ignoring: of rivals, by first tokens, the one that the plain answer follows is marked to be ignored, too."""

    title: str
    kind: str | Make
    count: str
    options: Options = LISTED
    ways: tuple[str, ...] = TWO
    n: int = N
    whole: bool = False
    ignoring: bool = False

    def __post_init__(self) -> None:
        if self.ignoring and self.whole:
            raise ValueError(f"{self.title}: whole answers to what is ignored are not measured; wanted first tokens")


def instructions(random: Random, options: Options) -> Case:
    """Two instructions that name what to write."""
    return INSTRUCTIONS[random.choice([kind for kind in INSTRUCTIONS if kind not in WORKED_OUT])](random, options)


def worked_out(random: Random, options: Options) -> Case:
    """Two instructions that say how to find what to write."""
    return INSTRUCTIONS[random.choice(WORKED_OUT)](random, options)


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
    "conflict": Task(
        "Two statements contradict each other; unseen words", "conflict", "rivals", UNSEEN, THREE, ignoring=True
    ),
    "conflict, unseen wordings": Task(
        "Two statements contradict each other; unseen words and wordings", "conflict", "rivals", NOWHERE, THREE
    ),
    "conflict, invented values": Task(
        "Two statements contradict each other; invented values", "conflict", "rivals", replace(UNSEEN, invented=True)
    ),
    "visitor": Task("Typed by a visitor: names and words from an English word list", visitor, "rivals", LISTED, THREE),
    **{
        f"one against {count}": Task(
            f"One marked statement against {count} that contradict it",
            "several",
            "one",
            replace(UNSEEN, count=count + 1),
        )
        for count in (2, 3, 5)
    },
    "biography": Task("Biography with another line of work as a distraction", "biography", "rivals", UNSEEN, THREE),
    "instructions": Task(
        "Two instructions, each of which names what to write", instructions, "rivals", UNSEEN, THREE, whole=True
    ),
    "instructions, worked out": Task(
        "Two instructions, each of which says how to find what to write: which fact, which word of a list, in digits "
        "or in words, in a whole sentence or not",
        worked_out,
        "rivals",
        UNSEEN,
        THREE,
        whole=True,
    ),
    "passage": Task("Question about a passage", "passage", "sentences", UNSEEN),
    **{
        f"long passage, at {round(100 * position)} %": Task(
            f"Question about a long passage, the sentence that answers at {round(100 * position)} % of it",
            "long passage",
            "one",
            replace(UNSEEN, position=position),
            n=PLACED,
        )
        for position in POSITIONS
    },
    "whole answers": Task(
        "Two statements with values of several words contradict each other", phrases, "rivals", UNSEEN, whole=True
    ),
    "whole answers kept": Task(
        "Question about a passage, answered in several words",
        phrases_in_passages,
        "sentences",
        UNSEEN,
        n=600,
        whole=True,
    ),
    "override": Task("A capital told wrongly; words of training", "override", "rivals"),
    "conflict, untried wordings": Task(
        "Two statements contradict each other; unseen words, and wordings written when everything was finished",
        untried,
        "rivals",
        LISTED,
        THREE,
    ),
}
TASKS |= {
    f"{name}, whole answers": replace(
        TASKS[name], title=f"{TASKS[name].title}; read to the full stop", ways=TWO, whole=True
    )
    for name in ("conflict, invented values", "visitor")
}
"""The same rows as those of first tokens: whether a rare word is also copied to its end."""
WORDED = ("one against 3", "biography", "instructions", "instructions, worked out", "whole answers")
"""Tasks that no target asks for in unseen wordings; some rows tell how they go there."""
TASKS |= {
    f"{name}, unseen wordings": replace(
        TASKS[name],
        title=f"{TASKS[name].title}; unseen words and wordings",
        options=replace(TASKS[name].options, wordings=True),
        ways=TWO,
        n=200,
    )
    for name in WORDED
}
MOST = max(task.n for task in TASKS.values())
"""Rows of the largest task: where only some rows count, more are drawn."""
SHORT = {name: replace(TASKS[name], ways=TWO, n=250) for name in ("conflict", "visitor")}
"""What a quick check measures again: the first rows of two tasks, so many that one row is less than half a point."""


def rivals(rows: Sequence[Row], ask: Ask, _plain: Sequence[Any], right: Right) -> dict[str, Rate]:
    """Two rivals, each marked in turn."""
    return both_ways(rows, ask, right)


def one(rows: Sequence[Row], ask: Ask, _plain: Sequence[Any], right: Right) -> dict[str, Rate]:
    """One statement marked: the least likely of rivals, or the one that answers."""
    return {"marked": Rate(sum(heeded(rows, ask, asked_for, right)), len(rows))}


COUNTS: dict[str, Callable[[Sequence[Row], Ask, Sequence[Any], Right], dict[str, Rate]]] = {
    "rivals": rivals,
    "one": one,
    "sentences": distracted,
}


def rows_of(task: Task, tokenizer: Any, split: str = TEST) -> list[Row]:
    """The rows that a task is measured on; fewer of them are the first ones of more."""
    return draw(task.kind, task.n, split, tokenizer, task.options, 1 if task.count == "sentences" else 2)


def asking(task: Task, rows: Sequence[Row], model: Any, tokenizer: Any, way: Way) -> tuple[Ask, Right]:
    """What comes out for marked prompts of the task's rows, and whether it is right: whole answers or first tokens."""
    if not task.whole:
        return partial(w.first_tokens, tokenizer, way=way), first_right
    longest = [max(len(tokenizer(whole)["input_ids"]) for whole in row.case.wholes) + SPARE for row in rows]
    return partial(w.answers, model, tokenizer, way=way, new=longest), whole_right


def follows(task: Task, rows: Sequence[Row], model: Any, tokenizer: Any, way: Way) -> list[bool]:
    """For each row whether the answer follows the mark: of two rivals in both directions, else the marked one's."""
    ask, right = asking(task, rows, model, tokenizer, way)
    if task.count == "rivals":
        return [all(pair) for pair in followed(rows, ask, right)]
    return heeded(rows, ask, asked_for, right)


def measure(task: Task, model: Any, tokenizer: Any, ways: dict[str, Way], split: str = TEST) -> dict[str, Any]:
    """{way: {figure: {hits, n, low, high}}} on the task's rows."""
    rows = rows_of(task, tokenizer, split)
    ask, right = asking(task, rows, model, tokenizer, ways["none"])
    plain = ask([row.marked(0) for row in rows])
    found = {"none": unsteered(rows, plain, right)}
    for name in task.ways:
        if name != "none":
            ask, right = asking(task, rows, model, tokenizer, ways[name])
            found[name] = COUNTS[task.count](rows, ask, plain, right)
            if task.ignoring:
                found[name] |= ignored(rows, ask, plain)
    return {name: {figure: written(rate) for figure, rate in rates.items()} for name, rates in found.items()}


def written(rate: Rate) -> dict[str, Any]:
    """A rate as plain values for a file."""
    if not rate.n:
        return {"hits": 0, "n": 0, "low": 0.0, "high": 1.0}
    low, high = rate.interval
    return {"hits": rate.hits, "n": rate.n, "low": round(low, 4), "high": round(high, 4)}
