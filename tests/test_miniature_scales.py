"""How strongly each head acts: what is climbed, its slope, and what becomes of the scales."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from setting import invent
from torch import Tensor

from seka import Router, Steering, encode, miniature
from seka.miniature import scales
from seka.miniature.corpus.replies import WORKED_OUT
from seka.miniature.measures.evaluate import VALIDATION, draw
from seka.miniature.measures.margins import both, margins
from seka.miniature.measures.sideeffects import excess, harms
from seka.miniature.measures.tasks import UNSEEN, instructions, worked_out


@pytest.fixture(scope="module")
def shipped() -> tuple[Any, Any]:
    return miniature.load()


def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scales, "KINDS", ((instructions, UNSEEN, 2, True, 1.0), ("biography", UNSEEN, 1, False, 2.0)))
    monkeypatch.setattr(scales, "TALES", 2)


@pytest.mark.parametrize("mixes", [False, True])
def test_margins_are_those_of_tokens_read_one_at_a_time(shipped: tuple[Any, Any], mixes: bool) -> None:
    """Without padding and with a cache, token after token of the answer."""
    model, tokenizer = shipped
    source = Router({name: invent(model, n) for n, name in enumerate("ab")}) if mixes else invent(model)
    steering = Steering(model, source, 0.3)
    rows = draw(worked_out, 4, VALIDATION, tokenizer, UNSEEN)
    with torch.no_grad():
        found, firsts = (both(tokenizer, rows, steering, whole) for whole in (True, False))
    signs = set()
    for row, pair, leading in zip(rows, found.tolist(), firsts.tolist(), strict=True):
        for index, margin in enumerate(pair):
            prompt, answer = row.marked(index), tokenizer(row.case.wholes[index].rstrip())["input_ids"]
            tokens, leads = encode(prompt, tokenizer), []
            with steering.on(tokens), torch.no_grad():
                out = model(tokens.ids, use_cache=True)
                for token in answer:
                    logits = out.logits[0, -1].double()
                    leads.append(float(logits[token]) - max(float(v) for i, v in enumerate(logits) if i != token))
                    out = model(torch.tensor([[token]]), past_key_values=out.past_key_values, use_cache=True)
            assert margin == pytest.approx(min(leads), abs=2e-3)
            assert leading[index] == pytest.approx(leads[0], abs=2e-3)
            with torch.no_grad():
                assert margin == pytest.approx(float(margins(tokenizer, [prompt], [answer], steering)), abs=2e-3)
            signs.add(margin > 0)
    assert signs == {True, False}


def test_excess_loss_is_the_harm_of_one_batch(shipped: tuple[Any, Any]) -> None:
    model, tokenizer = shipped
    steering = Steering(model, invent(model), 2.0)
    with torch.no_grad():
        found = float(excess(model, tokenizer, steering, VALIDATION, 5).exp())
    assert found == pytest.approx(harms(model, tokenizer, {"": steering}, VALIDATION, 5)[""].multiple, rel=1e-5)
    assert found > 1.001


def test_a_step_goes_up_the_slope_of_what_it_is_worth(
    shipped: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against central differences in the steepest head of some layers: the model keeps some of its arithmetic in float32, so
    they are wide, as a slope that is nearly level drowns in it, but no wider: a margin has kinks where its token changes."""
    few(monkeypatch)
    model, tokenizer = copy.deepcopy(shipped[0]).double().requires_grad_(False), shipped[1]
    experts = {name: invent(model, n) for n, name in enumerate("ab")}

    def leaves(name: str = "a", layer: int = 0, head: int = 0, more: float = 0.0) -> dict[str, dict[int, Tensor]]:
        rows = {
            each: {at: torch.full((4,), 0.2, dtype=torch.float64) for at in experts[each].layers} for each in experts
        }
        rows[name][layer][head] += more
        return rows

    def worth(given: dict[str, dict[int, Tensor]]) -> Tensor:
        return sum(scales.terms(model, tokenizer, scales.mixed(model, experts, given), 0), torch.zeros(()))

    given = leaves()
    for each in given.values():
        for row in each.values():
            row.requires_grad_()
    worth(given).backward()
    for name, layer in (("a", 0), ("b", 3), ("b", 6), ("a", 7)):
        gradient = given[name][layer].grad
        assert gradient is not None
        head = int(gradient.abs().argmax())
        with torch.no_grad():
            slope = float(worth(leaves(name, layer, head, 1e-2)) - worth(leaves(name, layer, head, -1e-2))) / 2e-2
        assert float(gradient[head]) == pytest.approx(slope, rel=0.01)
        assert abs(slope) > 2e-3


def test_scales_end_where_nothing_more_is_gained(shipped: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the worth of a step in the place of the model's: a parabola in each scale of each expert."""
    model, tokenizer = shipped
    best = {name: torch.zeros(8, 4) for name in "ab"}
    best["a"][2, 0], best["a"][6, 1], best["a"][6, 3], best["a"][7, 0], best["a"][4, 2] = 0.5, 0.25, -1.0, 0.02, 3.0
    best["b"][2, 0], best["b"][6, 1], best["b"][7, 0] = 0.02, 0.1, 0.01
    seen: list[bool] = []

    def parabola(_model: Any, _tokenizer: Any, given: Steering, _step: int) -> Iterator[Tensor]:
        assert given.router is not None
        assert (given.router.score, given.router.sharpness) == (scales.SCORE, scales.SHARPNESS)
        seen.append(any(parameter.requires_grad for parameter in model.parameters()))
        for name, wanted in best.items():
            rows = torch.stack([given.router.experts[name].part(layer).scale for layer in range(8)])
            yield -(rows - wanted).square().sum()

    monkeypatch.setattr(scales, "terms", parabola)
    experts = {name: invent(model, n) for n, name in enumerate("ab")}
    told: list[str] = []
    before = [parameter.requires_grad for parameter in model.parameters()]
    # (4, 2) would gain most, and is not among those that may act.
    places = [(2, 0), (6, 1), (6, 3), (7, 0)]
    found = scales.tune(model, tokenizer, experts, places, steps=300, report=told.append)
    # (7, 0) is weak in both; (2, 0) is not, though it is in one of them.
    ends = {"a": {(2, 0): 1.0, (6, 1): 0.5}, "b": {(2, 0): 0.04, (6, 1): 0.2}}
    for name, known in ends.items():
        for layer in range(8):
            wanted = [known.get((layer, head), 0.0) for head in range(4)]
            assert found[name][layer] == pytest.approx(wanted, abs=0.02), (name, layer)
    assert found["a"][2][0] == 1.0
    assert found["a"][7] == found["b"][7] == [0.0] * 4
    assert len(told) == 300
    assert told[0].startswith("scales, step 1 of 300: both ways -")
    assert set(seen) == {False}
    assert [parameter.requires_grad for parameter in model.parameters()] == before
    for none in ([], [(6, 3)]):
        with pytest.raises(ValueError, match=r"no scale of \[.*\] stays above 0; wanted heads that do something"):
            scales.tune(model, tokenizer, experts, none, steps=300)
    assert [parameter.requires_grad for parameter in model.parameters()] == before


def test_one_expert_is_steered_as_it_acts_alone(shipped: tuple[Any, Any]) -> None:
    """With all of its directions, of which a mixture takes the leading ones."""
    model, tokenizer = shipped
    expert = invent(model)
    assert max(int(part.positive.rank.max()) for part in expert.parts.values()) > 5
    rows = draw(worked_out, 2, VALIDATION, tokenizer, UNSEEN)
    given = {layer: torch.full((4,), 0.3) for layer in range(8)}
    plain = expert.scaled({layer: [0.3] * 4 for layer in range(8)})
    with torch.no_grad():
        found = both(tokenizer, rows, scales.mixed(model, {"a": expert}, {"a": given}), True)
        assert torch.allclose(found, both(tokenizer, rows, Steering(model, plain, 1.0), True))
        assert not torch.allclose(found, both(tokenizer, rows, Steering(model, Router({"a": plain}), 1.0), True))


def test_no_scale_of_a_file_is_zero() -> None:
    own = {"a": {0: [1.0, 0.03, 0.0], 1: [0.2, 0.0, 0.0]}, "b": {0: [0.0, 0.5, 0.0], 1: [0.0, 0.0, 0.0]}}
    own["c"] = {0: [0.0] * 3, 1: [0.0] * 3}
    heads = [(0, 0), (0, 1), (1, 0)]
    assert scales.acting(own) == heads
    filled = scales.filled(own, heads)
    assert filled == {
        "a": {0: [1.0, 0.03, 0.2], 1: [0.2, 0.2, 0.2]},
        "b": {0: [0.01, 0.5, 0.5], 1: [0.01, 0.5, 0.5]},
        "c": {0: [0.01, 0.01, scales.LEAST], 1: [0.01, scales.LEAST, scales.LEAST]},
    }
    assert scales.written(filled, heads)["b"] == {"0": [0.01, 0.5, 0.0], "1": [0.01, 0.0, 0.0]}
    assert list(scales.written(filled, heads[:2])["a"]) == ["0"]


def test_every_kind_that_is_worked_out_is_climbed_on() -> None:
    assert set(WORKED_OUT) <= {kind for kind, *_ in scales.KINDS}


def test_each_step_has_rows_and_stories_of_its_own(shipped: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch)
    model, tokenizer = shipped
    steering = scales.mixed(model, {"a": invent(model)}, {"a": {layer: torch.full((4,), 0.3) for layer in range(8)}})
    with torch.no_grad():
        one, same, other = ([float(term) for term in scales.terms(model, tokenizer, steering, n)] for n in (0, 0, 1))
    assert len(one) == len(scales.KINDS) + 1
    assert one == same
    assert all(a != b for a, b in zip(one, other, strict=True))
