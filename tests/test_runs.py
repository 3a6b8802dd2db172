"""A run as a file: it comes back as the same view, and whatever else a file may hold is refused in words."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from conftest import build_model
from studios import TEXT, last, tiny_studio

from app import actions, examples, maps, origin, runs
from app.actions import Settings
from app.asked import Asked
from app.models import Studio
from app.views import View, finished

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def studio() -> Studio:
    return tiny_studio()


@pytest.fixture(scope="module")
def kept() -> dict[str, Any]:
    """The file of a run with everything in it: several experts, marks of both kinds, each head's effect."""
    here = tiny_studio()
    prompt, settings = TEXT.replace("golf", "~~golf~~"), Settings(strength=2.0, max_new_tokens=4, seed=3)
    *_, pair = actions.run(here, prompt, settings)
    *_, effect = maps.measure(here, prompt, settings)
    assert isinstance(effect, dict)
    return runs.document({**actions.record(here, pair, settings, prompt), **effect})


def file(data: Any) -> bytes:
    return json.dumps(data).encode()


def shown(view: View) -> dict[str, Any]:
    """A view's words, and its figures as data."""
    said = {field.name: getattr(view, field.name) for field in fields(view) if field.name not in ("figures", "record")}
    drawn = {name: figure and json.loads(figure.to_json()) for name, figure in (view.figures or {}).items()}
    return {**said, "figures": drawn}


@pytest.mark.parametrize("mode", ["adaptive", "facts"])
def test_an_exported_run_comes_back_as_the_same_view(studio: Studio, mode: str) -> None:
    settings = Settings(mode, 2.0, 6, "last1", seed=2, temperature=0.8)
    live = last(actions.compare(studio, TEXT, settings))
    assert live.record is not None
    run = runs.read(file(runs.document(live.record)))
    assert run.asked == Asked(TEXT, settings)
    back = run.view(studio.name)
    assert "Imported run of tiny with seka" in back.status
    assert shown(replace(back, status=live.status)) == shown(live)


def test_a_file_names_settings_versions_and_the_model(kept: dict[str, Any]) -> None:
    record = kept["record"]
    assert (record["typed"], record["settings"]["seed"]) == (TEXT.replace("golf", "~~golf~~"), 3)
    assert record["made"]["torch"] == torch.__version__
    assert len(record["made"]["fingerprint"]) == 16


def test_the_fingerprint_is_the_model_s(studio: Studio) -> None:
    same = Studio("same", {})
    same.model = deepcopy(studio.model)
    assert same.model is not None
    assert origin.made(same) == origin.made(studio)
    other = Studio("other", {})
    other.model = build_model("qwen3", torch.float32, seed=5)
    assert origin.made(other)["fingerprint"] != origin.made(studio)["fingerprint"]
    half = Studio("half", {})
    half.model = deepcopy(studio.model).bfloat16()  # type: ignore[union-attr]
    assert origin.made(half)["fingerprint"] == origin.made(studio)["fingerprint"]


def test_everything_that_a_record_may_hold_is_read(kept: dict[str, Any]) -> None:
    run = runs.read(file(kept))
    assert run.record == kept["record"]
    view = run.view("another")
    assert "not this page\u2019s model" in view.status
    optional = [name.rstrip("?") for name in runs.RECORD if name.endswith("?")]
    older = {**kept, "record": {name: value for name, value in kept["record"].items() if name not in optional}}
    assert runs.read(file(older)).view("tiny").plain == view.plain


def test_the_page_s_own_examples_can_be_taken_along() -> None:
    for example in examples.load():
        record = example.view("seka-miniature").record
        assert record is not None
        run = runs.read(file(runs.document(record)))
        assert run.asked.prompt == example.prompt


def test_what_a_file_says_stays_text(kept: dict[str, Any]) -> None:
    def evil(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: evil(entry) for name, entry in value.items()}
        if isinstance(value, list):
            return [evil(entry) for entry in value]
        return EVIL + value if isinstance(value, str) else value

    record = evil(kept["record"])
    record["settings"] = {**kept["record"]["settings"], "mode": EVIL}
    record["totals"] = {EVIL: 1.0}
    view = runs.read(file({**kept, "record": record})).view("tiny")
    for part, words in shown(view).items():
        assert "<img" not in json.dumps(words), part


CHANGES: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("another format", lambda run: run.update(format="zip"), "no run that this page exported"),
    ("a later version", lambda run: run.update(version=2), "of version 2"),
    ("no record", lambda run: run.pop("record"), "record is None"),
    ("no answer", lambda run: run["record"].pop("plain"), "record has no 'plain'"),
    ("an unknown part", lambda run: run["record"].update(script="x"), "has ['script']"),
    ("a wrong type", lambda run: run["record"].update(seconds="1"), "record.seconds is '1'; wanted a number"),
    ("a truth for a number", lambda run: run["record"].update(all_heads=True), "record.all_heads is True"),
    ("a negative count", lambda run: run["record"]["plain"].update(tokens=-1), "wanted a whole number"),
    ("a huge number", lambda run: run["record"].update(seconds=1e300), "record.seconds"),
    ("a whole number of 401 digits", lambda run: run["record"].update(seconds=10**400), "record.seconds"),
    ("a long answer", lambda run: run["record"]["steered"].update(text="x" * 20_001), "steered.text has 20001 characters"),
    ("a bad setting", lambda run: run["record"]["settings"].update(seed=-1), "seed is -1"),
    ("an unknown setting", lambda run: run["record"]["settings"].update(x=1), "unknown settings ['x']"),
    ("a long list", lambda run: run["record"]["heads"].update({"0": [0] * 600}), "600 entries"),
    ("half a character", lambda run: run["record"].update(model="\ud800"), "record.model"),
    ("a deep value", lambda run: run["record"]["next"]["top"][0].update(id="x"), "record.next"),
    ("more heads than any", lambda run: run["record"].update(heads={str(n): [0] * 500 for n in range(11)}), "5000 heads"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "says"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES])
def test_a_changed_file_is_refused_with_the_place(kept: dict[str, Any], change: Any, says: str) -> None:
    run = deepcopy(kept)
    change(run)
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        runs.read(file(run))
    assert says in str(refused.value)


SHARES = {"x": {"plain": {"0": [0.1]}, "steered": {}}}
EMPTY = {"ids": [], "texts": [], "probabilities": []}
LOOSE = [
    {"heads": {"9": [0]}},
    {"heads": {"x": [0]}},
    {"routing": {"names": ["a"], "coefficients": {"0": [[0.1, 0.2], [0.3]]}}},
    {"written": {"plain": {**EMPTY, "ids": [1], "texts": ["a"]}, "steered": EMPTY}},
    {"attention": {"tokens": 1, "marked": {"x": 1}, "kv_heads": {"0": 1}, "shares": SHARES}},
]


@pytest.mark.parametrize("change", LOOSE)
def test_parts_that_do_not_fit_together_are_refused(kept: dict[str, Any], change: dict[str, Any]) -> None:
    run = runs.read(file({**kept, "record": {**kept["record"], **change}}))
    with pytest.raises(ValueError, match="do not fit together"):
        run.view("tiny")


@pytest.mark.parametrize("source", [b"", b"[]", b"\xff", b'{"format": NaN}', b"[" * 5000, b"x" * 1_000_001])
def test_what_is_no_run_at_all_is_refused(source: bytes) -> None:
    with pytest.raises(ValueError, match=r"it is not JSON|no run|bytes"):
        runs.read(source)


def test_the_figure_of_the_heads_is_the_run_s(kept: dict[str, Any]) -> None:
    drawn = finished(kept["record"], "x").figures["heads"]  # type: ignore[index]
    (trace,) = drawn.data
    rows = kept["record"]["sensitivity"]
    for row, layer in zip(trace.z, sorted(rows, key=int), strict=True):
        assert list(row) == pytest.approx(rows[layer])
    assert len(drawn.layout.shapes) == sum(len(row) for row in kept["record"]["heads"].values())
    assert finished(kept["record"], "x", drawn=False).figures is None
