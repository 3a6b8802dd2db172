"""Contrastive triplets in the embedded model's own world, from words and wordings of training alone: what experts learn from."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable
from random import Random

from seka.miniature.corpus import sentences as s
from seka.miniature.corpus.asking import LISTED, TRAINING, Case, apart, dress, new_fact, relation
from seka.miniature.corpus.cases import biography, conflict, passage
from seka.miniature.corpus.replies import INSTRUCTIONS
from seka.miniature.corpus.rules import SETTLED
from seka.miniature.corpus.world import sentence
from seka.triplets import Triplet

COUNT = 400
#: What an instruction of a kind can be asked for; {X} does not occur in any of them.
ASKED = {
    "opening": ("What is the first word of the reply?", "How does the reply begin?"),
    "ending": ("What is the last word of the reply?", "How does the reply end?"),
    "signature": ("Who signs the letter?", "Which name stands under the letter?"),
    "quote": ("What is to be repeated?", "Which words does the reply hold?"),
    "title": ("What is the title?", "What is the text called?"),
}


def facts(random: Random) -> Triplet:
    """One statement, or two that contradict each other; the other question is about somebody else."""
    if random.random() < 0.5:
        case = asked(random, conflict)
        fact, context, answer = case.facts[case.chosen], case.context, case.answer.strip()
        question = case.question
    else:
        fact = new_fact(random, TRAINING)
        context = sentence(s.state(random, fact, s.draw_style(random, fact))) + "."
        question, answer = s.ask(random, fact), fact.what
    other = new_fact(random, TRAINING)
    while other.who == fact.who or other.relation.name == fact.relation.name:
        other = new_fact(random, TRAINING)
    return Triplet(context, question, answer, s.ask(random, other))


def roles(random: Random) -> Triplet:
    """A short biography and a question about the work; the other question is about a detail of it."""
    case = asked(random, biography)
    other = new_fact(random, TRAINING, relation(random, TRAINING, "person"), case.facts[0].who)
    while not apart(other, case.facts[0]):
        other = new_fact(random, TRAINING, relation(random, TRAINING, "person"), case.facts[0].who)
    return Triplet(case.context, case.question, case.statements[0].value, s.ask(random, other))


def passages(random: Random) -> Triplet:
    """Several people and things; the other question is about another sentence of the same passage."""
    case = asked(random, passage)
    while len(case.facts) < 3:
        case = asked(random, passage)
    others = [fact for n, fact in enumerate(case.facts) if n != case.chosen]
    return Triplet(case.context, case.question, case.answer.strip(), s.ask(random, random.choice(others)))


def instructions(random: Random) -> Triplet:
    """Two rules for a reply: asked for what they want, or told which of them counts."""
    return wanted(random) if random.random() < 0.5 else settled(random)


def wanted(random: Random) -> Triplet:
    """Two rules for a reply and a question about what they ask for; the other question is about something else."""
    kind = random.choice(list(ASKED))
    # In training's cases an instruction may stand alone, or words settle which one counts.
    case = INSTRUCTIONS[kind](random, LISTED)
    first, last = min(st.start for st in case.statements), max(st.end for st in case.statements)
    other = random.choice([name for name in ASKED if name != kind])
    value = case.statements[case.chosen].value
    return Triplet(case.prompt[first:last] + ".", random.choice(ASKED[kind]), value, random.choice(ASKED[other]))


def settled(random: Random) -> Triplet:
    """Two rules for a reply, and words before them by which one of them counts; by the other words the other one does."""
    case = INSTRUCTIONS[random.choice(list(INSTRUCTIONS))](random, LISTED)
    rules = [case.prompt[statement.start : statement.end] for statement in case.statements]
    told = dress(random, "\0".join(random.choice(beforehand())), LISTED, case.prompt)
    context, *words = told.replace("{0}", rules[0] + ".").replace("{1}", rules[1] + ".").split("\0")
    chosen = random.randrange(2)
    return Triplet(context, words[chosen], rules[chosen], words[1 - chosen])


@functools.cache
def beforehand() -> tuple[tuple[str, str, str], ...]:
    """Two instructions, and the words that may stand before them by which the first one counts, and the second."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for entry in SETTLED:
        wording, side = entry.split("|")
        before, *rest = re.split(r"(?<=\.)\s", wording, maxsplit=1)
        if rest and not re.search(r"\{\d\}", before):
            alike = re.sub("first|second|[12]|{[PQ]}", "", before)
            found.setdefault((rest[0], alike), {})[side] = before
    return tuple((both, words["1"], words["0"]) for (both, _), words in found.items() if len(words) == 2)


def asked(random: Random, make: Callable[..., Case]) -> Case:
    """A case whose question and context stand apart."""
    while True:
        case = make(random)
        if case.context:
            return case


KINDS: dict[str, tuple[Callable[[Random], Triplet], str]] = {
    "facts": (facts, "single statements and pairs that contradict each other"),
    "roles": (roles, "short biographies, asked for the work"),
    "instructions": (instructions, "pairs of instructions, asked for what they want or told which one counts"),
    "passages": (passages, "several people and things, asked about one"),
}


def triplets(kind: str, count: int = COUNT, seed: int = 0) -> list[Triplet]:
    """`count` triplets of a kind, the answer standing in the context once."""
    found: list[Triplet] = []
    random = Random(f"{seed}/triplets/{kind}")
    while len(found) < count:
        triplet = KINDS[kind][0](random)
        if triplet.context.lower().count(triplet.answer.lower()) == 1:
            found.append(triplet)
    return found


def digest(count: int = 100) -> str:
    """What tells one state of the triplets from another: the sha256 of the first ones of each kind of seed 0."""
    told = hashlib.sha256()
    for kind in KINDS:
        for triplet in triplets(kind, count):
            told.update(
                "\0".join((triplet.context, triplet.question, triplet.answer, triplet.other_question)).encode() + b"\0"
            )
    return told.hexdigest()
