"""More pairs of instructions that cannot both be followed: words to copy, names to put in, forms of an answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from seka.miniature.corpus import sentences as s
from seka.miniature.corpus.asking import TRAINING, Case, Options, bare, new_fact, someone, style_of
from seka.miniature.corpus.instructions import (
    DIGITS,
    SIGNS,
    Task,
    choice,
    compete,
    deed,
    ending,
    opening,
    phrase,
    pronouns,
    signature,
    two,
)
from seka.miniature.corpus.phrases import grown
from seka.miniature.corpus.rules import HELLOS, ORDERS
from seka.miniature.corpus.stories import filler
from seka.miniature.corpus.world import article, person, sentence, value

NOUN = re.compile(r"(?:the|some) ([a-z]+)(?: in| near| with| without| for|$)")
"""A noun of one word in a sentence of `deed`."""


def ended(asked: tuple[str, str], wording: str = "{v}.") -> tuple[str, str]:
    """Two outputs of one wording."""
    return wording.replace("{v}", asked[0]), wording.replace("{v}", asked[1])


def quote(random: Random, options: Options = TRAINING) -> Case:
    """Which words to repeat: a few of any kind, or what somebody did."""

    def draw() -> str:
        if random.random() < 0.3:
            return deed(random, person(random, options.words))
        return " ".join(phrase(random, options) for _ in range(random.choice((1, 1, 2, 3))))

    asked = two(draw)
    return compete(random, options, "quote", Task(asked, ended(asked), random.choice(("Reply:", "Answer:", "Copy:"))))


def yesno(random: Random, options: Options = TRAINING) -> Case:
    """Which word stands for yes, or for no."""
    fact = new_fact(random, options)
    style = style_of(random, fact, options)
    while ":" in style.words:
        style = style_of(random, fact, options)
    said = bare(fact, style)
    true = random.random() < 0.6
    other = fact
    while not true and (other.what == fact.what or article(other.what) != article(fact.what)):
        drawn = new_fact(random, options, fact.relation, fact.who)
        other = s.Fact(fact.relation, fact.who, drawn.what, fact.noun)
    question = f"Is it true that {bare(other, style)}?"
    asked = two(lambda: phrase(random, options))
    body = f"{sentence(said)}. {question}"
    return compete(random, options, "yesno", Task(asked, ended(asked), "Answer:", body, {"y": "yes" if true else "no"}))


def replace_word(random: Random, options: Options = TRAINING) -> Case:
    """By which word another one in a sentence is to be replaced."""
    asked = two(lambda: phrase(random, options))
    while True:
        text = sentence(deed(random, person(random, options.words)))
        found = NOUN.search(text)
        if found and text.count(found[1]) == 1 and not any(a in text or found[1] in a for a in asked):
            break
    outputs = ended(asked, text[: found.start(1)] + "{v}" + text[found.end(1) :] + ".")
    label = random.choice(("Rewritten:", "New text:", "Result:"))
    return compete(random, options, "replace", Task(asked, outputs, label, text + ".", {"X": found[1]}))


def title(random: Random, options: Options = TRAINING) -> Case:
    """Two titles for a text."""

    def draw() -> str:
        if random.random() < 0.4:
            return "The " + value(random, "modified", options.words).title()
        return " ".join(word.capitalize() for word in phrase(random, options).split())

    asked = two(lambda: draw().removeprefix("The The "))
    body = " ".join(filler(random) for _ in range(random.choice((1, 2, 3))))
    return compete(random, options, "title", Task(asked, ended(asked), random.choice(("Title:", "Heading:")), body))


def greeting(random: Random, options: Options = TRAINING) -> Case:
    """Two ways to greet somebody."""
    who = person(random, options.words)
    asked = two(lambda: random.choice(HELLOS) if random.random() < 0.6 else phrase(random, options).lower())
    outputs = ended(asked, "{v}, " + who + ".")
    return compete(random, options, "greeting", Task(asked, outputs, "Reply:", "", {"X": who}))


def order(random: Random, options: Options = TRAINING) -> Case:
    """Two orders, and a report of the one that was carried out."""
    wording, kind, report = random.choice(ORDERS)
    many = random.random() < 0.4 and kind not in ("place", "day")
    asked = two(lambda: grown(random, kind, options.words) if many else value(random, kind, options.words))
    fixed = {"O": value(random, "object"), "A": value(random, "animal"), "P": value(random, "place")}
    fixed["X"] = someone(random, options, " ".join(asked))
    for slot, word in fixed.items():
        wording, report = wording.replace("{" + slot + "}", word), report.replace("{" + slot + "}", word)
    orders = (wording.replace("{v}", asked[0]), wording.replace("{v}", asked[1]))
    label = random.choice(("", "Report: ", "Done: ")) + report
    return compete(random, options, "order", Task(orders, ended(asked), label, given=asked))


def language(random: Random, options: Options = TRAINING) -> Case:
    """Two languages for a reply, which begins with the language's name."""
    asked = two(lambda: value(random, "language", options.words))
    label = random.choice(("Language:", "The reply in", "Translated into"))
    wording = "{v}." if label == "Language:" else "{v} follows."
    return compete(random, options, "language", Task(asked, ended(asked, wording), label, filler(random)))


def number(random: Random, options: Options = TRAINING) -> Case:
    """A number in digits or in words."""
    size = random.randrange(len(DIGITS))
    asked, outputs = ("digits", "words"), (f"{size + 1}.", f"{DIGITS[size]}.")
    who = person(random, options.words)
    body = (
        f"{who} has {random.choice((DIGITS[size], str(size + 1)))} {random.choice(('keys', 'books', 'coins', 'hats'))}."
    )
    if size == 0:
        body = f"The number of {who} is {random.choice((DIGITS[0], '1'))}."
    if random.random() < 0.5:
        asked, outputs = asked[::-1], outputs[::-1]
    return compete(random, options, "number", Task(asked, outputs, "Number:", body))


def pick(random: Random, options: Options = TRAINING) -> Case:
    """Which word of a list to say: the first, the second, the last."""
    items = list(two(lambda: phrase(random, options)))
    while len(items) < random.choice((2, 3, 4)):
        drawn = phrase(random, options)
        if all(drawn[:2].lower() != item[:2].lower() and drawn not in item and item not in drawn for item in items):
            items.append(drawn)
    spots = {"first": 0, "last": len(items) - 1} | ({"second": 1} if len(items) > 2 else {})
    one, other = random.sample(sorted(spots), 2)
    outputs = (items[spots[one]] + ".", items[spots[other]] + ".")
    gap = random.choice((", ", "; ", "\n"))
    task = Task((one, other), outputs, "Reply:", gap.join(items) + ".")
    return compete(random, options, "pick", task)


def form(random: Random, options: Options = TRAINING) -> Case:
    """The bare value, or the whole sentence."""
    fact = new_fact(random, options)
    said = sentence(bare(fact, style_of(random, fact, options)))
    asked, outputs = ("the bare answer", "a whole sentence"), (fact.what + ".", said + ".")
    if said.startswith(fact.what[:2]) or fact.what[:2].lower() == said[:2].lower():
        return form(random, options)
    if random.random() < 0.5:
        asked, outputs = asked[::-1], outputs[::-1]
    body = f"{said}. {s.ask(random, fact, options.wordings, options.free)}"
    return compete(random, options, "form", Task(asked, outputs, "Answer:", body))


def bullet(random: Random, options: Options = TRAINING) -> Case:
    """The sign before every line of a list."""
    first, second = random.sample(SIGNS, 2)
    while first[0] == second[0]:
        first, second = random.sample(SIGNS, 2)
    items = [phrase(random, options) for _ in range(random.choice((2, 3, 4)))]
    outputs = tuple("\n ".join(f"{sign} {item}" for item in items) + "." for sign in (first, second))
    body = ", ".join(items) + "."
    return compete(random, options, "bullet", Task((first, second), (outputs[0], outputs[1]), "List:\n", body))


def unit(random: Random, options: Options = TRAINING) -> Case:
    """In what a price is counted."""
    asked = two(lambda: value(random, "nonce_word", options.words) + random.choice(("s", "")))
    noun, price = value(random, "object", options.words), random.randint(2, 400)
    body = f"The {noun} costs {price}."
    outputs = (f"{price} {asked[0]}.", f"{price} {asked[1]}.")
    return compete(random, options, "unit", Task(asked, outputs, random.choice(("Price:", "Answer:")), body))


INSTRUCTIONS: dict[str, Callable[[Random, Options], Case]] = {
    "opening": opening,
    "ending": ending,
    "signature": signature,
    "pronouns": pronouns,
    "choice": choice,
    "quote": quote,
    "yesno": yesno,
    "replace": replace_word,
    "title": title,
    "greeting": greeting,
    "order": order,
    "language": language,
    "number": number,
    "pick": pick,
    "form": form,
    "bullet": bullet,
    "unit": unit,
}
"""Every kind of instruction by its name."""
WORKED_OUT = ("choice", "number", "pick", "form")
"""Kinds that say how to find what to write, and do not hold a word of it."""


def instructions(random: Random, options: Options = TRAINING) -> Case:
    """Two instructions of any kind."""
    return INSTRUCTIONS[random.choice(sorted(INSTRUCTIONS))](random, options)
