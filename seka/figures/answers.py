"""What came of it: the next token's candidates, both answers token by token, and a prompt at several strengths."""

from __future__ import annotations

import html
from collections.abc import Sequence

import plotly.graph_objects as go

from seka.figures.look import DASHES, INK, LINES, OUTLINE, SCALE, SYMBOLS, bar, filled, quiet
from seka.generation import Comparison
from seka.next_tokens import NextTokens


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
    return quiet(figure, 40 * len(places) + 90)


def compare(comparison: Comparison, words: tuple[Sequence[str], Sequence[str]] | None = None) -> go.Figure:
    """New tokens of both answers, plain above steered, each coloured by the probability the model gave it.

    words: the text of each token of both answers, for hovering; the token's number where it is not given.
    """
    results = (("plain", comparison.plain), ("steered", comparison.steered))
    length = max(len(result.ids) for _, result in results)
    texts = words or tuple([str(n) for n in range(1, len(result.ids) + 1)] for _, result in results)
    figure = go.Figure(
        go.Heatmap(
            z=[filled(result.probabilities, length) for _, result in results],
            y=[name for name, _ in results],
            x=list(range(1, length + 1)),
            text=[[html.escape(word) for word in row] + [""] * (length - len(row)) for row in texts],
            colorscale=SCALE,
            zmin=0.0,
            zmax=1.0,
            xgap=2,
            ygap=6,
            colorbar=bar("probability"),
            hovertemplate="%{y}, token “%{text}”: probability %{z:.3f}<extra></extra>",
        )
    )
    figure.update_xaxes(title_text="new token", tickmode="linear", tick0=1, dtick=max(1, length // 16))
    figure.update_yaxes(autorange="reversed")
    return quiet(figure, 180, top=8)


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
    quiet(figure, 320, top=64)
    figure.update_xaxes(title_text="strength", tickvals=[strengths[g] for g in order])
    figure.update_yaxes(title_text="probability of the first token", tickformat=".0%", rangemode="tozero")
    return figure
