"""Values that can only be copied: invented words of many shapes, blends, names, codes, figures and longer phrases.

A tenth of them (by hash of the whole or of any longer part) is kept for evaluation, as with the known words.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from random import Random

from seka.miniature.corpus.lexicon import held_out, split_words, unaccented, words

LETTERS = string.ascii_lowercase
ACCENTED = {
    "a": "áàâäãåąæ", "c": "çćč", "d": "ďđ", "e": "éèêëęě", "g": "ğģ", "i": "íìîï", "l": "łľ", "n": "ñńň", "o": "óòôöõøő",
    "r": "řŕ", "s": "śšşß", "t": "ťþ", "u": "úùûüůű", "y": "ýÿ", "z": "źżž",
}  # fmt: skip
SCRIPTS = (
    *("αβγδεζηθικλμνξοπρστυφχψω", "абвгдежзийклмнопрстуфхцчшщыьэюя", "אבגדהוזחטיכלמנסעפצקרשת", "ابتجحدرسشصعفقكلمنهوي"),
    *("アイウエオカキクケコサシスセソタチツテトナニヌネノ", "あいうえおかきくけこさしすせそたちつてと"),
    "अआइईउऊकखगघचछजटडतदनपबमयरलवसह",
    *("".join(map(chr, range(0x4E00, 0x9FA0))), "".join(map(chr, range(0xAC00, 0xD7A0)))),
    "".join(map(chr, (*range(0x1F300, 0x1F5FF), *range(0x1F600, 0x1F64F)))), "€£°§→✓★…•№½²",
)  # fmt: skip
"""Alphabets, syllables, characters and signs that a visitor may type; a word of one of them can only be copied."""
ROUGH = re.compile(r"fu[ck]|shit|c+[uo]nt|nig|fag|rap[ei]|naz|slut|who?r|d[iy]c?k|coc?k|p[ui]ss|porn|anal|tit|cum|sex|kkk|"
                   r"jew|go+k|kik|spic|pak|homo|retar|twat|wank|bast|piss|poo|kill|dea[td]h?")  # fmt: skip
"""Pieces that an invented word does without, so that chance offends nobody."""
FAMILIAR = ("object", "animal", "food", "job", "place", "material", "game", "plant", "city", "instrument")
"""Classes whose words are taken apart and put together."""
STARTS = ("un", "re", "mis", "over", "under", "pre", "out", "sub", "super", "mini", "anti", "half-", "non-")
ENDS = ("ness", "ing", "er", "ish", "ment", "ful", "less", "let", "dom", "hood", "ette", "ist", "ology", "wise", "ship")
BEFORE = ("night", "rain", "sea", "snow", "moon", "street", "winter", "paper", "stone", "hand", "sun", "market", "wind")
ACCENTS, OTHER = 0.1, 0.05
"""Shares of invented words and names with accented letters, and of those in another script."""
UNITS = ("kilos", "metres", "miles", "litres", "coins", "euros", "points", "hours", "days", "steps", "pages", "grams")
COUNTS = ("two", "three", "four", "five", "six", "seven", "nine", "ten", "twelve", "a dozen", "hundred")
WHICH = ("the", "my", "our", "one", "every", "another", "this", "that")
LONG = (
    "{which} {adjective} {colour} {object}",
    "{which} {colour} {material} {object}",
    "{which} {adjective} {object} of {material}",
    "{which} {object} behind the {place}",
    "the second {object} on the left",
    "{which} {material} {object} from {city}",
    "my {relative}'s {adjective} {object}",
    "{which} {adjective} {animal} from {country}",
    "{which} {job} from {city}",
    "{which} road to {city}",
    "{which} {object} near the {place}",
    "{which} {nonce} of {city}",
    "{which} {adjective} {nonce}",
    "{food} with {food}",
    "{adjective} {food} from {city}",
    "{count} bags of {food}",
    "{count} cups of {drink}",
    "nothing but {food}",
    "half of the {food}",
    "a bag of {colour} {material}",
    "{colour} {material} from {country}",
    "{colour} and {colour} {material}",
    "{first} {first} {last}",
    "{first} the {adjective} {job}",
    "{last} and {last}",
    "{hobby} near the {place}",
    "{hobby} and {hobby}",
    "the history of {subject}",
    "{subject} and {game}",
    "{nonce} {nonce}",
    "{nonce} with {food}",
    "{nonce} and {nonce}",
)
"""Phrases of two to five words; a slot is a class of words.txt, or an invented word, or a small number in letters."""


def fits(text: str, held: bool) -> bool:
    """Whether an invented text belongs to one side of the split: in training neither it nor a part of it is held out."""
    parts = [part for part in re.findall(r"[^\W_]+", text) if len(part) > 2]
    return any(held_out(part) for part in (text, *parts)) == held and not ROUGH.search(unaccented(text.lower()))


def accented(random: Random, text: str) -> str:
    """The text with one to three of its letters replaced by accented ones."""
    places = [i for i, letter in enumerate(text) if letter.lower() in ACCENTED]
    for place in random.sample(places, min(len(places), random.choice((1, 1, 2, 3)))):
        drawn = random.choice(ACCENTED[text[place].lower()])
        text = text[:place] + (drawn.upper() if text[place].isupper() and drawn != "ß" else drawn) + text[place + 1 :]
    return text


def _foreign(random: Random) -> str:
    script = random.choice(SCRIPTS)
    return "".join(random.choice(script) for _ in range(random.randint(2, 6)))


def fresh(random: Random, make: Callable[[Random], str], held: bool) -> str:
    """What `make` draws, drawn again until it belongs to the side asked for."""
    while not fits(text := make(random), held):
        pass
    return text


def _syllables(random: Random) -> str:
    count = random.choice((1, 2, 2, 2, 3))
    parts = [random.choice(words("onset")) + random.choice(words("rhyme")) for _ in range(count)]
    return "".join(parts) + random.choice(("", *words("coda")))


def nonce(random: Random, held: bool = False) -> str:
    """An invented word of one to three syllables, lower case."""
    while True:
        word = _syllables(random)
        if len(word) > 2 and fits(word, held):
            return word


def digits(random: Random, count: int) -> str:
    """A number of so many digits, without a leading nought."""
    return str(random.randint(1, 9)) + "".join(random.choice(string.digits) for _ in range(count - 1))


def number(random: Random, held: bool = False) -> str:
    """A number of one to five digits; its digits are never held out, its value may be."""
    while True:
        value = digits(random, random.choice((1, 2, 2, 2, 3, 3, 4, 5)))
        if len(value) < 3 or held_out(value) == held:
            return value


def _code(random: Random) -> str:
    capital = random.choice(string.ascii_uppercase)
    word = nonce(random)
    return random.choice(
        (
            capital + random.choice(string.ascii_uppercase) + digits(random, 2),
            f"{capital}-{digits(random, random.choice((2, 3)))}",
            word.capitalize() + digits(random, random.choice((1, 2))),
            "".join(random.choice((c.upper(), c)) for c in word),
            "".join(random.choice(string.ascii_letters + string.digits) for _ in range(random.randint(4, 8))),
            f"{digits(random, 2)}-{capital}-{digits(random, 2)}",
            f"{word}_{digits(random, 2)}",
            f"{digits(random, 3)}/{capital.lower()}",
        )
    )


def code(random: Random, held: bool = False) -> str:
    """Letters and digits in mixed case, as in serial numbers and passwords."""
    return fresh(random, _code, held)


def _familiar(random: Random) -> str:
    """A single known word in lower case."""
    while " " in (word := random.choice(split_words(random.choice(FAMILIAR), False))):
        pass
    return word.lower()


def _blend(random: Random) -> str:
    one, two = _familiar(random), _familiar(random)
    return one[: random.randint(2, 4)] + two[-random.randint(2, 4) :]


def _derived(random: Random) -> str:
    word = _familiar(random) if random.random() < 0.6 else nonce(random)
    return random.choice(STARTS) + word if random.random() < 0.35 else word.removesuffix("e") + random.choice(ENDS)


def _compound(random: Random) -> str:
    second = random.choice(split_words(random.choice(("object", "job", "animal", "plant")), False))
    first = random.choice(BEFORE) if random.random() < 0.5 else _familiar(random)
    return first + random.choice((" ", " ", "-", "")) + second


def _letters(random: Random) -> str:
    return "".join(random.choice(LETTERS) for _ in range(random.randint(3, 8)))


def _coined(random: Random) -> str:
    if random.random() < OTHER:
        return _foreign(random)
    text = random.choice((_syllables, _syllables, _blend, _blend, _derived, _compound, _letters))(random)
    return accented(random, text) if random.random() < ACCENTS else text


def coined(random: Random, held: bool = False) -> str:
    """An invented common noun: syllables, a blend, a derived or compound word, or bare letters."""
    while len((text := fresh(random, _coined, held)).encode()) < 3:
        pass
    return text


def _name(random: Random) -> str:
    first = random.choice(split_words("first", False))
    one, two = _syllables(random).capitalize(), _blend(random).capitalize()
    shapes = (one, one, two, two, f"{one} {two}", f"{first} {random.choice(split_words('first', False))} {one}",
              f"{first} {two}", f"{one}-{two}", f"O'{one}", f"Mc{one}", f"{first} van {one}", f"{first} de {two}",
              f"Mr {two}", f"Mrs {one}", f"{random.choice(string.ascii_uppercase)} {one}", f"{one} {two} {first}",
              one.upper() if len(one) < 5 else one, _letters(random).capitalize())  # fmt: skip
    if random.random() < OTHER:
        return _foreign(random)
    text = random.choice(shapes)
    return accented(random, text) if random.random() < ACCENTS else text


def coined_name(random: Random, held: bool = False) -> str:
    """A name that nobody knows, in one of many shapes."""
    while len((text := fresh(random, _name, held)).encode()) < 3:
        pass
    return text


def _clock(random: Random) -> str:
    hour, minute = random.randint(1, 12), random.randint(0, 59)
    plain = f"{hour}:{minute:02}"
    return random.choice((f"{hour} o'clock", f"{hour + 12}:{minute:02}", f"{plain} pm", f"{plain} am", f"{hour} pm"))


def _day(random: Random) -> str:
    month, day, year = random.choice(words("month")), random.randint(1, 28), random.randint(1900, 2060)
    ending = {1: "st", 2: "nd", 3: "rd"}.get(day % 10 if day not in (11, 12, 13) else 0, "th")
    iso = f"{year}-{words('month').index(month) + 1:02}-{day:02}"
    return random.choice((f"{day} {month}", f"{month} {day}", f"{month} {day}{ending}", f"{day} {month} {year}", iso))


def clock(random: Random, held: bool = False) -> str:
    """A time of day."""
    return fresh(random, _clock, held)


def day(random: Random, held: bool = False) -> str:
    """A date in one of several notations."""
    return fresh(random, _day, held)


def _measure(random: Random) -> str:
    count = digits(random, random.choice((1, 2, 2, 3)))
    decimal = f"{count}.{random.randint(1, 9)}"
    thousands = f"{digits(random, 2)},{random.randint(0, 999):03}"
    unit = random.choice(UNITS)
    return random.choice((f"{int(count) + 1} {unit}", f"{decimal} {unit}", decimal, thousands, f"{count}%"))


def figure(random: Random, held: bool = False) -> str:
    """A number with its unit, a decimal, a date, a time or a code."""
    make = random.choice((_measure, _measure, _measure, _day, _clock, _code))
    return fresh(random, make, held)


def phrase(random: Random, held: bool = False) -> str:
    """A value of two to five words."""
    text = random.choice(LONG)
    while found := re.search(r"\{(\w+)\}", text):
        kind = found[1]
        if kind == "nonce":
            drawn = nonce(random, held)
        elif kind == "count":
            drawn = random.choice(COUNTS)
        elif kind == "which":
            drawn = random.choice(WHICH)
        else:
            drawn = random.choice(split_words(kind, held and kind not in ("adjective", "relative")))
        if drawn not in text:
            text = text.replace(found[0], drawn, 1)
    return text
