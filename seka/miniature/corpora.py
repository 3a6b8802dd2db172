"""The two corpora by name: the first, which the shipped weights saw, and the wide one, which training goes on with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from seka.miniature import corpus as first
from seka.miniature.wide import corpus as wide


@dataclass(frozen=True)
class Corpus:
    """draw(seed, split, index): kind and text of a document; documents(seed, split, start): their stream; cases(kind, count,
    split, seed): prompts with answers; kinds: those of them that training looks at."""

    draw: Callable[[int, str, int], tuple[str, str]]
    documents: Callable[[int, str, int], Iterator[str]]
    cases: Callable[[str, int, str, int], list[Any]]
    kinds: tuple[str, ...]


KINDS = ("conflict", "several", "biography", "passage", "override", "records", "opening", "pronouns", "choice")
CORPORA = {
    "first": Corpus(first.draw, first.documents, first.cases, KINDS),
    "wide": Corpus(wide.draw, wide.documents, wide.cases, (*KINDS, "signature", "dialogue")),
}
