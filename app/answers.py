"""The comparison: its button, both answers as they are written, what differs. What runs is in actions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import actions, look
from app.models import Studio
from app.views import View
from app.wiring import Gate, Stops, Wrapper, settings

#: Pinned runs stay in the browser: assets/pins.js copies cards here, and keeps them for a reload.
PINS = (
    '<section aria-labelledby="pins-title"><div class="pins-head"><h3 id="pins-title">Pinned runs</h3>'
    '<button type="button" id="unpin-all">Unpin all</button></div><ol></ol></section>'
    '<p id="pin-said" role="status"></p>'
)


@dataclass(frozen=True)
class Controls:
    """Under the prompt."""

    run: gr.Button
    stop: gr.Button
    status: gr.HTML


@dataclass(frozen=True)
class Answers:
    """Both columns and what is said of them; the finished run as a card, which the page holds but does not show."""

    plain: gr.HTML
    steered: gr.HTML
    differ: gr.Checkbox
    remarks: gr.HTML
    pin: gr.Button
    card: gr.HTML


def controls(view: View) -> Controls:
    """Compare, Stop and the status line."""
    with gr.Row(elem_id="go"):
        run = gr.Button("Compare", variant="primary", elem_id="compare", scale=0, min_width=130)
        stop = gr.Button("Stop", elem_id="stop", scale=0, min_width=80)
        status = gr.HTML(view.status, elem_id="status", js_on_load=None)
    return Controls(run, stop, status)


def build(view: View) -> Answers:
    """The columns side by side, what differs, and the runs that were pinned."""
    with gr.Row(elem_id="answers"):
        # Whether they are of an earlier prompt: assets/page.js knows, and says it here.
        gr.HTML('<p role="status"></p>', elem_id="old", js_on_load=None)
        plain = look.panel("plain", "Original", "the model as it is", view.plain)
        steered = look.panel("steered", "Steered", "the same model, with your marks", view.steered)
    with gr.Row(elem_id="differences"):
        differ = gr.Checkbox(True, label="Show differences", container=False, scale=0, min_width=170, elem_id="differ")
        remarks = gr.HTML(view.remarks, elem_id="remarks", js_on_load=None)
        pin = gr.Button("Pin this run", size="sm", elem_id="pin", scale=0, min_width=60)
    card = gr.HTML(view.card, elem_id="card", visible="hidden", js_on_load=None)
    gr.HTML(PINS, elem_id="pins", js_on_load=None)
    return Answers(plain, steered, differ, remarks, pin, card)


def shown(controls: Controls, answers: Answers) -> list[Any]:
    """The components that `outputs` gives values for, in that order."""
    return [answers.plain, answers.steered, controls.status, answers.remarks, answers.card]


def outputs(view: View) -> list[Any]:
    """A view as the values of both columns, the status line, the remarks and the card."""
    return [view.plain, view.steered, view.status, view.remarks, view.card]


def wire(
    page: gr.Blocks,
    studio: Studio,
    gate: Gate,
    controls: Controls,
    answers: Answers,
    inputs: list[Any],
    shown: list[Any],
    outputs: Callable[[View], list[Any]],
    gpu: Wrapper,
) -> None:
    """Compare, Stop and Pin. inputs: the prompt and every setting, in order; shown, outputs: what a view fills, and how."""
    stops = Stops()
    page.unload(stops.leave)

    def compare(request: gr.Request, text: str, *values: Any) -> Iterator[list[Any]]:
        with stops.running(request.session_hash) as flag:
            for view in actions.compare(studio, text, settings(values), flag.is_set):
                yield outputs(view)

    event = gate.wire(
        [controls.run.click, inputs[0].submit], gpu(compare), inputs, shown, stops,
        show_progress_on=[controls.status], api_name="run",
    )  # fmt: skip
    stops.button(controls.stop, event, gpu)
    answers.pin.click(None, None, None, js="() => { seka.pin(); return []; }", api_visibility="private")
    answers.differ.change(
        None, answers.differ, None, js="(on) => { seka.differences(on); return []; }", api_visibility="private"
    )
