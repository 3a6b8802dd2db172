"""The page in headless Chromium, served by `python app/main.py`: comparing, looking at it, and what must not happen."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hands import CONTRAST, EMBEDDED, TEXT, compare, refused, select, serving, settled, shot, value, write
from models_on_disk import EVIL, hostile

pytest_plugins = ["pages"]
pytestmark = pytest.mark.browser
needs_embedded = pytest.mark.skipif(
    not EMBEDDED, reason="the embedded model is not in the tree: python -m seka miniature train"
)


# ---- the main job ----


def test_mark_the_third_line_with_the_mouse_and_compare(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address)
    write(page, TEXT)
    select(page, "Ada plays golf")
    page.click("#pen-highlight")
    settled(page)
    assert value(page) == TEXT.replace("Ada plays golf", "**Ada plays golf**")
    assert page.text_content("#preview .emphasise") == "Ada plays golf"
    assert page.text_content("#prompt .backdrop .emphasise") == "Ada plays golf"
    plain, steered = compare(page)
    assert plain.strip()
    assert steered.strip()
    assert plain != steered
    assert page.locator("#answers del").count()
    assert page.locator("#answers ins").count()
    page.wait_for_selector("#heads .heatmaplayer image, #heads .heatmaplayer .hm")
    page.wait_for_function("document.querySelectorAll('#heads .shapelayer path').length === 64")
    assert "64 of 64 in 32 layers" in page.text_content("#details")
    page.get_by_role("tab", name="Router").click()
    page.wait_for_function("document.querySelectorAll('#router .heatmaplayer .hm').length === 2")
    page.get_by_role("tab", name="Tokens").click()
    touched = page.locator("#tokens .token.emphasise")
    assert "".join(touched.all_text_contents()).replace("·", " ").strip() == "Ada plays golf"
    page.wait_for_selector("#confidence .heatmaplayer .hm")
    page.get_by_label("Show differences").uncheck()
    page.wait_for_function("getComputedStyle(document.querySelector('#answers ins')).textDecorationLine === 'none'")
    shot(page, "compared")


@needs_embedded
def test_the_embedded_model_follows_the_mark(embedded: str, visit: Callable[..., Any]) -> None:
    page = visit(embedded)
    assert "press Compare to run it yourself" in page.text_content("#status")
    shown = page.text_content("#plain .written"), page.text_content("#steered .written")
    assert shown[0] != shown[1]
    page.wait_for_selector("#heads .heatmaplayer .hm")
    shot(page, "first-load")
    assert compare(page) == shown
    titles = page.locator("#examples button").all_text_contents()
    assert len(titles) >= 4
    seen = set()
    for title in titles:
        page.get_by_role("button", name=title, exact=True).click()
        page.wait_for_function("document.querySelector('#status').textContent.includes('Precomputed')")
        page.wait_for_function(
            "(seen) => !seen.includes(document.querySelector('#prompt textarea').value)", arg=sorted(seen)
        )
        settled(page)
        seen.add(value(page))
        assert page.text_content("#steered .written").strip()
    assert len(seen) == len(titles)


# ---- running ----


def test_stop_keeps_the_text_and_nothing_moves_while_it_streams(slow: str, visit: Callable[..., Any]) -> None:
    page = visit(slow)
    write(page, TEXT.replace("golf", "**golf**"))
    page.locator("#max-new input[type=number]").fill("256")
    page.locator("#max-new input[type=number]").press("Tab")
    before = page.locator("#details").bounding_box()["y"]
    page.click("#compare")
    page.wait_for_function("/Writing: ([5-9]|\\d\\d)/.test(document.querySelector('#status').textContent)")
    assert page.locator("#details").bounding_box()["y"] == before
    page.evaluate("document.querySelector('#stop').click()")  # at once: a short run may end while a hand is on its way
    page.wait_for_function("document.querySelector('#status').textContent.trim().startsWith('Stopped after')")
    count = int(re.search(r"after (\d+)", page.text_content("#status")).group(1))  # type: ignore[union-attr]
    assert 5 <= count < 256
    assert page.text_content("#plain .written").strip()
    page.wait_for_timeout(1000)
    assert page.text_content("#status").strip().startswith(f"Stopped after {count}")  # and it stays stopped
    page.locator("#max-new input[type=number]").fill("4")
    page.locator("#max-new input[type=number]").press("Tab")
    assert all(compare(page))


def test_an_empty_and_a_too_long_prompt_are_refused_in_words(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address)
    for text, says in (("", "Write a prompt first"), ("word " * 600, "the limit is 512")):
        page.fill("#prompt textarea", text)
        refused(page, says)
        assert "Press Compare" in page.text_content("#status")  # nothing ran


def test_two_visitors_at_once_each_get_their_own_answer(address: str, visit: Callable[..., Any]) -> None:
    first, second = visit(address), visit(address)
    write(first, "One **apple** is")
    write(second, "Two **pears** are")
    alone = compare(first), compare(second)
    first.click("#compare")
    second.click("#compare")
    for page, expected in ((first, alone[0]), (second, alone[1])):
        page.wait_for_timeout(300)
        page.wait_for_function("document.querySelector('#status').textContent.trim().startsWith('Done')")
        assert (page.text_content("#plain .written"), page.text_content("#steered .written")) == expected


def test_strength_follows_the_mode_until_it_is_chosen(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address)
    strength = page.locator("#strength input[type=number]")
    assert strength.input_value() == "6"
    page.get_by_label("Roles").check()
    page.wait_for_function("document.querySelector('#about').textContent.includes('Learnt from roles.')")
    page.wait_for_function("document.querySelector('#strength input[type=number]').value === '8'")
    strength.fill("1.5")
    strength.press("Tab")
    page.get_by_label("Facts").check()
    page.wait_for_function("document.querySelector('#about').textContent.includes('Learnt from facts.')")
    assert strength.input_value() == "1.5"
    page.click("#reset")
    page.wait_for_function("document.querySelector('#strength input[type=number]').value === '4'")


# ---- safety and looks ----


def test_prompt_and_answer_stay_text(browser: Any, visit: Callable[..., Any], tmp_path: Path) -> None:
    with serving(**hostile(tmp_path)) as url:
        page = visit(url)
        write(page, f"**{EVIL}** <script>window.hacked=2</script>")
        plain, steered = compare(page)
        assert EVIL in plain
        assert EVIL in steered
        page.get_by_role("tab", name="Tokens").click()
        page.wait_for_selector("#confidence .heatmaplayer .hm")
        shown = page.evaluate(
            "['#preview', '#answers', '#tokens', '#details'].map((s) => document.querySelectorAll(`${s} :is(img, script)`).length)"
        )
        assert shown == [0, 0, 0, 0]
        assert page.text_content("#preview .emphasise") == EVIL
        assert page.evaluate("window.hacked") is None
        page.close()  # before its server ends


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable(address: str, visit: Callable[..., Any], theme: str) -> None:
    page = visit(f"{address}?__theme={theme}")
    write(page, "Read **this**, not ~~that~~, and **")
    compare(page)
    page.wait_for_selector("#heads .heatmaplayer .hm")
    page.wait_for_timeout(500)
    selectors = [
        "h1", ".hero p", ".hero mark", "#model-line p", "#prompt label > span", "#prompt textarea", "#pens button",
        "#preview .read",
        "#preview mark", "#preview s", "#preview .counts", "#preview .note", "#settings label span", "#about p", "#compare",
        "#stop",
        "#status", ".panel-head h2", ".panel-head span", ".copy", ".lead", ".written", "#answers ins", "#answers del", "#remarks",
        "#details button[role=tab]", ".caption", "#heads text.xtitle", "#heads .xtick text", "#heads .cbaxis text",
    ]  # fmt: skip
    measured = page.evaluate(CONTRAST, selectors)
    assert {selector for selector, _ in measured} == set(selectors)
    assert [(selector, round(ratio, 2)) for selector, ratio in measured if ratio < 4.5] == []
    shot(page, theme)


def test_a_phone_stacks_and_never_scrolls_sideways(address: str, visit: Callable[..., Any]) -> None:
    for width in (390, 360):
        page = visit(address, width, 800)
        # Pressing Compare leads to the answers, and where it is refused to the words that say why.
        write(page, "")
        page.locator("#compare").scroll_into_view_if_needed()
        refused(page, "Write a prompt first.")
        write(page, TEXT.replace("golf", "**golf**"))
        compare(page)
        page.wait_for_selector("#heads .heatmaplayer .hm")
        assert 0 < page.locator("#answers").bounding_box()["y"] < 800
        plain, steered = (page.locator(selector).bounding_box() for selector in ("#plain", "#steered"))
        assert steered["y"] >= plain["y"] + plain["height"]
        assert plain["width"] > 0.8 * width
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shot(page, f"phone-{width}")
    wide = visit(address, 1440, 900)
    plain, steered = (wide.locator(selector).bounding_box() for selector in ("#plain", "#steered"))
    assert plain["y"] == steered["y"]
    shot(wide, "desktop")


def test_everything_that_is_pressed_or_filled_has_a_name(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address)
    page.click("#advanced button")
    nameless = page.evaluate(
        """() => {
          const label = (e) => e.getAttribute('aria-label') || e.getAttribute('aria-labelledby') || e.title || e.textContent.trim()
            || [...(e.labels ?? [])].map((l) => l.textContent.trim()).join('');
          return [...document.querySelectorAll('main :is(button, input, textarea, select)')]
            .filter((e) => e.getClientRects().length && !label(e)).map((e) => e.outerHTML.slice(0, 120));
        }"""
    )
    assert nameless == []
