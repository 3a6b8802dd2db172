"""Contrastive triplets: a context, the question its answer belongs to, and a question it does not. Text only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

KEYS = ("context", "question", "answer", "other_question")


@dataclass(frozen=True)
class Triplet:
    """`answer` stands in `context`; `question` asks for it, `other_question` asks for something else."""

    context: str
    question: str
    answer: str
    other_question: str


def bundled() -> list[Triplet]:
    """The triplets that come with seka."""
    return read(Path(__file__).resolve().parents[1] / "assets" / "triplets.jsonl")


def read(path: str | Path) -> list[Triplet]:
    """Read JSONL, one record a line, in file order.

    A record has our four keys, or is a published pair (context_1, question_1, answer_1, context_2, question_2,
    answer_2), which gives two triplets. ValueError names file, line and what is missing.
    """
    triplets: list[Triplet] = []
    with open(path, "rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}, line {number}"
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                raise ValueError(f"{where}: byte {error.start + 1} is not UTF-8; save the file as UTF-8") from None
            if not text:
                continue
            try:
                record = json.loads(text)
            except (json.JSONDecodeError, RecursionError) as error:
                reason = error.msg if isinstance(error, json.JSONDecodeError) else "too deep"
                raise ValueError(
                    f"{where}: not JSON ({reason}); wanted one object a line with {', '.join(KEYS)}"
                ) from None
            triplets.extend(_triplets(record, where))
    if not triplets:
        raise ValueError(f"{path} holds no triplets; wanted one JSON object a line with {', '.join(KEYS)}")
    return triplets


def _triplets(record: Any, where: str) -> list[Triplet]:
    if isinstance(record, dict) and "context_1" in record:
        halves = [[f"{name}_{half}" for name in ("context", "question", "answer")] for half in (1, 2)]
        (c1, q1, a1), (c2, q2, a2) = ([_text(record, key, where) for key in half] for half in halves)
        return [_checked(Triplet(c1, q1, a1, q2), where), _checked(Triplet(c2, q2, a2, q1), where)]
    if isinstance(record, dict):
        return [_checked(Triplet(*(_text(record, key, where) for key in KEYS)), where)]
    raise ValueError(f"{where}: a {type(record).__name__}; wanted an object with {', '.join(KEYS)}")


def _text(record: dict[str, Any], key: str, where: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where}: {key!r} is {_short(value)}; wanted a text that is not blank")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{where}: {key!r} holds half a character (\\ud800 to \\udfff); wanted whole ones")
    return value


def _checked(triplet: Triplet, where: str) -> Triplet:
    if triplet.answer.casefold() not in triplet.context.casefold():
        raise ValueError(
            f"{where}: the answer {_short(triplet.answer)} does not stand in its context {_short(triplet.context)}"
        )
    if triplet.question == triplet.other_question:
        raise ValueError(
            f"{where}: both questions are {_short(triplet.question)}; wanted one that the answer belongs to, and another"
        )
    return triplet


def _short(value: Any) -> str:
    """As Python writes it, its end cut off where it is long."""
    shown = repr(value)
    return shown if len(shown) <= 120 else f"{shown[:120]}…"


def digest(triplets: Sequence[Triplet]) -> str:
    """A short name for exactly these triplets in this order."""
    text = json.dumps([asdict(triplet) for triplet in triplets], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
