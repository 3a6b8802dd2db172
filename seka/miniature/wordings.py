"""Wordings that put statements beside each other, and the chance with which the corpus then goes by one of them.

{a} is a statement as it stands inside a sentence, {A} as it begins one; {P} and {Q} are people.
"""

from __future__ import annotations

from seka.miniature.world import Wordings

#: Two statements, "|", and the chance of the first.
PAIRS = Wordings(
    (
        "Previously {a}. Currently {b}.|0.35",
        "Previously, {a}. Currently, {b}.|0.35",
        "Some say {a}, others say {b}.|0.5",
        "Some say that {a}. Others say that {b}.|0.5",
        "In the past {a}. Now {b}.|0.3",
        "{A}. {B}.|0.45",
        "According to one report, {a}. According to another, {b}.|0.6",
        "The old list says: {A}. The new list says: {B}.|0.4",
        "At first {a}. Later {b}.|0.35",
        "{A}. However, {b}.|0.35",
        "{A}. No, {b}.|0.3",
        "- {A}.\n- {B}.|0.55",
        "First note: {A}.\nSecond note: {B}.|0.6",
        "On Monday {a}. On Friday {b}.|0.4",
        "{A}. Or perhaps {b}.|0.65",
        "Last year {a}. This year {b}.|0.3",
        "One witness says that {a}, but another one says that {b}.|0.55",
        "It is written that {a}. It is also written that {b}.|0.6",
        "{A}.\n{B}.|0.5",
        "Page 1: {A}.\nPage 2: {B}.|0.55",
        "{P} says that {a}. {Q} says that {b}.|0.5",
        "{P}: {A}.\n{Q}: {B}.|0.5",
        "Either {a} or {b}.|0.55",
        "It used to be said that {a}. Today it is said that {b}.|0.35",
        "{A}. Before that, {b}.|0.65",
        "{A}. Once upon a time {b}.|0.7",
    ),
    (
        "Years ago {a}. These days {b}.|0.35",
        "My notes say that {a}. Your notes say that {b}.|0.5",
        "{A}. Then again, {b}.|0.5",
        "Rumour one: {A}.\nRumour two: {B}.|0.5",
        "The letter claims that {a}. The postcard claims that {b}.|0.5",
    ),
)
#: Up to five statements, what stands between them, and a lean: below 1 to late ones, above 1 to early ones.
LISTS = (
    (("{A}.", "{B}.", "{C}.", "{D}.", "{E}."), " ", 0.8),
    (("Some say {a},", "some say {b},", "some say {c},", "some say {d},", "and some say {e}."), " ", 1.0),
    (("1. {A}.", "2. {B}.", "3. {C}.", "4. {D}.", "5. {E}."), "\n", 1.3),
    (("- {A}.", "- {B}.", "- {C}.", "- {D}.", "- {E}."), "\n", 1.0),
    (("First {a}.", "Then {b}.", "Then {c}.", "Then {d}.", "Then {e}."), " ", 0.7),
    (
        (
            "One book says that {a}.",
            "Another says that {b}.",
            "A third says {c}.",
            "A fourth says {d}.",
            "A fifth says {e}.",
        ),
        " ",
        1.2,
    ),
    (("{A}.", "{B}.", "{C}.", "{D}.", "{E}."), "\n", 0.9),
)
#: A sentence that names another line of work than the real one, and the chance of the real one.
DISTRACTORS = (
    ("{X} once wanted to be {v}.", 0.6),
    ("{X}'s brother works as {v}.", 0.6),
    ("{X}'s best friend is {v}.", 0.55),
    ("In a film {X} once played {v}.", 0.55),
    ("A neighbour believes that {X} is {v}.", 0.45),
    ("Many people think that {X} is {v}.", 0.4),
    ("At a party {X} was mistaken for {v}.", 0.5),
    ("Last week {X} met {v}.", 0.6),
    ("According to an old paper {X} is {v}.", 0.4),
)
