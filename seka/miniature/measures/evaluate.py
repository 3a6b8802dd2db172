"""Rows to measure on, and what is counted on them: marked cases in, rates with intervals out. It knows no model.

`Ask` says what comes out for marked prompts: the first token of a greedy answer, or the whole of it as text. Cases whose
rivals begin with the same token are left out when rows are drawn, so that a first token tells them apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from seka.miniature.corpus.asking import LISTED, Case, Options
from seka.miniature.corpus.documents import CASES
from seka.prompts import Prompt

SEED = 0
VALIDATION, TEST = "validation", "test 13"
"""Test rows are drawn anew, under another number, where anything was chosen after a card of them had been read."""


@dataclass(frozen=True)
class Rate:
    """`hits` of `n`."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.hits / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        z, p, n = 1.959964, self.value, self.n
        middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
        return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


@dataclass(frozen=True)
class Row:
    """A case and the first token of each rival answer."""

    case: Case
    firsts: tuple[int, ...]

    def marked(self, index: int, weight: float = 1.0) -> Prompt:
        """The prompt with statement `index` marked."""
        statement = self.case.statements[index]
        return Prompt(self.case.prompt, ((statement.start, statement.end),), (weight,))

    @property
    def less_likely(self) -> int:
        """The statement with the least of the case's chances, drawn where several have it; where only one answers, that one."""
        chances = self.case.chances
        least = [index for index, chance in enumerate(chances) if chance == min(chances)]
        return least[zlib.crc32(self.case.prompt.encode()) % len(least)] if chances else self.case.chosen


Make = Callable[[Random, Options], Case]
Ask = Callable[[Sequence[Prompt]], list[Any]]
Right = Callable[[Row, int, Any], bool]


def first_right(row: Row, index: int, token: int) -> bool:
    """Whether a first token is that of rival `index`."""
    return token == row.firsts[index]


def whole_right(row: Row, index: int, text: str) -> bool:
    """Whether a greedy answer begins with the whole answer of rival `index`, its full stop or line break included."""
    return text.startswith(row.case.wholes[index].rstrip())


def draw(kind: str | Make, n: int, split: str, tokenizer: Any, options: Options = LISTED, rivals: int = 2) -> list[Row]:
    """`n` rows of one kind with at least `rivals` statements; the context has room for the prompt and the answer."""
    name, make = (kind, CASES[kind]) if isinstance(kind, str) else (kind.__name__, kind)
    rows: list[Row] = []
    index = 0
    while len(rows) < n:
        random = Random(f"{SEED}/{split}/{name}/{options}/{index}")
        index += 1
        case = make(random, options)
        firsts = tuple(tokenizer(answer)["input_ids"][0] for answer in case.answers)
        if len(firsts) < rivals or len(set(firsts)) < len(firsts):
            continue
        if len(tokenizer(case.prompt + case.answer, verbose=False)["input_ids"]) <= tokenizer.model_max_length:
            rows.append(Row(case, firsts))
    return rows


def followed(rows: Sequence[Row], ask: Ask, right: Right = first_right) -> list[tuple[bool, bool]]:
    """Mark the first rival, then the second: for each row whether the answer follows the mark, either time."""
    said = [ask([row.marked(i) for row in rows]) for i in (0, 1)]
    return [(right(row, 0, a), right(row, 1, b)) for row, a, b in zip(rows, *said, strict=True)]


def heeded(rows: Sequence[Row], ask: Ask, index: Callable[[Row], int], right: Right = first_right) -> list[bool]:
    """Mark one given statement of each row: for each row whether the answer is its answer."""
    said = ask([row.marked(index(row)) for row in rows])
    return [right(row, index(row), out) for row, out in zip(rows, said, strict=True)]


def asked_for(row: Row) -> int:
    """The statement to mark: the less likely one of rivals; where only one answers the question, that one."""
    return row.less_likely if row.case.chances else row.case.chosen


def both_ways(rows: Sequence[Row], ask: Ask, right: Right = first_right) -> dict[str, Rate]:
    """Of two rivals each marked in turn: how often the answer follows the first, the less likely one, and both."""
    follows = followed(rows, ask, right)
    unlikely = sum(pair[row.less_likely] for row, pair in zip(rows, follows, strict=True))
    return {
        "first one marked": Rate(sum(first for first, _ in follows), len(rows)),
        "less likely one marked": Rate(unlikely, len(rows)),
        "both ways": Rate(sum(map(all, follows)), len(rows)),
    }


def distracted(rows: Sequence[Row], ask: Ask, plain: Sequence[Any], right: Right = first_right) -> dict[str, Rate]:
    """Passages: mark the sentence that answers the question, then another one; how often the answer is right.

    Of the rows that are right without steering: how many still are when the right sentence is marked.
    """
    hits = heeded(rows, ask, lambda row: row.case.chosen, right)
    known = [hit for row, out, hit in zip(rows, plain, hits, strict=True) if right(row, row.case.chosen, out)]
    said = ask([row.marked((row.case.chosen + 1) % len(row.firsts)) for row in rows])
    misled = sum(right(row, row.case.chosen, out) for row, out in zip(rows, said, strict=True))
    return {
        "right sentence marked": Rate(sum(hits), len(rows)),
        "right ones kept": Rate(sum(known), len(known)),
        "another sentence marked": Rate(misled, len(rows)),
    }


def ignored(rows: Sequence[Row], ask: Ask, plain: Sequence[int]) -> dict[str, Rate]:
    """Mark the statement that the plain answer follows as to be ignored: how often the answer is then another rival's."""
    known = [(row, row.firsts.index(token)) for row, token in zip(rows, plain, strict=True) if token in row.firsts]
    said = ask([row.marked(i, -1.0) for row, i in known]) if known else []
    loses = sum(token != row.firsts[i] for (row, i), token in zip(known, said, strict=True))
    moves = sum(token in row.firsts and token != row.firsts[i] for (row, i), token in zip(known, said, strict=True))
    return {"ignored one loses": Rate(loses, len(known)), "another statement wins": Rate(moves, len(known))}


def unsteered(rows: Sequence[Row], plain: Sequence[Any], right: Right = first_right) -> dict[str, Rate]:
    """What the model does without steering: how often it gives the answer of the first rival, of the less likely one, of
    the one that was drawn by the case's chances, and of any of them."""
    pairs = list(zip(rows, plain, strict=True))
    chosen: dict[str, Callable[[Row], int]] = {
        "the first": lambda row: 0,
        "the less likely": lambda row: row.less_likely,
        "the corpus's": lambda row: row.case.chosen,
    }
    if not rows[0].case.chances:
        del chosen["the first"], chosen["the less likely"]
    found = {
        name: Rate(sum(right(row, index(row), out) for row, out in pairs), len(rows)) for name, index in chosen.items()
    }
    read = sum(any(right(row, i, out) for i in range(len(row.firsts))) for row, out in pairs)
    return found | {"any of them": Rate(read, len(rows))}
