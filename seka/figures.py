"""Pictures of what the library returned. Pure functions of a `Projection`, a `Routing` or a `Comparison`; no steering.

Backgrounds are transparent and the ink is a grey that reads on white and on black. No figure has a title of its own.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from seka.generation import Comparison
from seka.projections import Projection
from seka.routing import Router, Routing
from seka.steering import Steering

INK = "#8a8f98"
#: One hue; 0 recedes into the page, light or dark.
SCALE = [[0.0, "rgba(86,120,189,0.08)"], [0.5, "#7c98d3"], [1.0, "#3d6fd1"]]
#: For signed values: amber below 0, nothing at 0, blue above; distinguishable without colour vision.
SIGNED = [[0.0, "#d69a1a"], [0.5, "rgba(128,128,128,0.06)"], [1.0, "#3d6fd1"]]
#: What is steered, here and on the page.
OUTLINE = "#d69a1a"
#: One row a layer, in order from above, also where only some layers of a model have keys.
_ROWS: dict[str, Any] = {"type": "category", "autorange": "reversed", "tickmode": "linear"}


def heads(projection: Projection | Router, steering: Steering | None = None, expert: str | None = None) -> go.Figure:
    """Sensitivity: layers x KV heads coloured by relative shift, unknown heads empty; steered heads are outlined.

    Layer 0 is at the top. For a router: one expert's shifts, or without `expert` the largest over the experts.
    """
    shift = _shifts(projection, expert)
    layers = sorted(shift)
    width = max(len(row) for row in shift.values())
    grid = [_filled([_number(value) for value in shift[layer]], width) for layer in layers]
    selected = steering.selected if steering is not None else {}
    state = [
        [
            "steered"
            if layer in selected and head < len(selected[layer]) and bool(selected[layer][head])
            else "not steered"
            for head in range(width)
        ]
        for layer in layers
    ]
    figure = go.Figure(
        go.Heatmap(
            z=grid,
            x=list(range(width)),
            y=layers,
            customdata=state,
            colorscale=SCALE,
            zmin=0.0,
            colorbar=_bar("relative shift"),
            xgap=6,
            ygap=6,
            hovertemplate="layer %{y}, KV head %{x}<br>relative shift %{z:.3f}<br>%{customdata}<extra></extra>",
        )
    )
    for row in range(len(layers)):
        for head in range(width):
            if state[row][head] == "steered":
                figure.add_shape(
                    type="rect",
                    x0=head - 0.5,
                    x1=head + 0.5,
                    y0=row - 0.5,
                    y1=row + 0.5,
                    line={"color": OUTLINE, "width": 2},
                )
    figure.update_xaxes(title_text="KV head", tickmode="linear", dtick=max(1, width // 16))
    figure.update_yaxes(title_text="layer", dtick=max(1, len(layers) // 16), **_ROWS)
    return _quiet(figure, 24 * len(layers) + 86, top=8)


def router(routing: Routing, row: int = -1) -> go.Figure:
    """The router's coefficients of one row: a heatmap of layers x KV heads for each expert, on one colour scale."""
    layers = sorted(routing.coefficients)
    count = len(routing.names)
    columns = min(count, 4)
    lines = math.ceil(count / columns)
    width = max(c.shape[2] for c in routing.coefficients.values())
    grids = [[_filled(routing.coefficients[layer][row, e].tolist(), width) for layer in layers] for e in range(count)]
    signed = min(v for grid in grids for line in grid for v in line if v is not None) < 0
    totals = routing.row(row if row >= 0 else routing.coefficients[layers[0]].shape[0] + row).totals()
    titles = [f"{html.escape(name)} · {totals[name]:.0%}" for name in routing.names]
    figure = make_subplots(lines, columns, subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.04)
    for e, grid in enumerate(grids):
        trace = go.Heatmap(
            z=grid,
            x=list(range(width)),
            y=layers,
            coloraxis="coloraxis",
            xgap=2,
            ygap=2,
            hovertemplate=f"{html.escape(routing.names[e])}<br>layer %{{y}}, KV head %{{x}}<br>weight %{{z:.3f}}<extra></extra>",
        )
        figure.add_trace(trace, row=e // columns + 1, col=e % columns + 1)
    figure.update_layout(
        coloraxis={
            "colorscale": SIGNED if signed else SCALE,
            "cmin": -1 if signed else 0,
            "cmax": 1,
            "colorbar": _bar("weight"),
        }
    )
    figure.update_xaxes(title_text="KV head", tickmode="linear", dtick=max(1, width // 8))
    figure.update_yaxes(dtick=max(1, len(layers) // 12), **_ROWS)
    for line in range(lines):
        figure.update_yaxes(title_text="layer", row=line + 1, col=1)
    return _quiet(figure, lines * (18 * len(layers) + 110))


def compare(comparison: Comparison, words: tuple[Sequence[str], Sequence[str]] | None = None) -> go.Figure:
    """New tokens of both answers, plain above steered, each coloured by the probability the model gave it.

    words: the text of each token of both answers, for hovering; the token's number where it is not given.
    """
    results = (("plain", comparison.plain), ("steered", comparison.steered))
    length = max(len(result.ids) for _, result in results)
    texts = words or tuple([str(n) for n in range(1, len(result.ids) + 1)] for _, result in results)
    figure = go.Figure(
        go.Heatmap(
            z=[_filled(result.probabilities, length) for _, result in results],
            y=[name for name, _ in results],
            x=list(range(1, length + 1)),
            text=[[html.escape(word) for word in row] + [""] * (length - len(row)) for row in texts],
            colorscale=SCALE,
            zmin=0.0,
            zmax=1.0,
            xgap=2,
            ygap=6,
            colorbar=_bar("probability"),
            hovertemplate="%{y}, token “%{text}”: probability %{z:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="new token", tickmode="linear", tick0=1, dtick=max(1, length // 16))
    figure.update_yaxes(autorange="reversed")
    return _quiet(figure, 180, top=8)


def _shifts(source: Projection | Router, expert: str | None) -> dict[int, torch.Tensor]:
    if isinstance(source, Projection):
        if expert is not None:
            raise ValueError(f"expert={expert!r} was asked of a single projection; wanted none")
        return source.relative_shift
    if expert is not None:
        if expert not in source.experts:
            raise ValueError(f"no expert {expert!r}; wanted one of {list(source.names)}")
        return source.experts[expert].relative_shift
    every = [e.relative_shift for e in source.experts.values()]
    return {layer: torch.stack([shift[layer].nan_to_num(-1.0) for shift in every]).amax(0) for layer in source.layers}


def _number(value: torch.Tensor) -> float | None:
    number = float(value)
    return None if math.isnan(number) or number < 0 else number


def _filled(values: Sequence[float | None], length: int) -> list[float | None]:
    """Nothing is drawn where there is no value: layers may have fewer heads than others, and answers fewer tokens."""
    return [*values, *([None] * (length - len(values)))]


def _bar(label: str) -> dict[str, Any]:
    return {"title": {"text": label, "side": "right"}, "thickness": 10, "outlinewidth": 0, "len": 0.9}


def _quiet(figure: go.Figure, height: int, top: int = 32) -> go.Figure:
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
