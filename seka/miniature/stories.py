"""Text without a question: little stories, plain facts and single statements."""

from __future__ import annotations

from random import Random

from seka.miniature import sentences as s
from seka.miniature.records import capitals
from seka.miniature.world import article, person, sentence, split_words, value, words

BEGIN = (
    "One morning {X} found {aO} in the {P}.",
    "Last {D}, {X} lost {aO} near the {P}.",
    "{X} and {Y} were walking to the {P}.",
    "Once there was {aA} called {X}.",
    "It was a cold day in {M}, and {X} was {F}.",
    "{X} lived in a small house near the {P}.",
    "There was {aO} in the {P}, and {X} wanted it.",
    "{X} had a secret: {aO} under the bed.",
)
MIDDLE = (
    "{X} took the {O} to {Y}.",
    "{Y} said that the {O} belonged to {Z}.",
    "{X} looked behind the {P}, but there was nothing.",
    '"Where is the {O}?" asked {Y}.',
    '"It is in the {Q}," said {X}.',
    "Then {X} went to the {Q} and waited.",
    "{Y} was {F}, and so was {X}.",
    "In the {Q} there was {aA} with a {C} hat.",
    "The {A} did not like the {O} at all.",
    "{Z} came by and asked for {E}.",
    "{X} gave {Y} some {E}, and they sat down.",
    "{Y} laughed and pointed at the {A}.",
    "They carried the {O} all the way to the {Q}.",
    "But the {A} was faster than {X}.",
    "{X} put the {O} into {aB}.",
)
END = (
    "In the evening {X} and {Y} ate {E} and were {F}.",
    "From then on the {O} stayed in the {Q}.",
    "{Z} thanked {X} for the {O}.",
    "And so {X} went home.",
    "{Y} never forgot that day in the {P}.",
    "The {A} and {X} became friends.",
    "{X} still has the {O}.",
)
KINDS = {
    "animal": "an animal",
    "colour": "a colour",
    "instrument": "an instrument",
    "city": "a city",
    "country": "a country",
    "drink": "a drink",
    "month": "a month",
    "plant": "a plant",
    "language": "a language",
    "vehicle": "a vehicle",
    "game": "a game",
}


def story(random: Random) -> str:
    """Four to nine sentences about the same people and things."""
    thing, animal, box = (
        value(random, "object"),
        value(random, "animal"),
        random.choice(("box", "bag", "basket", "drawer")),
    )
    slots = {"X": person(random), "Y": person(random), "Z": person(random)}
    slots |= {"O": thing, "aO": f"{article(thing)} {thing}", "A": animal, "aA": f"{article(animal)} {animal}"}
    slots |= {"aB": f"{article(box)} {box}", "P": value(random, "place"), "Q": value(random, "place")}
    slots |= {"D": random.choice(words("day")), "M": random.choice(words("month"))}
    slots |= {"F": value(random, "feeling"), "C": value(random, "colour"), "E": value(random, "food")}
    lines = [random.choice(BEGIN), *random.sample(MIDDLE, random.randint(2, 7)), random.choice(END)]
    return " ".join(line.format(**slots) for line in lines)


def plain_fact(random: Random) -> str:
    """Something that is always true: a capital, or what kind of thing a word is."""
    if random.random() < 0.6:
        country, city = random.choice(capitals())
        wording = random.choice(("The capital of {X} is {V}.", "{V} is the capital of {X}.", "{X} has its capital in {V}.",
                                 "What is the capital of {X}? {V}.", "{X}'s capital is {V}."))  # fmt: skip
        return wording.replace("{X}", country).replace("{V}", city)
    kind = random.choice(sorted(KINDS))
    word = random.choice(split_words(kind, False) or words(kind))
    return sentence(f"{word} is {KINDS[kind]}.")


def statements(random: Random) -> str:
    """One to three statements that have nothing to do with each other."""
    lines = [
        sentence(s.state(random, s.draw_fact(random))) + random.choice(s.TAILS)
        for _ in range(random.choice((1, 1, 2, 3)))
    ]
    return ". ".join(lines) + "."
