"""Prompts as a visitor types them: the page's own examples with names and words that the corpus never holds.

The names and words are a sample of Debian's American English word list (package wamerican) without those that occur in
this corpus's lists; they are kept in visitors.txt.
"""

from __future__ import annotations

import functools
from random import Random

from seka.miniature.corpus import sentences as s
from seka.miniature.corpus.asking import Case, Options, finish
from seka.miniature.corpus.lexicon import FOLDER, article
from seka.miniature.corpus.world import sentence

#: Two statements; {X} a name, {V} a value. Then how they are put together, and what is asked, as on the page.
SAYS = (
    ("{X} plays {V}", "{X} is a player of", "What does {X} play?"),
    ("{X} lives in {V}", "{X} lives in", "Where does {X} live?"),
    ("{X} has {a} {V}", "{X} has {a}", "What does {X} have?"),
    ("{X} works as {a} {V}", "{X} works as {a}", "What is {X}'s job?"),
    ("{X} likes {V}", "{X} likes", "What does {X} like?"),
    ("{X} speaks {V}", "{X} speaks", "Which language does {X} speak?"),
    ("{X} bought {a} {V}", "{X} bought {a}", "What did {X} buy?"),
    ("the password of {X} is {V}", "The password of {X} is", "What is the password of {X}?"),
    ("the name of the dog is {V}", "The name of the dog is", "What is the name of the dog?"),
    ("{X}'s favourite colour is {V}", "{X}'s favourite colour is", "What is {X}'s favourite colour?"),
    ("the boat belongs to {V}", "The boat belongs to", "Who owns the boat?"),
    ("{X} is married to {V}", "{X} is married to", "Who is {X} married to?"),
)
NAMES = ("lives in", "speaks", "of the dog", "belongs to", "married to")
"""What marks a statement whose value is a name."""
FORMS = (
    "Previously {a}. Currently {b}.",
    "In the past {a}. Now {b}.",
    "Some say that {a}. Others say that {b}.",
    "{A}. {B}.",
    "- {A}.\n- {B}.",
    "According to one report, {a}. According to another, {b}.",
    "{A}. However, {b}.",
)
ASKED = ("{c} {cue}", "{c} {cue}", "{c}\n{cue}", "Context: {c} Question: {q}\nAnswer:", "{c}\nQuestion: {q}\nAnswer:",
         "Question: {q}\nContext: {c}\nAnswer:")  # fmt: skip


@functools.cache
def listed(kind: str) -> tuple[str, ...]:
    """ "names" or "words" of visitors.txt."""
    text = (FOLDER / "visitors.txt").read_text(encoding="utf-8")
    return tuple(text.split(f"[{kind}]\n")[1].split("\n\n")[0].split())


def visitor(random: Random, _options: Options) -> Case:
    """Two statements that contradict each other, as somebody types them over an example."""
    say, cue, ask = random.choice(SAYS)
    kind = "names" if any(mark in say for mark in NAMES) else "words"
    who = random.choice(listed("names"))
    values = random.sample(listed(kind), 2)
    while who in values or article(values[0]) != article(values[1]):
        values = random.sample(listed(kind), 2)

    def fill(text: str, value: str) -> str:
        return text.replace("{X}", who).replace("{a}", article(value)).replace("{V}", value)

    context = s.place(random.choice(FORMS), [fill(say, value) for value in values])
    text = random.choice(ASKED).replace("{c}", context).replace("{q}", fill(ask, values[0]))
    text = text.replace("{cue}", sentence(fill(cue, values[0])))
    return finish("visitor", text, [".", "."], values, 0, chances=(0.5, 0.5))
