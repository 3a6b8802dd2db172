"""The open classes: entries of verbs.txt and nouns.txt, the forms of a verb, and which of them are kept for evaluation."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from seka.miniature.corpus.lexicon import VOWELS, held_out, sections

SHARE = 0.12
"""Share of verbs (by base form) and nouns that are kept for evaluation, but for EVERYDAY."""
EVERYDAY = frozenset((
    *("admire", "brand", "break", "contact", "crown", "designer", "explain", "face", "first word", "flatmate"),
    *("forgive", "freeze", "give", "goal", "greeting", "habit", "hand", "help", "introduce", "invent"),
    *("keeper", "kick", "kind", "label", "measure", "origin", "peek", "produce", "propose", "pupil"),
    *("race", "recommend", "rent", "rival", "save", "show", "signature", "sleep", "study", "supervisor", "surprise"),
    *("toy", "trainer", "travel", "try", "type", "wish", "work", "write"),
))  # fmt: skip
"""Verbs and nouns that other sentences and lists of the corpus hold as well, so that training draws them in any case."""


@dataclass(frozen=True)
class Verb:
    """The forms of a verb, each with its preposition or particle; a `state` has no -ing form in statements."""

    base: str
    third: str
    past: str
    participle: str
    ing: str
    state: bool
    bare: bool
    """Without a preposition: it has a passive."""


def verb(entry: str) -> Verb:
    """A verb from an entry of verbs.txt: what is not given follows the rules."""
    forms, _, more = entry.lstrip("*").partition(" ")
    base, past, participle, ing = (*forms.split("/"), "", "", "")[:4]
    doubled = base + base[-1] if re.fullmatch(r"[^aeiou]*(qu)?[aeiou][^aeiouwxy]|.*[^e]el", base) else base
    past = past or (base + "d" if base[-1] == "e" else base[:-1] + "ied" if _soft(base) else doubled + "ed")
    third = base[:-1] + "ies" if _soft(base) else base + ("es" if re.search(r"(s|x|z|sh|ch|o)$", base) else "s")
    plain = base[:-1] if base[-1] == "e" and base[-2:] not in ("ee", "oe", "ye") else doubled
    found = (base, third, past, participle or past, ing or plain + "ing")
    a, b, c, d, e = (f"{form} {more}".strip() for form in found)
    return Verb(a, b, c, d, e, state=entry.startswith("*"), bare=not more)


def _soft(base: str) -> bool:
    """Whether a final y becomes i."""
    return base[-1] == "y" and base[-2] not in VOWELS


def kept(word: str) -> bool:
    """Whether a verb's base form or a noun is kept for evaluation."""
    return held_out(word, SHARE) and word not in EVERYDAY


@functools.cache
def kept_forms() -> dict[str, frozenset[str]]:
    """{verb or noun that is kept: its forms}, verbs without their prepositions, nouns with a plural."""
    found: dict[str, frozenset[str]] = {
        noun: frozenset((noun, noun + "s")) for _, _, noun in entries("nouns.txt", True)
    }
    for _, _, entry in entries("verbs.txt", True):
        v = verb(entry)
        forms = frozenset(form.split()[0] for form in (v.base, v.third, v.past, v.participle, v.ing))
        found[v.base.split()[0]] = found.get(v.base.split()[0], frozenset()) | forms
    return found


@functools.cache
def entries(file: str, held: bool) -> tuple[tuple[str, str, str], ...]:
    """(kind of subject, kind of value, entry) of every verb or noun on one side of the split."""
    found = []
    for heading, listed in sections(file).items():
        subject, kind = heading.split(" : ")
        for entry in listed:
            word = entry if file == "nouns.txt" else re.split("[/ ]", entry.lstrip("*"))[0]
            if kept(word) == held:
                found.append((subject, kind, entry))
    return tuple(found)
