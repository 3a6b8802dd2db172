"""How one fact of the world is put into words: statements, cues to complete, questions and answers; nothing longer.

A statement may be wrapped in control characters (`wrap`) so that whoever builds a longer text around it can find its
place afterwards (`unwrap`); no text that leaves this package holds them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

from seka.miniature.corpus import made, predicates
from seka.miniature.corpus.frames import ASKS, FRAMES, MORE
from seka.miniature.corpus.grammar import WRAPS
from seka.miniature.corpus.openings import draw_relation
from seka.miniature.corpus.world import Relation, article, fill, sentence, subject, value

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


COPIES = 0.28
"""Share of sets of values whose words can only be copied; another tenth of single values, and whole classes, are too."""
NAMES = {"person", "first", "city", "country", "place_name", "nonce_name", "language", "coined_name"} | {
    *("company", "team", "festival", "ship", "award")
}
FIGURES = {"code", "number", "years", "date", "time", "day", "month", "figure", "clock", "long"}


def _copied(random: Random, relation: Relation, kind: str) -> str:
    """A class of values that can only be copied and may stand where those of `kind` do."""
    if kind in FIGURES or kind == "any":
        return kind
    if kind in NAMES:
        return "coined_name" if random.random() < 0.85 else "coined"
    bare = relation.given == "{V}"  # otherwise an article stands before it
    return "coined" if not bare or random.random() < 0.85 else random.choice(("coined_name", "nonce_word"))


def draw_values(random: Random, relation: Relation, count: int, held: bool = False) -> list[str]:
    """Different values of one relation that need the same article and do not begin alike."""
    kind = random.choice(relation.classes)
    if random.random() < COPIES:
        kind = _copied(random, relation, kind)
    found: list[str] = []
    tries = 0
    while len(found) < count:
        tries += 1
        if tries > 40:  # a small class (days) is used up, or its articles do not agree
            found, tries, kind = [], 0, "coined"
        drawn = value(random, _copied(random, relation, kind) if random.random() < 0.1 else kind, held)
        if found and (article(drawn) != article(found[0]) or any(alike(drawn, other) for other in found)):
            continue
        found.append(drawn)
    return found


def alike(a: str, b: str) -> bool:
    """Whether two values begin alike, or one stands in the other."""
    return a.lower()[:3] == b.lower()[:3] or a in b or b in a


def draw_fact(random: Random, held: bool = False, relation: Relation | None = None, who: str = "") -> Fact:
    """A fact about somebody new, or about `who` when given."""
    relation = relation or draw_relation(random)
    who = who or subject(random, relation.subject, held)
    what = draw_values(random, relation, 1, held)[0]
    while what in who or who in what:
        what = draw_values(random, relation, 1, held)[0]
    return Fact(relation, who, what, relation.noun.pick(random))


def draw_style(random: Random, fact: Fact, held: bool = False, free: bool = False) -> Style:
    """A wording in which the value can be completed; `held` asks for one that training never uses, `free` allows made ones."""
    relation = fact.relation
    if random.random() < relation.general:
        return general(random, fact, held, free)
    return Style(_whole(relation.say.pick(random, held)), False)


def general(random: Random, fact: Fact, held: bool = False, free: bool = False) -> Style:
    """A general wording, which uses the fact's noun."""
    make = random.choice((made.frame, predicates.frame)) if free and random.random() < made.SHARE else None
    wording = make(random) if make else FRAMES.pick(random, held)
    return Style(wording.replace("{N}", fact.noun).replace("{V}", fact.relation.given), True)


def _whole(wording: str) -> str:
    """The wording with its subject, which a relation's wordings leave out where it comes first."""
    return wording if "{X}" in wording else "{X} " + wording


def state(random: Random, fact: Fact, style: Style | None = None, held: bool = False) -> str:
    """A statement without its full stop, beginning as it would inside a sentence; some are wrapped in another clause."""
    if style is None and fact.relation.only.train and random.random() < 0.15:
        return wrapped(random, fill(_whole(random.choice(fact.relation.only.train)), fact.who, fact.what), held)
    chosen = style or draw_style(random, fact, held)
    return wrapped(random, fill(chosen.words, fact.who, fact.what), held)


def wrapped(random: Random, text: str, held: bool = False, share: float = 0.2) -> str:
    """The statement as it is or, in a share of cases, said by somebody or weighed; labels stay as they are."""
    if ":" in text or text.startswith(("as for ", "when it ", "in the case ", "for ")) or random.random() >= share:
        return text
    return WRAPS.pick(random, held).replace("{s}", text)


def cue(fact: Fact, style: Style) -> tuple[str, str]:
    """The beginning of a statement up to its value, without the blank, and what follows the value."""
    before, after = style.words.split("{V}")
    return sentence(fill(before, fact.who, fact.what).rstrip()), fill(after, fact.who, fact.what)


def ask(random: Random, fact: Fact, held: bool = False, free: bool = False) -> str:
    """A question about the fact that does not tell the value; `free` allows wordings made on the fly."""
    relation = fact.relation
    general = random.random() < relation.general
    if general and free and random.random() < made.SHARE:
        return sentence(fill(made.question(random).replace("{N}", fact.noun), fact.who, ""))
    wording = ASKS.pick(random, held).replace("{N}", fact.noun) if general else relation.ask.pick(random, held)
    if general and relation.classes[0] == "person":
        wording = wording.replace("What is ", "Who is ").replace("What was ", "Who was ")
    return sentence(fill(wording, fact.who, ""))


def closing(random: Random, fact: Fact, share: float = 0.65) -> str:
    """What an answer goes on with after the value: a full stop and perhaps another sentence about it."""
    if random.random() > share:
        return "."
    wording = (
        random.choice(MORE).replace("{V}", fact.relation.given)
        if random.random() < 0.25
        else fact.relation.more.pick(random)
    )
    return ". " + sentence(fill(wording, fact.who, fact.what))
