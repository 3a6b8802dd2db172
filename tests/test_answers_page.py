"""Both answers in headless Chromium: where they are scrolled to, what they belong to, what a reload brings back, how they stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hands import TEXT, advanced, compare, refused, shot, tab, write

pytest_plugins = ["pages"]
pytestmark = pytest.mark.browser

MARKED = TEXT.replace("golf", "**golf**")
STATUS = "document.querySelector('#status').textContent.trim()"
#: Pixels that the first answer's panel hides below what it shows.
BELOW = (
    "(() => { const p = document.querySelector('#plain'); return p.scrollHeight - p.clientHeight - p.scrollTop; })()"
)
STOPS = ("#stop", "#stop-measuring", "#learning-stop")


def number(page: Any, field: str, value: object) -> None:
    page.fill(f"{field} input[type=number]", str(value))
    page.press(f"{field} input[type=number]", "Tab")


def says(page: Any, place: str, words: str) -> None:
    page.wait_for_function(
        "([place, words]) => document.querySelector(place)?.textContent.includes(words)", arg=[place, words]
    )


def off(page: Any, button: str, state: bool) -> None:
    page.wait_for_function(
        "([button, off]) => document.querySelector(button).getAttribute('aria-disabled') === off",
        arg=[button, str(state).lower()],
    )


def test_a_growing_answer_stays_at_its_end_unless_its_reader_goes_up(slow: str, visit: Callable[..., Any]) -> None:
    page = visit(slow, 800, 800)
    page.click("#learning button")
    for button in STOPS:
        off(page, button, True)
    write(page, MARKED)
    number(page, "#max-new", 256)
    page.evaluate("scrollTo(0, 60)")
    page.evaluate("document.querySelector('#compare').click()")  # no hand scrolls to it
    page.evaluate("document.querySelector('#plain').style.height = '60px'")
    page.wait_for_function("document.querySelector('#plain').scrollHeight > 120")
    off(page, "#stop", False)
    page.wait_for_function(f"{BELOW} < 4")
    page.evaluate("document.querySelector('#plain').scrollTop = 5")
    page.wait_for_timeout(100)
    height = page.evaluate("document.querySelector('#plain').scrollHeight")
    page.wait_for_function("(height) => document.querySelector('#plain').scrollHeight > height", arg=height)
    page.wait_for_timeout(200)
    assert page.evaluate("document.querySelector('#plain').scrollTop") == 5
    page.evaluate("document.querySelector('#plain').scrollTop = 9999")
    height = page.evaluate("document.querySelector('#plain').scrollHeight")
    page.wait_for_function("(height) => document.querySelector('#plain').scrollHeight > height", arg=height)
    page.wait_for_function(f"{BELOW} < 4")
    assert page.evaluate("scrollY") == 60
    page.evaluate("document.querySelector('#stop').click()")
    page.wait_for_function(f"{STATUS}.startsWith('Stopped after')")
    off(page, "#stop", True)


def test_answers_say_that_they_are_old_and_outlive_a_reload(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address, 1440, 900)
    old = page.locator("#old")
    write(page, MARKED)
    number(page, "#max-new", 6)
    answers = compare(page)
    assert old.text_content().strip() == ""
    top = page.locator("#answers").bounding_box()["y"]

    # Another prompt, another setting, and back again; a setting that decides nothing.
    write(page, MARKED + " chess")
    says(page, "#old", "These answers are for an earlier prompt or settings.")
    assert page.locator("#answers").bounding_box()["y"] == top
    shot(page, "old-answers")
    write(page, MARKED)
    page.wait_for_function("!document.querySelector('#old').textContent.trim()")
    number(page, "#strength", 2)
    says(page, "#old", "earlier prompt or settings")
    page.click("#reset")
    page.wait_for_function("!document.querySelector('#old').textContent.trim()")
    advanced(page)
    number(page, "#seed", 5)
    page.wait_for_timeout(500)
    assert old.text_content().strip() == ""
    number(page, "#temperature", 0.5)
    says(page, "#old", "earlier prompt or settings")
    page.wait_for_timeout(300)

    # They are there again after a reload, and still old; a run that begins has no line.
    page.reload()
    says(page, "#status", "Your last run, kept by this browser")
    assert (page.text_content("#plain .written"), page.text_content("#steered .written")) == answers
    says(page, "#old", "earlier prompt or settings")
    page.wait_for_selector("#heads .heatmaplayer .hm")
    page.wait_for_function("document.querySelector('#model-line').textContent.includes('is ready')")
    again = compare(page)
    assert again != answers
    page.wait_for_function("!document.querySelector('#old').textContent.trim()")

    # Of another page's run and of none there is nothing to bring back.
    page.evaluate("localStorage.setItem('seka-run', '{')")
    page.reload()
    says(page, "#status", "Press Compare")
    assert page.locator("#plain .written").count() == 0


def test_bad_numbers_are_refused_or_said(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address, 1440, 900)
    write(page, MARKED)
    number(page, "#max-new", 999)
    says(page, "#beyond", "Max new tokens goes from 1 to 256: 999 is 256 now.")
    number(page, "#max-new", 6)
    page.wait_for_function("!document.querySelector('#beyond').textContent.trim()")
    number(page, "#strength", 70)
    says(page, "#beyond", "Strength goes from 0 to 16: 70 is 16 now.")
    assert page.input_value("#strength input[type=number]") == "16"
    advanced(page)
    for field, value, said in (
        ("#temperature", -3, "Temperature is -3; wanted a number from 0 to 5."),
        ("#min-shift", -1, "Head threshold is -1; wanted a number from 0 to 1000."),
        ("#seed", 1.5, "Seed is 1.5; wanted a whole number."),
    ):
        number(page, field, value)
        refused(page, said)
        assert page.locator(".toast-body").count() == 0
        shot(page, "refused-number")
        number(page, field, 0)
        page.wait_for_function("!document.querySelector('#refused p:not(.past)')")
    number(page, "#max-new", 4)
    assert all(compare(page))


def test_an_embedded_page_is_low_and_a_phone_shows_what_scrolls(address: str, visit: Callable[..., Any]) -> None:
    page = visit(f"{address}?embed=1", 800, 520)
    write(page, MARKED)
    page.wait_for_timeout(300)
    shot(page, "embedded-low")
    assert page.evaluate("document.documentElement.scrollHeight") <= 520
    phone = visit(address, 390, 800)
    assert not phone.inner_text("footer").strip().startswith("·")
    write(phone, MARKED)
    number(phone, "#max-new", 4)
    compare(phone)
    tab(phone, "Router")
    phone.wait_for_selector("#router[data-more]")
    shot(phone, "phone-router")
    phone.evaluate("document.querySelector('#router').scrollLeft = 9999")
    phone.wait_for_selector("#router:not([data-more])")
