"""Wordings of instructions, and ways for two of them to stand together, made on the fly as statements are in `made`.

In the lists {V} is what the instruction asks for, {X} what it is about, and other slots are as in `made`; what `rule` and
`join` return has the slots of `rules`. Only training draws from here, and nothing that is kept for evaluation can come out.
"""

from __future__ import annotations

import re
from random import Random

from seka.miniature.corpus.made import fill
from seka.miniature.corpus.made_pairs import TURNS, numbered, speakers, times
from seka.miniature.corpus.rules import JOINS, RULES
from seka.miniature.corpus.world import sentence

SHARE = 0.5
"""Share of made wordings, and of made ways to stand together, where they may stand beside listed ones."""
PLAIN = (
    "{t} {V}.",
    "{d}, {t} {V}.",
    "{t} {V} {p} the {k}.",
    "{p} the {k}, {t} {V}.",
    "{s} {v} {V}.",
    "{s} {v} only {V}.",
    "{s} {v} {p} {V}.",
    "{s} {v} {V} {p} the {k}.",
    "{p} the {k} {s} {v} {V}.",
    "{s} {v} nothing {e} {V}.",
    "nothing {e} {V} {v} the {k}.",
    "no {k} {e} {V}.",
    "the {k} {l} {V}.",
    "the {k} {p} the {k} {l} {V}.",
    "the {j} {k}, {c} {V}.",
    "the {k}: {V}.",
    "{V}, {s} {v}.",
    "{w} {w} {V}.",
    "{w} {w} {w} {V}.",
    "{w} {w} {w} {w} {V}.",
    "{w} {V} {w} {w}.",
    "{w} {w} {V} {w} {w}.",
    "{w} {w} {w} {V} {w}.",
)
"""Instructions about nothing but what they ask for."""
ABOUT = (
    "{t} {V} {p} {X}.",
    "{p} {X}, {t} {V}.",
    "{d} {t} {V} {p} {X}.",
    "{t} {V}, not {X}.",
    "{X} {l} {V}.",
    "{X}: {V}.",
    "{X} {v} {V}.",
    "{X} {v} {p} {V}.",
    "{s} {v} {V} {p} {X}.",
    "{s} {v} {X} {V}.",
    "{s} {v} {X} {p} {V}.",
    "{p} {X} {s} {v} {V}.",
    "the {k} {p} {X} {l} {V}.",
    "nothing {e} {V} {p} {X}.",
    "{w} {X} {w} {V}.",
    "{w} {w} {X} {w} {V}.",
    "{w} {X} {w} {w} {V}.",
    "{w} {V} {w} {X}.",
    "{w} {w} {V} {w} {w} {X}.",
    "{V} {w} {w} {X}.",
)
"""Instructions about something."""
ORDERS = (
    "{V}.",
    "{d} {V}.",
    "{w} {V}, {s} {v}.",
    "{w} {w} to {V}.",
    "{w} {w} {w} to {V}.",
    "{s} {v} {w} to {V}.",
    "the {k} {l} to {V}.",
    "{P} {v} us to {V}.",
    "{P} {v} the {k} to {V}.",
    "{s} {v}: {V}.",
)
"""Instructions that say what to do."""
PHRASES = {
    "pick": ("the {V} one", "the {V} one", "the {V} word", "the {V} of them", "the {V} of the list", "only the {V}"),
    "number": ("in {V}", "in {V}", "{V}", "{V} for the number", "the number in {V}"),
    "language": ("in {V}", "in {V}", "{V}", "the words in {V}"),
    "unit": ("in {V}", "in {V}", "{V}", "{V} as money"),
}
"""How what is asked for stands in an instruction, where it does not stand alone."""
QUOTED = 0.25
"""Share of wordings with what is asked for in quotation marks, of kinds whose listed ones have some."""


def plain(wording: str) -> str:
    """What two wordings have in common that differ in their letters' case or in quotation marks."""
    return wording.lower().replace('"', "")


KEPT = re.compile(
    "|".join(
        re.sub(r"\\{\w\\}", ".+", re.escape(plain(wording))) for listed in RULES.values() for wording in listed.held
    )
)
"""The instructions that are kept, any words in the places of their slots: known nouns may stand there by chance."""
KEPT_JOINS = frozenset(plain(wording.split("|")[0]) for wording in JOINS.held)


def rule(random: Random, kind: str) -> str:
    """An instruction of a kind, in a wording that seldom is on a list, and never on one that is kept."""
    listed = RULES[kind]
    slot = next((slot for slot in ("{X}", "{y}") if slot in listed.train[0]), "")
    while True:
        wording = random.choice(ORDERS if kind == "order" else ABOUT if slot else PLAIN)
        wording = wording.replace("{V}", random.choice(PHRASES.get(kind, ("{V}",))))
        if any('"{v}"' in text for text in listed.train) and random.random() < QUOTED:
            wording = wording.replace("{V}", '"{V}"')
        text = sentence(fill(random, wording).replace("{V}", "{v}").replace("{X}", slot))
        if not KEPT.fullmatch(plain(text)):
            return text


def join(random: Random) -> str:
    """Two instructions beside each other, "|", and the chance of the first: by sources, times, turns, numbers, words."""
    while True:
        text = _join(random)
        if plain(text.split("|")[0]) not in KEPT_JOINS:
            return text


def _join(random: Random) -> str:
    gap = random.choice((" ", " ", "\n"))
    match random.randrange(5):
        case 0:
            one, other = speakers(random)
            return f"{one}: {{0}}{gap}{other}: {{1}}|0.5"
        case 1:
            one, other = (sentence(time).rstrip(",") for time in times(random))
            return f"{one}: {{0}}{gap}{other}: {{1}}|0.4"
        case 2:
            turn = sentence(random.choice(TURNS))
            return fill(random, random.choice(("{0} %s: {1}|0.35", "{0} %s, {s} {v}: {1}|0.35")) % turn)
        case 3:
            one, other = numbered(random)
            return f"{one}: {{0}}{gap}{other}: {{1}}|0.55"
        case _:
            label = random.choice(("{w} {w}", "{w} {w} {w}", "{j} {k}", "the {j} {k}", "{w}"))
            one, other = (sentence(fill(random, label)) for _ in range(2))
            return f"{one}: {{0}}{gap}{other}: {{1}}|0.5"
