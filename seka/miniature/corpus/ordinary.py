"""Contrastive triplets in ordinary English for any model: real names, real words, questions that fit their statements."""

from __future__ import annotations

from random import Random

from seka.miniature.corpus.lexicon import split_words
from seka.miniature.corpus.world import fill
from seka.triplets import Triplet

#: Class of the value, statement, question.
PAIRED = (
    ("job", "works as {a} {V}", "What does {X} work as?"),
    ("job", "earns a living as {a} {V}", "What does {X} do for a living?"),
    ("game", "plays {V} every weekend", "Which game does {X} play every weekend?"),
    ("instrument", "plays the {V} in a small band", "Which instrument does {X} play?"),
    ("food", "had {V} for lunch", "What did {X} have for lunch?"),
    ("food", "likes to cook {V}", "What does {X} like to cook?"),
    ("drink", "ordered {V} at the bar", "What did {X} order at the bar?"),
    ("city", "lives in {V}", "In which city does {X} live?"),
    ("city", "was born in {V}", "Where was {X} born?"),
    ("city", "took the night train to {V}", "Where did {X} go by train?"),
    ("country", "spent the summer in {V}", "In which country did {X} spend the summer?"),
    ("language", "speaks {V} at home", "Which language does {X} speak at home?"),
    ("subject", "studied {V} at university", "What did {X} study at university?"),
    ("hobby", "spends every evening {V}", "How does {X} spend the evenings?"),
    ("animal", "once kept {a} {V} as a pet", "Which animal did {X} keep as a pet?"),
    ("object", "lost {a} {V} on the way home", "What did {X} lose on the way home?"),
    ("object", "bought {a} {V} for the new flat", "What did {X} buy for the new flat?"),
    ("object", "found {a} {V} in the attic", "What did {X} find in the attic?"),
    ("plant", "planted {a} {V} behind the house", "What did {X} plant behind the house?"),
    ("colour", "painted the front door {V}", "What colour did {X} paint the front door?"),
    ("month", "is going to retire in {V}", "When is {X} going to retire?"),
    ("last", "shares an office with Mr {V}", "With whom does {X} share an office?"),
)


def general(count: int = 200, seed: int = 0) -> list[Triplet]:
    """Two or three people, three to five sentences; one is asked about, the other question fits another sentence."""
    random = Random(f"{seed}/triplets/general")
    found: list[Triplet] = []
    while len(found) < count:
        people = random.sample(split_words("first", False), random.choice((2, 3)))
        picked = random.sample(PAIRED, random.choice((3, 4, 5)))
        told = []
        for kind, say, ask in picked:
            who, what = random.choice(people), random.choice(split_words(kind, False))
            told.append((fill("{X} " + say, who, what) + ".", fill(ask, who, ""), what))
        asked, other = random.sample(told, 2)
        context = " ".join(line for line, _, _ in told)
        once = context.lower().count(asked[2].lower()) == 1
        if once and len({what for _, _, what in told}) == len(told):
            found.append(Triplet(context, asked[1], asked[2], other[1]))
    return found
