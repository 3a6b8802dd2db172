"""The page: its panels from top to bottom, the examples, the model's line. Each panel builds and connects itself."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from app import actions, answers, api, carry, choices, details, editor, examples, heads, learning, look, programs, sweep
from app.actions import Settings
from app.asked import Asked
from app.examples import Example
from app.models import Studio
from app.views import BEFORE, View
from app.wiring import NAMES, QUIET, Gate, Wrapper, as_is, fitting
from seka.loading import EMBEDDED

#: Shown where no example has been computed.
START = "Previously Ada played **chess**. Currently Ada plays golf. Ada is a player of"

#: Under the title, of the embedded model.
SMALL = (
    "This is a very small model, trained on made-up sentences: it shows what marks do and knows nothing of the world."
)

#: Seconds. How often copies of files that visitors sent or fetched are looked through; they are kept for a day.
HOUR = 3600


def build(studio: Studio, gpu: Wrapper = as_is, menu: str = "") -> gr.Blocks:
    """The page of one studio. gpu: wraps what runs the model (for ZeroGPU). menu: of several models' pages, the first one's."""
    shown = examples.load()
    text, chosen = (shown[0].prompt, shown[0].settings) if shown else (START, Settings())
    view = shown[0].view(studio.name) if shown else BEFORE
    chosen = fitting(studio, chosen)
    preview, tokens = actions.preview(studio, text, chosen.literal)
    page = gr.Blocks(title="seka: mark the words that matter", analytics_enabled=False, delete_cache=(HOUR, 24 * HOUR))
    with page:
        if menu:
            gr.components.Navbar(main_page_name=menu)
        with gr.Row(elem_id="top"):
            gr.HTML(look.hero(SMALL if studio.origin[0] == EMBEDDED else ""), elem_id="hero", js_on_load=None)
            line = gr.HTML(model_line(studio), elem_id="model-line", js_on_load=None)
        with gr.Row(elem_id="examples", visible=bool(shown)):
            gr.HTML('<span class="label">Try</span>', elem_id="examples-label", js_on_load=None)
            chips = [gr.Button(example.title, size="sm", min_width=60, elem_classes=["chip"]) for example in shown]
        with gr.Row(elem_id="work"):
            with gr.Column(scale=3, min_width=320, elem_id="writing"):
                edit = editor.build(text, preview, chosen.literal)
                go = answers.controls(view)
            with gr.Column(scale=2, min_width=320, elem_id="settings"):
                choice = choices.build(studio, chosen)
        columns = answers.build(view)
        take = carry.build(view)
        tabs = details.build(view, tokens, gpu)
        lessons = learning.build(studio)

        fields = {**choice.fields, "literal": edit.literal}
        inputs = [edit.prompt, *(fields[name] for name in NAMES)]
        filled = [*answers.shown(go, columns), *tabs.shown, *take.shown]
        fill, restored = carry.filling(studio, outputs), [*inputs, choice.about, *filled]
        gate = Gate(studio, edit.refused)
        editor.wire(studio, edit, tabs.tokens)
        choices.wire(studio, choice)
        heads.wire(page, studio, tabs.heads, choice, line, take.opened, inputs, gpu)
        sweep.wire(page, studio, gate, tabs.strengths, inputs, gpu)
        answers.wire(page, studio, gate, go, columns, inputs, filled, outputs, gpu)
        carry.wire(studio, take, inputs, restored, fill)
        programs.wire(studio, tabs.code, take.run)
        _examples(studio, chips, shown, restored, fill)
        _open(page, studio, line, take, shown, [edit.prompt, edit.literal], [edit.preview, tabs.tokens], restored, fill)
        learning.wire(page, studio, lessons, choice)
        api.publish(studio, gpu)
    return page


def outputs(view: View) -> list[Any]:
    """A view as the values of everything that a run fills."""
    return [*answers.outputs(view), *details.outputs(view), *carry.outputs(view)]


def model_line(studio: Studio) -> str:
    """The model and whether it is there."""
    state = "failed" if studio.problem else "ready" if studio.ready else "loading"
    title = f' title="{escape(studio.problem)}"' if studio.problem else ""
    return f'<p class="model {state}" role="status"{title}><span class="dot"></span>{escape(studio.line())}</p>'


def _examples(
    studio: Studio, chips: Sequence[gr.Button], shown: Sequence[Example], restored: list[Any], fill: carry.Fill
) -> None:
    for chip, example in zip(chips, shown, strict=True):

        def show(example: Example = example) -> list[Any]:
            return fill(Asked(example.prompt, example.settings), example.view(studio.name))

        chip.click(show, None, restored, **QUIET)


def _open(
    page: gr.Blocks,
    studio: Studio,
    line: gr.HTML,
    take: carry.Carry,
    shown: Sequence[Example],
    read: list[Any],
    previews: list[Any],
    restored: list[Any],
    fill: carry.Fill,
) -> None:
    """One handler decides what the page opens with. Until the model is there its line is told anew every second; then the
    preview knows its tokens."""
    timer = gr.Timer(1.0, active=not studio.ready)

    def tick(text: str, literal: bool) -> list[Any]:
        counted = actions.preview(studio, text, literal) if studio.ready else (gr.skip(), gr.skip())
        return [model_line(studio), gr.Timer(active=not studio.wait(0)), *counted]

    def start(request: gr.Request, kept: Any, last: str, text: str, literal: bool) -> list[Any]:
        asked, values = carry.brought(studio, dict(request.query_params), kept, last, shown, fill)
        if asked is not None:
            text, literal = asked.prompt, asked.settings.literal
        return ["yes", *tick(text, literal), *(values or [gr.skip()] * len(restored))]

    told = [line, timer, *previews]
    timer.tick(tick, read, told, **QUIET)
    page.load(
        start, [take.kept, take.run, *read], [take.opened, *told, *restored],
        js="(kept, run, ...read) => [kept, seka.lastRun(), ...read]", **carry.SPEAKING,
    )  # fmt: skip
