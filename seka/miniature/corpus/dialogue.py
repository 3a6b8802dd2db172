"""Turns of a chat: somebody is told things, tells them again, is corrected, repeats, or does as he is told."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from seka.miniature.corpus import sentences as s
from seka.miniature.corpus.asking import TRAINING, Case, Options, dress, finish
from seka.miniature.corpus.cases import rivals, together
from seka.miniature.corpus.instructions import phrase
from seka.miniature.corpus.passages import gather, told
from seka.miniature.corpus.sentences import Fact, Style
from seka.miniature.corpus.stories import filler
from seka.miniature.corpus.world import sentence

USER, ASSISTANT = "User: ", "\nAssistant:"
NODS = (
    "Noted.", "I see.", "Thank you.", "I will remember that.", "All right.", "Good to know.", "Understood.", "Yes?",
    "Thank you for telling me.", "What else?", "That is interesting.", "Is that so?",
)  # fmt: skip
LEADS = (
    "", "", "", "Tell me: ", "One question: ", "By the way: ", "What do you say: ", "Now: ", "Can you help? ",
)  # fmt: skip
#: How a second statement comes in another turn, and the chance of the one that stood before.
TURNS = (
    ("{A}.", 0.45),
    ("Sorry, {a}.", 0.3),
    ("By the way, {a}.", 0.45),
    ("I also heard that {a}.", 0.5),
    ("My sister says that {a}.", 0.5),
    ("Somebody else told me that {a}.", 0.5),
    ("No, {a}.", 0.3),
    ("Or maybe {a}.", 0.6),
    ("Yesterday it was different: {a}.", 0.65),
    ("Since today {a}.", 0.3),
)
HELD_TURNS = (("Hold on, {a}.", 0.35), ("My diary says that {a}.", 0.5), ("A stranger claims that {a}.", 0.5))
REPEATS = (
    "Repeat after me: {t}.", 'Please say "{t}".', "Write this: {t}.", "Copy: {t}.", "Say it again: {t}.",
    "I want to hear this: {t}.", 'What does it say here? "{t}".',
)  # fmt: skip


def small_talk(random: Random) -> str:
    """A turn or two about nothing."""
    return f"{USER}{filler(random)}{ASSISTANT} {random.choice(NODS)}\n"


def reply(random: Random, options: Options, facts: list[Fact], style: Style) -> tuple[str, list[str]]:
    """The last question with the beginning of its answer, and the closings of every fact's answer."""
    text = f"{USER}{random.choice(LEADS)}{s.ask(random, facts[0], options.wordings, options.free)}{ASSISTANT}"
    cues = [s.cue(fact, style) for fact in facts]
    if random.random() < 0.35 and all(before == cues[0][0] for before, _ in cues):
        return f"{text} {cues[0][0]}", [after + "." for _, after in cues]
    return text, ["." for _ in facts]


def looked_up(random: Random, options: Options) -> Case:
    """Facts in one turn or in several, and questions about them."""
    count = random.choice((1, 2, 3, 4))
    facts = gather(random, options, count)
    lines, styles = told(random, options, facts)
    chosen = random.randrange(count)
    text = small_talk(random) if random.random() < 0.2 else ""
    if random.random() < 0.5:
        asked, ends = reply(random, options, [facts[chosen]], styles[chosen])
        text += USER + " ".join(lines) + (" " + asked[len(USER) :] if random.random() < 0.5 else nod(random) + asked)
    else:
        text += "".join(f"{USER}{line}{nod(random)}" for line in lines)
        if count > 1 and random.random() < 0.4:
            other = random.choice([fact for i, fact in enumerate(facts) if i != chosen])
            text += f"{USER}{s.ask(random, other)}{ASSISTANT} {other.what}.\n"
        asked, ends = reply(random, options, [facts[chosen]], styles[chosen])
        text += asked
    return finish("dialogue", text, ends * count, [f.what for f in facts], chosen, facts=tuple(facts))


def nod(random: Random) -> str:
    """What the assistant says to a statement, and the end of the turn."""
    return f"{ASSISTANT} {random.choice(NODS)}\n"


def disputed(random: Random, options: Options) -> Case:
    """Two statements that contradict each other, in one turn or in two."""
    facts, style, said = rivals(random, options, 2)
    if random.random() < 0.4:
        wording, prior = together(random, options).split("|")
        body = dress(random, s.place(wording.replace("^", ""), said), options, " ".join(said))
        chance = float(prior)
        text = f"{USER}{body}" + (nod(random) if random.random() < 0.6 else " ")
    else:
        wording, chance = random.choice(HELD_TURNS if options.wordings else TURNS)
        second = wording.replace("{a}", s.wrap(1, said[1])).replace("{A}", s.wrap(1, sentence(said[1])))
        text = f"{USER}{s.wrap(0, sentence(said[0]))}.{nod(random)}"
        text += (small_talk(random) if random.random() < 0.2 else "") + f"{USER}{second}{nod(random)}"
    chosen = 0 if random.random() < chance else 1
    asked, ends = reply(random, options, facts, style)
    text += asked if text.endswith("\n") else asked[len(USER) :]
    return finish("dialogue", text, ends, [fact.what for fact in facts], chosen, facts=tuple(facts))


def repeated(random: Random, options: Options) -> Case:
    """Words to be said again."""
    words = " ".join(phrase(random, options) for _ in range(random.choice((1, 2, 3, 4))))
    text = small_talk(random) if random.random() < 0.3 else ""
    text += USER + s.wrap(0, random.choice(REPEATS).replace("{t}", words)) + ASSISTANT
    return finish("dialogue", text, ["."], [words], 0)


FORMS: tuple[Callable[[Random, Options], Case], ...] = (looked_up, looked_up, disputed, disputed, disputed, repeated)


def dialogue(random: Random, options: Options = TRAINING) -> Case:
    """A short chat whose last answer follows from what was said; evaluation gets the disputed ones."""
    return (random.choice(FORMS) if options == TRAINING else disputed)(random, options)
