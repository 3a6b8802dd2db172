"""Predicates made on the fly, in good order: what is said of a subject before its value, and questions in other words.

`made` puts any words beside each other; a reader of that learns where a value stands, but not where one begins after words
that seem to be the value themselves ("takes part in chess", "has no food but rice"). Here a verb has its object, its
preposition and its value as a sentence has them, from the open classes and with invented words among them. Only training
draws from here, and no wording that is kept for evaluation can come out.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from random import Random

from seka.miniature.corpus.coinages import nonce
from seka.miniature.corpus.kept import unkept
from seka.miniature.corpus.lexicon import article, split_words, words
from seka.miniature.corpus.made import ADVERBS, BEING, HELPERS, OWN, PREPOSITIONS, SLOT, SOMEBODY, TELL, word
from seka.miniature.corpus.openclass import Verb, entries, kept, verb
from seka.miniature.corpus.world import held_words

PREDICATES = (
    *("{f}", "{f} {p}", "{f} {p}", "{f} {n} {p}", "{f} {n} {p}", "{f} {n} {p}", "{f} {i} {n} {p}", "{f} {i} {n} {p}"),
    *("{f} {i} {j} {n} {p}", "{f} {i} {j} {n} {p}", "{f} {n} {n} {p}", "{f} {p} {i} {n} {p}", "{f} {p} {n} {p}"),
    *("{f} {u}", "{f} {u} {p}", "{f} {d}", "{f} {d} {p}", "{d} {f}", "{d} {f} {p}", "{f} {j}", "{f} {j} {p}"),
    *("{f} {s} {p}", "{f} {s} {n} {p}", "{v} and {v}", "{v} and {v} {p}", "{f} {n} and {n} {p}"),
    *("{f} {n} or {n} {p}", "{f} {g}", "{f} {g} {p}", "{f} {g} {n} {p}", "{f} {i} {n} {g}", "{f} {i} {n} {g} {p}"),
    *("{f} {p} {g}", "{f} to {b}", "{f} to {b} {p}", "{f} to {b} {n} {p}", "{f} to {b} {i} {n} {p}"),
    *("{f} {i} {n} to {b}", "{o} {b}", "{o} {b} {p}", "{o} {b} {n} {p}", "{o} {d} {b}", "{o} {d} {b} {i} {n} {p}"),
    *("{o} {b} {i} {n} {p}", "{h} {t}", "{h} {t} {p}", "{h} {t} {p}", "{h} {t} {i} {n} {p}"),
    *("{h} {t} {p} {i} {n} {p}", "{h} {d} {t}", "{h} {j} {p}", "{h} {j} {p}", "{h} {j} {n} {p}", "{h} {i} {n} {p}"),
    *("{h} {i} {j} {n} {p}", "{h} {n} {p}", "{h} {g}", "{h} {g} {p}", "{h} {g} {n} {p}", "{h} {g} {i} {n} {p}"),
    *("{h} {j} and {j} {p}", "{h} {p} {n} {p}", "{f} nothing {w}", "{f} no {n} {w}", "{f} none {w}"),
    *("{f} nobody {w}", "{f} {p} nothing {w}", "{o} {b} nothing {w}", "{f} everything {w}", "{h} {t} nothing {w}"),
    *("{f} little {w}", "{f} nothing {j} {w}", "{f} no {j} {n} {w}", "{f} {i} {n}, which {h}"),
    *("{f} {i} {n}, and that {h}", "{f} {i} {n} {t}", "{f} {i} {n} {t} {p}", "{f} {i} {n} that {h}"),
    *("{f} {i} {n} that {f}", "{f} {i} {n} that {f} {p}", "{f} {p} what {f}", "{f} {i} {n}, {w}", "{f} {n}, {w}"),
)  # fmt: skip
"""What stands between a subject and its value. {f} is a finite verb, {b}, {g} and {t} its base, -ing form and participle, {n} a
noun, {j} an adjective, {i} what stands before a noun, {p} a preposition, {u} a particle, {d} an adverb, {h} a form of to be,
{o} helps a verb, {s} somebody, {v} a past form, {w} any word."""
SUBJECTS = (
    *("{X}",) * 14,
    *("{X} with {i} {n}", "{i} {n} {p} {X}", "{X}'s {n}", "{d}, {X}", "{p} {i} {n} {X}", "{p} {i} {n}, {X}", "{s} {v} that {X}"),
    *("{X}, {d},", "{X}, {j} and {j},", "{X}, who {f} {n},", "{w} {X}"),
)  # fmt: skip
"""How the subject stands before that."""
ENDS = (
    *("",) * 16,
    *(" {d}", " {p} {i} {n}", " {p} {n}", ", {d}", " every {n}", " and {v} {n}", ", {w} {s} {v}", " to {b} {n}", " {p} {g}"),
)  # fmt: skip
"""What may stand after the value."""
NAMED = (
    *("the {N} {p} {X} {Y} {V}", "{X}'s {N} {Y} {V}", "{X} {Y} {i} {N} {p} {V}", "{p} {X} the {N} {Y} {V}"),
    *("{p} {X}, {s} {v} no {N} {w} {V}", "{p} {X} the {N} {h} nothing {w} {V}", "{X}, whose {N} {Y} {V}, {f} {n}"),
    *("{X} {Y} the {N} {V}", "the {N} {X} {f} {Y} {V}", "{d}, {X}'s {j} {N} {Y} {V}"),
)
"""Statements that use the noun {N} for the value; {Y} is one of PREDICATES."""
QUESTIONS = (
    *("{q} {o} {X} {b}?", "{q} {o} {X} {b} {p}?", "{q} {o} {X} {b} {u}?", "{q} {o} {X} {d} {b}?", "{p} {q} {o} {X} {b}?"),
    *("{q} {o} {X} {b} {n} {p}?", "{q} {o} {X} {b} {i} {n} {p}?", "{p} {q} {o} {X} {b} {n}?", "{p} {q} {o} {X} {b} {i} {n}?"),
    *("{q} {o} {X} {b} to {b}?", "{q} {z} {X} {g}?", "{q} {z} {X} {g} {p}?", "{q} {z} {X} {t}?", "{p} {q} {z} {X} {t}?"),
    *("{q} {z} {X} {j} {p}?", "{p} {q} {z} {X} {j}?", "{q} {z} {X}'s {n}?", "{q} {z} the {n} {p} {X}?", "{q} {f} {X}?"),
    *("{T} {q} {X} {f}.", "{T} {q} {X} {f} {p}.", "{T} {p} {q} {X} {f} {i} {n}.", "{T} {q} {X} {z} {g} {p}."),
    *("{q} {z} it that {X} {f}?", "{q} {z} {p} {X}'s {n}?", "{q} {z} to be {t} {p} {X}?", "{d}, {q} {o} {X} {b} {p}?"),
)  # fmt: skip
"""{q} asks for a kind of value, {T} asks for an answer, {z} is "is" or "was"."""
ABSTRACT = (
    *("care", "use", "notice", "pride", "part", "place", "hold", "charge", "sight", "faith", "delight", "interest"),
    *("fun", "advantage", "word", "touch", "love", "time", "news", "command", "control", "room", "way", "name"),
    *("sign", "need", "friend", "master", "bit", "lot", "piece", "share", "life", "end", "side", "line"),
    *("heart", "mind", "start", "step", "turn", "chance", "reason", "rest", "peace", "luck", "trust"),
    *("set", "state", "half", "question", "answer", "story", "order", "matter", "point", "page", "number"),
    *("seat", "price", "value", "secret"),
)  # fmt: skip
PARTICLES = ("up", "off", "out", "down", "away", "back", "over", "through", "along", "aside", "together", "ahead")
HELPING = tuple(helper for helper in HELPERS if helper != "has")
"""Those that a base form follows."""
INVENTED = 0.15
"""Share of invented words among verbs and nouns."""


@functools.cache
def _verbs() -> tuple[Verb, ...]:
    """The verbs of training that stand for deeds and without a preposition, each once; none has a form that is kept."""
    found = {(form := verb(entry)).base: form for _, _, entry in entries("verbs.txt", False)}
    return tuple(
        v
        for v in found.values()
        if v.bare and not v.state and not held_words() & {v.third, v.past, v.participle, v.ing}
    )


@functools.cache
def _nouns() -> tuple[str, ...]:
    """The nouns of training that somebody has, with things and places, each once."""
    known = [noun for _, _, noun in entries("nouns.txt", False)]
    return tuple(
        dict.fromkeys((*known, *(noun for kind in ("thing", "object", "place") for noun in split_words(kind, False))))
    )


def _verb(random: Random) -> Verb:
    """A verb of training or, now and then, an invented one."""
    if random.random() >= INVENTED:
        return random.choice(_verbs())
    while kept(invented := nonce(random)):
        pass
    return verb(invented)


def _noun(random: Random) -> str:
    """A noun of training, an abstract one or, now and then, an invented one."""
    if random.random() < INVENTED:
        return nonce(random)
    return random.choice(ABSTRACT if random.random() < 0.4 else _nouns())


STOCK: dict[str, Callable[[Random], str]] = {
    "f": lambda random: random.choice((_verb(random).third, _verb(random).past)),
    "b": lambda random: _verb(random).base,
    "g": lambda random: _verb(random).ing,
    "t": lambda random: _verb(random).participle,
    "n": _noun,
    "j": lambda random: random.choice(words("adjective")),
    "i": lambda random: random.choice(OWN),
    "p": lambda random: random.choice(PREPOSITIONS),
    "u": lambda random: random.choice(PARTICLES),
    "d": lambda random: random.choice(ADVERBS),
    "h": lambda random: random.choice(BEING),
    "o": lambda random: random.choice(HELPING),
    "s": lambda random: random.choice(SOMEBODY),
    "v": lambda random: _verb(random).past,
    "w": word,
    "z": lambda random: random.choice(("is", "was")),
    "T": lambda random: random.choice(TELL),
    "Y": lambda random: fill(random, random.choice(PREDICATES)),
}


def fill(random: Random, wording: str) -> str:
    """The wording with every slot of STOCK filled; the others stay."""
    filled = SLOT.sub(lambda found: STOCK[found[1]](random) if found[1] in STOCK else found[0], wording)
    return re.sub(r"\ba (?=(\w+))", lambda found: article(found[1]) + " ", filled)


def predicate(random: Random) -> str:
    """What stands between a subject and its value."""
    return fill(random, "{Y}")


def said(random: Random, given: str) -> str:
    """A statement about {X} that ends with, or nearly with, its value; `given` is how the value stands in it."""
    return unkept(lambda: fill(random, f"{random.choice(SUBJECTS)} {{Y}} {given}{random.choice(ENDS)}"))


def frame(random: Random) -> str:
    """A statement that uses the noun."""
    return unkept(lambda: fill(random, random.choice(NAMED)))


def question(random: Random, asked: str) -> str:
    """A question about {X} in words of its own; `asked` is what, who or which, perhaps with a noun for the value."""
    return unkept(lambda: fill(random, random.choice(QUESTIONS).replace("{q}", asked)))
