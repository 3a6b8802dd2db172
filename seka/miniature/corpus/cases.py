"""Statements that contradict each other: conflicts of two and of several, and biographies with a distraction.

Which answer a document gives when its statements disagree is drawn with a chance that depends on the wording, so that
a model that has learnt the corpus well is honestly undecided. In some training documents words settle it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

from seka.miniature.corpus import made, made_pairs
from seka.miniature.corpus import sentences as s
from seka.miniature.corpus.asking import (
    TRAINING,
    Case,
    Options,
    Statement,
    apart,
    aside,
    bare,
    dress,
    finish,
    new_fact,
    query,
    relation,
    someone,
    style_of,
)
from seka.miniature.corpus.passages import long_passage, passage
from seka.miniature.corpus.phrases import values
from seka.miniature.corpus.sentences import Fact, Style
from seka.miniature.corpus.wordings import DISTRACTORS, HELD_LISTS, LISTS, PAIRS, SETTLED, Listing
from seka.miniature.corpus.world import article, person, relations, sentence, words

SETTLED_SHARE = 0.25
"""Share of conflicts, in training, in which words settle which statement counts."""
SAME = 0.6
"""Share of conflicts whose statements use one wording."""
DATED = re.compile(":|last (week|year)|next year|this year|yesterday|today|once|now|soon|before")
"""What does not go well with wordings that say when, or whose words these are."""
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


def rivals(random: Random, options: Options, count: int) -> tuple[list[Fact], Style, list[str]]:
    """Facts that differ in their value alone, the last one's wording, and their statements."""
    first = new_fact(random, options, relation(random, options))

    def draw() -> list[str]:
        kind = first.relation if not options.invented else replace(first.relation, classes=("nonce_word",))
        return (
            values(random, kind, count, options.words)
            if not options.invented
            else s.draw_values(random, kind, count, True)
        )

    drawn = draw()
    while any(v in first.who or first.who in v for v in drawn):
        drawn = draw()
    facts = [replace(first, what=v) for v in drawn]
    style = calm(random, first, options)
    same = random.random() < SAME
    styles = [style if same else calm(random, first, options) for _ in facts]
    return facts, random.choice(styles), [bare(fact, st) for fact, st in zip(facts, styles, strict=True)]


def calm(random: Random, fact: Fact, options: Options) -> Style:
    """A wording that can stand inside another sentence: no colon in it, and nothing about the time."""
    while True:
        style = style_of(random, fact, options)
        if not DATED.search(style.words) or random.random() < 0.1:
            return style


def together(random: Random, options: Options) -> str:
    """How two statements stand together, "|", and the chance of the first."""
    if options.free and random.random() < SETTLED_SHARE:
        return random.choice(SETTLED)
    if options.free and random.random() < made.SHARE:
        return made_pairs.pair(random)
    return PAIRS.pick(random, options.wordings)


def conflict(random: Random, options: Options = TRAINING, joined: str = "") -> Case:
    """Two statements that contradict each other; joined: how they stand together, like an entry of PAIRS, "" to draw it."""
    facts, style, said = rivals(random, options, 2)
    wording, prior = (joined or together(random, options)).split("|")
    text = dress(random, s.place(wording, said), options, " ".join(said))
    for _ in range(random.choice((0, 0, 0, 0, 1, 1, 2))):
        extra = aside(random, options, facts)
        gap = "\n" if "\n" in text else random.choice((" ", " ", "\n"))
        where = random.choice(("before", "after", "between"))
        if extra and where == "between" and "^" in text:
            inner = text[text.index("^") - 1]
            text = text.replace("^", extra + inner)
        elif extra:
            text = text + gap + extra if where == "after" else extra + gap + text
    chosen = 0 if random.random() < float(prior) else 1
    asked, ends, about = query(random, text.replace("^", ""), facts, style, options)
    chances = (float(prior), 1 - float(prior))
    return finish(
        "conflict", asked, ends, [fact.what for fact in facts], chosen, **about, facts=tuple(facts), chances=chances
    )  # fmt: skip


def several(random: Random, options: Options = TRAINING) -> Case:
    """Three to six statements that contradict each other, or as many as the options say."""
    count = options.count or random.choice((3, 3, 4, 4, 5, 6))
    facts, style, said = rivals(random, options, count)
    listing = random.choice(HELD_LISTS if options.wordings else LISTS)
    text = listed(random, listing, said, options)
    if random.random() < 0.2 and (extra := aside(random, options, facts)):
        gap = listing.gap
        text = text + gap + extra if random.random() < 0.5 else extra + gap + text
    chances = [listing.lean ** (count - index) for index in range(count)]
    chosen = random.choices(range(count), chances)[0]
    asked, ends, about = query(random, text, facts, style, options)
    shares = tuple(chance / sum(chances) for chance in chances)
    return finish(
        "several", asked, ends, [fact.what for fact in facts], chosen, **about, facts=tuple(facts), chances=shares
    )  # fmt: skip


def listed(random: Random, listing: Listing, said: list[str], options: Options) -> str:
    """The statements in a listing, each wrapped."""
    days = words("day")[:7]
    start = random.randrange(7 - len(said) + 1)
    taken, lines = " ".join(said), []
    for index, text in enumerate(said):
        item = listing.first if not index else listing.last if index == len(said) - 1 else listing.item
        if "{P}" in item:
            name = someone(random, options, taken)
            item, taken = item.replace("{P}", name), taken + " " + name
        item = item.replace("{n}", str(index + 1)).replace("{w}", ORDINALS[index]).replace("{D}", days[start + index])
        item = item.replace("{A}", s.wrap(index, sentence(text))).replace("{a}", s.wrap(index, text))
        lines.append(item)
    return listing.gap.join(lines)


def biography(random: Random, options: Options = TRAINING) -> Case:
    """Somebody's work, said early, among other facts, and often another line of work that is a distraction."""
    job = next(r for r in relations() if r.name == "job")
    role = new_fact(random, options, job, person(random, options.words))
    given = values(random, job, 2, options.words)
    while any(v in role.who or role.who in v for v in given):
        given = values(random, job, 2, options.words)
    facts = [replace(role, what=v) for v in given]
    style = style_of(random, role, options)
    body: list[Fact] = []
    wanted = random.choice((1, 2, 3, 3, 4, 5, 6))
    for _ in range(20 * wanted):
        fact = new_fact(random, options, relation(random, options, "person"), role.who)
        if all(apart(fact, other) for other in [*facts, *body]) and len(body) < wanted:
            body.append(fact)
    pronoun = random.choice((role.who, "he", "she"))
    lines = []
    for fact in body:
        chosen_style = style_of(random, fact, options)
        who = pronoun if random.random() < 0.6 and chosen_style.words.startswith("{X} ") else fact.who
        lines.append(sentence(s.state(random, replace(fact, who=who), chosen_style, options.wordings)) + ".")
    prior = 1.0
    if random.random() < 0.75 or options != TRAINING:
        wording, chance = DISTRACTORS.pick(random, options.wordings).split("|")
        prior = float(chance)
        wording = wording.replace("{X}", role.who).replace("{v}", article(given[1]) + " " + given[1])
        lines.insert(random.randint(len(lines) // 2, len(lines)), s.wrap(1, wording[:-1]) + ".")
    early = s.wrap(0, sentence(s.state(random, facts[0], style, options.wordings))) + "."
    lines.insert(0 if random.random() < 0.85 else min(1, len(lines) // 3), early)
    chosen = 0 if random.random() < prior else 1
    asked, ends, about = query(random, " ".join(lines), facts, style, options)
    chances = (prior, 1 - prior)
    return finish("biography", asked, ends, given, chosen, **about, facts=tuple(facts), chances=chances)


__all__ = [
    "TRAINING",
    "Case",
    "Options",
    "Statement",
    "biography",
    "conflict",
    "finish",
    "long_passage",
    "passage",
    "several",
]
