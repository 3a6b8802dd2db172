"""Prompts whose mark misses: a sentence is marked that does not answer, so that all a mark then does is a side effect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

from torch import Tensor

from seka.miniature.corpus import sentences as s
from seka.miniature.corpus.asking import Options, apart, bare, new_fact, query, relation, style_of
from seka.miniature.corpus.cases import rivals
from seka.miniature.corpus.passages import long_passage
from seka.miniature.corpus.sentences import Fact
from seka.miniature.corpus.world import sentence
from seka.miniature.measures import ways as w
from seka.miniature.measures.tasks import UNSEEN
from seka.miniature.measures.ways import Way
from seka.prompts import Prompt

KINDS = {
    "same relation": "the same of somebody or something else",
    "other relation": "something else of somebody or something else",
    "same subject": "something else of the same one",
    "long": "another sentence of a longer passage",
    "conflict": "a sentence beside two statements that contradict each other, neither of them marked",
}
"""{kind: what its marked sentence says, or where it stands}"""
LONG = 24
"""Sentences of a longer passage."""
TRIES = 50


def misses(split: str, n: int) -> dict[str, list[Prompt]]:
    """`n` prompts of each of KINDS, with words that training never saw."""
    return {
        kind: [miss(Random(f"0/{split}/miss/{kind}/{index}"), UNSEEN, kind) for index in range(n)] for kind in KINDS
    }


def miss(random: Random, options: Options, kind: str) -> Prompt:
    """A prompt that one sentence answers, or two that contradict each other, and another sentence marked."""
    if kind == "long":
        case = long_passage(random, replace(options, count=LONG))
        beside_it = case.statements[(case.chosen + 1) % len(case.statements)]
        return Prompt(case.prompt, ((beside_it.start, beside_it.end),))
    other = None
    while other is None:
        if kind == "conflict":
            facts, style, said = rivals(random, options, 2)
        else:
            facts = [new_fact(random, options)]
            style = style_of(random, facts[0], options)
            said = [bare(facts[0], style)]
        other = beside(random, options, kind, facts)
    lines = [s.wrap(0, sentence(bare(other, style_of(random, other, options)))) + "."]
    lines += [sentence(text) + "." for text in said]
    random.shuffle(lines)
    prompt, places = s.unwrap(query(random, " ".join(lines), facts, style, options)[0])
    return Prompt(prompt, (places[0],))


def beside(random: Random, options: Options, kind: str, facts: Sequence[Fact]) -> Fact | None:
    """A fact that cannot be taken for an answer; None where none was found in TRIES."""
    about = facts[0]
    for _ in range(TRIES):
        if kind == "same relation":
            other = new_fact(random, options, about.relation)
        elif kind == "same subject":
            other = new_fact(random, options, relation(random, options, about.relation.subject), about.who)
        else:
            other = new_fact(random, options)
        same = other.relation.name == about.relation.name
        fits = (other.who == about.who) == (kind == "same subject") and not (same and kind == "other relation")
        if fits and all(apart(other, fact) for fact in facts):
            return other
    return None


def spill(
    tokenizer: Any, prompts: Mapping[str, Sequence[Prompt]], way: Way, plain: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """{kind: (N,) KL(way || plain) in nats of the first answer token}; plain: {kind: (N, V) logits without steering}."""
    found = {}
    for kind, some in prompts.items():
        steered = w.logits(tokenizer, some, way).log_softmax(-1)
        found[kind] = (steered.exp() * (steered - plain[kind].log_softmax(-1))).sum(-1).double()
    return found


def plain_logits(model: Any, tokenizer: Any, prompts: Mapping[str, Sequence[Prompt]]) -> dict[str, Tensor]:
    """{kind: (N, V) logits of the first answer token} without steering."""
    return {kind: w.logits(tokenizer, some, w.plain(model)) for kind, some in prompts.items()}
