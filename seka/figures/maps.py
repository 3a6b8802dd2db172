"""One map of layers x KV heads: how sensitive they are, or what each does to an answer; those that are steered are outlined."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
import torch

from seka.figures.look import OUTLINE, ROWS, SCALE, SIGN, SIGNED, bar, filled, quiet
from seka.projections import Projection
from seka.routing import Router
from seka.steering import Steering


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
    grid = [filled([_number(value) for value in values[layer]], width) for layer in layers]
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
            colorbar=bar(unit),
            xgap=6,
            ygap=6,
            hovertemplate=f"layer %{{y}}, KV head %{{x}}<br>{told}<br>%{{customdata}}<extra></extra>",
        )
    )
    outlines = [
        {
            "type": "rect",
            "x0": head - 0.5,
            "x1": head + 0.5,
            "y0": row - 0.5,
            "y1": row + 0.5,
            "line": {"color": OUTLINE, "width": 2},
        }
        for row in range(len(layers))
        for head in range(width)
        if state[row][head] == "steered"
    ]
    figure.update_layout(shapes=outlines)  # all at once: add_shape takes longer with every shape that is there
    figure.update_xaxes(title_text="KV head", tickmode="linear", dtick=max(1, width // 16))
    figure.update_yaxes(title_text="layer", dtick=max(1, len(layers) // 16), **ROWS)
    return quiet(figure, 24 * len(layers) + 86, top=8)


def _number(value: torch.Tensor) -> float | None:
    number = float(value)
    return None if math.isnan(number) else number
