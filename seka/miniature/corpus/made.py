"""Wordings made on the fly, so that reading does not hang on a list: known and invented words in many orders.

{X} is the subject, {N} the noun for the value, {V} the value. Only training draws from here, and no wording that is kept
for evaluation can come out.
"""

from __future__ import annotations

import re
from random import Random

from seka.miniature.corpus.coinages import nonce
from seka.miniature.corpus.lexicon import split_words, words

PAST = (
    *("took", "found", "kept", "made", "called", "brought", "carried", "opened", "followed", "painted", "turned", "led"),
    *("met", "left", "held", "sold", "bought", "built", "drew", "sang", "counted", "put", "set", "sent", "heard", "saw"),
    *("wanted", "lost", "won", "chased", "shared", "named", "used", "moved", "lifted", "told", "tied", "cut", "hid"),
    *("filled", "joined", "crossed", "reached", "earned", "paid", "picked", "pulled", "threw", "wore", "cleaned"),
)  # fmt: skip
"""Past forms, of which most are participles as well."""
PREPOSITIONS = (
    *("of", "for", "with", "at", "on", "in", "by", "to", "from", "under", "over", "behind", "near", "around", "beside"),
    *("through", "after", "against", "between", "without", "along", "inside", "within", "above", "towards", "per"),
)
LINKS = (
    *("is", "is", "is", "was", "was", "remains", "became", "has become", "may be", "must be", "will be", "could be"),
    *("is called", "is named", "reads", "means", "stays", "is still", "comes to", "goes by", "stands as", "looks like"),
    *("used to be", "has to be", "would be", "is only", "is known as", "is put down as", "is listed as", "was set to"),
    *("=", "->", "-", ",", "is just", "is surely", "can be read as", "is no other than", "amounts to", "might be"),
    *("proves to be", "seems to be", "appears to be", "is found to be", "came out as", "is given as", "is stated as"),
    *("is recorded as", "is taken to be", "is nothing but", "ended up as", "was fixed as", "is bound to be"),
    "counts as",
)
CONNECTORS = (
    *("to wit", "that is", "in other words", "i.e.", "as follows:", "to be precise,", "such as", "above all"),
    *("this one:", "viz.", "it being", "just", "of course", "always", "which means", "or so it seems", "called"),
    "known as",
)
"""What may stand between a noun and its value, after a comma."""
APART = ("but", "other than", "besides", "apart from", "beyond", "save")
"""What sets the value apart from all else."""
OWN = ("its", "the", "a", "this", "its own", "their", "one more", "some")
"""What may stand before a noun."""
ADVERBS = (
    *("usually", "plainly", "frankly", "mostly", "quietly", "nearly", "also", "only", "even", "simply", "gladly"),
    *("again", "together", "badly", "slowly", "openly", "formally", "by chance", "by mistake", "at times", "in short"),
    *("in turn", "for good", "at least", "on paper", "without fail", "more or less", "so far", "indeed", "rarely"),
)
SHARE = 0.5
"""Share of made wordings where they may stand beside listed ones."""
SMALL = (
    *("the", "a", "this", "that", "its", "each", "no", "some", "and", "or", "not", "so", "as", "but", "who", "which"),
    *("up", "off", "out", "there", "when", "how"),
)
SOMEBODY = ("we", "they", "one", "you", "people", "somebody", "the others", "I", "most of us", "both of them")
NAMED = (
    "the {N} {p} {X} {l} {V}",
    "the {N} {p} {X} {l} {V}",
    "the {j} {N} {p} {X} {l} {V}",
    "{X}'s {N} {l} {V}",
    "{X}'s {j} {N} {l} {V}",
    "the {N} {X} {v} {l} {V}",
    "the {N} that {X} {v} {l} {V}",
    "the {N} that {X} {v} {p} the {k} {l} {V}",
    "{N} {p} {X} {l} {V}",
    "{X} {v} {V} {p} {N}",
    "{X} {d} {v} {V} {p} {N}",
    "{X} {v} {V} {p} the {N}",
    "{X} {v} {p} the {N} {V}",
    "{X} {v} {p} one {N}, {V}",
    "{X}, whose {N} {l} {V}, {v} the {k}",
    "{X} with the {N} {V}",
    "{X} {p} the {N} of {V}",
    "{s} {v} the {N} {p} {X} {V}",
    "{s} {v} {V} {p} the {N} {p} {X}",
    "{s} {v} {V} {d} {p} {X}'s {N}",
    "{d} the {N} {p} {X} {l} {V}",
    "{d}, the {N} {p} {X} {l} {V}",
    "{p} the {k} the {N} {p} {X} {l} {V}",
    "{p} {X} the {N} {l} {V}",
    "{p} {X}, {s} {v} the {N} {V}",
    "{X} {w} {N} {w} {V}",
    "{X} {w} {w} {N} {l} {V}",
    "{w} {N} {w} {X} {w} {V}",
    "the {N} {l} {V} {p} {X}",
    "the {N} {l}, {p} {X}, {V}",
    "what {s} {v} {p} {X}'s {N} {l} {V}",
    "the {k} {v} {X} a {N}, {V}",
    "the {N} {v} {p} {X} {l} {V}",
    "the {N} {v} {p} {X} {l} {V}",
    "the {k} {p} {X} {v} {p} {N} {V}",
    "{s} {v} {p} {X} the {N}, {c} {V}",
    "{p} {X}, {s} {v} the {N}, {c} {V}",
    "{p} {X} {s} may {w} the {N}, {w} {V}",
    "{X} {v} {p} {j} {N}, {c} {V}",
    "the {N} {p} {X}, {c} {V}",
    "{X} {v} {V} as {N}",
    "{X} {v} as {N} {V}",
    "{X} {w} {V} {w} {N}",
    "{X} {w} {w} {N} {V}",
    "{X} {v} {p} {i} {N}, which {l} {V}",
    "{X} {v} {i} {N}, which {l} {V}",
    "{X} {v} {i} {N}, {V}",
    "{X} {v} {i} {N}, and that {l} {V}",
    "{X} {v} {p} {i} {N}, {V}",
    "the {N} {p} which {X} {v} {l} {V}",
    "{X} {v} no {N} {e} {V}",
    "{p} the {N} {X} {v} nothing {e} {V}",
    "no {N} {e} {V} {l} {p} {X}",
    "the {N} {p} {X} {l} none {e} {V}",
    "the {N} {p} {X} {l} nothing {e} {V}",
    "{s} {v} nothing {e} {V} {p} the {N} {p} {X}",
    "{p} the {N}, {X} {v} {p} {V}",
    "{p} {X}'s {N}, {s} {v} {p} {V}",
    "{p} the {N} {p} {X} {s} {v} {p} {V}",
    "{s} {v} {X}, and the {N} {s} {v} {l} {V}",
    "{s} {v} the {N} {p} {X} and {v} {p} {V}",
    "{w} {s} {v} {p} {X}, the {N} {l} {V}",
    "{w} {X} {v} {p} the {k}, the {N} {l} {V}",
    "{w} {w} {X} {w} {w} the {N} {w} {w} {V}",
    "{X} {v} {p} the {k}, {w} the {N} {l} {V}",
    "the {N}, {w} {X} {v}, {l} {V}",
    "{s} {v} that {X} {v} the {N} {V}",
)
"""Statements that use the noun. {p} is a preposition, {l} links, {v} a past form, {d} an adverb, {j} an adjective, {k} a
known noun, {s} somebody, {c} a connector, {e} sets apart, {i} says whose, {w} any word, an invented one too."""
ASKING = (
    "what {h} the {N} {p} {X}?",
    "which {N} {h} it {p} {X}?",
    "which {N} {v} {X}?",
    "{X}'s {N}?",
    "{X}: which {N}?",
    "{t} the {N} {p} {X}.",
    "{t} the {N} {p} {X}.",
    "{t} {X}'s {N}.",
    "{t} what the {N} {p} {X} {h}.",
    "{t} which {N} {X} {v}.",
    "{t} only the {N} {p} {X}.",
    "{d}, what {h} {X}'s {N}?",
    "{p} {X}, what {h} the {N}?",
    "{p} {X}, {t} the {N}.",
    "I wonder about the {N} {p} {X}.",
    "and the {N} {p} {X}?",
    "what about the {N} {p} {X}?",
    "{s} asked for the {N} {p} {X}.",
    "the question is: which {N} {v} {X}?",
    "who {v} the {N} {p} {X}, and what {h} it?",
    "{w} {N} {w} {X}?",
)
"""Questions that use the noun; {h} is a form of to be, {t} asks for an answer."""
ELSEWISE = (
    "{q} {o} {X} {w}?",
    "{q} {o} {X} {v}?",
    "{q} {o} {X} {w} {p}?",
    "{q} {o} {X} {w} {w}?",
    "{q} {v} {X}?",
    "{q} {h} {X}?",
    "{q} {h} {X} {p}?",
    "{q} {h} {X} {v} {p} the {k}?",
    "{q} {v} {p} {X}?",
    "{p} {q} {o} {X} {w}?",
    "{p} {q} {o} {X} {w} {w}?",
    "{p} {q} {h} {X}?",
    "{q} {o} {X}'s {w} {w}?",
    "{p} {q} {o} {X}'s {w} {w}?",
    "{q} {h} {X}'s {k}?",
    "{q} {o} {X} {w}, {s} {v}?",
    "{d}, {q} {o} {X} {w}?",
    "{t} {q} {X} {v}.",
    "{t} {q} {X} {v} {p}.",
    "{t} {p} {q} {X} {v}.",
    "{t} {q} {h} {X}.",
    "{q}, {s} {v}, {o} {X} {w}?",
    "{w} {q} {w} {X} {w}?",
)
"""Questions in other words than the statements that answer them: {q} asks for a kind of value, {o} helps a verb. Whose
statement it is, and what kind of thing is asked for, is all that they share."""
HELPERS = ("did", "did", "does", "does", "will", "could", "would", "has", "can", "may", "might", "must", "should")
ENDINGS = ("that is", "which was", "made of", "that was", "as", "with the name", "namely")
"""What may stand last before a value, besides any word and a preposition."""
BEING = ("is", "was", "will be", "may be", "would be", "has become", "could be", "must be", "might be", "used to be")
TELL = (
    *("say", "tell us", "read out", "report", "note down", "fill in", "type", "spell out", "guess", "repeat", "recall"),
    *("find out", "pick", "show me", "give back", "print", "put down", "add", "choose", "return", "point out", "list"),
    *("please show", "please write", "now give", "just name", "quickly find", "try to find", "you must tell us"),
)
SLOT = re.compile(r"\{([a-zA-Z])\}")
STOCK = {
    "p": PREPOSITIONS, "l": LINKS, "v": PAST, "d": ADVERBS, "s": SOMEBODY, "c": CONNECTORS, "h": BEING, "t": TELL,
    "e": APART, "i": OWN, "o": HELPERS,
}  # fmt: skip
KNOWN = ("object", "place", "animal", "thing", "food", "tool")


def word(random: Random) -> str:
    """Any word: a small one, one of the lists, a known noun or adjective, or, a third of the time, an invented one."""
    if random.random() < 0.33:
        return nonce(random)
    kind = random.choice("pvdjkww")
    return random.choice(SMALL) if kind == "w" else _slot(random, kind)


def _slot(random: Random, kind: str) -> str:
    match kind:
        case "w":
            return word(random)
        case "j":
            return random.choice(words("adjective"))
        case "k":
            return random.choice(split_words(random.choice(KNOWN), False))
        case "r":
            return random.choice(words("relative"))
        case "g":
            return random.choice(split_words("job", False))
        case "m":
            return nonce(random)
        case _:
            return random.choice(STOCK[kind])


def fill(random: Random, wording: str) -> str:
    """The wording with every slot filled that is a word; {X}, {N}, {V}, {P}, {Q}, {n} and the statements stay."""
    return SLOT.sub(lambda found: found[0] if found[1] in "XNVPQnabAB" else _slot(random, found[1]), wording)


def frame(random: Random) -> str:
    """A statement that uses the noun, in a wording that nobody has read before."""
    return fill(random, random.choice(NAMED))


def question(random: Random) -> str:
    """A question that uses the noun."""
    return fill(random, random.choice(ASKING))


def saying(random: Random) -> tuple[str, str]:
    """What is said of a subject in one to five words of any kind, before the subject and between it and the value."""
    before = " ".join(word(random) for _ in range(random.choice((0, 0, 0, 1, 2))))
    between = " ".join(word(random) for _ in range(random.choice((1, 1, 2, 2, 3, 4))))
    return before, between


def said(random: Random) -> str:
    """What is said of a subject between it and the value, in one to six words that end as a statement may before a value."""
    end = random.choice((word, _preposition, _preposition, _ending))(random)
    return " ".join([*(word(random) for _ in range(random.choice((0, 1, 1, 2, 3, 4)))), end])


def _preposition(random: Random) -> str:
    """One of PREPOSITIONS."""
    return random.choice(PREPOSITIONS)


def _ending(random: Random) -> str:
    """One of ENDINGS or LINKS."""
    return random.choice(ENDINGS if random.random() < 0.5 else LINKS)


def asked(random: Random, asking: str, kind: str) -> str:
    """What a question asks for: `asking` is what, who or where, `kind` a noun for the value, or ""."""
    if not kind or random.random() < 0.5:
        return asking
    return random.choice(("which {}", "what {}", "which {} of all")).format(kind)


def other_question(random: Random, what: str) -> str:
    """A question in words of its own about the subject, for `what` as `asked` gives it."""
    return fill(random, random.choice(ELSEWISE).replace("{q}", what))
