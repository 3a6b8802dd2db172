"""A visitor's own expert: learnt from his triplets, kept by the model's weights, beside the others. No browser."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TRIPLETS, build_model, build_tokenizer
from studios import TEXT, last, tiny_studio

import seka
from app import actions, models, own, shelf
from app.actions import Settings
from app.models import Studio
from seka.fingerprint import digest, fingerprint
from seka.miniature.measures.evaluate import VALIDATION, draw
from seka.miniature.measures.matching import MATCHING, usual
from seka.miniature.measures.tasks import UNSEEN


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEKA_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def studio() -> Studio:
    """Two given experts that recommend 0.4 and 0.8."""
    given = tiny_studio()
    assert given.model is not None
    return Studio.of("tiny", given.model, given.tokenizer, {name: given.experts[name] for name in ("facts", "roles")})


def write(path: Path, *lines: Any) -> str:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return str(path)


def learn(studio: Studio, name: str = "mine", stop: threading.Event | None = None) -> list[own.Progress]:
    return list(own.learnt(studio, TRIPLETS, name, "From a test.", stop or threading.Event()))


def test_what_is_learnt_is_what_seka_learns_and_is_offered(studio: Studio) -> None:
    *running, done = learn(studio)
    assert [progress.done for progress in running if progress.done] == sorted(p.done for p in running if p.done)
    assert running[-1].done == done.total == len(TRIPLETS)
    expected = seka.learn(studio.model, studio.tokenizer, TRIPLETS)  # type: ignore[arg-type]
    kept = seka.Projection.load(own.kept(studio, "mine"))  # type: ignore[arg-type]
    for layer in expected.layers:
        assert torch.equal(kept.positive(layer), expected.positive(layer))
        assert torch.equal(studio.experts["mine"].positive(layer), expected.positive(layer))
    assert ("Mine", "mine") in studio.modes()
    assert studio.describe("mine") == "From a test."


def test_it_steers_alone_and_in_the_mixture(studio: Studio) -> None:
    learn(studio)
    for mode in ("mine", "adaptive"):
        record = actions.answer(studio, TEXT, Settings(mode=mode, strength=2.0, max_new_tokens=3))
        assert record["steered"]["tokens"] == 3
    assert set(record["totals"]) == {"facts", "roles", "mine"}
    assert record["totals"]["mine"] > 0


def test_in_a_mixture_it_acts_at_the_mixture_s_scales() -> None:
    """Alone at its own, which are 1 as learnt."""
    model, tokenizer = build_model("qwen3"), build_tokenizer()
    experts = {
        name: seka.learn(model, tokenizer, TRIPLETS[i : i + 4], name=name).scaled({1: [0.5, first], 2: [0.25, 2.0]})
        for i, (name, first) in enumerate((("facts", 1.0), ("roles", 0.5)))
    }
    studio = Studio.of("tiny", model, tokenizer, experts)
    studio.adopt("mine", seka.learn(model, tokenizer, TRIPLETS, name="mine"))
    assert isinstance(studio.router, seka.Router)
    mixed = {layer: row.tolist() for layer, row in studio.router.experts["mine"].scale.items()}
    assert mixed == {0: [1.0, 1.0], 1: [0.5, 0.75], 2: [0.25, 2.0]}
    assert all(row.tolist() == [1.0, 1.0] for row in studio.experts["mine"].scale.values())
    assert studio.router.experts["facts"].scale[1].tolist() == [0.5, 1.0]


def test_among_the_embedded_model_s_experts_it_has_baselines_on_their_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no expert is near every prompt by what it was learnt from; other models' experts do not say which prompts."""
    monkeypatch.setattr(own, "usual", partial(usual, n=3))
    model, tokenizer = seka.miniature.load()
    mixed = seka.miniature.router().experts
    rows = [row for kind in MATCHING.values() for row in draw(kind, 3, VALIDATION, tokenizer, UNSEEN)]
    prompts = [seka.Prompt(row.case.prompt) for row in rows]
    for name, settings in (("here", {"score": "relative"}), ("energy", {}), ("elsewhere", {"score": "relative"})):
        studio = Studio.of(name, model, tokenizer, mixed, router=settings)
        if name == "elsewhere":
            studio.origin = "someone/model", "projections"
        units = {progress.unit: progress.total for progress in learn(studio, name)}
        assert units == {"triplet": len(TRIPLETS)} | ({"prompt": len(prompts)} if name == "here" else {})
        kept = seka.Projection.load(shelf.file(model, name))
        assert studio.router is not None
        assert name in studio.router.names
        expected = seka.with_baselines(model, tokenizer, {name: kept}, prompts)[name]
        for layer, part in kept.parts.items():
            if name == "here":
                assert part.baseline is not None
                assert torch.equal(part.baseline, expected.part(layer).baseline)  # type: ignore[arg-type]
            else:
                assert part.baseline is None
        own.remove(studio, name)


def test_the_others_stay_as_they_are_and_come_back(studio: Studio) -> None:
    router, note = studio.router, studio.note
    given, gain = dict(studio.experts), studio.gain("adaptive")
    learn(studio)
    assert studio.gain("adaptive") == pytest.approx(gain)
    assert all(studio.experts[name] is given[name] for name in given)
    learn(studio, "other")
    own.remove(studio, "mine")
    assert list(studio.experts) == ["facts", "roles", "other"]
    own.remove(studio, "other")
    assert studio.router is router
    assert (studio.experts, studio.note, studio.own) == (given, note, {})
    assert not list(shelf.root().rglob("*.safetensors"))


def test_it_is_there_again_for_the_same_weights_only(studio: Studio) -> None:
    learn(studio)
    assert studio.model is not None
    again = Studio.of("tiny", studio.model, studio.tokenizer, {})
    assert list(again.own) == ["mine"]
    assert [value for _, value in again.modes()] == ["mine"]
    assert "at least two" in again.note
    half = build_model("qwen3", torch.bfloat16)
    assert list(shelf.recall(half)) == ["mine"]
    assert shelf.recall(build_model("qwen3", torch.float32, seed=5)) == {}


def test_a_digest_is_of_the_weights_in_any_precision() -> None:
    names = {dtype: digest(fingerprint(build_model("qwen3", dtype))) for dtype in (torch.float32, torch.bfloat16)}
    assert len(set(names.values())) == 1
    other = digest(fingerprint(build_model("qwen3", torch.float32, seed=5)))
    assert other not in names.values()


def test_files_that_do_not_belong_on_the_shelf_are_left_out(studio: Studio) -> None:
    learn(studio)
    assert studio.model is not None
    folder = shelf.file(studio.model, "mine").parent
    (folder / "torn.safetensors").write_bytes(b"nothing")
    other = build_model("qwen3", torch.float32, seed=5)
    seka.learn(other, build_tokenizer(), TRIPLETS[:2]).save(folder / "foreign.safetensors")
    assert list(shelf.recall(studio.model)) == ["mine"]


def test_two_of_them_make_a_mixture_where_there_was_none(studio: Studio) -> None:
    assert studio.model is not None
    bare = Studio.of("bare", studio.model, studio.tokenizer, {})
    learn(bare)
    assert bare.router is None
    learn(bare, "other")
    assert [value for _, value in bare.modes()] == ["adaptive", "mine", "other"]
    assert bare.note == ""


def test_a_run_ends_as_it_began_whatever_is_removed_meanwhile(studio: Studio) -> None:
    learn(studio)
    views = actions.compare(studio, TEXT, Settings("mine", 2.0, 3))
    for view in views:
        if "Writing" in view.status:
            own.remove(studio, "mine")
            break
    assert last(views).record is not None


def test_what_was_learnt_before_is_left_out_where_learning_is_off(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn(studio)
    assert studio.model is not None
    monkeypatch.setenv("SEKA_LEARN", "0")
    again = Studio.of(
        "tiny", studio.model, studio.tokenizer, {name: studio.experts[name] for name in ("facts", "roles")}
    )
    assert again.own == {}
    assert again.router is not None
    assert again.router.names == ("facts", "roles")


def test_two_that_are_added_at_once_are_both_there(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*given: Any, **more: Any) -> seka.Router:
        time.sleep(0.1)
        return seka.Router(*given, **more)

    monkeypatch.setattr(models, "Router", slow)
    threads = [threading.Thread(target=studio.adopt, args=(name, studio.experts["facts"])) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(studio.own) == {"one", "two"}


# ---- refusals ----


def test_there_is_a_most_of_them(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "MOST", 1)
    learn(studio)
    with pytest.raises(ValueError, match="1 experts were learnt here already, which is the most; remove one first"):
        learn(studio, "other")


def test_one_that_somebody_else_removed_is_told_so(studio: Studio) -> None:
    learn(studio)
    own.remove(studio, "mine")
    with pytest.raises(ValueError, match="no expert 'mine' any more: somebody else has removed it"):
        own.remove(studio, "mine")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "name '' will not do"),
        ("9lives", "will not do"),
        ("../up", "will not do"),
        ("adaptive", "not 'adaptive'"),
        ("x" * 40, "32 at most"),
        ("Facts", "already an expert 'facts'; choose another name$"),
    ],
)
def test_names(studio: Studio, name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        learn(studio, name)
    assert list(studio.experts) == ["facts", "roles"]


def test_a_name_is_tidied_and_taken_once(studio: Studio) -> None:
    learn(studio, "  My own-Facts ")
    assert list(studio.own) == ["my_own_facts"]
    with pytest.raises(ValueError, match="remove that one first"):
        learn(studio, "my own facts")


def test_files_are_checked_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = asdict(TRIPLETS[0])
    found, told = own.given(write(tmp_path / "a.jsonl", good, asdict(TRIPLETS[1])))
    assert found == TRIPLETS[:2]
    assert "2 triplets of a.jsonl" in told
    with pytest.raises(ValueError, match=r"^file b\.jsonl, line 2: 'answer' is None"):
        own.given(write(tmp_path / "b.jsonl", good, {**good, "answer": None}))
    monkeypatch.setenv("SEKA_TRIPLETS", "1")
    with pytest.raises(ValueError, match="holds 2 triplets; wanted at most 1"):
        own.given(str(tmp_path / "a.jsonl"))
    assert len(own.given(None)[0]) == len(seka.triplets.bundled())


def test_stopping_keeps_nothing_and_lets_others_learn(studio: Studio) -> None:
    stop = threading.Event()
    running = own.learnt(studio, TRIPLETS * 20, "mine", "", stop)
    next(running)
    with pytest.raises(ValueError, match="somebody is learning"):
        learn(studio, "other")
    stop.set()
    assert all(progress.expert is None for progress in running)
    assert studio.own == {}
    for thread in threading.enumerate():
        if thread.name == "seka-learn":
            thread.join(30)
    learn(studio, "other")
    assert list(studio.own) == ["other"]


@pytest.mark.parametrize("when", ["between batches", "after the last one"])
def test_stopping_while_it_is_compared_keeps_nothing(
    studio: Studio, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among the embedded model's experts one more thing is measured once all is learnt."""
    stop = threading.Event()

    def compared(_studio: Studio, expert: seka.Projection, progress: Any) -> seka.Projection:
        stop.set()
        if when == "between batches":
            progress(16, 400)
            raise AssertionError("went on after it was stopped")
        return expert

    monkeypatch.setattr(own, "_compared", compared)
    told = learn(studio, stop=stop)
    assert all(progress.expert is None for progress in told)
    assert studio.own == {}
    assert studio.model is not None
    assert not shelf.file(studio.model, "mine").exists()


def test_what_cannot_be_learnt_comes_back_from_the_thread(studio: Studio) -> None:
    long = seka.Triplet("Ada plays golf. " * 200, "What?", "golf", "Who?")
    with pytest.raises(ValueError, match="does not fit the model's"):
        list(own.learnt(studio, [long], "mine", "", threading.Event()))
    learn(studio)


def test_nothing_is_learnt_where_that_is_turned_off(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEKA_LEARN", "0")
    with pytest.raises(ValueError, match="turned learning off"):
        learn(studio)


def test_only_what_was_learnt_here_is_removed_or_downloaded(studio: Studio) -> None:
    with pytest.raises(ValueError, match="was not learnt on this page"):
        own.remove(studio, "facts")
    assert own.kept(studio, "facts") is None
    assert own.kept(studio, None) is None
    assert own.kept(studio, "../../x") is None
