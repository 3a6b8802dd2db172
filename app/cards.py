"""A finished run as a small card, from its record: what was asked, how, and both answers. No gradio, no model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from app import words
from seka.prompts import MARKERS, Prompt

#: Characters of a prompt on a card, and how many of them may stand before its first mark.
EXCERPT, BEFORE = 160, 40


def card(done: Mapping[str, Any], prompt: str) -> str:
    """HTML of a card. prompt: the text that the model read, for older records that do not hold it as typed."""
    left, right, _ = words.compared(done["plain"]["text"].lstrip(), done["steered"]["text"].lstrip())
    answers = (
        f'<div><h4>{title}</h4><p class="written">{body or words.EMPTY.format("(no words)")}</p></div>'
        for title, body in (("Original", left), ("Steered", right))
    )
    shown = excerpt(asked(done) or Prompt(prompt))
    return (
        f'<article class="card"{_decided(done)}><p class="asked">{shown}</p><p class="how">{escape(how(done))}</p>'
        f'<div class="both">{"".join(answers)}</div></article>'
    )


def _decided(done: Mapping[str, Any]) -> str:
    """What decided the answers, as an attribute, by which assets/page.js sees whether it has changed since."""
    if "typed" not in done:
        return ""
    chosen = dict(done["settings"])
    if not chosen.get("temperature"):
        chosen.pop("seed", None)
    if chosen.get("heads"):
        chosen = {name: value for name, value in chosen.items() if name not in ("layers", "min_shift")}
    return f' data-asked="{escape(json.dumps({"prompt": done["typed"], "settings": chosen}))}"'


def asked(done: Mapping[str, Any]) -> Prompt | None:
    """The prompt with its marks; None where an older record does not hold it."""
    literal = done["settings"].get("literal", False)
    return Prompt.marked(done["typed"], None if literal else MARKERS) if "typed" in done else None


def excerpt(prompt: Prompt) -> str:
    """A short piece of the prompt with its marks: from shortly before the first one, else its end."""
    first = min((start for start, _ in prompt.spans), default=len(prompt.text))
    start = max(0, min(first - BEFORE, len(prompt.text) - EXCERPT))
    end = min(len(prompt.text), start + EXCERPT)
    cut = [(max(a, start) - start, min(b, end) - start, w) for a, b, w in prompt.marks if a < end and b > start]
    text = prompt.text[start:end]
    kept = [(a, b, w) for a, b, w in cut if text[a:b].strip()]
    piece = Prompt(text, tuple((a, b) for a, b, _ in kept), tuple(w for _, _, w in kept))
    return ("… " if start else "") + words.marked(piece) + (" …" if end < len(prompt.text) else "")


def how(done: Mapping[str, Any]) -> str:
    """The model and the settings that a run was made with, those at their defaults left out."""
    chosen = done["settings"]
    said = [str(done["model"]), str(chosen.get("mode", "")).replace("_", " ").capitalize()]
    if chosen.get("strength") is not None:
        said.append(f"strength {chosen['strength']:g}")
    if chosen.get("heads"):
        said.append(f"heads {chosen['heads']}")
    elif chosen.get("layers") or chosen.get("min_shift"):
        where = chosen.get("layers", "")
        where = f"{'heads' if ':' in where else 'layers'} {where}" if where else "where recommended"
        said.append(f"{where}, from a shift of {chosen.get('min_shift', 0):g}")
    if chosen.get("temperature"):
        said.append(f"temperature {chosen['temperature']:g}, seed {chosen.get('seed', 0)}")
    if "max_new_tokens" in chosen:
        said.append(f"at most {words.plural(chosen['max_new_tokens'], 'token')}")
    return " · ".join(said)
