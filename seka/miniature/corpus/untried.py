"""Wordings that were written after the model, its experts, scales and strengths were finished, and that chose nothing.

The other unseen wordings are unseen by the model alone: scales and gains were found on rows in them, and training was
changed after rows in them had been read. Here nothing was. Whoever chooses anything after having read rows in these moves
them to where the others are, and writes new ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from random import Random

from seka.miniature.corpus import sentences as s
from seka.miniature.corpus.asking import CUED, Case, Options, dress, finish, laid_out
from seka.miniature.corpus.lexicon import article
from seka.miniature.corpus.world import person, sentence, value

JOINS = (
    "A while back {a}. Lately {b}.",
    "The morning paper wrote that {a}. The evening paper wrote that {b}.",
    "My aunt maintains that {a}. My uncle maintains that {b}.",
    "Teacher: {A}.\nPupil: {B}.",
    "Witness 1: {A}.\nWitness 2: {B}.",
    "One version goes: {a}. Another version goes: {b}.",
    "First edition: {A}.\nRevised edition: {B}.",
    "People used to assume that {a}. Nowadays they assume that {b}.",
    "{P} texted: {A}.\n{Q} texted: {B}.",
    "{A}. Hang on, {b}.",
    "If the blog is right, {a}. If the forum is right, {b}.",
    "The label at the top says that {a}. The label at the bottom says that {b}.",
    "Back in {Y} {a}. Since {Z} {b}.",
    "When it rained, {a}. When the sun came out, {b}.",
    "{A}. Meanwhile the guide insists: {b}.",
    "{P} bets that {a}. {Q} bets that {b}.",
    "Memo, {D}: {A}.\nMemo, {E}: {B}.",
    "The first caller said that {a}. The second caller said that {b}.",
    "It may be that {a}. It may equally be that {b}.",
    "In the film {a}. In the novel {b}.",
)
"""How two statements stand together; slots as in `wordings`."""


@dataclass(frozen=True)
class Saying:
    """What is said of {X}, what is asked, and the class of its values {V}.

    beginning: how it is begun to be said again, where it is not as before.
    """

    say: str
    ask: str
    kind: str
    beginning: str = ""

    @property
    def cue(self) -> str:
        """All that stands before the value when it is said again."""
        return self.beginning or sentence(self.say.partition("{V}")[0].rstrip())


SAYINGS = (
    Saying("{X} commutes from {V}", "Which town does {X} commute from?", "city"),
    Saying("{X} pays the rent as {a} {V}", "How does {X} pay the rent?", "job"),
    Saying(
        "{X} raises {a} {V} in the garden",
        "What does {X} raise in the garden?",
        "animal",
        "In the garden {X} raises {a}",
    ),
    Saying("{X} haggles in {V}", "In which language does {X} haggle?", "language"),
    Saying(
        "{X} practises the {V} every evening",
        "What does {X} practise every evening?",
        "instrument",
        "Every evening {X} practises the",
    ),
    Saying("{X} ordered {V} at the inn", "What did {X} order at the inn?", "food", "At the inn {X} ordered"),
    Saying("{X} painted the fence {V}", "Which colour did {X} paint the fence?", "colour"),
    Saying(
        "{X} forgot {a} {V} in the train", "What did {X} forget in the train?", "object", "In the train {X} forgot {a}"
    ),
    Saying("{X} is cramming for an exam in {V}", "Which exam is {X} cramming for?", "subject"),
    Saying("{X} goes jogging with {V}", "Who goes jogging with {X}?", "person"),
    Saying("{X} is allergic to {V}", "What is {X} allergic to?", "food"),
    Saying("{X} spends the holidays in {V}", "Where does {X} spend the holidays?", "country"),
    Saying("{X} crossed the desert by {V}", "How did {X} cross the desert?", "vehicle"),
    Saying("{X}'s curtains are made of {V}", "What are {X}'s curtains made of?", "fabric"),
    Saying("{X} shows up online as {V}", "How does {X} show up online?", "nonce_name"),
    Saying("the number on {X}'s locker is {V}", "Which number is on {X}'s locker?", "number"),
    Saying("the spare key is with {V}", "Who has the spare key?", "person"),
    Saying("the statue on the square shows {a} {V}", "What does the statue on the square show?", "animal"),
    Saying("the safe opens at the word {V}", "Which word opens the safe?", "nonce_word"),
    Saying("the crate contains {a} {V}", "What does the crate contain?", "object"),
    Saying("the ferry docks at {V}", "Where does the ferry dock?", "place_name"),
    Saying("the cake tastes of {V}", "What does the cake taste of?", "food"),
    Saying("the goalkeeper's name is {V}", "What is the goalkeeper's name?", "person"),
    Saying("the coach to the coast departs at {V}", "When does the coach to the coast depart?", "clock"),
)


def untried(random: Random, _options: Options) -> Case:
    """Two statements that contradict each other, in these wordings, about names and values that training never draws."""
    saying = random.choice(SAYINGS)
    unseen = Options(words=True)
    who = person(random, True)
    given = _two(random, saying.kind, who)

    def fill(text: str, what: str) -> str:
        return text.replace("{X}", who).replace("{a}", article(what)).replace("{V}", what)

    said = [fill(saying.say, what) for what in given]
    context = dress(random, s.place(random.choice(JOINS), said), unseen, " ".join(said))
    if random.random() < CUED:
        gap = "\n" if "\n" in context else random.choice((" ", " ", " ", "\n"))
        text = context + gap + sentence(fill(saying.cue, given[0]))
    else:
        text = laid_out(random, context, sentence(fill(saying.ask, given[0])))
    return finish("untried", text, [".", "."], given, 0, chances=(0.5, 0.5))


def _two(random: Random, kind: str, who: str) -> list[str]:
    """Two values of a class with the same article, none of which is like the other or like the name."""
    while True:
        one, other = (value(random, kind, True) for _ in range(2))
        if article(one) == article(other) and not any(s.alike(*pair) for pair in combinations((one, other, who), 2)):
            return [one, other]
