"""The corpus: an endless, seeded stream of ordinary documents; it knows kinds and shares, not tokens or training.

Document number `i` of a split depends on (seed, split, i) alone, so the stream can be resumed anywhere and the rows of
evaluation never meet the documents of training. There are no marks in it and nothing about steering.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from seka.miniature.corpus.cases import TRAINING, Case, Options, biography, conflict, long_passage, passage, several
from seka.miniature.corpus.dialogue import dialogue
from seka.miniature.corpus.mixed import mixed
from seka.miniature.corpus.records import copying, override, records
from seka.miniature.corpus.replies import INSTRUCTIONS, instructions
from seka.miniature.corpus.stories import plain_fact, statements, story

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
    "conflict": 0.42,
    "several": 0.07,
    "biography": 0.05,
    "passage": 0.09,
    "long passage": 0.014,
    "override": 0.02,
    **dict.fromkeys(INSTRUCTIONS, 0.042),
    "choice": 0.3,
    "pick": 0.2,
    "form": 0.11,
    **dict.fromkeys(("quote", "greeting", "order"), 0.05),
    **dict.fromkeys(("opening", "bullet", "replace", "pronouns"), 0.055),
    "records": 0.03,
    "dialogue": 0.03,
    "copying": 0.02,
    "fact": 0.005,
    "statements": 0.01,
    "story": 0.04,
    "mixed": 0.05,
}
"""How often each kind is drawn, beside the others: of their sum. The card gives the shares in tokens."""
LONGEST = 3500
"""No document has more characters, which keeps nearly every one within 1,024 tokens of the shipped tokenizer."""
TYPESET = 0.05
"""Share of documents with the quotation marks and dashes that phones and word processors put."""


class Document(NamedTuple):
    """A document and the place of its answer in code points, (0, 0) if it asks nothing."""

    kind: str
    text: str
    answer: tuple[int, int] = (0, 0)


def draw(seed: int, split: str, index: int) -> Document:
    """Document `index` of a split ("training", "validation", "test")."""
    random = Random(f"{seed}/{split}/{index}")
    kind = random.choices(list(SHARES), list(SHARES.values()))[0]
    while True:
        if kind in TEXTS:
            document = Document(kind, TEXTS[kind](random))
        else:
            case = CASES[kind](random, TRAINING)
            document = Document(kind, case.text, (len(case.prompt), len(case.prompt + case.answer)))
        if random.random() < TYPESET:
            document = document._replace(text=typeset(document.text))
        if len(document.text) <= LONGEST:
            return document


def typeset(text: str) -> str:
    """The text with curly quotation marks and apostrophes and with dashes; every character stays in its place."""
    text = re.sub(r"(?<![^\s(\[])'", "\u2018", re.sub(r'(?<![^\s(\[])"', "\u201c", text))
    return text.replace('"', "\u201d").replace("'", "\u2019").replace(" - ", " \u2013 ")


def documents(seed: int, split: str = "training", start: int = 0) -> Iterator[str]:
    """The documents of a split from number `start` on, without end."""
    while True:
        yield draw(seed, split, start).text
        start += 1


def digest(count: int = 500) -> str:
    """What tells one state of the corpus from another, whatever a run's seed: the sha256 of its first documents of seed 0."""
    told = hashlib.sha256()
    for index in range(count):
        told.update(draw(0, "training", index).text.encode() + b"\0")
    return told.hexdigest()


def cases(kind: str, count: int, split: str, seed: int, options: Options = TRAINING) -> list[Case]:
    """`count` cases of one kind for evaluation, none of which is a training document."""
    return [
        CASES[kind](Random(f"{seed}/{split}/{kind}/{options.words}/{options.wordings}/{index}"), options)
        for index in range(count)
    ]
