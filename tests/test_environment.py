"""Variables of the environment: defaults, what cannot be, the README's table, and the models they open."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from models_on_disk import tiny

from app import code, environment, models
from app.actions import Settings
from app.asked import Asked
from app.environment import VARIABLES

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*(each.name for each in VARIABLES), "SPACE_ID", "SPACES_ZERO_GPU"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_an_empty_environment_is_the_table_s_defaults() -> None:
    found, told = environment.read({}), {each.name: each.default for each in VARIABLES}
    assert found.models == (told["SEKA_MODEL"],)
    assert found.experts == ""
    assert found.attn == told["SEKA_ATTN"]
    numbers = {"LIMIT": found.limit, "TRIPLETS": found.triplets, "QUEUE": found.queue, "GPU_SECONDS": found.gpu_seconds}
    assert numbers == {name: int(told[f"SEKA_{name}"]) for name in numbers}
    assert found.cache == Path.home() / ".cache" / "seka"
    assert found.learn_note == ""


@pytest.mark.parametrize("name", ["SEKA_LIMIT", "SEKA_TRIPLETS", "SEKA_QUEUE", "SEKA_GPU_SECONDS"])
def test_numbers_are_whole_and_above_zero(name: str) -> None:
    assert environment.read({name: " 7 "}) != environment.read({})
    for value in ("0", "-3", "1.5", "many"):
        with pytest.raises(ValueError, match=f"{name} is '{value}'; wanted a whole number above 0"):
            environment.read({name: value})


def test_the_first_model_goes_first_and_has_to_be_listed() -> None:
    assert environment.read({"SEKA_MODELS": "a/b, c/d ,"}).models == ("a/b", "c/d")
    assert environment.read({"SEKA_MODELS": "a/b,c/d", "SEKA_MODEL": "c/d"}).models == ("c/d", "a/b")
    assert environment.read({"SEKA_MODEL": "c/d"}).models == ("c/d",)
    with pytest.raises(ValueError, match="SEKA_MODEL is 'x', which SEKA_MODELS does not name: a/b"):
        environment.read({"SEKA_MODELS": "a/b", "SEKA_MODEL": "x"})
    with pytest.raises(ValueError, match="twice"):
        environment.read({"SEKA_MODELS": "a,b,a"})


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({}, ""),
        ({"SEKA_LEARN": "0"}, "turned learning off"),
        ({"SPACE_ID": "a/b"}, "turned learning off"),
        ({"SPACE_ID": "a/b", "SEKA_LEARN": "1"}, ""),
        ({"SPACE_ID": "a/b", "SEKA_LEARN": "1", "SPACES_ZERO_GPU": "1"}, "ZeroGPU"),
    ],
)
def test_learning_is_on_at_home_and_off_on_a_space(given: dict[str, str], note: str) -> None:
    found = environment.read(given).learn_note
    assert note in found
    assert bool(found) is bool(note)


def test_a_misspelt_variable_is_told(caplog: pytest.LogCaptureFixture) -> None:
    environment.read({"SEKA_LIMITS": "5"})  # this is done with every letter that is typed
    environment.warn({"SEKA_LIMITS": "5", "SEKA_OTHER_THING": "1"})
    assert [record.getMessage() for record in caplog.records] == ["SEKA_LIMITS means nothing; did you mean SEKA_LIMIT?"]


def test_the_readme_s_table_is_ours() -> None:
    """To renew it: python -m app.environment."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.split("<!-- environment -->\n")[1].split("\n<!-- end of environment -->")[0] == environment.table()


def test_no_other_file_reads_a_variable_of_ours() -> None:
    for path in (ROOT / "app").glob("*.py"):
        if path.name != "environment.py":
            assert not re.search(r"environ[^\n]*SEKA_", path.read_text(encoding="utf-8")), path.name


# ---- the models that it opens ----


def test_a_folder_s_model_with_its_experts(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in tiny(tmp_path).items():
        clean.setenv(name, value)
    (studio,) = models.studios()
    assert studio.name == "model"
    assert list(studio.experts) == ["facts", "roles"]
    assert studio.origin == (str(tmp_path / "model"), str(tmp_path / "experts"))


def test_the_embedded_model_takes_the_experts_that_are_named(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tiny(tmp_path)["SEKA_EXPERTS"]
    (own,) = models.studios()
    clean.setenv("SEKA_EXPERTS", folder)
    (studio,) = models.studios()
    assert studio.name == own.name == "seka-miniature"
    assert list(studio.experts) == ["facts", "roles"] != list(own.experts)
    assert studio.origin == ("miniature", folder)
    (tmp_path / "all").mkdir()
    Path(folder).rename(tmp_path / "all" / "miniature")
    clean.setenv("SEKA_MODELS", "miniature,org/other")
    clean.setenv("SEKA_EXPERTS", str(tmp_path / "all"))
    assert list(models.studios()[0].experts) == ["facts", "roles"]


def test_several_models_each_with_its_folder_and_later_ones_load_when_asked(
    clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = tiny(tmp_path)
    (tmp_path / "all").mkdir()
    (tmp_path / "experts").rename(tmp_path / "all" / "model")
    clean.setenv("SEKA_MODELS", f"miniature,{made['SEKA_MODEL']}")
    clean.setenv("SEKA_EXPERTS", str(tmp_path / "all"))
    clean.setenv("SEKA_CACHE", str(tmp_path / "cache"))
    first, other = models.studios()
    assert (first.name, other.name) == ("seka-miniature", "model")
    assert list(other.experts) == ["facts", "roles"]
    assert other.model is None
    assert other.wait(60)
    assert other.ready, other.problem
    assert other.model is not None
    assert not first.wait(0)  # nobody has started that one


def test_a_model_without_experts_opens_where_one_can_be_learnt(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean.setenv("SEKA_MODEL", "org/model")
    clean.setenv("SEKA_EXPERTS", str(tmp_path))
    (studio,) = models.studios()
    assert studio.modes() == []
    assert "no expert yet" in studio.note
    assert studio.describe("adaptive") == studio.note
    with pytest.raises(ValueError, match="no expert yet"):
        studio.source("adaptive")
    clean.setenv("SEKA_LEARN", "0")
    with pytest.raises(ValueError, match=r"no experts for org/model.*python -m seka learn"):
        models.studios()


def test_experts_may_come_from_the_hub(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean.chdir(tmp_path)
    clean.setenv("SEKA_MODEL", "org/model")
    clean.setenv("SEKA_EXPERTS", "ada/keys")
    with pytest.raises(ValueError, match="ada/keys is not in this machine's cache"):
        models.studios()
    fetched = Path(tiny(tmp_path)["SEKA_EXPERTS"])
    clean.setattr("seka.hub.fetch_all", lambda repo: fetched if repo == "ada/keys" else None)
    (studio,) = models.studios()
    assert list(studio.experts) == ["facts", "roles"]
    assert studio.origin == ("org/model", "ada/keys")
    (fetched / "sub").mkdir()
    (fetched / "facts.safetensors").rename(fetched / "sub" / "facts.safetensors")
    (fetched / "experts.json").write_text('{"facts": "sub/facts.safetensors", "roles": "roles.safetensors"}')
    (studio,) = models.studios()
    program = code.python(Asked("x", Settings("facts", 1.0)), studio)
    assert "from_pretrained('ada/keys', filename='sub/facts.safetensors')" in program
