"""The page's handlers, without gradio: what they show, what they refuse in words, and that they add nothing to seka."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TRIPLETS, build_model, build_tokenizer
from hypothesis import given
from hypothesis import strategies as st

import seka
from app import actions, examples, models, words
from app.actions import Settings
from app.models import Studio
from app.views import View

ROOT = Path(__file__).resolve().parents[1]
TEXT = "Previously Ada played **chess**. Currently Ada plays golf. Ada is a player of"
EVIL = "<img src=x onerror=alert(1)> & <script>alert(2)</script>"


@pytest.fixture(scope="module")
def studio() -> Studio:
    model, tokenizer = build_model("qwen3", torch.float32), build_tokenizer()
    experts = {
        name: seka.learn(model, tokenizer, TRIPLETS[i : i + 4], name=name, description=f"Learnt from {name}.").with_header(
            recommended_gain=gain
        )
        for i, (name, gain) in enumerate({"facts": 0.4, "roles": 0.8}.items())
    }
    return Studio.of("tiny", model, tokenizer, experts)


def text_of(markup: str) -> str:
    """What a browser shows of markup: tags gone, entities read."""
    return html.unescape(re.sub(r"<[^>]*>", "", markup))


def last(views: Iterator[View]) -> View:
    *_, view = views
    return view


# ---- preview ----


def test_preview_counts_spans_and_tokens_as_seka_does(studio: Studio) -> None:
    shown, chips = actions.preview(studio, TEXT + " ~~or~~ **golf**", False)
    prompt = seka.Prompt.marked(TEXT + " ~~or~~ **golf**")
    weights = seka.align(prompt, studio.tokenizer).weights
    touched = sum(weight != 0 for weight in weights)
    assert f"2 highlights · 1 ignored · {touched} of {len(weights)} tokens steered" in text_of(shown)
    assert chips.count('class="token emphasise"') == sum(weight > 0 for weight in weights)
    assert chips.count('class="token ignore"') == sum(weight < 0 for weight in weights)
    assert chips.count('class="token ') == len(weights)


PIECES = [*"ab <>&\"'\\\n*~", "**", "~~", "é", "😀", "漢", "<b>", "e\u0301"]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_preview_shows_exactly_the_text_the_model_reads(text: str) -> None:
    prompt = seka.Prompt.marked(text)
    markup = words.marked(prompt)
    assert text_of(markup) == prompt.text
    assert set(re.findall(r"</?(\w+)", markup)) <= {"mark", "s", "span"}


def test_preview_marks_exactly_the_spans() -> None:
    markup = words.marked(seka.Prompt.marked("a **b ~~c** d~~ e"))
    for tag, expected in (("mark", "b c"), ("s", "c d")):
        inside = re.findall(rf"<{tag} [^>]*>((?:(?!</{tag}>).)*)</{tag}>", markup)
        assert text_of("".join(inside)) == expected


def test_preview_says_where_a_marker_has_no_partner(studio: Studio) -> None:
    shown = text_of(actions.preview(studio, "one line\nthen **open words", False)[0])
    assert "** in line 2 has no partner" in shown
    assert "then **open words" in shown


def test_preview_says_that_nothing_is_highlighted(studio: Studio) -> None:
    assert "Nothing is highlighted" in actions.preview(studio, "no marks", False)[0]
    assert "Nothing is highlighted" not in actions.preview(studio, TEXT, False)[0]


def test_literal_markers_stay_in_the_text_and_mark_nothing(studio: Studio) -> None:
    shown, chips = actions.preview(studio, "a **b** c", True)
    assert "a **b** c" in text_of(shown)
    assert "1 pair of markers taken as plain text" in text_of(shown)
    assert "emphasise" not in shown + chips


def test_preview_of_a_prompt_that_is_too_long_names_both_lengths(studio: Studio) -> None:
    shown = text_of(actions.preview(studio, "x" * 5000, False)[0])
    count = len(seka.align(seka.Prompt("x" * 5000), studio.tokenizer).ids)
    assert count > studio.limit == 512
    assert f"{count:,}".replace(",", "\u202f") in shown
    assert "512" in shown


def test_preview_works_before_the_model_is_there(studio: Studio) -> None:
    waiting = Studio("later", studio.experts)
    shown, chips = actions.preview(waiting, TEXT, False)
    assert "1 highlight" in shown
    assert not chips


def test_preview_escapes(studio: Studio) -> None:
    shown, chips = actions.preview(studio, f"**{EVIL}** {EVIL}", False)
    assert not re.search(r"<(img|script)", shown + chips)
    assert text_of(shown).count(EVIL) == 2


# ---- check ----


@pytest.mark.parametrize(
    ("text", "settings", "field", "says"),
    [
        ("  \n", Settings(), "prompt", "Write a prompt"),
        ("x" * 5000, Settings(), "prompt", "limit is 512"),
        (TEXT, Settings(max_new_tokens=505), "prompt", "ask for fewer"),
        (TEXT, Settings(layers="seven"), "layers", "not understood"),
        (TEXT, Settings(layers="77"), "layers", "77"),
    ],
)
def test_check_names_the_field_and_the_reason(studio: Studio, text: str, settings: Settings, field: str, says: str) -> None:
    problems = actions.check(studio, text, settings)
    assert list(problems) == [field]
    assert says in problems[field]
    view = last(actions.compare(studio, text, settings))
    assert says in view.status
    assert view.figures is None


def test_check_is_silent_about_a_good_run(studio: Studio) -> None:
    assert actions.check(studio, TEXT, Settings(layers="last2", min_shift=0.0)) == {}


# ---- compare ----


def test_compare_ends_with_what_seka_compares(studio: Studio) -> None:
    settings = Settings(mode="facts", strength=2.0, max_new_tokens=12)
    views = list(actions.compare(studio, TEXT, settings))
    steering = seka.Steering(studio.model, studio.experts["facts"], positive=2.0)
    pair = seka.compare(studio.model, studio.tokenizer, seka.Prompt.marked(TEXT), steering, max_new_tokens=12)
    assert not pair.identical
    plain = "Previously Ada played chess. Currently Ada plays golf. Ada is a player of"
    assert text_of(views[-1].plain) == plain + pair.plain.text
    assert text_of(views[-1].steered) == plain + pair.steered.text
    assert views[-1].figures is not None
    assert views[-1].figures["heads"].layout.shapes
    assert views[-1].figures["router"] is None
    assert all(view.figures is None for view in views[:-1])
    assert "<del>" in views[-1].plain
    assert "<ins>" in views[-1].steered


def test_the_plain_column_is_the_model_without_seka(studio: Studio) -> None:
    ids = torch.tensor([studio.tokenizer(seka.Prompt.marked(TEXT).text).input_ids])
    alone = studio.model.generate(ids, max_new_tokens=12, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]  # type: ignore[union-attr]
    result = actions.answer(studio, TEXT, Settings(strength=3.0, max_new_tokens=12))
    assert result["plain"]["text"] == studio.tokenizer.decode(alone, skip_special_tokens=True)
    assert "**" not in result["prompt"]


def test_adaptive_shows_the_router_and_its_totals(studio: Studio) -> None:
    view = last(actions.compare(studio, TEXT, Settings(max_new_tokens=3)))
    assert view.figures is not None
    assert len(view.figures["router"].data) == 2
    shares = [int(share) for share in re.findall(r"(\d+)%", view.router_words)]
    assert len(shares) == 2
    assert sum(shares) == pytest.approx(100, abs=1)


def test_strength_zero_is_identical_and_says_so(studio: Studio) -> None:
    view = last(actions.compare(studio, TEXT, Settings(strength=0.0, max_new_tokens=5)))
    assert text_of(view.plain) == text_of(view.steered)
    assert "identical" in view.remarks


def test_head_counts_are_those_of_the_steering(studio: Studio) -> None:
    settings = Settings(mode="facts", layers="last1", max_new_tokens=2)
    assert "2 of 6 heads in 1 layer were steered" in last(actions.compare(studio, TEXT, settings)).heads_words


def test_stop_keeps_the_text_and_ends_the_model_s_work(studio: Studio) -> None:
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += 1

    assert studio.model is not None
    handle = studio.model.register_forward_hook(count)
    try:
        view = last(actions.compare(studio, TEXT, Settings(max_new_tokens=200), stop=lambda: calls >= 4))
    finally:
        handle.remove()
    assert calls == 4
    assert "Stopped after 4 tokens" in view.status
    done = actions.answer(studio, TEXT, Settings(max_new_tokens=4))
    assert text_of(view.plain).endswith(done["plain"]["text"])


def test_leaving_the_page_ends_the_model_s_work(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    def endless(*_: Any, **__: Any) -> Iterator[Any]:
        try:
            while True:
                yield pair
        finally:
            closed.append(True)

    *_, pair = actions.run(studio, TEXT, Settings(max_new_tokens=2))
    monkeypatch.setattr(actions, "stream", endless)
    views = actions.compare(studio, TEXT, Settings())
    next(views), next(views)
    views.close()  # type: ignore[attr-defined]
    assert closed == [True]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (Settings(mode="nobody"), "no expert &#x27;nobody&#x27;"),
        (Settings(min_shift=1e6), "No head is steered"),
        (Settings(temperature=-1.0, strength=float("nan")), "finite"),
    ],
)
def test_a_visitor_s_mistake_comes_back_as_words(studio: Studio, settings: Settings, says: str) -> None:
    view = last(actions.compare(studio, TEXT, settings))
    assert says in view.status
    assert "Traceback" not in view.status


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "out of memory"),
        (KeyError("secret <b>"), "Something went wrong inside (KeyError)"),
    ],
)
def test_a_failure_inside_comes_back_as_words(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    def broken(*_: Any, **__: Any) -> Iterator[Any]:
        raise error
        yield

    monkeypatch.setattr(actions, "stream", broken)
    view = last(actions.compare(studio, TEXT, Settings()))
    assert says in view.status
    assert "secret" not in view.status


def test_compare_waits_for_the_model(studio: Studio) -> None:
    waiting = Studio("later", studio.experts)
    views = actions.compare(waiting, TEXT, Settings(max_new_tokens=2))
    assert "Loading later" in next(views).status
    waiting._install(studio.model, studio.tokenizer)  # type: ignore[arg-type]
    assert last(views).figures is not None


def test_compare_says_why_a_model_could_not_be_loaded(studio: Studio, tmp_path: Path) -> None:
    broken = Studio("broken", studio.experts)
    broken.start(str(tmp_path))
    assert broken.wait(30)
    view = last(actions.compare(broken, TEXT, Settings()))
    assert "could not be loaded" in view.status
    assert str(tmp_path) in html.unescape(view.status)
    assert "could not be loaded" in broken.line()


def test_an_expert_of_another_model_is_refused(studio: Studio) -> None:
    with pytest.raises(seka.ProjectionMismatch):
        Studio.of("other", build_model("qwen3", torch.float32, seed=5), studio.tokenizer, studio.experts)


def test_one_expert_alone_offers_no_adaptive_mode_and_says_why(studio: Studio) -> None:
    alone = Studio("one", {"facts": studio.experts["facts"]})
    assert [value for _, value in alone.modes()] == ["facts"]
    assert "at least two experts" in alone.note
    assert studio.gain("adaptive") == pytest.approx(0.6)
    assert studio.describe("roles") == "Learnt from roles."


def test_the_api_s_answer_is_plain_data(studio: Studio) -> None:
    data = json.loads(json.dumps(actions.answer(studio, TEXT, Settings(max_new_tokens=2))))
    assert data["marks"] == [{"start": 22, "end": 27, "weight": 1.0}]
    assert data["settings"]["strength"] == pytest.approx(0.6)
    assert data["plain"]["tokens"] == 2


# ---- words ----


@given(st.text("ab <&.\n", max_size=30), st.text("ab <&.\n", max_size=30))
def test_differences_lose_and_add_nothing(plain: str, steered: str) -> None:
    left, right, _ = words.differences(plain, steered)
    assert text_of(left) == (plain or "(no words)")
    assert text_of(right) == (steered or "(no words)")
    kept = [text_of(re.sub(r"(?s)<(del|ins)>.*?</\1>", " ", side)).split() for side in (left, right)]
    assert not plain or not steered or kept[0] == kept[1]


def test_differences_count_words() -> None:
    left, right, sentence = words.differences("Ada plays golf here.", "Ada plays chess now here.")
    assert re.findall(r"<del>(.*?)</del>", left) == ["golf"]
    assert re.findall(r"<ins>(.*?)</ins>", right) == ["chess now"]
    assert sentence == "2 of 5 words differ."


@pytest.mark.parametrize(("text", "is_so"), [("a b " * 4, True), ("no " * 3, False), ("x " * 4, True), ("a b c d e f g", False)])
def test_repetition_is_noticed(text: str, is_so: bool) -> None:
    assert words.repetitive(text) is is_so


# ---- examples ----


def test_an_example_shows_what_its_run_showed(studio: Studio, tmp_path: Path) -> None:
    entry = {"title": "T", "prompt": TEXT, "settings": {"max_new_tokens": 6, "strength": 2.0}}
    path = tmp_path / "examples.json"
    path.write_text(json.dumps([*examples.compute(studio, [entry]), {"title": "not run", "prompt": "x"}]))
    (example,) = examples.load(path)
    shown, run = example.view("tiny"), last(actions.compare(studio, TEXT, example.settings))
    assert replace(shown, status="", figures=None) == replace(run, status="", figures=None)
    assert examples.BADGE in shown.status
    assert "Precomputed example of tiny" in example.view("another").status
    assert shown.figures is not None
    assert run.figures is not None
    for name in ("heads", "router"):
        assert shown.figures[name].to_plotly_json().keys() == run.figures[name].to_plotly_json().keys()
        assert len(shown.figures[name].data) == len(run.figures[name].data)


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ValueError, match="gain"):
        examples.settings({"gain": 1})


@pytest.mark.skipif(not examples.PATH.exists(), reason="no examples yet: python -m app.examples writes them")
def test_the_examples_shipped_are_runs_of_the_embedded_model() -> None:
    shipped = examples.load()
    assert len(shipped) >= 4
    assert len({example.title for example in shipped}) == len(shipped)
    here = models.studio()
    here.start(None)
    assert here.wait(120)
    for example in shipped:
        assert example.result["model"] == here.name
        done = actions.answer(here, example.prompt, example.settings)
        for row in ("plain", "steered"):
            assert done[row]["text"] == example.result[row]["text"], example.title
    first = shipped[0].result
    assert first["plain"]["text"] != first["steered"]["text"]


def test_handlers_load_neither_gradio_nor_the_page() -> None:
    code = "import sys, app.actions, app.examples; sys.exit(any(name in sys.modules for name in ('gradio', 'app.page')))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
