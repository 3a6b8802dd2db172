"""Weights of marks and both channels: how far a key moves, and that removal never turns it round."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from byhand import Plan, run
from setting import (
    HEADS,
    close,
    forward,
    invent,
    last,
    logits,
    rows_of,
    steerable,
)
from torch import Tensor

from seka import Projection, Router, Steering
from seka.tokens import Tokens


@pytest.mark.parametrize("weight", [0.5, -0.25, -1.0, 2.0])
def test_a_weight_multiplies_the_gain(qwen: Any, tokens: Tokens, weight: float) -> None:
    projection = invent(qwen)
    marks = (tokens.highlight != 0).float()
    whole = Tokens(tokens.ids, tokens.attention, marks)
    weighed = Tokens(tokens.ids, tokens.attention, marks * weight)
    out = logits(qwen, weighed, Steering(qwen, projection, 0.8, 0.4))
    same = logits(qwen, whole, Steering(qwen, projection, 0.8 * weight, 0.4 * weight))
    torch.testing.assert_close(out, same, rtol=0, atol=close("qwen3"))
    assert (out - logits(qwen, tokens)).abs().max() > 1e-3


def test_a_head_s_scale_multiplies_the_gain(qwen: Any, tokens: Tokens) -> None:
    """In both channels and in a mixture: a head at scale s is as it is at s times the gain, where no floor is reached."""
    plain, scales = invent(qwen), {0: [0.5, 2.0], 1: [1.25, 1.0], 2: [0.25, 3.0]}
    heads = [(layer, head) for layer in scales for head in range(HEADS)]
    for gain in (0.8, -0.2):
        for layer, head in heads:
            at, scale = {layer: [head]}, scales[layer][head]
            two = Steering(qwen, plain.scaled(scales), gain, gain / 2, heads=at)
            torch.testing.assert_close(
                logits(qwen, tokens, two), logits(qwen, tokens, Steering(qwen, plain, gain * scale, gain * scale / 2, heads=at)),
                rtol=0, atol=close("qwen3"),
            )  # fmt: skip
            known = {name: invent(qwen, seed) for seed, name in enumerate("ab")}
            scaled = Router({name: expert.scaled(scales) for name, expert in known.items()})
            torch.testing.assert_close(
                logits(qwen, tokens, Steering(qwen, scaled, gain, heads=at)),
                logits(qwen, tokens, Steering(qwen, Router(known), gain * scale, heads=at)),
                rtol=0, atol=close("qwen3"),
            )  # fmt: skip
    strong = logits(qwen, tokens, Steering(qwen, plain.scaled(scales), 4.0))
    assert (strong - logits(qwen, tokens, Steering(qwen, plain, 4.0))).abs().max() > 1e-2


def marked_keys(model: Any, tokens: Tokens, steering: Steering | None) -> Tensor:
    """(N, H, D) keys of marked tokens in layer 0, before the rotary embedding, after the edit."""
    seen: list[Tensor] = []

    def look() -> Any:  # registered last, so it sees what the edit has left
        return model.model.layers[0].self_attn.k_norm.register_forward_hook(lambda *a: seen.append(a[2]))

    if steering is None:
        handle = look()
        forward(model, tokens)
    else:
        with steering.on(tokens):
            handle = look()
            forward(model, tokens)
    handle.remove()
    return seen[-1][tokens.highlight != 0]


def test_removal_is_complete_and_never_flips(qwen: Any, tokens: Tokens) -> None:
    """Down to -1 and beyond: nothing of the key is left in the subspace, and what is outside is untouched."""
    projection = invent(qwen)
    down = Tokens(tokens.ids, tokens.attention, -(tokens.highlight != 0).float())
    plain = marked_keys(qwen, down, None)
    inside = projection.positive(0).double()
    for gain in (1.0, 1.5, 50.0):
        left = marked_keys(qwen, down, Steering(qwen, projection, gain))
        part = torch.einsum("hde,nhe->nhd", inside, left)
        assert part.abs().max() < 1e-5
        torch.testing.assert_close(left, plain - torch.einsum("hde,nhe->nhd", inside, plain), rtol=0, atol=1e-5)
    half = marked_keys(qwen, down, Steering(qwen, projection, 0.5))
    torch.testing.assert_close(
        torch.einsum("hde,nhe->nhd", inside, half), torch.einsum("hde,nhe->nhd", inside, plain) / 2, rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("score", ["energy", "signed"])
def test_a_router_never_flips_a_sign(qwen: Any, tokens: Tokens, score: str) -> None:
    """k . k' >= 0 and no longer than k along every direction, even where experts share all of their directions."""
    first = invent(qwen)
    parts = {
        layer: replace(p, positive=replace(p.positive, values=p.positive.values.flip(-1)))
        for layer, p in first.parts.items()
    }
    twin = Projection(parts, first.header)
    down = Tokens(tokens.ids, tokens.attention, -(tokens.highlight != 0).float())
    plain = marked_keys(qwen, down, None)
    for experts in ({"a": first, "twin": twin}, {"a": first, "twin": twin, "other": invent(qwen, 3)}):
        router = Router(experts, score=score)
        for gain in (0.7, 1.0, 40.0) if score == "energy" else (0.7, 1.0):
            steering = Steering(qwen, router, gain)
            left = marked_keys(qwen, down, steering)
            if score == "energy":
                assert ((left * plain).sum(-1) >= -1e-5).all()
                assert (left.norm(dim=-1) <= plain.norm(dim=-1) + 1e-5).all()
            assert not torch.equal(left, plain)
    alone = marked_keys(qwen, down, Steering(qwen, Router({"a": first}, score=score), 40.0))
    lead = first.parts[0].positive.vectors[:, :, :5].double()
    if score == "energy":
        assert torch.einsum("hdk,nhd->nhk", lead, alone).abs().max() < 1e-5


def test_a_shared_direction_is_at_most_removed(qwen: Any) -> None:
    """The coefficients of one token add up to no less than -1, for any alpha and any gain."""
    steering = Steering(qwen, Router({"a": invent(qwen), "b": invent(qwen, 1), "c": invent(qwen, 2)}, top=4), 30.0)
    alpha = torch.tensor([[1.0, 0.1, 0.3], [1.0, 1.0, 1.0], [-1.0, 0.2, 0.0]])[:, :, None].expand(3, 3, HEADS).double()
    for weight in (-1.0, 1.0, -0.01):
        column, whole = steering.coefficients(0, torch.full((3,), weight, dtype=torch.float64), alpha)
        assert whole is None
        each = column[:, :, ::4]  # (N, H, E): one of each expert's four equal columns
        assert torch.equal(each.repeat_interleave(4, 2), column)
        assert (each.clamp(max=0).sum(-1) >= -1 - 1e-12).all()
        assert torch.equal(each.sign(), (weight * alpha.mT).sign())


@pytest.mark.parametrize(("positive", "negative"), [(1.0, 1.0), (3.0, 0.5), (0.2, 0.3), (2.0, -2.0), (-1.0, -4.0)])
@pytest.mark.parametrize("weight", [-1.0, -0.3, -5.0, 1.0])
def test_both_channels_together_never_turn_a_key_round(
    qwen: Any, tokens: Tokens, positive: float, negative: float, weight: float
) -> None:
    """P+ and P- share directions: the matrix that the keys are multiplied by has no eigenvalue below 0."""
    projection = invent(qwen)
    marks = Tokens(tokens.ids, tokens.attention, weight * (tokens.highlight != 0))
    found = marked_keys(qwen, marks, Steering(qwen, projection, positive, negative)).double()
    plain = marked_keys(qwen, marks, None).double()
    both = [weight * positive, weight * negative]
    if max(both) < 0:
        both = [c / max(1.0, -sum(both)) for c in both]
    for head in range(HEADS):
        plus, minus = (channel(0)[head].double() for channel in (projection.positive, projection.negative))
        assert (torch.linalg.eigvalsh(plus + minus) > 1 + 1e-3).any()  # shared indeed
        edit = torch.eye(len(plus), dtype=torch.float64)
        for c, matrix in zip(both, (plus, minus), strict=True):
            edit += max(c, -1.0) * matrix
        assert torch.linalg.eigvalsh(edit).min() > -1e-6
        torch.testing.assert_close(found[:, head], plain[:, head] @ edit, rtol=0, atol=1e-5)


def test_negative_zero_is_no_negative_channel(qwen: Any, tokens: Tokens) -> None:
    projection = invent(qwen)
    without = Projection({n: replace(p, negative=None) for n, p in projection.parts.items()}, projection.header)
    one = logits(qwen, tokens, Steering(qwen, projection, 3.0, 0.0))
    assert torch.equal(one, logits(qwen, tokens, Steering(qwen, without, 3.0)))
    assert torch.equal(one, logits(qwen, tokens, Steering(qwen, projection, 1.0, 2.0).with_gain(3.0, 0.0)))
    assert not torch.allclose(one, logits(qwen, tokens, Steering(qwen, projection, 3.0, 1e-2)))


def test_a_papers_pair_of_gains_is_half_of_ours(qwen: Any, tokens: Tokens) -> None:
    """Published: k' = k + (a P+ k + b P- k) / 2 with a negative bank, k' = k + a P+ k without."""
    projection = invent(qwen)
    a, b = 3.0, 1.2

    class Published(Plan):
        def edit(self, layer: int, head: int, key: Tensor, weight: float, alpha: Tensor | None) -> Tensor:
            plus, minus = (self.matrix(0, layer, head, channel) @ key for channel in ("positive", "negative"))
            return key + (a * plus + b * minus) / 2

    marked = Tokens(tokens.ids, tokens.attention, (tokens.highlight != 0).float())
    out = logits(qwen, marked, Steering(qwen, projection, a / 2, b / 2))
    for row, (ids, marks) in enumerate(rows_of(marked)):
        expected, _ = run(qwen, "qwen3", ids, marks, Published([projection]))
        torch.testing.assert_close(last(out, row, len(ids)), expected, rtol=0, atol=close("qwen3"))


def test_bfloat16_is_edited_in_float32(tokens: Tokens) -> None:
    """One rounding to bfloat16 at the end: the edited key is the exact edit of the bfloat16 key, rounded once."""
    model = steerable("qwen3", dtype=torch.bfloat16)
    projection = invent(model)
    plain = marked_keys(model, tokens, None)
    steered = marked_keys(model, tokens, Steering(model, projection, 1.0))
    weights = tokens.highlight[tokens.highlight != 0].double()
    matrices = torch.stack([Plan([projection]).matrix(0, 0, head, "positive") for head in range(HEADS)])
    exact = plain.double() + torch.einsum("n,hde,nhe->nhd", weights.clamp(min=-1), matrices, plain.double())
    assert steered.dtype == torch.bfloat16
    torch.testing.assert_close(steered.double(), exact, rtol=2**-8, atol=1e-5)
