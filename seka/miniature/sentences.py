"""How one fact of the world is put into words: statements, cues to complete, questions and answers; nothing longer.

A statement may be wrapped in control characters (`wrap`) so that whoever builds a longer text around it can find its
place afterwards (`unwrap`); no text that leaves this package holds them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from seka.miniature.world import Relation, Wordings, article, fill, relations, sentence, subject, value

FRAMES = Wordings(
    (
        "the {N} of {X} is {V}",
        "{X}'s {N} is {V}",
        "for {X}, the {N} is {V}",
        "as for {X}, the {N} is {V}",
        "when it comes to {X}, the {N} is {V}",
        "{X} says that the {N} is {V}",
        "everyone agrees that the {N} of {X} is {V}",
        "the {N} that goes with {X} is {V}",
        "{X} has this {N}: {V}",
        "the {N} of {X} has always been {V}",
        "the {N} of {X} was {V}",
        "{X}, {N}: {V}",
    ),
    ("the {N} chosen for {X} is {V}", "in the case of {X} the {N} is {V}", "{X} gave the {N} as {V}"),
)
ASKS = Wordings(
    (
        "What is {X}'s {N}?",
        "What is the {N} of {X}?",
        "What was the {N} of {X}?",
        "Which {N} does {X} have?",
        "Name the {N} of {X}.",
        "Tell me the {N} of {X}.",
        "What do we know about the {N} of {X}?",
    ),
    ("Do you know the {N} of {X}?", "I would like to know the {N} of {X}."),
)
MORE = (
    "{X} has said so many times.",
    "{X} would not have it any other way.",
    "That is all we know about {X}.",
    "So {V} it is.",
    "Yes, {V}.",
    "It has been {V} for a long time.",
    "Nobody expected {V}.",
)
TAILS = (
    "",
    "",
    "",
    "",
    "",
    "",
    " these days",
    " now",
    " at the moment",
    " for the time being",
    " this year",
    " after all",
)
LAYOUTS = (
    "Context: {c} Question: {q}\nAnswer:",
    "Context: {c}\nQuestion: {q}\nAnswer:",
    "Question: {q}\nContext: {c}\nAnswer:",
    "Question: {q}\nContext: {c} Answer:",
    "{c}\nQuestion: {q}\nAnswer:",
    "{c}\n\nQ: {q}\nA:",
    "{q}\n{c}\nAnswer:",
    "{c} {q} Answer:",
)
AFTER = LAYOUTS[0:2]
BEFORE = LAYOUTS[2:4]
PLACE = re.compile("\x02([0-9]+)\x01(.*?)\x03", re.DOTALL)


@dataclass(frozen=True)
class Fact:
    """Somebody or something, a relation, and the value; `noun` is the word used for the value in general wordings."""

    relation: Relation
    who: str
    what: str
    noun: str


@dataclass(frozen=True)
class Style:
    """Which wording of a relation a text uses: `words` has {X} and {V}; `frame` says that it is a general one."""

    words: str
    frame: bool


def wrap(index: int, text: str) -> str:
    """The text between control characters, to be found again as number `index`."""
    return f"\x02{index}\x01{text}\x03"


def unwrap(text: str) -> tuple[str, dict[int, tuple[int, int]]]:
    """The text without control characters, and where each wrapped part lies: {index: (start, end)} in code points."""
    places: dict[int, tuple[int, int]] = {}
    out, last = "", 0
    for found in PLACE.finditer(text):
        out += text[last : found.start()]
        places[int(found[1])] = (len(out), len(out) + len(found[2]))
        out += found[2]
        last = found.end()
    return out + text[last:], places


def place(wording: str, said: list[str]) -> str:
    """The wording with its lettered slots filled by wrapped statements, capitalised where the letter is."""
    for index, text in enumerate(said):
        letter = "abcde"[index]
        wording = wording.replace("{" + letter + "}", wrap(index, text))
        wording = wording.replace("{" + letter.upper() + "}", wrap(index, sentence(text)))
    return wording


def draw_values(random: Random, relation: Relation, count: int, held: bool = False) -> list[str]:
    """Different values of one relation that need the same article and do not begin alike."""
    kind = random.choice(relation.classes)
    if random.random() < 0.15:
        kind = random.choice(("nonce_word", "nonce_name"))
    found: list[str] = []
    tries = 0
    while len(found) < count:
        tries += 1
        if tries > 40:  # a small class (days) is used up, or its articles do not agree
            found, tries, kind = [], 0, "nonce_word"
        drawn = value(random, kind, held)
        if kind not in ("person", "code", "number", "date", "place_name", "nonce_name") and random.random() < 0.1:
            drawn = value(random, "nonce_word", held)
        if found and (article(drawn) != article(found[0]) or any(_alike(drawn, other) for other in found)):
            continue
        found.append(drawn)
    return found


def _alike(a: str, b: str) -> bool:
    return a.lower()[:3] == b.lower()[:3] or a in b or b in a


def draw_fact(random: Random, held: bool = False, relation: Relation | None = None, who: str = "") -> Fact:
    """A fact about somebody new, or about `who` when given."""
    relation = relation or random.choice(relations())
    who = who or subject(random, relation.subject, held)
    what = draw_values(random, relation, 1, held)[0]
    while what in who or who in what:
        what = draw_values(random, relation, 1, held)[0]
    return Fact(relation, who, what, relation.noun.pick(random))


def draw_style(random: Random, fact: Fact, held: bool = False) -> Style:
    """A wording in which the value can be completed; `held` asks for one that training never uses."""
    if random.random() < 0.35:
        return Style(FRAMES.pick(random, held).replace("{N}", fact.noun), True)
    return Style("{X} " + fact.relation.say.pick(random, held), False)


def state(random: Random, fact: Fact, style: Style | None = None) -> str:
    """A statement without its full stop, beginning as it would inside a sentence."""
    if style is None and fact.relation.only.train and random.random() < 0.15:
        return "{X} ".replace("{X}", fact.who) + fill(random.choice(fact.relation.only.train), fact.who, fact.what)
    chosen = style or draw_style(random, fact)
    return fill(chosen.words, fact.who, fact.what)


def cue(fact: Fact, style: Style) -> tuple[str, str]:
    """The beginning of a statement up to its value, without the blank, and what follows the value."""
    before, after = style.words.split("{V}")
    return sentence(fill(before, fact.who, fact.what).rstrip()), fill(after, fact.who, fact.what)


def ask(random: Random, fact: Fact, held: bool = False) -> str:
    """A question about the fact that does not tell the value."""
    if random.random() < 0.4:
        return fill(ASKS.pick(random, held).replace("{N}", fact.noun), fact.who, "")
    return fill(fact.relation.ask.pick(random, held), fact.who, "")


def closing(random: Random, fact: Fact, share: float = 0.65) -> str:
    """What an answer goes on with after the value: a full stop and perhaps another sentence about it."""
    if random.random() > share:
        return "."
    wording = random.choice(MORE) if random.random() < 0.25 else fact.relation.more.pick(random)
    return ". " + sentence(fill(wording, fact.who, fact.what))
