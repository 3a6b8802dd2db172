"""A prompt with an answer: its statements and their places, and the ways to ask about a context.

A `Case` is used twice: the corpus writes it out as a document, evaluation marks one of its statements. Only ordinary
text is in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random
from typing import Any

from seka.miniature.corpus import sentences as s
from seka.miniature.corpus.frames import LAYOUTS, TAILS
from seka.miniature.corpus.openings import clash, draw_relation
from seka.miniature.corpus.phrases import values
from seka.miniature.corpus.sentences import Fact, Style
from seka.miniature.corpus.world import Relation, fill, person, sentence, words

STOP = re.compile(r"[^.\n]*[.\n]?")


@dataclass(frozen=True)
class Statement:
    """One statement of a prompt: its place, in code points, and the value it gives."""

    start: int
    end: int
    value: str


@dataclass(frozen=True)
class Case:
    """A prompt, the answer that the corpus gives to it (with its leading blank) and what follows.

    `statements` are those that speak to the question, `answers` what each of them leads to, with the leading blank,
    `stops` what then ends that answer, its full stop included; the corpus follows number `chosen`, drawn with `chances`
    where statements disagree.
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
    stops: tuple[str, ...] = ()
    chances: tuple[float, ...] = ()

    @property
    def text(self) -> str:
        """The whole document."""
        return self.prompt + self.answer + self.closing

    @property
    def wholes(self) -> tuple[str, ...]:
        """Every rival answer up to and including its full stop or line break."""
        return tuple(answer + stop for answer, stop in zip(self.answers, self.stops, strict=True))


@dataclass(frozen=True)
class Options:
    """What evaluation may fix; of all this, training has `free` alone.

    words, wordings: unseen words; unseen wordings (of relations, statements, questions and what joins them).
    count: how many rival statements, or sentences of a passage; 0 draws it.
    invented: rival values that are invented words.
    position: where in a passage the sentence stands that answers, 0 (first) to 1 (last); None draws it.
    free: in training alone, wordings made on the fly among those of the lists, words that settle what counts, and more
        questions than cues.
    """

    words: bool = False
    wordings: bool = False
    count: int = 0
    invented: bool = False
    position: float | None = None
    free: bool = False


TRAINING = Options(free=True)
LISTED = Options()
"""Words and wordings of the lists that training draws from, and nothing made on the fly."""
CUED, CUED_IN_TRAINING = 0.5, 0.3
"""Chance that a cue is tried after a context, in evaluation and in training; where it does not serve all rivals, and else, a
question is asked, which is read less surely."""


def relation(random: Random, options: Options = TRAINING, subject: str = "", named: bool = False) -> Relation:
    """A relation for a kind of subject ("" for any), with a noun for its value if `named`."""
    return draw_relation(random, options.wordings, subject, named, options.free)


def style_of(random: Random, fact: Fact, options: Options) -> Style:
    """A wording for a fact, of those that the options ask for."""
    return s.draw_style(random, fact, options.wordings, options.free)


def bare(fact: Fact, style: Style) -> str:
    """The statement in a wording, with nothing around it."""
    return fill(style.words, fact.who, fact.what)


def new_fact(random: Random, options: Options, about: Relation | None = None, who: str = "") -> Fact:
    """A fact, whose value is often of several words."""
    fact = s.draw_fact(random, options.words, about or relation(random, options), who)
    what = values(random, fact.relation, 1, options.words)[0]
    return fact if what in fact.who or fact.who in what else Fact(fact.relation, fact.who, what, fact.noun)


def stop(closing: str) -> str:
    """The beginning of a closing that ends the answer."""
    found = STOP.match(closing)
    return found[0] if found else ""


def finish(kind: str, text: str, ends: list[str], given: list[str], chosen: int, **more: Any) -> Case:
    """A case from a text with wrapped statements; `ends` are the closings for each value."""
    prompt, places = s.unwrap(text)
    statements, answers, stops = [], [], []
    for index, what in enumerate(given):
        if index in places:
            statements.append(Statement(*places[index], what))
            answers.append(" " + what)
            stops.append(stop(ends[index]))
    return Case(
        kind, prompt, " " + given[chosen], ends[chosen], tuple(statements), tuple(answers), chosen,
        stops=tuple(stops), **more,
    )  # fmt: skip


def query(
    random: Random, context: str, facts: list[Fact], style: Style, options: Options
) -> tuple[str, list[str], dict[str, str]]:
    """The context with a cue or a question after or around it, every fact's closing, and question and context if any."""
    ends = [s.closing(random, fact) for fact in facts]
    if random.random() < (CUED_IN_TRAINING if options.free else CUED):
        cue_style = style if options.wordings or random.random() < 0.7 else style_of(random, facts[0], options)
        cues = [s.cue(fact, cue_style) for fact in facts]
        if all(words == cues[0][0] for words, _ in cues):
            gap = "\n" if "\n" in context or random.random() < 0.25 else " "
            return context + gap + cues[0][0], [tail + end for (_, tail), end in zip(cues, ends, strict=True)], {}
    question = s.ask(random, facts[0], options.wordings, options.free)
    return (
        laid_out(random, context, question),
        ends,
        {"question": question, "context": s.unwrap(context)[0]},
    )


def laid_out(random: Random, context: str, question: str) -> str:
    """The context and the question, up to where the answer begins; a context of several lines ends with its line."""
    fitting = [layout for layout in LAYOUTS if "{c}\n" in layout] if "\n" in context else LAYOUTS
    return random.choice(fitting).replace("{q}", question).replace("{c}", context)


def dress(random: Random, text: str, options: Options, taken: str) -> str:
    """The text with people, days and years in their slots, none of which stands in `taken`."""
    days = [day for day in words("day")[:7] if day not in taken]
    days = days if len(days) > 1 else list(words("day")[:7])
    first, second = sorted(random.sample(range(len(days)), 2))
    years = sorted(random.sample([y for y in range(1900, 2031) if str(y) not in taken], 2))
    for slot, word in (("D", days[first]), ("E", days[second]), ("Y", years[0]), ("Z", years[1])):
        text = text.replace("{" + slot + "}", str(word))
    for slot in "PQ":
        if "{" + slot + "}" in text:
            name = someone(random, options, taken)
            text = text.replace("{" + slot + "}", name)
            taken += " " + name
    return text


def someone(random: Random, options: Options, taken: str) -> str:
    """A person none of whose names stands in `taken`."""
    while True:
        name = person(random, options.words)
        if all(part not in taken for part in name.split()):
            return name


#: Relations of which one may be taken for the other when somebody is asked about.
CONFUSABLE = (
    {"game", "hobby", "like", "food", "drink", "dish", "gift", "subject", "course", "dream", "instrument", "language"},
    {"home", "birth", "travel", "hide", "where", "floor", "ship", "exit", "employer", "seat"},
    {"friend", "boss", "spouse", "neighbour", "teacher", "rival", "debt", "witness"},
    {"owner", "chief", "keeper", "winner", "thief"},
    {"boss", "employer", "job"},
    {"name", "nick", "code", "role", "team"},
    {"pet", "item", "present", "lost", "treasure", "weapon", "wear", "award", "like", "gift"},
    {"feeling", "colour", "hair", "material", "shape", "smell", "sound", "cause", "disease", "fear", "job"},
    {"famous", "festival", "currency", "twin", "weather"},
    {"age", "code", "time", "seat", "flight", "price", "hour"},
)


def apart(a: Fact, b: Fact) -> bool:
    """Whether two facts can stand in one text without one being taken for an answer about the other."""
    if a.what == b.what:
        return False
    if a.who != b.who:
        return a.who not in b.who and b.who not in a.who
    names = {a.relation.name, b.relation.name}
    if len(names) == 1 or set(a.relation.noun.train) & set(b.relation.noun.train):
        return False
    return not clash(a.relation, b.relation) and not any(names <= group for group in CONFUSABLE)


TIMED = re.compile(
    r",| (was|were|had|has|will|did|last|now|always|before|after|just|soon|started|plans|hopes|about|\w+(ed|ew|nt))( |$)"
)
"""What already says when, or who says so: nothing is added after it."""


def ended(random: Random, said: str) -> str:
    """A statement as a sentence of its own, now and then with a word about the time after it."""
    return sentence(said) + ("" if TIMED.search(said) else random.choice(TAILS)) + "."


def aside(random: Random, options: Options, avoid: list[Fact]) -> str:
    """A sentence about something else: the same relation of somebody else, or another relation of the same one."""
    about = avoid[0]
    same = random.random() < 0.5
    for _ in range(20):
        other = about.relation if same else relation(random, options, about.relation.subject)
        fact = new_fact(random, options, other, "" if same or random.random() < 0.3 else about.who)
        if all(apart(fact, fixed) for fixed in avoid):
            return ended(random, s.state(random, fact, style_of(random, fact, options), options.wordings))
    return ""
