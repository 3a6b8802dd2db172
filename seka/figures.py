"""Pictures of what the library returned. Pure functions of a `Projection`, a `Routing` or a `Comparison`; no steering.

Backgrounds are transparent and the ink is a grey that reads on white and on black. No figure has a title of its own.
"""

from __future__ import annotations

import html
import math
from typing import Any

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from seka.generation import Comparison, Result
from seka.projections import Projection
from seka.routing import Router, Routing
from seka.steering import Steering

INK = "#8a8f98"
#: One hue from the page's ground to full strength; distinguishable without colour vision, 0 recedes on light and dark.
SCALE = [[0.0, "rgba(99,102,241,0.06)"], [0.35, "#7c83f0"], [0.7, "#c05fa8"], [1.0, "#f2a65a"]]
#: For signed values: blue below 0, transparent at 0, orange above.
SIGNED = [[0.0, "#2b6cb0"], [0.5, "rgba(128,128,128,0.06)"], [1.0, "#dd7a28"]]
OUTLINE = "#10b981"


def heads(projection: Projection | Router, steering: Steering | None = None, expert: str | None = None) -> go.Figure:
    """Sensitivity: layers x KV heads coloured by relative shift, unknown heads empty; steered heads are outlined.

    Layer 0 is at the top. For a router: one expert's shifts, or without `expert` the largest over the experts.
    """
    shift = _shifts(projection, expert)
    layers = sorted(shift)
    width = max(len(row) for row in shift.values())
    grid = [
        [_number(shift[layer][head]) if head < len(shift[layer]) else None for head in range(width)] for layer in layers
    ]
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
            xgap=3,
            ygap=3,
            hovertemplate="layer %{y}, KV head %{x}<br>relative shift %{z:.3f}<br>%{customdata}<extra></extra>",
        )
    )
    for row, layer in enumerate(layers):
        for head in range(width):
            if state[row][head] == "steered":
                figure.add_shape(
                    type="rect",
                    x0=head - 0.46,
                    x1=head + 0.46,
                    y0=layer - 0.42,
                    y1=layer + 0.42,
                    line={"color": OUTLINE, "width": 2},
                )
    figure.update_xaxes(title_text="KV head", tickmode="linear", dtick=max(1, width // 16))
    figure.update_yaxes(title_text="layer", autorange="reversed", tickmode="linear", dtick=max(1, len(layers) // 16))
    return _quiet(figure, 24 * len(layers) + 110)


def router(routing: Routing, row: int = -1) -> go.Figure:
    """The router's coefficients of one row: a heatmap of layers x KV heads for each expert, on one colour scale."""
    layers = sorted(routing.coefficients)
    count = len(routing.names)
    columns = min(count, 4)
    lines = math.ceil(count / columns)
    grids = [[routing.coefficients[layer][row, e].tolist() for layer in layers] for e in range(count)]
    signed = min(v for grid in grids for line in grid for v in line) < 0
    totals = routing.row(row if row >= 0 else routing.coefficients[layers[0]].shape[0] + row).totals()
    titles = [f"{html.escape(name)} · {totals[name]:.0%}" for name in routing.names]
    figure = make_subplots(lines, columns, subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.04)
    for e, grid in enumerate(grids):
        trace = go.Heatmap(
            z=grid,
            x=list(range(len(grid[0]))),
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
    figure.update_xaxes(title_text="KV head", tickmode="linear", dtick=max(1, len(grids[0][0]) // 8))
    figure.update_yaxes(autorange="reversed", tickmode="linear", dtick=max(1, len(layers) // 12))
    for line in range(lines):
        figure.update_yaxes(title_text="layer", row=line + 1, col=1)
    return _quiet(figure, lines * (18 * len(layers) + 110))


def compare(comparison: Comparison) -> go.Figure:
    """New tokens of both answers, plain above steered, each coloured by the probability the model gave it."""
    results = (("plain", comparison.plain), ("steered", comparison.steered))
    length = max(len(result.ids) for _, result in results)
    figure = go.Figure(
        go.Heatmap(
            z=[_padded(result, length) for _, result in results],
            y=[name for name, _ in results],
            colorscale=SCALE,
            zmin=0.0,
            zmax=1.0,
            xgap=2,
            ygap=6,
            colorbar=_bar("probability"),
            hovertemplate="%{y}, token %{x}: probability %{z:.3f}<extra></extra>",
        )
    )
    text = "<br>".join(f"<b>{name}</b> {html.escape(result.text)}" for name, result in results)
    figure.add_annotation(
        text=text,
        xref="paper",
        yref="paper",
        x=0,
        y=-0.35,
        xanchor="left",
        yanchor="top",
        align="left",
        showarrow=False,
    )
    figure.update_xaxes(title_text="new token")
    figure.update_yaxes(autorange="reversed")
    _quiet(figure, 300)
    figure.update_layout(margin={"b": 140})
    return figure


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


def _padded(result: Result, length: int) -> list[float | None]:
    return [*result.probabilities, *([None] * (length - len(result.probabilities)))]


def _bar(label: str) -> dict[str, Any]:
    return {"title": {"text": label, "side": "right"}, "thickness": 10, "outlinewidth": 0, "len": 0.9}


def _quiet(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 48, "r": 16, "t": 32, "b": 44},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 12},
        hoverlabel={"font": {"size": 12}},
    )
    figure.update_xaxes(showgrid=False, zeroline=False, ticks="")
    figure.update_yaxes(showgrid=False, zeroline=False, ticks="")
    figure.update_annotations(font={"color": INK, "size": 12})
    return figure
