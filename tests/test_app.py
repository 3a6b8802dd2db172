"""The page's handlers, without gradio: runs, what they refuse in words, and that they add nothing to seka."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import build_model
from studios import TEXT, last, text_of, tiny_studio

import seka
from app import actions, models
from app.actions import Settings
from app.models import Studio

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def studio() -> Studio:
    return tiny_studio()


# ---- check ----


@pytest.mark.parametrize(
    ("text", "settings", "field", "says"),
    [
        ("  \n", Settings(), "prompt", "Write a prompt"),
        ("x" * 5000, Settings(), "prompt", "limit is 512"),
        ("x" * 300, Settings(max_new_tokens=256), "prompt", "ask for fewer"),
        (TEXT, Settings(max_new_tokens=505), "max_new_tokens", "wanted a number from 1"),
        (TEXT, Settings(layers="seven"), "layers", "not understood"),
        (TEXT, Settings(layers="77"), "layers", "77"),
        (TEXT, Settings(layers="1:77"), "layers", "Layer 1 has no heads [77]"),
        (TEXT, Settings(layers="1:0", min_shift=999.0), "min_shift", "No head is steered"),
    ],
)
def test_check_names_the_field_and_the_reason(
    studio: Studio, text: str, settings: Settings, field: str, says: str
) -> None:
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
    assert "the outlined heads, 2 of 6 in 1 layer" in last(actions.compare(studio, TEXT, settings)).heads_words
    off = Settings(mode="facts", layers="last1", max_new_tokens=2, strength=0.0)
    said = last(actions.compare(studio, TEXT, off)).heads_words
    assert said.startswith("Strength is 0: marks would act on the outlined heads")


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
        (Settings(min_shift=999.0), "No head is steered"),
        (Settings(temperature=-1.0), "wanted a number from 0"),
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


def test_a_mistake_of_ours_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert actions.explain(TypeError("no such keyword")) == "No such keyword."
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_model_that_is_opened_at_once_is_loaded_once(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []

    def load(source: str, attn: str) -> Any:
        loads.append(source)
        return studio.model, studio.tokenizer

    monkeypatch.setattr(models, "load", load)
    here = Studio("here", studio.experts)
    here.later("somewhere")
    here.open("somewhere")
    assert here.wait(0)
    for thread in threading.enumerate():
        if thread.name == "seka-model":
            thread.join(30)
    assert loads == ["somewhere"]


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


def test_an_expert_that_stands_alone_is_a_mode_but_not_mixed(studio: Studio) -> None:
    pooled = studio.experts["facts"].with_header(name="pooled", recommended_gain=0.2)
    more = Studio.of(
        "more",
        studio.model,
        studio.tokenizer,
        studio.experts,
        alone={"pooled": pooled},
        router={"sharpness": 8, "gain": 0.3},
    )
    assert [value for _, value in more.modes()] == ["adaptive", "facts", "roles", "pooled"]
    assert {mode: more.gain(mode) for _, mode in more.modes()} == {
        "adaptive": 0.3, "facts": 0.4, "roles": 0.8, "pooled": 0.2,
    }  # fmt: skip
    assert more.describe("adaptive").startswith("Mixes 2 experts")
    assert more.source("pooled") is pooled
    router = more.source("adaptive")
    assert isinstance(router, seka.Router)
    assert (router.names, router.sharpness) == (("facts", "roles"), 8)
    refused = Studio("refused", studio.experts, router={"sharpness": -1})
    assert refused.router is None
    assert "sharpness is -1" in refused.note


def test_the_environment_s_folder_says_which_experts(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All its projections, or what its experts.json says; without any the way to learn one."""
    monkeypatch.setenv("SEKA_MODEL", "some/model")
    monkeypatch.setenv("SEKA_EXPERTS", str(tmp_path))
    assert models.studio().note.startswith("This model has no expert yet")
    monkeypatch.setenv("SEKA_LEARN", "0")
    with pytest.raises(ValueError, match=r"no experts for some/model.*seka learn --model some/model --out"):
        models.studio()
    for name, expert in studio.experts.items():
        expert.save(tmp_path / f"{name}.safetensors")
    found = models.studio()
    assert (found.name, list(found.experts), found.gain("adaptive")) == ("some/model", ["facts", "roles"], 0.6)
    files = {"facts": "facts.safetensors", "works": "roles.safetensors"}
    more = {"experts": files, "alone": {"again": "facts.safetensors"}, "router": {"sharpness": 4, "gain": 0.7}}
    (tmp_path / "experts.json").write_text(json.dumps(more), encoding="utf-8")
    found = models.studio()
    assert [value for _, value in found.modes()] == ["adaptive", "facts", "works", "again"]
    assert found.gain("adaptive") == 0.7
    assert found.router is not None
    assert found.router.sharpness == 4


def test_the_embedded_model_is_offered_as_its_own_list_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEKA_MODEL", raising=False)
    found, router = models.studio(), seka.miniature.router()
    assert [value for _, value in found.modes()] == ["adaptive", *seka.miniature.experts(), *seka.miniature.alone()]
    assert found.router is not None
    assert (found.router.names, found.router.score, found.router.sharpness) == (
        router.names,
        router.score,
        router.sharpness,
    )
    assert found.router.recommended_gain == router.recommended_gain


def test_the_api_s_answer_is_plain_data(studio: Studio) -> None:
    data = json.loads(json.dumps(actions.answer(studio, TEXT, Settings(max_new_tokens=2))))
    assert data["marks"] == [{"start": 22, "end": 27, "weight": 1.0}]
    assert data["settings"]["strength"] == pytest.approx(0.6)
    assert data["plain"]["tokens"] == 2


def test_handlers_load_neither_gradio_nor_the_page() -> None:
    code = (
        "import sys, app.actions, app.examples; sys.exit(any(name in sys.modules for name in ('gradio', 'app.page')))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
