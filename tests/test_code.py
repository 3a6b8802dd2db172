"""The programs of the Code tab: run, they give just the run they were written for; what was typed stays text in them."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TRIPLETS, build_model, build_tokenizer
from hands import EMBEDDED, ROOT

import seka
from app import actions, code, runs
from app.actions import Settings
from app.asked import Asked
from app.models import Studio, studio

pytest_plugins = ["tiny_page"]
NASTY = "Ada's \"**golf**\" $(echo no) `no` \\** 😀\n'; echo no; #~~not~~ Ada plays"
ASKED = [
    Asked(NASTY, Settings("facts", 3.0, 5)),
    Asked(NASTY, Settings("adaptive", 2.0, 4, "last2", 0.0, 3, 0.7)),
    Asked(NASTY, Settings("roles", 2.0, 4, literal=False, heads="0:1;3:0,1")),
    Asked("5 ** 3 ** 2 is", Settings("facts", 1.0, 3, literal=True)),
]


def run(command: list[str], text: str) -> str:
    done = subprocess.run(command, input=text, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def printed(result: dict[str, Any]) -> str:
    return f"{result['plain']['text']}\n{result['steered']['text']}\n"


def test_the_python_program_repeats_the_run(here: Studio, environment: dict[str, str]) -> None:
    wanted = [printed(actions.answer(here, asked.prompt, asked.settings)) for asked in ASKED]
    programs = [code.python(asked, here) for asked in ASKED]
    model, experts = Path(environment["SEKA_MODEL"]), Path(environment["SEKA_EXPERTS"])
    assert not any(str(model.parent) in program for program in programs)  # the server's folders are not told
    programs = [p.replace(f"…/{model.name}", str(model)).replace("…/", f"{experts}/") for p in programs]
    # One interpreter for all: what takes long is importing. Each program is whole in itself.
    both = run([sys.executable, "-c", "import sys; [exec(p, {}) for p in eval(sys.stdin.read())]"], repr(programs))
    assert both == "".join(wanted)


def test_programs_that_ask_the_page_repeat_the_run(here: Studio, server: str) -> None:
    for asked in ASKED[:2]:
        wanted = actions.answer(here, asked.prompt, asked.settings)
        client, shell = code.programs(asked, here, server)[1:]
        assert run([sys.executable, "-c", client], "").endswith(printed(wanted))
        if shutil.which("curl"):
            lines = run(["sh"], shell).splitlines()
            assert "event: complete" in lines
            (answer,) = json.loads(lines[lines.index("event: complete") + 1].removeprefix("data: "))
            assert printed(answer) == printed(wanted)


@pytest.mark.skipif(not EMBEDDED, reason="the embedded model is not in the tree: python -m seka miniature train")
def test_the_embedded_model_s_program_repeats_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEKA_MODEL", raising=False)
    monkeypatch.delenv("SEKA_EXPERTS", raising=False)
    opened = studio()
    opened.open(None)
    asked = Asked("Previously **Ada plays chess**. Ada is a player of", Settings(max_new_tokens=6))
    assert run([sys.executable, "-"], code.python(asked, opened)) == printed(
        actions.answer(opened, asked.prompt, asked.settings)
    )


@pytest.mark.skipif(not EMBEDDED, reason="the embedded model is not in the tree: python -m seka miniature train")
def test_every_mode_s_files_are_in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEKA_MODEL", raising=False)
    monkeypatch.delenv("SEKA_EXPERTS", raising=False)
    opened = studio()
    for _, mode in opened.modes():
        files = re.findall(r"Projection.load\('(.*)'\)", code.python(Asked("x", Settings(mode)), opened))
        assert len(files) == (len(opened.router.experts) if opened.router and mode == "adaptive" else 1)
        assert all((ROOT / file).is_file() and not Path(file).is_absolute() for file in files)


def test_a_stopped_run_is_repeated_as_far_as_it_came(here: Studio) -> None:
    asked = Asked("Ada plays **golf**. Ada plays", Settings("facts", 2.0, 200))
    steps = iter(range(100))
    *_, pair = actions.run(here, asked.prompt, asked.settings, stop=lambda: next(steps) >= 6)
    record = actions.record(here, pair, asked.settings, asked.prompt)
    repeated = runs.again(runs.document(record))
    assert repeated == Asked(asked.prompt, Settings("facts", 2.0, 6))
    again = actions.answer(here, repeated.prompt, repeated.settings)
    assert printed(again) == printed(record)


def test_a_mode_that_is_not_here_has_no_program(here: Studio) -> None:
    with pytest.raises(ValueError, match="no expert 'nobody'"):
        code.programs(Asked("x", Settings("nobody")), here, "http://here/")


def test_on_a_space_programs_ask_its_own_address(here: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_HOST", "ada-seka.hf.space")
    client, shell = code.programs(ASKED[0], here, "http://10.0.0.1:7860/")[1:]
    assert "Client('https://ada-seka.hf.space/')" in client
    assert "https://ada-seka.hf.space/gradio_api/call/compare" in shell
    assert "10.0.0.1" not in client + shell


def test_the_program_gives_a_learnt_expert_the_scales_of_the_mixture() -> None:
    """Its file has 1 in every head."""
    model, tokenizer = build_model("qwen3"), build_tokenizer()
    given = {
        name: seka.learn(model, tokenizer, TRIPLETS[i : i + 4], name=name).scaled({1: [0.5, 0.63], 2: [1 / 3, third]})
        for i, (name, third) in enumerate((("facts", 1.0), ("roles", 0.1)))
    }
    studio = Studio.of("tiny", model, tokenizer, given)
    studio.adopt("mine", seka.learn(model, tokenizer, TRIPLETS, name="mine"))
    assert isinstance(studio.router, seka.Router)
    program = code.python(Asked("x", Settings("adaptive", 1.0)), studio)
    (scales,) = re.findall(r"\.scaled\((.*?)\),\n", program)
    repeated = studio.experts["mine"].scaled(ast.literal_eval(scales))
    for layer, wanted in studio.router.experts["mine"].scale.items():
        assert torch.equal(repeated.scale[layer], wanted)
    assert ".scaled(" not in code.python(Asked("x", Settings("mine", 1.0)), studio)


def test_experts_are_named_by_where_they_are(here: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    near = Studio("near", here.experts)
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    near.origin = "near/model", "mine"
    program = code.python(Asked("x", Settings("adaptive", 1.0)), near)
    for name in ("facts", "roles"):
        assert f"Projection.load('mine/{name}.safetensors')" in program
    mine = Studio.of("mine", here.model, here.tokenizer, here.experts)  # type: ignore[arg-type]
    mine.adopt("mine", here.experts["facts"])
    for mode in ("mine", "adaptive"):
        program = code.python(Asked("x", Settings(mode)), mine)
        assert "seka.Projection.load('mine.safetensors')" in program
        assert "# mine.safetensors was learnt on the page: download it there" in program
    away = Studio("away", here.experts)
    away.origin = "model", "ada/experts"
    assert "from_pretrained('ada/experts', filename='facts.safetensors')" in code.python(
        Asked("x", Settings("facts")), away
    )
