"""The generated world: names, values and relations, and how a statement, a cue or a question about one is worded.

It knows words and single sentences. It does not know documents (`corpus`), tokens or models. Everything is drawn from a
`random.Random` that the caller passes, so the same seed gives the same world. A tenth of all words and names (by
hash, so without a list to keep) and every wording marked `!` in relations.txt are drawn only when `held` asks for them.
"""

from __future__ import annotations

import functools
import hashlib
import string
from dataclasses import dataclass
from pathlib import Path
from random import Random

FOLDER = Path(__file__).parent
HELD_SHARE = 0.1
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
)
"""Classes of words.txt whose words are held out by hash."""
VOWELS = "aeiou"


@dataclass(frozen=True)
class Wordings:
    """Wordings of one kind: those of training and those kept for evaluation."""

    train: tuple[str, ...]
    held: tuple[str, ...]

    def pick(self, random: Random, held: bool = False) -> str:
        """One wording; with `held` one that training never uses."""
        return random.choice(self.held if held and self.held else self.train)


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


def held_out(word: str) -> bool:
    """Whether a word or name is kept for evaluation, decided by its hash."""
    return hashlib.sha256(word.lower().encode()).digest()[0] < 256 * HELD_SHARE


@functools.cache
def words(kind: str) -> tuple[str, ...]:
    """Every word of a class in words.txt, held out or not."""
    sections: dict[str, list[str]] = {}
    name = ""
    for line in (FOLDER / "words.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            name = line.strip("[]")
            sections[name] = []
        elif line and not line.startswith("#"):
            sections[name] += [word.strip() for word in line.split(",") if word.strip()]
    return tuple(dict.fromkeys(sections[kind]))


@functools.cache
def split_words(kind: str, held: bool) -> tuple[str, ...]:
    """The words of a class on one side of the split."""
    return tuple(word for word in words(kind) if held_out(word) == held)


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
            )
        )
    return tuple(found)


def _wordings(entries: list[str]) -> Wordings:
    return Wordings(
        tuple(entry for entry in entries if not entry.startswith("!")),
        tuple(entry[1:].strip() for entry in entries if entry.startswith("!")),
    )


def nonce(random: Random, held: bool = False) -> str:
    """An invented word of one to three syllables, lower case."""
    while True:
        syllables = random.choice((1, 2, 2, 2, 3))
        parts = [random.choice(words("onset")) + random.choice(words("rhyme")) for _ in range(syllables)]
        word = "".join(parts) + random.choice(("", *words("coda")))
        if len(word) > 2 and held_out(word) == held:
            return word


def _digits(random: Random, count: int) -> str:
    return str(random.randint(1, 9)) + "".join(random.choice(string.digits) for _ in range(count - 1))


def number(random: Random, held: bool = False) -> str:
    """A number of one to five digits; its digits are never held out, its value may be."""
    while True:
        value = _digits(random, random.choice((1, 2, 2, 2, 3, 3, 4, 5)))
        if len(value) < 3 or held_out(value) == held:
            return value


def code(random: Random, held: bool = False) -> str:
    """Letters and digits in mixed case, as in serial numbers and passwords."""
    while True:
        kind = random.randrange(4)
        if kind == 0:
            value = "".join(random.choice(string.ascii_uppercase) for _ in range(2)) + _digits(random, 2)
        elif kind == 1:
            value = random.choice(string.ascii_uppercase) + "-" + _digits(random, random.choice((2, 3)))
        elif kind == 2:
            value = nonce(random).capitalize() + _digits(random, random.choice((1, 2)))
        else:
            value = "".join(random.choice((c.upper(), c)) for c in nonce(random))
        if held_out(value) == held:
            return value


def value(random: Random, kind: str, held: bool = False) -> str:
    """A value of a class; `held` asks for one that training never uses (numbers of one or two digits excepted)."""
    match kind:
        case "nonce_word":
            return nonce(random, held)
        case "nonce_name" | "place_name":
            return nonce(random, held).capitalize()
        case "number":
            return number(random, held)
        case "code":
            return code(random, held)
        case "time":
            return f"{random.randint(1, 12)} o'clock" if random.random() < 0.4 else number(random, held)
        case "date":
            return f"{random.choice(words('month'))} {random.randint(1, 31)}"
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
    real = random.random() < 0.7
    name = random.choice(split_words("first", held)) if real else nonce(random, held).capitalize()
    if random.random() < 0.25:
        known = random.random() < 0.5
        name += " " + (random.choice(split_words("last", held)) if known else nonce(random, held).capitalize())
    return name


def subject(random: Random, kind: str, held: bool = False) -> str:
    """Somebody or something a statement can be about, as it is written inside a sentence."""
    draw = random.random()
    if kind == "both":
        kind = random.choice(("person", "thing"))
    if kind == "person":
        if draw < 0.82:
            return person(random, held)
        if draw < 0.9:
            return f"{person(random, held)}'s {random.choice(words('relative'))}"
        if draw < 0.94:
            return f"my {random.choice(words('relative'))}"
        return f"the {random.choice(split_words('job', held))}"
    if kind == "placeful":
        source = random.choice(("city", "country", "place_name"))
        return value(random, source, held)
    noun = random.choice(split_words(random.choice(("thing", "thing", "object", "place")), held))
    if draw < 0.35:
        return f"the {noun}"
    if draw < 0.7:
        return f"the {random.choice(words('adjective'))} {noun}"
    if draw < 0.8:
        return f"the {noun} of {person(random, held)}"
    if draw < 0.9:
        return f"{person(random, held)}'s {noun}"
    if draw < 0.96:
        return f"the {nonce(random, held)}"
    return nonce(random, held).capitalize()


def article(word: str) -> str:
    """ "a" or "an", by the first letter."""
    return "an" if word[0].lower() in VOWELS else "a"


def fill(wording: str, who: str, what: str) -> str:
    """A wording with its subject and value in place."""
    return wording.replace("{X}", who).replace("{a}", article(what) if what else "a").replace("{V}", what)


def sentence(text: str) -> str:
    """The text with a capital at the start, as a sentence begins."""
    return text[:1].upper() + text[1:]
