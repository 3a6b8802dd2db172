"""The prompt's editor: text box, pens, the preview below it and the view of its tokens.

Its actions run in the browser: marking a word never asks the server. assets/marks.js knows the grammar, editor.js the text
box with its pens, and selection.js shows the pens beside a selection, with the weight of a mark there.
"""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr

from app import actions
from app.models import Studio
from app.wiring import QUIET


@dataclass(frozen=True)
class Editor:
    """The prompt box, why it is not run, the switch that takes markers literally, and the preview, which the page fills."""

    prompt: gr.Textbox
    refused: gr.HTML
    literal: gr.Checkbox
    preview: gr.HTML


def build(value: str, preview: str, literal: bool) -> Editor:
    """The prompt with its pens. Buttons and Ctrl/Cmd+B work on the text box in the browser."""
    prompt = gr.Textbox(
        value,
        label="Prompt",
        info="Select words and pick a pen (Tab goes to them). Ctrl or Cmd+B highlights, Ctrl or Cmd+Shift+X ignores. "
        "A number in braces behind a mark, such as `{2}`, is its weight.",
        lines=6,
        max_lines=14,
        elem_id="prompt",
        placeholder="Write or paste a prompt here.",
        html_attributes=gr.InputHTMLAttributes(spellcheck=False),
        autoscroll=False,
    )
    refused = gr.HTML("", elem_id="refused", js_on_load=None)
    with gr.Row(elem_id="pens"):
        pens = (
            ("Highlight selection", "highlight", "seka.mark(1)"),
            ("Ignore selection", "ignore", "seka.mark(-1)"),
            ("Clear marks", "clear", "seka.clearMarks()"),
            ("Undo", "undo", "seka.undo()"),
        )
        for label, name, call in pens:
            button = gr.Button(label, size="sm", elem_id=f"pen-{name}", min_width=60)
            button.click(None, None, None, js=f"() => {{ {call}; return []; }}", api_visibility="private")
        # Always on the page (an accordion would not render it until opened): the script reads it.
        switch = gr.Checkbox(
            literal, label="Take ** and ~~ literally", elem_id="literal", container=False, min_width=60
        )
    gr.HTML('<div id="pen-note" role="status" aria-live="polite"></div>', js_on_load=None)
    return Editor(prompt, refused, switch, gr.HTML(preview, elem_id="preview", js_on_load=None))


def wire(studio: Studio, editor: Editor, tokens: gr.HTML) -> None:
    """The preview and the token view follow the prompt."""

    def preview(text: str, literal: bool) -> tuple[str, str]:
        return actions.preview(studio, text, literal)

    gr.on(
        [editor.prompt.change, editor.literal.change], preview, [editor.prompt, editor.literal], [editor.preview, tokens],
        trigger_mode="always_last", **QUIET,
    )  # fmt: skip
