"""The tabs under the answers: heads, router, attention, next token, tokens. What they show of a run comes from its view.

A tab's content is on the page only while it is open (Gradio renders it then), and its figure comes once, at a run's end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import heads, programs, sweep
from app.views import View
from app.wiring import Wrapper, as_is


@dataclass(frozen=True)
class Panel:
    """What is said over a figure, the figure, and the table below it. name: that of its fields in a view."""

    name: str
    words: gr.HTML
    figure: gr.Plot
    table: gr.HTML

    @property
    def shown(self) -> list[Any]:
        return [self.words, self.figure, self.table]


@dataclass(frozen=True)
class Details:
    """What a run fills, and the view of the prompt's tokens, which the editor fills."""

    heads: heads.Heads
    panels: tuple[Panel, ...]
    tokens: gr.HTML
    strengths: sweep.Sweep
    code: programs.Programs

    @property
    def shown(self) -> list[Any]:
        """The components that `outputs` gives values for, in that order."""
        return [*self.heads.shown, *(part for panel in self.panels for part in panel.shown)]


#: Panels in the order of their tabs: name in a view, id of the figure's place on the page.
PANELS = {"router": "router", "attention": "attention", "next": "next-token", "tokens": "confidence"}


def build(view: View, tokens_html: str, gpu: Wrapper = as_is) -> Details:
    """The tabs, showing a view. gpu: wraps what runs the model."""
    with gr.Tabs(elem_id="details"):
        with gr.Tab("Heads"):
            maps = heads.build(view)
        with gr.Tab("Router"):
            router = _panel("router", view)
        with gr.Tab("Attention"):
            attention = _panel("attention", view)
        with gr.Tab("Next token"):
            following = _panel("next", view)
        with gr.Tab("Tokens"):
            gr.HTML(
                "The prompt as the model's tokens; those a mark touches are steered. Below, how sure the model was of each "
                "token it wrote.",
                elem_classes=["caption"],
                js_on_load=None,
            )
            tokens = gr.HTML(tokens_html, elem_id="tokens", js_on_load=None)
            written = _panel("tokens", view)
        with gr.Tab("Strengths"):
            strengths = sweep.build(gpu)
        code = programs.build()
    return Details(maps, (router, attention, following, written), tokens, strengths, code)


def outputs(view: View) -> list[Any]:
    """A view as the values of `Details.shown`; figures and tables only in the last one of a run."""
    values = heads.outputs(view)
    for name in PANELS:
        words = getattr(view, f"{name}_words")
        if view.figures is None:
            values += [words or gr.skip(), gr.skip(), gr.skip()]
        else:
            figure = view.figures.get(name)
            values += [words, gr.Plot(figure, visible=figure is not None), getattr(view, f"{name}_table", "")]
    return values


def _panel(name: str, view: View) -> Panel:
    figure = (view.figures or {}).get(name)
    return Panel(
        name,
        gr.HTML(getattr(view, f"{name}_words"), elem_classes=["caption"], js_on_load=None),
        gr.Plot(figure, show_label=False, elem_id=PANELS[name], container=False, visible=figure is not None),
        gr.HTML(getattr(view, f"{name}_table", ""), elem_id=f"{name}-table", js_on_load=None),
    )
