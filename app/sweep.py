"""The strength sweep: one click answers the prompt at several strengths, side by side in one batch. What runs is in strengths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import strengths
from app.models import Studio
from app.strengths import Shown
from app.wiring import Gate, Stops, Wrapper, as_is, settings


@dataclass(frozen=True)
class Sweep:
    """The buttons, and what a sweep fills."""

    run: gr.Button
    stop: gr.Button
    status: gr.HTML
    caption: gr.HTML
    table: gr.HTML
    figure: gr.Plot

    @property
    def shown(self) -> list[Any]:
        """The components that `outputs` gives values for, in that order."""
        return [self.status, self.caption, self.table, self.figure]


def multiples(gpu: Wrapper) -> Sequence[float]:
    """Strengths of a sweep, in recommended ones: fewer on ZeroGPU."""
    return strengths.MULTIPLES if gpu is as_is else strengths.FEW


def build(gpu: Wrapper = as_is) -> Sweep:
    """The panel, empty."""
    at = "0, \u00bd, 1, 1\u00bd and 2" if gpu is as_is else "0, 1 and 2"
    fewer = "" if gpu is as_is else "These are fewer than elsewhere, because GPU time is short here. "
    with gr.Column(elem_id="strengths"):
        gr.HTML(
            f"Answers the prompt above at {at} times the recommended strength, and at the one that is set. {fewer}"
            "Words that differ from the first row are marked; the curves show how likely each first token becomes.",
            elem_classes=["caption"],
            js_on_load=None,
        )
        with gr.Row(elem_id="sweep-go"):
            run = gr.Button("Try several strengths", elem_id="sweep", size="sm", scale=0, min_width=150)
            stop = gr.Button("Stop the sweep", elem_id="sweep-stop", size="sm", scale=0, min_width=80)
            status = gr.HTML("", elem_id="sweep-status", js_on_load=None)
        caption = gr.HTML("", elem_id="sweep-caption", elem_classes=["card"], js_on_load=None)
        table = gr.HTML("", elem_id="sweep-table", js_on_load=None)
        figure = gr.Plot(show_label=False, elem_id="sweep-figure", container=False, visible=False)
    return Sweep(run, stop, status, caption, table, figure)


def outputs(shown: Shown) -> list[Any]:
    """A sweep as the values of `Sweep.shown`; no figure of an older sweep stands under a newer one's answers."""
    return [shown.status, shown.caption, shown.table, gr.Plot(shown.figure, visible=shown.figure is not None)]


def wire(page: gr.Blocks, studio: Studio, gate: Gate, panel: Sweep, inputs: list[Any], gpu: Wrapper) -> None:
    """Run and Stop. inputs: the prompt and every setting, in order."""
    stops = Stops()
    page.unload(stops.leave)

    def sweep(request: gr.Request, text: str, *values: Any) -> Iterator[list[Any]]:
        with stops.running(request.session_hash) as flag:
            for shown in strengths.sweep(studio, text, settings(values), flag.is_set, multiples(gpu)):
                yield outputs(shown)

    event = gate.wire(
        [panel.run.click], gpu(sweep), inputs, panel.shown, stops,
        show_progress_on=[panel.status], api_name="strengths",
    )  # fmt: skip
    stops.button(panel.stop, event, gpu)
