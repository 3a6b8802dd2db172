"""Routing by its laws: coefficients recomputed by hand, and everything they must not depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from byhand import Plan, run
from setting import (
    HEADS,
    changed,
    close,
    experts,
    forward,
    invent,
    routed,
    rows_of,
    steerable,
    tokens_of,
)
from torch import Tensor

import seka
from seka import Projection, Router, Steering
from seka.routing import weigh
from seka.sites import sites
from seka.tokens import Tokens

WAYS = ("online", "two_pass")
SCORES = ("energy", "relative", "signed")


def without(projection: Projection, layer: int, head: int, nan: bool = False) -> Projection:
    """The projection with one head left out, as a converted bank has it where `nan`."""
    part = projection.parts[layer]
    present = part.present.clone()
    present[head] = False
    values = part.positive.values.clone()
    if nan:
        values[head] = float("nan")
    return Projection(
        {**projection.parts, layer: replace(part, present=present, positive=replace(part.positive, values=values))},
        projection.header,
    )


def same(a: Mapping[int, Tensor], b: Mapping[int, Tensor], atol: float = 1e-10) -> None:
    assert set(a) == set(b)
    for layer in a:
        torch.testing.assert_close(a[layer].double(), b[layer].double(), rtol=0, atol=atol)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("score", SCORES)
def test_by_hand(family: str, tokens: Tokens, score: str, way: str) -> None:
    """Coefficients and logits of every row of a left-padded batch: each row by its own last token, layer by layer."""
    model = steerable(family)
    known = experts(model, scaled=True)
    out, routing = routed(model, tokens, Router(known, top=4, score=score, way=way), 8.0)
    plan = Plan(list(known.values()), 8.0, score=score, way=way, top=4)
    ends = []
    for row, (ids, marks) in enumerate(rows_of(tokens)):
        expected, alphas = run(model, family, ids, marks, plan)
        for layer, alpha in alphas.items():
            torch.testing.assert_close(
                routing.coefficients[layer][row].double(), alpha, rtol=0, atol=1e-4 if family == "gemma2" else 1e-6
            )
        torch.testing.assert_close(out[row, -len(ids) :], expected, rtol=0, atol=close(family))
        assert (expected - run(model, family, ids, marks, None)[0]).abs().max() > 100 * close(family)
        ends.append(torch.stack(list(alphas.values())))
    assert routing.names == ("a", "b", "c")
    assert set(routing.coefficients) == {0, 1, 2}
    assert min((a - b).abs().max() for i, a in enumerate(ends) for b in ends[:i]) > 1e-3  # rows are weighed one by one
    for alpha in routing.coefficients.values():
        torch.testing.assert_close(alpha.abs().amax(1), torch.ones_like(alpha[:, 0]), rtol=0, atol=1e-6)


def test_two_pass_looks_at_the_unsteered_prompt(family: str, tokens: Tokens) -> None:
    """Its coefficients do not depend on the gain, and are those of online routing at gain 0; online's do depend on it."""
    model = steerable(family)
    known = experts(model)
    two = [routed(model, tokens, Router(known, way="two_pass"), gain)[1].coefficients for gain in (0.0, 9.0)]
    for layer in two[0]:
        assert torch.equal(two[0][layer], two[1][layer])
    idle, busy = (routed(model, tokens, Router(known), gain)[1].coefficients for gain in (0.0, 9.0))
    same(two[0], idle, 1e-4 if family == "gemma2" else 1e-6)
    assert torch.equal(busy[0], idle[0])  # the first layer's query is not touched by steering
    assert (busy[2] - idle[2]).abs().max() > 1e-4


@pytest.mark.parametrize("way", WAYS)
def test_rows_do_not_depend_on_their_batch(family: str, tokens: Tokens, way: str) -> None:
    model = steerable(family)
    router = Router(experts(model), way=way)
    _, together = routed(model, tokens, router)
    for row, pair in enumerate(rows_of(tokens)):
        _, alone = routed(model, tokens_of([pair]), router)
        same(together.row(row).coefficients, alone.coefficients, 1e-4 if family == "gemma2" else 1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_only_routed_rows_have_coefficients(qwen: Any, tokens: Tokens, way: str) -> None:
    router = Router(experts(qwen), way=way)
    routing_steering, single = Steering(qwen, router, 3.0), Steering(qwen, invent(qwen, 5), 3.0)
    with seka.steer(qwen, tokens, [None, routing_steering, single]) as session:
        assert (session.routing is None) == (way == "online")
        out = forward(qwen, tokens).logits
    _, all_rows = routed(qwen, tokens, router, 3.0)
    assert session.routing is not None
    for layer, alpha in session.routing.coefficients.items():
        assert torch.equal(alpha[1], all_rows.coefficients[layer][1])
        assert not alpha[[0, 2]].any()
    with single.on(tokens) as session:
        other = forward(qwen, tokens).logits
    assert session.routing is None
    torch.testing.assert_close(out[2], other[2], rtol=0, atol=close("qwen3"))


@pytest.mark.parametrize("way", WAYS)
def test_signs_of_singular_vectors_do_not_matter(qwen: Any, tokens: Tokens, way: str) -> None:
    known = experts(qwen)
    generator = torch.Generator().manual_seed(4)

    def flip(_layer: int, vectors: Tensor) -> Tensor:
        return vectors * (torch.randint(0, 2, (HEADS, 1, vectors.shape[2]), generator=generator) * 2 - 1)

    flipped = {name: changed(expert, vectors=flip) for name, expert in known.items()}
    out, routing = routed(qwen, tokens, Router(known, way=way))
    mirrored, again = routed(qwen, tokens, Router(flipped, way=way))
    same(routing.coefficients, again.coefficients)
    torch.testing.assert_close(out, mirrored, rtol=0, atol=close("qwen3"))
    signed, turned = (routed(qwen, tokens, Router(e, score="signed", way=way))[1] for e in (known, flipped))
    assert (
        signed.coefficients[0] - turned.coefficients[0]
    ).abs().max() > 0.1  # the paper's own score does depend on them


def test_the_scale_of_moments_does_not_matter(qwen: Any, tokens: Tokens) -> None:
    """An expert with 7 times larger moments does not win by that."""
    known = experts(qwen)
    scaled = {**known, "b": changed(known["b"], values=lambda _layer, values: values * 8)}
    _, routing = routed(qwen, tokens, Router(known))
    _, again = routed(qwen, tokens, Router(scaled))
    same(routing.coefficients, again.coefficients, 1e-6)
    _, signed = routed(qwen, tokens, Router(known, score="signed"))
    _, grown = routed(qwen, tokens, Router(scaled, score="signed"))
    assert (signed.coefficients[0] - grown.coefficients[0]).abs().max() > 0.1


def test_the_length_of_the_query_does_not_matter(qwen: Any) -> None:
    site, generator = sites(qwen)[0], torch.Generator().manual_seed(0)
    router = Router(experts(qwen))
    query = torch.randn((5, site.query_heads, site.width), generator=generator)
    allowed = torch.ones((3, HEADS), dtype=torch.bool)
    for score in SCORES:
        one, other = (
            weigh(
                query * scale, router.vectors(0), router.values(0), allowed, score,
                usual=Router(experts(qwen), score=score).usual(0),
            )
            for scale in (1.0, 37.0)
        )  # fmt: skip
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    nothing = weigh(query * 0, router.vectors(0), router.values(0), allowed, "energy")
    assert not nothing.any()  # no NaN from a query of length 0


@pytest.mark.parametrize("nan", [False, True])
@pytest.mark.parametrize("score", SCORES)
def test_a_filtered_head_concerns_one_expert(qwen: Any, tokens: Tokens, score: str, nan: bool) -> None:
    """It gets 0 there; ratios of the others stay, and so does every other head of the layer."""
    known = experts(qwen)
    fewer = {**known, "b": without(known["b"], 0, 1, nan)}
    full = routed(qwen, tokens, Router(known, score=score))[1].coefficients[0]
    out, routing = routed(qwen, tokens, Router(fewer, score=score), 8.0)
    left = routing.coefficients[0]
    assert not left[:, 1, 1].any()
    assert torch.equal(left[:, :, 0], full[:, :, 0])
    others = full[:, [0, 2], 1]
    expected = others / others.abs().amax(1, keepdim=True)
    torch.testing.assert_close(left[:, [0, 2], 1], expected, rtol=0, atol=1e-12)
    plan = Plan(list(known.values()), 8.0, score=score, absent=frozenset({(1, 0, 1)}))
    ids, marks = rows_of(tokens)[2]
    torch.testing.assert_close(
        out[2, -len(ids) :], run(qwen, "qwen3", ids, marks, plan)[0], rtol=0, atol=close("qwen3")
    )


def test_naming_a_head_does_not_bring_an_absent_expert_back(qwen: Any) -> None:
    known = experts(qwen)
    fewer = {**known, "b": without(known["b"], 0, 1, nan=True)}
    steering = Steering(qwen, Router(fewer), 1.0, heads={0: [1], 2: [0, 1]})
    assert steering.allowed[0].tolist() == [[False, True], [False, False], [False, True]]
    assert steering.allowed[2].all()


def test_min_shift_filters_each_expert_by_itself(qwen: Any, tokens: Tokens) -> None:
    known = experts(qwen)
    cut = 0.6
    steering = Steering(qwen, Router(known), 8.0, min_shift=cut)
    absent = set()
    for m, expert in enumerate(known.values()):
        for layer, shift in expert.relative_shift.items():
            if layer in steering.allowed:
                assert torch.equal(steering.allowed[layer][m], shift >= cut)
            absent |= {(m, layer, head) for head in range(HEADS) if float(shift[head]) < cut}
    assert 0 < len(absent) < 18
    with steering.on(tokens):
        out = forward(qwen, tokens).logits
    plan = Plan(list(known.values()), 8.0, score="energy", absent=frozenset(absent))
    ids, marks = rows_of(tokens)[1]
    torch.testing.assert_close(
        out[1, -len(ids) :], run(qwen, "qwen3", ids, marks, plan)[0], rtol=0, atol=close("qwen3")
    )


@pytest.mark.parametrize("score", SCORES)
def test_a_head_that_no_expert_has_is_not_steered(qwen: Any, tokens: Tokens, score: str) -> None:
    known = {name: without(expert, 1, 0, nan=True) for name, expert in experts(qwen).items()}
    steering = Steering(qwen, Router(known, score=score), 5.0)
    assert steering.selected[1].tolist() == [False, True]
    out, routing = routed(qwen, tokens, Router(known, score=score), 5.0)
    assert not routing.coefficients[1][:, :, 0].any()
    named = Steering(qwen, Router(experts(qwen), score=score), 5.0, heads={0: [0, 1], 1: [1], 2: [0, 1]})
    with named.on(tokens):
        torch.testing.assert_close(forward(qwen, tokens).logits, out, rtol=0, atol=close("qwen3"))
