"""Which layers and heads are steered, by whose matrices, and what is refused in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from byhand import Plan, run
from setting import (
    HEADS,
    close,
    footprint,
    invent,
    last,
    logits,
    rows_of,
    steerable,
)

import seka
from seka import Projection, Router, Steering
from seka.projections import ProjectionMismatch
from seka.tokens import Tokens


def converted(projection: Projection) -> Projection:
    """As a published bank comes in: its shifts are unknown."""
    unknown = torch.full((HEADS,), float("nan"))
    parts = {layer: replace(p, shift=unknown, relative_shift=unknown) for layer, p in projection.parts.items()}
    return Projection(parts, projection.header)


def test_layers_are_looked_up_by_id(qwen: Any, tokens: Tokens) -> None:
    """A projection of layers 2 and 0, in that order, acts in layers 2 and 0 with its own matrices."""
    full = invent(qwen)
    swapped = Projection({2: full.parts[2], 0: full.parts[0]}, full.header)
    out = logits(qwen, tokens, Steering(qwen, swapped, 4.0))
    only = {0: [0, 1], 2: [0, 1]}
    for row, (ids, marks) in enumerate(rows_of(tokens)):
        expected, _ = run(qwen, "qwen3", ids, marks, Plan([full], 4.0, heads=only))
        torch.testing.assert_close(last(out, row, len(ids)), expected, rtol=0, atol=close("qwen3"))
    with pytest.raises(ValueError, match=r"layer 1 is not in this projection; it holds \[0, 2\]"):
        Steering(qwen, swapped, 4.0, layers="last2")
    assert set(Steering(qwen, swapped, 4.0, layers="2").selected) == {2}


def test_layers_survive_a_file(qwen: Any, tokens: Tokens, tmp_path: Any) -> None:
    full = invent(qwen)
    part = Projection({2: full.parts[2], 0: full.parts[0]}, full.header)
    part.save(tmp_path / "p.safetensors")
    loaded = Projection.load(tmp_path / "p.safetensors")
    assert torch.equal(
        logits(qwen, tokens, Steering(qwen, loaded, 4.0)), logits(qwen, tokens, Steering(qwen, part, 4.0))
    )


@pytest.mark.parametrize(
    ("choice", "layers"),
    [("all", {0, 1, 2}), ("last10", {0, 1, 2}), ("last2", {1, 2}), ("first1", {0}), ("0,2", {0, 2}), ([1], {1})],
)
def test_layer_choices(qwen: Any, tokens: Tokens, choice: Any, layers: set[int]) -> None:
    projection = invent(qwen)
    steering = Steering(qwen, projection, 3.0, layers=choice)
    assert set(steering.selected) == layers
    explicit = Steering(qwen, projection, 3.0, heads={n: [0, 1] for n in layers})
    assert torch.equal(logits(qwen, tokens, steering), logits(qwen, tokens, explicit))


def test_a_choice_of_heads_is_those_heads_and_a_threshold_still_chooses_among_them(qwen: Any, tokens: Tokens) -> None:
    projection = invent(qwen)
    chosen, named = "0:1;2:0,1", {0: [1], 2: [0, 1]}
    steering, explicit = Steering(qwen, projection, 3.0, layers=chosen), Steering(qwen, projection, 3.0, heads=named)
    assert {layer: some.nonzero().flatten().tolist() for layer, some in steering.selected.items()} == named
    assert torch.equal(logits(qwen, tokens, steering), logits(qwen, tokens, explicit))
    assert not torch.equal(
        logits(qwen, tokens, steering), logits(qwen, tokens, Steering(qwen, projection, 3.0, layers="0,2"))
    )
    told = Steering(qwen, projection.with_header(recommended_layers=chosen), 3.0)
    assert torch.equal(logits(qwen, tokens, told), logits(qwen, tokens, explicit))
    cut = max(float(projection.relative_shift[layer][head]) for layer, heads in named.items() for head in heads)
    above = Steering(qwen, projection, 3.0, layers=chosen, min_shift=cut)
    assert sum(int(some.sum()) for some in above.selected.values()) == 1
    with pytest.raises(ValueError, match=r"layer 0 has no heads \[7\]; wanted some of 0 to 1"):
        Steering(qwen, projection, 3.0, layers="0:7")


def test_min_shift_chooses_heads(qwen: Any, tokens: Tokens) -> None:
    projection = invent(qwen)
    shifts = projection.relative_shift
    cut = sorted(float(v) for s in shifts.values() for v in s)[3]
    steering = Steering(qwen, projection, 3.0, min_shift=cut)
    for layer, shift in shifts.items():
        chosen = steering.selected.get(layer, torch.zeros(HEADS, dtype=torch.bool))
        assert torch.equal(chosen, shift >= cut)
    assert sum(int(s.sum()) for s in steering.selected.values()) == 3  # at the cut itself a head counts
    heads = {layer: s.nonzero().flatten().tolist() for layer, s in steering.selected.items()}
    assert torch.equal(
        logits(qwen, tokens, steering), logits(qwen, tokens, Steering(qwen, projection, 3.0, heads=heads))
    )
    everything = Steering(qwen, projection, 3.0, min_shift=cut, heads={n: [0, 1] for n in range(3)})
    assert all(bool(s.all()) for s in everything.selected.values())  # named heads override the threshold


def test_absent_heads_are_never_steered(qwen: Any, tokens: Tokens) -> None:
    full = invent(qwen)
    absent = replace(full.parts[1], present=torch.tensor([True, False]))
    steering = Steering(qwen, Projection({**full.parts, 1: absent}, full.header), 3.0, 1.0)
    assert steering.selected[1].tolist() == [True, False]
    named = Steering(qwen, full, 3.0, 1.0, heads={0: [0, 1], 1: [0], 2: [0, 1]})
    assert torch.equal(logits(qwen, tokens, steering), logits(qwen, tokens, named))


def test_random_control(qwen: Any, tokens: Tokens) -> None:
    """Same ranks, orthonormal, drawn by its seed, in other directions, and it steers too."""
    projection = invent(qwen)
    control = projection.random(1)
    for layer in projection.layers:
        for channel in (projection.positive, projection.negative):
            theirs = getattr(control, channel.__name__)(layer).double()
            ours = channel(layer).double()
            torch.testing.assert_close(theirs @ theirs, theirs, rtol=0, atol=1e-5)
            torch.testing.assert_close(
                theirs.diagonal(dim1=1, dim2=2).sum(-1), ours.diagonal(dim1=1, dim2=2).sum(-1), rtol=0, atol=1e-4
            )
            assert (theirs - ours).abs().max() > 0.1
    steered = logits(qwen, tokens, Steering(qwen, control, 3.0))
    assert torch.equal(steered, logits(qwen, tokens, Steering(qwen, projection.random(1), 3.0)))
    assert not torch.allclose(steered, logits(qwen, tokens, Steering(qwen, projection.random(2), 3.0)))
    assert not torch.allclose(steered, logits(qwen, tokens, Steering(qwen, projection, 3.0)))


def test_recommended_gain(qwen: Any) -> None:
    recommending = invent(qwen, recommended_gain=0.7)
    assert Steering(qwen, recommending).positive == 0.7
    assert Steering(qwen, recommending, 0.0).positive == 0.0
    assert Steering(qwen, Router({"a": recommending, "b": invent(qwen, 1, recommended_gain=0.3)})).positive == 0.5


def test_refusals_of_steering(qwen: Any) -> None:
    projection = invent(qwen)
    bare = Projection({n: replace(p, negative=None) for n, p in projection.parts.items()}, projection.header)
    cases: list[tuple[str, Callable[[], Any]]] = [
        (r"layers \[7\] are not attention layers.*\[0, 1, 2\]", lambda: Steering(qwen, projection, 1.0, layers="7")),
        ("'some' not understood; wanted 'all'", lambda: Steering(qwen, projection, 1.0, layers="some")),
        ("'last0' not understood", lambda: Steering(qwen, projection, 1.0, layers="last0")),
        (r"layers \[\] are not", lambda: Steering(qwen, projection, 1.0, layers=[])),
        (
            r"layer 2 is not in this projection; it holds \[0\]",
            lambda: Steering(qwen, invent(qwen, layers=[0]), 1.0, heads={2: [0]}),
        ),
        (
            r"head 5 of layer 1 cannot be steered; this source has \[0, 1\]",
            lambda: Steering(qwen, projection, 1.0, heads={1: [5]}),
        ),
        ("head -1 of layer 1", lambda: Steering(qwen, projection, 1.0, heads={1: [-1]})),
        (
            "no head is steered: in 'all' none has a relative shift of 99 or more",
            lambda: Steering(qwen, projection, 1.0, min_shift=99.0),
        ),
        (
            "no head is steered: in 'last1' none has a relative shift of 99 or more",
            lambda: Steering(qwen, Router({"a": projection}), 1.0, layers="last1", min_shift=99.0),
        ),
        ("no head is steered: this source has none in 'all'", lambda: Steering(qwen, without(projection), 1.0)),
        (r"no head is steered: heads={1: \[\]} names none", lambda: Steering(qwen, projection, 1.0, heads={1: []})),
        ("does not know its shifts", lambda: Steering(qwen, converted(projection), 1.0, min_shift=0.1)),
        ("no gain given", lambda: Steering(qwen, projection)),
        (
            "no gain given",
            lambda: Steering(qwen, Router({"a": projection, "b": invent(qwen, 1, recommended_gain=1.0)})),
        ),
        ("positive is nan; wanted a finite gain", lambda: Steering(qwen, projection, float("nan"))),
        ("negative is inf; wanted a finite gain", lambda: Steering(qwen, projection, 1.0, float("inf"))),
        ("has no negative channel; use negative=0", lambda: Steering(qwen, bare, 1.0, 0.5)),
        ("has no negative channel; use negative=0", lambda: Steering(qwen, bare, 1.0).with_gain(1.0, 0.5)),
        ("a router has no negative channel", lambda: Steering(qwen, Router({"a": projection}), 1.0, 0.5)),
    ]
    for message, make in cases:
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(TypeError, match="wanted a Projection or a Router, given dict"):
        Steering(qwen, {}, 1.0)  # type: ignore[arg-type]


def without(projection: Projection) -> Projection:
    """The projection with every head absent."""
    parts = {n: replace(p, present=torch.zeros_like(p.present)) for n, p in projection.parts.items()}
    return Projection(parts, projection.header)


def test_the_largest_shift_is_named(qwen: Any) -> None:
    projection = invent(qwen)
    largest = max(float(s.max()) for s in projection.relative_shift.values())
    with pytest.raises(ValueError, match=f"the largest is {largest:.3f}"):
        Steering(qwen, projection, 1.0, min_shift=50.0)
    here = float(projection.relative_shift[1][0])
    with pytest.raises(
        ValueError, match=f"in '1:0' none has a relative shift of {here + 0.001:g} or more; the largest is {here:.3f}"
    ):
        Steering(qwen, projection, 1.0, layers="1:0", min_shift=here + 0.001)


def test_unknown_shifts_may_be_overridden(qwen: Any, tokens: Tokens) -> None:
    projection = invent(qwen)
    heads = {n: [0, 1] for n in range(3)}
    steering = Steering(qwen, converted(projection), 3.0, min_shift=0.1, heads=heads)
    assert torch.equal(logits(qwen, tokens, steering), logits(qwen, tokens, Steering(qwen, projection, 3.0)))


def test_a_projection_of_another_model_is_refused(qwen: Any) -> None:
    projection = invent(qwen)
    with pytest.raises(ProjectionMismatch, match="same shape but other weights"):
        Steering(steerable("qwen3", seed=5), projection, 1.0)
    with pytest.raises(ProjectionMismatch, match=r"learnt on .* with model_type qwen3; the model .* has llama"):
        Steering(steerable("llama"), projection, 1.0)
    with pytest.raises(ProjectionMismatch, match=r"geometry|heads|widths"):
        Steering(steerable("qwen3", num_key_value_heads=1), projection, 1.0)
    with pytest.raises(ProjectionMismatch):
        Steering(steerable("llama"), Router({"a": projection}), 1.0)


def test_refusals_of_steer(qwen: Any, tokens: Tokens) -> None:
    steering = Steering(qwen, invent(qwen), 3.0)
    plain, before = logits(qwen, tokens), footprint(qwen)
    other = steerable("qwen3", seed=5)
    with pytest.raises(ValueError, match="2 steerings for 3 rows"), seka.steer(qwen, tokens, [steering, None]):
        pass
    with pytest.raises(ValueError, match="made for another model"), seka.steer(other, tokens, [steering] * 3):
        pass
    with (
        pytest.raises(RuntimeError, match="steered already; give all rows to one"),
        steering.on(tokens),
        steering.on(tokens),
    ):
        pass
    with (
        pytest.raises(ValueError, match="called with 2 rows inside a steering of 3"),
        steering.on(tokens),
        torch.no_grad(),
    ):
        qwen(tokens.ids[:2])
    width = tokens.ids.shape[1]
    with (
        pytest.raises(ValueError, match=f"called with 5 columns inside a steering of {width}"),
        steering.on(tokens),
        torch.no_grad(),
    ):
        qwen(tokens.ids[:, :5])
    with steering.on(tokens), torch.no_grad():
        qwen(tokens.ids)
        with pytest.raises(ValueError, match="5 columns"):
            qwen(tokens.ids[:, :5])  # another prompt, by mistake in the same context
    with pytest.raises(ValueError, match="without input_ids or inputs_embeds"), steering.on(tokens), torch.no_grad():
        qwen()
    assert footprint(qwen) == before
    assert torch.equal(logits(qwen, tokens), plain)
