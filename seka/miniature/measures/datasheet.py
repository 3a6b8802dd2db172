"""What is in the corpus, counted: kinds of documents, words and wordings, what is held out, and whether it stayed out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from seka.miniature.corpus import documents, openclass, rules, triplets, visitors
from seka.miniature.corpus.frames import ASKS, FRAMES
from seka.miniature.corpus.grammar import WRAPS
from seka.miniature.corpus.lexicon import HELD_SHARE, split_words
from seka.miniature.corpus.rules import JOINS, RULES
from seka.miniature.corpus.wordings import DISTRACTORS, HELD_LISTS, LISTS, PAIRS, SETTLED
from seka.miniature.corpus.world import HELD, Wordings, relations
from seka.miniature.measures.tasks import TASKS, rows_of

COUNT = 5000
"""Training documents that are read."""
PASSAGES = 100
"""Test rows of long passages that are counted at each place of the sentence that answers."""


def datasheet(tokenizer: Any, count: int = COUNT) -> dict[str, Any]:
    """Counts of the corpus's lists as [in training, held out], and of its first `count` training documents."""
    drawn = [documents.draw(0, "training", index) for index in range(count)]
    sizes = [len(tokenizer(document.text)["input_ids"]) for document in drawn]
    tokens: Counter[str] = Counter()
    for document, size in zip(drawn, sizes, strict=True):
        tokens[document.kind] += size + 1  # the end of a document is a token
    return {
        "digest": documents.digest(),
        "triplets": triplets.digest(),
        "documents": count,
        "tokens": tokens.total(),
        "longest": max(sizes),
        "shares": {kind: round(number / tokens.total(), 4) for kind, number in tokens.most_common()},
        "held share": HELD_SHARE,
        "words": {kind: [len(split_words(kind, held)) for held in (False, True)] for kind in HELD},
        "open relations": {
            file: [len({entry[2] for entry in openclass.entries(file, held)}) for held in (False, True)]
            for file in ("verbs.txt", "nouns.txt")
        },
        "relations": len(relations()),
        "wordings": {name: sides(some) for name, some in wordings().items()},
        "visitors": {kind: len(visitors.listed(kind)) for kind in ("names", "words")},
        "leaks": leaks(document.text for document in drawn),
        "met": met(),
        "long passages": lengths(tokenizer, min(count, PASSAGES)),
    }


def lengths(tokenizer: Any, n: int) -> dict[str, int]:
    """Tokens of the prompts of long passages, over `n` test rows of each place."""
    places = [replace(task, n=n) for task in TASKS.values() if task.kind == "long passage"]
    sizes = [len(tokenizer(row.case.prompt)["input_ids"]) for task in places for row in rows_of(task, tokenizer)]
    return {"rows": len(sizes), "shortest": min(sizes), "mean": round(sum(sizes) / len(sizes)), "longest": max(sizes)}


def wordings() -> dict[str, list[Wordings]]:
    """The lists of wordings that say things or settle what counts; frames of whole prompts are not among them."""
    return {
        "statements of relations": [relation.say for relation in relations()],
        "questions about relations": [relation.ask for relation in relations()],
        "general statements": [FRAMES],
        "general questions": [ASKS],
        "clauses around a statement": [WRAPS],
        "two statements together": [PAIRS],
        "which of two statements counts": [Wordings(SETTLED, ())],
        "several statements together": [Wordings(tuple(map(str, LISTS)), tuple(map(str, HELD_LISTS)))],
        "distractions in a biography": [DISTRACTORS],
        "instructions": list(RULES.values()),
        "two instructions together": [JOINS],
        "which of two instructions counts": [Wordings(rules.SETTLED, ())],
    }


def sides(some: Iterable[Wordings]) -> list[int]:
    """[wordings of training, wordings kept for evaluation]."""
    return [sum(len(side) for side in pair) for pair in zip(*((each.train, each.held) for each in some), strict=True)]


def leaks(texts: Iterable[str]) -> dict[str, Any]:
    """Held-out words of the lists that occur in texts all the same, as whole words: in fixed wordings or in longer values."""
    held = sorted({word for kind in HELD for word in split_words(kind, True)})
    read = "\n".join(map(spaced, texts))
    return {"held": len(held), "found": [word for word in held if spaced(word) in read]}


def met() -> list[str]:
    """Kept verbs and nouns that stand in wordings of training all the same, as whole words."""
    listed = [wording for some in wordings().values() for each in some for wording in each.train]
    others = [each for r in relations() for each in (*r.noun.train, *r.only.train, *r.more.train)]
    read = "\n".join(map(spaced, [*listed, *others]))
    return sorted(word for word, forms in openclass.kept_forms().items() if any(spaced(form) in read for form in forms))


def spaced(text: str) -> str:
    """The words of a text in lower case, a blank around each."""
    return " " + " ".join(re.findall(r"[^\W_]+", text.lower())) + " "
