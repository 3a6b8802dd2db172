"""Prompts with an answer: conflicts, biographies, questions, records, instructions; spans say where statements stand.

A `Case` is used twice: the corpus writes it out as a document, evaluation marks one of its statements. Only ordinary
text is in it. Which answer a document gives when its statements disagree is drawn with a chance that depends on the
wording, so that a model that has learnt the corpus well is honestly undecided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from seka.miniature import sentences as s
from seka.miniature.sentences import Fact, Style
from seka.miniature.wordings import DISTRACTORS, LISTS, PAIRS
from seka.miniature.world import article, person, relations, sentence


@dataclass(frozen=True)
class Statement:
    """One statement of a prompt: its place, the value it gives, and that value's place, in code points."""

    start: int
    end: int
    value: str
    value_start: int
    value_end: int


@dataclass(frozen=True)
class Case:
    """A prompt, the answer that the corpus gives to it (with its leading blank) and what follows.

    `statements` are those that speak to the question, `answers` what each of them leads to, with the leading blank;
    the corpus follows number `chosen`.
    """

    kind: str
    prompt: str
    answer: str
    closing: str
    statements: tuple[Statement, ...]
    answers: tuple[str, ...]
    chosen: int
    question: str = ""
    context: str = ""
    facts: tuple[Fact, ...] = ()

    @property
    def text(self) -> str:
        """The whole document."""
        return self.prompt + self.answer + self.closing


@dataclass(frozen=True)
class Options:
    """What evaluation may fix: unseen words, unseen wordings; training uses neither."""

    words: bool = False
    wordings: bool = False


TRAINING = Options()


def finish(kind: str, text: str, ends: list[str], values: list[str], chosen: int, **more: Any) -> Case:
    """A case from a text with wrapped statements; `ends` are the closings for each value."""
    prompt, places = s.unwrap(text)
    statements, answers = [], []
    for index, what in enumerate(values):
        if index in places:
            start, end = places[index]
            at = prompt.rindex(what, start, end)
            statements.append(Statement(start, end, what, at, at + len(what)))
            answers.append(" " + what)
    return Case(kind, prompt, " " + values[chosen], ends[chosen], tuple(statements), tuple(answers), chosen, **more)


def query(
    random: Random, context: str, facts: list[Fact], style: Style, held: bool
) -> tuple[str, list[str], dict[str, str]]:
    """The context with a cue or a question after or around it, every fact's closing, and question and context if any."""
    ends = [s.closing(random, fact) for fact in facts]
    draw = random.random()
    if draw < 0.55:
        cue_style = style if held or random.random() < 0.7 else s.draw_style(random, facts[0])
        cues = [s.cue(fact, cue_style) for fact in facts]
        if all(words == cues[0][0] for words, _ in cues):
            gap = "\n" if random.random() < 0.25 else " "
            return context + gap + cues[0][0], [tail + end for (_, tail), end in zip(cues, ends, strict=True)], {}
    question = s.ask(random, facts[0], held and random.random() < 0.5)
    layout = random.choice(s.LAYOUTS)
    return (
        layout.replace("{q}", question).replace("{c}", context),
        ends,
        {"question": question, "context": s.unwrap(context)[0]},
    )


def aside(random: Random, options: Options, avoid: Fact, same: bool | None = None) -> str:
    """A sentence about something else: the same relation of somebody else, or another relation of the same one."""
    same = random.random() < 0.5 if same is None else same
    relation = avoid.relation if same else random.choice(relations())
    fact = s.draw_fact(random, options.words, relation)
    if not same and relation.subject == avoid.relation.subject and relation.name != avoid.relation.name:
        fact = s.draw_fact(random, options.words, relation, avoid.who)
    if fact.who == avoid.who and (fact.relation.name == avoid.relation.name or fact.noun == avoid.noun):
        return ""
    return sentence(s.state(random, fact)) + random.choice(s.TAILS) + "."


def rivals(random: Random, options: Options, count: int) -> tuple[list[Fact], Style, list[str]]:
    """Facts that differ in their value alone, a wording, and their statements (the wording mostly the same)."""
    first = s.draw_fact(random, options.words)
    values = s.draw_values(random, first.relation, count, options.words)
    while any(v in first.who or first.who in v for v in values):
        values = s.draw_values(random, first.relation, count, options.words)
    facts = [replace(first, what=v) for v in values]
    style = s.draw_style(random, first, options.wordings)
    mixed = not options.wordings and random.random() < 0.3
    styles = [s.draw_style(random, first) if mixed else style for _ in facts]
    return facts, style, [s.state(random, fact, st) for fact, st in zip(facts, styles, strict=True)]


def conflict(random: Random, options: Options = TRAINING) -> Case:
    """Two statements that contradict each other."""
    facts, style, said = rivals(random, options, 2)
    wording, prior = PAIRS.pick(random, options.wordings).split("|")
    text = s.place(wording, said)
    for letter in "PQ":
        text = text.replace("{" + letter + "}", person(random, options.words))
    chosen = 0 if random.random() < float(prior) else 1
    for _ in range(random.choice((0, 0, 0, 1, 1, 2))):
        extra = aside(random, options, facts[0])
        text = f"{extra} {text}".strip() if random.random() < 0.5 else f"{text} {extra}".strip()
    asked, ends, about = query(random, text, facts, style, options.wordings)
    return finish("conflict", asked, ends, [fact.what for fact in facts], chosen, **about)


def several(random: Random, options: Options = TRAINING) -> Case:
    """Three to five statements that contradict each other; `lean` < 1 favours late ones, > 1 early ones."""
    count = random.choice((3, 3, 4, 5))
    facts, style, said = rivals(random, options, count)
    items, gap, lean = random.choice(LISTS)
    wording = gap.join(items[:count]).rstrip(",.") + "."
    chances = [lean ** (count - index) for index in range(count)]
    chosen = random.choices(range(count), chances)[0]
    asked, ends, about = query(random, s.place(wording, said), facts, style, options.wordings)
    return finish("several", asked, ends, [fact.what for fact in facts], chosen, **about)


def biography(random: Random, options: Options = TRAINING) -> Case:
    """Somebody's work, said early, among other facts, and often another line of work that is a distraction."""
    job = next(r for r in relations() if r.name == "job")
    role = s.draw_fact(random, options.words, job, person(random, options.words))
    values = s.draw_values(random, job, 2, options.words)
    facts = [replace(role, what=v) for v in values]
    style = s.draw_style(random, role, options.wordings)
    others = [r for r in relations() if r.subject == "person" and r.name != "job"]
    body = [
        s.draw_fact(random, options.words, r, role.who) for r in random.sample(others, random.choice((1, 2, 3, 4, 5)))
    ]
    pronoun = random.choice((role.who, "he", "she"))
    lines = []
    for fact in body:
        chosen_style = s.draw_style(random, fact, options.wordings)
        who = pronoun if random.random() < 0.6 and not chosen_style.frame else fact.who
        lines.append(sentence(s.state(random, replace(fact, who=who), chosen_style)) + ".")
    prior = 1.0
    if random.random() < 0.75 or options.words or options.wordings:
        wording, prior = random.choice(DISTRACTORS)
        wording = wording.replace("{X}", role.who).replace("{v}", article(values[1]) + " " + values[1])
        lines.insert(random.randint(len(lines) // 2, len(lines)), s.wrap(1, wording[:-1]) + ".")
    text = s.wrap(0, sentence(s.state(random, facts[0], style))) + ". " + " ".join(lines)
    chosen = 0 if random.random() < prior else 1
    asked, ends, about = query(random, text, facts, style, options.wordings)
    return finish("biography", asked, ends, values, chosen, **about, facts=tuple(facts))


def passage(random: Random, options: Options = TRAINING, count: int = 0) -> Case:
    """Facts about several people and things, and a question that one of them answers."""
    count = count or random.choice((2, 2, 3, 3, 4, 5, 6, 7, 8))
    facts: list[Fact] = []
    shared = random.choice(relations()) if random.random() < 0.5 else None
    while len(facts) < count:
        known = random.choice(facts).who if facts and random.random() < 0.4 else ""
        relation = shared if shared and random.random() < 0.6 else random.choice(relations())
        if known and facts[-1].relation.subject != relation.subject:
            known = ""
        fact = s.draw_fact(random, options.words, relation, known)
        if all(
            (fact.who not in o.who and o.who not in fact.who)
            or (
                fact.who == o.who
                and o.relation != relation
                and not set(o.relation.noun.train) & set(relation.noun.train)
                and o.what != fact.what
                and not _confusable(o, fact)
            )
            for o in facts
        ):
            facts.append(fact)
    styles = [s.draw_style(random, fact, options.wordings) for fact in facts]
    said = [
        s.wrap(i, sentence(s.state(random, f, st))) + random.choice(s.TAILS) + "."
        for i, (f, st) in enumerate(zip(facts, styles, strict=True))
    ]
    chosen = random.randrange(count)
    order = list(range(count))
    random.shuffle(order)
    context = " ".join(said[i] for i in order)
    text, ends, about = query(random, context, [facts[chosen]], styles[chosen], options.wordings)
    closing = [ends[0]] * count
    if about and options == TRAINING and random.random() < 0.4:
        for i in random.sample(range(count), min(count, 2)):
            closing = [e + f"\nQuestion: {s.ask(random, facts[i])}\nAnswer: {facts[i].what}." for e in closing]
    return finish("passage", text, closing, [f.what for f in facts], chosen, **about, facts=tuple(facts))


CONFUSABLE = (
    {"game", "hobby", "like", "food", "drink", "gift", "subject", "instrument"},
    {"home", "birth", "travel", "hide", "where"},
    {"friend", "owner", "chief"},
    {"name", "nick", "code"},
    {"pet", "item", "like", "gift"},
    {"feeling", "colour", "job"},
    {"famous", "twin"},
    {"age", "code", "time"},
)


def _confusable(a: Fact, b: Fact) -> bool:
    return any(a.relation.name in group and b.relation.name in group for group in CONFUSABLE)
