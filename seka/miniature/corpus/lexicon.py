"""The known words, by class, and which of them are held out. Nothing is drawn or put into sentences here."""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from pathlib import Path

FOLDER = Path(__file__).parent
HELD_SHARE = 0.1
VOWELS = "aeiou"
AN = re.compile(r"heir|hour|honour|honest|8|(?!uni[^mn]|us[eu]|eu|(one|once)\b|ukulele)[aeiou]", re.IGNORECASE)
"""Beginnings that take "an"."""


def held_out(word: str, share: float = HELD_SHARE) -> bool:
    """Whether a word or name is kept for evaluation, decided by its hash; a larger share holds the smaller one's too."""
    return hashlib.sha256(word.lower().encode()).digest()[0] < 256 * share


def sections(file: str) -> dict[str, tuple[str, ...]]:
    """A list file: {heading: entries}, entries separated by commas; lines that start with # are notes."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in (FOLDER / file).read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            name = line.strip("[]")
            found.setdefault(name, [])
        elif line and not line.startswith("#"):
            found[name] += [entry.strip() for entry in line.split(",") if entry.strip()]
    return {name: tuple(dict.fromkeys(entries)) for name, entries in found.items()}


_classes = functools.cache(lambda: sections("words.txt"))


def words(kind: str) -> tuple[str, ...]:
    """Every word of a class in words.txt, held out or not."""
    return _classes()[kind]


@functools.cache
def split_words(kind: str, held: bool) -> tuple[str, ...]:
    """The words of a class on one side of the split."""
    return tuple(word for word in words(kind) if held_out(word) == held)


def unaccented(text: str) -> str:
    """The text without what stands on its letters."""
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def article(word: str) -> str:
    """ "a" or "an", by the first letters."""
    return "an" if AN.match(unaccented(word)) else "a"
