"""Accessibility in headless Chromium: the rules of axe-core on whatever the page can show, and motion that is not wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hands import EMBEDDED, compare, select, tab

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe: pip install '.[test]'")

pytest_plugins = ["pages"]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not EMBEDDED, reason="the embedded model is not in the tree: python -m seka miniature train"),
]
#: Rules that axe leaves out unless asked.
OPTIONS = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
#: How bad a violation is that fails; what is left is minor.
BAD = ("critical", "serious", "moderate")
#: Elements and their drawn parts that move by themselves.
MOVING = """[...document.querySelectorAll('*')]
  .flatMap((element) => [null, '::before', '::after'].map((part) => getComputedStyle(element, part)))
  .filter((style) => style.animationName !== 'none' || /[1-9]/.test(style.transitionDuration)).length"""


@pytest.mark.parametrize(("width", "theme"), [(1440, "light"), (390, "dark")])
def test_axe_finds_nothing(embedded: str, visit: Callable[..., Any], width: int, theme: str) -> None:
    page = visit(f"{embedded}?__theme={theme}", width, 900)
    found: list[str] = []

    def check(where: str) -> None:
        page.wait_for_timeout(500)  # what fades in has its colours
        for rule in axe.Axe().run(page, options=OPTIONS).response["violations"]:
            if rule["impact"] in BAD:
                found.extend(f"{where}: {rule['id']}: {' '.join(node['target'])}" for node in rule["nodes"])

    page.wait_for_selector("#heads .heatmaplayer .hm")
    check("opening")
    page.click("#advanced button")
    page.click("#learning button")
    check("every panel open")
    compare(page)
    page.wait_for_selector("#card article", state="attached")
    page.click("#pin")
    page.wait_for_selector("#pins li")
    check("after a run")
    page.locator("#prompt").scroll_into_view_if_needed()
    select(page, "golf")
    page.wait_for_selector("#selection-pens:not([hidden])")
    check("words selected")
    for name, shown in {
        "Router": "#router .heatmaplayer .hm",
        "Attention": "#attention .heatmaplayer .hm",
        "Next token": "#next-token .barlayer .bars",
        "Tokens": "#confidence .heatmaplayer .hm",
        "Code": "#code-python .cm-line",
        "Strengths": "#sweep",
    }.items():
        tab(page, name)
        page.wait_for_selector(shown, state="attached")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        check(name)
    page.click("#sweep")
    page.wait_for_selector("#sweep-figure .scatterlayer .trace")
    check("after a sweep")
    assert found == []


def test_nothing_moves_for_who_wants_no_motion(embedded: str, visit: Callable[..., Any]) -> None:
    assert visit(embedded).evaluate(MOVING) > 0
    page = visit(embedded, reduced_motion="reduce")
    still = f"{MOVING} === 0"  # waited for: while the page is being filled two elements were once seen to move
    page.wait_for_function(still)
    compare(page)
    page.wait_for_function(still)
