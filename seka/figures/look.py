"""What every figure looks like: colours, scales, bars and axes. Backgrounds are transparent, and nothing has a title of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

#: Ink that reads on white and on black.
INK = "#8a8f98"
#: One colour, ever more opaque: 0 recedes into the page, and more is further from it, light or dark.
SCALE = [[0.0, "rgba(61,111,209,0.06)"], [1.0, "rgba(61,111,209,1)"]]
#: For signed values: amber below 0, nothing at 0, blue above; distinguishable without colour vision.
SIGNED = [[0.0, "#d69a1a"], [0.5, "rgba(128,128,128,0.06)"], [1.0, "#3d6fd1"]]
#: Signs on such a scale, readable on amber and on any background.
SIGN = "#6b7078"
#: What is steered, here and on the page.
OUTLINE = "#d69a1a"
#: Curves of one figure, readable on white and on black; each has a dash and a symbol of its own, too.
LINES = ("#3d6fd1", "#d69a1a", "#3c9a8a", "#b86a9c", "#8a8f98", "#a5713d")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross")
#: One row a layer, in order from above, also where only some layers of a model have keys.
ROWS: dict[str, Any] = {"type": "category", "autorange": "reversed", "tickmode": "linear"}


def filled(values: Sequence[float | None], length: int) -> list[float | None]:
    """Nothing is drawn where there is no value: layers may have fewer heads than others, and answers fewer tokens."""
    return [*values, *([None] * (length - len(values)))]


def bar(label: str) -> dict[str, Any]:
    """A slim scale beside a map, named by its unit."""
    return {"title": {"text": label, "side": "right"}, "thickness": 10, "outlinewidth": 0, "len": 0.9}


def quiet(figure: go.Figure, height: int, top: int = 32) -> go.Figure:
    """The same figure without a background, grid or ticks. height, top: pixels of all of it and of its upper margin."""
    figure.update_layout(
        height=height,
        margin={"l": 48, "r": 16, "t": top, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 12},
        hoverlabel={"font": {"size": 12}},
    )
    figure.update_xaxes(showgrid=False, zeroline=False, ticks="")
    figure.update_yaxes(showgrid=False, zeroline=False, ticks="")
    figure.update_annotations(font={"color": INK, "size": 12})
    return figure
