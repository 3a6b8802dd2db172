"""The settings beside the prompt: what steers, how strongly, where, and how answers are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from types import new_class
from typing import Any

import gradio as gr

from app import maps
from app.models import Studio
from app.settings import Settings
from app.wiring import QUIET, strongest


@dataclass(frozen=True)
class Choices:
    """fields: {name of a setting: its component}, all but `literal`, which is the editor's.

    where: the line on the heads that these settings steer, or on what is wrong with them; the Heads tab fills it.
    note: why there is no adaptive mode, empty where there is one; an expert that is learnt may change it.
    """

    fields: dict[str, Any]
    about: gr.HTML
    reset: gr.Button
    where: gr.HTML
    note: gr.HTML


# A number beyond the ends stands beside a slider until its field is left. Meanwhile all that happens on the page brings it
# along, and Gradio would fail that with an error of its own; what no run takes `actions.check` refuses. A class, since Gradio
# makes a slider anew, of its own class, whenever an event leaves it alone; with the module and events of Gradio's, since the
# stub that Gradio writes beside the file of a component's class is then the one that is there.
Slider = new_class(
    "Slider",
    (gr.Slider,),
    exec_body=lambda names: names.update(
        preprocess=lambda _, payload: payload, EVENTS=gr.Slider.EVENTS, __module__=gr.Slider.__module__
    ),
)


def build(studio: Studio, chosen: Settings) -> Choices:
    """The components, showing the chosen settings."""
    mode = gr.Radio(studio.modes(), value=chosen.mode if studio.modes() else None, label="Steer with", elem_id="mode")
    about = gr.HTML(about_line(studio, chosen.mode), elem_id="about", js_on_load=None)
    top = strongest(studio)
    with gr.Row(elem_id="strength-row"):
        strength = Slider(
            0, top, value=chosen.strength, step=0.01, label="Strength", elem_id="strength", buttons=[], min_width=150,
            info="0 is off, the tick is recommended.",
        )  # fmt: skip
        reset = gr.Button("Reset", size="sm", elem_id="reset", scale=0, min_width=64)
    new = Slider(1, 256, value=chosen.max_new_tokens, step=1, label="Max new tokens", buttons=[], elem_id="max-new")
    # What a slider made of a number beyond its ends, from assets/page.js.
    gr.HTML('<div role="status"></div>', elem_id="beyond", elem_classes=["caption"], js_on_load=None)
    # No bounds here: Gradio would refuse a number in its own words, and `actions.check` does in ours.
    with gr.Accordion("Advanced", open=False, elem_id="advanced"):
        with gr.Row():
            layers = gr.Textbox(
                chosen.layers, label="Layers", info="all, last4, 3,5, or heads, 0:1,3; empty: as recommended", max_lines=1,
                min_width=130, elem_id="layers",
            )  # fmt: skip
            shift = gr.Number(
                chosen.min_shift, label="Head threshold", info="least relative shift; 0 leaves no head out", step=0.01,
                min_width=130, elem_id="min-shift",
            )  # fmt: skip
        heads = gr.Textbox(
            chosen.heads, label="Heads", max_lines=1, elem_id="heads-named",
            info="just these KV heads of these layers, as 0:1,3;4:0; empty: by layers and threshold",
        )  # fmt: skip
        with gr.Row():
            heat = gr.Number(
                chosen.temperature,
                label="Temperature",
                info="0 is greedy",
                step=0.1,
                min_width=130,
                elem_id="temperature",
            )
            seed = gr.Number(
                chosen.seed, label="Seed", info="the same noise for both", step=1, min_width=130, elem_id="seed"
            )
    where = gr.HTML(maps.line(studio, chosen), elem_id="where", elem_classes=["caption"], js_on_load=None)
    note = gr.HTML(note_line(studio), elem_id="mode-note", js_on_load=None)
    fields = {
        "mode": mode,
        "strength": strength,
        "max_new_tokens": new,
        "layers": layers,
        "min_shift": shift,
        "heads": heads,
        "seed": seed,
        "temperature": heat,
    }
    return Choices(fields, about, reset, where, note)


def wire(studio: Studio, choices: Choices) -> None:
    """A mode brings its line and its strength; reset brings the recommended strength back."""
    mode, strength = choices.fields["mode"], choices.fields["strength"]

    def choose(mode: str, strength: float) -> tuple[str, Any]:
        recommended = {studio.gain(value) for _, value in studio.modes()}
        return about_line(studio, mode), studio.gain(mode) if strength in recommended else gr.skip()

    mode.input(choose, [mode, strength], [choices.about, strength], **QUIET)
    choices.reset.click(studio.gain, mode, strength, **QUIET)


def note_line(studio: Studio) -> str:
    """What a visitor should know of the modes that are not there; nothing where all are."""
    return f'<p class="caption">{escape(studio.note)}</p>' if studio.note else ""


def about_line(studio: Studio, mode: str) -> str:
    """The line under the mode; it also tells the script where the strength's tick goes."""
    gain = studio.gain(mode)
    return f'<p class="about" data-gain="{gain:g}">{escape(studio.describe(mode))}</p>'
