"""How the page looks: theme, scripts and styles, what stands above everything, an answer's frame. No handlers.

The scripts give plots the colours of the light or dark theme, too.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

ASSETS = Path(__file__).resolve().parents[1] / "assets"
CSS = ASSETS / "page.css"
#: In the order they need each other.
SCRIPTS = ("marks.js", "editor.js", "selection.js", "page.js", "pins.js", "heads.js", "carry.js")
FONT = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")
#: From light to dark.
PAPER = "#fbfaf8 #f5f3ef #e8e4dd #d6d1c7 #a5a098 #7b7770 #5f5c57 #454340 #26272b #1b1d21 #131518"
INK = "#f1f4fb #e1e8f6 #c6d3ee #a3b8e2 #7c98d3 #5678bd #3d5da1 #334e88 #2b406d #243455 #18233b"


def head() -> str:
    """The page's scripts, inline: nothing is fetched from elsewhere."""
    scripts = "\n".join((ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return f'<meta name="color-scheme" content="light dark">\n<script>\n{scripts}\n</script>'


def hero(note: str = "") -> str:
    """The heading, and a quiet line under it."""
    return (
        '<header class="hero"><h1>seka</h1><p>Mark the <mark class="emphasise">words that matter</mark>: the same model '
        "answers twice, as it is and paying more attention to them.</p>"
        + (f'<p class="caption">{note}</p>' if note else "")
        + "</header>"
    )


def theme() -> gr.themes.Base:
    """Quiet paper by day, quiet slate by night; fonts of the system. page.css knows the same names."""
    paper = gr.themes.Color(*PAPER.split())
    ink = gr.themes.Color(*INK.split())
    base = gr.themes.Base(
        primary_hue=ink, secondary_hue=ink, neutral_hue=paper, font=FONT, font_mono=MONO, radius_size="md"
    )
    return base.set(
        body_background_fill="#fbfaf8",
        body_background_fill_dark="#131518",
        body_text_color="#26272b",
        body_text_color_dark="#e7e5e0",
        body_text_color_subdued="#66635d",
        body_text_color_subdued_dark="#a3a098",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#1b1d21",
        background_fill_secondary="#f5f3ef",
        background_fill_secondary_dark="#202328",
        block_background_fill="#ffffff",
        block_background_fill_dark="#1b1d21",
        block_border_color="#e8e4dd",
        block_border_color_dark="#2e3137",
        border_color_primary="#e8e4dd",
        border_color_primary_dark="#2e3137",
        block_label_text_color="#66635d",
        block_label_text_color_dark="#a3a098",
        block_title_text_color="#45433f",
        block_title_text_color_dark="#c9c6bf",
        block_title_text_weight="600",
        block_info_text_color="#66635d",
        block_info_text_color_dark="#a3a098",
        block_shadow="none",
        input_background_fill="#ffffff",
        input_background_fill_dark="#17191d",
        input_border_color="#d6d1c7",
        input_border_color_dark="#3a3e45",
        button_primary_background_fill="#3d5da1",
        button_primary_background_fill_hover="#334e88",
        button_primary_background_fill_dark="#4a6cb3",
        button_primary_background_fill_hover_dark="#3d5da1",
        button_primary_text_color="#ffffff",
        button_secondary_background_fill="#ffffff",
        button_secondary_background_fill_hover="#f5f3ef",
        button_secondary_background_fill_dark="#202328",
        button_secondary_background_fill_hover_dark="#2a2e34",
        button_secondary_border_color="#d6d1c7",
        button_secondary_border_color_dark="#3a3e45",
        slider_color="#3d5da1",
        slider_color_dark="#7c98d3",
    )


def panel(name: str, title: str, subtitle: str, value: str) -> gr.HTML:
    """One answer column with a heading and a copy button; returns the part that streams."""
    with gr.Column(min_width=320, elem_classes=["answer-panel", f"panel-{name}"]):
        gr.HTML(
            f'<div class="panel-head"><h2>{title}</h2><span>{subtitle}</span>'
            f'<button type="button" class="copy" data-copy="{name}" aria-label="Copy the {title.lower()} answer">'
            "Copy</button></div>",
            js_on_load=None,
        )
        return gr.HTML(value, elem_id=name, js_on_load=None)
