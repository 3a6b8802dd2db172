"""How any verb with an object, any noun that one can have and any whole statement is put into words; lists alone.

{X} is the subject and {O} the object with its {V}; {base}, {third}, {past}, {part} and {ing} are forms of the verb, {N}
is the noun, {n} the noun with its article, {W} "what" or "who". Marks before a wording: "~" for deeds alone, "^" passive,
"=" a statement that cannot be completed, "!" kept for evaluation.
"""

from __future__ import annotations

from seka.miniature.corpus.world import Wordings

#: Kind of value in verbs.txt: classes of value, what stands before the value, and the question word.
OBJECTS: dict[str, tuple[tuple[tuple[str, ...], ...], tuple[str, ...], str]] = {
    "thing": (
        (("object", "modified"), ("object", "modified", "coined"), ("coined",)),
        ("{a} ", "{a} ", "the "),
        "what",
    ),
    "person": ((("person",), ("person",), ("person", "coined_name")), ("",), "who"),
    "food": ((("food",),), ("", "", "some "), "what"),
    "drink": ((("drink",),), ("", "", "some "), "what"),
    "animal": ((("animal",), ("bird", "coined")), ("{a} ", "the "), "what"),
    "town": ((("city", "country"), ("city", "place_name"), ("city", "coined_name")), ("",), "what"),
    "spot": ((("place",), ("place", "coined")), ("the ",), "what"),
    "topic": ((("subject", "hobby"), ("subject",), ("subject", "coined")), ("",), "what"),
    "anything": ((("any",), ("any",), ("long",), ("figure", "code"), ("coined", "coined_name")), ("",), "what"),
    "plant": ((("plant",), ("tree",)), ("{a} ", "the "), "what"),
    "vehicle": ((("vehicle",),), ("{a} ", "the "), "what"),
    "instrument": ((("instrument",),), ("the ",), "what"),
    "language": ((("language",), ("language", "coined_name")), ("",), "what"),
}
#: What a kind of value may be called in a question.
CALLED = {
    "thing": ("thing", "object", "item"), "person": ("person", "man or woman"), "food": ("food", "dish", "meal"),
    "drink": ("drink", "liquid"), "animal": ("animal", "creature"), "town": ("place", "town", "city", "part of the world"),
    "spot": ("place", "spot", "building", "room"), "topic": ("topic", "activity", "subject"), "anything": ("",),
    "plant": ("plant", "tree"), "vehicle": ("vehicle", "means of travel"), "instrument": ("instrument",),
    "language": ("language", "tongue"),
}  # fmt: skip
#: {time: statements}
SAYS = {
    "past": (
        "{past} {O}", "{past} {O}", "has {part} {O}", "~has just {part} {O}", "once {past} {O}", "{past} {O} last week",
        "had {part} {O}", "what {X} {past} was {O}", "~has already {part} {O}", "always {past} {O}", "really {past} {O}",
        "{past} {O} before anyone else", "~was seen {ing} {O}", "~started {ing} {O}", "what {X} has {part} is {O}",
        "last year {X} {past} {O}", "managed to {base} {O}", "wanted to {base} {O}", "tried to {base} {O}", "used to {base} {O}",
        "was able to {base} {O}", "came back to {base} {O}", "could {base} {O}", "also {past} {O}", "hardly ever {past} {O}",
        "~enjoyed {ing} {O}", "~never stopped {ing} {O}", "at long last {X} {past} {O}",
        "happened to {base} {O}", "would {base} {O}", "~ended up {ing} {O}", "~went on {ing} {O}",
        "had to {base} {O}", "all that {X} {past} was {O}", "had once {part} {O}", "~was caught {ing} {O}", "dared to {base} {O}",
        "=^{O} was {part} by {X}", "=^{O} has been {part} by {X}", "=it was {O} that {X} {past}",
        "did {base} {O}", "!what {X} really {past} was {O}", "!had long {part} {O}",
    ),
    "present": (
        "{third} {O}", "{third} {O}", "often {third} {O}", "~is {ing} {O}", "still {third} {O}", "~keeps {ing} {O}",
        "always {third} {O}", "what {X} {third} is {O}", "~is busy {ing} {O}", "{third} {O} more than anybody else",
        "now {third} {O}", "likes to {base} {O}", "wants to {base} {O}", "tends to {base} {O}", "may {base} {O}", "can {base} {O}",
        "has to {base} {O}", "needs to {base} {O}", "never fails to {base} {O}", "~enjoys {ing} {O}", "~is known for {ing} {O}",
        "~is good at {ing} {O}", "hardly ever {third} {O}",
        "~has been {ing} {O}", "clearly {third} {O}", "must {base} {O}", "all that {X} {third} is {O}",
        "cannot help but {base} {O}", "~spends the day {ing} {O}", "~has a habit of {ing} {O}", "happens to {base} {O}",
        "ought to {base} {O}", "~may be found {ing} {O}", "=^{O} is {part} by {X}", "=it is {O} that {X} {third}",
        "does {base} {O}", "!~can be seen {ing} {O}", "!what {X} always {third} is {O}",
    ),
    "future": (
        "will {base} {O}", "is going to {base} {O}", "is about to {base} {O}", "plans to {base} {O}", "hopes to {base} {O}",
        "has decided to {base} {O}", "will soon {base} {O}", "is supposed to {base} {O}", "what {X} will {base} is {O}",
        "might {base} {O}", "would like to {base} {O}", "has agreed to {base} {O}", "is ready to {base} {O}",
        "is sure to {base} {O}",
        "wishes to {base} {O}", "is bound to {base} {O}", "has sworn to {base} {O}", "~is thinking of {ing} {O}",
        "~will start {ing} {O}", "shall {base} {O}", "must soon {base} {O}", "aims to {base} {O}",
        "all that {X} will {base} is {O}",
        "~looks forward to {ing} {O}", "means to {base} {O}",
        "will have to {base} {O}", "has promised to {base} {O}", "next year {X} will {base} {O}",
        "=^{O} will be {part} by {X}", "=^{O} is going to be {part} by {X}",
        "!is expected to {base} {O}", "!intends to {base} {O}", "!what {X} is going to {base} is {O}",
    ),
}  # fmt: skip
#: {time: questions}
ASKED = {
    "past": (
        "{W} did {X} {base}?", "{W} did {X} {base}?", "{W} has {X} {part}?", "{W} was it that {X} {past}?",
        "Tell me {W} {X} {past}.", "Who or what did {X} {base}?", "^{W} was {part} by {X}?", "{X} {past} {W}?",
        "{W} did {X} really {base}?", "I wonder {W} {X} {past}.", "Let me know {W} {X} {past}.", "Remind me {W} {X} {past}.",
        "In the end, {W} did {X} {base}?", "Find {W} {X} {past}.", "So {W} did {X} {base}?",
        "!Do you know {W} {X} {past}?", "!Please say {W} {X} has {part}.", "!Can you tell me {W} {X} {past}?",
    ),
    "present": (
        "{W} does {X} {base}?", "{W} does {X} {base}?", "{W} is it that {X} {third}?", "Tell me {W} {X} {third}.",
        "Who or what does {X} {base}?", "^{W} is {part} by {X}?", "{X} {third} {W}?", "I wonder {W} {X} {third}.",
        "~{W} is {X} {ing}?", "State {W} {X} {third}.", "Let me know {W} {X} {third}.", "Remind me {W} {X} {third}.",
        "As a rule, {W} does {X} {base}?", "Find {W} {X} {third}.", "So {W} does {X} {base}?",
        "!Do you know {W} {X} {third}?", "!Please name {W} {X} {third}.", "!Can you tell me {W} {X} {third}?",
    ),
    "future": (
        "{W} will {X} {base}?", "{W} is {X} going to {base}?", "Tell me {W} {X} will {base}.", "{W} is it that {X} will {base}?",
        "Who or what will {X} {base}?", "^{W} will be {part} by {X}?", "I wonder {W} {X} will {base}.",
        "State {W} {X} is going to {base}.", "Let me know {W} {X} will {base}.", "Remind me {W} {X} will {base}.",
        "In the end, {W} will {X} {base}?", "So {W} will {X} {base}?",
        "!Do you know {W} {X} will {base}?", "!{W} does {X} intend to {base}?", "!^{W} is going to be {part} by {X}?",
    ),
}  # fmt: skip
MORE = (
    "Nobody else wanted to {base} {O}.", "Not everybody would {base} {O}.", "It is not easy to {base} {O}.",
    "Everybody has heard about it.", "To {base} {O} takes time.", "{X} had good reasons to {base} {O}.",
    "Some would rather not {base} {O}.", "It had to be {O}.",
)  # fmt: skip
HAS = (
    "has {O} as {its} {N}", "got {O} as {its} {N}", "still has {O} as {its} {N}", "was given {O} as {its} {N}",
    "the only {N} of {X} is {O}", "the new {N} of {X} is {O}", "nobody doubts that the {N} of {X} is {O}",
    "{X} has {n}, and it is {O}", "{X}'s {N} turned out to be {O}", "we found out that {X}'s {N} is {O}",
    "looks upon {O} as {its} {N}", "keeps {O} for {its} {N}", "now calls {O} {its} {N}", "was happy with {O} as {its} {N}",
    "never had another {N} than {O}", "{X} and {its} {N}, {O}, are well known", "so far the {N} of {X} is {O}",
    "the {N} {X} has is {O}", "we know that the {N} of {X} is {O}", "the {N} of {X} is now {O}",
    "={O} is the {N} of {X}", "={O} is {X}'s {N}", "={O} serves as the {N} of {X}",
    "!took long to settle on {its} {N}, which was {O}", "!the present {N} of {X} is {O}",
    "!where the {N} is concerned, {X} goes with {O}",
)  # fmt: skip
WHICH = (
    "{W} is the {N} of {X}?", "{W} is {X}'s {N}?", "{W} is the only {N} of {X}?", "State {W} the {N} of {X} is.",
    "So {W} is {X}'s {N}?", "Remind me {W} the {N} of {X} is.", "{W} do they call the {N} of {X}?", "Find {X}'s {N}.",
    "{W} does {X} have as {its} {N}?", "{W} is it, the {N} of {X}?",
    "!{W} exactly is the {N} of {X}?", "!Please look up the {N} of {X}.",
)  # fmt: skip
LATER = (
    "Every {N} is different.", "Not every {N} is like that.", "It is a good {N}.", "The next {N} may be another one.",
    "Nobody else has such {n}.", "{O} may not be the best {N}.", "There will be another {N} next year.",
)  # fmt: skip
WRAPS = Wordings(
    (
        *("I heard that {s}", "it is true that {s}", "{s}, as far as I know", "apparently {s}", "{s}, they say"),
        *("the report says that {s}", "it is said that {s}", "people say that {s}", "everybody knows that {s}"),
        *("I believe that {s}", "I am sure that {s}", "we know that {s}", "we were told that {s}", "it seems that {s}"),
        *("it is clear that {s}", "no doubt {s}", "of course {s}", "as you know, {s}", "{s}, of course"),
        *("in fact {s}", "{s}, in fact", "{s}, I think", "I think that {s}", "{s}, if I remember correctly"),
        *("as everybody can see, {s}", "it is well known that {s}", "{s}, so they say", "{s}, no doubt about it"),
        *("the neighbours say that {s}", "the papers say that {s}", "somebody told me that {s}", "as it happens, {s}"),
        *("it is no secret that {s}", "please note that {s}", "remember that {s}", "the fact is that {s}"),
        *("to tell the truth, {s}", "it must be said that {s}", "{s}, according to the newspaper", "perhaps {s}"),
        *("my records show that {s}", "{s}, by the way", "by the way, {s}", "we can be certain that {s}"),
        *("the guide tells us that {s}", "there is a rumour that {s}", "surely {s}", "{s}, you know"),
    ),
    (
        *("word has it that {s}", "I can confirm that {s}", "{s}, or so I am told", "it has been shown that {s}"),
        *("as luck would have it, {s}", "the minutes state that {s}", "{s}, rest assured", "evidently {s}"),
        "you should be aware that {s}",
    ),
)
"""Clauses around a whole statement {s}, which itself begins as it would inside a sentence."""
