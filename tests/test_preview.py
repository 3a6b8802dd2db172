"""What the page writes: previews, differences and examples. Everything shown is text, and all of the text is shown."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from studios import TEXT, last, text_of, tiny_studio

import seka
from app import actions, examples, models, views, words
from app.models import Studio

EVIL = "<img src=x onerror=alert(1)> & <script>alert(2)</script>"


@pytest.fixture
def studio() -> Studio:
    return tiny_studio()


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


PIECES = [*"ab <>&\"'\\\n*~", "{2}", "**", "~~", "é", "😀", "漢", "<b>", "e\u0301"]


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


def test_preview_and_tokens_say_the_weight_of_a_mark(studio: Studio) -> None:
    prompt = seka.Prompt.marked("**a ~~b~~{0.5} c**{2} **d** ~~e~~{3}")
    found = re.findall(r'<(\w+) class="([^"]+)" title="([^"]+)"([^>]*)>', words.marked(prompt))
    heavy, light = ("mark", "emphasise heavy", "emphasised, weight 2"), ("s", "ignore light", "ignored, weight 0.5")
    assert found == [
        (*heavy, ""), (*heavy, ""), (*light, ' data-weight="0.5"'), (*heavy, ' data-weight="2"'),
        ("mark", "emphasise", "emphasised", ""), ("s", "ignore heavy", "ignored, weight 3", ' data-weight="3"'),
    ]  # fmt: skip
    _, chips = actions.preview(studio, "Ada **plays**{2} ~~golf~~{0.25} **now**", False)
    shown = dict(re.findall(r'<span class="token ([^"]+)" title="weight ([^"]+)"', chips))
    assert shown == {"emphasise heavy": "2", "ignore light": "-0.25", "emphasise": "1"}
    assert set(re.findall(r'data-weight="([^"]+)"', chips)) == {"2", "0.25"}


@pytest.mark.parametrize(("most", "shown"), [(0, " …"), (3, "one …"), (6, "one tw …"), (7, "one two"), (9, "one two")])
def test_a_prompt_is_shown_as_far_as_wanted(most: int, shown: str) -> None:
    assert text_of(words.marked(seka.Prompt.marked("one **two**"), most=most)) == shown


def test_preview_says_where_a_marker_has_no_partner(studio: Studio) -> None:
    shown = text_of(actions.preview(studio, "one line\nthen **open words", False)[0])
    assert "** in line 2 has no partner" in shown
    assert "then **open words" in shown


@pytest.mark.parametrize("number", ["{0}", "{-2}", "{100}", "{1.234}", "{ 2 }", "{.5}", "{2.}"])
def test_preview_says_where_a_number_behind_a_mark_is_no_weight(studio: Studio, number: str) -> None:
    shown = text_of(actions.preview(studio, f"Ada **plays**{number} golf", False)[0])
    assert f"{number} behind a mark is no weight and is read as text" in shown
    assert f"plays{number} golf" in shown


@pytest.mark.parametrize(
    "text", ["**plays**{2} golf", r"**plays**\{2} golf", "**plays** {0}", "**plays**{x}", "plays{0} **golf**"]
)
def test_preview_takes_weights_and_other_braces_without_a_word(studio: Studio, text: str) -> None:
    assert "is no weight" not in text_of(actions.preview(studio, text, False)[0])


def test_preview_says_that_nothing_is_highlighted(studio: Studio) -> None:
    assert "Nothing is highlighted" in actions.preview(studio, "no marks", False)[0]
    assert "Nothing is highlighted" not in actions.preview(studio, TEXT, False)[0]


def test_a_mark_without_a_token_is_shown_and_named_and_the_others_still_count(studio: Studio) -> None:
    text = "a **<|endoftext|>** b **golf** and <|endoftext|>"
    shown, chips = actions.preview(studio, text, False)
    assert text_of("".join(re.findall(r'<span class="lost"[^>]*>(.*?)</mark></span>', shown))) == "<|endoftext|>"
    assert "No token stands for the marked text '<|endoftext|>'" in text_of(shown)
    marks = seka.align(seka.Prompt.marked("a <|endoftext|> b **golf** and <|endoftext|>"), studio.tokenizer).weights
    assert f"{sum(weight != 0 for weight in marks)} of {len(marks)} tokens steered" in text_of(shown)
    assert chips.count('class="token emphasise"') == sum(weight > 0 for weight in marks)
    assert "No token stands for" in actions.check(studio, text, actions.Settings())["prompt"]
    assert "lost" not in actions.preview(studio, TEXT, False)[0]


def test_a_tokenizer_without_offsets_is_told_in_words(studio: Studio) -> None:
    class Slow:
        is_fast = False

    slow = Studio("slow", studio.experts)
    slow.tokenizer = Slow()
    shown, chips = actions.preview(slow, TEXT, False)
    assert "Slow gives no character offsets" in text_of(shown)
    assert not chips


def test_tokens_that_reach_past_their_mark_are_named(studio: Studio) -> None:
    says = "Marks act on whole tokens, also on the rest of these: “{}”."
    assert says.format("golf") in text_of(actions.preview(studio, "Ada plays **gol**f", False)[0])
    for whole in ("Ada plays **golf**", "Ada plays** golf**", "Ada **pl**~~ays~~ golf", "no **😀** mark"):
        assert "whole tokens" not in actions.preview(studio, whole, False)[0], whole


def test_a_word_with_both_marks_counts_as_highlighted_and_that_is_said(studio: Studio) -> None:
    text = "**a ~~b** c~~"
    shown, _ = actions.preview(studio, text, False)
    assert "“b” is highlighted and ignored at once: the highlight counts." in text_of(shown)
    prompt = seka.Prompt.marked(text)
    aligned = seka.align(prompt, studio.tokenizer)
    weights = dict(zip(aligned.offsets, aligned.weights, strict=True))
    assert next(weight for (start, end), weight in weights.items() if "b" in prompt.text[start:end]) == 1.0
    assert "at once" not in actions.preview(studio, "**a** ~~b~~", False)[0]
    heavier = text_of(actions.preview(studio, text + "{2}", False)[0])
    assert "“b” is highlighted and ignored at once: ignoring weighs more and counts." in heavier


def test_literal_markers_stay_in_the_text_and_mark_nothing(studio: Studio) -> None:
    shown, chips = actions.preview(studio, "a **b** c", True)
    assert "a **b** c" in text_of(shown)
    assert "1 pair of markers taken as plain text" in text_of(shown)
    assert "emphasise" not in shown + chips


def test_preview_of_a_prompt_that_is_too_long_names_both_lengths_and_shows_its_beginning(studio: Studio) -> None:
    shown = actions.preview(studio, "**Ada**{2} <b> " + "x" * 5000 + " ~~no~~", False)[0]
    read = shown[shown.index('<div class="read">') : shown.index("</div>")]
    assert read.startswith('<div class="read"><mark class="emphasise heavy"')
    assert text_of(read) == f"Ada <b> {'x' * (actions.BEGINNING - 8)} …"
    shown = text_of(actions.preview(studio, "x" * 5000, False)[0])
    count = len(seka.align(seka.Prompt("x" * 5000), studio.tokenizer).ids)
    assert count > studio.limit == 512
    assert f"{count:,}".replace(",", "\u202f") in shown
    assert "512" in shown


def test_a_prompt_of_thousands_of_marks_takes_no_time(studio: Studio) -> None:
    """The address of such a prompt has a few hundred characters: whoever opens it must not stop the page for the others."""
    many = "**a** " * 6000 + "**<|endoftext|>** " * 500
    began = time.process_time()
    assert "Too long: " in actions.preview(studio, many, False)[0]
    assert "6\u202f500 highlights" in actions.preview(Studio("later", {}), many, False)[0]
    assert "Too long: " in actions.check(studio, many, actions.Settings())["prompt"]
    seka.tokens.align_some(seka.Prompt.marked(many), studio.tokenizer)
    assert time.process_time() - began < 3


def test_a_prompt_of_more_characters_than_any_model_reads_is_not_counted(studio: Studio) -> None:
    long = "x" * 200_001
    assert "at most 200000 can be read" in actions.preview(studio, long, False)[0]
    assert "at most 200000 can be read" in actions.check(studio, long, actions.Settings())["prompt"]


def test_preview_works_before_the_model_is_there(studio: Studio) -> None:
    waiting = Studio("later", studio.experts)
    shown, chips = actions.preview(waiting, TEXT, False)
    assert "1 highlight" in shown
    assert not chips


def test_preview_escapes(studio: Studio) -> None:
    shown, chips = actions.preview(studio, f"**{EVIL}** {EVIL}", False)
    assert not re.search(r"<(img|script)", shown + chips)
    assert text_of(shown).count(EVIL) == 2


# ---- words ----


@given(st.text("ab <&.\n", max_size=30), st.text("ab <&.\n", max_size=30))
def test_differences_lose_and_add_nothing(plain: str, steered: str) -> None:
    left, right, _ = words.differences(plain, steered)
    assert text_of(left) == (plain or "(no words)")
    assert text_of(right) == (steered or "(no words)")
    kept = [text_of(re.sub(r"(?s)<(del|ins)>.*?</\1>", " ", side)).split() for side in (left, right)]
    assert not plain or not steered or kept[0] == kept[1]


def test_long_answers_differ_from_their_first_other_word_on() -> None:
    long = "一" * 20_000
    began = time.process_time()
    left, right, sentence = words.differences(long, long[:7] + "x" + long)
    assert time.process_time() - began < 3
    assert (left[: left.index("<del>")], right[: right.index("<ins>")]) == tuple(
        f'<div class="answer"><span class="written">{"一" * 7}' for _ in range(2)
    )
    assert sentence == "20001 of 20\u202f008 words differ."
    assert words.compared(long, long) == (long, long, 0)


def test_differences_count_words() -> None:
    left, right, sentence = words.differences("Ada plays golf here.", "Ada plays chess now here.")
    assert re.findall(r"<del>(.*?)</del>", left) == ["golf"]
    assert re.findall(r"<ins>(.*?)</ins>", right) == ["chess now"]
    assert sentence == "2 of 5 words differ."
    # The blank that answers begin with is no word.
    assert words.differences(" golf.", " chess.")[2] == "1 of 1 word differs."
    assert words.differences(" blue 42.", " red kettle 77.")[2] == "3 of 3 words differ."
    assert words.differences(" a b", "a  b ")[2] == "The answers differ in blanks only."


@pytest.mark.parametrize(
    ("text", "is_so"), [("a b " * 4, True), ("no " * 3, False), ("x " * 4, True), ("a b c d e f g", False)]
)
def test_repetition_is_noticed(text: str, is_so: bool) -> None:
    assert words.repetitive(text) is is_so


# ---- examples ----


def test_an_example_shows_what_its_run_showed(studio: Studio, tmp_path: Path) -> None:
    entry = {"title": "T", "prompt": TEXT, "settings": {"max_new_tokens": 6, "strength": 2.0}}
    path = tmp_path / "examples.json"
    path.write_text(json.dumps([*examples.compute(studio, [entry]), {"title": "not run", "prompt": "x"}]))
    (example,) = examples.load(path)
    shown, run = example.view("tiny"), last(actions.compare(studio, TEXT, example.settings))
    assert replace(shown, status="", figures=None, effect_words="") == replace(
        run, status="", figures=None, effect_words=""
    )
    assert examples.BADGE in shown.status
    assert example.view("another") == views.BEFORE  # another model would answer otherwise
    assert shown.figures is not None
    assert run.figures is not None
    for name in run.figures.keys() - {"effect"}:  # which a run does not measure
        assert shown.figures[name] == run.figures[name], name


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
