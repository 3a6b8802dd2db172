"""Reading triplets: both formats, in file order, and errors that name the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seka import Triplet, triplets

OURS = {"context": "Ada plays golf.", "question": "What?", "answer": "golf", "other_question": "Who?"}
PAIR = {
    "context_1": "Bob sings.",
    "question_1": "What does Bob?",
    "answer_1": "sings",
    "context_2": "Cleo naps 中.",
    "question_2": "What does Cleo?",
    "answer_2": "naps",
}


def write(path: Path, *lines: Any) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return path


def test_both_formats_in_file_order(tmp_path: Path) -> None:
    found = triplets.read(write(tmp_path / "a.jsonl", OURS, "", PAIR, "   ", {**OURS, "answer": "Ada", "more": 1}))
    assert found == [
        Triplet("Ada plays golf.", "What?", "golf", "Who?"),
        Triplet("Bob sings.", "What does Bob?", "sings", "What does Cleo?"),
        Triplet("Cleo naps 中.", "What does Cleo?", "naps", "What does Bob?"),
        Triplet("Ada plays golf.", "What?", "Ada", "Who?"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{no json", "not JSON"),
        ([1, 2], "a list; wanted an object"),
        ({**OURS, "question": "  "}, "'question' is '  '"),
        ({**OURS, "answer": None}, "'answer' is None"),
        ({key: OURS[key] for key in ("context", "question", "answer")}, "'other_question' is None"),
        ({**PAIR, "answer_2": 3}, "'answer_2' is 3"),
        ({**OURS, "answer": "chess"}, "answer 'chess' does not stand in its context 'Ada plays golf.'"),
        ({**PAIR, "answer_2": "sings"}, "answer 'sings' does not stand in its context"),
        ({**OURS, "other_question": "What?"}, "both questions are 'What\\?'"),
        ('{"context": "\\ud800 golf", "question": "Q", "answer": "golf", "other_question": "O"}', "half a character"),
        ("[" * 100_000, "not JSON \\(too deep\\)"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, line: Any, message: str) -> None:
    path = write(tmp_path / "b.jsonl", OURS, "", line)
    with pytest.raises(ValueError, match=rf"b\.jsonl, line 3: .*{message}"):
        triplets.read(path)


def test_bytes_that_are_no_text_name_their_line(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_bytes(json.dumps(OURS).encode() + b"\n{\xff}")
    with pytest.raises(ValueError, match=r"b\.jsonl, line 2: byte 2 is not UTF-8"):
        triplets.read(tmp_path / "b.jsonl")


def test_a_byte_order_mark_and_other_line_ends_are_read(tmp_path: Path) -> None:
    line = json.dumps(OURS).encode()
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + line + b"\r\n" + line + b"\r\n")
    assert triplets.read(tmp_path / "a.jsonl") == [Triplet(**OURS)] * 2


def test_errors_stay_short(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not stand in") as error:
        triplets.read(write(tmp_path / "a.jsonl", {**OURS, "context": "x" * 100_000}))
    assert len(str(error.value)) < 500


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no triplets"):
        triplets.read(write(tmp_path / "c.jsonl", "", " "))


def test_digest_is_of_content_and_order() -> None:
    a, b = Triplet(**OURS), Triplet("Bob sings.", "What?", "Bob", "Who?")
    assert triplets.digest([a, b]) == triplets.digest([Triplet(**OURS), b])
    changed = [Triplet(**{**OURS, key: OURS[key] + "."}) for key in OURS]
    others = [triplets.digest(each) for each in ([b, a], [a], [a, b, b], *([c, b] for c in changed))]
    assert triplets.digest([a, b]) not in others
    assert len(set(others)) == len(others)


def test_the_bundled_triplets_can_be_learnt_from() -> None:
    found = triplets.bundled()
    assert len(found) >= 50
    assert len(set(found)) == len(found)
    for triplet in found:
        assert triplet.answer in triplet.context
        assert triplet.question != triplet.other_question
