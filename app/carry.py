"""Take along: a link, the run as a file, its figures, and the text that this browser keeps.

Links, files and pictures are made in the browser (assets/carry.js); nothing of them is stored on the server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from app import choices, link, opening, runs
from app.asked import Asked
from app.examples import Example
from app.models import Studio
from app.views import View
from app.wiring import NAMES, QUIET

BUTTONS = {
    "link": "Copy link",
    "embed": "Copy embed code",
    "export": "Export run",
    "load": "Import run",
    "png": "Figures as PNG",
    "html": "Figures as HTML",
}
#: Both are fixed, so that a text outlives the server, which reads it when the page opens and keeps none of it. The secret hides
#: nothing from its owner.
KEPT: dict[str, Any] = {"storage_key": "seka", "secret": "seka"}
NOTE = (
    '<div id="carry-note" role="status" aria-live="polite"></div>'
    '<a id="whole-page" target="_blank" rel="noopener">Open the whole page</a>'
)
#: For events that warn: a warning reaches the browser only through the queue.
SPEAKING: dict[str, Any] = {**QUIET, "queue": True, "concurrency_limit": None}
#: Values of the prompt, every setting, the line on the mode, and what shows a run, for a run that is brought along.
Fill = Callable[[Asked, View], list[Any]]


@dataclass(frozen=True)
class Carry:
    """run: the last run as the text of its file. kept: what this browser remembers; opened: "yes" once the page has opened."""

    buttons: dict[str, gr.Button]
    run: gr.Textbox
    kept: gr.BrowserState
    opened: gr.Textbox

    @property
    def shown(self) -> list[Any]:
        """What a run fills."""
        return [self.run]


def build(view: View) -> Carry:
    """The row of buttons."""
    with gr.Row(elem_id="carry"):
        buttons = {
            name: gr.Button(label, size="sm", min_width=60, elem_id=f"carry-{name}") for name, label in BUTTONS.items()
        }
        gr.HTML(NOTE, js_on_load=None)
    run = gr.Textbox(outputs(view)[0], visible="hidden", elem_id="run", label="The last run")
    return Carry(buttons, run, gr.BrowserState(None, **KEPT), gr.Textbox(visible="hidden", label="Opened"))


def outputs(view: View) -> list[Any]:
    """A view as the value of `Carry.shown`: the run's file at its end, nothing where there is no run."""
    if view.figures is None:
        return [gr.skip()]
    return [json.dumps(runs.document(view.record), ensure_ascii=False) if view.record else ""]


def wire(studio: Studio, carry: Carry, inputs: list[Any], filled: list[Any], fill: Fill) -> None:
    """Every button, and the memory. inputs: the prompt and every setting; filled: the components that `fill` gives values for."""
    page = json.dumps({"names": NAMES, "base": "" if studio.place else link.address(), "longest": link.LONGEST})
    calls: dict[str, tuple[str, Any]] = {
        "link": (f"(...values) => seka.copyLink({page}, values)", inputs),
        "embed": (f"(...values) => seka.copyEmbed({page}, values)", inputs),
        "export": ("(run) => seka.exportRun(run)", carry.run),
        "png": ("() => seka.saveFigures('png')", None),
        "html": ("() => seka.saveFigures('html')", None),
    }
    for name, (call, given) in calls.items():
        carry.buttons[name].click(None, given, None, js=call, api_visibility="private")

    def load(source: str) -> list[Any]:
        if source:
            try:
                run = runs.read(source.encode(errors="replace"))
                return fill(run.asked, run.view(studio.name))
            except ValueError as error:
                _warn(f"This file was not imported: {error}.")
        return [gr.skip()] * len(filled)

    pick = "async () => [await seka.pickRun()]"
    carry.buttons["load"].click(load, carry.run, filled, js=pick, trigger_mode="multiple", **SPEAKING)
    for call, events in (("keep", [component.change for component in inputs]), ("keepEarly", [carry.opened.change])):
        gr.on(
            events, None, [carry.opened, carry.kept, *inputs], carry.kept,
            js=f"(opened, kept, ...values) => [seka.{call}({json.dumps(NAMES)}, opened, kept, values)]",
            api_visibility="private",
        )  # fmt: skip
    carry.run.change(
        None, [carry.opened, carry.run], None, js="(opened, run) => { seka.keepRun(opened, run); return []; }",
        api_visibility="private",
    )  # fmt: skip


def filling(studio: Studio, outputs: Callable[[View], list[Any]]) -> Fill:
    """outputs: a view as the values of what shows a run. What this page lacks of the settings is said in a warning."""

    def fill(brought: Asked, view: View) -> list[Any]:
        chosen, warning = opening.fitted(studio, brought.settings)
        if warning:
            _warn(warning)
        values: dict[str, Any] = {name: getattr(chosen, name) for name in NAMES}
        # With its choices: the page may have been built before somebody learnt this mode.
        values["mode"] = gr.Radio(choices=studio.modes(), value=chosen.mode if studio.modes() else None)
        return [brought.prompt, *values.values(), choices.about_line(studio, chosen.mode), *outputs(view)]

    return fill


def brought(
    studio: Studio, query: dict[str, str], kept: Any, last: str, examples: Sequence[Example], fill: Fill
) -> tuple[Asked | None, list[Any] | None]:
    """What the page opens with and the values that show it; None for the first example, which is there already.

    kept, last: what this browser remembers, the text and the file of the last run.
    """
    asked, warning = opening.choose(query, kept)
    if warning:
        _warn(warning)
    if asked is None:
        return None, None
    return asked, fill(asked, opening.view(studio, asked, examples, "" if "s" in query else last))


def _warn(sentence: str) -> None:
    gr.Warning(escape(sentence))  # a toast is HTML
