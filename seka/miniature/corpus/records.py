"""Lists and tables to look things up in, texts to be repeated, and well-known facts that a prompt contradicts."""

from __future__ import annotations

from random import Random

from seka.miniature.corpus import sentences as s
from seka.miniature.corpus.asking import TRAINING, Case, Options, dress, finish, laid_out, relation
from seka.miniature.corpus.frames import ASKS
from seka.miniature.corpus.phrases import grown, values
from seka.miniature.corpus.stories import capitals
from seka.miniature.corpus.wordings import PAIRS
from seka.miniature.corpus.world import Relation, nonce, person, sentence, subject, value

#: {n} is what is listed, {s} more than one of it.
HEADS = (
    "{s}:",
    "List of {s}",
    "Here is the {n} of each:",
    "{s} (please check):",
    "The table of {s}:",
    "These are the {s}:",
    "{n}",
    "# {s}",
    "All {s} at a glance",
    "The {n} of everybody and everything:",
)
ROWS = ("- {x}: {v}", "{x}: {v}", "{x} = {v}", "{x}, {v}", "* {x} -> {v}", "{x} | {v}", "{x} - {v}", "| {x} | {v} |",
        "{x}\t{v}", "{x} => {v}", "{x} ({v})", "{n} of {x}: {v}", "+ {x}: {v}")  # fmt: skip
GAPS = (" | ", "; ", ", ", "\t")
"""What stands between the columns of a table."""
CAPITAL_SAYS = (
    "the capital of {X} is {V}",
    "{V} is the capital of {X}",
    "{X} has its capital in {V}",
    "the government of {X} sits in {V}",
    "{X}'s capital is {V}",
    "you will find the king of {X} in {V}",
    "{X} is governed from {V}",
    "the largest office of {X} is in its capital, {V}",
)
CAPITAL_CUES = ("The capital of {X} is", "{X} has its capital in", "{X}'s capital is", "The government of {X} sits in")
CAPITAL_ASKS = (
    "What is the capital of {X}?",
    "Which city is the capital of {X}?",
    "Where is the government of {X}?",
    "Name the capital of {X}.",
)
AGAIN = (
    "{t}\nAgain: {t}",
    "{t} {t}",
    "Repeat: {t}\n{t}",
    "Say it twice: {t} {t}",
    '"{t}", said {p}. "{t}"',
    "{t}\n{t}\n{t}",
    "Copy this: {t}\nCopy: {t}",
    "{p} wrote: {t}\n{p} wrote again: {t}",
    "Original: {t}\nSecond page: {t}",
    "{t}; {t}; {t}",
    "Read: {t}. Write: {t}.",
)


def plural(noun: str) -> str:
    """More than one of a noun; what follows "of" stays."""
    head, of, rest = noun.partition(" of ")
    if head.endswith("y") and head[-2] not in "aeou":
        head = head[:-1] + "ies"
    else:
        head += "es" if head.endswith(("s", "x", "ch", "sh")) else "s"
    return head + of + rest


def subjects(random: Random, options: Options, kind: str, count: int) -> list[str]:
    """Different people or things."""
    names: list[str] = []
    while len(names) < count:
        who = subject(random, kind, options.words)
        if all(who not in other and other not in who for other in names):
            names.append(who)
    return names


def listed(random: Random, options: Options) -> tuple[str, list[s.Fact]]:
    """A list with its heading, every row wrapped, and what the rows say."""
    about = relation(random, options, named=True)
    noun = about.noun.pick(random, options.wordings)
    count = options.count or random.choice((2, 3, 4, 5, 6, 7, 8, 10))
    names = subjects(random, options, about.subject, count)
    given = values(random, about, count, options.words)
    row = random.choice(ROWS).replace("{n}", noun)
    facts = [s.Fact(about, who, what, noun) for who, what in zip(names, given, strict=True)]
    rows = [s.wrap(i, row.replace("{x}", fact.who).replace("{v}", fact.what)) for i, fact in enumerate(facts)]
    head = sentence(random.choice(HEADS).replace("{n}", noun).replace("{s}", plural(noun)))
    return head + "\n" + "\n".join(rows), facts


def records(random: Random, options: Options = TRAINING) -> Case:
    """A list of names and values, or a table; one value is looked up. There is one right answer."""
    if random.random() < 0.25 and not options.count:
        return table(random, options)
    context, facts = listed(random, options)
    chosen = random.randrange(len(facts))
    text, end = look_up(random, options, context, facts[chosen])
    return finish("records", text, [end] * len(facts), [fact.what for fact in facts], chosen)


def look_up(random: Random, options: Options, context: str, fact: s.Fact) -> tuple[str, str]:
    """The list with a question or a cue that one row answers, and the answer's closing."""
    draw = random.random()
    if draw < 0.15:
        return f"{context}\n\n{sentence(fact.noun)} of {fact.who}:", "."
    if draw < 0.5:
        style = s.general(random, fact, options.wordings, options.free)
        before, after = s.cue(fact, style)
        return f"{context}\n{before}", after + s.closing(random, fact, 0.4)
    wording = ASKS.pick(random, options.wordings).replace("{N}", fact.noun).replace("{X}", fact.who)
    return laid_out(random, context, wording), s.closing(random, fact, 0.4)


def table(random: Random, options: Options) -> Case:
    """Rows of people or things, columns of two or three relations; one cell is looked up."""
    kinds: list[Relation] = [relation(random, options, named=True)]
    while len(kinds) < random.choice((2, 2, 3)):
        other = relation(random, options, kinds[0].subject, named=True)
        if all(not set(other.noun.train) & set(kind.noun.train) for kind in kinds):
            kinds.append(other)
    nouns = [kind.noun.pick(random, options.wordings) for kind in kinds]
    count = random.choice((2, 3, 4, 5))
    names = subjects(random, options, kinds[0].subject, count)
    columns = [values(random, kind, count, options.words) for kind in kinds]
    gap = random.choice(GAPS)
    lines = [gap.join(("name", *nouns))]
    column, chosen = random.randrange(len(kinds)), random.randrange(count)
    for index, name in enumerate(names):
        lines.append(s.wrap(index, gap.join((name, *(column[index] for column in columns)))))
    fact = s.Fact(kinds[column], names[chosen], columns[column][chosen], nouns[column])
    text, end = look_up(random, options, "\n".join(lines), fact)
    return finish("records", text, [end] * count, columns[column], chosen)


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
        chances: tuple[float, ...] = ()
    else:
        wording, prior = PAIRS.pick(random, options.wordings).split("|")
        text = dress(random, s.place(wording.replace("^", ""), said), options, " ".join(said))
        chosen = 0 if random.random() < float(prior) else 1
        chances = (float(prior), 1 - float(prior))
    if random.random() < 0.6:
        text += random.choice((" ", "\n")) + random.choice(CAPITAL_CUES).replace("{X}", country)
    else:
        ask = random.choice(CAPITAL_ASKS).replace("{X}", country)
        text = laid_out(random, text, ask)
    ends = [f". Many people live in {v}." if random.random() < 0.5 else "." for v in told]
    return finish("override", text, ends, told, chosen, chances=chances)


def copying(random: Random) -> str:
    """A few words, invented ones among them, said more than once."""
    kinds = (
        "nonce_word",
        "nonce_name",
        "code",
        "number",
        "object",
        "animal",
        "city",
        "food",
        "person",
        "colour",
        "date",
    )

    def one() -> str:
        if random.random() < 0.3:
            return nonce(random)
        kind = random.choice(kinds)
        return grown(random, kind) if random.random() < 0.2 else value(random, kind)

    text = random.choice((" ", " ", ", ", "; ", "\n")).join(one() for _ in range(random.randint(3, 12)))
    return random.choice(AGAIN).replace("{t}", text).replace("{p}", person(random))
