"""The corpus: an endless, seeded stream of ordinary documents; it knows kinds and shares, not tokens or training.

Document number `i` of a split depends on (seed, split, i) alone, so the stream can be resumed anywhere and the rows of
evaluation never meet the documents of training. There are no marks in it and nothing about steering.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from seka.miniature.cases import TRAINING, Case, Options, biography, conflict, passage, several
from seka.miniature.instructions import choice, opening, pronouns
from seka.miniature.records import copying, override, records
from seka.miniature.stories import plain_fact, statements, story

CASES: dict[str, Callable[[Random, Options], Case]] = {
    "conflict": conflict,
    "several": several,
    "biography": biography,
    "passage": passage,
    "override": override,
    "opening": opening,
    "pronouns": pronouns,
    "choice": choice,
    "records": records,
}
TEXTS: dict[str, Callable[[Random], str]] = {
    "copying": copying,
    "fact": plain_fact,
    "statements": statements,
    "story": story,
}
SHARES = {
    "conflict": 0.19,
    "several": 0.09,
    "biography": 0.09,
    "passage": 0.23,
    "long passage": 0.02,
    "override": 0.05,
    "opening": 0.03,
    "pronouns": 0.04,
    "choice": 0.03,
    "records": 0.05,
    "copying": 0.05,
    "fact": 0.03,
    "statements": 0.04,
    "story": 0.06,
}
"""Share of each kind among the documents; the card gives the shares in tokens."""


def draw(seed: int, split: str, index: int) -> tuple[str, str]:
    """Kind and text of document `index` of a split ("training", "validation", "test")."""
    random = Random(f"{seed}/{split}/{index}")
    kind = random.choices(list(SHARES), list(SHARES.values()))[0]
    if kind in TEXTS:
        return kind, TEXTS[kind](random)
    if kind == "long passage":
        return kind, passage(random, TRAINING, random.randint(12, 26)).text
    return kind, CASES[kind](random, TRAINING).text


def documents(seed: int, split: str = "training", start: int = 0) -> Iterator[str]:
    """The documents of a split from number `start` on, without end."""
    while True:
        yield draw(seed, split, start)[1]
        start += 1


def cases(kind: str, count: int, split: str, seed: int, options: Options = TRAINING) -> list[Case]:
    """`count` cases of one kind for evaluation, none of which is a training document."""
    return [
        CASES[kind](Random(f"{seed}/{split}/{kind}/{options.words}/{options.wordings}/{index}"), options)
        for index in range(count)
    ]


__all__ = ["CASES", "SHARES", "TEXTS", "cases", "documents", "draw"]
