"""Relations made on the fly from open classes: any verb with an object, and any noun that somebody or something has.

`draw_relation` is what the corpus draws from: a relation of relations.txt, or one from verbs.txt or nouns.txt, or one
with an invented verb or noun. The verb stands in one time throughout, so that statements and questions agree.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from random import Random

from seka.miniature.corpus import frames
from seka.miniature.corpus.coinages import nonce
from seka.miniature.corpus.grammar import ASKED, CALLED, HAS, LATER, MORE, OBJECTS, SAYS, WHICH
from seka.miniature.corpus.lexicon import VOWELS, article, held_out, sections
from seka.miniature.corpus.made import other_question, said, saying
from seka.miniature.corpus.world import Relation, Wordings, relations

LISTED, NAMED, INVENTED = 0.55, 0.4, 0.08
"""Share of listed relations; of nouns among the others; of invented verbs and nouns among those."""
MADE = 0.65
"""Share, among those that are not listed, of relations in words put together at random, where these are allowed."""
STRANGE = 0.5
"""Share, among these, of relations whose questions are in other words than their statements."""
SHARE = 0.12
"""Share of verbs (by base form) and nouns that are kept for evaluation."""
PREPOSITIONS = (
    "about across after against at away by down everyone for from in into of on out over past some to under up with"
)


@dataclass(frozen=True)
class Verb:
    """The forms of a verb, each with its preposition or particle; a `state` has no -ing form in statements."""

    base: str
    third: str
    past: str
    participle: str
    ing: str
    state: bool
    bare: bool
    """Without a preposition: it has a passive."""


def verb(entry: str) -> Verb:
    """A verb from an entry of verbs.txt: what is not given follows the rules."""
    forms, _, more = entry.lstrip("*").partition(" ")
    base, past, participle, ing = (*forms.split("/"), "", "", "")[:4]
    doubled = base + base[-1] if re.fullmatch(r"[^aeiou]*(qu)?[aeiou][^aeiouwxy]|.*[^e]el", base) else base
    past = past or (base + "d" if base[-1] == "e" else base[:-1] + "ied" if _soft(base) else doubled + "ed")
    third = base[:-1] + "ies" if _soft(base) else base + ("es" if re.search(r"(s|x|z|sh|ch|o)$", base) else "s")
    plain = base[:-1] if base[-1] == "e" and base[-2:] not in ("ee", "oe", "ye") else doubled
    found = (base, third, past, participle or past, ing or plain + "ing")
    a, b, c, d, e = (f"{form} {more}".strip() for form in found)
    return Verb(a, b, c, d, e, state=entry.startswith("*"), bare=not more)


def _soft(base: str) -> bool:
    """Whether a final y becomes i."""
    return base[-1] == "y" and base[-2] not in VOWELS


def kept(word: str) -> bool:
    """Whether a verb's base form or a noun is kept for evaluation."""
    return held_out(word, SHARE)


@functools.cache
def entries(file: str, held: bool) -> tuple[tuple[str, str, str], ...]:
    """(kind of subject, kind of value, entry) of every verb or noun on one side of the split."""
    found = []
    for heading, listed in sections(file).items():
        subject, kind = heading.split(" : ")
        for entry in listed:
            word = entry if file == "nouns.txt" else re.split("[/ ]", entry.lstrip("*"))[0]
            if kept(word) == held:
                found.append((subject, kind, entry))
    return tuple(found)


def sorted_out(wordings: tuple[str, ...], marks: str) -> dict[str, list[str]]:
    """Wordings by mark: "" of training, "!" kept ones, "=" statements only; "~" and "^" count where `marks` has them."""
    found: dict[str, list[str]] = {"": [], "!": [], "=": []}
    for wording in wordings:
        text = wording.lstrip("!=~^")
        mark = set(wording[: len(wording) - len(text)])
        if mark <= set("!=" + marks):
            found["!" if "!" in mark else "=" if "=" in mark else ""].append(text)
    return found


def _relation(
    name: str, subject: str, classes: tuple[str, ...], noun: Wordings, lists: tuple[tuple[str, ...], ...],
    slots: dict[str, str], marks: str, general: float, given: str,
) -> Relation:  # fmt: skip
    """A relation whose wordings are those of `lists` with the slots filled."""

    def put(text: str) -> str:
        asks = text.startswith("{W}")
        for slot, word in slots.items():
            text = text.replace("{" + slot + "}", word.capitalize() if slot == "W" and asks else word)
        return text

    sides = [{mark: tuple(map(put, side)) for mark, side in sorted_out(wordings, marks).items()} for wordings in lists]
    say, ask, more = (Wordings(side[""], side["!"]) for side in sides)
    return Relation(name, subject, classes, noun, say, Wordings(sides[0]["="], ()), ask, more, general, given)


def verb_relation(random: Random, subject: str, kind: str, entry: str) -> Relation:
    """What somebody or something does, did or will do to the value."""
    v = verb(entry)
    classes, determiners, word = OBJECTS[kind]
    given = random.choice(determiners) + "{V}"
    time = random.choice(("past", "past", "present", "present", "future"))
    marks = ("" if v.state else "~") + ("^" if v.bare else "")
    slots = {
        "O": given,
        "W": word,
        "base": v.base,
        "third": v.third,
        "past": v.past,
        "part": v.participle,
        "ing": v.ing,
    }
    lists = (SAYS[time], ASKED[time], MORE)
    return _relation(v.base, subject, random.choice(classes), Wordings((), ()), lists, slots, marks, 0.0, given)


def noun_relation(random: Random, subject: str, kind: str, noun: str) -> Relation:
    """What somebody or something has as its so-and-so."""
    classes, determiners, word = OBJECTS[kind]
    given = random.choice(determiners) + "{V}"
    its = "the" if subject == "person" else "its"
    slots = {"O": given, "N": noun, "n": f"{article(noun)} {noun}", "W": word, "its": its}
    lists = (HAS, WHICH, LATER)
    return _relation(noun, subject, random.choice(classes), Wordings((noun,), ()), lists, slots, "", 0.7, given)


def made_relation(random: Random, subject: str) -> Relation:
    """What a few words of any kind say of somebody or something, and questions in the same words."""
    before, between = saying(random)
    classes, determiners, word = OBJECTS[random.choice(list(OBJECTS))]
    lead, given = f"{before} {{X}} {between}".strip(), random.choice(determiners) + "{V}"
    asks = (f"{lead} {word}?", f"{word} is it that {lead}?", f"Find {word} {lead}.", f"{word} {between} {{X}}?")
    kind = subject or random.choice(("person", "thing", "placeful"))
    says, none, asked, more = (Wordings(some, ()) for some in ((f"{lead} {given}",), (), asks, frames.MORE))
    return Relation(lead, kind, random.choice(classes), none, says, none, asked, more, 0.0, given)


def strange_relation(random: Random, subject: str) -> Relation:
    """What is said of somebody or something in several ways, each in words of its own, and questions in yet other words.

    So that reading does not hang on knowing that a question and a statement mean the same: the statement is about whom the
    question is about, and ends with the kind of thing that is asked for.
    """
    name = random.choice(list(OBJECTS))
    classes, determiners, asking = OBJECTS[name]
    given = random.choice(determiners) + "{V}"
    kind = subject or random.choice(("person", "thing", "placeful"))
    asking = random.choice(("where", asking)) if name in ("town", "spot") else asking
    says = tuple(_unkept(lambda: f"{{X}} {said(random)} {given}") for _ in range(3))
    asks = tuple(_unkept(lambda: other_question(random, asking, random.choice(CALLED[name]))) for _ in range(3))
    none, more = Wordings((), ()), Wordings(frames.MORE, ())
    return Relation(
        says[0], kind, random.choice(classes), none, Wordings(says, ()), none, Wordings(asks, ()), more, 0.0, given, True
    )  # fmt: skip


def _unkept(make: Callable[[], str]) -> str:
    """A wording that is not, by chance, one of a listed relation that is kept for evaluation."""
    while (wording := make()).lower() in _kept_wordings():
        pass
    return wording


@functools.cache
def _kept_wordings() -> frozenset[str]:
    held = [wording for relation in relations() for wording in (*relation.say.held, *relation.ask.held)]
    return frozenset((wording if "{X}" in wording else "{X} " + wording).lower() for wording in held)


def draw_relation(
    random: Random, held: bool = False, subject: str = "", named: bool = False, free: bool = False
) -> Relation:
    """A relation for a kind of subject ("" for any), listed or open; with `held` an open one is unknown to training.

    named: only one that has a noun for its value. free: also one whose words are put together at random.
    """
    listed = [r for r in relations() if subject in ("", r.subject)]
    if listed and random.random() < LISTED:
        return random.choice(listed)
    if free and not named and random.random() < MADE:
        return (strange_relation if random.random() < STRANGE else made_relation)(random, subject)
    file = "nouns.txt" if named or random.random() < NAMED else "verbs.txt"
    make = noun_relation if file == "nouns.txt" else verb_relation
    fitting = [entry for entry in entries(file, held) if subject in ("", entry[0])]
    if fitting and random.random() >= INVENTED:
        return make(random, *random.choice(fitting))
    while kept(word := nonce(random, held)) != held:
        pass
    kind = random.choice(("thing", "person", "food", "anything", "spot"))
    return make(random, subject or random.choice(("person", "person", "thing", "placeful")), kind, word)


def clash(a: Relation, b: Relation) -> bool:
    """Whether a question about one may be answered by a statement of the other: an open one shares a word with it, and
    a question of a strange one may be about anything."""
    if a.strange or b.strange:
        return True
    opened = any(all(r is not listed for listed in relations()) for r in (a, b))
    return opened and bool(_content(a) & _content(b))


@functools.lru_cache(4096)
def _content(relation: Relation) -> frozenset[str]:
    """The words that a relation's statements and questions are known by."""
    wordings = (*relation.say.train, *relation.ask.train, *relation.only.train, *relation.noun.train)
    return frozenset(_words(wordings)) - COMMON


def _words(wordings: tuple[str, ...]) -> set[str]:
    return set(re.findall(r"[a-z]{2,}", re.sub(r"\{\w+\}", "", " ".join(wordings).lower())))


COMMON = _words((*chain(*SAYS.values(), *ASKED.values()), *HAS, *WHICH)) | set(PREPOSITIONS.split())
"""Words that tell no relation from another."""
