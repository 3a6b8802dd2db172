"""Laws of marks on tokens: the overlap rule counted off in bytes, left padding, special tokens, chat templates."""

from __future__ import annotations

import copy
import unicodedata
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive import TEMPLATE, chatty, tokenizer_of, touched
from transformers import PreTrainedTokenizerFast

from seka import Prompt, align, chat, encode

KINDS = ("byte-level", "trimmed", "metaspace", "loose")
LETTERS = st.text(st.sampled_from("Adaplys golf (.)\n\r\t中文é🎉İ\u0301\u200d\u3000👩"), max_size=24)


def marked(prompt: Prompt, tokenizer: Any) -> list[str]:
    """The text of each marked token, as its offsets say."""
    row = align(prompt, tokenizer)
    return [prompt.text[a:b] for (a, b), weight in zip(row.offsets, row.weights, strict=True) if weight]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_a_token_belongs_when_it_holds_a_non_blank_letter_of_the_span(kind: str, data: st.DataObject) -> None:
    text = data.draw(LETTERS | st.text(max_size=20))
    if kind == "metaspace":
        text = text.replace("▁", "_")  # the tokenizer's own letter for a blank
    spans = [(a, b) for a in range(len(text)) for b in range(a + 1, len(text) + 1) if text[a:b].strip()]
    if not spans:
        return
    span = data.draw(st.sampled_from(spans))
    row = align(Prompt(text, [span]), tokenizer_of(kind))
    pieces = tokenizer_of(kind).convert_ids_to_tokens(list(row.ids))
    expected = touched(text, span, pieces, kind)
    if span[0] == 0 and pieces[:2] == ["<bos>", "▁"] and row.offsets[1] == (0, 1) and not text[0].isspace():
        expected = [1, *expected]  # a blank that the tokenizer puts in front has the first letter's offsets
    assert [i for i, weight in enumerate(row.weights) if weight] == expected


@given(data=st.data())
@settings(max_examples=60)
def test_a_normalizer_does_not_lose_the_place(data: st.DataObject) -> None:
    """Composition changes the number of letters; the marked tokens still cover the marked letters and no far ones."""
    words = data.draw(
        st.lists(st.sampled_from(["cafe\u0301", "Ada", "ö", "o\u0308", "golf", "中", "e\u0301e\u0301"]), min_size=1)
    )
    index = data.draw(st.integers(0, len(words) - 1))
    text = " ".join(words)
    start = len(" ".join(words[:index])) + (index > 0)
    row = align(Prompt(text, [(start, start + len(words[index]))]), tokenizer_of("nfc"))
    ids = [i for i, weight in zip(row.ids, row.weights, strict=True) if weight]
    assert tokenizer_of("nfc").decode(ids).strip() == unicodedata.normalize("NFC", words[index])


@pytest.mark.parametrize("kind", ["byte-level", "trimmed", "metaspace", "nfc"])
@pytest.mark.parametrize(
    ("written", "inside"),
    [
        ("in (**Paris**) now", "Paris"),
        ("in “**Oslo**” now", "Oslo"),
        ("town\n**Ada** plays", "Ada"),
        ("town\r\n\r\n**Ada**\r\nplays", "Ada"),
        ("[**x**]", "x"),
        ("中**文**字", "文"),
        ("a **🎉** b", "🎉"),
        ("**Ada** plays", "Ada"),
        ("plays **golf**", "golf"),
    ],
)
def test_neighbours_of_one_letter_stay_out(kind: str, written: str, inside: str) -> None:
    """The published rule takes a bracket, quote, newline or letter right before the span as well, and drops others."""
    found = marked(Prompt.marked(written), tokenizer_of(kind))
    assert found
    assert {letter for part in found for letter in part.strip()} == set(inside)


def test_the_first_word_and_its_leading_blank() -> None:
    """Learning as published drops the token of ' golf' because its offsets start at the blank."""
    tokenizer = tokenizer_of("byte-level")
    text = "Ada plays golf in town."
    assert tokenizer.tokenize(text)[2] == "Ġgolf"
    assert marked(Prompt.find(text, "golf in"), tokenizer)[0] == " golf"
    assert "".join(marked(Prompt.find(text, "golf"), tokenizer)) == " golf"


def test_a_token_that_straddles_an_end_belongs() -> None:
    """A part of one token is marked: both published rules would mark nothing there."""
    tokenizer = tokenizer_of("byte-level")
    text = "Ada plays golf"
    assert tokenizer.tokenize(text)[1] == "Ġplays"
    for span in [(4, 6), (5, 7), (7, 9)]:
        assert marked(Prompt(text, [span]), tokenizer) == [" plays"]
    assert marked(Prompt(text, [(3, 10)]), tokenizer) == [
        " plays"
    ]  # the blank at its end belongs to ' golf', and is blank
    assert marked(Prompt(text, [(8, 11)]), tokenizer) == [" plays", " golf"]


def test_blanks_between_words_belong_to_nobody() -> None:
    row = align(Prompt.marked("Ada **plays\n \n golf** in"), tokenizer_of("byte-level"))
    text = "Ada plays\n \n golf in"
    assert any(not text[a:b].strip() for a, b in row.offsets)
    assert all(text[a:b].strip() for (a, b), weight in zip(row.offsets, row.weights, strict=True) if weight)


@given(
    first=st.tuples(st.integers(0, 8), st.integers(9, 14)),
    second=st.tuples(st.integers(0, 8), st.integers(9, 14)),
    weights=st.tuples(*[st.sampled_from([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0])] * 2),
)
def test_the_strongest_mark_wins_and_ties_go_to_emphasis(
    first: tuple[int, int], second: tuple[int, int], weights: tuple[float, float]
) -> None:
    tokenizer, text = tokenizer_of("byte-level"), "Ada plays golf"
    both = align(Prompt(text, [first, second], weights), tokenizer).weights
    turned = align(Prompt(text, [second, first], weights[::-1]), tokenizer).weights
    alone = [align(Prompt(text, [span]), tokenizer).weights for span in (first, second)]
    for i, weight in enumerate(both):
        here = [w for w, only in zip(weights, alone, strict=True) if only[i]]
        largest = max((abs(w) for w in here), default=0.0)
        assert weight == (largest if largest in here or not here else -largest)
    assert both == turned


@pytest.mark.parametrize("kind", ["byte-level", "metaspace"])
def test_a_batch_is_its_rows_padded_on_the_left(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    prompts = [Prompt.marked(t) for t in ("**Ada** plays golf in town, ~~daily~~.", "golf", "🎉 **中文**\n\n~~x~~ y")]
    tokens = encode(prompts, tokenizer)
    assert (tokens.ids.dtype, tokens.attention.dtype, tokens.highlight.dtype) == (torch.long, torch.long, torch.float32)
    assert tokens.ids.shape == tokens.attention.shape == tokens.highlight.shape
    assert len(tokens) == 3
    sizes = []
    batch = zip(prompts, tokens.ids, tokens.attention, tokens.highlight, tokens.positions, strict=True)
    for prompt, ids, attention, highlight, positions in batch:
        row, size = align(prompt, tokenizer), int(attention.sum())
        sizes.append(size)
        assert row.ids == tuple(tokenizer(prompt.text)["input_ids"])
        assert attention.tolist() == [0] * (len(ids) - size) + [1] * size
        assert ids[len(ids) - size :].tolist() == list(row.ids)
        assert highlight.tolist() == [0.0] * (len(ids) - size) + list(row.weights)
        assert positions.tolist() == [0] * (len(ids) - size) + [*range(size)]
    assert max(sizes) == tokens.ids.shape[1]
    assert len(set(sizes)) == 3
    assert tokens.highlight.unique().tolist() == [-1.0, 0.0, 1.0]
    one = encode(prompts[0], tokenizer)
    assert one.ids.tolist() == encode([prompts[0]], tokenizer).ids.tolist()
    assert tokens.to("meta").highlight.device.type == "meta"


def test_padding_needs_no_token_of_its_own() -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=copy.deepcopy(tokenizer_of("byte-level").backend_tokenizer))
    assert tokenizer.pad_token_id is None
    assert encode([Prompt("Ada"), Prompt("Ada plays golf")], tokenizer).attention.tolist() == [[0, 0, 1], [1, 1, 1]]


def test_nothing_is_cut(recwarn: pytest.WarningsRecorder) -> None:
    """Neither the tokenizer's length nor a truncation or padding left switched on in its file shortens a prompt."""
    tokenizer = copy.deepcopy(tokenizer_of("byte-level"))
    prompt = Prompt.marked("Ada plays golf. " * 20 + "**Paris**")
    whole = encode(prompt, tokenizer)
    tokenizer.model_max_length = 4
    tokenizer.backend_tokenizer.enable_truncation(4)
    tokenizer.backend_tokenizer.enable_padding(length=500)
    again = encode(prompt, tokenizer)
    assert again.ids.tolist() == whole.ids.tolist()
    assert again.highlight.tolist() == whole.highlight.tolist()
    assert whole.highlight[0, -1] == 1
    assert not recwarn.list


def test_special_tokens_are_never_marked() -> None:
    tokenizer = tokenizer_of("metaspace")
    row = align(Prompt("Ada plays", [(0, 9)]), tokenizer)
    assert row.ids[0] == tokenizer.bos_token_id
    assert row.offsets[0][0] == row.offsets[0][1]
    assert row.weights[0] == 0
    assert all(weight == 1 for weight in row.weights[1:])


def test_a_mark_without_a_token_is_an_error_with_its_text() -> None:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    inner = Tokenizer(models.WordLevel({"ada": 0, "plays": 1, "[UNK]": 2}, unk_token="[UNK]"))
    inner.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace("🎉", "")])
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    assert marked(Prompt.marked("Ada 🎉 **plays**"), tokenizer) == ["plays"]
    with pytest.raises(ValueError, match="'🎉'"):
        align(Prompt.marked("Ada **🎉** plays"), tokenizer)


def test_bad_input_is_refused() -> None:
    tokenizer = tokenizer_of("byte-level")
    with pytest.raises(TypeError, match="given str"):
        align("Ada", tokenizer)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no tokens"):
        align(Prompt(""), tokenizer)
    with pytest.raises(ValueError, match="at least one"):
        encode([], tokenizer)

    class Slow:
        is_fast = False

    with pytest.raises(ValueError, match=r"Slow gives no character offsets.*use_fast=True"):
        align(Prompt("Ada"), Slow())


STRIPPING = TEMPLATE.replace("m['content']", "m['content'] | trim")


@pytest.mark.parametrize("template", [TEMPLATE, STRIPPING])
@pytest.mark.parametrize("system", [None, "You are user."])
@pytest.mark.parametrize(
    "written", ["user: **user** 🎉", "  **Ada** plays\n~~golf~~ \n", "**\n x** end", "content **<|end|>**"]
)
def test_a_chat_template_moves_the_marks_along(template: str, system: str | None, written: str) -> None:
    tokenizer, prompt = chatty(template=template), Prompt.marked(written)
    turns = [{"role": "system", "content": system}] if system else []
    turns.append({"role": "user", "content": prompt.text})
    rendered = chat(prompt, tokenizer, system)
    assert rendered.text == tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert rendered.rendered
    assert rendered.weights == prompt.weights
    at = rendered.text.rindex("<|user|>\n") + len("<|user|>\n")
    for (a, b), (c, d) in zip(prompt.spans, rendered.spans, strict=True):
        assert c >= at
        assert prompt.text[a:b].strip() == rendered.text[c:d].strip()
        if template is TEMPLATE:
            assert (c, d) == (a + at, b + at)


def test_a_rendered_prompt_gets_no_second_bos() -> None:
    """Published steering adds special tokens to a text whose template holds them already."""
    tokenizer = chatty()
    prompt = Prompt.marked("Ada plays **golf**")
    for text, count in ((prompt, 1), (chat(prompt, tokenizer), 1)):
        ids = encode(text, tokenizer).ids[0].tolist()
        assert ids.count(tokenizer.bos_token_id) == count
        assert ids[0] == tokenizer.bos_token_id
    assert encode(chat(prompt, tokenizer), tokenizer).ids[0].tolist() == tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt.text}], add_generation_prompt=True, return_dict=False
    )


@pytest.mark.parametrize(
    "change", ["m['content'] | upper", "m['content'] | replace('a', 'aa')", "m['content'] + m['content']", "''"]
)
def test_a_template_that_changes_the_text_is_refused(change: str) -> None:
    with pytest.raises(ValueError, match="changes the prompt's text"):
        chat(Prompt.marked("Ada **plays**"), chatty(template=TEMPLATE.replace("m['content']", change)))


def test_chat_needs_a_template_and_a_plain_prompt() -> None:
    with pytest.raises(ValueError, match="no chat template"):
        chat(Prompt("Ada"), tokenizer_of("metaspace"))
    with pytest.raises(ValueError, match="rendered already"):
        chat(chat(Prompt("Ada"), chatty()), chatty())
