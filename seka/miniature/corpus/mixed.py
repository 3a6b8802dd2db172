"""Unrelated paragraphs one after the other: what stood before a story says nothing about it, but is still there."""

from __future__ import annotations

from random import Random

from seka.miniature.corpus.asking import TRAINING, Case
from seka.miniature.corpus.cases import biography, conflict, several
from seka.miniature.corpus.passages import passage
from seka.miniature.corpus.records import copying, listed
from seka.miniature.corpus.replies import INSTRUCTIONS
from seka.miniature.corpus.sentences import unwrap
from seka.miniature.corpus.stories import plain_fact, statements, story

GAPS = ("\n", "\n", "\n\n", "\n\n", "\n---\n", " ")
ASKED = ("Question: {q}\nAnswer:", "Q: {q}\nA:", "{q}", "Answer this: {q}\nAnswer:", "And now: {q}\nAnswer:")
ASKING = (conflict, several, biography, passage)


def asked(random: Random) -> Case:
    """A case with a question and a context that stand apart."""
    while True:
        case = random.choice(ASKING)(random, TRAINING)
        if case.context:
            return case


def paragraph(random: Random) -> str:
    """Something that asks nothing: statements, a conflict, a list, notes, a plain fact."""
    draw = random.random()
    if draw < 0.6:
        return asked(random).context
    if draw < 0.7:
        return statements(random)
    return plain_fact(random) if draw < 0.75 else unwrap(listed(random, TRAINING)[0])[0]


def meets(case: Case, text: str) -> bool:
    """Whether a text names anybody or anything that the case's facts are about."""
    names = {word.removesuffix("'s") for fact in case.facts for word in fact.who.split() if len(word) > 3}
    return any(name in text for name in names)


def mixed(random: Random) -> str:
    """Two to four paragraphs that have nothing to do with each other; one may be asked about later."""
    gap = random.choice(GAPS)
    draw = random.random()
    if draw < 0.45:  # the story after them does not depend on the paragraphs
        parts = [paragraph(random) for _ in range(random.choice((1, 1, 1, 2)))]
        return (gap if gap != " " or "\n" not in "".join(parts) else "\n\n").join([*parts, story(random)])
    if draw < 0.75:  # a question about an earlier paragraph
        case, between = asked(random), [story(random, 5) if random.random() < 0.7 else paragraph(random)]
        while any(meets(case, text) for text in between):
            between = [story(random, 5)]
        gap = gap.replace(" ", "\n")
        question = random.choice(ASKED).replace("{q}", case.question)
        return gap.join([case.context, *between, question]) + case.answer + case.closing.split("\n")[0]
    if draw < 0.9:  # answered, and on to something else
        first = asked(random) if random.random() < 0.6 else random.choice(list(INSTRUCTIONS.values()))(random, TRAINING)
        return (
            first.text
            + random.choice(("\n", "\n\n"))
            + (story(random) if random.random() < 0.6 else asked(random).text)
        )
    return gap.join(random.choice((story, statements, copying, plain_fact))(random) for _ in range(3))
