"""Several maps of layers x heads side by side: the router's experts, and the attention on marked words."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from seka.figures.look import ROWS, SCALE, SIGNED, bar, filled, quiet
from seka.routing import Routing


def router(routing: Routing, row: int = -1) -> go.Figure:
    """The router's coefficients of one row: a heatmap of layers x KV heads for each expert, on one colour scale."""
    layers = sorted(routing.coefficients)
    count = len(routing.names)
    columns = min(count, 4)
    lines = math.ceil(count / columns)
    width = max(c.shape[2] for c in routing.coefficients.values())
    grids = [[filled(routing.coefficients[layer][row, e].tolist(), width) for layer in layers] for e in range(count)]
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
            "colorbar": bar("weight"),
        }
    )
    figure.update_xaxes(title_text="KV head", tickmode="linear", dtick=max(1, width // 8))
    figure.update_yaxes(dtick=max(1, len(layers) // 12), **ROWS)
    for line in range(lines):
        figure.update_yaxes(title_text="layer", row=line + 1, col=1)
    return quiet(figure, lines * (18 * len(layers) + 110))


def attention(shares: Mapping[str, tuple[Mapping[int, torch.Tensor], Mapping[int, torch.Tensor]]]) -> go.Figure:
    """Share of the last token's attention on marked tokens: layers x query heads, plain, steered, and the change.

    shares: {kind of mark: ({layer: (Q,)} plain, the same steered)}, from `attention_on_highlight`; a line of maps each.
    Shares are on one scale from 0, changes on another around 0.
    """
    deepest = max(len(plain) for plain, _ in shares.values())
    height = len(shares) * (14 * deepest + 130)
    titles = [f"{html.escape(kind)} · {part}" for kind in shares for part in ("plain", "steered", "change")]
    figure = make_subplots(
        len(shares), 3, subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.05, vertical_spacing=90 / height
    )
    largest, moved = 0.0, 0.0
    for line, (plain, steered) in enumerate(shares.values(), 1):
        layers = sorted(plain)
        width = max(len(row) for row in plain.values())
        before, after = ([row[layer].tolist() for layer in layers] for row in (plain, steered))
        change = [[b - a for a, b in zip(*rows, strict=True)] for rows in zip(before, after, strict=True)]
        largest = max([largest, *(value for rows in (*before, *after) for value in rows)])
        moved = max([moved, *(abs(value) for rows in change for value in rows)])
        for column, (rows, word) in enumerate(((before, "plain"), (after, "steered"), (change, "change")), 1):
            trace = go.Heatmap(
                z=[filled(row, width) for row in rows],
                x=list(range(width)),
                y=layers,
                coloraxis="coloraxis2" if column == 3 else "coloraxis",
                xgap=1,
                ygap=1,
                hovertemplate=f"{word}<br>layer %{{y}}, query head %{{x}}<br>%{{z:{'+' if column == 3 else ''}.1%}}<extra></extra>",
            )
            figure.add_trace(trace, row=line, col=column)
        figure.update_yaxes(title_text="layer", row=line, col=1)
        figure.update_xaxes(title_text="query head", row=line, tickmode="linear", dtick=max(1, width // 4))
    figure.update_yaxes(dtick=max(1, deepest // 12), **ROWS)
    figure.update_layout(
        coloraxis={
            "colorscale": SCALE,
            "cmin": 0,
            "cmax": largest or 1,
            "colorbar": bar("share") | {"tickformat": ".0%"},
        },
        coloraxis2={
            "colorscale": SIGNED,
            "cmin": -moved or -1,
            "cmax": moved or 1,
            "colorbar": bar("change") | {"tickformat": "+.0%", "x": 1.14},
        },
    )
    return quiet(figure, height)
