"""The tabs on a run's inside in headless Chromium: filled by one run, by day and by night, wide and on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hands import CONTRAST, compare, shot, tab, write

pytest_plugins = ["pages"]
pytestmark = pytest.mark.browser
TEXT = "Previously Ada played **chess**. Currently Ada ~~plays golf~~. Ada is a player of"


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_a_run_fills_every_tab(address: str, visit: Callable[..., Any], width: int, theme: str) -> None:
    page = visit(f"{address}?__theme={theme}", width, 900)
    write(page, TEXT)
    compare(page)
    page.wait_for_selector("#heads .heatmaplayer .hm")

    def show(name: str, maps: str, count: int) -> str:
        """Open a tab, wait for its figure, look at its caption and its table."""
        tab(page, name)
        page.wait_for_function("([maps, count]) => document.querySelectorAll(maps).length === count", arg=[maps, count])
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.wait_for_timeout(300)
        inks = ["#details .caption", ".numbers td", ".numbers th", ".numbers caption", f"{maps.split()[0]} .xtitle"]
        measured = page.evaluate(CONTRAST, inks)
        assert [(selector, round(ratio, 2)) for selector, ratio in measured if ratio < 4.5] == []
        shot(page, f"inside-{name.lower().replace(' ', '-')}-{width}-{theme}")
        said = page.locator("#details .caption:visible").all_text_contents()
        return " ".join(dict.fromkeys(text.strip() for text in said))

    said = show("Router", "#router .heatmaplayer .hm", 2)
    assert "leads on" in said
    assert page.locator("#router-table tbody tr").count() == 10
    assert page.locator("#router-table th").all_text_contents() == ["Layer", "KV head", "Leads", "facts", "roles"]

    said = show("Attention", "#attention .heatmaplayer .hm", 6)
    assert len(re.findall(r"(highlighted|ignored) words [\d.<]+% of its attention", said)) == 2
    changes = [abs(float(text)) for text in page.locator("#attention-table td:last-child").all_text_contents()]
    assert len(changes) == 10
    assert changes == sorted(changes, reverse=True)
    assert changes[0] > 0
    page.locator("#attention-table .numbers").focus()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("Heads whose attention")

    said = show("Next token", "#next-token .barlayer .bars", 2)
    named = set(re.findall("“(.*?)”", said))
    assert named
    assert named <= set(page.locator("#next-table td:first-child").all_text_contents())
    assert 6 <= page.locator("#next-table tbody tr").count() <= 12
    assert page.evaluate("document.querySelectorAll('#next-token .legend .traces').length") == 2

    said = show("Tokens", "#confidence .heatmaplayer .hm", 1)
    assert "The answers part at token" in said
    assert page.locator("#tokens .token.emphasise").count()

    page.get_by_label("Facts").check()
    compare(page)
    page.wait_for_function("!document.querySelector('#details').textContent.includes('From the run before')")
    show("Attention", "#attention .heatmaplayer .hm", 6)
    show("Router", "#router .heatmaplayer .hm", 0)
    assert "nothing to mix" in page.text_content("#details")
