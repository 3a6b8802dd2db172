"""What the environment decides: one table of variables, read in one place. `python -m app.environment` prints the README's.

Knows strings; no model, no gradio. A value that cannot be is a ValueError that says what was wanted.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

logger = logging.getLogger(__name__)
#: The embedded model's name.
EMBEDDED = "miniature"
#: Folder of projections where none is named; the embedded model has its own.
EXPERTS = "experts"


@dataclass(frozen=True)
class Variable:
    """default: in words, where it depends on something."""

    name: str
    default: str
    meaning: str


VARIABLES = (
    Variable("SEKA_MODEL", EMBEDDED, "the model: an id, a folder, or `miniature`, which is the embedded one"),
    Variable(
        "SEKA_MODELS",
        "`SEKA_MODEL` alone",
        "models to choose from, by commas; each has a page of its own and is loaded when it is first opened",
    ),
    Variable(
        "SEKA_EXPERTS",
        "experts; of the embedded model its own",
        "folder of the model's projections, or `user/repository` on the Hub; with several models, folders in it "
        "named like the last part of each id",
    ),
    Variable("SEKA_ATTN", "auto", "the attention implementation, by transformers' name"),
    Variable("SEKA_LIMIT", "2048", "most tokens of prompt and answer together, never more than the model holds"),
    Variable(
        "SEKA_LEARN", "1; on a Space 0", "whether visitors may learn experts, and use those learnt here before (1 or 0)"
    ),
    Variable("SEKA_TRIPLETS", "2000", "most triplets in a file to learn from"),
    Variable("SEKA_CACHE", "~/.cache/seka", "folder where experts that were learnt on the page are kept"),
    Variable("SEKA_QUEUE", "32", "most runs that wait; further ones are told that the page is busy"),
    Variable("SEKA_GPU_SECONDS", "60", "most seconds that one run asks for on ZeroGPU"),
)


DEFAULTS = {each.name: each.default for each in VARIABLES}


@dataclass(frozen=True)
class Environment:
    """The variables, read. model: the first page's. models: every one's, that one first. experts: empty where none are named.
    learn_note: why nothing can be learnt here; empty where it can."""

    models: tuple[str, ...]
    experts: str
    attn: str
    limit: int
    learn_note: str
    triplets: int
    cache: Path
    queue: int
    gpu_seconds: int

    @property
    def model(self) -> str:
        return self.models[0]


def read(given: Mapping[str, str] | None = None) -> Environment:
    """The environment's settings. ValueError names a variable, its value and what was wanted."""
    given = os.environ if given is None else given
    return Environment(
        models=_models(given),
        experts=_text(given, "SEKA_EXPERTS"),
        attn=_text(given, "SEKA_ATTN") or DEFAULTS["SEKA_ATTN"],
        limit=_whole(given, "SEKA_LIMIT"),
        learn_note=_learn_note(given),
        triplets=_whole(given, "SEKA_TRIPLETS"),
        cache=Path(_text(given, "SEKA_CACHE") or DEFAULTS["SEKA_CACHE"]).expanduser(),
        queue=_whole(given, "SEKA_QUEUE"),
        gpu_seconds=_whole(given, "SEKA_GPU_SECONDS"),
    )


def table() -> str:
    """The variables as the README shows them."""
    rows = [f"| `{each.name}` | {each.default} | {each.meaning} |" for each in VARIABLES]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows])


def _text(given: Mapping[str, str], name: str) -> str:
    return given.get(name, "").strip()


def _whole(given: Mapping[str, str], name: str) -> int:
    text = _text(given, name) or DEFAULTS[name]
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{name} is {text!r}; wanted a whole number above 0, or nothing for {DEFAULTS[name]}")
    return int(text)


def _models(given: Mapping[str, str]) -> tuple[str, ...]:
    first = _text(given, "SEKA_MODEL")
    listed = [name for part in _text(given, "SEKA_MODELS").split(",") if (name := part.strip())]
    if len(set(listed)) < len(listed):
        raise ValueError(f"SEKA_MODELS names a model twice: {', '.join(listed)}; wanted each once")
    if first and listed and first not in listed:
        raise ValueError(f"SEKA_MODEL is {first!r}, which SEKA_MODELS does not name: {', '.join(listed)}; add it there")
    first = first or (listed[0] if listed else DEFAULTS["SEKA_MODEL"])
    return (first, *(name for name in listed if name != first))


def _learn_note(given: Mapping[str, str]) -> str:
    text = _text(given, "SEKA_LEARN")
    if text not in ("", "0", "1"):
        raise ValueError(f"SEKA_LEARN is {text!r}; wanted 1 or 0")
    if given.get("SPACES_ZERO_GPU"):
        return "Nothing can be learnt on ZeroGPU, where every run is a process of its own that is forgotten afterwards."
    if text == "0" or (given.get("SPACE_ID") and text != "1"):
        return "Whoever runs this page has turned learning off, because what is learnt would be everybody's."
    return ""


def warn(given: Mapping[str, str] | None = None) -> None:
    """A name that is nearly one of ours is logged: it would do nothing."""
    known = [each.name for each in VARIABLES]
    for name in os.environ if given is None else given:
        if name.startswith("SEKA_") and name not in known and (close := get_close_matches(name, known, 1, 0.8)):
            logger.warning("%s means nothing; did you mean %s?", name, close[0])


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
