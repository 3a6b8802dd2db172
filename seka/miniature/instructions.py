"""Two instructions that cannot both be followed, and what a text that follows one of them looks like."""

from __future__ import annotations

from random import Random

from seka.miniature import sentences as s
from seka.miniature.cases import TRAINING, Case, Options, Statement, finish
from seka.miniature.world import Relation, article, person, relations, sentence, value

FORMS = ("he", "she", "they", "it")
RULES = (
    'Write "{v}" for {X}.',
    "Use {v} for {X}.",
    "Call {X} {v}.",
    "Refer to {X} as {v}.",
    "Replace {X} by {v}.",
)
DEEDS = (
    "{X} opened the door",
    "{X} went to the {P}",
    "{X} took the {O}",
    "{X} saw {a} {A} in the {P}",
    "{X} bought {a} {O}",
    "{X} came home late",
    "{X} looked for the {O}",
    "{X} gave the {A} some {F}",
    "{X} sat down in the {P}",
    "{X} ate the {F}",
    "{X} washed the {O}",
    "{X} forgot the {O}",
    "{X} walked to the {P}",
    "{X} called the {A}",
    "{X} was happy",
)
FIRST = (
    "Begin the reply with {v}.",
    "Start with the word {v}.",
    "The first word must be {v}.",
    "Say {v} first.",
    "Open the letter with {v}.",
    "The reply begins with {v}.",
    "Please begin with {v}.",
)
GREETINGS = (
    "well",
    "listen",
    "hello",
    "indeed",
    "friends",
    "surely",
    "sorry",
    "thanks",
    "look",
    "now",
    "yes",
    "no",
    "maybe",
)
WANTED = (
    "Say {q}",
    "Write down {q}",
    "Tell us {q}",
    "Answer only {q}",
    "The reader wants to know {q}",
    "Please say {q}",
)


def deed(random: Random, who: str) -> str:
    """A small thing that somebody did, without a full stop."""
    text = random.choice(DEEDS)
    for slot, kind in (("{P}", "place"), ("{O}", "object"), ("{A}", "animal"), ("{F}", "food")):
        if slot in text:
            word = value(random, kind)
            text = text.replace("{a} " + slot, article(word) + " " + word).replace(slot, word)
    return text.replace("{X}", who)


def pronouns(random: Random, options: Options = TRAINING) -> Case:
    """Two rules for how to call somebody, a text with the name, and the text written anew by one of the rules."""
    who = person(random, options.words)
    names = random.sample(FORMS, 2)
    if random.random() < 0.35:
        names[random.randrange(2)] = value(random, "nonce_name", options.words)
    rule = random.choice(RULES)
    one = random.random() < 0.25
    said = [s.wrap(i, rule.replace("{v}", v).replace("{X}", who)[:-1]) + "." for i, v in enumerate(names)]
    deeds = [deed(random, who) for _ in range(random.choice((1, 2, 2, 3)))]
    chosen = 0 if one or random.random() < random.choice((0.35, 0.6)) else 1
    rules = said[0] if one else f"{said[0]} {said[1]}"
    text = f"{rules}\nText: {'. '.join(deeds)}.\nRewritten:"
    written = [". ".join(sentence(d.replace(who, v)) for d in deeds) for v in names]
    case = finish("pronouns", text, ["", ""], names, chosen)
    answers = tuple(" " + w for w in written[: len(case.statements)])
    return Case("pronouns", case.prompt, " " + written[chosen], ".", case.statements, answers, chosen)


def opening(random: Random, options: Options = TRAINING) -> Case:
    """Two rules for the first word of a reply."""
    kinds = ("nonce_word", "colour", "animal", "object", "greeting")
    found: list[str] = []
    while len(found) < 2:
        kind = random.choice(kinds)
        word = random.choice(GREETINGS) if kind == "greeting" else value(random, kind, options.words)
        if not found or word[:2] != found[0][:2]:
            found.append(word)
    rule = random.choice(FIRST)
    said = [s.wrap(i, rule.replace("{v}", word)[:-1]) + "." for i, word in enumerate(found)]
    chosen = 0 if random.random() < random.choice((0.35, 0.5, 0.6)) else 1
    gap = random.choice((" ", "\n"))
    reply = f", {deed(random, person(random, options.words))}."
    return finish("opening", f"{said[0]}{gap}{said[1]}\nReply:", [reply, reply], found, chosen)


def choice(random: Random, options: Options = TRAINING) -> Case:
    """A few facts about somebody and two rules for which of them to report."""
    who = person(random, options.words)
    people = [r for r in relations() if r.subject == "person"]
    picked: list[Relation] = random.sample(people, 2)
    facts = [s.draw_fact(random, options.words, r, who) for r in picked]
    while facts[0].what[:2] == facts[1].what[:2] or facts[0].noun == facts[1].noun:
        picked = random.sample(people, 2)
        facts = [s.draw_fact(random, options.words, r, who) for r in picked]
    told = [sentence(s.state(random, fact)) + "." for fact in facts]
    random.shuffle(told)
    rule = random.choice(WANTED)
    rules = [rule.replace("{q}", f"the {fact.noun} of {who}") for fact in facts]
    one = random.random() < 0.3
    chosen = 0 if one or random.random() < random.choice((0.35, 0.5, 0.6)) else 1
    orders = f"{s.wrap(0, rules[0])}." if one else f"{s.wrap(0, rules[0])}. {s.wrap(1, rules[1])}."
    text = f"{' '.join(told)}\n{orders}\nReply:" if random.random() < 0.6 else f"{orders}\n{' '.join(told)}\nReply:"
    prompt, places = s.unwrap(text)
    statements = tuple(Statement(*places[i], fact.what, *places[i]) for i, fact in enumerate(facts) if i in places)
    answers = tuple(" " + fact.what for fact in facts[: len(statements)])
    return Case(
        "choice", prompt, " " + facts[chosen].what, s.closing(random, facts[chosen]), statements, answers, chosen
    )


__all__ = ["choice", "deed", "opening", "pronouns"]
