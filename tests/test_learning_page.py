"""A visitor's own expert in headless Chromium: learnt, used, taken along, removed; and a second model that has none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TRIPLETS, build_model, build_tokenizer
from hands import CONTRAST, TEXT, compare, refused, serving, shot, write
from models_on_disk import tiny

import seka

pytest_plugins = ["pages"]
pytestmark = pytest.mark.browser
SAYS = "(words) => document.querySelector('#learning-status').textContent.includes(words)"

#: Where the page can be scrolled sideways: from the body down, the elements without which it could not.
WIDER = """(width) => {
  const wide = () => document.documentElement.scrollWidth > width;
  const path = [];
  for (let e = document.body; e && wide(); ) {
    const cause = [...e.children].find((child) => {
      const before = child.style.display;
      child.style.setProperty('display', 'none', 'important');
      const cured = !wide();
      child.style.display = before;
      return cured;
    });
    if (cause) path.push(`${cause.tagName}#${cause.id}.${cause.className}`);
    e = cause;
  }
  return wide() ? path.slice(-4).concat('wide') : [];
}"""


@pytest.fixture(scope="module")
def two(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page of two models; the second, `bare`, has no experts."""
    folder = tmp_path_factory.mktemp("two")
    made = tiny(folder)
    (folder / "all").mkdir()
    (folder / "experts").rename(folder / "all" / "model")
    build_model("qwen3", torch.float32, seed=5).save_pretrained(folder / "bare")
    build_tokenizer().save_pretrained(folder / "bare")
    env = {
        "SEKA_MODELS": f"{made['SEKA_MODEL']},{folder / 'bare'}",
        "SEKA_EXPERTS": str(folder / "all"),
        "SEKA_CACHE": str(folder / "cache"),
    }
    with serving(**env) as url:
        yield url


def upload(page: Any, path: Path, *lines: Any) -> None:
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    clear = page.locator(
        "#learning-file button[aria-label='Clear'], #learning-file button[aria-label='Remove this file']"
    )
    if clear.count():
        clear.first.click()
    page.set_input_files("#learning-file input[type=file]", path)
    page.wait_for_function(
        "(name) => document.querySelector('#learning-file').textContent.includes(name)", arg=path.stem
    )


def modes(page: Any) -> list[str]:
    return list(page.evaluate("[...document.querySelectorAll('#mode input')].map((each) => each.value)"))


def test_learn_use_take_along_and_remove(two: str, visit: Callable[..., Any], tmp_path: Path) -> None:
    page = visit(two, 1440, 900)
    write(page, TEXT.replace("golf", "**golf**"))
    page.click("#learning > button")
    good = [asdict(triplet) for triplet in TRIPLETS]
    upload(page, tmp_path / "wrong.jsonl", good[0], {**good[1], "answer": "<img src=x onerror=window.hacked=1>"})
    page.click("#learning-learn")
    page.wait_for_function(SAYS, arg="wrong.jsonl, line 2")
    assert page.locator("#learning-status img").count() == 0
    upload(page, tmp_path / "club.jsonl", *good)
    page.fill("#learning-name textarea, #learning-name input", "Club")
    page.click("#learning-learn")
    page.wait_for_function(SAYS, arg="was learnt from 6 triplets")
    page.wait_for_function("document.querySelector('#mode input:checked')?.value === 'club'")
    assert "6 triplets of club.jsonl" in page.text_content("#about")
    plain, steered = compare(page)
    assert plain.strip()
    assert steered.strip()
    page.locator("#learning-mine").scroll_into_view_if_needed()
    shot(page, "learning-wide")
    with page.expect_download() as waiting:
        page.click("#learning-download")
    waiting.value.save_as(tmp_path / "again.safetensors")
    assert seka.Projection.load(tmp_path / "again.safetensors").name == "club"

    # A page that is opened later, too, tells of what is mixed now.
    other = visit(two, 1440, 900)
    other.wait_for_function("document.querySelector('#about').textContent.includes('Mixes 3 experts')")
    other.context.close()

    page.reload()
    page.wait_for_function("[...document.querySelectorAll('#mode input')].some((each) => each.value === 'club')")
    page.click("#learning > button")
    page.wait_for_function("document.querySelector('#learning-list input')?.value === 'club'")
    page.click("#learning-remove")
    page.wait_for_function(SAYS, arg="club was removed")
    page.wait_for_function("![...document.querySelectorAll('#mode input')].some((each) => each.value === 'club')")
    assert modes(page) == ["adaptive", "facts", "roles"]
    page.wait_for_function("document.querySelector('#mode input:checked') !== null")
    assert page.evaluate("window.hacked") is None


def test_a_model_without_experts_learns_one_by_one_click(two: str, visit: Callable[..., Any]) -> None:
    home = visit(two, 1440, 900)
    home.locator("nav a, .nav-holder a").get_by_text("bare").wait_for()
    page = visit(f"{two}bare?__theme=dark", 390, 800)
    page.wait_for_function("document.querySelector('#model-line').textContent.includes('bare is ready')")
    write(page, "Ada plays **golf**. Ada plays")
    refused(page, "no expert yet")
    assert page.locator("#learning-learn").is_visible()
    page.click("#learning-learn")
    page.wait_for_function(SAYS, arg="mine was learnt from")
    page.wait_for_function("document.querySelector('#mode input:checked')?.value === 'mine'")
    page.wait_for_function("!document.querySelector('#settings').textContent.includes('no expert')")
    assert all(compare(page))
    page.wait_for_selector("#heads .heatmaplayer .hm")
    page.wait_for_timeout(500)
    shot(page, "learning-phone-dark")
    assert page.evaluate(WIDER, 390) == []
    measured = page.evaluate(
        CONTRAST, ["#learning .caption", "#learning-status", "#learning label span", "#learning button"]
    )
    assert [(selector, round(ratio, 2)) for selector, ratio in measured if ratio < 4.5] == []
