"""Routers: files, totals, layers and heads, pieces of a prompt, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from byhand import Plan, run
from setting import (
    changed,
    close,
    experts,
    footprint,
    forward,
    invent,
    routed,
    rows_of,
    steerable,
)
from torch import Tensor
from transformers import DynamicCache

from seka import Router, Steering
from seka.projections import ProjectionMismatch
from seka.routing import Routing
from seka.tokens import Tokens

WAYS = ("online", "two_pass")


def same(a: Mapping[int, Tensor], b: Mapping[int, Tensor], atol: float = 1e-10) -> None:
    assert set(a) == set(b)
    for layer in a:
        torch.testing.assert_close(a[layer].double(), b[layer].double(), rtol=0, atol=atol)


def test_layers_and_heads_of_a_router(qwen: Any, tokens: Tokens) -> None:
    router = Router(experts(qwen))
    out, routing = routed(qwen, tokens, router, 5.0, heads={2: [0]})
    assert set(routing.coefficients) == {2}
    assert not routing.coefficients[2][:, :, 1].any()
    plan = Plan(list(router.experts.values()), 5.0, score="energy", heads={2: [0]})
    ids, marks = rows_of(tokens)[1]
    expected, alphas = run(qwen, "qwen3", ids, marks, plan)
    torch.testing.assert_close(out[1, -len(ids) :], expected, rtol=0, atol=close("qwen3"))
    torch.testing.assert_close(routing.coefficients[2][1].double(), alphas[2], rtol=0, atol=1e-6)


def test_one_expert_alone_is_its_leading_vectors(qwen: Any, tokens: Tokens) -> None:
    """Coefficient 1 for it; the edit is that of a projection of rank `top`, whatever the expert's own rank."""
    expert = invent(qwen)
    out, routing = routed(qwen, tokens, Router({"only": expert}, top=5), 3.0)
    assert all(torch.equal(alpha, torch.ones_like(alpha)) for alpha in routing.coefficients.values())
    five = changed(expert, rank=lambda _layer, rank: torch.full_like(rank, 5))
    with Steering(qwen, five, 3.0).on(tokens):
        torch.testing.assert_close(forward(qwen, tokens).logits, out, rtol=0, atol=close("qwen3"))


def test_a_second_prompt_in_pieces_is_not_weighed_by_the_first(qwen: Any, tokens: Tokens) -> None:
    steering = Steering(qwen, Router(experts(qwen), way="online"), 5.0)
    with steering.on(tokens), torch.no_grad():
        forward(qwen, tokens)
        piece = {"attention_mask": tokens.attention[:, :50], "past_key_values": DynamicCache(config=qwen.config)}
        with pytest.raises(ValueError, match="way='two_pass'"):
            qwen(tokens.ids[:, :50], **piece)


@pytest.mark.parametrize("way", WAYS)
def test_chunks(qwen: Any, tokens: Tokens, way: str) -> None:
    """In one pass the last query comes too late for a prompt in pieces: refused with the cure, which then works."""
    steering = Steering(qwen, Router(experts(qwen), way=way), 5.0)
    positions = (tokens.attention.cumsum(-1) - 1).clamp(min=0)
    before = footprint(qwen)

    def pieces() -> Tensor:
        cache, width, out = DynamicCache(config=qwen.config), tokens.ids.shape[1], []
        with steering.on(tokens), torch.no_grad():
            for part in (slice(0, 50), slice(50, width)):
                mask = tokens.attention[:, : part.stop]
                call = {"attention_mask": mask, "position_ids": positions[:, part], "past_key_values": cache}
                out.append(qwen(tokens.ids[:, part], **call).logits)
        return torch.cat(out, 1)

    if way == "online":
        with pytest.raises(ValueError, match="way='two_pass'"):
            pieces()
    else:
        with steering.on(tokens):
            whole = forward(qwen, tokens).logits
        real = tokens.attention.bool()
        torch.testing.assert_close(pieces()[real], whole[real], rtol=0, atol=close("qwen3"))
    assert footprint(qwen) == before


def test_totals(qwen: Any, tokens: Tokens) -> None:
    _, routing = routed(qwen, tokens, Router(experts(qwen), score="signed"))
    totals = routing.totals()
    assert list(totals) == ["a", "b", "c"]
    assert sum(totals.values()) == pytest.approx(1.0)
    by_hand = dict.fromkeys(totals, 0.0)
    for alpha in routing.coefficients.values():
        for m, name in enumerate(by_hand):
            by_hand[name] += sum(abs(float(v)) for row in alpha for v in row[m])
    assert totals == pytest.approx({name: v / sum(by_hand.values()) for name, v in by_hand.items()})
    assert set(Routing(("a",), {0: torch.zeros(1, 1, 2)}).totals().values()) == {0.0}


@pytest.mark.parametrize("score", ["energy", "signed"])
def test_sharpness_is_a_power_of_the_coefficients(qwen: Any, tokens: Tokens, score: str) -> None:
    """In two passes, where coefficients do not depend on how strongly lower layers were steered."""
    known = experts(qwen)
    one = routed(qwen, tokens, Router(known, score=score, way="two_pass"))[1].coefficients
    out, three = routed(qwen, tokens, Router(known, score=score, way="two_pass", sharpness=3.0))
    same(three.coefficients, {layer: alpha.double() ** 3 for layer, alpha in one.items()}, 1e-6)
    assert any((alpha.abs() < 0.5).any() for alpha in three.coefficients.values())
    assert not torch.allclose(out, routed(qwen, tokens, Router(known, score=score, way="two_pass"))[0])
    with pytest.raises(ValueError, match="sharpness is 0"):
        Router(known, sharpness=0)


def test_load(qwen: Any, tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a dict and from the published flat JSON, whose paths are relative to the file wherever one stands."""
    known = experts(qwen)
    (tmp_path / "experts").mkdir()
    for name, expert in known.items():
        expert.save(tmp_path / "experts" / f"{name}.safetensors")
    paths = {name: tmp_path / "experts" / f"{name}.safetensors" for name in known}
    config = tmp_path / "experts.json"
    config.write_text(json.dumps({name: f"experts/{name}.safetensors" for name in known}), encoding="utf-8")
    expected, routing = routed(qwen, tokens, Router(known, top=3, score="signed"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for source in (paths, {n: str(p) for n, p in paths.items()}, config, str(config)):
        router = Router.load(source, top=3, score="signed")
        assert (router.names, router.top, router.score, router.way) == (("a", "b", "c"), 3, "signed", "online")
        out, again = routed(qwen, tokens, router)
        assert torch.equal(out, expected)
        same(again.coefficients, routing.coefficients)
    monkeypatch.chdir(tmp_path)
    there = tmp_path / "elsewhere" / "config.json"
    there.write_text(json.dumps({"a": "experts/a.safetensors"}), encoding="utf-8")  # else as they are
    assert Router.load(there, top=2).names == ("a",)


def test_load_refuses(qwen: Any, tmp_path: Path) -> None:
    bank = tmp_path / "bank.pt"
    torch.save({"layers": [0]}, bank)
    config = tmp_path / "experts.json"
    for content, message in [
        (json.dumps({"a": "bank.pt"}), "python -m seka convert"),
        (json.dumps({"a": "missing.safetensors"}), "no projection at .*missing.safetensors"),
        ("{", "could not be read as a router's configuration"),
        ("[]", "is not a router's configuration; wanted a flat JSON object"),
        ("{}", "is not a router's configuration"),
        (json.dumps({"a": {"path": "x"}}), "is not a router's configuration"),
    ]:
        config.write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            Router.load(config)
    with pytest.raises(ValueError, match="python -m seka convert"):
        Router.load({"a": bank})
    with pytest.raises(ValueError, match=r"nowhere\.json could not be read"):
        Router.load(tmp_path / "nowhere.json")


def test_refusals(qwen: Any) -> None:
    a, b = invent(qwen), invent(qwen, 1)
    nan = changed(b, values=lambda _layer, values: values * float("nan"))
    foreign = invent(steerable("llama"))
    for known, options, message in [
        ({}, {}, "needs at least one expert"),
        ({"a": a}, {"score": "cosine"}, "score 'cosine' is unknown; wanted one of"),
        ({"a": a}, {"way": "later"}, "way 'later' is unknown; wanted one of"),
        ({"a": a}, {"top": 0}, "top is 0; these experts store 8 vectors a head, so wanted 1 to 8"),
        ({"a": a}, {"top": 9}, "top is 9"),
        (
            {"a": a, "b": invent(qwen, layers=[0, 1])},
            {},
            r"'a' \(layers \[0, 1, 2\].*'b' \(layers \[0, 1\].*do not belong together",
        ),
        ({"a": a, "b": foreign}, {}, "do not belong together"),
        ({"a": a, "b": nan}, {}, r"expert 'b' has no singular values \(layer 0\)"),
        ({"a": a, "b": b.with_header(oriented=False)}, {"score": "signed"}, "'b' was converted.*use score='energy'"),
    ]:
        with pytest.raises(ValueError, match=message):
            Router(known, **options)
    assert Router({"a": a, "b": b.with_header(oriented=False)}).score == "energy"
    with pytest.raises(ProjectionMismatch):
        Steering(steerable("qwen3", seed=5), Router({"a": a}), 1.0)
