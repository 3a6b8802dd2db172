"""Figures show exactly what the objects hold, escape what they print, and stay readable on any background."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import build_model

import seka
from seka import figures
from seka.routing import Routing


@pytest.fixture
def projection(qwen: Any, learnt: Callable[..., seka.Projection]) -> seka.Projection:
    return learnt(qwen, name="facts")


def test_heads_shows_every_shift_and_outlines_what_is_steered(qwen: Any, projection: seka.Projection) -> None:
    steering = seka.Steering(qwen, projection, positive=0.5, heads={0: [1], 2: [0, 1]})
    figure = figures.heads(projection, steering)
    shown = torch.tensor(figure.data[0].z)
    assert torch.allclose(shown, torch.stack([projection.relative_shift[layer] for layer in (0, 1, 2)]))
    boxes = {(round((s.y0 + s.y1) / 2), round((s.x0 + s.x1) / 2)) for s in figure.layout.shapes}
    assert boxes == {(0, 1), (2, 0), (2, 1)}
    assert figure.layout.yaxis.autorange == "reversed"


def test_layers_and_heads_that_are_not_there_take_no_room(learnt: Callable[..., seka.Projection]) -> None:
    """Layers 0 and 3 of four, and layers of two heads and of one."""
    for name, layers, empty in (("qwen3_next", (0, 3), []), ("gemma4_text", (0, 1), [(1, 1)])):
        model = build_model(name)
        projection = learnt(model)
        steering = seka.Steering(model, seka.Router({"a": projection, "b": projection.random()}), 1.0)
        routing = Routing(("a",), {n: torch.ones(1, 1, len(projection.shift[n])) for n in layers})
        for figure in (figures.heads(projection, steering), figures.router(routing)):
            trace = figure.data[0]
            assert (tuple(trace.y), tuple(trace.x)) == (layers, (0, 1))
            assert [(y, x) for y in range(2) for x in range(2) if trace.z[y][x] is None] == empty
            assert figure.layout.yaxis.type == "category"
        shapes = figures.heads(projection, steering).layout.shapes
        boxes = {(round((s.y0 + s.y1) / 2), round((s.x0 + s.x1) / 2)) for s in shapes}
        assert boxes == {(y, x) for y in range(2) for x in range(2)} - set(empty)


def test_heads_leaves_unknown_heads_empty(projection: seka.Projection) -> None:
    projection.parts[1].relative_shift[0] = math.nan
    assert figures.heads(projection).data[0].z[1][0] is None


def test_heads_of_a_router_takes_the_largest_expert_or_one(projection: seka.Projection) -> None:
    other = projection.random(1)
    other.parts[0].relative_shift.add_(1.0)
    router = seka.Router({"a": projection, "b": other})
    expected = torch.maximum(projection.relative_shift[0], other.relative_shift[0])
    assert torch.allclose(torch.tensor(figures.heads(router).data[0].z[0]), expected)
    assert torch.allclose(torch.tensor(figures.heads(router, expert="a").data[0].z[0]), projection.relative_shift[0])
    with pytest.raises(ValueError, match="no expert 'c'"):
        figures.heads(router, expert="c")


def test_router_draws_one_map_an_expert_on_one_scale() -> None:
    coefficients = {0: torch.tensor([[[1.0, 0.5], [0.25, 1.0]]]), 3: torch.tensor([[[0.1, 1.0], [1.0, 0.2]]])}
    figure = figures.router(Routing(("facts", "<b>roles"), coefficients))
    shown = torch.tensor([trace.z for trace in figure.data])
    assert torch.allclose(shown, torch.tensor([[[1.0, 0.5], [0.1, 1.0]], [[0.25, 1.0], [1.0, 0.2]]]))
    assert {trace.coloraxis for trace in figure.data} == {"coloraxis"}
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)
    titles = [annotation.text for annotation in figure.layout.annotations]
    assert titles == ["facts · 51%", "&lt;b&gt;roles · 49%"]


def test_router_centres_a_signed_scale_on_zero() -> None:
    figure = figures.router(Routing(("a", "b"), {0: torch.tensor([[[1.0], [-0.5]]])}))
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-1, 1)


def test_compare_shows_both_rows_and_escapes_text() -> None:
    prompt = seka.Prompt("x")
    plain = seka.Result(prompt, "a<script>b", (1, 2, 3), (0.5, 0.25, 1.0), "length")
    steered = seka.Result(prompt, "ok", (4,), (0.75,), "eos")
    figure = figures.compare(seka.Comparison(prompt, plain, steered), (["a", "<script>", "b"], ["ok"]))
    assert [list(row) for row in figure.data[0].z] == [[0.5, 0.25, 1.0], [0.75, None, None]]
    assert [list(row) for row in figure.data[0].text] == [["a", "&lt;script&gt;", "b"], ["ok", "", ""]]


@pytest.mark.parametrize("make", [figures.heads, lambda p: figures.router(Routing(("a",), {0: torch.ones(1, 1, 2)}))])
def test_figures_are_transparent_and_have_no_title(projection: seka.Projection, make: Callable[..., Any]) -> None:
    figure = make(projection)
    assert figure.layout.paper_bgcolor == figure.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert "title" not in figure.to_plotly_json()["layout"]
