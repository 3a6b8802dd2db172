"""Baselines of experts, and routing relative to them: recomputed by hand, and what they do to a router's picks."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from byhand import _forward
from setting import HEADS, experts, invent, prompts, routed, rows_of, steerable
from torch import Tensor

import seka
from seka import Projection, ProjectionMismatch, Router, Steering
from seka.routing import weigh
from seka.sites import sites
from seka.tokens import Tokens, encode


def based(projection: Projection, change: Any) -> Projection:
    """The projection with change(layer, baseline) for its baselines."""
    parts = {at: replace(part, baseline=change(at, part.baseline)) for at, part in projection.parts.items()}
    return Projection(parts, projection.header)


def test_by_hand(family: str, tokenizer: Any) -> None:
    """The mean share of every prompt's last query, prompt by prompt and vector by vector, however they are batched."""
    model, texts = steerable(family), prompts()
    known = {"a": invent(model), "b": invent(model, 1)}
    queries: list[dict[int, Tensor]] = []
    for ids, _ in rows_of(encode(texts, tokenizer)):
        seen: dict[int, Tensor] = {}
        _forward(model, family, ids, lambda layer, q, _keys, seen=seen: seen.update({layer: q}), len(ids) - 1)
        queries.append(seen)
    for size in (2, 16):
        done: list[tuple[int, int]] = []
        found = seka.with_baselines(
            model, tokenizer, known, texts, batch_size=size, progress=lambda *told, done=done: done.append(told)
        )
        assert done == [(min(first + size, len(texts)), len(texts)) for first in range(0, len(texts), size)]
        for name, expert in found.items():
            for layer, part in expert.parts.items():
                vectors = part.positive.vectors.double()
                for head in range(len(vectors)):
                    for r in range(vectors.shape[2]):
                        total = 0.0
                        for seen in queries:
                            each = len(seen[layer]) // len(vectors)
                            q = seen[layer][head * each : (head + 1) * each].double().mean(0)
                            total += float(q @ vectors[head, :, r]) ** 2 / float(q @ q)
                        assert part.baseline is not None
                        assert float(part.baseline[head, r]) == pytest.approx(total / len(queries), rel=1e-3, abs=1e-5)
                before = known[name].parts[layer]
                assert all(
                    getattr(part, f.name) is getattr(before, f.name) for f in fields(part) if f.name != "baseline"
                )


def test_an_expert_that_is_near_every_query_is_not_picked_for_that(qwen: Any, tokenizer: Any, tokens: Tokens) -> None:
    """One prompt as the only usual one: every energy is its own mean, and all experts weigh alike."""
    text = prompts()[:1]
    known = seka.with_baselines(qwen, tokenizer, experts(qwen), text)
    one = encode(text, tokenizer)
    _, plain = routed(qwen, one, Router(known, way="two_pass"))
    _, relative = routed(qwen, one, Router(known, score="relative", way="two_pass"))
    for layer, alpha in relative.coefficients.items():
        torch.testing.assert_close(alpha, torch.ones_like(alpha), rtol=0, atol=1e-4)
        assert plain.coefficients[layer].min() < 0.9
    _, others = routed(qwen, tokens, Router(known, score="relative", way="two_pass"))
    assert min(float(alpha.min()) for alpha in others.coefficients.values()) < 0.9


def test_only_how_baselines_compare_matters(qwen: Any, tokens: Tokens) -> None:
    known = experts(qwen)
    _, once = routed(qwen, tokens, Router(known, score="relative", way="two_pass"))
    doubled = {name: based(expert, lambda _, row: row * 2) for name, expert in known.items()}
    _, twice = routed(qwen, tokens, Router(doubled, score="relative", way="two_pass"))
    halved = {**known, "b": based(known["b"], lambda _, row: row / 2)}
    _, more = routed(qwen, tokens, Router(halved, score="relative", way="two_pass"))
    for layer in once.coefficients:
        torch.testing.assert_close(once.coefficients[layer], twice.coefficients[layer], rtol=0, atol=1e-6)
        a, b = once.coefficients[layer][:, :2].unbind(1)
        c, d = more.coefficients[layer][:, :2].unbind(1)
        torch.testing.assert_close(d / c, 2 * b / a, rtol=1e-4, atol=0)


def test_an_expert_without_a_baseline_counts_with_the_mean_of_the_others(qwen: Any, tokens: Tokens) -> None:
    known = experts(qwen)
    bare = {**known, "c": based(known["c"], lambda _, row: None)}
    router, whole = Router(bare, score="relative"), Router(known, score="relative")
    for layer in router.layers:
        found, given = router.usual(layer), whole.usual(layer)
        assert found is not None
        assert given is not None
        torch.testing.assert_close(found[:2], given[:2])
        torch.testing.assert_close(found[2], given[:2].mean(0))
        for m, expert in enumerate(list(known.values())[:2]):
            factors, baseline = expert.parts[layer].positive, expert.parts[layer].baseline
            assert baseline is not None
            for head in range(HEADS):
                s = factors.values[head, :5].double()
                assert float(found[m, head]) == pytest.approx(float((s * baseline[head, :5]).sum() / s.sum()))
    assert Router(known).usual(0) is None
    none = {name: based(expert, lambda _, row: None) for name, expert in known.items()}
    with pytest.raises(ValueError, match=r"no expert has a baseline in layers \[0, 1, 2\].*seka.with_baselines"):
        Router(none, score="relative")
    routed(qwen, tokens, Router(none))


def test_baselines_are_kept_in_the_file(qwen: Any, tmp_path: Path) -> None:
    projection = invent(qwen)
    projection.save(tmp_path / "p.safetensors")
    back = Projection.load(tmp_path / "p.safetensors")
    for layer, part in projection.parts.items():
        assert part.baseline is not None
        assert torch.equal(back.parts[layer].baseline, part.baseline)  # type: ignore[arg-type]
    assert all(part.baseline is None for part in projection.random().parts.values())  # other vectors
    based(projection, lambda _, row: None).save(tmp_path / "p.safetensors")
    assert all(part.baseline is None for part in Projection.load(tmp_path / "p.safetensors").parts.values())
    for wrong in (torch.zeros(HEADS, 7), torch.full((HEADS, 8), 1.5), torch.full((HEADS, 8), torch.nan)):
        based(projection, lambda _, row, wrong=wrong: wrong.clone()).save(tmp_path / "p.safetensors")
        with pytest.raises(ValueError, match=r"baseline .* does not belong to vectors \(2, 16, 8\); wanted \(H, R\)"):
            Projection.load(tmp_path / "p.safetensors")


def test_bad_input(qwen: Any, tokenizer: Any, tokens: Tokens) -> None:
    known = {"a": invent(qwen)}
    with pytest.raises(ValueError, match="no prompts given; wanted some of every kind"):
        seka.with_baselines(qwen, tokenizer, known, [])
    with pytest.raises(ValueError, match="batch_size is 0; wanted at least 1"):
        seka.with_baselines(qwen, tokenizer, known, prompts(), batch_size=0)
    with pytest.raises(ValueError, match="tokens; the model holds"):
        seka.with_baselines(qwen, tokenizer, known, [seka.Prompt("the " * 5000)])
    with pytest.raises(ProjectionMismatch):
        seka.with_baselines(steerable("qwen3", seed=5), tokenizer, known, prompts())
    with Steering(qwen, known["a"], 1.0).on(tokens), pytest.raises(RuntimeError, match="being steered"):
        seka.with_baselines(qwen, tokenizer, known, prompts())
    broken = qwen.model.layers[1].self_attn.q_norm.register_forward_hook(lambda _m, _i, out: out * torch.nan)
    try:
        with pytest.raises(ValueError, match="queries hold NaN or infinity; load it in float32 or bfloat16"):
            seka.with_baselines(qwen, tokenizer, known, prompts())
    finally:
        broken.remove()


def test_marks_are_not_looked_at(qwen: Any, tokenizer: Any) -> None:
    known, text = {"a": invent(qwen)}, "the  old harbour"
    plain, marked = (
        seka.with_baselines(qwen, tokenizer, known, [prompt])["a"]
        for prompt in (seka.Prompt(text), seka.Prompt(text, ((5, 8),), (3.0,)))
    )
    for layer in plain.layers:
        assert torch.equal(plain.parts[layer].baseline, marked.parts[layer].baseline)  # type: ignore[arg-type]


def test_energies_that_are_next_to_nothing_are_no_baseline(qwen: Any, tokens: Tokens) -> None:
    """Nothing is divided by rounding; an expert with such a baseline counts with the mean of the others."""
    known = experts(qwen)
    faint = {**known, "b": based(known["b"], lambda _, row: torch.full_like(row, 1e-30))}
    bare = {**known, "b": based(known["b"], lambda _, row: None)}
    for layer in range(3):
        one, other = (Router(some, score="relative").usual(layer) for some in (faint, bare))
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)
    _, routing = routed(qwen, tokens, Router(faint, score="relative"))
    assert all(bool(alpha.isfinite().all()) for alpha in routing.coefficients.values())


def test_mean_energies_belong_to_the_relative_score_alone(qwen: Any) -> None:
    site, router = sites(qwen)[0], Router(experts(qwen), score="relative")
    given = torch.ones((1, site.query_heads, site.width)), router.vectors(0), router.values(0), torch.ones(3, HEADS)
    for score, usual in (("relative", None), ("energy", router.usual(0)), ("signed", router.usual(0))):
        with pytest.raises(ValueError, match=f"score '{score}' was given .*wanted some for 'relative'"):
            weigh(*given, score, usual=usual)
