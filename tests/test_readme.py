"""The README is true: its front matter, its commands, its library code and its table of names."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from families import readme
from hands import EMBEDDED

import seka

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FRONT = dict(re.findall(r"^(\w+): (.+)$", README.split("---")[1], re.MULTILINE))


def test_front_matter_starts_what_is_there() -> None:
    assert FRONT["sdk"] == "gradio"
    assert FRONT["python_version"] == '"3.12"'
    assert (ROOT / FRONT["app_file"]).is_file()
    assert len(FRONT["short_description"]) <= 60
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert f"gradio=={FRONT['sdk_version']}" in requirements
    assert "torch>=2.8,<=2.13.0" in requirements
    assert not any(line.startswith(("-", ".", "flash")) for line in requirements)


def test_the_two_commands_are_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in ("app", "test"):
        assert f"```sh\nmake {target}\n```" in README
        assert f"\n{target}: " in makefile


def test_library_code_runs(tmp_path: Path) -> None:
    code = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code) == 1
    assert len(code[0].strip().splitlines()) <= 27
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code[0]], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    plain, steered = done.stdout.splitlines()[0].split(" | ")
    assert plain.startswith(" golf")
    assert steered.startswith(" chess")
    assert (tmp_path / "mine.safetensors").is_file()
    assert (tmp_path / "heads.html").is_file()


@pytest.mark.skipif(not EMBEDDED, reason="the embedded model is not in the tree: python -m seka miniature train")
def test_what_the_shell_learns_and_steers_makes_the_mark_win(tmp_path: Path) -> None:
    lines = re.findall(r"^\.venv/bin/python (-m seka .*)$", README, re.MULTILINE)
    assert [line.split()[2] for line in lines] == ["generate", "learn", "generate"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for line in lines:
        command = [sys.executable, *shlex.split(line.replace("--model MODEL", "--model miniature"))]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if "generate" in line:
            assert re.match(r"plain: +golf.*\nsteered: +chess", done.stdout), done.stdout


def test_the_list_of_families_is_what_the_table_of_the_tests_says() -> None:
    """To renew it: python -c "import families; print(families.readme())" in tests/."""
    listed = README.split("<!-- families -->\n")[1].split("\n<!-- end of families -->")[0]
    assert listed == readme()


def test_names_on_our_side_of_the_table_exist() -> None:
    assert "energy" in inspect.signature(seka.learn).parameters
    assert {"positive", "negative", "layers", "min_shift"} <= set(inspect.signature(seka.Steering).parameters)
    assert {"top", "score"} <= set(inspect.signature(seka.Router).parameters)


def test_every_file_is_described() -> None:
    files = {path.name for room in ("seka", "app") for path in (ROOT / room).glob("*.py")} - {
        "__init__.py",
        "__main__.py",
        "version.py",
    }
    missing = {name for name in files if f"`{name}`" not in README and f"`seka/{name}`" not in README}
    assert not missing


def test_importing_seka_loads_no_page_and_no_plots() -> None:
    code = "import sys, seka; print([m for m in ('gradio', 'plotly', 'datasets', 'ray') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
