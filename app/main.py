"""Starts the page: `python app/main.py`, `python -m seka app`, or a Hugging Face Space whose app_file this is.

Nothing has to be installed from this repository: its root is put on the import path first.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Run as a script, Python looks in app/ first, where `models` or `events` would hide a library of that name.
sys.path[:] = [str(HERE.parent), *(entry for entry in sys.path if Path(entry or ".").resolve() != HERE)]
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

try:
    import spaces  # ZeroGPU wants to be imported before torch; elsewhere it is absent
except ImportError:
    spaces = None

import gradio as gr  # noqa: E402

from app import api, environment, learning, look, models, page, shelf, space, wiring  # noqa: E402
from app.models import Studio  # noqa: E402


def main() -> None:
    """Build the pages, start loading the first one's model behind it, and serve until interrupted."""
    environment.warn()
    try:
        asked, studios = environment.read(), models.studios()
    except ValueError as error:
        raise SystemExit(f"seka: {error}") from None
    gpu: wiring.Wrapper = wiring.as_is
    if spaces is not None and os.environ.get("SPACES_ZERO_GPU"):
        # A run's process is a copy of this one, and `spaces` watches this thread: every model has to be here already.
        for studio, source in zip(studios, asked.models, strict=True):
            studio.open(source)
        gpu = space.wrapper(spaces, asked.gpu_seconds)
    else:
        studios[0].start(asked.model)
    demo = assemble(studios, gpu)
    demo.queue(max_size=asked.queue, api_open=False)  # what is posted past the queue would not wait for anybody
    demo.launch(
        theme=look.theme(),
        css_paths=look.CSS,
        head=look.head(),
        footer_links=["api", "settings"],
        run_history=False,
        show_error=False,
        mcp_server=api.mcp(),
        max_file_size=learning.LARGEST,
        allowed_paths=[] if asked.learn_note else [str(shelf.root().resolve())],
    )


def assemble(studios: Sequence[Studio], gpu: wiring.Wrapper = wiring.as_is) -> gr.Blocks:
    """The page of the first studio; of several, each has a page and all are in the menu above them."""
    first, *others = studios
    menu = first.name if others else ""
    demo = page.build(first, gpu, menu)
    for place, studio in enumerate(others, 1):
        studio.place = place
        inner = page.build(studio, gpu, menu)
        with demo.route(studio.name, re.sub(r"[^a-z0-9.]+", "-", studio.name.lower())):
            inner.render()  # type: ignore[no-untyped-call]
    return demo


if __name__ == "__main__":
    main()
