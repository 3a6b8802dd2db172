"""The embedded model's experts: the rule that chooses gains, the rows it reads, and the files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pytest
import torch
from setting import invent

from seka import Projection, Router, Steering, encode, miniature
from seka.experts import Experts
from seka.miniature import learn, strength
from seka.miniature.corpus import documents, triplets
from seka.miniature.corpus.replies import WORKED_OUT
from seka.miniature.corpus.triplets import KINDS
from seka.miniature.measures.evaluate import VALIDATION, Row, draw
from seka.miniature.measures.matching import shares
from seka.miniature.measures.sideeffects import harms
from seka.miniature.measures.ways import key_scaling
from seka.miniature.scales import FAINT, Scales
from seka.miniature.strength import GAINS, HARM, Strength, choose_gain


@pytest.fixture(scope="module")
def shipped():
    return miniature.load()


CURVES: dict[str, Callable[[float], float]] = {
    "plateau": lambda gain: min(1.0, gain / 0.27) - max(0.0, gain - 0.6),
    "early": lambda gain: 1.0 - gain,
    "late": lambda gain: gain,
    "peak": lambda gain: 1.0 - 5 * abs(gain - 0.12),
    "flat": lambda gain: 0.5,
    "even but for rounding": lambda gain: 0.5 + gain * 1e-12,
}


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("most", [0.0, 0.03, 0.1, 0.27, 0.5, 1.0])
def test_the_rule_for_gains(name: str, most: float) -> None:
    """Against a search through all gains: up to `most` they do no harm, exactly HARM there."""
    curve, asked, looked = CURVES[name], [], []

    def score(gain: float) -> float:
        asked.append(gain)
        return curve(gain)

    def harm(gain: float) -> float:
        looked.append(gain)
        return HARM if gain <= most else HARM + 0.001 * gain

    gain, scores = choose_gain(score, harm)
    allowed = [g for g in GAINS if g <= most] or [GAINS[0]]
    best = max(map(curve, allowed))
    assert gain == min(g for g in allowed if curve(g) >= best - 1e-9)
    assert scores == {g: curve(g) for g in asked}
    assert len(asked) == len(set(asked))
    assert set(asked) <= set(allowed)
    assert len(looked) == len(set(looked)) <= len(GAINS).bit_length()  # a bisection


def test_scores_are_asked_for_no_further_down_than_one_below_the_plateau() -> None:
    _, scores = choose_gain(lambda gain: gain, lambda gain: 1.0)
    assert set(scores) == set(GAINS[-2:])


def test_rows_are_of_validation_and_half_of_their_wordings_are_unseen(shipped) -> None:
    _, tokenizer = shipped
    with pytest.raises(ValueError, match="3 rows of each task asked for; wanted 2, 4, 6"):
        strength.rows(3, tokenizer)
    found = strength.rows(4, tokenizer)
    assert {
        name: {row.case.kind for row in some}
        for name, some in found.items()
        if name not in ("instructions", strength.WORKED)
    } == {
        "facts": {"conflict"},
        "roles": {"biography"},
    }
    assert all(len(some) == 4 for some in found.values())
    assert {row.case.kind for row in strength.rows(20, tokenizer)[strength.WORKED]} <= set(WORKED_OUT)
    assert {row.case.kind for row in strength.rows(40, tokenizer)["instructions"]} > {"opening", "signature", "choice"}
    assert found["facts"] == [
        row
        for options in (strength.UNSEEN, strength.NOWHERE)
        for row in draw("conflict", 2, VALIDATION, tokenizer, options)
    ]
    assert all(len(row.firsts) == 2 for name in strength.SCORED for row in found[name])
    assert set(found) == set(strength.SCORED)


def test_strength_counts_the_rows_that_follow_the_mark_in_both_directions(shipped, monkeypatch) -> None:
    """Against one prompt at a time, its answer written out by `generate`: of instructions the whole of it."""
    model, tokenizer = shipped
    gain = 0.4
    monkeypatch.setattr(strength, "STORIES", 4)
    monkeypatch.setattr(strength, "GAINS", (gain,))
    given = strength.rows(4, tokenizer)
    steering = Steering(model, key_scaling(invent(model)), gain)
    found = strength.strength(model, tokenizer, steering.source, given)

    def follows(row: Row, index: int, name: str) -> bool:
        tokens, wanted = encode(row.marked(index), tokenizer), tokenizer(row.case.wholes[index].rstrip())["input_ids"]
        wanted = wanted if name in ("instructions", "worked out") else wanted[:1]
        with steering.on(tokens):
            out = model.generate(
                tokens.ids, attention_mask=tokens.attention, max_new_tokens=len(wanted), do_sample=False
            )
        return out[0, tokens.ids.shape[1] :].tolist() == wanted

    hits = [follows(row, 0, name) and follows(row, 1, name) for name in strength.SCORED for row in given[name]]
    assert 0 < sum(hits) < len(hits) == 16
    assert found.scores == {gain: pytest.approx(sum(hits) / 16)}
    assert found.gain == gain
    harm = harms(model, tokenizer, {"": steering}, VALIDATION, 4)[""]
    assert harm.interval[1] > harm.multiple
    assert found.perplexity == {gain: pytest.approx(harm.interval[1])}


def test_shares_are_those_of_each_prompt_alone(shipped) -> None:
    model, tokenizer = shipped
    steering = Steering(model, Router({name: invent(model, n) for n, name in enumerate(("facts", "roles"))}), 1.0)
    rows = {
        name: draw(kind, 3, VALIDATION, tokenizer) for name, kind in {"facts": "conflict", "roles": "opening"}.items()
    }
    for some in rows.values():
        prompts = [row.marked(row.less_likely) for row in some]
        for prompt, share in zip(prompts, shares(tokenizer, prompts, steering), strict=True):
            tokens = encode(prompt, tokenizer)
            with steering.on(tokens) as session, torch.no_grad():
                model(tokens.ids, attention_mask=tokens.attention)
            alone = sum(a.double().sum((0, 2)) for a in session.routing.coefficients.values())
            assert list(share.values()) == pytest.approx((alone / alone.sum()).tolist(), abs=1e-4)
    with pytest.raises(ValueError, match="has no router"):
        shares(tokenizer, [], Steering(model, invent(model), 1.0))


def test_what_is_written_is_what_was_chosen(shipped, monkeypatch, tmp_path) -> None:
    """Triplets are few and the strengths given, so that the files alone are tested."""
    model, tokenizer = shipped
    gains = {"facts": 0.12, "roles": 0.18, "instructions": 0.27, "passages": 0.4, "pooled": 0.6}
    best, heads = 8.0, "0:3;2:0,1"
    none = {layer: [0.0] * 4 for layer in range(8)}
    scales = {
        "facts": none | {0: [0.0, 0.0, 0.0, 0.4], 2: [1.0, 0.25, 0.0, 0.0]},
        "roles": none | {2: [0.5, 0.3, 0.0, 0.0]},
        "instructions": none | {0: [0.0, 0.0, 0.0, 0.7], 2: [0.0, 0.6, 0.0, 0.0]},
        "passages": none | {0: [0.0, 0.0, 0.0, 0.1]},
    }
    alone = {"pooled": none | {0: [0.0, 0.0, 0.0, 0.9], 2: [1.0, 0.0, 0.0, 0.0]}}

    def given(_model, _tokenizer, source, _rows, layers) -> Strength:
        assert layers == heads
        if isinstance(source, Router):
            assert (source.score, source.sharpness) == ("relative", best)
            return Strength(0.08, {0.08: 0.9}, {0.08: 1.01})
        gain = gains[source.name]
        return Strength(gain, {gain: 0.7}, {gain: 1.0})

    def tuned(_model, _tokenizer, experts, places, report) -> Scales:
        if list(experts) == ["pooled"]:
            assert places == [(0, 3), (2, 0), (2, 1)]
            return alone
        assert list(experts) == list(KINDS)
        assert places == [(layer, head) for layer in range(8) for head in range(4)]
        return dict(scales)

    few: Mapping[str, Projection] = learn.learnt(model, tokenizer, 4, 2)
    monkeypatch.setattr(learn, "learnt", lambda _model, _tokenizer: dict(few))
    monkeypatch.setattr(learn, "strength", given)
    monkeypatch.setattr(learn.scales, "tune", tuned)
    (tmp_path / "reports.safetensors").write_bytes(b"an expert of old")
    figures = learn.make(model, tokenizer, tmp_path, 4)
    assert (figures["documents"], figures["triplets"]) == (documents.digest(), triplets.digest())
    assert {file.name for file in tmp_path.iterdir()} == {f"{name}.safetensors" for name in gains} | {"experts.json"}
    listed = Experts.of(tmp_path)
    assert (list(listed.mixed), list(listed.alone)) == (list(KINDS), ["pooled"])
    assert listed.router == {"layers": heads, "score": "relative", "sharpness": best, "gain": 0.08}
    for name, file in {**listed.mixed, **listed.alone}.items():
        projection = Projection.load(file)
        projection.check(model)
        assert (projection.name, projection.recommended_gain) == (name, gains[name])
        assert projection.recommended_layers == heads
        assert projection.header["model"] == "seka-miniature"
        assert "Learnt from 4 questions " in projection.description
    for file in listed.mixed.values():
        assert all(part.baseline is not None for part in Projection.load(file).parts.values())
    assert Projection.load(listed.alone["pooled"]).part(0).baseline is None
    # Heads beyond the choice act as gently as the weakest of the expert; one that acts in others alone does next to nothing.
    found = {name: Projection.load(file) for name, file in {**listed.mixed, **listed.alone}.items()}
    assert found["facts"].part(2).scale.tolist() == [1.0, 0.25, 0.25, 0.25]
    assert found["facts"].part(7).scale.tolist() == [0.25] * 4
    assert found["instructions"].part(2).scale.tolist() == pytest.approx([FAINT, 0.6, 0.6, 0.6])
    assert found["passages"].part(2).scale.tolist() == pytest.approx([FAINT, FAINT, 0.1, 0.1])
    assert found["pooled"].part(0).scale.tolist() == pytest.approx([0.9, 0.9, 0.9, 0.9])
    assert found["pooled"].part(2).scale.tolist() == pytest.approx([1.0, FAINT, 0.9, 0.9])
    router = Router.load(tmp_path / "experts.json")
    assert (router.recommended_gain, router.recommended_layers) == (0.08, heads)
    assert figures["layers"] == heads
    assert figures["scales"] == {
        "facts": {"0": [0.0, 0.0, 0.0, 0.4], "2": [1.0, 0.25, 0.0, 0.0]},
        "roles": {"0": [0.0, 0.0, 0.0, FAINT], "2": [0.5, 0.3, 0.0, 0.0]},
        "instructions": {"0": [0.0, 0.0, 0.0, 0.7], "2": [FAINT, 0.6, 0.0, 0.0]},
        "passages": {"0": [0.0, 0.0, 0.0, 0.1], "2": [FAINT, FAINT, 0.0, 0.0]},
        "pooled": {"0": [0.0, 0.0, 0.0, 0.9], "2": [1.0, FAINT, 0.0, 0.0]},
    }
    assert figures["rows"] == 4
    assert figures["experts"]["roles"] == {
        "triplets": 4,
        "gain": 0.18,
        "scores": {"0.18": 0.7},
        "perplexity": {"0.18": 1.0},
    }
    assert figures["router"] == {
        "score": "relative",
        "sharpness": best,
        "gain": 0.08,
        "scores": {"0.08": 0.9},
        "perplexity": {"0.08": 1.01},
    }
    assert json.loads(json.dumps(figures)) == figures
