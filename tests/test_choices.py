"""Which heads settings steer: the written form of heads, clicks on the maps, and that a run uses just those heads."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from studios import TEXT, last, text_of, tiny_studio

import seka
from app import actions, maps
from app.actions import Settings
from app.models import Studio
from seka.layers import read_heads, write_heads

LAYERS, HEADS = 3, 2  # of the tiny model


@pytest.fixture
def studio() -> Studio:
    return tiny_studio()


def naive(studio: Studio, settings: Settings) -> set[tuple[int, int]]:
    """(layer, head) whose largest shift over the mode's experts reaches the threshold, in the last N layers or all."""
    experts = list(studio.experts.values()) if settings.mode == "adaptive" else [studio.experts[settings.mode]]
    first = 0 if settings.layers == "all" else LAYERS - int(settings.layers.removeprefix("last"))
    return {
        (layer, head)
        for layer in range(first, LAYERS)
        for head in range(HEADS)
        if max(float(expert.relative_shift[layer][head]) for expert in experts) >= settings.min_shift
    }


def outlined(figure: object) -> set[tuple[int, int]]:
    layers = figure.data[0].y  # type: ignore[attr-defined]
    middles = [((s.y0 + s.y1) / 2, (s.x0 + s.x1) / 2) for s in figure.layout.shapes]  # type: ignore[attr-defined]
    return {(layers[round(y)], round(x)) for y, x in middles}


# ---- the written form ----


@given(st.dictionaries(st.integers(0, 99), st.sets(st.integers(0, 99), min_size=1), max_size=5))
def test_heads_are_read_back_as_they_were_written(heads: dict[int, set[int]]) -> None:
    listed = {layer: sorted(chosen) for layer, chosen in heads.items()}
    assert read_heads(write_heads(listed)) == listed


def test_heads_as_people_write_them() -> None:
    assert read_heads("  ") == {}
    assert read_heads(" 4 : 0 ; 0:3, 1;4:1,0") == {0: [1, 3], 4: [0, 1]}
    assert write_heads({4: [1, 0], 2: [], 0: [3]}) == "0:3;4:0,1"


@pytest.mark.parametrize(
    "text", ["0", "0:", ":1", "0:1;", "0:1,", "0:-1", "a:1", "0:1 2", "0:1;;2:1", "0:٣", "0:123456"]
)
def test_anything_else_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match=r"heads .* not understood; wanted LAYER:HEAD"):
        read_heads(text)


# ---- what settings steer ----


@pytest.mark.parametrize("mode", ["adaptive", "facts"])
@pytest.mark.parametrize("layers", ["all", "last2"])
@pytest.mark.parametrize("rank", [None, 2])
def test_the_maps_outline_what_the_settings_select(studio: Studio, mode: str, layers: str, rank: int | None) -> None:
    shifts = sorted(float(value) for row in studio.experts["facts"].relative_shift.values() for value in row)
    settings = Settings(mode=mode, layers=layers, min_shift=0.0 if rank is None else shifts[-rank])
    expected = naive(studio, settings)
    assert expected
    shown = maps.maps(studio, settings, {"effect": {str(n): [0.5, -0.5] for n in range(LAYERS)}})
    assert outlined(shown.heads) == outlined(shown.effect) == expected
    assert f"steer {len(expected)} of 6 heads in {len({layer for layer, _ in expected})} layer" in shown.line
    largest = [[0.0] * HEADS for _ in range(LAYERS)]
    experts = studio.experts.values() if mode == "adaptive" else [studio.experts[mode]]
    for expert in experts:
        for layer, row in expert.relative_shift.items():
            largest[layer] = [max(a, float(b)) for a, b in zip(largest[layer], row, strict=True)]
    assert torch.allclose(torch.tensor(shown.heads.data[0].z), torch.tensor(largest))


def test_settings_that_steer_nothing_say_why_and_outline_nothing(studio: Studio) -> None:
    for settings, says in (
        (Settings(min_shift=1e6), "No head is steered"),
        (Settings(layers="seven"), "not understood"),
        (Settings(heads="9:0"), "Layers [9] are not attention layers"),
        (Settings(heads="0:7"), "Head 7 of layer 0 cannot be steered"),
        (Settings(heads="<b>"), "Heads &#x27;&lt;b&gt;&#x27; not understood"),
    ):
        shown = maps.maps(studio, settings, None)
        assert says in shown.line
        assert 'class="error"' in shown.line
        assert outlined(shown.heads) == set()
        assert shown.effect is None


def test_before_the_model_is_there_nothing_is_said(studio: Studio) -> None:
    assert maps.line(Studio("later", studio.experts), Settings()) == ""


# ---- a click ----


def test_clicks_take_heads_out_and_put_them_in_again(studio: Studio) -> None:
    settings = Settings(mode="facts", layers="last1")
    first, said = maps.toggled(studio, settings, 2, 1)
    assert (first, said) == ("2:0", "not steered any more")
    second, said = maps.toggled(studio, Settings(mode="facts", layers="last1", heads=first), 0, 1)
    assert (second, said) == ("0:1;2:0", "steered now")  # also in a layer that `layers` does not name
    third, _ = maps.toggled(studio, Settings(mode="facts", layers="last1", heads=second), 0, 1)
    assert third == "2:0"
    assert maps.toggled(studio, Settings(mode="facts", layers="last1", heads=third), 2, 1)[0] == ""  # as it was


def test_the_last_head_and_heads_that_are_not_there_are_refused(studio: Studio) -> None:
    with pytest.raises(ValueError, match="the last head that is steered stays"):
        maps.toggled(studio, Settings(heads="1:1"), 1, 1)
    for layer, head in ((0, 2), (0, -1), (7, 0)):
        with pytest.raises(ValueError, match=r"cannot be steered|not attention layers|not understood"):
            maps.toggled(studio, Settings(), layer, head)


def test_a_click_chooses_a_head_and_shows_its_figures(studio: Studio) -> None:
    heads, shown = maps.picked(studio, Settings(mode="facts"), {"layer": 1, "head": 0})
    assert heads == "0:0,1;1:1;2:0,1"
    assert "Layer 1, KV head 0: not steered any more" in text_of(shown)
    assert f"relative shift {float(studio.experts['facts'].relative_shift[1][0]):.3f}" in shown
    heads, shown = maps.picked(
        studio, Settings(min_shift=1e6), {"layer": 1, "head": 0}
    )  # a way out of steering nothing
    assert (heads, "steered now" in shown) == ("1:0", True)
    heads, shown = maps.picked(studio, Settings(heads="1:0"), {"layer": 1, "head": 0})
    assert heads is None
    assert "The last head that is steered stays" in text_of(shown)
    for forged in (
        None,
        [],
        {"layer": 1},
        {"layer": "1", "head": 0},
        {"layer": True, "head": 0},
        {"layer": 0.5, "head": 0},
    ):
        heads, shown = maps.picked(studio, Settings(), forged)
        assert heads is None
        assert "No head was clicked on" in shown
    assert "Loading later" in maps.picked(Studio("later", studio.experts), Settings(), {"layer": 0, "head": 0})[1]


# ---- a run ----


def test_a_run_steers_just_the_heads_that_are_named(studio: Studio) -> None:
    settings = Settings(mode="facts", strength=9.0, max_new_tokens=6, heads="0:1;2:0")
    done = actions.answer(studio, TEXT, settings)
    assert done["heads"] == {"0": [1], "2": [0]}
    assert done["settings"]["heads"] == "0:1;2:0"
    steering = seka.Steering(studio.model, studio.experts["facts"], positive=9.0, heads={0: [1], 2: [0]})
    pair = seka.compare(studio.model, studio.tokenizer, seka.Prompt.marked(TEXT), steering, max_new_tokens=6)
    assert done["steered"]["text"] == pair.steered.text
    every = actions.answer(studio, TEXT, Settings(mode="facts", strength=9.0, max_new_tokens=6))
    assert every["steered"]["text"] != done["steered"]["text"]
    assert "outlined heads, 2 of 6 in 2 layers" in last(actions.compare(studio, TEXT, settings)).heads_words


def test_heads_that_cannot_be_are_refused_by_name(studio: Studio) -> None:
    for heads, says in (("0:9", "Head 9 of layer 0"), ("x", "not understood"), ("8:0", "not attention layers")):
        problems = actions.check(studio, TEXT, Settings(heads=heads))
        assert list(problems) == ["heads"]
        assert says in problems["heads"]
        assert says in text_of(last(actions.compare(studio, TEXT, Settings(heads=heads))).status)
    assert actions.check(studio, TEXT, Settings(layers="seven", heads="0:1")) == {}  # layers are not in use then
