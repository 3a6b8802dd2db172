"""What the page opens with, and how settings that are brought along fit it."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest
from studios import TEXT, text_of, tiny_studio
from test_link import ASKED, link

from app import actions, examples, page, runs
from app.actions import Settings
from app.asked import Asked, asked
from app.models import Studio
from app.opening import choose, fitted, view
from app.views import BEFORE


@pytest.fixture
def studio() -> Studio:
    return tiny_studio()


def test_a_link_goes_before_the_kept_text_and_a_bad_one_falls_back_to_it() -> None:
    other, kept = {"prompt": "other"}, ASKED.data()
    assert choose({"s": link(other)}, kept) == (asked(other), "")
    assert choose({}, kept) == (ASKED, "")
    assert choose({}, None) == (None, "")
    found, warning = choose({"s": "j!"}, kept)
    assert found == ASKED
    assert "could not be read" in warning


def test_an_embedded_page_remembers_nothing_but_reads_its_link() -> None:
    assert choose({"embed": "1"}, ASKED.data()) == (None, "")
    assert choose({"embed": "1", "s": link(ASKED.data())}, None) == (ASKED, "")


def test_what_another_version_kept_is_left_alone() -> None:
    assert choose({}, {"prompt": "x", "settings": {"gone": 1}}) == (None, "")
    assert choose({}, "nonsense") == (None, "")


def test_settings_that_this_page_does_not_have_are_changed_and_said(studio: Studio) -> None:
    assert fitted(studio, Settings("facts", 0.5)) == (Settings("facts", 0.5), "")
    chosen, warning = fitted(studio, Settings("nobody", 0.5))
    assert chosen == Settings("adaptive", 0.5)
    assert "no expert 'nobody'; adaptive" in warning
    chosen, warning = fitted(studio, Settings("roles", 900.0))
    assert chosen.strength == pytest.approx(1.6)  # twice the strongest recommendation, 0.8
    assert "Strength 900 is more" in warning


def test_what_has_no_result_empties_the_page_and_an_example_keeps_its_own(studio: Studio) -> None:
    settings = Settings("facts", 0.5, max_new_tokens=2)
    (done,) = examples.compute(studio, [{"title": "T", "prompt": "Two **pears**", "settings": asdict(settings)}])
    shown = [examples.Example("T", "", done["prompt"], settings, done["result"])]
    assert text_of(view(studio, Asked(shown[0].prompt, settings), shown).plain)
    empty = view(studio, Asked(TEXT, Settings()), shown)
    assert (empty.plain, empty.steered, empty.figures) == ("", "", {})
    assert "Press Compare" in empty.status


def test_the_last_run_comes_back_where_it_is_of_this_model(studio: Studio) -> None:
    settings = Settings("facts", 0.5, max_new_tokens=2)
    done = json.loads(json.dumps(actions.answer(studio, TEXT, settings)))
    record = {name: value for name, value in done.items() if name not in ("prompt", "marks")}
    file = json.dumps(runs.document(record))
    for prompt in (TEXT, TEXT + " and"):  # also when the text was changed since
        back = view(studio, Asked(prompt, settings), [], file)
        assert text_of(back.plain).endswith(record["plain"]["text"])
        assert back.record == record
        assert "kept by this browser" in back.status
    for other in ("", "{", json.dumps(runs.document({**record, "model": "another"})), file.replace('"heads"', '"x"')):
        assert view(studio, Asked(TEXT, settings), [], other) == BEFORE


def test_examples_of_another_model_bring_their_prompts_alone(studio: Studio) -> None:
    assert (shown := examples.load())
    assert all(example.view(example.result["model"]).figures for example in shown)
    built = page.build(studio)
    values = {block.elem_id: getattr(block, "value", None) for block in built.blocks.values()}
    assert values["prompt"] == shown[0].prompt
    assert "Press Compare" in values["status"]
    assert (values["plain"], values["steered"], values["heads"], values["run"], values["card"]) == (
        "",
        "",
        None,
        "",
        "",
    )
