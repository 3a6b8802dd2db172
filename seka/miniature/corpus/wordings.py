"""Wordings that put statements beside each other, and the chance with which a document then goes by one of them.

{a} is a statement as it stands inside a sentence, {A} as it begins one; {P} and {Q} are people, {D} and {E} two days of
the week in their order, {Y} and {Z} two years in theirs. ^ is a place where a sentence about something else may stand.
"""

from __future__ import annotations

from dataclasses import dataclass

from seka.miniature.corpus.world import Wordings

#: Two statements with words that settle which of them counts, "|", and 1 where it is the first; never in evaluation.
SETTLED = (
    "True: {A}. ^False: {B}.|1",
    "False: {A}. ^True: {B}.|0",
    "It is true that {a}. ^It is a lie that {b}.|1",
    "It is a lie that {a}. ^It is true that {b}.|0",
    "{P} is a liar. {P} says that {a}. ^{Q} says that {b}.|0",
    "{Q} is a liar. {P} says that {a}. ^{Q} says that {b}.|1",
    "{P} says that {a}. ^{Q} says that {b}. Only {P} is right.|1",
    "{P} says that {a}. ^{Q} says that {b}. Only {Q} is right.|0",
    "According to {P}, {a}. ^According to {Q}, {b}. One should believe {P}.|1",
    "According to {P}, {a}. ^According to {Q}, {b}. One should believe {Q}.|0",
    "1. {A}.\n2. {B}.\nNumber 1 is a mistake.|0",
    "1. {A}.\n2. {B}.\nNumber 2 is a mistake.|1",
    "Number 1 is right.\n1. {A}.\n2. {B}.|1",
    "Number 2 is right.\n1. {A}.\n2. {B}.|0",
    "Confirmed: {A}.\n^Made up: {B}.|1",
    "Made up: {A}.\n^Confirmed: {B}.|0",
    "{A}. That is certain. ^{B}. That is nonsense.|1",
    "{A}. That is nonsense. ^{B}. That is certain.|0",
    "Only the first of these is right: {a}; {b}.|1",
    "Only the last of these is right: {a}; {b}.|0",
    "[yes] {A}.\n[no] {B}.|1",
    "[no] {A}.\n[yes] {B}.|0",
)
#: Two statements, "|", and the chance of the first; in training never near one half, so that there is a less likely one to mark.
#: The corpus never goes by those that are kept: their chance is what the shipped model, unsteered, makes of them, as
#: `python -m seka miniature chances` measures it on validation rows.
PAIRS = Wordings(
    (
        # Time.
        "Previously {a}. ^Currently {b}.|0.35",
        "Previously, {a}. ^Currently, {b}.|0.35",
        "In the past {a}. ^Now {b}.|0.3",
        "At first {a}. ^Later {b}.|0.35",
        "On {D} {a}. ^On {E} {b}.|0.4",
        "Last year {a}. ^This year {b}.|0.3",
        "In {Y} {a}. ^In {Z} {b}.|0.35",
        "{Y}: {A}.\n^{Z}: {B}.|0.4",
        "{D}: {A}.\n^{E}: {B}.|0.35",
        "Yesterday {a}. ^Today {b}.|0.35",
        "In the morning it was said that {a}. ^In the evening it was said that {b}.|0.4",
        "It used to be said that {a}. ^Today it is said that {b}.|0.35",
        "{A}. Before that, {b}.|0.65",
        "{A}. Once upon a time {b}.|0.7",
        "{A}. That was before the change: {b}.|0.3",
        "For a long time {a}, but since {D} {b}.|0.3",
        "Today {a}. ^Yesterday {b}.|0.65",
        "First {a}, then {b}.|0.35",
        "Once {a}; by now {b}.|0.3",
        # Sources.
        "Some say {a}, others say {b}.|0.4",
        "Some say that {a}. ^Others say that {b}.|0.4",
        "According to one report, {a}. ^According to another, {b}.|0.65",
        "The old list says: {A}. ^The new list says: {B}.|0.4",
        "One witness says that {a}, but another one says that {b}.|0.6",
        "It is written that {a}. ^It is also written that {b}.|0.65",
        "{P} says that {a}. ^{Q} says that {b}.|0.4",
        "{P} is sure that {a}, while {Q} is sure that {b}.|0.4",
        "According to {P}, {a}. ^According to {Q}, {b}.|0.4",
        "{P} thinks that {a}. ^{Q} knows that {b}.|0.35",
        "{P} wrote to us that {a}. ^{Q} wrote to us that {b}.|0.4",
        "{P} believes that {a}; {Q} does not agree and believes that {b}.|0.35",
        "The book says that {a}. ^The newspaper says that {b}.|0.4",
        "The sign outside says that {a}. ^The sign inside says that {b}.|0.35",
        "On the front it says: {A}. ^On the back it says: {B}.|0.4",
        "One map tells us that {a}. ^Another map tells us that {b}.|0.6",
        "Everybody says that {a}. ^Only {P} says that {b}.|0.65",
        "Officially {a}. ^In truth {b}.|0.35",
        # Corrections and doubts.
        "{A}. {B}.|0.35",
        "{A}. ^However, {b}.|0.35",
        "{A}. No, {b}.|0.3",
        "{A}. Correction: {b}.|0.3",
        "{A}. Sorry, I mean that {b}.|0.3",
        "{A}. Wait, {b}.|0.35",
        "{A}. Or perhaps {b}.|0.65",
        "{A}. Unless I am wrong and {b}.|0.65",
        "{A}. On second thoughts, {b}.|0.3",
        "I was told that {a}. ^It turned out that {b}.|0.3",
        "We thought that {a}. ^In fact {b}.|0.3",
        "It is not quite clear: {a}, or {b}.|0.4",
        "Either {a} or {b}.|0.6",
        "Maybe {a}, maybe {b}.|0.4",
        "{A}, yet {b}.|0.4",
        "{A}, but {b}.|0.4",
        "{A} (or {b}).|0.65",
        "{A} [others write: {b}].|0.65",
        "On the one hand {a}. ^On the other hand {b}.|0.4",
        # Lists, notes, headings.
        "- {A}.\n- {B}.|0.6",
        "* {A}.\n* {B}.|0.4",
        "First note: {A}.\nSecond note: {B}.|0.65",
        "Page 1: {A}.\nPage 2: {B}.|0.6",
        "{A}.\n^{B}.|0.4",
        "{A}.\n\n^{B}.|0.4",
        "1. {A}.\n2. {B}.|0.6",
        "1) {A}. 2) {B}.|0.6",
        "(a) {A}.\n(b) {B}.|0.6",
        "Version A: {A}.\nVersion B: {B}.|0.4",
        "Before:\n{A}.\nAfter:\n{B}.|0.35",
        "Old entry: {A}.\nNew entry: {B}.|0.35",
        "# Notes of {P}\n{A}.\n# Notes of {Q}\n{B}.|0.4",
        "What we know: {a}.\nWhat we also know: {b}.|0.6",
        # Dialogue and letters.
        "{P}: {A}.\n{Q}: {B}.|0.4",
        '"{A}," said {P}. "{B}," said {Q}.|0.4',
        '{P} said, "{A}." {Q} answered, "No, {b}."|0.4',
        "Dear {P}, {a}. ^Later in the same letter: {b}. Yours, {Q}.|0.35",
        "A letter from {P}: {A}.\nA letter from {Q}: {B}.|0.4",
    ),
    (
        "Years ago {a}. ^These days {b}.|0.36",
        "My notes say that {a}. ^Your notes say that {b}.|0.4",
        "{A}. Then again, {b}.|0.41",
        "Rumour one: {A}.\nRumour two: {B}.|0.5",
        "The letter claims that {a}. ^The postcard claims that {b}.|0.5",
        "Until {D} {a}. From {E} on {b}.|0.14",
        "{P} swears that {a}. ^{Q} insists that {b}.|0.41",
        "The radio reported that {a}. ^The television reported that {b}.|0.32",
        "{A}. Scratch that: {b}.|0.25",
        "It looked as if {a}. ^As a matter of fact, {b}.|0.35",
        "Draft: {A}.\nFinal copy: {B}.|0.81",
        "> {A}.\n> {B}.|0.41",
        "Entry of {Y}: {A}. Entry of {Z}: {B}.|0.57",
        '"{A}," whispered {P}, but {Q} shouted, "{B}!"|0.27',
        "{A}. Formerly {b}.|0.5",
        "{A}, unless it is true that {b}.|0.5",
        "{A} / {b}.|0.5",
        "The editor confirms that {a}. ^An unsigned note claims that {b}.|0.6",
        "{A}. A few people still think {b}.|0.5",
    ),
)


@dataclass(frozen=True)
class Listing:
    """Any number of statements one after the other; {n} is 1, 2, 3, {w} "second", "third", {P} and {D} new for each.

    lean: below 1 the corpus goes by late ones more often, above 1 by early ones.
    """

    first: str
    item: str
    last: str
    gap: str
    lean: float


LISTS = (
    Listing("{A}.", "{A}.", "{A}.", " ", 0.8),
    Listing("Some say {a},", "some say {a},", "and some say {a}.", " ", 1.0),
    Listing("{n}. {A}.", "{n}. {A}.", "{n}. {A}.", "\n", 1.3),
    Listing("- {A}.", "- {A}.", "- {A}.", "\n", 1.0),
    Listing("First {a}.", "Then {a}.", "In the end {a}.", " ", 0.7),
    Listing("One book says that {a}.", "A {w} one says that {a}.", "A {w} one says that {a}.", " ", 1.2),
    Listing("{A}.", "{A}.", "{A}.", "\n", 0.9),
    Listing("{P} says that {a}.", "{P} says that {a}.", "{P} says that {a}.", " ", 1.0),
    Listing("{P}: {A}.", "{P}: {A}.", "{P}: {A}.", "\n", 1.0),
    Listing("On {D} {a}.", "On {D} {a}.", "On {D} {a}.", " ", 0.8),
    Listing("{D}: {A}.", "{D}: {A}.", "{D}: {A}.", "\n", 0.85),
    Listing("Note {n}: {A}.", "Note {n}: {A}.", "Note {n}: {A}.", "\n", 1.0),
    Listing("Either {a},", "or {a},", "or {a}.", " ", 1.1),
    Listing("({n}) {A}.", "({n}) {A}.", "({n}) {A}.", " ", 1.0),
    Listing("At first {a}.", "After that {a}.", "Now {a}.", " ", 0.65),
    Listing("According to {P}, {a};", "according to {P}, {a};", "according to {P}, {a}.", " ", 1.0),
)
HELD_LISTS = (
    Listing("Perhaps {a},", "perhaps {a},", "or perhaps {a}.", " ", 1.0),
    Listing("Page {n} says: {A}.", "Page {n} says: {A}.", "Page {n} says: {A}.", " ", 1.1),
    Listing("{P} wrote that {a}.", "{P} wrote that {a}.", "{P} wrote that {a}.", "\n", 1.0),
    Listing("To begin with, {a}.", "Next, {a}.", "Finally, {a}.", " ", 0.75),
)
#: A sentence that names another line of work than the real one, "|", and the chance of the real one.
DISTRACTORS = Wordings(
    (
        "{X} once wanted to be {v}.|0.5",
        "{X}'s brother works as {v}.|0.55",
        "{X}'s best friend is {v}.|0.5",
        "In a film {X} once played {v}.|0.45",
        "A neighbour believes that {X} is {v}.|0.35",
        "Many people think that {X} is {v}.|0.3",
        "At a party {X} was mistaken for {v}.|0.45",
        "Last week {X} met {v}.|0.55",
        "According to an old paper {X} is {v}.|0.3",
        "As a child {X} dreamt of being {v}.|0.5",
        "For one summer {X} helped out as {v}.|0.4",
        "{X}'s mother was {v}.|0.55",
        "{X} is married to {v}.|0.55",
        "At home {X} talks like {v}.|0.4",
        "People often take {X} for {v}.|0.4",
        "{X} would rather be {v}.|0.45",
        "A letter calls {X} {v}.|0.3",
        "Next year {X} will start again as {v}.|0.3",
        "{X} once shared a house with {v}.|0.55",
        "{X} had lunch with {v} on Monday.|0.55",
        "Some call {X} {v}.|0.3",
        "On the stage {X} is {v}.|0.35",
        "{X} has a cousin who is {v}.|0.55",
        "In a dream {X} was {v}.|0.45",
        "The old school book describes {X} as {v}.|0.3",
        "{X} has also worked as {v}.|0.35",
        "At weekends {X} helps {v}.|0.5",
        "{X} took lessons from {v}.|0.5",
        "One of the neighbours is {v}.|0.6",
        "{X} wears the clothes of {v}.|0.4",
    ),
    (
        "A photograph shows {X} as {v}.|0.35",
        "{X}'s daughter hopes to become {v}.|0.5",
        "Rumour has it that {X} is {v}.|0.3",
        "{X} was advised to become {v}.|0.45",
        "The register lists {X} as {v}.|0.3",
        "{X} once wrote a play about {v}.|0.5",
    ),
)
