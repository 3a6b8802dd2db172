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
from seka.experts import Experts
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


def test_the_mixture_s_gain(qwen: Any) -> None:
    """Its own, else the mean of the experts', else none; `Steering` takes it."""
    known = {"a": invent(qwen, recommended_gain=0.1), "b": invent(qwen, 1, recommended_gain=0.4)}
    assert Router(known).recommended_gain == pytest.approx(0.25)
    assert Router(known, gain=0.7).recommended_gain == Steering(qwen, Router(known, gain=0.7)).positive == 0.7
    silent = {**known, "c": invent(qwen, 2)}
    assert Router(silent).recommended_gain is None
    assert Router(silent, gain=0.7).recommended_gain == 0.7


def test_the_mixture_s_layers(qwen: Any) -> None:
    """Its own, else those that its experts agree on, else all."""
    known = {"a": invent(qwen, recommended_layers="last2"), "b": invent(qwen, 1, recommended_layers="last2")}
    assert Router(known).recommended_layers == "last2"
    assert Router(known, layers="0,2").recommended_layers == "0,2"
    assert Router({**known, "c": invent(qwen, 2)}).recommended_layers == "all"
    assert Router(experts(qwen)).recommended_layers == "all"


@pytest.fixture
def folder(qwen: Any, tmp_path: Path) -> Path:
    """Three experts in files of their own."""
    for name, expert in experts(qwen).items():
        expert.save(tmp_path / "files" / f"{name}.safetensors")
    return tmp_path


def written(folder: Path, content: object) -> Path:
    path = folder / "experts.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


FILES = {name: f"files/{name}.safetensors" for name in "abc"}


def test_load(qwen: Any, tokens: Tokens, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a dict and from the published flat JSON, whose paths are relative to the file wherever one stands."""
    paths = {name: folder / file for name, file in FILES.items()}
    config = written(folder, FILES)
    expected, routing = routed(qwen, tokens, Router(experts(qwen), top=3, score="signed"))
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    for source in (paths, {n: str(p) for n, p in paths.items()}, config, str(config)):
        router = Router.load(source, top=3, score="signed")
        assert (router.names, router.top, router.score, router.way) == (("a", "b", "c"), 3, "signed", "online")
        assert (router.sharpness, router.gain) == (1.0, None)
        out, again = routed(qwen, tokens, router)
        assert torch.equal(out, expected)
        same(again.coefficients, routing.coefficients)
    monkeypatch.chdir(folder)
    there = folder / "elsewhere" / "config.json"
    there.write_text(json.dumps({"a": FILES["a"]}), encoding="utf-8")  # else as they are
    assert Router.load(there, top=2).names == ("a",)


def test_load_takes_the_file_s_settings_unless_others_are_given(folder: Path) -> None:
    stored = {"top": 4, "score": "signed", "way": "two_pass", "sharpness": 8, "gain": 0.25}
    two = {"experts": {"a": FILES["a"], "b": FILES["b"]}, "alone": {"c": FILES["c"]}}
    config = written(folder, {**two, "router": stored})
    router = Router.load(config)
    assert router.names == ("a", "b")
    assert {name: getattr(router, name) for name in stored} == stored
    for name, other in {"top": 2, "score": "energy", "way": "online", "sharpness": 1.0, "gain": 0.5}.items():
        changed = Router.load(config, **{name: other})
        assert {key: getattr(changed, key) for key in stored} == {**stored, name: other}
    plain = Router.load(written(folder, two))
    assert (plain.top, plain.score, plain.way, plain.sharpness, plain.gain) == (5, "energy", "online", 1.0, None)
    few = written(folder, {**two, "router": {"layers": "last2"}})
    assert plain.recommended_layers == "all"
    assert (Router.load(few).recommended_layers, Router.load(few, layers="all").recommended_layers) == ("last2", "all")
    named = Router.load(written(folder, {"experts": FILES["a"], "router": FILES["b"]}))  # a flat file's names are free
    assert named.names == ("experts", "router")


def test_load_refuses(folder: Path) -> None:
    bank = folder / "bank.pt"
    torch.save({"layers": [0]}, bank)
    good = {"experts": FILES}
    for content, message in [
        ({"a": "bank.pt"}, "python -m seka convert"),
        ({"a": "missing.safetensors"}, "no projection at .*missing.safetensors"),
        ("{", "could not be read as a router's configuration.*wanted JSON {name: file}, or"),
        ("[" * 100_000, "could not be read"),
        ("[]", "is not a router's configuration: it holds a list; wanted JSON"),
        ({}, "configuration: it names no expert"),
        ({"a": {"path": "x"}}, "'a' is neither an expert with its file nor a known part"),
        ({**good, "experts": {}}, '"experts" names no files'),
        ({**good, "experts": {"a": 1}}, '"experts" names no files'),
        ({"alone": FILES, "router": {}}, '"experts" names no files'),
        ({**good, "alone": ["files/a.safetensors"]}, '"alone" does not name files'),
        ({**good, "alone": {"b": "files/b.safetensors"}}, '\'b\' stands in "experts" and in "alone"'),
        ({**good, "routers": {}}, "'routers' is neither"),
        ({**good, "router": 8.0}, '"router" holds a float'),
        ({**good, "router": {"sharp": 8.0}}, "a router has no setting 'sharp'"),
        ({**good, "router": {"sharpness": "8"}}, "sharpness is '8'; wanted float"),
        ({**good, "router": {"gain": True}}, "gain is True; wanted float"),
        ({**good, "router": {"gain": None}}, "gain is None; wanted float"),
        ({**good, "router": {"top": 2.0}}, "top is 2.0; wanted int"),
        ({**good, "router": {"sharpness": float("nan")}}, "sharpness is nan; wanted a finite number above 0"),
        ({**good, "router": {"gain": float("inf")}}, "gain is inf; wanted a finite number above 0"),
        ({**good, "router": {"layers": [1, 2]}}, r"layers is \[1, 2\]; wanted str"),
        ({**good, "router": {"layers": "some"}}, "layers is 'some'; wanted 'all', 'lastN', 'firstN', '3,5', or heads"),
        ({**good, "router": {"way": "later"}}, "way 'later' is unknown"),
    ]:
        with pytest.raises(ValueError, match=message):
            Router.load(written(folder, content))
    with pytest.raises(ValueError, match="python -m seka convert"):
        Router.load({"a": bank})
    with pytest.raises(ValueError, match=r"nowhere\.json could not be read"):
        Router.load(folder / "nowhere.json")


def test_experts_of_a_folder(folder: Path) -> None:
    """All its projections by the names of their files, unless an experts.json says which."""
    files = folder / "files"
    assert Experts.of(files) == Experts({name: files / f"{name}.safetensors" for name in "abc"})
    assert Experts.of(folder) == Experts({})
    written(files, {"experts": {"first": "b.safetensors"}, "alone": {"second": "a.safetensors"}, "router": {"gain": 2}})
    assert Experts.of(files) == Experts(
        {"first": files / "b.safetensors"}, {"second": files / "a.safetensors"}, {"gain": 2}
    )


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
        ({"a": a}, {"gain": 0.0}, "gain is 0.0; wanted a finite number above 0, or None for the experts' mean"),
        ({"a": a}, {"gain": float("nan")}, "gain is nan"),
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
