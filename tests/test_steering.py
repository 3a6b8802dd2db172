"""Steering by its laws: what an edit changes, what it leaves, and that the model is itself again afterwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from byhand import Plan, run
from setting import (
    HEADS,
    close,
    footprint,
    forward,
    invent,
    last,
    logits,
    prompts,
    rows_of,
    steerable,
    tokens_of,
)
from torch import Tensor
from transformers import DynamicCache

import seka
from seka import Projection, Router, Steering
from seka.session import Session
from seka.tokens import Tokens


def test_by_hand(family: str, tokens: Tokens) -> None:
    """Rows of different lengths, plain and steered with both channels, equal the same edit made token by token."""
    model = steerable(family)
    projection = invent(model, scaled=True)
    steerings = [
        None,
        Steering(model, projection, 6.0, 2.0),
        Steering(model, projection, -0.4, heads={1: [1], 2: [0, 1]}),
    ]
    plans = [None, Plan([projection], 6.0, 2.0), Plan([projection], -0.4, heads={1: [1], 2: [0, 1]})]
    with seka.steer(model, tokens, steerings):
        out = forward(model, tokens).logits
    for row, ((ids, marks), plan) in enumerate(zip(rows_of(tokens), plans, strict=True)):
        expected, _ = run(model, family, ids, marks, plan)
        torch.testing.assert_close(last(out, row, len(ids)), expected, rtol=0, atol=close(family))
        if plan is not None:
            plain, _ = run(model, family, ids, marks, None)
            assert (expected - plain).abs().max() > 100 * close(family)


def test_recommended_layers_are_steered_unless_others_are_named(qwen: Any, tokens: Tokens) -> None:
    silent = invent(qwen, layers=[1, 2])
    few = silent.with_header(recommended_layers="last1")

    def steered(source: Projection | Router, **options: Any) -> list[int]:
        return [site.layer for site in Steering(qwen, source, 3.0, **options).sites]

    assert (steered(silent), steered(silent, layers="last1")) == ([1, 2], [2])
    assert (steered(few), steered(few, layers="all"), steered(few, layers=[1])) == ([2], [1, 2], [1])
    assert steered(few, heads={1: [0]}) == [1]
    assert (steered(Router({"a": few})), steered(Router({"a": few}, layers="all"))) == ([2], [1, 2])
    assert torch.equal(
        logits(qwen, tokens, Steering(qwen, few, 3.0)), logits(qwen, tokens, Steering(qwen, silent, 3.0, layers=[2]))
    )
    with pytest.raises(ValueError, match="layer 0 is not in this projection"):
        Steering(qwen, silent.with_header(recommended_layers="last3"), 3.0)


def test_some_heads_of_a_steering_are_steered_as_if_they_had_been_named(qwen: Any, tokens: Tokens) -> None:
    for source in (invent(qwen), Router({"a": invent(qwen), "b": invent(qwen, 1)})):
        every = Steering(qwen, source, 6.0)
        chosen: list[dict[int, list[int]]] = [{0: [1]}, {1: [0], 2: [0, 1]}, {2: [1]}]
        rows = [every.only(heads) for heads in chosen]
        named = [Steering(qwen, source, 6.0, heads=heads) for heads in chosen]
        for some in (rows, named):
            assert [row.selected.keys() for row in some] == [heads.keys() for heads in chosen]
        with seka.steer(qwen, tokens, rows):
            ours = forward(qwen, tokens).logits
        with seka.steer(qwen, tokens, named):
            theirs = forward(qwen, tokens).logits
        assert torch.equal(ours, theirs)
        assert not torch.equal(ours, logits(qwen, tokens, every))
    with pytest.raises(ValueError, match=r"layers \[9\] are not steered here; wanted some of \[0, 1, 2\]"):
        every.only({9: [0]})
    with pytest.raises(ValueError, match="head 7 of layer 1 cannot be steered"):
        every.only({1: [7]})


def test_gain_zero_is_the_identity(family: str, tokens: Tokens) -> None:
    model = steerable(family)
    assert torch.equal(logits(model, tokens, Steering(model, invent(model), 0.0)), logits(model, tokens))


def test_no_marks_is_the_identity(qwen: Any, tokenizer: Any) -> None:
    plain = seka.encode([seka.Prompt(p.text) for p in prompts()], tokenizer)
    assert torch.equal(logits(qwen, plain, Steering(qwen, invent(qwen), 9.0)), logits(qwen, plain))


def broken(_out: Any) -> None:
    raise ZeroDivisionError


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
            broken(forward(model, tokens))
    else:
        unknown = Tokens(tokens.ids + 10_000, tokens.attention, tokens.highlight)
        with pytest.raises(IndexError), steering.on(unknown):
            forward(model, unknown)
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


@pytest.mark.parametrize(
    ("count", "marked"), [(HEADS, (0, 1)), (HEADS, (1,)), (1, (0,)), (4, (0, 3)), (16, (15,)), (17, range(17))]
)
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
    ((ids, marks),) = rows_of(overlapping)
    expected, _ = run(qwen, "qwen3", ids, marks, Plan([projection], 3.0))
    out = logits(qwen, overlapping, Steering(qwen, projection, 3.0))[0]
    torch.testing.assert_close(out, expected, rtol=0, atol=close("qwen3"))


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


def test_learnt_projections_steer(model: Any, tokens: Tokens, learnt: Callable[..., Projection], family: str) -> None:
    """What `learn` makes acts by the same arithmetic as what the tests invent."""
    projection = learnt(model, layers="last2")
    out = logits(model, tokens, Steering(model, projection, 1.0, 0.5))
    ids, marks = rows_of(tokens)[1]
    expected, _ = run(model, family, ids, marks, Plan([projection], 1.0, 0.5))
    torch.testing.assert_close(last(out, 1, len(ids)), expected, rtol=0, atol=close(family))
