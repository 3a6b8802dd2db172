"""Lists to look things up in, texts to be repeated, and well-known facts that a prompt contradicts."""

from __future__ import annotations

import functools
from random import Random

from seka.miniature import sentences as s
from seka.miniature.cases import TRAINING, Case, Options, finish
from seka.miniature.wordings import PAIRS
from seka.miniature.world import held_out, nonce, person, relations, sentence, subject, value, words

HEADS = ("{n}:", "List of {n}", "Here is the {n} of each:", "{n} (please check):", "The table of {n}:")
ROWS = ("- {x}: {v}", "{x}: {v}", "{x} = {v}", "{x}, {v}", "* {x} -> {v}", "{x} | {v}")
CAPITAL_SAYS = (
    "the capital of {X} is {V}",
    "{V} is the capital of {X}",
    "{X} has its capital in {V}",
    "the government of {X} sits in {V}",
    "{X}'s capital is {V}",
    "you will find the king of {X} in {V}",
)
CAPITAL_CUES = ("The capital of {X} is", "{X} has its capital in", "{X}'s capital is", "The government of {X} sits in")
CAPITAL_ASKS = ("What is the capital of {X}?", "Which city is the capital of {X}?", "Where is the government of {X}?")
AGAIN = (
    "{t}\nAgain: {t}",
    "{t} {t}",
    "Repeat: {t}\n{t}",
    "Say it twice: {t} {t}",
    '"{t}", said {p}. "{t}"',
    "{t}\n{t}\n{t}",
)


@functools.cache
def capitals() -> tuple[tuple[str, str], ...]:
    """(country, capital) pairs that are true in our world as well, none of them held out."""
    pairs = (pair.split("=") for pair in words("capital"))
    return tuple((country, city) for country, city in pairs if not held_out(country) and not held_out(city))


def records(random: Random, options: Options = TRAINING) -> Case:
    """A list of names and values; one value is looked up. Names are unique, so there is one right answer."""
    relation = random.choice(relations())
    noun = relation.noun.pick(random)
    count = random.choice((2, 3, 4, 5, 6, 7))
    names: list[str] = []
    kind = relation.subject
    while len(names) < count:
        who = subject(random, kind, options.words)
        if all(who not in other and other not in who for other in names):
            names.append(who)
    values = s.draw_values(random, relation, count, options.words)
    row = random.choice(ROWS)
    lines = [
        s.wrap(i, row.replace("{x}", w).replace("{v}", v)) for i, (w, v) in enumerate(zip(names, values, strict=True))
    ]
    chosen = random.randrange(count)
    head = random.choice(HEADS).replace("{n}", noun + "s")
    fact = s.Fact(relation, names[chosen], values[chosen], noun)
    style = s.Style(s.FRAMES.pick(random).replace("{N}", noun), True)
    context = sentence(head) + "\n" + "\n".join(lines)
    if random.random() < 0.5:
        before, after = s.cue(fact, style)
        text, end = f"{context}\n{before}", after + s.closing(random, fact, 0.4)
    else:
        question = s.ask(random, fact)
        text, end = (
            random.choice(s.LAYOUTS).replace("{q}", question).replace("{c}", context),
            s.closing(random, fact, 0.4),
        )
    return finish("records", text, [end] * count, values, chosen)


def override(random: Random, options: Options = TRAINING) -> Case:
    """The capital of a country, told wrongly once or twice; now and then with the true one among the statements."""
    country, true = random.choice(capitals())
    pool = [city for _, city in capitals() if city != true]
    told = [random.choice(pool) if random.random() < 0.7 else value(random, "place_name", options.words), true]
    if random.random() < 0.4:
        told[1] = value(random, "place_name", options.words) if random.random() < 0.5 else random.choice(pool)
    while told[1][:3] == told[0][:3]:
        told[1] = random.choice(pool)
    single = random.random() < 0.4 and told[1] == true and not options.wordings
    if random.random() < 0.5:
        told.reverse()
    say = random.choice(CAPITAL_SAYS)
    said = [say.replace("{X}", country).replace("{V}", v) for v in told]
    if single:
        index = told.index(true)
        wrong = 1 - index
        text = s.wrap(wrong, sentence(said[wrong])) + "."
        chosen = wrong if random.random() < 0.6 else index
    else:
        wording, prior = PAIRS.pick(random, options.wordings).split("|")
        text = s.place(wording, said).replace("{P}", person(random)).replace("{Q}", person(random))
        chosen = 0 if random.random() < float(prior) else 1
    if random.random() < 0.6:
        text += random.choice((" ", "\n")) + random.choice(CAPITAL_CUES).replace("{X}", country)
    else:
        ask = random.choice(CAPITAL_ASKS).replace("{X}", country)
        text = random.choice(s.LAYOUTS).replace("{q}", ask).replace("{c}", text)
    ends = [f". Many people live in {v}." if random.random() < 0.5 else "." for v in told]
    return finish("override", text, ends, told, chosen)


def copying(random: Random) -> str:
    """A few words, invented ones among them, said more than once."""

    def one() -> str:
        kind = random.choice(
            ("nonce_word", "nonce_name", "code", "number", "object", "animal", "city", "food", "person")
        )
        return nonce(random) if random.random() < 0.3 else value(random, kind)

    text = random.choice((" ", " ", ", ")).join(one() for _ in range(random.randint(3, 12)))
    return random.choice(AGAIN).replace("{t}", text).replace("{p}", person(random))
