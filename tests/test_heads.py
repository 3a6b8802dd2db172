"""The Heads tab without a browser: effects as measured, as drawn, and what is said of them and of one head."""

from __future__ import annotations

import json
import math
import random
import re
from typing import Any

import pytest
import torch
from setting import counted
from studios import TEXT, text_of, tiny_studio

import seka
from app import actions, examples, head_words, maps
from app.actions import Settings
from app.models import Studio
from seka import figures
from seka.effects import rank_correlation, two_places

SETTINGS = Settings(mode="facts", strength=6.0, max_new_tokens=4)


@pytest.fixture
def studio() -> Studio:
    return tiny_studio()


def measured(studio: Studio, settings: Settings = SETTINGS) -> dict[str, Any]:
    *_, found = maps.measure(studio, TEXT, settings)
    assert isinstance(found, dict)
    return found


# ---- measuring ----


@pytest.mark.parametrize("mode", ["facts", "adaptive"])
def test_effect_is_the_change_of_the_first_token_s_log_probability(studio: Studio, mode: str) -> None:
    settings = Settings(mode=mode, strength=6.0, max_new_tokens=1)
    found = measured(studio, settings)
    prompt, model, tokenizer = seka.Prompt.marked(TEXT), studio.model, studio.tokenizer
    first = actions.answer(studio, TEXT, settings)["steered"]["text"]
    assert found["effect_of"]["token"] == first
    ids = seka.encode(prompt, tokenizer).ids

    def score(heads: dict[int, list[int]] | None) -> torch.Tensor:
        with torch.no_grad():
            if heads is None:
                return model(ids).logits[0, -1].double().log_softmax(-1)  # type: ignore[misc]
            with seka.Steering(model, studio.source(mode), 6.0, heads=heads).on(seka.encode(prompt, tokenizer)):
                return model(ids).logits[0, -1].double().log_softmax(-1)  # type: ignore[misc]

    whole = score({layer: [0, 1] for layer in range(3)})
    wanted = int(whole.argmax())
    assert tokenizer.decode([wanted]) == first
    for layer in range(3):
        for head in range(2):
            change = float(score({layer: [head]})[wanted] - score(None)[wanted])
            assert found["effect"][str(layer)][head] == pytest.approx(change, abs=2e-5)
    assert max(abs(v) for row in found["effect"].values() for v in row) > 1e-3
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_whoever_leaves_early_ends_the_work(studio: Studio) -> None:
    with counted(studio.model) as calls:
        walk = maps.measure(studio, TEXT, SETTINGS)
        said = [next(walk), next(walk)]
        walk.close()  # type: ignore[attr-defined]
        done = len(calls)
    assert done == 1 + 1 + 2  # the steered answer's token, the plain score, one layer of two heads
    assert said[1] == "Measuring: 1 of 3 layers"


@pytest.mark.parametrize(
    ("text", "settings", "says"),
    [
        ("No marks here", SETTINGS, "nothing is marked"),
        (TEXT, Settings(strength=0.0), "strength is 0"),
        (" ", SETTINGS, "Write a prompt"),
        (TEXT, Settings(mode="nobody"), "no expert 'nobody'"),
    ],
)
def test_what_cannot_be_measured_is_said(studio: Studio, text: str, settings: Settings, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        list(maps.measure(studio, text, settings))


# ---- drawing ----


def test_the_map_of_effects_is_signed_around_nothing() -> None:
    effect = {0: torch.tensor([0.5, -2.0]), 3: torch.tensor([math.nan, 0.25])}
    figure = figures.effects(effect, {0: torch.tensor([False, True])})
    trace = figure.data[0]
    assert [list(row) for row in trace.z] == [[0.5, -2.0], [None, 0.25]]
    assert [list(row) for row in trace.text] == [["", "−"], ["", ""]]
    assert (trace.zmin, trace.zmax) == (-2.0, 2.0)
    assert trace.colorscale[0][1] != trace.colorscale[-1][1]
    assert tuple(trace.y) == (0, 3)
    (box,) = figure.layout.shapes
    assert (box.y0, box.y1, box.x0, box.x1) == (-0.5, 0.5, 0.5, 1.5)


def test_a_record_s_effect_is_drawn_with_the_heads_it_steered(studio: Studio) -> None:
    record = json.loads(json.dumps(measured(studio, Settings(mode="facts", strength=6.0, heads="1:0"))))
    figure = head_words.effect_map(record)
    for drawn, kept in zip(figure.data[0].z, record["effect"].values(), strict=True):
        assert list(drawn) == pytest.approx(kept)
    (box,) = figure.layout.shapes
    assert (box.y0, box.x0) == (0.5, -0.5)
    assert head_words.effect_map({"heads": {}}) is None


# ---- words ----


def test_rank_correlation_is_the_correlation_of_mean_ranks() -> None:
    dice = random.Random(0)
    for _ in range(200):
        count = dice.randint(2, 12)
        one, other = ([dice.randint(0, 5) / 2 for _ in range(count)] for _ in range(2))
        ranks = []
        for values in (one, other):
            places = [[i for i, v in enumerate(sorted(values)) if v == value] for value in values]
            ranks.append([sum(at) / len(at) for at in places])
        a, b = ([r - sum(rank) / count for r in rank] for rank in ranks)
        spread = math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
        expected = sum(x * y for x, y in zip(a, b, strict=True)) / spread if spread else math.nan
        assert rank_correlation(one, other) == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert rank_correlation([1, 2, 3], [10.0, 20.0, 90.0]) == pytest.approx(1)
    assert math.isnan(rank_correlation([], []))
    assert [two_places(r) for r in (-0.004, 0.0, 0.996, -0.006)] == ["0.00", "0.00", "1.00", "-0.01"]
    with pytest.raises(ValueError, match="1 values against 2"):
        rank_correlation([1], [1, 2])


RECORD: dict[str, Any] = {
    "effect": {"0": [0.1, -0.3], "4": [0.9, None]},
    "effect_of": {"token": " <b>", "prompt": "…<i>a player of", "mode": "facts", "strength": 0.4},
    "sensitivity": {"0": [0.9, 0.5], "4": [0.2, 0.1]},
}


def test_where_the_maps_disagree_is_said() -> None:
    markup = head_words.effect(RECORD)
    said = text_of(markup)
    assert not re.search(r"<[bi]>", markup)
    assert "“…<i>a player of”, steered by facts at strength 0.4" in said
    assert "Layer 4, KV head 0 does most for it (+0.900 nats); 1 of 3 heads works against it." in said
    assert "The most sensitive one, layer 0, KV head 0, has rank 2 of 3 by effect (+0.100 nats)." in said
    assert "are opposed: their rank correlation is -0.50" in said  # ranks 2 1 0 against 1 0 2
    same = {**RECORD, "sensitivity": {"0": [0.2, 0.1], "4": [0.9, 0.1]}}
    assert "It is the most sensitive head, too." in head_words.effect(same)
    assert "agree well: their rank correlation is 1.00" in head_words.effect(same)
    assert head_words.effect({}) == ""


def test_everything_known_of_one_head_is_told() -> None:
    run = {
        "routing": {"names": ["facts", "<b>"], "coefficients": {"0": [[0.25, 1.0], [1.0, 0.5]]}},
        "attention": {
            "kv_heads": {"0": 2},
            "shares": {
                "highlighted": {"plain": {"0": [0.5, 0.7, 0.125, 0.375]}, "steered": {"0": [0.5, 0.7, 0.5, 0.75]}}
            },
        },
    }
    shifts = {"facts": {"0": [0.9, 0.5]}, "roles": {"0": [0.1, 0.7]}}
    markup = head_words.one(
        (0, 1), "steered now", shifts, {"facts": {"0": [1.0, 0.5]}, "roles": {"0": [1.0, 1.25]}}, run, RECORD
    )
    said = text_of(markup)
    assert "<b>" not in markup
    for part in (
        "Layer 0, KV head 1: steered now",
        "relative shift 0.700, rank 2 of 2 (facts 0.500, roles 0.700)",
        "Scale of the strengthfacts ×0.5, roles ×1.25",
        "−0.300 nats, rank 3 of 3",
        "facts 1.00, <b> 0.50",
        "25% plain, 62% steered",  # the mean over query heads 2 and 3
    ):
        assert part in said
    bare = text_of(head_words.one((7, 7), "not steered", {"facts": {"0": [0.9]}}, {}, None, None))
    assert "unknown" in bare
    assert "not measured" in bare
    assert "no run yet" in bare


def test_a_record_of_another_model_says_nothing_of_this_one_s_heads(studio: Studio) -> None:
    other = {**RECORD, "model": "another"}
    run = {"model": "another", "routing": {"names": ["a"], "coefficients": {"0": [[0.5, 0.5]]}}}
    said = text_of(maps.head(studio, Settings(), (0, 1), "", run, other))
    assert "not measured" in said
    assert "no run yet" in said
    assert maps.maps(studio, Settings(), other).effect is None
    narrow = {
        "routing": {"names": ["a"], "coefficients": {"0": [[0.5]]}},
        "attention": {"kv_heads": {"0": 1}, "shares": {}},
    }
    assert "none: it was not steered" in text_of(head_words.one((0, 1), "", {}, {}, narrow, None))


def test_a_run_s_record_is_enough_for_a_head_s_figures(studio: Studio) -> None:
    run = json.loads(json.dumps(actions.answer(studio, TEXT, Settings(strength=6.0, max_new_tokens=2))))
    said = text_of(maps.head(studio, Settings(), (1, 0), "steered now", run, measured(studio)))
    assert re.search(r"facts \d\.\d\d, roles \d\.\d\d", said)
    assert re.search(r"Attention on highlighted words, last run\s*\d", said)
    assert "rank" in said
    shifts = {name: float(expert.relative_shift[1][0]) for name, expert in studio.experts.items()}
    assert all(f"{name} {shift:.3f}" in said for name, shift in shifts.items())
    assert run["sensitivity"]["1"][0] == pytest.approx(max(shifts.values()), abs=1e-5)


def test_examples_hold_the_effect_where_there_is_one(studio: Studio) -> None:
    chosen = {"mode": "facts", "strength": 6.0, "max_new_tokens": 2}
    entries = [{"title": "T", "prompt": text, "settings": chosen} for text in (TEXT, "No marks here")]
    marked, bare = (entry["result"] for entry in examples.compute(studio, entries))
    assert marked["effect"] == measured(studio)["effect"]
    assert "effect" not in bare
    shown = examples.Example("T", "", TEXT, Settings(**chosen), marked).view("tiny")
    assert shown.figures is not None
    assert len(shown.figures["effect"].layout.shapes) == 6
    assert "Measured on" in shown.effect_words
    assert examples.Example("T", "", "x", Settings(**chosen), bare).view("tiny").effect_words == ""
