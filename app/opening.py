"""What the page shows of a run that is brought along: which one it opens with, and how its settings fit this page. No gradio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app import link, runs
from app.actions import Settings
from app.asked import Asked, asked
from app.examples import Example
from app.models import Studio
from app.views import BEFORE, View
from app.wiring import fitting, strongest

KEPT = '<span class="badge">Your last run, kept by this browser</span>'


def choose(query: Mapping[str, str], kept: Any) -> tuple[Asked | None, str]:
    """What a page opens with, and a warning: its link's run, else the text that this browser kept, else None, the first
    example.

    query: the address' parameters. kept: what the browser remembers, or None. An embedded page (`?embed=1`) remembers nothing.
    """
    warning = ""
    if code := query.get("s"):
        try:
            return link.read(code), ""
        except ValueError as error:
            warning = f"This link could not be read: {error}. Ask for it again, or for the exported run."
    if kept and query.get("embed") != "1":
        try:
            return asked(kept), warning
        except ValueError:
            return None, warning  # written by another version of the page; the visitor has no part in it
    return None, warning


def fitted(studio: Studio, brought: Settings) -> tuple[Settings, str]:
    """Settings as this page can show them, and a warning where that changes them."""
    chosen, most, notes = fitting(studio, brought), strongest(studio), []
    if chosen.mode != brought.mode:
        notes.append(f"This page has no expert {brought.mode[:60]!r}; {chosen.mode} is chosen instead.")
    if chosen.strength is not None and chosen.strength > most:
        notes.append(f"Strength {chosen.strength:g} is more than this page goes to; it is {most:g} now.")
        chosen = replace(chosen, strength=most)
    return chosen, " ".join(notes)


def view(studio: Studio, brought: Asked, examples: Sequence[Example], last: str = "") -> View:
    """An example's precomputed run where it is just what was brought along; else the last run, of this page's model; else a
    page before its first run.

    last: the file of a run that this browser kept.
    """
    here = fitted(studio, brought.settings)[0]
    for example in examples:
        same = example.prompt == brought.prompt and fitting(studio, example.settings) == here
        if same and (shown := example.view(studio.name)) != BEFORE:
            return shown
    try:
        run = runs.read(last.encode(errors="replace"))
        if run.record["model"] == studio.name:
            return run.view(studio.name, KEPT)
    except ValueError:
        pass  # there is none, or another version of the page wrote it
    return BEFORE
