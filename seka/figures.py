"""Pictures of what the library returned. Pure functions of a `Projection`, a `Routing` or a `Comparison`; no steering.

Backgrounds are transparent and the ink is a grey that reads on white and on black. No figure has a title of its own.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from seka.generation import Comparison
from seka.next_tokens import NextTokens
from seka.projections import Projection
from seka.routing import Router, Routing
from seka.steering import Steering

INK = "#8a8f98"
#: One hue; 0 recedes into the page, light or dark.
SCALE = [[0.0, "rgba(86,120,189,0.08)"], [0.5, "#7c98d3"], [1.0, "#3d6fd1"]]
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
_ROWS: dict[str, Any] = {"type": "category", "autorange": "reversed", "tickmode": "linear"}


def heads(projection: Projection | Router, steering: Steering | None = None, expert: str | None = None) -> go.Figure:
    """Sensitivity: layers x KV heads coloured by relative shift, unknown heads empty; steered heads are outlined.

    Layer 0 is at the top. For a router: one expert's shifts, or without `expert` the largest over the experts.
    """
    return shifts(sensitivity(projection, expert), steering.selected if steering is not None else None)


def shifts(shift: Mapping[int, torch.Tensor], selected: Mapping[int, torch.Tensor] | None = None) -> go.Figure:
    """What `heads` draws, from values that were kept: {layer: (H,)} relative shifts, NaN where unknown, and `Steering.selected`."""
    return _map(shift, selected or {}, SCALE, (0.0, None), "relative shift", "relative shift %{z:.3f}")


def effects(effect: Mapping[int, torch.Tensor], selected: Mapping[int, torch.Tensor] | None = None) -> go.Figure:
    """What each head alone does to an answer (`seka.effects`): layers x KV heads, signed, in nats; unmeasured heads empty.

    Heads that make the answer less likely have a minus sign. Those of `selected` (`Steering.selected`) are outlined.
    """
    most = max((abs(v) for row in effect.values() for v in row.tolist() if not math.isnan(v)), default=0.0) or 1.0
    figure = _map(effect, selected or {}, SIGNED, (-most, most), "nats", "%{z:+.3f} nats")
    trace = figure.data[0]
    signs = [["\u2212" if value is not None and value < 0 else "" for value in row] for row in trace.z]
    trace.update(text=signs, texttemplate="%{text}", textfont={"color": SIGN, "size": 14})
    return figure


def _map(
    values: Mapping[int, torch.Tensor],
    selected: Mapping[int, torch.Tensor],
    scale: list[list[Any]],
    ends: tuple[float, float | None],
    unit: str,
    told: str,
) -> go.Figure:
    """Layers x KV heads, the selected ones outlined. ends: values of the scale's ends. told: a value when hovered over."""
    layers = sorted(values)
    width = max(len(row) for row in values.values())
    grid = [_filled([_number(value) for value in values[layer]], width) for layer in layers]
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
            colorscale=scale,
            zmin=ends[0],
            zmax=ends[1],
            colorbar=_bar(unit),
            xgap=6,
            ygap=6,
            hovertemplate=f"layer %{{y}}, KV head %{{x}}<br>{told}<br>%{{customdata}}<extra></extra>",
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
                z=[_filled(row, width) for row in rows],
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
    figure.update_yaxes(dtick=max(1, deepest // 12), **_ROWS)
    figure.update_layout(
        coloraxis={
            "colorscale": SCALE,
            "cmin": 0,
            "cmax": largest or 1,
            "colorbar": _bar("share") | {"tickformat": ".0%"},
        },
        coloraxis2={
            "colorscale": SIGNED,
            "cmin": -moved or -1,
            "cmax": moved or 1,
            "colorbar": _bar("change") | {"tickformat": "+.0%", "x": 1.14},
        },
    )
    return _quiet(figure, height)


def next_tokens(found: NextTokens) -> go.Figure:
    """The likeliest tokens after the prompt, plain (hatched) above steered (filled), the first at the top."""
    places = list(range(len(found.top)))
    texts = [html.escape(token.text.replace("\n", "↵").replace(" ", "·")[:24] or "∅") for token in found.top]
    figure = go.Figure()
    rows = (
        ("plain", [token.plain for token in found.top], {"color": INK, "pattern": {"shape": "/"}}),
        ("steered", [token.steered for token in found.top], {"color": OUTLINE}),
    )
    for name, values, marker in rows:
        figure.add_trace(
            go.Bar(
                x=values,
                y=places,
                orientation="h",
                name=name,
                marker=marker,
                text=[f"{value:.1%}" for value in values],
                textposition="outside",
                cliponaxis=False,
                customdata=texts,
                hovertemplate=f"{name}: “%{{customdata}}” %{{x:.2%}}<extra></extra>",
            )
        )
    largest = max((max(token.plain, token.steered) for token in found.top), default=1.0)
    figure.update_xaxes(title_text="probability of the next token", tickformat=".0%", range=[0, 1.18 * largest])
    figure.update_yaxes(tickmode="array", tickvals=places, ticktext=texts, autorange="reversed", automargin=True)
    figure.update_layout(legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}, bargap=0.25)
    return _quiet(figure, 40 * len(places) + 90)


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


def sweep(strengths: Sequence[float], curves: Sequence[tuple[str, Sequence[float]]]) -> go.Figure:
    """Probability of each likely first token over the strengths: a curve each, told apart by colour, dash and symbol.

    strengths (G,). curves: (the token's text, (G,) probabilities) of each token, as `seka.sweep` finds them.
    """
    order = sorted(range(len(strengths)), key=lambda g: strengths[g])
    figure = go.Figure()
    for n, (text, values) in enumerate(curves):
        name = html.escape(text)
        figure.add_trace(
            go.Scatter(
                x=[strengths[g] for g in order],
                y=[values[g] for g in order],
                name=f"“{name}”",
                mode="lines+markers",
                line={"color": LINES[n % len(LINES)], "width": 2, "dash": DASHES[n % len(DASHES)]},
                marker={"symbol": SYMBOLS[n % len(SYMBOLS)], "size": 8},
                hovertemplate=f"“{name}” at strength %{{x:g}}: %{{y:.1%}}<extra></extra>",
            )
        )
    figure.update_layout(
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}, hovermode="closest", showlegend=True
    )
    _quiet(figure, 320, top=64)
    figure.update_xaxes(title_text="strength", tickvals=[strengths[g] for g in order])
    figure.update_yaxes(title_text="probability of the first token", tickformat=".0%", rangemode="tozero")
    return figure


def sensitivity(source: Projection | Router, expert: str | None = None) -> dict[int, torch.Tensor]:
    """{layer: (H,)} the relative shifts that `heads` colours; NaN where unknown."""
    if isinstance(source, Projection):
        if expert is not None:
            raise ValueError(f"expert={expert!r} was asked of a single projection; wanted none")
        return source.relative_shift
    if expert is not None:
        if expert not in source.experts:
            raise ValueError(f"no expert {expert!r}; wanted one of {list(source.names)}")
        return source.experts[expert].relative_shift
    every = [e.relative_shift for e in source.experts.values()]
    most = {layer: torch.stack([shift[layer].nan_to_num(-1.0) for shift in every]).amax(0) for layer in source.layers}
    return {layer: row.where(row >= 0, torch.nan) for layer, row in most.items()}


def _number(value: torch.Tensor) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number


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
