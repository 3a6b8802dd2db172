"""Steering by its laws: what an edit changes, what it leaves, and that the model is itself again afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import byhand
import pytest
import torch
from byhand import HEADS, Plan, close, footprint, forward, invent, prompts, rows_of, run, steerable, tokens_of
from torch import Tensor
from transformers import DynamicCache

import seka
from seka import Projection, Router, Steering
from seka.projections import ProjectionMismatch
from seka.session import Session
from seka.tokens import Tokens


@pytest.fixture
def tokens(tokenizer: Any) -> Tokens:
    return seka.encode(prompts(), tokenizer)


def logits(model: Any, tokens: Tokens, steering: Steering | None = None) -> Tensor:
    if steering is None:
        return forward(model, tokens).logits
    with steering.on(tokens):
        return forward(model, tokens).logits


def last(logits: Tensor, row: int, count: int) -> Tensor:
    """A row's logits without its padding."""
    return logits[row, -count:]


def converted(projection: Projection) -> Projection:
    """As a published bank comes in: its shifts are unknown."""
    unknown = torch.full((HEADS,), float("nan"))
    parts = {layer: replace(p, shift=unknown, relative_shift=unknown) for layer, p in projection.parts.items()}
    return Projection(parts, projection.header)


# The edit itself


def test_by_hand(family: str, tokens: Tokens) -> None:
    """Rows of different lengths, plain and steered with both channels, equal the same edit made token by token."""
    model = steerable(family)
    projection = invent(model)
    steerings = [None, Steering(model, projection, 6.0, 2.0), Steering(model, projection, -0.4, heads={1: [1], 2: [0, 1]})]
    plans = [None, Plan([projection], 6.0, 2.0), Plan([projection], -0.4, heads={1: [1], 2: [0, 1]})]
    with seka.steer(model, tokens, steerings):
        out = forward(model, tokens).logits
    for row, ((ids, marks), plan) in enumerate(zip(rows_of(tokens), plans, strict=True)):
        expected, _ = run(model, family, ids, marks, plan)
        torch.testing.assert_close(last(out, row, len(ids)), expected, rtol=0, atol=close(family))
        if plan is not None:
            plain, _ = run(model, family, ids, marks, None)
            assert (expected - plain).abs().max() > 100 * close(family)


def test_gain_zero_is_the_identity(family: str, tokens: Tokens) -> None:
    model = steerable(family)
    assert torch.equal(logits(model, tokens, Steering(model, invent(model), 0.0)), logits(model, tokens))


def test_no_marks_is_the_identity(qwen: Any, tokenizer: Any) -> None:
    plain = seka.encode([seka.Prompt(p.text) for p in prompts()], tokenizer)
    assert torch.equal(logits(qwen, plain, Steering(qwen, invent(qwen), 9.0)), logits(qwen, plain))


@pytest.mark.parametrize("how", ["left", "raised", "raised inside the model"])
def test_the_model_is_as_it_was(family: str, tokens: Tokens, how: str) -> None:
    model = steerable(family)
    router = Router({"a": invent(model), "b": invent(model, 1)})
    steering = Steering(model, router, 5.0)
    before, plain = footprint(model), logits(model, tokens)
    if how == "left":
        with steering.on(tokens):
            assert footprint(model)[0] > before[0]
            assert not torch.equal(forward(model, tokens).logits, plain)
    elif how == "raised":
        with pytest.raises(ZeroDivisionError), steering.on(tokens):
            forward(model, tokens)
            raise ZeroDivisionError
    else:
        with pytest.raises(IndexError), steering.on(tokens):
            forward(model, Tokens(tokens.ids + 10_000, tokens.attention, tokens.highlight))
    assert footprint(model) == before
    assert torch.equal(logits(model, tokens), plain)
    with steering.on(tokens):  # and it is free to be steered again
        pass


def test_hooks_go_when_setting_up_fails(qwen: Any, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    before = footprint(qwen)
    steering = Steering(qwen, Router({"a": invent(qwen)}, way="two_pass"), 1.0)

    def fail(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(Session, "_weigh", fail)
    with pytest.raises(MemoryError), steering.on(tokens):
        pass
    assert footprint(qwen) == before
    with Steering(qwen, invent(qwen), 1.0).on(tokens):
        pass


def test_only_marked_columns_of_chosen_heads(family: str, tokens: Tokens) -> None:
    """With one layer steered its keys change at the marks and nowhere else; its values and all below stay bit-equal."""
    model = steerable(family)
    steering = Steering(model, invent(model), 4.0, heads={1: [1]})
    plain = forward(model, tokens, use_cache=True).past_key_values.layers
    with steering.on(tokens):
        steered = forward(model, tokens, use_cache=True).past_key_values.layers
    assert torch.equal(steered[0].keys, plain[0].keys)
    assert torch.equal(steered[0].values, plain[0].values)
    assert torch.equal(steered[1].values, plain[1].values)
    changed = (steered[1].keys != plain[1].keys).any(-1)  # (B, H, T)
    assert not changed[:, 0].any()
    assert torch.equal(changed[:, 1], tokens.highlight != 0)
    assert not torch.equal(steered[2].keys, plain[2].keys)  # later layers change through the residual stream


def test_nothing_at_decode(family: str, tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each steered layer edits once, at prefill; the steps after it are the model's own, bit for bit."""
    model = steerable(family)
    steering = Steering(model, invent(model), 4.0, layers=[0, 2])
    edited: list[int] = []
    original = Session._edit

    def counting(self: Session, flat: Tensor, site: Any, group: Any, window: Any) -> Tensor:
        edited.append(site.layer)
        return original(self, flat, site, group, window)

    monkeypatch.setattr(Session, "_edit", counting)
    mask = torch.cat([tokens.attention, torch.ones((3, 1), dtype=torch.long)], 1)

    def step(out: Any) -> Tensor:
        with torch.no_grad():
            return model(out.logits[:, -1:].argmax(-1), attention_mask=mask, past_key_values=out.past_key_values).logits

    with steering.on(tokens):
        within = step(forward(model, tokens, use_cache=True))
    assert edited == [0, 2]
    with steering.on(tokens):
        out = forward(model, tokens, use_cache=True)
    assert torch.equal(step(out), within)
    assert not torch.equal(within, step(forward(model, tokens, use_cache=True)))


# Rows


def test_rows_do_not_depend_on_their_batch(family: str, tokens: Tokens) -> None:
    model = steerable(family)
    projection = invent(model)
    steerings = [Steering(model, projection, 5.0), None, Steering(model, invent(model, 1), 2.0, 1.0)]
    with seka.steer(model, tokens, steerings):
        together = forward(model, tokens).logits
    for row, (ids, marks) in enumerate(rows_of(tokens)):
        alone = logits(model, tokens_of([(ids, marks)]), steerings[row])[0]
        torch.testing.assert_close(last(together, row, len(ids)), alone, rtol=0, atol=close(family))
        assert torch.equal(last(together, row, len(ids)).argmax(-1), alone.argmax(-1))


def test_rows_do_not_depend_on_their_batch_in_float32(tokens: Tokens) -> None:
    model = steerable("llama", dtype=torch.float32)
    steering = Steering(model, invent(model), 2.0)
    together = logits(model, tokens, steering)
    for row, pair in enumerate(rows_of(tokens)):
        alone = logits(model, tokens_of([pair]), steering)[0]
        torch.testing.assert_close(last(together, row, len(pair[0])), alone, rtol=0, atol=1e-4)


def test_a_plain_row_is_the_model_without_seka(family: str, tokens: Tokens) -> None:
    """Bit for bit, whatever the other rows do."""
    model = steerable(family)
    steering = Steering(model, Router({"a": invent(model), "b": invent(model, 1)}), 7.0)
    plain = logits(model, tokens)
    with seka.steer(model, tokens, [steering, None, steering]):
        mixed = forward(model, tokens).logits
    assert torch.equal(mixed[1], plain[1])
    assert not torch.equal(mixed[0], plain[0])
    assert not torch.equal(mixed[2], plain[2])
    with seka.steer(model, tokens, [None] * 3):
        assert torch.equal(forward(model, tokens).logits, plain)


@pytest.mark.parametrize("mixed", [False, True])
def test_a_sweep_in_one_batch(family: str, tokenizer: Any, mixed: bool) -> None:
    """Strengths side by side are what separate runs are; also with a router, and with the negative channel."""
    model = steerable(family)
    source = Router({"a": invent(model), "b": invent(model, 1)}) if mixed else invent(model)
    base = Steering(model, source, 1.0, 0.0 if mixed else 0.5)
    gains = [0.0, 0.5, 3.0, -2.0]
    one = seka.encode(prompts()[1], tokenizer)
    batch = Tokens(*(t.repeat(len(gains), 1) for t in (one.ids, one.attention, one.highlight)))
    with seka.steer(model, batch, [base.with_gain(g) for g in gains]):
        swept = forward(model, batch).logits
    ends = []
    for row, gain in enumerate(gains):
        alone = Steering(model, source, gain, base.negative)
        torch.testing.assert_close(swept[row], logits(model, one, alone)[0], rtol=0, atol=close(family))
        ends.append(swept[row, -1])
    assert min((a - b).abs().max() for i, a in enumerate(ends) for b in ends[:i]) > 100 * close(family)


def test_with_gain_leaves_the_first_alone(qwen: Any) -> None:
    first = Steering(qwen, invent(qwen), 1.0)
    second = first.with_gain(3.0, 2.0)
    assert (first.positive, first.negative, second.positive, second.negative) == (1.0, 0.0, 3.0, 2.0)
    assert second.with_gain(0.5).negative == 2.0


# Weights


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


# The negative channel


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


# Prompts at the edges


@pytest.mark.parametrize(("count", "marked"), [(HEADS, (0, 1)), (HEADS, (1,)), (1, (0,)), (4, (0, 3)), (16, (15,)), (17, range(17))])
def test_lengths_and_places(family: str, count: int, marked: Any) -> None:
    """As many tokens as heads, as query heads, as the head is wide; a single one; first, last and every token marked."""
    model = steerable(family)
    projection = invent(model)
    ids, marks = [(7 * i + 3) % 300 for i in range(count)], dict.fromkeys(marked, 1.0)
    out = logits(model, tokens_of([(ids, marks)]), Steering(model, projection, 6.0, 1.0))[0]
    expected, _ = run(model, family, ids, marks, Plan([projection], 6.0, 1.0))
    torch.testing.assert_close(out, expected, rtol=0, atol=close(family))
    plain, _ = run(model, family, ids, marks, None)
    assert (count == 1) == torch.equal(expected, plain)  # one token alone attends to itself, whatever its key


def test_overlapping_spans(qwen: Any, tokenizer: Any) -> None:
    """A token of two spans is edited once, by the weight of larger magnitude."""
    text = "Ada plays golf in town. Ada"
    overlapping = seka.encode(seka.Prompt(text, ((0, 9), (4, 14)), (0.5, 1.0)), tokenizer)
    weights = set(overlapping.highlight[0].tolist())
    assert weights == {0.0, 0.5, 1.0}
    projection = invent(qwen)
    (ids, marks), = rows_of(overlapping)
    expected, _ = run(qwen, "qwen3", ids, marks, Plan([projection], 3.0))
    out = logits(qwen, overlapping, Steering(qwen, projection, 3.0))[0]
    torch.testing.assert_close(out, expected, rtol=0, atol=close("qwen3"))


# What is steered


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
    assert torch.equal(logits(qwen, tokens, Steering(qwen, loaded, 4.0)), logits(qwen, tokens, Steering(qwen, part, 4.0)))


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
    assert torch.equal(logits(qwen, tokens, steering), logits(qwen, tokens, Steering(qwen, projection, 3.0, heads=heads)))
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


def test_learnt_projections_steer(model: Any, tokens: Tokens, learnt: Callable[..., Projection], family: str) -> None:
    """What `learn` makes acts by the same arithmetic as what the tests invent."""
    projection = learnt(model, layers="last2")
    out = logits(model, tokens, Steering(model, projection, 1.0, 0.5))
    ids, marks = rows_of(tokens)[1]
    expected, _ = run(model, family, ids, marks, Plan([projection], 1.0, 0.5))
    torch.testing.assert_close(last(out, 1, len(ids)), expected, rtol=0, atol=close(family))


def test_recommended_gain(qwen: Any) -> None:
    recommending = invent(qwen, recommended_gain=0.7)
    assert Steering(qwen, recommending).positive == 0.7
    assert Steering(qwen, recommending, 0.0).positive == 0.0
    assert Steering(qwen, Router({"a": recommending, "b": invent(qwen, 1, recommended_gain=0.3)})).positive == 0.5


# Refusals


def test_refusals_of_steering(qwen: Any) -> None:
    projection = invent(qwen)
    bare = Projection({n: replace(p, negative=None) for n, p in projection.parts.items()}, projection.header)
    cases: list[tuple[str, Callable[[], Any]]] = [
        (r"layers \[7\] are not attention layers.*\[0, 1, 2\]", lambda: Steering(qwen, projection, 1.0, layers="7")),
        ("'some' not understood; wanted 'all'", lambda: Steering(qwen, projection, 1.0, layers="some")),
        ("'last0' not understood", lambda: Steering(qwen, projection, 1.0, layers="last0")),
        (r"layers \[\] are not", lambda: Steering(qwen, projection, 1.0, layers=[])),
        (r"layer 2 is not in this projection; it holds \[0\]", lambda: Steering(qwen, invent(qwen, layers=[0]), 1.0, heads={2: [0]})),
        (r"head 5 of layer 1 cannot be steered; this source has \[0, 1\]", lambda: Steering(qwen, projection, 1.0, heads={1: [5]})),
        ("head -1 of layer 1", lambda: Steering(qwen, projection, 1.0, heads={1: [-1]})),
        ("no head is steered with .*min_shift=99", lambda: Steering(qwen, projection, 1.0, min_shift=99.0)),
        ("no head is steered", lambda: Steering(qwen, projection, 1.0, heads={1: []})),
        ("does not know its shifts", lambda: Steering(qwen, converted(projection), 1.0, min_shift=0.1)),
        ("no gain given", lambda: Steering(qwen, projection)),
        ("no gain given", lambda: Steering(qwen, Router({"a": projection, "b": invent(qwen, 1, recommended_gain=1.0)}))),
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


def test_the_largest_shift_is_named(qwen: Any) -> None:
    projection = invent(qwen)
    largest = max(float(s.max()) for s in projection.relative_shift.values())
    with pytest.raises(ValueError, match=f"largest relative shift is {largest:.3f}"):
        Steering(qwen, projection, 1.0, min_shift=50.0)


def test_unknown_shifts_may_be_overridden(qwen: Any, tokens: Tokens) -> None:
    projection = invent(qwen)
    heads = {n: [0, 1] for n in range(3)}
    steering = Steering(qwen, converted(projection), 3.0, min_shift=0.1, heads=heads)
    assert torch.equal(logits(qwen, tokens, steering), logits(qwen, tokens, Steering(qwen, projection, 3.0)))


def test_a_projection_of_another_model_is_refused(qwen: Any) -> None:
    projection = invent(qwen)
    with pytest.raises(ProjectionMismatch, match="same shape but other key weights"):
        Steering(steerable("qwen3", seed=5), projection, 1.0)
    with pytest.raises(ProjectionMismatch, match="learnt on .* with model_type qwen3; the model .* has llama"):
        Steering(steerable("llama"), projection, 1.0)
    with pytest.raises(ProjectionMismatch, match="geometry|heads|widths"):
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
    with pytest.raises(RuntimeError, match="steered already; give all rows to one"), steering.on(tokens), steering.on(tokens):
        pass
    with pytest.raises(ValueError, match="called with 2 rows inside a steering of 3"), steering.on(tokens), torch.no_grad():
        qwen(tokens.ids[:2])
    width = tokens.ids.shape[1]
    with pytest.raises(ValueError, match=f"called with 5 columns inside a steering of {width}"), steering.on(tokens), torch.no_grad():
        qwen(tokens.ids[:, :5])
    with pytest.raises(ValueError, match="5 columns"), steering.on(tokens), torch.no_grad():
        qwen(tokens.ids)
        qwen(tokens.ids[:, :5])  # another prompt, by mistake in the same context
    with pytest.raises(ValueError, match="without input_ids or inputs_embeds"), steering.on(tokens), torch.no_grad():
        qwen()
    assert footprint(qwen) == before
    assert torch.equal(logits(qwen, tokens), plain)


def test_a_call_by_embeddings_is_steered(qwen: Any, tokens: Tokens) -> None:
    steering = Steering(qwen, invent(qwen), 3.0)
    positions = (tokens.attention.cumsum(-1) - 1).clamp(min=0)
    with steering.on(tokens), torch.no_grad():
        embedded = qwen.get_input_embeddings()(tokens.ids)
        out = qwen(inputs_embeds=embedded, attention_mask=tokens.attention, position_ids=positions).logits
    torch.testing.assert_close(out, logits(qwen, tokens, steering), rtol=0, atol=close("qwen3"))


def test_pieces_of_a_prompt(family: str, tokens: Tokens) -> None:
    """The prompt's columns in three calls over one cache are what they are in one."""
    model = steerable(family)
    steering = Steering(model, invent(model), 5.0, 1.0)
    positions = (tokens.attention.cumsum(-1) - 1).clamp(min=0)
    width, cache, pieces = tokens.ids.shape[1], DynamicCache(config=model.config), []
    with steering.on(tokens), torch.no_grad():
        for start, stop in ((0, 30), (30, 31), (31, width)):
            out = model(
                tokens.ids[:, start:stop],
                attention_mask=tokens.attention[:, :stop],
                position_ids=positions[:, start:stop],
                past_key_values=cache,
            )
            pieces.append(out.logits)
    whole = logits(model, tokens, steering)
    real = tokens.attention.bool()
    torch.testing.assert_close(torch.cat(pieces, 1)[real], whole[real], rtol=0, atol=close(family))


# Threads


def test_another_thread_is_not_edited(qwen: Any, tokens: Tokens) -> None:
    steering = Steering(qwen, Router({"a": invent(qwen), "b": invent(qwen, 1)}), 5.0)
    plain, seen = logits(qwen, tokens), []
    with steering.on(tokens):
        visitor = threading.Thread(target=lambda: seen.append(logits(qwen, tokens)))
        visitor.start()
        visitor.join()
        mine = forward(qwen, tokens).logits
        other_shape = threading.Thread(target=lambda: seen.append(forward(qwen, tokens_of([([1, 2, 3], {})])).logits))
        other_shape.start()
        other_shape.join()
    assert torch.equal(seen[0], plain)
    assert len(seen) == 2  # a batch of another shape is no error in a thread that steers nothing
    assert torch.equal(mine, logits(qwen, tokens, steering))
    assert not torch.equal(mine, plain)


def test_two_threads_steer_one_model(qwen: Any, tokens: Tokens) -> None:
    """Each gets what it would get alone."""
    steerings = [Steering(qwen, invent(qwen), 5.0), Steering(qwen, invent(qwen, 1), 2.0, layers=[1])]
    alone = [logits(qwen, tokens, s) for s in steerings]
    wrong: list[int] = []

    def visit(which: int) -> None:
        for _ in range(4):
            if not torch.equal(logits(qwen, tokens, steerings[which]), alone[which]):
                wrong.append(which)

    threads = [threading.Thread(target=visit, args=(n % 2,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not torch.equal(alone[0], alone[1])


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


def test_the_module_of_tests_knows_every_family() -> None:
    """A family that the library adds must be written out by hand too."""
    assert set(byhand.KEY) == set(seka.sites.SUPPORTED)
