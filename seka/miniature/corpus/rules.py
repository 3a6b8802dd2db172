"""How instructions are worded, and how two of them that cannot both be followed stand together.

{v} is what the instruction asks for, {X} whom or what it is about, {P} and {Q} are people.
"""

from __future__ import annotations

from seka.miniature.corpus.world import Wordings

RULES = {
    "opening": Wordings(
        (
            "Begin the reply with {v}.", "Start with the word {v}.", "The first word must be {v}.", "Say {v} first.",
            "Open the letter with {v}.", "The reply begins with {v}.", "Please begin with {v}.",
            "Put {v} at the beginning.", "Your first word is {v}.", "Use {v} as the opening.",
        ),
        ("Let the reply start with {v}.", "Make {v} the first thing you say.", "At the very start, write {v}."),
    ),
    "ending": Wordings(
        (
            "End with the word {v}.", "The last word must be {v}.", "Finish the reply with {v}.", "Say {v} at the end.",
            "Put {v} at the end.", "Close with {v}.", "The reply ends with {v}.", "Your last word is {v}.",
        ),
        ("Let the reply end with {v}.", "Make {v} the last thing you say."),
    ),
    "signature": Wordings(
        (
            "Sign as {v}.", "Sign the letter {v}.", "The letter is from {v}.", "Put the name {v} under the letter.",
            "Write in the name of {v}.", "Use {v} as the signature.", "The sender is {v}.", "Close the letter as {v}.",
        ),
        ("Let {v} be the name at the bottom.", "Act as if {v} had written it."),
    ),
    "pronouns": Wordings(
        (
            'Write "{v}" for {X}.', "Use {v} for {X}.", "Call {X} {v}.", "Refer to {X} as {v}.", "Replace {X} by {v}.",
            "Wherever it says {X}, write {v}.", "Say {v} and not {X}.", "In this text {X} is {v}.",
            'Change "{X}" to "{v}".', "Speak of {X} as {v}.",
        ),
        ("Instead of {X} put {v}.", "For {X}, choose {v}.", "Let {v} stand for {X}."),
    ),
    "choice": Wordings(
        (
            "Say {v}.", "Write down {v}.", "Tell us {v}.", "Answer only {v}.", "The reader wants to know {v}.",
            "Please say {v}.", "Report {v}.", "Give {v}.", "Nothing but {v} matters.",
        ),
        ("Mention {v}.", "What counts is {v}.", "Let us hear {v}."),
    ),
    "quote": Wordings(
        (
            'Repeat "{v}".', "Repeat these words: {v}.", "Say exactly this: {v}.", 'Quote the words "{v}".',
            "Copy this: {v}.", 'Write "{v}" and nothing else.', "The reply is: {v}.", 'Answer with "{v}".',
            "Read this out: {v}.",
        ),
        ("Echo this: {v}.", 'Type "{v}", please.'),
    ),
    "yesno": Wordings(
        (
            "For {y} say {v}.", 'Write {v} for "{y}".', "If the answer is {y}, say {v}.", "Use {v} in place of {y}.",
            "The word for {y} is {v}.", 'Instead of "{y}" answer {v}.', 'The word "{v}" means {y}.', "Say {v} when you mean {y}.",
        ),
        ("Should the answer be {y}, write {v}.", "In this game {y} is called {v}."),
    ),
    "replace": Wordings(
        (
            'Replace "{X}" by "{v}".', "Write {v} for {X}.", "Change {X} to {v}.", "Put {v} in the place of {X}.",
            "Say {v} and not {X}.", "Every {X} becomes {v}.", "Swap {X} for {v}.", 'The word "{X}" turns into "{v}".',
        ),
        ("Exchange {X} for {v}.", "Where you read {X}, put {v}."),
    ),
    "title": Wordings(
        (
            "The title is {v}.", 'Give it the title "{v}".', "Call the text {v}.", "Use {v} as the title.",
            "The heading must be {v}.", "Name the story {v}.", 'Put "{v}" above the text.', "Let it be called {v}.",
        ),
        ("Print it under the name {v}.", "A good title would be {v}."),
    ),
    "greeting": Wordings(
        (
            'Greet {X} with "{v}".', 'Say "{v}" to {X}.', 'Welcome {X} with the words "{v}".', 'Tell {X} "{v}".',
            'The greeting for {X} is "{v}".', 'Write "{v}" to greet {X}.', 'Receive {X} with "{v}".', '{X} likes to hear "{v}".',
        ),
        ('Meet {X} with a friendly "{v}".', 'Use "{v}" to say hello to {X}.'),
    ),
    "order": Wordings(
        (
            "{v}.", "Please {v}.", "You must {v}.", "The order is to {v}.", "{P} wants you to {v}.",
            "It is time to {v}.", "Do not forget to {v}.", "The plan is to {v}.", "We need you to {v}.",
        ),
        ("Kindly {v}.", "It is your duty to {v}.", "{P} has decided that you will {v}."),
    ),
    "language": Wordings(
        (
            "Answer in {v}.", "Write in {v}.", "The reply must be in {v}.", "Speak {v}.", "Use {v} for the reply.",
            "The reader knows only {v}.", "Translate it into {v}.", "Choose {v} as the language.",
        ),
        ("Put it into {v}.", "Let the language be {v}."),
    ),
    "number": Wordings(
        (
            "Write the number in {v}.", "Use {v} for the number.", "Give the number in {v}.", "Say it in {v}.",
            "The number must be in {v}.", "Put the number in {v}.", "Answer in {v}.", "Please use {v}.",
        ),
        ("Spell the number in {v}.", "Show it in {v}."),
    ),
    "pick": Wordings(
        (
            "Take the {v} one.", "Name the {v} one.", "Choose the {v} one.", "Say the {v} word of the list.",
            "The {v} one is wanted.", "Give me the {v} one.", "Answer with the {v} one.", "Write down the {v} word.",
        ),
        ("Pick out the {v} one.", "The {v} one will do."),
    ),
    "form": Wordings(
        (
            "Answer with {v}.", "Give {v}.", "The answer is {v}.", "Write {v}.", "Reply with {v}.",
            "Your answer must be {v}.", "We want {v}.", "Please give us {v}.",
        ),
        ("Limit yourself to {v}.", "What we need is {v}."),
    ),
    "bullet": Wordings(
        (
            'Begin every line with "{v}".', 'Put "{v}" before every line.', 'Use "{v}" for the list.',
            'The sign of the list is "{v}".', 'Mark every line with "{v}".', 'Each line starts with "{v}".',
            'Write "{v}" in front of each word.', 'The list has "{v}" on the left.',
        ),
        ('Open each line with "{v}".', 'Let every line begin with "{v}".'),
    ),
    "unit": Wordings(
        (
            "Give the price in {v}.", "Count in {v}.", "Use {v} as the unit.", "The unit is {v}.", "We pay in {v}.",
            "Write {v} after the number.", "All prices are in {v}.", "The money here is called {v}.",
        ),
        ("State the price in {v}.", "Numbers are followed by {v}."),
    ),
}  # fmt: skip
#: Two instructions and the chance of the first; {P} and {Q} are people.
JOINS = Wordings(
    (
        "{0} {1}|0.5",
        "{0} {1}|0.5",
        "{0}\n{1}|0.5",
        "Rule 1: {0}\nRule 2: {1}|0.55",
        "- {0}\n- {1}|0.5",
        "{0} No: {1}|0.35",
        "First instruction: {0}\nSecond instruction: {1}|0.55",
        "{P} writes: {0}\n{Q} writes: {1}|0.5",
        "{0} Or rather: {1}|0.35",
        "Yesterday: {0}\nToday: {1}|0.4",
        "{0} Unless you prefer this: {1}|0.6",
        "1. {0}\n2. {1}|0.55",
        "{P}: {0} {Q}: {1}|0.5",
        "On the one hand: {0} On the other hand: {1}|0.5",
        "{0}\n\n{1}|0.5",
        "One guest says: {0} Another guest says: {1}|0.5",
    ),
    (
        "The first note says: {0} The second note says: {1}|0.55",
        "Old rule: {0}\nNew rule: {1}|0.4",
        "{P} asks: {0} {Q} asks: {1}|0.5",
    ),
)
#: Two instructions with words that settle which of them counts, "|", and 1 where it is the first; never in evaluation.
SETTLED = (
    "Rule 1: {0}\nRule 2: {1}\nFollow rule 1.|1",
    "Rule 1: {0}\nRule 2: {1}\nFollow rule 2.|0",
    "Follow rule 2.\nRule 1: {0}\nRule 2: {1}|0",
    "Follow rule 1.\nRule 1: {0}\nRule 2: {1}|1",
    "1. {0}\n2. {1}\nOnly point 1 counts.|1",
    "1. {0}\n2. {1}\nOnly point 2 counts.|0",
    "Point 1 does not count.\n1. {0}\n2. {1}|0",
    "Point 2 does not count.\n1. {0}\n2. {1}|1",
    "{P}: {0} {Q}: {1} Listen to {P}.|1",
    "{P}: {0} {Q}: {1} Listen to {Q}.|0",
    "Listen to {Q} alone.\n{P} writes: {0}\n{Q} writes: {1}|0",
    "Listen to {P} alone.\n{P} writes: {0}\n{Q} writes: {1}|1",
    "{P} is in charge. {P} says: {0} {Q} says: {1}|1",
    "{Q} is in charge. {P} says: {0} {Q} says: {1}|0",
    "Never mind what {P} says. {P} says: {0} {Q} says: {1}|0",
    "Never mind what {Q} says. {P} says: {0} {Q} says: {1}|1",
    "{0} {1} Only the first of these two instructions counts.|1",
    "{0} {1} Only the last of these two instructions counts.|0",
    "Of two instructions the second is the one that counts. {0} {1}|0",
    "Of two instructions the first is the one that counts. {0} {1}|1",
    "This is wanted: {0} This is unwanted: {1}|1",
    "This is unwanted: {0} This is wanted: {1}|0",
    "Binding: {0}\nVoid: {1}|1",
    "Void: {0}\nBinding: {1}|0",
    "Valid: {0}\nCancelled: {1}|1",
    "Cancelled: {0}\nValid: {1}|0",
    "In force: {0} No longer in force: {1}|1",
    "No longer in force: {0} In force: {1}|0",
    "[valid] {0}\n[void] {1}|1",
    "[void] {0}\n[valid] {1}|0",
    "{0} That was a mistake. {1}|0",
    "{0} The next instruction is a mistake. {1}|1",
    "{0} Forget that. {1}|0",
    "{0} Forget the next instruction. {1}|1",
    "It would be wrong to follow this: {0} It is right to follow this: {1}|0",
    "It is right to follow this: {0} It would be wrong to follow this: {1}|1",
)
#: {r} both instructions or the only one, {b} the text they are about, {l} how the reply begins.
LAYOUTS = (
    "{r}\nText: {b}\n{l}",
    "{r}\n{b}\n{l}",
    "Text: {b}\n{r}\n{l}",
    "{b}\n{r}\n{l}",
    "{b}\n\n{r}\n\n{l}",
    "{r}\n\n{b}\n\n{l}",
    "Instructions: {r}\nText: {b}\n{l}",
    "Text: {b}\nInstructions: {r}\n{l}",
    "{0}\nText: {b}\n{1}\n{l}",
    "{0}\n{b}\n{1}\n{l}",
)
BARE = ("{r}\n{l}", "{r}\n\n{l}", "Instructions: {r}\n{l}", "{r} {l}")
DEEDS = (
    "{X} opened the door", "{X} went to the {P}", "{X} took the {O}", "{X} saw {a} {A} in the {P}", "{X} bought {a} {O}",
    "{X} came home late", "{X} looked for the {O}", "{X} gave the {A} some {F}", "{X} sat down in the {P}",
    "{X} ate the {F}", "{X} washed the {O}", "{X} forgot the {O}", "{X} walked to the {P}", "{X} called the {A}",
    "{X} laughed", "{X} found {a} {O} in the {P}", "{X} sold the {O}", "{X} painted the {P}", "{X} fell asleep in the {P}",
    "{X} broke the {O}", "{X} shared the {F} with the {A}", "{X} ran from the {A}", "{X} waited near the {P}",
    "{X} cleaned the {P} for an hour", "{X} heard {a} {A} at night", "{X} left the {P} without the {O}",
)  # fmt: skip
GREETINGS = (
    "well", "listen", "hello", "indeed", "friends", "surely", "sorry", "thanks", "look", "now", "yes", "no", "maybe",
    "good morning", "dear friends", "to be honest", "as you know", "in short", "by the way", "of course",
)  # fmt: skip
HELLOS = (
    "good morning", "hello", "welcome back", "good evening", "how nice to see you", "welcome", "hi", "a very good day",
    "long time no see", "peace be with you", "come in", "happy birthday", "at last", "greetings", "what a surprise",
)  # fmt: skip
#: What is ordered, with the class of {v}, and how the report of it begins.
ORDERS = (
    ("paint the {O} {v}", "colour", "The {O} is now"),
    ("send the {O} to {v}", "person", "The {O} goes to"),
    ("put the {O} into the {v}", "place", "The {O} is now in the"),
    ("call {v}", "person", "I have called"),
    ("buy some {v}", "food", "I have bought some"),
    ("prepare {v} for the guests", "food", "The guests will eat"),
    ("travel to {v}", "city", "The next trip goes to"),
    ("drink {v} with {X}", "drink", "{X} and I drank"),
    ("name the {A} {v}", "nonce_name", "The name of the {A} is"),
    ("choose the password {v}", "nonce_word", "The password is"),
    ("set the lock to {v}", "code", "The lock opens with"),
    ("play {v} with {X}", "game", "{X} and I played"),
    ("invite {v}", "person", "The guest tonight is"),
    ("build the {P} of {v}", "material", "The {P} is made of"),
    ("study {v} this year", "subject", "The lesson today is about"),
    ("meet {X} on {v}", "day", "{X} will be there on"),
    ("give {X} the number {v}", "number", "The number of {X} is"),
    ("move the {O} to {v}", "place_name", "You will find the {O} in"),
)
