"""Facts about several people and things, and questions that one sentence each answers; short passages and long ones."""

from __future__ import annotations

from random import Random

from seka.miniature.corpus import sentences as s
from seka.miniature.corpus.asking import (
    TRAINING,
    Case,
    Options,
    apart,
    ended,
    finish,
    new_fact,
    query,
    relation,
    style_of,
)
from seka.miniature.corpus.sentences import Fact
from seka.miniature.corpus.stories import filler

LONG, SENTENCES = (850, 3300), 100
"""Characters of a long passage, about 250 to 1,000 tokens with its question, and its most sentences."""
FULL, MANY = 3400, 100
"""The same where its position is fixed: about 1,000 tokens."""
AGAIN = ("\nQuestion: {q}\nAnswer: {v}.", "\nQ: {q}\nA: {v}.", "\n{q} {v}.")


def gather(random: Random, options: Options, count: int) -> list[Fact]:
    """Facts of which none can be taken for the answer to a question about another."""
    facts: list[Fact] = []
    shared = relation(random, options) if random.random() < 0.5 else None
    while len(facts) < count:
        kind = shared if shared and random.random() < 0.6 else relation(random, options)
        known = [fact.who for fact in facts if fact.relation.subject == kind.subject]
        fact = new_fact(random, options, kind, random.choice(known) if known and random.random() < 0.4 else "")
        if all(apart(fact, other) for other in facts):
            facts.append(fact)
    return facts


def told(random: Random, options: Options, facts: list[Fact]) -> tuple[list[str], list[s.Style]]:
    """The facts as wrapped sentences, and their wordings."""
    styles = [style_of(random, fact, options) for fact in facts]
    lines = [
        s.wrap(i, (line := ended(random, s.state(random, fact, style, options.wordings)))[:-1]) + line[-1]
        for i, (fact, style) in enumerate(zip(facts, styles, strict=True))
    ]
    return lines, styles


def answered(random: Random, facts: list[Fact], most: int) -> str:
    """Questions about some of the facts with their answers, each on a line of its own."""
    wording = random.choice(AGAIN)
    picked = random.sample(facts, min(len(facts), random.randint(1, most)))
    return "".join(wording.replace("{q}", s.ask(random, fact)).replace("{v}", fact.what) for fact in picked)


def ask_about(
    random: Random, options: Options, kind: str, lines: list[str], facts: list[Fact], style: s.Style, chosen: int
) -> Case:
    """A case that asks for one of the facts; in training other questions may follow."""
    gap = "\n" if random.random() < 0.1 else " "
    text, ends, about = query(random, gap.join(lines), [facts[chosen]], style, options)
    closing = ends[0]
    others = [fact for i, fact in enumerate(facts) if i != chosen]
    if about and others and options == TRAINING and random.random() < 0.4:
        closing += answered(random, others, 4 if kind == "long passage" else 2)
    return finish(
        kind, text, [closing] * len(facts), [f.what for f in facts], chosen, **about, facts=tuple(facts)
    )  # fmt: skip


def passage(random: Random, options: Options = TRAINING) -> Case:
    """Two to ten facts about several people and things, and a question that one of them answers."""
    count = options.count or random.choice((2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10))
    facts = gather(random, options, count)
    lines, styles = told(random, options, facts)
    chosen = random.randrange(count)
    order = [i for i in range(count) if i != chosen]
    random.shuffle(order)
    order.insert(placed(random, options, count), chosen)
    return ask_about(random, options, "passage", [lines[i] for i in order], facts, styles[chosen], chosen)


def long_passage(random: Random, options: Options = TRAINING) -> Case:
    """Twelve sentences and more, facts among sentences of stories; the one that answers stands anywhere or where it is asked to."""
    length, most = (random.randint(*LONG), SENTENCES) if options.position is None else (FULL, MANY)
    facts = gather(random, options, random.randint(4, 14))
    lines, styles = told(random, options, facts)
    heads = [word for fact in facts for word in fact.who.split() if word.lower() not in ("the", "of", "my")]
    while len(lines) < (options.count or most) and (options.count or sum(map(len, lines)) < length):
        text = filler(random)
        if not any(head.removesuffix("'s") in text for head in heads):
            lines.append(text)
    chosen = random.randrange(len(facts))
    order = [i for i in range(len(lines)) if i != chosen]
    random.shuffle(order)
    order.insert(placed(random, options, len(lines)), chosen)
    return ask_about(random, options, "long passage", [lines[i] for i in order], facts, styles[chosen], chosen)


def placed(random: Random, options: Options, count: int) -> int:
    """Where among `count` sentences the one that answers stands."""
    return random.randrange(count) if options.position is None else round(options.position * (count - 1))
