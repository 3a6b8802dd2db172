"""The generated world: names, values and relations, and how a statement, a cue or a question about one is worded.

It knows words and single sentences. It does not know documents (`corpus`), tokens or models. Everything is drawn from a
`random.Random` that the caller passes, so the same seed gives the same world. A tenth of all words and names (by
hash, so without a list to keep) and every wording marked `!` in relations.txt are drawn only when `held` asks for them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from seka.miniature.corpus.coinages import clock, code, coined, coined_name, day, figure, nonce, number, phrase
from seka.miniature.corpus.lexicon import FOLDER, HELD_SHARE, article, held_out, split_words, words

HELD = (
    *(
        "first",
        "last",
        "job",
        "game",
        "instrument",
        "food",
        "drink",
        "animal",
        "city",
        "country",
        "language",
        "subject",
    ),
    *("colour", "material", "object", "plant", "hobby", "vehicle", "place", "weather", "feeling", "thing"),
    *("dish", "dessert", "bird", "metal", "fabric", "tool", "weapon", "gem", "treasure", "award", "disease", "dream"),
    *("fear", "company", "hair", "floor", "team", "role", "punishment", "toy", "garment", "cause", "shape", "smell"),
    *("sound", "currency", "festival", "ship", "exit", "daytime", "dance", "tree"),
)
"""Classes of words.txt whose words are held out by hash."""
ANY = (
    *("coined", "coined", "coined", "coined_name", "coined_name", "figure", "figure", "long", "long"),
    *("food", "drink", "city", "person", "colour", "hobby", "subject", "material", "language", "game"),
)
"""What a value of the class "any" may be: about half of them can only be copied."""
PEOPLE = (
    (
        *("{person}", "{person}'s {relative}", "my {relative}", "our {relative}", "the {job}", "the {human} {job}"),
        *("the {job} from {city}", "our {job}", "{person} the {job}", "the {job} next door", "my {relative}'s {job}"),
        *("{person} from {city}", "the {human} {relative} of {person}", "my cousin {person}"),
    ),
    (66, 6, 3, 2, 3, 4, 3, 1, 2, 2, 1, 2, 2, 3),
)
"""How somebody is named, and how often; other slots than {human} are classes of words."""
HUMAN = (
    "tall",
    "old",
    "young",
    "proud",
    "gentle",
    "clever",
    "lazy",
    "brave",
    "lucky",
    "noisy",
    "famous",
    "calm",
    "new",
)
THINGS = (
    (
        *("the {noun}", "the {adjective} {noun}", "the {noun} of {person}", "{person}'s {noun}", "the {nonce}"),
        *("{Nonce}", "my {relative}'s {animal}", "the {object} near the {place}", "the {nonce} of {person}"),
        *("the {colour} {object}", "our {adjective} {noun}", "the {adjective} {colour} {noun}", "the {noun} in {city}"),
        *("{person}'s {adjective} {noun}", "the other {noun}", "the {adjective} {nonce}"),
    ),
    (28, 22, 6, 7, 6, 4, 4, 3, 2, 3, 3, 3, 3, 3, 1, 2),
)
PLACES = ("{city}", "{city}", "{country}", "{country}", "{place_name}", "{place_name}", "New {place_name}")


@dataclass(frozen=True)
class Wordings:
    """Wordings of one kind: those of training and those kept for evaluation."""

    train: tuple[str, ...]
    held: tuple[str, ...]

    def pick(self, random: Random, held: bool = False) -> str:
        """One wording; with `held` one that training never uses; "" where there is none at all."""
        side = self.held if held and self.held else self.train
        return random.choice(side) if side else ""


@dataclass(frozen=True)
class Relation:
    """One relation of the world. `subject` is a kind for `subject()`, `classes` the value classes it draws from."""

    name: str
    subject: str
    classes: tuple[str, ...]
    noun: Wordings
    say: Wordings
    only: Wordings
    ask: Wordings
    more: Wordings
    general: float = 0.35
    """Share of statements and questions in the general wordings, which use the noun."""
    given: str = "{V}"
    """How a value stands in a general wording: with or without an article."""
    strange: bool = False
    """Its questions are in other words than its statements: any statement about the same subject may answer them."""


@functools.cache
def held_words() -> frozenset[str]:
    """Every known word that is kept for evaluation as a value."""
    return frozenset(word for kind in HELD for word in split_words(kind, True))


@functools.cache
def relations() -> tuple[Relation, ...]:
    """Every relation in relations.txt."""
    found: list[Relation] = []
    text = (FOLDER / "relations.txt").read_text(encoding="utf-8")
    for block in text.split("\n[")[1:]:
        head, *lines = block.strip().splitlines()
        name, rest = head.split("] ")
        subject, classes = rest.split(" : ")
        fields = dict(line.split(": ", 1) for line in lines)
        entries = {key: [entry.strip() for entry in value.split(" | ")] for key, value in fields.items()}
        only = [entry for entry in entries["say"] if entry.startswith("=")]
        entries["say"] = [entry for entry in entries["say"] if not entry.startswith("=")]
        sides = {key: _wordings(value) for key, value in entries.items()}
        found.append(
            Relation(
                name,
                subject,
                tuple(classes.split(", ")),
                sides["noun"],
                sides["say"],
                Wordings(tuple(entry[1:].strip() for entry in only), ()),
                sides["ask"],
                sides["more"],
                given=_given(sides["say"].train) if name != "job" else "{V}",
            )
        )
    return tuple(found)


def _given(wordings: tuple[str, ...]) -> str:
    """How most of the wordings give their value: with an article or without."""
    for given in ("{a} {V}", "the {V}"):
        if sum(given in wording for wording in wordings) > len(wordings) / 2:
            return given
    return "{V}"


def _wordings(entries: list[str]) -> Wordings:
    return Wordings(
        tuple(entry for entry in entries if not entry.startswith("!")),
        tuple(entry[1:].strip() for entry in entries if entry.startswith("!")),
    )


DRAWN: dict[str, Callable[[Random, bool], str]] = {
    "nonce_word": nonce,
    "number": number,
    "years": lambda random, _held: str(random.randint(2, 119)),
    "code": code,
    "clock": clock,
    "coined": coined,
    "coined_name": coined_name,
    "figure": figure,
    "long": phrase,
}
"""Classes whose values are made up rather than looked up."""


def value(random: Random, kind: str, held: bool = False) -> str:
    """A value of a class; `held` asks for one that training never uses (days, months, short numbers excepted)."""
    if kind == "any":
        kind = random.choice(ANY)
    if kind in DRAWN:
        return DRAWN[kind](random, held)
    match kind:
        case "nonce_name" | "place_name":
            return nonce(random, held).capitalize()
        case "time":
            return clock(random, held) if random.random() < 0.4 else number(random, held)
        case "date":
            return day(random, held)
        case "modified":
            noun = random.choice(split_words("object", held))
            return f"{random.choice(split_words(random.choice(('adjective', 'colour')), False))} {noun}"
        case "person":
            return person(random, held)
        case "day" | "month":
            return random.choice(words(kind))
        case _:
            return random.choice(split_words(kind, held))


def person(random: Random, held: bool = False) -> str:
    """A person's name: real or invented, with or without a second name."""
    if random.random() < 0.12:
        return coined_name(random, held)
    real = random.random() < 0.7
    name = random.choice(split_words("first", held)) if real else nonce(random, held).capitalize()
    if random.random() < 0.25:
        known = random.random() < 0.5
        name += " " + (random.choice(split_words("last", held)) if known else nonce(random, held).capitalize())
    return name


def subject(random: Random, kind: str, held: bool = False) -> str:
    """Somebody or something a statement can be about, as it is written inside a sentence."""
    if kind == "both":
        kind = random.choice(("person", "thing"))
    if kind == "person":
        wording = random.choices(*PEOPLE)[0]
    elif kind == "placeful":
        wording = random.choice(PLACES)
    else:
        wording = random.choices(*THINGS)[0]
    while "{" in wording:
        slot = wording[wording.index("{") + 1 : wording.index("}")]
        wording = wording.replace("{" + slot + "}", _somebody(random, slot, held), 1)
    return wording


def _somebody(random: Random, slot: str, held: bool) -> str:
    match slot:
        case "person" | "city" | "country" | "place_name":
            return value(random, slot, held)
        case "noun":
            return random.choice(split_words(random.choice(("thing", "thing", "object", "place")), held))
        case "job" | "animal" | "object" | "place":
            return random.choice(split_words(slot, held))
        case "human":
            return random.choice(HUMAN)
        case "Nonce":
            return nonce(random, held).capitalize()
        case "nonce":
            return coined(random, held)
        case _:
            return random.choice(words(slot))


def fill(wording: str, who: str, what: str) -> str:
    """A wording with its subject and value in place."""
    return wording.replace("{X}", who).replace("{a}", article(what) if what else "a").replace("{V}", what)


def sentence(text: str) -> str:
    """The text with a capital at the start, as a sentence begins."""
    return text[:1].upper() + text[1:]


__all__ = [
    "HELD", "HELD_SHARE", "Relation", "Wordings", "article", "fill", "held_out", "nonce", "person", "relations",
    "sentence", "split_words", "subject", "value", "words",
]  # fmt: skip
