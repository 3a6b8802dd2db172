"""Relations made on the fly from open classes: any verb with an object, and any noun that somebody or something has.

`draw_relation` is what the corpus draws from: a relation of relations.txt, or one from verbs.txt or nouns.txt, or one
with an invented verb or noun. The verb stands in one time throughout, so that statements and questions agree.
"""

from __future__ import annotations

import functools
import re
from itertools import chain
from random import Random

from seka.miniature.corpus import frames, predicates
from seka.miniature.corpus.coinages import nonce
from seka.miniature.corpus.grammar import ASKED, CALLED, HAS, LATER, MORE, OBJECTS, SAYS, WHICH
from seka.miniature.corpus.kept import unkept
from seka.miniature.corpus.lexicon import article
from seka.miniature.corpus.made import asked, other_question, said, saying
from seka.miniature.corpus.openclass import entries, kept, verb
from seka.miniature.corpus.world import Relation, Wordings, relations

LISTED, NAMED, INVENTED = 0.55, 0.4, 0.08
"""Share of listed relations; of nouns among the others; of invented verbs and nouns among those."""
MADE = 0.65
"""Share, among those that are not listed, of relations in words put together on the fly, where these are allowed."""
STRANGE = 0.5
"""Share, among these, of relations whose questions are in other words than their statements."""
ORDERED = 0.6
"""Share, among both, of wordings in good order, from `predicates`, and not of any words, from `made`."""
PREPOSITIONS = (
    "about across after against at away by down everyone for from in into of on out over past some to under up with"
)


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
    """What a few words say of somebody or something, in good order or not, and questions in the same words."""
    classes, determiners, word = OBJECTS[random.choice(list(OBJECTS))]

    def draw() -> str:
        before, between = ("", predicates.predicate(random)) if random.random() < ORDERED else saying(random)
        lead = f"{before} {{X}} {between}".strip()
        asks = (f"{lead} {word}?", f"{word} is it that {lead}?", f"Find {word} {lead}.", f"{word} {between} {{X}}?")
        return "\n".join((f"{lead} {{V}}", *asks))

    told, *asks = unkept(draw).split("\n")
    lead, given = told.removesuffix(" {V}"), random.choice(determiners) + "{V}"
    kind = subject or random.choice(("person", "thing", "placeful"))
    says, none, questions, more = (Wordings(some, ()) for some in ((f"{lead} {given}",), (), tuple(asks), frames.MORE))
    return Relation(lead, kind, random.choice(classes), none, says, none, questions, more, 0.0, given)


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
    ordered = random.random() < ORDERED

    def say() -> str:
        return predicates.said(random, given) if ordered else unkept(lambda: f"{{X}} {said(random)} {given}")

    def ask() -> str:
        what = asked(random, asking, random.choice(CALLED[name]))
        return predicates.question(random, what) if ordered else unkept(lambda: other_question(random, what))

    says, asks = (tuple(draw() for _ in range(3)) for draw in (say, ask))
    none, more = Wordings((), ()), Wordings(frames.MORE, ())
    return Relation(
        says[0], kind, random.choice(classes), none, Wordings(says, ()), none, Wordings(asks, ()), more, 0.0,
        given, True,
    )  # fmt: skip


def draw_relation(
    random: Random, held: bool = False, subject: str = "", named: bool = False, free: bool = False
) -> Relation:
    """A relation for a kind of subject ("" for any), listed or open; with `held` an open one is unknown to training.

    named: only one that has a noun for its value. free: also one whose words are put together on the fly.
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
