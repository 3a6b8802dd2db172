"""Two instructions that cannot both be followed, and what a text that follows one of them looks like.

What both outputs share at their beginning is part of the prompt, so that the answer starts where they part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from seka.miniature.corpus import made_rules
from seka.miniature.corpus import sentences as s
from seka.miniature.corpus.asking import (
    TRAINING,
    Case,
    Options,
    Statement,
    apart,
    bare,
    dress,
    new_fact,
    relation,
    someone,
    stop,
)  # fmt: skip
from seka.miniature.corpus.phrases import grown
from seka.miniature.corpus.rules import BARE, DEEDS, GREETINGS, JOINS, LAYOUTS, RULES, SETTLED
from seka.miniature.corpus.sentences import Fact
from seka.miniature.corpus.world import article, person, sentence, value

FORMS = ("he", "she", "they", "it")
TITLES = (
    "the old king", "my friend", "our neighbour", "the captain", "the stranger", "the boss", "the hero", "somebody",
    "the youngest one", "the guest", "the traveller", "the winner",
)  # fmt: skip
SINGLE = 0.2
"""Share of documents with one instruction alone."""
SETTLED_SHARE = 0.65
"""Share, of those with two, in which words settle which one counts: so choosing between them is learnt, not only a mixture."""
DIGITS = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
WORDS = (
    *("nonce_word", "coined", "coined", "colour", "animal", "object", "food", "plant", "nonce_name", "coined_name"),
    *("code", "city", "long"),
)
SIGNS = ("-", "+", "=", ">", "#", "%", "&", "@", ">>", "->", "::", "o", "x")


@dataclass(frozen=True)
class Task:
    """What two instructions of one kind ask for: `asked` stands in them, `outputs` follow them, each to its end.

    body: the text they are about, or nothing; label: how the reply begins; slots: what else the instructions name;
    given: the statements' values where they are not what is asked for.
    """

    asked: tuple[str, str]
    outputs: tuple[str, str]
    label: str
    body: str = ""
    slots: dict[str, str] = field(default_factory=dict)
    given: tuple[str, str] | None = None


def deed(random: Random, who: str) -> str:
    """A small thing that somebody did, without a full stop."""
    text = random.choice(DEEDS)
    for slot, kind in (("{P}", "place"), ("{O}", "object"), ("{A}", "animal"), ("{F}", "food")):
        if slot in text:
            word = value(random, kind)
            text = text.replace("{a} " + slot, article(word) + " " + word).replace(slot, word)
    return text.replace("{X}", who)


def compete(random: Random, options: Options, kind: str, task: Task) -> Case:
    """A case in which both instructions stand, or in training now and then only the first, or both and which one counts."""
    same = random.random() < 0.6
    wording = worded(random, options, kind)
    rules = []
    for index, asked in enumerate(task.asked):
        text = wording if same else worded(random, options, kind)
        for slot, word in task.slots.items():
            text = text.replace("{" + slot + "}", word)
        text = dress(random, text.replace("{v}", asked), options, " ".join((*task.asked, *task.slots.values())))
        text = sentence(text)
        size = len(text.removesuffix("."))
        rules.append(s.wrap(index, text[:size]) + text[size:])
    single = options == TRAINING and random.random() < SINGLE
    settled = options == TRAINING and random.random() < SETTLED_SHARE
    join, prior = (random.choice(SETTLED) if settled else joined(random, options)).split("|")
    layout = random.choice(LAYOUTS if task.body else BARE)
    while (single or settled) and "{0}" in layout:
        layout = random.choice(LAYOUTS)
    taken = " ".join((*rules, *task.slots.values(), task.body, task.label))
    both = dress(random, join, options, taken).replace("{0}", rules[0]).replace("{1}", rules[1])
    text = layout.replace("{r}", rules[0] if single else both).replace("{0}", rules[0]).replace("{1}", rules[1])
    if "{0}" in layout:
        prior = "0.5"
    shared, answers, ends = parted(task.outputs)
    prompt, places = s.unwrap(text.replace("{b}", task.body).replace("{l}", task.label + shared))
    chosen = 0 if single or random.random() < float(prior) else 1
    statements = [Statement(*places[index], (task.given or task.asked)[index]) for index in sorted(places)]
    shown = len(statements)
    return Case(
        kind,
        prompt,
        answers[chosen],
        ends,
        tuple(statements),
        answers[:shown],
        chosen,
        stops=(stop(ends),) * shown,
        chances=(1.0,) if single else (float(prior), 1 - float(prior)),
    )


def worded(random: Random, options: Options, kind: str) -> str:
    """An instruction of a kind, listed or, in training alone, made on the fly."""
    if options.free and random.random() < made_rules.SHARE:
        return made_rules.rule(random, kind)
    return RULES[kind].pick(random, options.wordings)


def joined(random: Random, options: Options) -> str:
    """How two instructions stand together, and the chance of the first."""
    if options.free and random.random() < made_rules.SHARE:
        return made_rules.join(random)
    return JOINS.pick(random, options.wordings)


def parted(outputs: tuple[str, str]) -> tuple[str, tuple[str, str], str]:
    """What both outputs begin with, where they differ (from a blank on, in whole words), and what both end with."""
    full = [" " + text for text in outputs]
    cut = full[0].rfind(" ", 0, alike(*full) + 1)
    rest = [text[cut:] for text in full]
    size = alike(*(text[:0:-1] for text in rest))
    tail = rest[0][len(rest[0]) - size :]
    while tail and tail[0] not in " .,!?\n":
        tail = tail[1:]
    size = len(tail)
    return full[0][:cut], (rest[0][: len(rest[0]) - size], rest[1][: len(rest[1]) - size]), tail


def alike(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def two(draw: Callable[[], str]) -> tuple[str, str]:
    """Two draws that do not begin alike."""
    first = draw()
    while True:
        second = draw()
        if second[:2].lower() != first[:2].lower() and first not in second and second not in first:
            return first, second


def phrase(random: Random, options: Options) -> str:
    """A word or a few words of any class."""
    kind = random.choice(WORDS)
    return grown(random, kind, options.words) if random.random() < 0.4 else value(random, kind, options.words)


def opening(random: Random, options: Options = TRAINING) -> Case:
    """Two rules for the first words of a text, which is then told again."""

    def draw() -> str:
        return random.choice(GREETINGS) if random.random() < 0.3 else phrase(random, options)

    asked = two(draw)
    reply = deed(random, person(random, options.words))
    outputs = (f"{asked[0]}, {reply}.", f"{asked[1]}, {reply}.")
    label = random.choice(("Reply:", "Answer:", "Letter:"))
    return compete(random, options, "opening", Task(asked, outputs, label, sentence(reply) + "."))


def ending(random: Random, options: Options = TRAINING) -> Case:
    """Two rules for the last words of a reply."""
    asked = two(lambda: phrase(random, options))
    reply = sentence(deed(random, person(random, options.words)))
    outputs = (f"{reply}, {asked[0]}.", f"{reply}, {asked[1]}.")
    return compete(random, options, "ending", Task(asked, outputs, random.choice(("Reply:", "Answer:", "Text:"))))


def signature(random: Random, options: Options = TRAINING) -> Case:
    """Two rules for the name under a letter."""
    asked = two(
        lambda: grown(random, "person", options.words) if random.random() < 0.3 else person(random, options.words)
    )
    body = f"Dear {someone(random, options, ' '.join(asked))}, {deed(random, 'I')}."
    label = random.choice(("Signed:", "Yours,", "Best wishes from", "With love from"))
    return compete(random, options, "signature", Task(asked, (asked[0] + ".", asked[1] + "."), label, body))


def pronouns(random: Random, options: Options = TRAINING) -> Case:
    """Two rules for how to call somebody, a text with the name, and the text written anew by one of the rules."""
    who = person(random, options.words)

    def draw() -> str:
        roll = random.random()
        if roll < 0.45:
            return random.choice(FORMS)
        return random.choice(TITLES) if roll < 0.7 else someone(random, options, who)

    asked = two(draw)
    deeds = [deed(random, who) for _ in range(random.choice((1, 2, 2, 3)))]
    first, second = (". ".join(sentence(text.replace(who, name)) for text in deeds) + "." for name in asked)
    label = random.choice(("Rewritten:", "Rewritten:", "New text:", "Reply:"))
    return compete(random, options, "pronouns", Task(asked, (first, second), label, ". ".join(deeds) + ".", {"X": who}))


def choice(random: Random, options: Options = TRAINING) -> Case:
    """A few facts about somebody and two rules for which of them to report."""
    who = person(random, options.words)
    facts = [new_fact(random, options, relation(random, options, "person", named=True), who)]
    while len(facts) < 2:
        fact = new_fact(random, options, relation(random, options, "person", named=True), who)
        if apart(fact, facts[0]) and fact.what[:2].lower() != facts[0].what[:2].lower():
            facts.append(fact)
    told = [named(random, fact, options) for fact in facts]
    random.shuffle(told)
    one, other = (f"the {fact.noun} of {who}" for fact in facts)
    outputs = (facts[0].what + ".", facts[1].what + ".")
    task = Task((one, other), outputs, "Reply:", " ".join(told))
    return compete(random, options, "choice", task)


def named(random: Random, fact: Fact, options: Options) -> str:
    """The fact as a sentence that uses its noun, so that an instruction can speak of it by the noun."""
    style = s.general(random, fact, options.wordings, options.free)
    return sentence(bare(fact, style)) + "."
