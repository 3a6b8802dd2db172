"""Comparing and sweeping without a browser: what is refused in words, what is remarked, cards, stop flags, the sweep's rows."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

import pytest
from studios import TEXT, last, text_of, tiny_studio

import seka
from app import actions, cards, findings, strengths, views, words
from app.actions import Settings
from app.models import Studio
from app.wiring import NAMES, Stops
from app.wiring import settings as from_values

EVIL = "<img src=x onerror=window.hacked=1>"


@pytest.fixture
def studio() -> Studio:
    return tiny_studio()


@contextmanager
def calls_of(studio: Studio) -> Iterator[list[int]]:
    """Rows of each call of the model."""
    calls: list[int] = []
    assert studio.model is not None
    handle = studio.model.register_forward_hook(lambda _m, _a, out: calls.append(int(out.logits.shape[0])))
    try:
        yield calls
    finally:
        handle.remove()


# ---- what is refused ----


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"temperature": -1.0}, "Temperature is -1.0; wanted a number from 0 to 5."),
        ({"temperature": math.inf}, "Temperature is inf; wanted a number"),
        ({"strength": math.nan}, "Strength is nan; wanted a number"),
        ({"strength": "much"}, "Strength is 'much'; wanted a number"),
        ({"max_new_tokens": 0}, "Max_new_tokens is 0; wanted a number from 1"),
        ({"max_new_tokens": 2.5}, "Max_new_tokens is 2.5; wanted a whole number"),
        ({"seed": -1}, "Seed is -1; wanted a number from 0"),
        ({"min_shift": -0.1}, "Min_shift is -0.1"),
        ({"mode": 3}, "Mode is 3; wanted a short text"),
        ({"literal": "yes"}, "Literal is 'yes'; wanted true or false"),
    ],
)
def test_arguments_of_no_use_are_refused_in_words(studio: Studio, change: dict[str, Any], says: str) -> None:
    settings = from_values([{**vars(Settings()), **change}[name] for name in NAMES])
    problems = actions.check(studio, TEXT, settings)
    assert list(problems) == list(change)
    assert problems[next(iter(change))].startswith(says)
    with calls_of(studio) as calls, pytest.raises(ValueError, match="wanted"):
        actions.answer(studio, TEXT, settings)
    assert calls == []


def test_whole_numbers_may_come_as_floats() -> None:
    values = {**vars(Settings()), "max_new_tokens": 3.0, "seed": 2.0}
    assert from_values([values[name] for name in NAMES]) == Settings(max_new_tokens=3, seed=2)


def test_a_prompt_that_is_no_text_is_refused(studio: Studio) -> None:
    assert "wanted text" in actions.check(studio, 7, Settings())["prompt"]  # type: ignore[arg-type]


# ---- remarks ----


def remarks(studio: Studio, text: str, **settings: Any) -> str:
    return last(actions.compare(studio, text, Settings(max_new_tokens=4, **settings))).remarks


def test_identical_answers_come_with_advice_that_fits(studio: Studio) -> None:
    assert remarks(studio, TEXT, strength=0.0).startswith("Both answers are identical. Strength is 0")
    assert "Nothing was marked" in remarks(studio, TEXT.replace("**", ""), strength=2.0)
    assert "higher or lower Strength" in remarks(studio, TEXT, strength=1e-6)


@pytest.mark.parametrize(
    ("text", "is_so"),
    [
        ("no no no no", True),
        ("the cat and the cat and the cat and the cat and", True),
        ("好的好的好的好的", True),
        ("hahahahahahahaha", True),
        ("the number 100000000000", False),
        ("a dog, a cat, a cow, a hen", False),
        ("", False),
    ],
)
def test_repetition_is_noticed_with_and_without_blanks(text: str, is_so: bool) -> None:
    assert words.repetitive(text) is is_so


def test_writing_without_blanks_differs_by_characters() -> None:
    left, right, count = words.compared("他住在巴黎。", "他住在罗马。")
    assert (left, right, count) == ("他住在<del>巴黎</del>。", "他住在<ins>罗马</ins>。", 2)


def test_captions_of_figures_come_with_their_figures(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a run has no figure of its own, what stands over the old one says so; also when drawing fails."""
    *_, before, end = actions.compare(studio, TEXT, Settings(max_new_tokens=2))
    assert before.figures is None
    assert not any(getattr(before, name) for name in ("heads_words", "router_words", "attention_words", "next_words"))
    assert end.heads_words
    assert end.router_words

    def broken(*_: Any) -> None:
        raise RuntimeError("no ink")

    monkeypatch.setattr(findings, "drawn", broken)
    first, *_, failed = actions.compare(studio, TEXT, Settings(max_new_tokens=2))
    assert first.heads_words == actions.BEFORE
    assert not failed.heads_words
    assert "went wrong" in failed.status
    assert text_of(failed.steered) == text_of(end.steered)  # the answers stay


# ---- cards ----


def test_a_card_tells_what_was_asked_how_and_what_came(studio: Studio) -> None:
    settings = Settings(mode="facts", strength=2.0, max_new_tokens=5, temperature=0.5, seed=7)
    view = last(actions.compare(studio, TEXT, settings))
    shown = text_of(view.card)
    assert '<mark class="emphasise" title="emphasised">chess</mark>' in view.card
    for piece in ("tiny · Facts · strength 2 · temperature 0.5, seed 7 · at most 5 tokens", "Original", "Steered"):
        assert piece in shown
    assert view.record is not None
    assert view.record["plain"]["text"].lstrip() in shown
    assert view.record["steered"]["text"].lstrip() in shown


def test_a_card_s_answers_begin_with_a_word(studio: Studio) -> None:
    view = last(actions.compare(studio, TEXT, Settings(max_new_tokens=2)))
    assert view.record is not None
    answers = {"plain": {"text": " golf"}, "steered": {"text": "\n  chess"}}
    shown = cards.card({**view.record, **answers}, "")
    assert [text_of(written) for written in re.findall('<p class="written">(.*?)</p>', shown)] == ["golf", "chess"]


def test_a_card_holds_what_decided_its_answers(studio: Studio) -> None:
    def decided(**changes: Any) -> dict[str, Any]:
        view = last(actions.compare(studio, TEXT, Settings(max_new_tokens=2, **changes)))
        asked = json.loads(html.unescape(re.findall(' data-asked="(.*?)"', view.card)[0]))
        assert asked["prompt"] == TEXT
        found: dict[str, Any] = asked["settings"]
        return found

    every = asdict(Settings())
    assert decided().keys() == every.keys() - {"seed"}  # greedy: no seed is used
    assert decided(temperature=0.5, seed=3).keys() == every.keys()
    assert decided(heads="0:1").keys() == every.keys() - {"seed", "layers", "min_shift"}


def test_a_card_escapes_everything() -> None:
    answer = {"text": EVIL, "tokens": 1, "finish": "eos"}
    done = {"model": EVIL, "typed": f"**{EVIL}** {EVIL}", "plain": answer, "steered": {**answer, "text": f"a {EVIL}"}}
    done["settings"] = {**vars(Settings()), "mode": EVIL, "layers": EVIL, "heads": EVIL}
    shown = cards.card(done, "")
    assert "<img" not in shown
    assert text_of(shown).count(EVIL) >= 5


def test_an_older_record_has_a_card_too() -> None:
    row = {"text": "x", "tokens": 1, "finish": "eos"}
    done = {
        "model": "m",
        "settings": {"mode": "a", "strength": None, "max_new_tokens": 4},
        "plain": row,
        "steered": row,
    }
    assert "asked this" in text_of(cards.card(done, "asked this"))


@pytest.mark.parametrize("at", [0, 100, 480])
def test_an_excerpt_is_short_and_shows_the_first_mark(at: int) -> None:
    text = "word " * 100
    shown = cards.excerpt(seka.Prompt(text, ((at, at + 4),)))
    assert '<mark class="emphasise" title="emphasised">word</mark>' in shown
    assert len(text_of(shown)) <= cards.EXCERPT + 4
    assert text_of(cards.excerpt(seka.Prompt("a mark over all of it " * 20, ((0, 440),)))).endswith(" …")


# ---- stop flags ----


def test_a_visitor_who_leaves_stops_his_run_and_leaves_nothing_behind() -> None:
    stops, gone = Stops(), SimpleNamespace(session_hash="gone")
    stops.arm("gone")  # waits in the queue, and never runs
    stops.arm("stays")
    with stops.running("gone") as flag:
        stops.leave(gone)  # type: ignore[arg-type]
        stops.leave(gone)  # type: ignore[arg-type]
        assert flag.is_set()
        assert list(stops._flags) == ["stays"]
        stops.stop(gone)  # type: ignore[arg-type]
    assert list(stops._flags) == ["stays"]


def test_the_end_of_a_run_leaves_a_newer_one_s_flag() -> None:
    stops, visitor = Stops(), SimpleNamespace(session_hash="a")
    with ExitStack() as newer:
        with stops.running("a") as old:
            stops.arm("a")
            new = newer.enter_context(stops.running("a"))
            stops.stop(visitor)  # type: ignore[arg-type]
            assert (old.is_set(), new.is_set()) == (False, True)
        assert stops._flags == {"a": new}
    assert not stops._flags


# ---- the sweep ----


def test_a_sweep_s_rows_are_comparisons_at_their_strengths(studio: Studio) -> None:
    settings = Settings(mode="facts", strength=3.0, max_new_tokens=6)
    assert strengths.offered(studio, settings) == [0.0, 0.2, 0.4, 0.6, 0.8, 3.0]
    with calls_of(studio) as calls:
        done = strengths.answer(studio, TEXT, settings)
    assert set(calls) == {6}
    assert len(calls) <= 6
    json.dumps(done)
    for strength, row in zip(done["strengths"], done["answers"], strict=True):
        steering = seka.Steering(studio.model, studio.experts["facts"], positive=strength)
        pair = seka.compare(studio.model, studio.tokenizer, seka.Prompt.marked(TEXT), steering, max_new_tokens=6)
        assert row["text"] == pair.steered.text
    shown = last(strengths.sweep(studio, TEXT, settings))  # type: ignore[arg-type]
    assert [cell in shown.table for cell in ("0<small>off", "0.4<small>recommended", "3<small>set")] == [True] * 3
    assert shown.status == strengths.summary(done).replace(f"{done['seconds']:.1f}", shown.status.split()[2])
    assert "chess" in text_of(shown.caption)
    assert len(shown.figure.data) == 6
    for trace, curve in zip(shown.figure.data, done["curves"], strict=True):
        assert list(trace.x) == done["strengths"]
        assert list(trace.y) == curve["probabilities"]


def test_a_sweep_s_sentence_names_the_first_strength_that_changes_the_answer() -> None:
    rows = [{"text": text, "tokens": 2, "finish": "eos"} for text in ("a", "a", "b", "a")]
    done = {"answers": rows, "strengths": [0.0, 0.1, 0.2, 0.4], "seconds": 1.0}
    assert "2 different answers at 4 strengths; 0.2 is the first" in strengths.summary(done)
    assert "All 2 answers are identical" in strengths.summary({**done, "answers": rows[:2], "strengths": [0.0, 0.1]})


def test_a_stopped_sweep_rests_and_keeps_its_text(studio: Studio) -> None:
    with calls_of(studio) as calls:
        shown = last(strengths.sweep(studio, TEXT, Settings(max_new_tokens=200), stop=lambda: len(calls) >= 3))  # type: ignore[arg-type]
    assert len(calls) == 3
    assert shown.status.startswith("Stopped after 3 tokens")
    assert shown.figure is not None
    first = actions.answer(studio, TEXT, Settings(max_new_tokens=3, strength=0.0))["plain"]["text"]
    assert first in text_of(shown.table)
    with calls_of(studio) as calls:
        views_shown = strengths.sweep(studio, TEXT, Settings(max_new_tokens=200))
        next(views_shown), next(views_shown)
        views_shown.close()  # type: ignore[attr-defined]
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "wanted a list of 1 to 16 numbers"),
        ([0.1] * 17, "wanted a list of 1 to 16 numbers"),
        ("0.1", "wanted a list"),
        ([0.1, "x"], "strength is 'x'; wanted a number"),
        ([0.1, -3], "strength is -3; wanted a number from 0"),
        ([0.1, 0.1], "each of them once"),
        ([0.1, None], r"strengths are \[0.1, None\]; wanted numbers"),
    ],
)
def test_strengths_of_no_use_are_refused_in_words(studio: Studio, given: Any, says: str) -> None:
    with calls_of(studio) as calls, pytest.raises(ValueError, match=says):
        strengths.answer(studio, TEXT, Settings(), given)
    assert calls == []


def test_a_sweep_says_what_stands_in_its_way_and_escapes_its_rows(studio: Studio) -> None:
    shown = last(strengths.sweep(studio, " ", Settings()))  # type: ignore[arg-type]
    assert "Write a prompt first" in shown.status
    row = {"text": EVIL, "tokens": 1, "finish": "eos"}
    done = {"answers": [row, {**row, "text": f"b {EVIL}"}], "strengths": [0, 1], "settings": vars(Settings())}
    assert "<img" not in strengths.table(done, 1.0)
    curve = {"id": 1, "text": EVIL, "probabilities": [0.1, 0.2]}
    assert "<img" not in strengths.draw({**done, "curves": [curve]}).to_json().replace("\\u003c", "<")


def test_a_view_of_a_record_without_extras_is_whole() -> None:
    row = {"text": "x", "tokens": 1, "finish": "eos"}
    done = {"model": "m", "settings": {"mode": "a", "strength": 1.0, "max_new_tokens": 4}, "plain": row, "steered": row}
    view = views.finished({**done, "seconds": 1.0, "heads": {}, "all_heads": 0, "totals": None}, "p")
    assert "identical" in view.remarks
    assert view.card
