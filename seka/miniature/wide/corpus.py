"""The corpus: an endless, seeded stream of ordinary documents; it knows kinds and shares, not tokens or training.

Document number `i` of a split depends on (seed, split, i) alone, so the stream can be resumed anywhere and the rows of
evaluation never meet the documents of training. There are no marks in it and nothing about steering.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random

from seka.miniature.wide.cases import TRAINING, Case, Options, biography, conflict, long_passage, passage, several
from seka.miniature.wide.dialogue import dialogue
from seka.miniature.wide.mixed import mixed
from seka.miniature.wide.records import copying, override, records
from seka.miniature.wide.replies import INSTRUCTIONS, instructions
from seka.miniature.wide.stories import plain_fact, statements, story

CASES: dict[str, Callable[[Random, Options], Case]] = {
    "conflict": conflict,
    "several": several,
    "biography": biography,
    "passage": passage,
    "long passage": long_passage,
    "override": override,
    "instructions": instructions,
    **INSTRUCTIONS,
    "records": records,
    "dialogue": dialogue,
}
TEXTS: dict[str, Callable[[Random], str]] = {
    "copying": copying,
    "fact": plain_fact,
    "statements": statements,
    "story": story,
    "mixed": mixed,
}
SHARES = {
    "conflict": 0.195,
    "several": 0.086,
    "biography": 0.08,
    "passage": 0.165,
    "long passage": 0.02,
    "override": 0.03,
    **dict.fromkeys(INSTRUCTIONS, 0.007),
    "opening": 0.012,
    "pronouns": 0.016,
    "choice": 0.016,
    "records": 0.05,
    "dialogue": 0.05,
    "copying": 0.03,
    "fact": 0.01,
    "statements": 0.025,
    "story": 0.04,
    "mixed": 0.07,
}
"""Share of each kind among the documents; the card gives the shares in tokens."""
LONGEST = 2650
"""No document has more characters, which keeps every one below 1,000 tokens of the shipped tokenizer."""


def draw(seed: int, split: str, index: int) -> tuple[str, str]:
    """Kind and text of document `index` of a split ("training", "validation", "test")."""
    random = Random(f"{seed}/{split}/{index}")
    kind = random.choices(list(SHARES), list(SHARES.values()))[0]
    while True:
        text = TEXTS[kind](random) if kind in TEXTS else CASES[kind](random, TRAINING).text
        if len(text) <= LONGEST:
            return kind, text


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
