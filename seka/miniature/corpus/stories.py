"""Text without a question: little stories, plain facts and single statements."""

from __future__ import annotations

import functools
from random import Random

from seka.miniature.corpus import sentences as s
from seka.miniature.corpus.world import article, held_out, person, sentence, split_words, value, words

BEGIN = (
    "One morning {X} found {aO} in the {P}.",
    "Last {D}, {X} lost {aO} near the {P}.",
    "{X} and {Y} were walking to the {P}.",
    "Once there was {aA} called {X}.",
    "It was a cold day in {M}, and {X} was {F}.",
    "{X} lived in a small house near the {P}.",
    "There was {aO} in the {P}, and {X} wanted it.",
    "{X} had a secret: {aO} under the bed.",
    "Nobody in town had ever seen {aA}, and {X} had not seen one either.",
    "On the first day of {M}, a letter for {X} arrived at the {P}.",
    "{X} could not sleep because of the noise in the {P}.",
    "Every {D}, {X} and {Y} met at the {P}.",
    "When {X} was young, there was {aA} in every {P}.",
    "{X} wanted to buy {aO} for {Y}.",
)
MIDDLE = (
    "{X} took the {O} to {Y}.",
    "{Y} said that the {O} belonged to {Z}.",
    "{X} looked behind the {P}, but there was nothing.",
    '"Where is the {O}?" asked {Y}.',
    '"It is in the {Q}," said {X}.',
    "Then {X} went to the {Q} and waited.",
    "{Y} was {F}, and so was {X}.",
    "In the {Q} there was {aA} with a {C} ribbon.",
    "The {A} did not like the {O} at all.",
    "{Z} came by and asked for {E}.",
    "{X} gave {Y} some {E}, and they sat down.",
    "{Y} laughed and pointed at the {A}.",
    "They carried the {O} all the way to the {Q}.",
    "But the {A} was faster than {X}.",
    "{X} put the {O} into {aB}.",
    "It began to rain, and {Y} opened an umbrella.",
    '"Do not worry," said {Z}, "the {A} will come back."',
    "After an hour {X} was tired of waiting.",
    "The door of the {Q} was open, and a {C} light came from inside.",
    "{Y} counted to ten and looked around.",
    "Nobody knew how the {O} had come to the {P}.",
    "{Z} had heard a story about {aA} and {aO}.",
    "{X} asked {Y} for help, and {Y} said yes at once.",
    '"I have never liked {E}," said {Y}.',
    "There was a hole in {aB}, and the {O} was gone.",
    "The {A} ran from the {P} to the {Q} and back again.",
    "{Z} only shook hands and said nothing.",
    "Late at night they could still hear the {A}.",
    "{X} wrote the number on a piece of paper and gave it to {Z}.",
    "A child had painted the {O} {C}.",
    "{Y} thought about it for a while.",
    "In {M} the {P} is always full of people.",
    "They shared the last of the {E} with the {A}.",
    "{X} slipped and fell, but it did not hurt.",
    '"Look at this!" cried {X} and held up the {O}.',
    "On the way they met {Z}, who was {F} that day.",
    "The road to the {Q} was long and dusty.",
    "{Y} sang an old song, and {Z} danced to it.",
)
END = (
    "In the evening {X} and {Y} ate {E} and were {F}.",
    "From then on the {O} stayed in the {Q}.",
    "{Z} thanked {X} for the {O}.",
    "And so {X} went home.",
    "{Y} never forgot that day in the {P}.",
    "The {A} and {X} became friends.",
    "{X} still has the {O}.",
    "Nobody has seen the {A} since.",
    "At last everybody was {F} and went to bed.",
    '"Let us do that again," said {Y}.',
    "That is how the {O} came to the {Q}.",
    "The next day they laughed about it.",
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
PLAIN = (
    "The capital of {X} is {V}.",
    "{V} is the capital of {X}.",
    "{X} has its capital in {V}.",
    "What is the capital of {X}? {V}.",
    "{X}'s capital is {V}.",
)


@functools.cache
def capitals() -> tuple[tuple[str, str], ...]:
    """(country, capital) pairs that are true in our world as well, none of them held out."""
    pairs = (pair.split("=") for pair in words("capital"))
    return tuple((country, city) for country, city in pairs if not held_out(country) and not held_out(city))


def slots(random: Random) -> dict[str, str]:
    """Three people and a handful of things for the sentences of one story."""
    names: list[str] = []
    while len(names) < 3:
        name = person(random)
        if all(part not in " ".join(names) for part in name.split()):
            names.append(name)
    thing, animal = value(random, "object"), value(random, "animal")
    box = random.choice(("box", "bag", "basket", "drawer"))
    first = value(random, "place")
    other = value(random, "place")
    while other == first:
        other = value(random, "place")
    found = dict(zip("XYZ", names, strict=True)) | {"O": thing, "A": animal, "P": first, "Q": other}
    found |= {f"a{key}": f"{article(word)} {word}" for key, word in (("O", thing), ("A", animal), ("B", box))}
    found |= {"D": random.choice(words("day")[:7]), "M": random.choice(words("month"))}
    return found | {"F": value(random, "feeling"), "C": value(random, "colour"), "E": value(random, "food")}


def story(random: Random, longest: int = 8) -> str:
    """Four to ten sentences about the same people and things."""
    filled = slots(random)
    lines = [random.choice(BEGIN), *random.sample(MIDDLE, random.randint(2, longest)), random.choice(END)]
    return " ".join(sentence(line.format(**filled)) for line in lines)


def filler(random: Random) -> str:
    """One sentence of a story, which speaks to no question."""
    return sentence(random.choice((*BEGIN, *MIDDLE, *END)).format(**slots(random)))


def plain_fact(random: Random) -> str:
    """Something that is always true: a capital, or what kind of thing a word is."""
    if random.random() < 0.6:
        country, city = random.choice(capitals())
        return random.choice(PLAIN).replace("{X}", country).replace("{V}", city)
    kind = random.choice(sorted(KINDS))
    word = random.choice(split_words(kind, False) or words(kind))
    return sentence(f"{word} is {KINDS[kind]}.")


def statements(random: Random) -> str:
    """One to three statements that have nothing to do with each other."""
    said = [s.state(random, s.draw_fact(random)) for _ in range(random.choice((1, 1, 2, 3)))]
    return ". ".join(map(sentence, said)) + "."
