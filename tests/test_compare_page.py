"""Comparing in a browser, from streaming to the sweep, with a count of what the model really does behind the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from conftest import TRIPLETS, build_model, build_tokenizer
from hands import CONTRAST, TEXT, advanced, compare, refused, shot, tab, write
from models_on_disk import EVIL

import seka
from app import look, page
from app.models import Studio

pytest_plugins = ["pages"]
pytestmark = pytest.mark.browser
STATUS = "document.querySelector('#status').textContent.trim()"
SWEPT = "document.querySelector('#sweep-status').textContent.trim()"
#: What moves without having been asked to, as the browser itself reckons it.
SHIFTS = """() => {
  window.shifts = [];
  // Within an answer its own text may be set anew while it streams: the letters of a random model are of any height.
  const boxes = [...document.querySelectorAll('#plain, #steered')];
  const holds = (b, at) => b.left <= at.left && at.left <= b.right && b.top <= at.top && at.top <= b.bottom;
  const at = (box, node, rect) => node ? node !== box && box.contains(node) : holds(box.getBoundingClientRect(), rect);
  const own = ({ node, previousRect }) => boxes.some((box) => at(box, node, previousRect));
  const moved = (shift) => shift.sources.filter((s) => !own(s)).map(({ node }) => node?.id || node?.className || node?.nodeName);
  const note = (list) => shifts.push(...list.getEntries().flatMap(moved));
  new PerformanceObserver(note).observe({ type: 'layout-shift' });
}"""
READ = [
    "#pin", "#pins h3", "#pin-said", "#pins .unpin", ".card .asked", ".card .how", ".card h4", ".card .written", "#pins ins",
    "#sweep", "#sweep-stop", "#sweep-status", "#sweep-caption .how", "#sweep-table thead th", "#sweep-table tbody th",
    "#sweep-table small", "#sweep-table td", "#sweep-table ins", "#sweep-figure .legendtext", "#sweep-figure .xtick text",
]  # fmt: skip


@pytest.fixture(scope="module")
def served(browser: Any) -> Iterator[tuple[str, list[int]]]:
    """The page in this process on a deep random model, and the rows of each call of the model so far."""
    model, tokenizer = build_model("qwen3", torch.float32, layers=128), build_tokenizer()
    experts = {
        name: seka.learn(model, tokenizer, TRIPLETS[i : i + 4], name=name).with_header(recommended_gain=4.0 * (i + 1))
        for i, name in enumerate(("facts", "roles"))
    }
    calls: list[int] = []
    model.register_forward_hook(lambda _m, _a, out: calls.append(int(out.logits.shape[0])))
    demo = page.build(Studio.of("tiny", model, tokenizer, experts))
    demo.queue()
    _, url, _ = demo.launch(
        prevent_thread_lock=True,
        quiet=True,
        theme=look.theme(),
        css_paths=look.CSS,
        head=look.head(),
        run_history=False,
    )
    yield url, calls
    demo.close()


def length(page: Any, tokens: int) -> None:
    page.locator("#max-new input[type=number]").fill(str(tokens))
    page.locator("#max-new input[type=number]").press("Tab")


def strength(page: Any, value: float) -> None:
    page.locator("#strength input[type=number]").fill(str(value))
    page.locator("#strength input[type=number]").press("Tab")


def swept(page: Any) -> None:
    tab(page, "Strengths")
    page.click("#sweep")
    page.wait_for_function(f"/^(Done|Stopped)/.test({SWEPT})")
    page.wait_for_selector("#sweep-figure .scatterlayer .trace")


def readable(page: Any) -> None:
    measured = page.evaluate(CONTRAST, READ)
    assert {selector for selector, _ in measured} == set(READ)
    assert [(selector, round(ratio, 2)) for selector, ratio in measured if ratio < 4.5] == []


def test_from_comparing_to_pins_and_the_sweep(served: tuple[str, list[int]], visit: Callable[..., Any]) -> None:
    url, calls = served
    page = visit(url, 1440, 900)
    write(page, TEXT.replace("golf", "**golf**"))
    page.wait_for_selector("#heads .heatmaplayer .hm")  # the page has come to rest

    # Both columns stream; nothing below them moves; a run that goes on cannot be pinned; Stop ends the model's work.
    length(page, 256)
    below = page.locator("#details").bounding_box()["y"]
    page.evaluate(SHIFTS)
    page.click("#compare")
    page.wait_for_function(f"/Writing: ([3-9]|\\d\\d)/.test({STATUS})")
    assert page.text_content("#plain .written").strip()
    assert page.text_content("#steered .written").strip()
    assert page.locator("#details").bounding_box()["y"] == below
    page.click("#pin")
    page.wait_for_function("document.querySelector('#pin-said').textContent.startsWith('There is nothing to pin yet')")
    page.evaluate("document.querySelector('#stop').click()")  # at once: a short run may end while a hand is on its way
    page.wait_for_function(f"{STATUS}.startsWith('Stopped after')")
    steps = len(calls)
    page.wait_for_timeout(700)
    assert len(calls) == steps < 256
    assert page.text_content("#plain .written").strip()
    assert page.evaluate("shifts") == []
    page.evaluate("document.querySelector('#work').before('moved')")
    page.wait_for_function("shifts.length > 0")  # the browser does tell
    page.evaluate("document.querySelector('#work').previousSibling.remove()")

    # What is wrong with a folded field is said where it is seen.
    length(page, 6)
    advanced(page)
    page.fill("#layers :is(input, textarea)", "seven")
    # The line under the mode tells that the field has been read.
    page.wait_for_function("document.querySelector('#where').textContent.includes('not understood')")
    page.click("#advanced button")
    before = page.text_content("#steered .written")
    refused(page, "not understood")
    assert page.text_content("#steered .written") == before
    advanced(page)
    page.fill("#layers :is(input, textarea)", "all")
    page.click("#advanced button")

    # Two runs pinned, one of them twice; the newest first, each as it was; unpinned with the keyboard.
    first = compare(page)
    page.wait_for_selector("#card article", state="attached")
    page.click("#pin")
    page.click("#pin")
    page.wait_for_function("document.querySelector('#pin-said').textContent.includes('pinned already')")
    strength(page, 0)
    second = compare(page)
    assert second[0] == second[1] == first[0] != first[1]
    assert "identical. Strength is 0" in page.text_content("#remarks")
    page.click("#pin")
    page.wait_for_function("document.querySelectorAll('#pins li').length === 2")
    cards = page.locator("#pins li")
    assert [cards.nth(1).locator(".written").nth(i).text_content() for i in (0, 1)] == [row.lstrip() for row in first]
    assert cards.nth(1).locator("mark.emphasise").text_content() == "golf"
    assert "strength 0 " in cards.nth(0).locator(".how").text_content()
    cards.nth(0).locator(".unpin").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('#pins li').length === 1")
    assert page.evaluate("document.activeElement.className") == "unpin"

    # The sweep: a batch of a row for each strength; its first row is the plain answer; the switch hides differences here, too.
    before = len(calls)
    swept(page)
    assert set(calls[before:]) == {5}
    rows = page.locator("#sweep-table tbody tr")
    assert rows.count() == 5
    assert rows.nth(0).locator(".written").text_content() == first[0]
    assert rows.nth(2).locator(".written").text_content() == first[1]
    assert page.locator("#sweep-figure .scatterlayer .trace").count() == 6
    assert page.locator("#sweep-table ins").count()
    readable(page)
    shot(page, "compare-1440-light")
    page.get_by_label("Show differences").uncheck()
    for place in ("#sweep-table", "#pins"):
        page.wait_for_function(f"getComputedStyle(document.querySelector('{place} ins')).textDecorationLine === 'none'")

    # A sweep stops as well; who leaves takes the model's work along.
    length(page, 256)
    page.click("#sweep")
    page.wait_for_function(f"/Writing: ([3-9]|\\d\\d)/.test({SWEPT})")
    page.click("#sweep-stop")
    page.wait_for_function(f"{SWEPT}.startsWith('Stopped after')")
    page.click("#compare")
    page.wait_for_function(f"/Writing: ([3-9]|\\d\\d)/.test({STATUS})")
    before = len(calls)
    page.context.close()
    for _ in range(100):
        seen = len(calls)
        time.sleep(2)
        if len(calls) == seen:
            break
    assert len(calls) - before < 150


def test_pins_outlive_a_reload_and_stay_in_the_browser(
    served: tuple[str, list[int]], visit: Callable[..., Any]
) -> None:
    page = visit(served[0])
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.post_data or ""))
    pinned = page.locator("#pins li")

    def reload() -> None:
        page.reload()
        page.wait_for_function("document.querySelector('#model-line')?.textContent.includes('is ready')")
        page.wait_for_function("document.querySelector('#prompt textarea')?.value.includes('**golf**')")

    write(page, TEXT.replace("golf", "**golf**{2}"))
    length(page, 4)
    answers = compare(page)
    page.wait_for_selector("#card article", state="attached")
    page.click("#pin")
    before = pinned.inner_html()
    plainly = "(card) => { card = card.cloneNode(true); card.removeAttribute('data-asked'); return card.outerHTML; }"
    assert page.locator("#card article").evaluate(plainly) in before
    reload()
    assert pinned.inner_html() == before
    assert pinned.locator("mark.emphasise[data-weight='2']").text_content() == "golf"
    assert [pinned.locator(".written").nth(i).text_content() for i in (0, 1)] == [row.lstrip() for row in answers]
    kept = page.evaluate("localStorage.getItem('seka-pins')")
    assert not any("seka-pins" in text or kept in text for text in sent)

    # What is kept is text, however it came there; the oldest give way; another page of this browser follows.
    page.evaluate(
        """([evil, kept]) => localStorage.setItem('seka-pins', JSON.stringify(
             [['img', {onerror: 'window.hacked=1'}, evil], ['p', {class: 'how'}, evil], 'x',
              ...Array(30).fill(JSON.parse(kept)[0])]))""",
        [EVIL, kept],
    )
    reload()
    assert pinned.count() == 20
    assert page.locator("#pins :is(img, script, [onerror])").count() == 0
    assert pinned.nth(0).text_content() == f"{EVIL}Unpin"
    write(page, TEXT.replace("golf", "**golf**!"))
    compare(page)
    page.wait_for_function("document.querySelector('#card').textContent.includes('golf!')")
    page.click("#pin")
    page.wait_for_function("document.querySelector('#pin-said').textContent.includes('The oldest gave way')")
    assert pinned.count() == 20
    other = page.context.new_page()
    other.goto(served[0])
    other.wait_for_function("document.querySelectorAll('#pins li').length === 20")
    page.click("#unpin-all")
    other.wait_for_function("document.querySelectorAll('#pins li').length === 0")
    assert page.evaluate("document.activeElement.id") == "pin"
    assert page.locator("#unpin-all").is_hidden()
    page.evaluate("localStorage.setItem('seka-pins', '{')")
    page.reload()
    page.wait_for_selector("#prompt .backdrop")
    assert pinned.count() == 0


def test_on_a_phone_at_night(served: tuple[str, list[int]], visit: Callable[..., Any]) -> None:
    page = visit(f"{served[0]}?__theme=dark", 390, 800)
    write(page, TEXT.replace("golf", "**golf**"))
    length(page, 24)
    compare(page)
    page.wait_for_selector("#card article", state="attached")
    page.click("#pin")
    page.wait_for_selector("#pins li")
    write(page, "")
    tab(page, "Strengths")
    refused(page, "Write a prompt first.", "#sweep")
    refused(page, "Write a prompt first.", "#sweep")  # the same words come again
    write(page, TEXT.replace("golf", "**golf**"))
    swept(page)
    page.wait_for_timeout(500)
    readable(page)
    shot(page, "compare-390-dark")
    for width in (390, 360):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    left, right = (page.locator("#pins .both > div").nth(i).bounding_box() for i in (0, 1))
    assert right["y"] >= left["y"] + left["height"]
