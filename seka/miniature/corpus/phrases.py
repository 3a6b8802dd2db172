"""Values of several words, made from the classes of words.txt, so that whole answers of two to five words are common."""

from __future__ import annotations

from random import Random

from seka.miniature.corpus import sentences as s
from seka.miniature.corpus.world import Relation, article, nonce, split_words, value, words

#: How a value of a class may grow. {V} and {W} are values of the class; other slots are classes of words.txt.
GROWTH = {
    "job": (
        "{adjective} {V}", "retired {V}", "former {V}", "{V} and {W}", "{V} from {city}", "night {V}",
        "{V} for {last} and sons", "{V} at the {place}", "{adjective} {V} and {W}",
    ),
    "food": (
        "{V} with {W}", "{V} and {W}", "cold {V}", "{V} with {W} and {food}", "warm {V}",
        "{V} from the {place}",
    ),
    "drink": ("{V} with {W}", "cold {V}", "{V} and {W}", "{V} from {city}"),
    "city": ("{V} and {W}", "old {V}", "the {colour} house in {V}", "the south of {V}", "{V} near {W}"),
    "country": ("the north of {V}", "{V} and {W}", "the hills of {V}", "the west of {V}"),
    "place_name": ("New {V}", "{V} Hill", "Port {V}", "{V} near {city}", "Saint {V}", "{V} on the river"),
    "person": ("{V} and {W}", "old {V}", "{V} from {city}", "Doctor {V}", "Captain {V}", "{V} the {job}"),
    "first": ("{V} {last}", "Little {V}", "{V} the {adjective}", "Old {V}"),
    "nonce_name": ("{V} {W}", "Old {V}", "{V} the {adjective}", "King {V}"),
    "nonce_word": ("{V} {W}", "{V} {W} {nonce_word}", "{adjective} {V}"),
    "colour": ("{V} and {W}", "{V} with {W} spots", "{V} and {adjective}"),
    "material": ("{V} and {W}", "{adjective} {V}", "{V} from {country}"),
    "object": ("{adjective} {V}", "{colour} {V}", "{adjective} {colour} {V}", "{V} and {W}", "{V} of {material}"),
    "modified": ("{V} of {material}", "{V} from {city}", "{V} with {adjective} {object}"),
    "animal": ("{adjective} {V}", "{adjective} {colour} {V}", "{V} from {country}", "{V} and {W}"),
    "plant": ("{adjective} {V}", "{V} from {country}", "{adjective} old {V}"),
    "game": ("{V} and {W}", "{V} with {first}"),
    "hobby": ("{V} and {W}", "{V} with {first}", "{V} at night"),
    "subject": ("{V} and {W}", "the history of {V}", "{V} in {city}"),
    "language": ("{V} and {W}", "old {V}", "a little {V}"),
    "feeling": ("{V} and {W}", "very {V}", "{V} but {W}", "a little {V}"),
    "weather": ("{V} and {W}",),
    "place": ("{adjective} {V}", "{V} of {city}", "{adjective} old {V}", "{V} near {city}"),
    "day": ("{V} morning", "{V} evening", "{V} at {time}"),
    "date": ("{V} at {time}",),
    "coined": ("{adjective} {V}", "{V} and {W}", "{colour} {V}", "{V} of {material}"),
    "coined_name": ("{V} and {W}", "old {V}", "{V} {last}"),
    "code": ("{V} {W}", "{V}-{W}"),
}  # fmt: skip


def grown(random: Random, kind: str, held: bool = False) -> str:
    """A value of a class in several words where the class knows how to grow."""
    first = value(random, kind, held)
    if kind not in GROWTH:
        return first
    text = random.choice(GROWTH[kind]).replace("{V}", first)
    while "{" in text:
        slot = text[text.index("{") + 1 : text.index("}")]
        drawn = value(random, kind, held) if slot == "W" else _other(random, slot)
        if drawn not in text:
            text = text.replace("{" + slot + "}", drawn, 1)
    return text


def _other(random: Random, slot: str) -> str:
    if slot in ("nonce_word", "time"):
        return nonce(random) if slot == "nonce_word" else f"{random.randint(1, 12)} o'clock"
    return random.choice(words(slot) if slot == "adjective" else split_words(slot, False))


def values(random: Random, relation: Relation, count: int, held: bool = False) -> list[str]:
    """Different values of a relation, of one word or, about as often as not, of several."""
    kind = random.choice(relation.classes)
    if kind not in GROWTH or random.random() < 0.55:
        return s.draw_values(random, relation, count, held)
    found: list[str] = []
    for _ in range(200):
        drawn = grown(random, kind, held)
        if found and article(drawn) != article(found[0]):
            continue
        if all(drawn[:3].lower() != other[:3].lower() and drawn not in other and other not in drawn for other in found):
            found.append(drawn)
        if len(found) == count:
            return found
    return s.draw_values(random, relation, count, held)
