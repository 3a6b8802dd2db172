"""The page's handlers as gradio holds them: what is refused before a run is queued, stopped there, and shown. No browser."""

from __future__ import annotations

import json
from html import unescape
from typing import Any

import gradio as gr
import pytest
from studios import TEXT, tiny_studio

from app import actions, carry, heads, page, views
from app.actions import Settings
from app.asked import Asked
from app.models import Studio
from app.views import BEFORE, View
from app.wiring import NAMES

VISITOR = gr.Request(session_hash="a")


def given(**changes: Any) -> list[Any]:
    """The settings' values, as their components give them."""
    settings = Settings("facts", 2.0, 4)
    return [changes.get(name, getattr(settings, name)) for name in NAMES]


def handlers(studio: Studio) -> dict[str, Any]:
    """The page's events by where their functions stand, such as "answers.compare", and by what begins them, such as "stop",
    alone and with the function's name, such as "compare.say"."""
    built = page.build(studio)
    found = [fn for fn in built.fns.values() if fn.fn is not None]
    begun = [(getattr(built.blocks.get(place), "elem_id", None), fn) for fn in found for place, _ in fn.targets]
    return {
        **{f"{fn.fn.__module__.removeprefix('app.')}.{fn.fn.__name__}": fn for fn in found},
        **dict(begun),
        **{f"{button}.{fn.fn.__name__}": fn for button, fn in begun},
    }


def fresh(place: int = 0) -> Studio:
    """A studio that a test may change."""
    given = tiny_studio()
    assert given.model is not None
    out = Studio.of("tiny", given.model, given.tokenizer, {name: given.experts[name] for name in ("facts", "roles")})
    out.place = place
    return out


@pytest.fixture(scope="module")
def events() -> dict[str, Any]:
    return handlers(fresh())


def test_a_number_on_its_way_to_a_slider_fails_no_event(events: dict[str, Any]) -> None:
    """What is typed beside a slider stands there until the field is left; meanwhile events of other things bring it along."""
    taken = {each.elem_id: each for each in events["answers.compare"].inputs if isinstance(each, gr.Slider)}
    assert set(taken) == {"strength", "max-new"}
    for slider in taken.values():
        slider = type(slider)(**slider.constructor_args)  # as Gradio makes it anew where an event leaves it alone
        assert [slider.preprocess(number) for number in (999, 0, -1)] == [999, 0, -1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mode": "gone"}, "There is no expert 'gone'"),
        ({"layers": "seven"}, "not understood"),
        ({"heads": "9:9"}, "9"),
        ({"min_shift": 999.0}, "No head is steered"),
        ({"temperature": 9.0}, "wanted a number from 0 to 5"),
        ({"temperature": -3}, "Temperature is -3; wanted a number from 0 to 5"),
        ({"min_shift": -1}, "Head threshold is -1; wanted a number from 0"),
        ({"seed": -1}, "Seed is -1; wanted a number from 0"),
        ({"max_new_tokens": 999}, "Max new tokens is 999; wanted a number from 1 to 256"),
        ({"strength": -1}, "Strength is -1; wanted a number from 0 to 1000"),
        ({"seed": 1.5}, "Seed is 1.5; wanted a whole number"),
    ],
)
@pytest.mark.parametrize("button", ["compare", "sweep"])
def test_every_refusal_comes_before_the_queue_and_under_the_prompt(
    events: dict[str, Any], button: str, change: dict[str, Any], says: str
) -> None:
    """The answers of the run before stay on the page, and the components themselves refuse nothing."""
    run, say = events[f"{button}.{button}"], events[f"{button}.say"]
    assert [block.elem_id for block in say.outputs] == ["refused"]
    assert say.inputs == run.inputs
    assert not say.queue
    assert say._id < run._id  # what stands behind a run that is refused is not called
    values = [
        component.preprocess(value) if isinstance(component, gr.Number | gr.Slider) else value
        for component, value in zip(run.inputs[1:], given(**change), strict=True)
    ]
    first, *others = run.validator(VISITOR, TEXT, *values)
    assert not first["is_valid"]
    assert says in unescape(say.fn(TEXT, *values))
    assert says in first["message"]
    assert say.fn(TEXT, *values) != say.fn(
        TEXT, *values
    )  # or Gradio would leave it as it is, and nobody be led to it again
    asked = json.loads(unescape(say.fn(TEXT, *values).split('data-asked="')[1].split('"')[0]))
    assert asked == {"prompt": TEXT, "settings": {k: v for k, v in zip(NAMES, values, strict=True) if v is not None}}
    assert len(others) == len(NAMES)
    assert all(other["is_valid"] for other in others)
    assert run.validator(VISITOR, TEXT, *given())[0]["is_valid"]
    assert say.fn(TEXT, *given()) == ""


def test_a_refusal_is_text(events: dict[str, Any]) -> None:
    said = events["compare.say"].fn(TEXT, *given(heads="<img src=x>"))
    assert "&lt;img" in said
    assert "<img" not in said


def test_measuring_that_was_stopped_in_the_queue_does_not_begin(events: dict[str, Any]) -> None:
    measure = events["heads.measure"]
    assert len(measure.validator(VISITOR, None, TEXT, *given())) == len(measure.inputs)
    events["stop-measuring"].fn(VISITOR)
    ((said, *_),) = measure.fn(VISITOR, None, TEXT, *given())
    assert "Stopped before every layer was measured" in said


def test_no_effect_of_another_prompt_stays_under_the_heading(events: dict[str, Any]) -> None:
    """Of a run without one the last that was measured stays, if it is of this very prompt."""
    other = TEXT.replace("golf", "harp")
    *_, (said, drawn, measured) = events["heads.measure"].fn(VISITOR, None, TEXT, *given())
    assert "Measured on" in said
    keep = events["heads.keep"].fn
    run = {"typed": TEXT, "settings": {"literal": False}}
    assert keep(run, measured) == [gr.skip()] * 3
    for another in ({**run, "typed": other}, {**run, "settings": {"literal": True}}, {"settings": {}}, None):
        said, drawn, kept = keep(another, measured)
        assert (said, drawn.visible, kept) == ("Not measured for this prompt yet.", False, None)
    nothing = heads.outputs(BEFORE)
    assert (nothing[2], nothing[3].visible, nothing[5]) == ("Not measured for this prompt yet.", False, None)

    # nor while measuring another one fails
    for text, kept in ((TEXT, measured), (other, None)):
        *_, (said, drawn, after) = events["heads.measure"].fn(VISITOR, measured, text, *given(strength=0.0))
        assert "Strength is 0" in said
        assert ("Measured on" in said) == (kept is not None)
        assert after == (gr.skip() if kept else None)


def test_an_answer_s_panel_moves_nothing_but_itself() -> None:
    """Gradio's own scrolling takes the window along where it finds the panel's style too late."""
    assert not any(block.autoscroll for block in page.build(fresh()).blocks.values() if isinstance(block, gr.HTML))


def test_the_embedded_model_alone_is_said_to_be_small() -> None:
    def hero(studio: Studio) -> str:
        return next(str(block.value) for block in page.build(studio).blocks.values() if block.elem_id == "hero")

    other = fresh()
    other.origin = "some/model", "experts"
    assert "very small model" in hero(fresh())
    assert "very small model" not in hero(other)


def test_another_model_s_page_has_turns_and_links_of_its_own(
    events: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPACE_ID", "ada/seka")
    running = ("answers.compare", "heads.measure", "sweep.sweep")
    pages = [page.build(fresh(place)).fns.values() for place in (0, 1)]
    turns = [{fn.concurrency_id for fn in fns if fn.concurrency_limit == 2 and fn.validator} for fns in pages]
    assert len(turns[0]) == len(turns[1]) == 1
    assert turns[0] != turns[1]
    assert {events[name].concurrency_id for name in running} == turns[0]
    links = ["".join(fn.js for fn in fns if isinstance(fn.js, str) and "copyLink" in fn.js) for fns in pages]
    assert ["huggingface.co/spaces/ada/seka" in link for link in links] == [True, False]  # a Space passes no route on


def test_a_mode_that_was_learnt_since_comes_with_its_choice() -> None:
    """Gradio refuses a value that is not among the choices of the page as it was built."""
    studio = fresh()
    fill = carry.filling(studio, page.outputs)
    studio.adopt("mine", studio.experts["facts"])
    mode = fill(Asked(TEXT, Settings("mine")), View())[1 + NAMES.index("mode")]
    assert (mode.value, [value for _, value in mode.choices]) == ("mine", ["adaptive", "facts", "roles", "mine"])


def test_maps_of_a_mode_that_somebody_removed_say_so(events: dict[str, Any]) -> None:
    follow = events["heads.follow"].fn
    line, said, drawn, _ = follow(None, *given(mode="gone"))
    assert "There is no expert &#x27;gone&#x27;" in line
    assert said == line
    assert drawn == gr.skip()
    assert json.loads(follow(None, *given())[2].to_json())["data"]


def test_before_any_run_the_map_is_of_the_settings(events: dict[str, Any]) -> None:
    ready = events["heads.ready"].fn
    line, said, drawn, _ = ready(None, None, *given(layers="last1"))
    assert said == line
    assert len(drawn.layout.shapes) == sum(int(row.sum()) for row in steered("last1").values())
    assert ready({"model": "tiny"}, None, *given(layers="last1")) == [line, *[gr.skip()] * 3]
    _, drawn, *_, run, _ = heads.outputs(views.BEFORE)  # such as an example without its answers
    assert (drawn, run) == (gr.skip(), None)


def test_without_an_expert_the_map_s_place_says_so() -> None:
    with_experts = tiny_studio()
    assert with_experts.model is not None
    bare = Studio.of("bare", with_experts.model, with_experts.tokenizer, {})
    line, said, drawn, _ = handlers(bare)["heads.ready"].fn(None, None, *given(mode=None))
    assert "no expert yet" in said
    assert (line, drawn) == (said, gr.skip())


def steered(layers: str) -> dict[int, Any]:
    return actions.steering(tiny_studio(), Settings("facts", 2.0, layers=layers)).selected


def test_copies_of_files_are_removed_in_time() -> None:
    every, age = page.build(fresh()).delete_cache or (0, 0)
    assert 0 < every < age
