"""The page's layout. Blocks only: which event calls what is in events, what happens in actions, how it looks in components."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from app import actions, components, events, examples
from app.actions import Settings
from app.models import Studio
from app.views import View

#: Shown where no example has been computed.
START = "Previously Ada played **chess**. Currently Ada plays golf. Ada is a player of"


@dataclass(frozen=True)
class Parts:
    """The components that events read and write. fields: one for each of `Settings`' names, in that order."""

    prompt: gr.Textbox
    preview: gr.HTML
    tokens: gr.HTML
    fields: list[Any]
    about: gr.HTML
    reset: gr.Button
    run: gr.Button
    stop: gr.Button
    status: gr.HTML
    results: list[Any]
    differ: gr.Checkbox
    chips: list[gr.Button]
    model_line: gr.HTML


def build(studio: Studio, gpu: events.Wrapper = events.as_is) -> gr.Blocks:
    """The page of one studio. gpu: wraps the function that runs the model (for ZeroGPU)."""
    shown = examples.load()
    text, chosen = (shown[0].prompt, shown[0].settings) if shown else (START, Settings())
    view = shown[0].view(studio.name) if shown else View(status="Press Compare: the same model answers twice.")
    chosen = events.fitting(studio, chosen)
    preview, tokens_html = actions.preview(studio, text, chosen.literal)
    page = gr.Blocks(title="seka: mark the words that matter", analytics_enabled=False)
    with page:
        with gr.Row(elem_id="top"):
            gr.HTML(components.HERO, elem_id="hero", js_on_load=None)
            model_line = gr.HTML(events.model_line(studio), elem_id="model-line", js_on_load=None)
        with gr.Row(elem_id="examples", visible=bool(shown)):
            gr.HTML('<span class="label">Try</span>', elem_id="examples-label", js_on_load=None)
            chips = [gr.Button(example.title, size="sm", min_width=60, elem_classes=["chip"]) for example in shown]
        with gr.Row(elem_id="work"):
            with gr.Column(scale=3, min_width=320, elem_id="writing"):
                edit = components.editor(text, preview, chosen.literal)
                with gr.Row(elem_id="go"):
                    run = gr.Button("Compare", variant="primary", elem_id="compare", scale=0, min_width=130)
                    stop = gr.Button("Stop", elem_id="stop", scale=0, min_width=80)
                    status = gr.HTML(view.status, elem_id="status", js_on_load=None)
            with gr.Column(scale=2, min_width=320, elem_id="settings"):
                fields, about, reset = _settings(studio, chosen)
        with gr.Row(elem_id="answers"):
            plain = components.panel("plain", "Original", "the model as it is", view.plain)
            steered = components.panel("steered", "Steered", "the same model, with your marks", view.steered)
        with gr.Row(elem_id="differences"):
            differ = gr.Checkbox(
                True, label="Show differences", container=False, scale=0, min_width=170, elem_id="differ"
            )
            remarks = gr.HTML(view.remarks, elem_id="remarks", js_on_load=None)
        figures, tokens = _details(view, tokens_html)
        parts = Parts(
            edit.prompt, edit.preview, tokens, [*fields, edit.literal], about, reset, run, stop, status,
            [plain, steered, status, remarks, *figures], differ, chips, model_line,
        )  # fmt: skip
        events.wire(page, studio, parts, shown, gpu)
    return page


def _settings(studio: Studio, chosen: Settings) -> tuple[list[Any], gr.HTML, gr.Button]:
    """Components in the order of Settings' names but for literal, the line on the mode, the button that resets."""
    mode = gr.Radio(studio.modes(), value=chosen.mode, label="Steer with", elem_id="mode")
    about = gr.HTML(events.about(studio, chosen.mode), elem_id="about", js_on_load=None)
    top = max([1.0, *(2 * studio.gain(value) for _, value in studio.modes())])
    with gr.Row(elem_id="strength-row"):
        strength = gr.Slider(
            0, top, value=chosen.strength, step=0.01, label="Strength", elem_id="strength", buttons=[], min_width=150,
            info="0 is off, the tick is recommended.",
        )  # fmt: skip
        reset = gr.Button("Reset", size="sm", elem_id="reset", scale=0, min_width=64)
    new = gr.Slider(1, 256, value=chosen.max_new_tokens, step=1, label="Max new tokens", buttons=[], elem_id="max-new")
    with gr.Accordion("Advanced", open=False, elem_id="advanced"):
        with gr.Row():
            layers = gr.Textbox(
                chosen.layers,
                label="Layers",
                info="all, last4, first2, or 3,5",
                max_lines=1,
                min_width=130,
                elem_id="layers",
            )
            shift = gr.Number(
                chosen.min_shift, label="Head threshold", info="least relative shift; 0 steers every head", minimum=0,
                step=0.01, min_width=130, elem_id="min-shift",
            )  # fmt: skip
        with gr.Row():
            heat = gr.Number(
                chosen.temperature,
                label="Temperature",
                info="0 is greedy",
                minimum=0,
                maximum=5,
                step=0.1,
                min_width=130,
            )
            seed = gr.Number(
                chosen.seed, label="Seed", info="the same noise for both", precision=0, minimum=0, min_width=130
            )
    if studio.note:
        gr.HTML(f'<p class="caption">{escape(studio.note)}</p>', js_on_load=None)
    return [mode, strength, new, layers, shift, seed, heat], about, reset


def _details(view: View, tokens_html: str) -> tuple[list[Any], gr.HTML]:
    """The tabs: captions of heads and router, then the figures heads, router, confidence; and the token view."""
    drawn = view.figures or {}
    with gr.Tabs(elem_id="details"):
        with gr.Tab("Heads"):
            heads_words = gr.HTML(view.heads_words, elem_classes=["caption"], js_on_load=None)
            heads = gr.Plot(drawn.get("heads"), show_label=False, elem_id="heads", container=False)
        with gr.Tab("Router"):
            router_words = gr.HTML(view.router_words, elem_classes=["caption"], js_on_load=None)
            present = drawn.get("router") is not None
            router = gr.Plot(drawn.get("router"), show_label=False, elem_id="router", container=False, visible=present)
        with gr.Tab("Tokens"):
            gr.HTML(
                "The prompt as the model's tokens; those a mark touches are steered. Below, how sure the model was of each "
                "token it wrote.",
                elem_classes=["caption"],
                js_on_load=None,
            )
            tokens = gr.HTML(tokens_html, elem_id="tokens", js_on_load=None)
            sure = gr.Plot(drawn.get("tokens"), show_label=False, elem_id="confidence", container=False)
    return [heads_words, router_words, heads, router, sure], tokens
