"""How the embedded model is measured: counts, intervals, maps and side effects, against naive recomputations."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
import torch
from cards import chosen, invented, recipes, training
from conftest import build_model, build_tokenizer
from setting import invent

import seka
from seka import Steering, miniature
from seka.miniature.corpus import openclass, world
from seka.miniature.corpus.asking import LISTED
from seka.miniature.corpus.cases import conflict
from seka.miniature.corpus.stories import story
from seka.miniature.measures import datasheet, evaluate, sideeffects, spread, tasks, ways
from seka.miniature.measures.figures import SECTIONS, measured, scales
from seka.miniature.measures.heads import compare, maps
from seka.miniature.render import render


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return miniature.load()[1]


@pytest.fixture(scope="module")
def rows(tokenizer: Any) -> list[evaluate.Row]:
    return evaluate.draw("conflict", 30, evaluate.VALIDATION, tokenizer)


class Reader:
    """Answers that are known: of each prompt's marked statement, or, where `obeys` says no, of the other one."""

    def __init__(self, rows: Sequence[evaluate.Row], obeys: Any) -> None:
        self.rows, self.obeys = {row.case.prompt: row for row in rows}, obeys

    def __call__(self, prompts: Sequence[seka.Prompt]) -> list[int]:
        said = []
        for prompt in prompts:
            row = self.rows[prompt.text]
            (start, _), (weight,) = prompt.spans[0], prompt.weights
            marked = [statement.start for statement in row.case.statements].index(start)
            follows = self.obeys(row, marked) == (weight > 0)
            said.append(row.firsts[marked if follows else 1 - marked])
        return said


def test_both_ways_counts_what_a_loop_counts(rows):
    picked = {row.case.prompt: Random(n).random() < 0.5 for n, row in enumerate(rows)}
    reader = Reader(
        rows, lambda row, marked: picked[row.case.prompt] or marked == 1
    )  # the others follow the second only
    found = evaluate.both_ways(rows, reader)
    both = sum(picked.values())
    unlikely = sum(picked[row.case.prompt] or row.less_likely == 1 for row in rows)
    assert 0 < both < unlikely < len(rows)
    assert found["both ways"] == evaluate.Rate(both, len(rows))
    assert found["first one marked"] == evaluate.Rate(both, len(rows))
    assert found["less likely one marked"] == evaluate.Rate(unlikely, len(rows))


def test_a_mark_to_ignore_is_counted_on_the_plain_answer(rows):
    plain = [row.firsts[n % 2] for n, row in enumerate(rows)]
    plain[0] = -1  # no statement's answer: not counted
    wins = evaluate.ignored(rows, Reader(rows, lambda row, marked: True), plain)
    assert {name: (rate.hits, rate.n) for name, rate in wins.items()} == {
        "ignored one loses": (29, 29),
        "another statement wins": (29, 29),
    }
    stays = evaluate.ignored(rows, Reader(rows, lambda row, marked: False), plain)
    assert [rate.hits for rate in stays.values()] == [0, 0]
    nothing = evaluate.ignored(rows, lambda prompts: pytest.fail("there is nothing to ask"), [-1] * len(rows))
    assert [rate.n for rate in nothing.values()] == [0, 0]


def test_a_passage_is_right_with_its_own_sentence_marked_and_kept_where_it_was(tokenizer):
    rows = [
        row
        for row in evaluate.draw("passage", 120, evaluate.VALIDATION, tokenizer, rivals=1)
        if len(row.firsts) == 2 and len({statement.start for statement in row.case.statements}) == 2
    ][:6]
    assert len(rows) == 6
    plain = [row.firsts[row.case.chosen if n < 4 else 1 - row.case.chosen] for n, row in enumerate(rows)]
    lost = rows[0].case.prompt
    reader = Reader(rows, lambda row, marked: row.case.prompt != lost)
    found = evaluate.distracted(rows, reader, plain)
    assert found["right sentence marked"] == evaluate.Rate(5, 6)
    assert found["right ones kept"] == evaluate.Rate(3, 4)
    assert found["another sentence marked"] == evaluate.Rate(1, 6)


def test_fewer_rows_are_the_first_of_more(tokenizer, rows):
    assert evaluate.draw("conflict", 7, evaluate.VALIDATION, tokenizer) == rows[:7]
    for name, task in tasks.SHORT.items():
        assert 1 / task.n < 0.005, "one row must be less than half a point"
        assert (task.kind, task.options) == (tasks.TASKS[name].kind, tasks.TASKS[name].options)


def test_maps_are_compared_by_rank():
    """By hand: effects 3 1 2 4 and shifts 1 4 3 2 in places, so rho = 1 - 6 (4 + 9 + 1 + 4) / (4 * 15)."""
    nan = math.nan
    effect = {2: torch.tensor([0.2, 0.9, nan]), 5: torch.tensor([0.5, -0.1])}
    shift = {2: torch.tensor([0.9, 0.1, 0.3]), 5: torch.tensor([0.2, 0.3])}
    found = compare(effect, shift)
    assert found["heads"] == 4
    assert found["rank correlation"] == pytest.approx(1 - 6 * (4 + 9 + 1 + 4) / 60, abs=5e-4)
    assert found["furthest apart"][0] == {"layer": 2, "head": 1, "effect": 1, "shift": 4}
    assert [(one["layer"], one["head"]) for one in found["furthest apart"][1:]] == [(2, 0), (5, 1), (5, 0)]
    even = compare({0: torch.tensor([0.0, 0.0, 1.0, 2.0])}, {0: torch.tensor([1.0, 2.0, 3.0, 4.0])})  # equals share 3.5
    assert even["rank correlation"] == pytest.approx(4.5 / math.sqrt(4.5 * 5), abs=5e-4)
    same = compare(effect, effect)
    assert same["rank correlation"] == 1
    assert all(one["effect"] == one["shift"] for one in same["furthest apart"])


def test_effects_on_the_card_are_those_of_one_gain_whatever_a_head_s_scale(rows):
    model, tokenizer = miniature.load()
    projection = invent(model)
    even = projection.scaled({layer: [1.0] * len(row) for layer, row in projection.scale.items()})
    assert maps(model, tokenizer, projection, 2.0, rows[:2]) == maps(model, tokenizer, even, 2.0, rows[:2])


def test_scales_on_the_card_are_those_of_steered_heads():
    model = build_model("qwen3")
    one = invent(model).scaled({0: [0.5, 1.0], 1: [1.0, 1.0], 2: [0.25, 2.0]})
    other = one.scaled({2: [0.125, 3.0]})
    selected = Steering(model, one, 1.0, layers="0:1;2:0,1").selected
    assert scales({"one": one, "other": other}, selected) == {
        "one": {"0": [0.0, 1.0], "2": [0.25, 2.0]},
        "other": {"0": [0.0, 1.0], "2": [0.125, 3.0]},
    }


def test_a_bootstrap_interval_is_as_wide_as_theory_says():
    some = {"a": (torch.arange(400) % 10 < 3).double(), "b": (torch.arange(300) % 2 == 0).double()}
    found = spread.interval(some)
    error = 1.959964 * 0.5 * math.sqrt(0.3 * 0.7 / 400 + 0.5 * 0.5 / 300)
    assert found["value"] == pytest.approx(0.4)
    assert found["high"] - found["value"] == pytest.approx(error, rel=0.15)
    assert found["value"] - found["low"] == pytest.approx(error, rel=0.15)
    assert spread.interval(some) == found


def test_differences_are_paired():
    """Two ways are drawn on the same rows: one that is better by one everywhere is so in every draw, however rows vary."""
    some = torch.randn(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    worse = spread.interval({"a": some})
    torch.rand(1)
    assert spread.interval({"a": some + 1}) == pytest.approx({key: value + 1 for key, value in worse.items()}, abs=1e-3)


def test_a_strength_is_found_where_the_effect_is_as_asked_for():
    asked: list[float] = []
    assert sideeffects.matched(lambda gain: asked.append(gain) or gain**2, 0.09) == pytest.approx(0.3)
    assert len(asked) <= 7
    gain = sideeffects.matched(lambda gain: gain**2 / (1 + gain), 0.05)
    assert gain**2 / (1 + gain) == pytest.approx(0.05, rel=0.005)
    assert sideeffects.matched(lambda gain: gain > 0.3, 0.5) == pytest.approx(0.3, rel=0.25)
    assert sideeffects.matched(lambda gain: 0.01, 0.09) == 8.0
    assert sideeffects.matched(lambda gain: 1.0, 0.09) == 0.01


def test_perplexity_of_stories_as_a_loop_over_them():
    model, tokenizer = build_model("qwen3", max_position_embeddings=1024), build_tokenizer()
    steering = seka.Steering(model, invent(model), 6.0)
    losses: list[tuple[float, float, int]] = []
    for index in range(6):
        random = Random(f"0/test/side effect/{index}")
        case, tale = conflict(random, LISTED), story(random)
        head = case.prompt[: max(statement.end for statement in case.statements)] + ".\n"
        statement = case.statements[index % 2]
        tokens = seka.encode(seka.Prompt(head + tale, ((statement.start, statement.end),)), tokenizer)
        own = len(tokenizer(tale)["input_ids"])
        with torch.no_grad():
            plain = model(tokens.ids).logits[0].log_softmax(-1)
            with steering.on(tokens):
                edited = model(tokens.ids, attention_mask=tokens.attention).logits[0].log_softmax(-1)
        places = range(tokens.ids.shape[1] - own, tokens.ids.shape[1])
        sums = [-sum(float(some[i - 1, tokens.ids[0, i]]) for i in places) for some in (plain, edited)]
        losses.append((*sums, own))
    found = sideeffects.harms(model, tokenizer, {"one": steering}, "test", 6, size=4)["one"]
    count = sum(own for *_, own in losses)
    excess = sum(edited - plain for plain, edited, _ in losses) / count
    assert abs(excess) > 1e-3
    assert found.multiple == pytest.approx(math.exp(excess), rel=1e-4)
    spread_out = sum((edited - plain - excess * own) ** 2 for plain, edited, own in losses) / 5
    error = 1.959964 * math.sqrt(spread_out / 6) / (count / 6)
    assert found.interval == pytest.approx((math.exp(excess - error), math.exp(excess + error)), rel=1e-4)


def test_kept_verbs_and_nouns_are_looked_for_in_wordings_of_training(monkeypatch):
    relation = next(r for r in world.relations() if r.name == "game")
    assert any(re.search(r"\bplays\b", wording) for wording in relation.say.train)
    forms = {"play": frozenset({"play", "plays"}), "pla": frozenset({"pla"}), "xx": frozenset({"xx"})}
    monkeypatch.setattr(openclass, "kept_forms", lambda: forms)
    assert datasheet.met() == ["play"]


def test_leaks_are_whole_words():
    held = sorted({word for kind in datasheet.HELD for word in datasheet.split_words(kind, True)})
    single = next(word for word in held if word.isalpha())
    double = next(word for word in held if " " in word)
    assert datasheet.leaks([f"x{single} {double}s"])["found"] == []
    texts = [f"A {single.upper()}!", f"the {double}.", double.split()[0], double.split()[1]]
    assert {single, double} <= set(datasheet.leaks(texts)["found"])
    assert datasheet.leaks([double.split()[0], double.split()[1]])["held"] == len(held)
    assert double not in datasheet.leaks([double.split()[0], double.split()[1]])["found"], "words of two documents"


def shape(values: Any, depth: int) -> Any:
    """The names in a tree of figures, `depth` levels deep."""
    return {key: shape(value, depth - 1) for key, value in values.items()} if depth and isinstance(values, dict) else 0


def test_what_is_measured_is_what_is_rendered():
    """Every section on a few rows of the shipped model: the card's tests invent figures of just this form."""
    found = measured(list(SECTIONS), 2)
    figures = invented()
    for section, depth in (
        ("strength", 1),
        ("short", 3),
        ("tasks", 3),
        ("perplexity", 2),
        ("routing", 3),
        ("spread", 3),
    ):
        assert shape(found[section], depth) == shape(figures["sections"][section], depth), section
    for part in ("experts", "router", "gains"):
        assert list(found["strength"][part]) == list(figures["sections"]["strength"][part])
    for section in ("heads", "datasheet"):
        assert list(found[section]) == list(figures["sections"][section])
    assert "## Results" in render({**figures, "sections": found}, training(), chosen(), recipes())
    with pytest.raises(ValueError, match="no section 'nothing'"):
        measured(["nothing"])


def test_an_answer_is_at_least_as_long_as_is_wanted_of_it():
    """Whatever the others of its batch want."""
    model, tokenizer = build_model("qwen3"), build_tokenizer()
    prompts = [seka.Prompt(text) for text in ("Ada plays golf.", "Tea for Ada", "In town, Ada plays chess daily.")]
    wanted = [2, 9, 5]
    way = ways.plain(model)
    found = ways.answers(model, tokenizer, prompts, way, wanted, size=2)
    for prompt, count, text in zip(prompts, wanted, found, strict=True):
        (alone,) = ways.answers(model, tokenizer, [prompt], way, [count])
        assert alone.strip("\ufffd")
        assert text.startswith(alone.rstrip("\ufffd"))


def test_batches_hold_no_more_than_their_budget_and_every_prompt_once() -> None:
    half = ways.BUDGET // 2
    lengths = [half, 5, half + 1, 3, 6, half, 4, 3 * ways.BUDGET, half + 2]
    prompts = [seka.Prompt("x" * length) for length in lengths]
    found = [[lengths[i] for i in batch] for batch in ways.batches(prompts, 2)]
    assert found == [[3, 4], [5, 6], [half, half], [half + 1], [half + 2], [3 * ways.BUDGET]]
    assert sorted(i for batch in ways.batches(prompts, 64) for i in batch) == list(range(len(prompts)))


def test_key_scaling_is_scaling_of_whole_keys():
    """By each head's scale, or alike in every head; the keys of marked columns are multiplied, whatever was learnt."""
    model = build_model("qwen3")
    learnt = invent(model).scaled({0: [0.5, 2.0], 1: [1.25, 1.0], 2: [0.25, 3.0]})
    for equally in (False, True):
        control = ways.key_scaling(learnt, equally)
        for layer in learnt.layers:
            scale = torch.ones(2) if equally else learnt.part(layer).scale
            assert torch.equal(control.part(layer).scale, scale)
            matrices = control.positive(layer)
            assert torch.equal(matrices, torch.eye(matrices.shape[-1]).expand_as(matrices))
            assert control.part(layer).negative is None
            assert control.part(layer).baseline is None  # those are of the learnt vectors


def test_rows_leave_room_for_their_answers(tokenizer):
    """Long passages come near the context; a row that would not fit, its answer included, is not drawn."""
    options = tasks.TASKS["long passage, at 50 %"].options
    some = evaluate.draw("long passage", 6, evaluate.VALIDATION, tokenizer, options, 1)
    sizes = [len(tokenizer(row.case.prompt + row.case.answer)["input_ids"]) for row in some]
    assert max(sizes) <= tokenizer.model_max_length
    assert sum(sizes) / len(sizes) > 900
    small = miniature.load()[1]
    small.model_max_length = sorted(sizes)[2]
    fewer = evaluate.draw("long passage", 2, evaluate.VALIDATION, small, options, 1)
    fitting = [row for row, size in zip(some, sizes, strict=True) if size <= small.model_max_length]
    assert fewer == fitting[:2]


def test_lengths_of_long_passages_are_counted_in_tokens(tokenizer):
    """About a thousand, at every place of the sentence that answers, and within the context."""
    found = datasheet.lengths(tokenizer, 3)
    assert found["rows"] == 3 * len(tasks.POSITIONS)
    assert 850 < found["shortest"] <= found["mean"] <= found["longest"] <= tokenizer.model_max_length
    assert found["mean"] > 900
