"""What no wording made on the fly may say: every statement and question about one subject that is kept for evaluation."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from itertools import chain

from seka.miniature.corpus.frames import ASKS, FRAMES
from seka.miniature.corpus.grammar import ASKED, HAS, SAYS, WHICH
from seka.miniature.corpus.world import relations

FORMS = re.compile(r"\\\{(?:base|third|past|part|ing)\\\}")


def unkept(make: Callable[[], str]) -> str:
    """What `make` draws, drawn again while a wording that is kept is in it, with whatever article and words around."""
    while _kept().search(_bare(wording := make())):
        pass
    return wording


def _bare(wording: str) -> str:
    """The wording without articles, stops and capitals."""
    return re.sub(r"\b(a|an|the|some|its|their|this) |\{a\} |[.?,!]", "", wording.lower())


@functools.cache
def _kept() -> re.Pattern[str]:
    """Every wording that is kept, as `_bare` has it, any word in the place of a verb's form."""
    found = [*FRAMES.held, *ASKS.held]
    for wording in chain(HAS, WHICH, *SAYS.values(), *ASKED.values()):
        if wording[0] == "!":
            text = wording.lstrip("!~^").replace("{O}", "{V}").replace("{its}", "its").replace("{W}", "what")
            found.append(text)
    for relation in relations():
        found += [*relation.say.held, *relation.ask.held]
    bare = {_bare(text if "{X}" in text else "{X} " + text) for text in found}
    return re.compile("|".join(FORMS.sub("[^ ]+", re.escape(text)) for text in sorted(bare)))
