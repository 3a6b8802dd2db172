"""Choosing heads in headless Chromium: by layers, by clicks, by name; measuring their effect; phone and dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hands import CONTRAST, TEXT, advanced, compare, shot, write

pytest_plugins = ["pages"]
pytestmark = pytest.mark.browser

#: What reaches over the window's edge, by id and width, where the page scrolls sideways.
WIDER = """() => document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll('main [id]')]
  .map((e) => [e.id, e.getBoundingClientRect()]).filter(([, box]) => box.right > innerWidth + 1 && box.width)
  .map(([id, box]) => `${id} ${Math.round(box.width)}`)"""
LAYERS, HEADS = 32, 2  # of the tiny model


def outlines(page: Any, plot: str, count: int) -> None:
    page.wait_for_function(
        "([plot, count]) => document.querySelectorAll(`${plot} .shapelayer path`).length === count", arg=[plot, count]
    )


def fill(page: Any, field: str, text: str) -> None:
    page.fill(f"{field} :is(input, textarea)", text)
    page.press(f"{field} :is(input, textarea)", "Tab")


def says(page: Any, place: str, words: str) -> None:
    page.wait_for_function(
        "([place, words]) => document.querySelector(place).textContent.includes(words)", arg=[place, words]
    )


def click_head(page: Any, plot: str, layer: int, head: int) -> None:
    area = page.locator(f"{plot} .nsewdrag")
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    at = box["x"] + (head + 0.5) / HEADS * box["width"], box["y"] + (layer + 0.5) / LAYERS * box["height"]
    page.mouse.move(*at)
    page.mouse.click(*at)


def test_heads_are_chosen_seen_and_measured(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address, 1440, 900)
    # what settings would steer is outlined before any run, also of an example that has no run of this model
    outlines(page, "#heads", 64)
    says(page, "#heads-said", "64 of 64 heads in 32 layers")
    before = page.input_value("#prompt textarea")
    page.locator("#examples button").nth(1).click()
    # Its answer sets every field, so that what is written before it comes is lost.
    page.wait_for_function("(before) => document.querySelector('#prompt textarea').value !== before", arg=before)
    says(page, "#heads-said", "Press Compare")
    outlines(page, "#heads", 64)
    write(page, TEXT.replace("golf", "**golf**"))
    says(page, "#where", "64 of 64 heads in 32 layers")

    advanced(page)
    fill(page, "#layers", "last4")
    says(page, "#where", "8 of 64 heads in 4 layers")
    outlines(page, "#heads", 8)
    assert "8 of 64 heads" in page.text_content("#heads-said")
    fill(page, "#layers", "seven")
    says(page, "#where", "not understood")
    outlines(page, "#heads", 0)
    fill(page, "#layers", "all")
    outlines(page, "#heads", 64)

    # a click takes a head out and shows its figures; another one puts it in again
    click_head(page, "#heads", 5, 1)
    outlines(page, "#heads", 63)
    says(page, "#one-head", "Layer 5, KV head 1: not steered any more")
    assert ";5:0;" in page.input_value("#heads-named textarea, #heads-named input")
    says(page, "#where", "63 of 64 heads in 32 layers, chosen by hand")
    click_head(page, "#heads", 5, 1)
    outlines(page, "#heads", 64)
    assert page.input_value("#heads-named textarea, #heads-named input") == ""

    # by keyboard; the run steers just these
    fill(page, "#heads-named", "0:1;3:0")
    outlines(page, "#heads", 2)
    fill(page, "#max-new", "4")
    compare(page)
    says(page, "#heads-said", "2 of 64 in 2 layers")

    # each head's effect on this prompt, told of the head that was clicked before as well; it can be stopped
    assert "Effect alonenot measured" in page.text_content("#one-head")
    page.click("#measure")
    says(page, "#effect-said", "Measured on")
    says(page, "#one-head", "nats, rank")
    says(page, "#one-head", "Layer 5, KV head 1: not steered")
    outlines(page, "#effect", 2)
    said = page.text_content("#effect-said")
    assert "rank correlation" in said
    assert "of 64 heads" in said
    page.click("#measure")
    says(page, "#effect-said", "Measuring: ")
    page.click("#stop-measuring")
    says(page, "#effect-said", "Stopped before every layer was measured")
    click_head(page, "#effect", 7, 0)
    outlines(page, "#effect", 3)
    outlines(page, "#heads", 3)
    says(page, "#one-head", "Layer 7, KV head 0: steered now")
    assert "nats, rank" in page.text_content("#one-head")
    assert "not measured" not in page.text_content("#one-head")
    left, right = (page.locator(f"{plot} .js-plotly-plot").bounding_box() for plot in ("#heads", "#effect"))
    assert left["x"] + left["width"] <= right["x"]
    assert left["y"] == right["y"]
    shot(page, "heads-light")
    page.click("#reset-heads")
    for plot in ("#heads", "#effect"):
        outlines(page, plot, 64)

    # the page's other looks
    page.evaluate("document.body.classList.add('dark')")
    page.wait_for_timeout(500)
    selectors = [
        ".map-head h3",
        ".map-head p",
        "#where",
        "#heads-said",
        "#effect-said",
        "#effect .xtick text",
        "#measure",
    ]
    measured = page.evaluate(CONTRAST, selectors)
    assert {selector for selector, _ in measured} == set(selectors)
    assert [(selector, round(ratio, 2)) for selector, ratio in measured if ratio < 4.5] == []
    shot(page, "heads-dark")
    phone = visit(address, 390, 800)
    write(phone, TEXT.replace("golf", "**golf**"))
    phone.click("#measure")
    says(phone, "#effect-said", "Measured on")
    outlines(phone, "#effect", 64)
    for width in (390, 360):
        phone.set_viewport_size({"width": width, "height": 800})
        phone.wait_for_timeout(600)
        left, right = (phone.locator(plot).bounding_box() for plot in ("#heads", "#effect"))
        assert right["y"] >= left["y"] + left["height"]
        assert phone.evaluate(WIDER) == [], width
    shot(phone, "heads-phone")

    # it stays with runs of its prompt, and goes with another one's
    fill(phone, "#max-new", "4")
    compare(phone)
    phone.wait_for_selector("#card article", state="attached")
    phone.wait_for_timeout(1000)
    assert "Measured on" in phone.text_content("#effect-said")
    write(phone, TEXT.replace("chess", "**chess**"))
    compare(phone)
    says(phone, "#effect-said", "Not measured for this prompt yet.")
    phone.wait_for_selector("#effect .js-plotly-plot", state="hidden")
