"""Taking a run along in headless Chromium: link, file, figures, programs, what a reload keeps, and the embedded page."""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hands import TEXT, compare, settled, shot, value, write
from models_on_disk import EVIL

from app import link, runs
from app.asked import Asked

pytest_plugins = ["pages"]
pytestmark = pytest.mark.browser

MARKED = TEXT.replace("golf", "**golf**").replace("club", "~~club~~")
#: What makes the page scroll sideways, outside of what scrolls by itself.
WIDE = """() => {
  const roots = [document.body, document.documentElement];
  const held = (e) => {
    for (let p = e.parentElement; p && !roots.includes(p); p = p.parentElement) {
      if (getComputedStyle(p).overflowX !== 'visible') return true;
    }
    return false;
  };
  if (document.documentElement.scrollWidth <= innerWidth) return [];
  const wide = (e) => e.getBoundingClientRect().right > innerWidth + 1 && !held(e);
  return [...document.querySelectorAll('*')].filter(wide).map((e) => e.outerHTML.slice(0, 90));
}"""


def copied(page: Any, button: str, says: str) -> str:
    page.click(f"#carry-{button}")
    page.wait_for_function("(says) => document.querySelector('#carry-note').textContent.includes(says)", arg=says)
    return str(page.evaluate("navigator.clipboard.readText()"))


def saved(page: Any, button: str) -> tuple[str, bytes]:
    with page.expect_download() as download:
        page.click(f"#carry-{button}")
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def load(page: Any, source: bytes) -> None:
    with page.expect_file_chooser() as chooser:
        page.click("#carry-load")
    chooser.value.set_files({"name": "run.json", "mimeType": "application/json", "buffer": source})


def opened(page: Any, text: str) -> None:
    page.wait_for_function("(text) => document.querySelector('#prompt textarea')?.value === text", arg=text)
    settled(page)


def test_a_run_is_taken_along_and_comes_back(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address, 1440, 900)
    assert page.locator("#carry button").count() == 6
    write(page, MARKED)
    page.get_by_label("Roles").check()
    page.wait_for_function("document.querySelector('#strength input[type=number]').value === '8'")
    page.locator("#strength input[type=number]").fill("3.5")
    page.locator("#strength input[type=number]").press("Tab")
    page.locator("#max-new input[type=number]").fill("6")
    page.locator("#max-new input[type=number]").press("Tab")

    where = copied(page, "link", "Link copied")
    assert where.startswith(f"{address}?s=")
    asked = link.read(where.split("?s=")[1])
    assert asked.prompt == MARKED
    assert (asked.settings.mode, asked.settings.strength, asked.settings.max_new_tokens) == ("roles", 3.5, 6)
    frame = copied(page, "embed", "Embed code copied")
    assert re.fullmatch(rf'<iframe src="{address}\?embed=1&amp;s=[\w-]+" [^<>]*></iframe>', frame)

    answers = compare(page)
    page.get_by_role("tab", name="Code").click()
    page.wait_for_function("document.querySelector('#code-python')?.textContent.includes('seka.Steering')")
    assert "projection" in page.text_content("#code-python").lower()
    assert address in page.text_content("#code-gradio_client")
    assert "/gradio_api/call/compare" in page.text_content("#code-curl")
    shot(page, "code")
    name, source = saved(page, "export")
    assert name == "seka-run.json"
    run = runs.read(source)
    assert run.asked == Asked(asked.prompt, asked.settings)
    assert (run.record["plain"]["text"], run.record["steered"]["text"]) == answers

    page.click("#carry-png")  # the Code tab has no figure
    page.wait_for_function("document.querySelector('#carry-note').textContent.includes('no figure')")
    page.get_by_role("tab", name="Heads").click()
    page.wait_for_selector("#heads .heatmaplayer .hm")
    name, picture = saved(page, "png")
    assert name == "seka-heads.png"
    assert picture.startswith(b"\x89PNG")
    page.wait_for_timeout(2000)  # the other map of the tab is saved, too
    name, document = saved(page, "html")
    assert name == "seka-heads.html"
    assert b"<script" not in document
    drawn = re.findall(rb'src="data:image/svg\+xml,([^"]+)"', document)
    assert drawn
    assert all(b"svg" in each for each in drawn)

    other = visit(where, 1440, 900)
    opened(other, MARKED)
    assert other.get_by_label("Roles").is_checked()
    assert other.locator("#strength input[type=number]").input_value() == "3.5"
    assert "Press Compare" in other.text_content("#status")
    assert not other.text_content("#plain").strip()
    assert compare(other) == answers

    write(other, MARKED + " mine")
    other.reload()
    opened(other, MARKED + " mine")  # not the link's, which was opened before
    assert other.get_by_label("Roles").is_checked()

    load(other, source)
    other.wait_for_function("document.querySelector('#status').textContent.includes('Imported run')")
    opened(other, MARKED)
    assert (other.text_content("#plain .written"), other.text_content("#steered .written")) == answers
    other.wait_for_selector("#heads .heatmaplayer .hm")
    shot(other, "imported")
    load(other, json.dumps({**json.loads(source), "version": 9}).encode())
    other.get_by_text("This file was not imported: it is of version 9").wait_for()
    assert value(other) == MARKED

    other.fill("#prompt textarea", base64.b64encode(random.Random(1).randbytes(9000)).decode())
    other.click("#carry-link")
    other.wait_for_function("document.querySelector('#carry-note').textContent.includes('Too long for a link')")


def test_what_is_written_before_the_page_has_opened_is_kept(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address)
    held: list[Any] = []
    # The page opens through the queue, and does not open now.
    page.route("**/queue/join*", lambda route: held.append(route))
    page.reload()
    page.wait_for_selector("#prompt .backdrop")
    write(page, MARKED + " early")
    assert held
    kept = page.evaluate("localStorage.getItem('seka')")
    waiting = held.copy()
    held.clear()
    page.route("**/queue/join*", lambda route: route.continue_())
    for route in waiting:
        route.continue_()
    page.wait_for_function("(kept) => localStorage.getItem('seka') !== kept", arg=kept)
    page.reload()
    opened(page, MARKED + " early")


def test_a_bad_link_is_said_and_the_page_still_opens(address: str, visit: Callable[..., Any]) -> None:
    asked = {"prompt": "x", "settings": {EVIL: 1}}
    page = visit(f"{address}?s=j{base64.urlsafe_b64encode(json.dumps(asked).encode()).decode().rstrip('=')}")
    page.get_by_text(f"This link could not be read: unknown settings ['{EVIL}']").wait_for()
    assert page.evaluate("window.hacked") is None
    assert len(value(page)) > 1


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_has_the_same_buttons(address: str, visit: Callable[..., Any], theme: str) -> None:
    page = visit(f"{address}?__theme={theme}", 390, 844)
    write(page, MARKED)
    copied(page, "link", "Link copied")
    shot(page, f"carry-phone-{theme}")
    assert page.evaluate(WIDE) == []


def test_an_embedded_page_shows_prompt_and_answers_alone(address: str, visit: Callable[..., Any]) -> None:
    page = visit(f"{address}?embed=1", 800, 640)
    for part in ("#top", "#examples", "#settings", "#details", "#learning", "#carry-link", "footer"):
        assert not page.locator(part).first.is_visible(), part
    assert page.get_by_role("link", name="Open the whole page").get_attribute("href") == address
    write(page, MARKED)
    page.wait_for_timeout(300)
    assert all(compare(page))
    shot(page, "embedded")
    page.goto(address)  # and has left nothing in this browser
    page.wait_for_selector("#prompt .backdrop")
    page.wait_for_function("document.querySelector('#model-line').textContent.includes('is ready')")
    assert value(page) != MARKED
