"""Two statements beside each other in ways made on the fly: by whom they are said, when they hold, how they are
numbered or headed.

{a} and {b} are statements as they stand inside a sentence, {A} and {B} as they begin one; other slots as in `made`. Only
training draws from here, and nothing that is kept for evaluation can come out.
"""

from __future__ import annotations

from random import Random

from seka.miniature.corpus.made import fill
from seka.miniature.corpus.world import sentence

SAYS = (
    *(
        "says",
        "writes",
        "told us",
        "thinks",
        "shows",
        "is sure",
        "heard",
        "adds",
        "wrote",
        "noticed",
        "read",
        "thought",
    ),
    *("remembers", "found out", "believes", "explains", "assumes", "proves", "feels", "repeats", "said"),
)
SOURCES = (
    *("the {k}", "one {k}", "my {r}", "our {r}", "the {j} {k}", "{P}", "{P}", "the {k} of {P}", "the {g}", "a {g}"),
    *("the {j} {g}", "the {g} from the {k}", "the {m}"),
)
TIMES = (
    ("in winter", "in summer"), ("at noon", "at midnight"), ("last month", "this month"), ("as a rule", "for an hour"),
    ("at home", "abroad"), ("during the war", "after the war"), ("on weekdays", "on Sundays"), ("by day", "by night"),
    ("in the first year", "in the second year"), ("as a child's story goes,", "as the grown-ups tell it,"),
    ("on the left side", "on the right side"), ("in chapter one", "in chapter two"), ("at the start", "at the end"),
)  # fmt: skip
TURNS = (
    *("actually", "rather", "instead", "mind you", "come to think of it", "that said", "or", "better", "to be exact"),
    *("more precisely", "alternatively", "by contrast", "so to speak", "then", "only later", "and yet", "or else"),
)
LABELS = ("Line {n}", "Box {n}", "Copy {n}", "Card {n}", "{w} {n}", "No. {n}", "{n}", "{k} {n}", "[{n}]", "Part {n}")
SPOKE = (
    *("cried", "muttered", "sang", "replied", "yelled", "sighed", "called", "wrote", "insisted", "began", "went on"),
    *("laughed", "repeated", "added", "snapped", "claimed", "told us", "joked", "announced", "warned", "growled"),
)
QUOTED = (
    '"{A}," {one}, {w} {other}, "{B}."',
    '"{A}!" {one}. ^"{B}!" {other}.',
    '"{A}," {one}, {w} {w} {other}: "{B}!"',
    '{One}: "{A}." ^{Other}: "{B}."',
    '"{A}," {one}. ^"{B}," {other} {d}.',
    '{One}, "{A}," {w} {other}, "{B}!"',
)
"""Two statements as two people say them."""
BETWEEN = ("{A}, {w} {w} that {b}", "{A}, {w} {w} {w} that {b}", "{A}; {w} {w}, {b}")


def pair(random: Random) -> str:
    """Two statements beside each other, "|", and the chance of the first: by sources, times, turns, words, speakers,
    headings, numbers."""
    match random.randrange(7):
        case 0:
            one, other = speakers(random)
            return f"{one} that {{a}}. ^{other} that {{b}}.|0.35"
        case 1:
            one, other = times(random)
            return f"{sentence(one)} {{a}}. ^{sentence(other)} {{b}}.|0.35"
        case 2:
            turn = random.choice(TURNS)
            return random.choice((f"{{A}}. ^{sentence(turn)}, {{b}}.|0.3", f"{{A}}; {turn} {{b}}.|0.35"))
        case 3:
            return fill(random, f"{random.choice(BETWEEN)}.|{random.choice(('0.35', '0.65'))}")
        case 4:
            spoke = [random.choice(SPOKE) for _ in range(2)]
            one, other = random.choice((("{P} %s", "{Q} %s"), ("%s {P}", "%s {Q}")))
            text = random.choice(QUOTED).replace("{one}", one % spoke[0]).replace("{other}", other % spoke[1])
            text = text.replace("{One}", "{P} " + spoke[0]).replace("{Other}", "{Q} " + spoke[1])
            return fill(random, text) + "|0.35"
        case 5:
            one, other = headings(random)
            return f"{one}: {{A}}.\n^{other}: {{B}}.|0.35"
        case _:
            one, other = numbered(random)
            gap = random.choice(("\n", " "))
            return f"{one}: {{A}}.{gap}^{other}: {{B}}.|0.65"


def headings(random: Random) -> tuple[str, str]:
    """What the one and what the other is called, at the start of a line."""
    one, other = (sentence(fill(random, random.choice(SOURCES))) for _ in range(2))
    return one, other.replace("{P}", "{Q}")


def speakers(random: Random) -> tuple[str, str]:
    """Who says the one and who the other, each with its verb, at the start of a sentence."""
    one, other = headings(random)
    says = [random.choice(SAYS) for _ in range(2)]
    if random.random() < 0.6:
        says[1] = says[0]
    return f"{one} {says[0]}", f"{other} {says[1]}"


def times(random: Random) -> tuple[str, str]:
    """Two times of TIMES in either order."""
    one, other = random.choice(TIMES)
    return (other, one) if random.random() < 0.5 else (one, other)


def numbered(random: Random) -> tuple[str, str]:
    """Two labels with one number after the other."""
    label, start = sentence(fill(random, random.choice(LABELS))), random.randint(1, 40)
    return label.replace("{n}", str(start)), label.replace("{n}", str(start + 1))
