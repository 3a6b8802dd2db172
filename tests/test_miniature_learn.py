"""The embedded model's experts: the rules that choose gains and sharpness, the rows they read, and the files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest
import torch
from setting import invent

from seka import Projection, Router, Steering, encode, miniature
from seka.experts import Experts
from seka.miniature import learn, strength
from seka.miniature.corpus.triplets import KINDS
from seka.miniature.measures.evaluate import VALIDATION, Rate, Row, draw
from seka.miniature.measures.matching import matching, shares
from seka.miniature.measures.ways import key_scaling
from seka.miniature.strength import (
    GAINS,
    PLATEAU,
    SLOPE,
    Strength,
    choose_gain,
    choose_layers,
    choose_sharpness,
    sweep,
)


@pytest.fixture(scope="module")
def shipped():
    return miniature.load()


def harmless(_gain: float) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("scores", "harm", "gain"),
    [
        ({0.1: 0.5, 0.2: 0.9, 0.4: 0.91, 0.6: 0.8}, {}, 0.2),  # the smallest of the plateau, not the best
        ({0.1: 0.5, 0.2: 0.88, 0.4: 0.91, 0.6: 0.8}, {}, 0.4),  # 0.88 is off it
        ({0.1: 0.98, 0.2: 1.0}, {}, 0.1),  # exactly PLATEAU below counts
        ({0.1: 0.87, 0.2: 0.9, 0.4: 0.91}, {0.2: 1.03}, 0.1),  # harm: down the slope
        ({0.05: 0.87, 0.1: 0.88, 0.2: 0.9, 0.4: 0.91}, {0.2: 1.03}, 0.1),  # no further than needed
        ({0.05: 0.87, 0.1: 0.88, 0.2: 0.9, 0.4: 0.91}, {0.2: 1.03, 0.1: 1.021}, 0.05),
        ({0.1: 0.85, 0.2: 0.9, 0.4: 0.91}, {0.2: 1.03}, 0.2),  # 0.85 is not worth having
        ({0.1: 0.87, 0.2: 0.9, 0.4: 0.91}, {0.1: 1.03, 0.2: 1.04}, 0.2),  # everything harms
        ({0.2: 0.9, 0.4: 0.91}, {0.2: 1.02}, 0.2),  # exactly HARM is no harm
    ],
)
def test_the_rule_for_gains(scores: dict[float, float], harm: dict[float, float], gain: float) -> None:
    assert choose_gain(scores, lambda g: harm.get(g, 1.0)) == gain


def test_side_effects_are_measured_no_oftener_than_the_rule_asks() -> None:
    asked: list[float] = []

    def harm(gain: float) -> float:
        asked.append(gain)
        return 1.5 if gain > 0.15 else 1.0

    assert choose_gain({0.05: 0.87, 0.1: 0.88, 0.2: 0.9, 0.4: 0.91}, harm) == 0.1
    assert asked == [0.2, 0.1]


@pytest.mark.parametrize(
    ("scores", "harms", "hits", "sharpness"),
    [
        ({1: 0.9, 4: 0.91, 8: 0.9, 16: 0.91}, {}, {1: 10, 4: 30, 8: 40, 16: 39}, 8),
        ({1: 0.9, 4: 0.91, 8: 0.88, 16: 0.91}, {}, {1: 10, 4: 30, 8: 40, 16: 29}, 4),  # 8 costs too much
        (
            {1: 0.9, 4: 0.89, 8: 0.9, 16: 0.9},
            {},
            {1: 10, 4: 40, 8: 40, 16: 40},
            8,
        ),  # of equals the best, then the gentlest
        ({1: 0.95, 4: 0.9, 8: 0.9, 16: 0.9}, {}, {1: 0, 4: 40, 8: 40, 16: 40}, 1),
        ({1: 0.9, 4: 0.99, 8: 0.91, 16: 0.99}, {4: 1.03, 16: 1.2}, {1: 10, 4: 40, 8: 5, 16: 40}, 1),  # harm rules out
        ({1: 0.9, 4: 0.99}, {1: 1.03, 4: 1.03}, {1: 10, 4: 9}, 4),  # all do harm
    ],
)
def test_the_rule_for_sharpness(
    scores: dict[float, float], harms: dict[float, float], hits: dict[float, int], sharpness: float
) -> None:
    found = {s: Strength(0.2, {0.2: score}, {0.2: harms.get(s, 1.0)}) for s, score in scores.items()}
    assert choose_sharpness(found, {s: Rate(n, 50) for s, n in hits.items()}) == sharpness


@pytest.mark.parametrize(
    ("tried", "layers"),
    [
        ({"all": (0.8, 1.01), "last4": (0.9, 1.01), "last2": (0.9, 1.0)}, "last4"),  # of equals the first
        ({"all": (0.95, 1.03), "last4": (0.9, 1.02), "last2": (0.8, 1.0)}, "last4"),  # harm rules out the best
        ({"all": (0.95, 1.05), "last4": (0.9, 1.04), "last2": (0.8, 1.03)}, "last2"),  # all do harm
    ],
)
def test_the_rule_for_layers(tried: dict[str, tuple[float, float]], layers: str) -> None:
    found = {name: Strength(0.2, {0.1: 1.0, 0.2: score}, {0.2: harm}) for name, (score, harm) in tried.items()}
    assert choose_layers(found) == layers


CURVES: dict[str, Callable[[float], float]] = {
    "plateau": lambda gain: min(1.0, gain / 0.27) - max(0.0, gain - 0.6),
    "early": lambda gain: 1.0 - gain,
    "late": lambda gain: gain,
    "peak": lambda gain: 1.0 - 5 * abs(gain - 0.12),
    "flat": lambda gain: 0.5,
}


@pytest.mark.parametrize("name", CURVES)
def test_a_sweep_finds_what_scoring_every_gain_would(name: str) -> None:
    score = CURVES[name]
    asked: list[float] = []

    def noted(gain: float) -> float:
        asked.append(gain)
        return score(gain)

    found, every = sweep(noted), {gain: score(gain) for gain in GAINS}
    assert found == {gain: every[gain] for gain in asked}
    assert len(asked) == len(set(asked))
    assert choose_gain(found, harmless) == choose_gain(every, harmless)
    within = {gain for gain, value in every.items() if value >= max(every.values()) - SLOPE}
    assert {gain for gain in within if gain <= choose_gain(every, harmless)} <= set(found)


def test_a_sweep_does_not_score_what_cannot_be_chosen() -> None:
    assert set(sweep(CURVES["late"])) == {gain for gain in GAINS if gain >= strength.START}
    assert max(sweep(CURVES["peak"])) < 0.6
    assert PLATEAU < SLOPE


def test_rows_are_of_validation_and_half_of_their_wordings_are_unseen(shipped) -> None:
    _, tokenizer = shipped
    with pytest.raises(ValueError, match="6 rows of each task asked for; wanted 4, 8, 12"):
        strength.rows(6, tokenizer)
    found = strength.rows(4, tokenizer)
    assert {name: [row.case.kind for row in some] for name, some in found.items()} == {
        "facts": ["conflict"] * 4,
        "roles": ["biography"] * 4,
        "instructions": ["opening"] * 2 + ["signature"] * 2,
        "passages": ["passage"] * 4,
    }
    assert found["facts"] == [
        row
        for options in (strength.UNSEEN, strength.NOWHERE)
        for row in draw("conflict", 2, VALIDATION, tokenizer, options)
    ]
    assert all(len(row.firsts) == 2 for name in strength.SCORED for row in found[name])


def test_strength_counts_the_rows_that_follow_the_mark_in_both_directions(shipped, monkeypatch) -> None:
    """Against one prompt at a time, its answer's first token by `generate`."""
    model, tokenizer = shipped
    gain = 0.4
    monkeypatch.setattr(strength, "STORIES", 1)
    monkeypatch.setattr(strength, "START", gain)
    monkeypatch.setattr(strength, "GAINS", (gain,))
    given = strength.rows(4, tokenizer)
    steering = Steering(model, key_scaling(invent(model)), gain)
    found = strength.strength(model, tokenizer, steering.source, given)

    def follows(row: Row, index: int) -> bool:
        tokens = encode(row.marked(index), tokenizer)
        with steering.on(tokens):
            out = model.generate(tokens.ids, attention_mask=tokens.attention, max_new_tokens=1, do_sample=False)
        return int(out[0, -1]) == row.firsts[index]

    hits = [follows(row, 0) and follows(row, 1) for name in strength.SCORED for row in given[name]]
    assert 0 < sum(hits) < len(hits) == 12
    assert found.scores == {gain: pytest.approx(sum(hits) / 12)}
    assert found.gain == gain
    assert set(found.perplexity) == {gain}


def test_shares_and_matches_are_those_of_each_prompt_alone(shipped) -> None:
    model, tokenizer = shipped
    steering = Steering(model, Router({name: invent(model, n) for n, name in enumerate(("facts", "roles"))}), 1.0)
    rows = {
        name: draw(kind, 3, VALIDATION, tokenizer) for name, kind in {"facts": "conflict", "roles": "opening"}.items()
    }
    hits = 0
    for name, some in rows.items():
        prompts = [row.marked(row.less_likely) for row in some]
        for prompt, share in zip(prompts, shares(tokenizer, prompts, steering), strict=True):
            tokens = encode(prompt, tokenizer)
            with steering.on(tokens) as session, torch.no_grad():
                model(tokens.ids, attention_mask=tokens.attention)
            alone = sum(a.double().sum((0, 2)) for a in session.routing.coefficients.values())
            assert list(share.values()) == pytest.approx((alone / alone.sum()).tolist(), abs=1e-4)
            hits += share[name] > 0.5
    assert matching(tokenizer, rows, steering) == Rate(hits, 6)
    with pytest.raises(ValueError, match="has no router"):
        shares(tokenizer, [], Steering(model, invent(model), 1.0))


def test_what_is_written_is_what_was_chosen(shipped, monkeypatch, tmp_path) -> None:
    """Triplets are few and the strengths given, so that the files alone are tested."""
    model, tokenizer = shipped
    gains = {"facts": 0.12, "roles": 0.18, "instructions": 0.27, "passages": 0.4, "pooled": 0.6}
    best = 8.0

    def given(_model, _tokenizer, source, _rows, layers) -> Strength:
        if isinstance(source, Router):
            assert layers == "last3"
            return Strength(0.08, {0.08: 0.9 if source.sharpness == best else 0.8}, {0.08: 1.01})
        gain = gains[source.name]
        return Strength(gain, {gain: 0.7 if layers == "last3" else 0.6}, {gain: 1.0})

    few: Mapping[str, Projection] = learn.learnt(model, tokenizer, 4)
    monkeypatch.setattr(learn, "learnt", lambda _model, _tokenizer: dict(few))
    monkeypatch.setattr(learn, "strength", given)
    monkeypatch.setattr(learn, "matching", lambda *_: Rate(3, 4))
    (tmp_path / "reports.safetensors").write_bytes(b"an expert of old")
    figures = learn.make(model, tokenizer, tmp_path, 4)
    assert {file.name for file in tmp_path.iterdir()} == {f"{name}.safetensors" for name in gains} | {"experts.json"}
    listed = Experts.of(tmp_path)
    assert (list(listed.mixed), list(listed.alone)) == (list(KINDS), ["pooled"])
    assert listed.router == {"layers": "last3", "sharpness": best, "gain": 0.08}
    for name, file in {**listed.mixed, **listed.alone}.items():
        projection = Projection.load(file)
        projection.check(model)
        assert (projection.name, projection.recommended_gain) == (name, gains[name])
        assert projection.recommended_layers == "last3"
        assert projection.header["model"] == "seka-miniature"
        assert "Learnt from 4 questions " in projection.description
    router = Router.load(tmp_path / "experts.json")
    assert (router.recommended_gain, router.recommended_layers) == (0.08, "last3")
    assert figures["layers"]["chosen"] == "last3"
    assert list(figures["layers"]["tried"]) == list(strength.LAYERS)
    assert figures["rows"] == 4
    assert figures["experts"]["roles"] == {
        "triplets": 4,
        "gain": 0.18,
        "scores": {"0.18": 0.7},
        "perplexity": {"0.18": 1.0},
    }
    assert (figures["router"]["sharpness"], figures["router"]["gain"]) == (best, 0.08)
    assert figures["router"]["tried"]["1"] == {
        "gain": 0.08,
        "score": 0.8,
        "matching": {"hits": 3, "n": 4},
        "scores": {"0.08": 0.8},
        "perplexity": {"0.08": 1.01},
    }
    assert json.loads(json.dumps(figures)) == figures
