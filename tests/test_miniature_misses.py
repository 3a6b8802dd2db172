"""Marks that miss: which sentence they mark, and what they change, against a naive loop."""

from __future__ import annotations

import math
from random import Random

import pytest
import torch
from conftest import build_model, build_tokenizer
from setting import invent

import seka
from seka.miniature.corpus.asking import apart
from seka.miniature.corpus.passages import long_passage
from seka.miniature.measures import misses, ways
from seka.miniature.measures.tasks import UNSEEN

COUNT = 200


@pytest.mark.parametrize("kind", misses.KINDS)
def test_one_sentence_is_marked_and_it_is_whole(kind):
    for prompt in misses.misses("validation", 25)[kind]:
        ((start, end),) = prompt.spans
        assert start == 0 or prompt.text[start - 1] in ' \n["'
        assert prompt.text[end] == "."
        assert prompt.text[start : start + 1].isupper() or not prompt.text[start : start + 1].isalpha()
    assert len(set(misses.misses("validation", 25)[kind])) == 25


def test_rows_of_splits_differ_and_are_drawn_again_the_same():
    assert misses.misses("validation", 3) == misses.misses("validation", 3)
    assert not set(misses.misses("validation", 9)["conflict"]) & set(misses.misses("test", 9)["conflict"])


@pytest.mark.parametrize("kind", [kind for kind in misses.KINDS if kind != "long"])
def test_what_is_marked_is_no_answer(kind, monkeypatch):
    """The sentence about the other fact is marked, which differs from those that answer as its kind says."""
    seen = []

    def spy(random, options, kind, facts):
        found = beside(random, options, kind, facts)
        if found is not None:
            seen.append((facts, found))
        return found

    beside = misses.beside
    monkeypatch.setattr(misses, "beside", spy)
    prompts = [misses.miss(Random(f"beside/{index}"), UNSEEN, kind) for index in range(COUNT)]
    for prompt, (facts, other) in zip(prompts, seen, strict=True):
        ((start, end),) = prompt.spans
        marked, rest = prompt.text[start:end], prompt.text[:start] + prompt.text[end:]
        assert len(facts) == (2 if kind == "conflict" else 1)
        assert other.what.lower() in marked.lower()
        assert other.who.lower() in marked.lower()
        for fact in facts:
            assert fact.what.lower() in rest.lower()
            assert apart(other, fact)
            assert (other.who == fact.who) == (kind == "same subject")
            if kind == "same relation":
                assert other.relation == fact.relation
            if kind in ("same subject", "other relation"):
                assert other.relation.name != fact.relation.name


def test_in_a_longer_passage_a_sentence_is_marked_that_does_not_answer(monkeypatch):
    cases = []
    monkeypatch.setattr(misses, "long_passage", lambda *given: cases.append(long_passage(*given)) or cases[-1])
    for index in range(20):
        ((start, end),) = misses.miss(Random(index), UNSEEN, "long").spans
        spans = [(statement.start, statement.end) for statement in cases[-1].statements]
        assert (start, end) in spans
        assert (start, end) != spans[cases[-1].chosen]


def test_what_a_miss_changes_as_a_loop_over_the_vocabulary():
    model, tokenizer = build_model("qwen3", max_position_embeddings=1024), build_tokenizer()
    steering = seka.Steering(model, invent(model), 6.0)
    prompts = {kind: some for kind, some in misses.misses("validation", 3).items() if kind != "long"}
    plain = misses.plain_logits(model, tokenizer, prompts)
    found = misses.spill(tokenizer, prompts, ways.steered(steering), plain)
    for kind, some in prompts.items():
        for prompt, kl in zip(some, found[kind], strict=True):
            tokens = seka.encode(prompt, tokenizer)
            with torch.no_grad():
                before = model(tokens.ids).logits[0, -1].double().tolist()
                with steering.on(tokens):
                    after = model(tokens.ids, attention_mask=tokens.attention).logits[0, -1].double().tolist()
            p, q = ([math.exp(x) / sum(map(math.exp, row)) for x in row] for row in (after, before))
            wanted = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
            assert wanted > 1e-4
            assert float(kl) == pytest.approx(wanted, rel=0.01, abs=1e-6)
    unchanged = misses.spill(tokenizer, prompts, ways.plain(model), plain)
    assert max(float(some.abs().max()) for some in unchanged.values()) < 1e-6
