"""Starts the page: `python app/main.py`, `python -m seka app`, or a Hugging Face Space whose app_file this is.

Nothing has to be installed from this repository: its root is put on the import path first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
# Run as a script, Python looks in app/ first, where `models` or `events` would hide a library of that name.
sys.path[:] = [str(HERE.parent), *(entry for entry in sys.path if Path(entry or ".").resolve() != HERE)]
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

try:
    import spaces  # ZeroGPU wants to be imported before torch; elsewhere it is absent
except ImportError:
    spaces = None

from app import components, events, models, page  # noqa: E402


def main() -> None:
    """Build the page, start loading the model behind it, and serve until interrupted."""
    studio = models.studio()
    studio.start(os.environ.get("SEKA_MODEL") or None)
    gpu: Callable[[Any], Any] = events.as_is
    if spaces is not None and os.environ.get("SPACES_ZERO_GPU"):
        studio.wait(600)  # on ZeroGPU the worker is a copy of this process, so the model has to be here already
        gpu = spaces.GPU(duration=60)
    demo = page.build(studio, gpu)
    demo.queue(max_size=32)
    demo.launch(
        theme=components.theme(),
        css_paths=components.CSS,
        head=components.head(),
        footer_links=["api", "settings"],
        run_history=False,
        show_error=False,
    )


if __name__ == "__main__":
    main()
