"""Prompts at the edges: as short as can be, marked at both ends and everywhere, spans over each other, odd letters.

Each steered answer is compared with uncached decoding that edits keys by hand, and differs from the plain one.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from byhand import Plan
from conftest import build_tokenizer
from decoding import greedy
from families import FAMILIES
from naive import piece_bytes, tokenizer_of
from setting import HEADS, QUERY_HEADS, invent, logits, rows_of, steerable, steering_of, tokens_of
from shapes import NEW, OPTIONS, both, differ, every_shape

import seka
from seka import Prompt, Steering

Row = tuple[list[int], dict[int, float]]


# Lengths


@every_shape
@pytest.mark.parametrize("options", [{}, {"cache_implementation": "static"}], ids=str)
@pytest.mark.parametrize("count", [HEADS, QUERY_HEADS], ids=["KV heads", "query heads"])
def test_as_many_tokens_and_rows_as_heads(family: str, count: int, options: dict[str, Any]) -> None:
    """(B, T) = (H, H): no size tells a row from a column or a head."""
    rows: list[Row] = [
        ([40 + 7 * r + c for c in range(count)], {c: 1.0 for c in range(count) if c != r}) for r in range(count)
    ]
    steered, plain = both(family, tokens_of(rows), **options)
    assert steered != plain


@every_shape
@pytest.mark.parametrize(
    "options", [{}, {"use_cache": False}, {"cache_implementation": "static"}, {"prefill_chunk_size": 1}], ids=str
)
def test_one_token(family: str, options: dict[str, Any]) -> None:
    """Alone it attends to itself, whatever its key: the first new token is the plain one, later ones look back at it."""
    ((steered,), (plain,)) = both(family, tokens_of([([77], {0: 1.0})]), 12, **options)
    assert steered[0] == plain[0]
    assert steered != plain


@every_shape
def test_one_token_beside_longer_rows(family: str) -> None:
    """A row that is all padding but for its last column, which is marked."""
    long = list(range(50, 62))
    steered, plain = both(family, tokens_of([([77], {0: 1.0}), (long, {0: 1.0, 11: -1.0}), (long, {})]), 12)
    assert [a == b for a, b in zip(steered, plain, strict=True)] == [False, False, True]


@every_shape
@pytest.mark.parametrize(
    "marks",
    [{0: 1.0}, {14: 1.0}, {0: -1.0, 14: 1.0}, dict.fromkeys(range(15), 1.0)],
    ids=["first", "last", "ends", "all"],
)
@pytest.mark.parametrize(
    "options", [{}, {"cache_implementation": "static", "prefill_chunk_size": 7}], ids=["whole", "chunks of 7, 7, 1"]
)
def test_marks_at_the_ends_and_everywhere(family: str, marks: dict[int, float], options: dict[str, Any]) -> None:
    ids = [(31 * n + 9) % 300 for n in range(15)]
    differ(both(family, tokens_of([(ids, marks), (ids[4:], {})]), 8, **options), [0])


@every_shape
def test_a_stream_over_everything(family: str) -> None:
    """compare, with every token marked and with one token alone."""
    model, tokenizer = steerable(family), build_tokenizer()
    projection, gain = invent(model), FAMILIES[family].gain
    for prompt in (Prompt("Ada plays golf", ((0, 14),)), Prompt("g", ((0, 1),))):
        ((ids, marks),) = rows_of(seka.encode(prompt, tokenizer))
        assert set(marks) == set(range(len(ids)))
        out = seka.compare(model, tokenizer, prompt, Steering(model, projection, gain), max_new_tokens=10)
        count = len(out.steered.ids)
        assert list(out.steered.ids) == greedy(model, family, ids, marks, Plan([projection], gain), count)
        assert list(out.plain.ids) == greedy(model, family, ids, marks, None, len(out.plain.ids))
        assert not out.identical


# Spans over each other


@pytest.mark.parametrize(
    ("spans", "weights", "expected"),
    [
        (((0, 9), (4, 14)), (0.5, 1.0), {"Ada": 0.5, "plays": 1.0, "golf": 1.0}),
        (((0, 14), (4, 9)), (0.5, -1.0), {"Ada": 0.5, "plays": -1.0, "golf": 0.5}),
        (((0, 14), (4, 9)), (-1.0, 1.0), {"Ada": -1.0, "plays": 1.0, "golf": -1.0}),
        (((4, 9), (4, 9), (4, 9)), (0.5, -0.75, 0.25), {"plays": -0.75}),
        (((0, 9), (4, 14), (10, 14)), (1.0, 1.0, -2.0), {"Ada": 1.0, "plays": 1.0, "golf": -2.0}),
    ],
    ids=["overlapping", "nested", "a tie", "the same words thrice", "three"],
)
def test_spans_over_each_other(spans: Any, weights: Any, expected: dict[str, float]) -> None:
    """Each token is edited once, by the weight of largest magnitude; a tie emphasises. The order of spans is nothing."""
    text, tokenizer = "Ada plays golf in town. Ada", tokenizer_of("byte-level")
    tokens = seka.encode([Prompt(text, spans, weights), Prompt(text, spans[::-1], weights[::-1])], tokenizer)
    words = [tokenizer.decode([i]).strip() for i in tokens.ids[0].tolist()]
    assert words[:3] == ["Ada", "plays", "golf"]
    found = {word: w for word, w in zip(words, tokens.highlight[0].tolist(), strict=True) if w}
    assert found == expected
    differ(both("llama", tokens), [0, 1])


# Letters


LETTERS = [
    "Ada **中文字** plays 中文",
    "中**文**字中文字",
    "a **🎉👩‍👩‍👧** b 🎉",
    "cafe\u0301 **e\u0301** cafe\u0301",
    "town\r\n**Ada plays**\r\n\r\nAda",
    "**\r\nAda\r\n** plays\r\n",
    "\ufeff**Ada** pl\u200days \u00a0**golf**\u3000",
    "שלום **עולם** שלום",
]


@pytest.mark.parametrize("kind", ["byte-level", "trimmed", "nfc", "metaspace"])
@pytest.mark.parametrize("written", LETTERS, ids=[str(n) for n in range(len(LETTERS))])
def test_letters_of_several_bytes(kind: str, written: str) -> None:
    """The marked tokens hold the marked letters whole, down to their last byte, and the steered keys are theirs."""
    tokenizer, prompt = tokenizer_of(kind), Prompt.marked(written)
    tokens = seka.encode(prompt, tokenizer)
    ids, weights = tokens.ids[0].tolist(), tokens.highlight[0].tolist()
    marked = [i for i, w in zip(ids, weights, strict=True) if w]
    if kind != "nfc":
        spelled = b"".join(piece_bytes(p, kind) for p in tokenizer.convert_ids_to_tokens(marked))
        wanted = "".join(prompt.text[a:b] for a, b in prompt.spans)
        assert "".join(spelled.decode().split()) == "".join(wanted.split())
    ((row, marks),) = rows_of(tokens)
    model = steerable("llama")
    out = seka.generate(model, tokenizer, prompt, steering_of(model), **OPTIONS)
    by_hand = greedy(model, "llama", row, marks, Plan([invent(model)], 8.0), NEW)
    assert list(out.ids) == by_hand[: len(out.ids)]
    assert not torch.equal(logits(model, tokens, steering_of(model)), logits(model, tokens))


def test_a_mark_that_ends_within_a_token() -> None:
    """A token that is marked in part is steered whole; the next one is not."""
    tokenizer, text = tokenizer_of("byte-level"), "Ada plays golf in town. Ada plays"
    assert tokenizer.tokenize(text)[1] == "Ġplays"
    whole = seka.encode(Prompt(text, ((4, 9),)), tokenizer)
    for span in ((4, 5), (6, 7), (8, 9), (3, 6)):
        part = seka.encode(Prompt(text, (span,)), tokenizer)
        assert torch.equal(part.highlight, whole.highlight)
    assert int((whole.highlight != 0).sum()) == 1
    differ(both("qwen3", whole, 10), [0])
