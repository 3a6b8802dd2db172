"""The Code tab: programs that repeat the last run. What they are is in code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from app import code, runs
from app.asked import parse
from app.models import Studio
from app.wiring import QUIET

#: Label and language of each program, in the order of `code.programs`.
LANGUAGES = {"Python": "python", "gradio_client": "python", "curl": "shell"}


@dataclass(frozen=True)
class Programs:
    """The tab, and a component for each program."""

    tab: gr.Tab
    shown: list[gr.Code]


def build() -> Programs:
    """The tab among those that are being built."""
    with gr.Tab("Code") as tab:
        gr.HTML("Programs that repeat this run.", elem_classes=["caption"], js_on_load=None)
        shown = [
            gr.Code(label=label, language=language, elem_id=f"code-{label.lower()}", interactive=False)  # type: ignore[arg-type]
            for label, language in LANGUAGES.items()
        ]
    return Programs(tab, shown)


def wire(studio: Studio, programs: Programs, run: gr.Textbox) -> None:
    """The programs follow the last run's file; they are written when the tab opens."""

    def write(source: str, request: gr.Request) -> list[str]:
        if not source:
            return ["# Press Compare first."] * len(LANGUAGES)
        try:
            asked: Any = request.request
            return code.programs(runs.again(parse(source)), studio, str(asked.base_url))
        except ValueError as error:
            return [f"# There is no program for this run: {' '.join(str(error).split())}."] * len(LANGUAGES)

    gr.on([programs.tab.select, run.change], write, run, programs.shown, **QUIET)
