"""Special tokens are never marked: a beginning of text, the ends of turns; and each prompt has one beginning at most."""

from __future__ import annotations

from typing import Any

import pytest
from byhand import Plan
from conftest import build_tokenizer
from decoding import greedy
from naive import TEMPLATE, chatty, tokenizer_of
from setting import invent, rows_of, steerable, steering_of
from shapes import NEW, OPTIONS, both, differ
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import seka
from seka import Prompt
from seka.tokens import Tokens


def sink(tokenizer: Any, tokens: Tokens) -> int:
    """How many columns hold the beginning of text; none may be marked."""
    at = tokens.ids == tokenizer.bos_token_id
    assert not bool(tokens.highlight[at].any())
    return int(at.sum())


def test_the_beginning_of_text_is_never_marked() -> None:
    """Neither one that the tokenizer adds nor one that a template or the user wrote: its key is an attention sink."""
    tokenizer = tokenizer_of("metaspace")
    everything = seka.encode(Prompt("Ada plays golf", ((0, 14),)), tokenizer)
    assert sink(tokenizer, everything) == 1
    assert everything.highlight[0, 1:].tolist() == [1.0] * (everything.ids.shape[1] - 1)
    written = "<bos>Ada plays golf"
    rendered = seka.encode(Prompt(written, ((0, len(written)),), rendered=True), tokenizer)
    assert sink(tokenizer, rendered) == 1
    assert int((rendered.highlight != 0).sum()) == rendered.ids.shape[1] - 1
    model = steerable("llama")
    ((ids, marks),) = rows_of(everything)
    steered = greedy(model, "llama", ids, marks, Plan([invent(model)], 8.0), NEW)
    assert 0 not in marks
    differ(both("llama", everything), [0])
    assert steered != greedy(model, "llama", ids, {**marks, 0: 1.0}, Plan([invent(model)], 8.0), NEW)


@pytest.mark.parametrize("kind", ["metaspace", "byte-level"])
def test_marks_that_reach_over_a_templates_own_text(kind: str) -> None:
    """Words of the template that are under the span are marked, its special tokens are not, and no second beginning is added."""
    tokenizer = chatty(kind)
    rendered = seka.chat(Prompt("Ada plays golf"), tokenizer, "Be brief.")
    start, end = rendered.text.index("brief"), rendered.text.rindex("golf") + len("golf")
    over = Prompt(rendered.text, ((start, end),), rendered=True)
    tokens = seka.encode(over, tokenizer)
    special = set(tokenizer.convert_tokens_to_ids(["<|user|>", "<|system|>", "<|assistant|>", "<|end|>"]))
    found = list(zip(tokens.ids[0].tolist(), tokens.highlight[0].tolist(), strict=True))
    assert all(weight == 0 for i, weight in found if i in special)
    assert sum(i in special for i, _ in found) == 5
    text = "".join(tokenizer.decode([i]) for i, weight in found if weight)
    assert "".join(text.split()) == "brief.Adaplaysgolf"
    if tokenizer.bos_token_id is not None:
        assert sink(tokenizer, tokens) == 1
    everything = seka.encode(Prompt(rendered.text, ((0, len(rendered.text)),), rendered=True), tokenizer)
    assert all(
        weight == 0
        for i, weight in zip(everything.ids[0].tolist(), everything.highlight[0].tolist(), strict=True)
        if i in special
    )
    differ(both("llama", tokens), [0])


def test_a_mark_on_special_tokens_alone_is_an_error() -> None:
    tokenizer = chatty()
    text = "<bos>Ada<|end|>\nplays"
    with pytest.raises(
        ValueError, match=r"'<\|end\|>': it is special tokens, which are never marked; mark other words"
    ):
        seka.encode(Prompt(text, ((8, 15),), rendered=True), tokenizer)
    with pytest.raises(ValueError, match="special tokens, which are never marked"):
        seka.encode(Prompt.marked("**<bos>** Ada"), tokenizer)


def test_an_unknown_word_is_no_special_token() -> None:
    """Its token is special, its text is a word of the prompt."""
    inner = Tokenizer(models.WordLevel({"Ada": 0, "plays": 1, "[UNK]": 2}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]")
    assert seka.align(Prompt.marked("Ada plays **zither**"), tokenizer).weights == (0.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="special tokens"):
        seka.align(Prompt.marked("Ada plays **[UNK]**"), tokenizer)


def test_a_templates_own_beginning_is_the_only_one() -> None:
    """A rendered prompt and a plain one have one each, and a template without one gets none added."""
    with_bos, without = chatty(), chatty(template=TEMPLATE.replace("{{ bos_token }}", ""))
    prompt = Prompt.marked("Ada plays **golf**")
    for tokenizer, count in ((with_bos, 1), (without, 0)):
        tokens = seka.encode(seka.chat(prompt, tokenizer, "Be brief."), tokenizer)
        assert sink(tokenizer, tokens) == count
        assert sink(tokenizer, seka.encode(prompt, tokenizer)) == 1


def test_an_empty_prompt() -> None:
    """Nothing to read is an error; a tokenizer's beginning of text is something, and nothing of it can be marked."""
    model = steerable("llama")
    steering = steering_of(model)
    for call in (
        lambda: seka.encode(Prompt(""), build_tokenizer()),
        lambda: seka.generate(model, build_tokenizer(), Prompt(""), steering, **OPTIONS),
        lambda: seka.compare(model, build_tokenizer(), Prompt(""), steering, max_new_tokens=2),
    ):
        with pytest.raises(ValueError, match="the prompt has no tokens: it is empty"):
            call()
    tokenizer = tokenizer_of("metaspace")
    out = seka.compare(model, tokenizer, Prompt(""), steering, max_new_tokens=4)
    assert out.prompt_tokens == 1
    assert out.identical
    with pytest.raises(ValueError, match="does not fit the text of 0 code points"):
        Prompt("", ((0, 1),))
    blank = seka.compare(model, build_tokenizer(), Prompt(" \n"), steering, max_new_tokens=4)
    assert blank.identical
