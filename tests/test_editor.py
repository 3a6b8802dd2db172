"""Marking in headless Chromium: pens, keys, undo, literal markers, pasted Markdown, and the row at a selection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hands import CONTRAST, PLACE, TEXT, select, settled, shot, value, write

pytest_plugins = ["pages"]
pytestmark = pytest.mark.browser
RECT = "(selector) => (({left, right, top}) => [left, right, top])(document.querySelector(selector).getBoundingClientRect())"


def test_pens_keys_undo_and_clear(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address)
    write(page, TEXT)
    box = page.locator("#prompt textarea")
    select(page, "chess")
    page.keyboard.press("Control+b")
    assert value(page) == TEXT.replace("chess", "**chess**")
    page.keyboard.press("Control+b")  # the selection stays, so the same key takes the mark off again
    assert value(page) == TEXT
    page.keyboard.press("Control+b")
    select(page, "golf")
    page.click("#pen-ignore")
    assert value(page) == TEXT.replace("chess", "**chess**").replace("golf", "~~golf~~")
    settled(page)
    assert page.text_content("#preview s.ignore") == "golf"
    shapes = {
        kind: page.locator(f"#preview .{kind}").evaluate("e => getComputedStyle(e).textDecorationLine")
        for kind in ("emphasise", "ignore")
    }
    assert shapes == {"emphasise": "underline", "ignore": "line-through"}
    select(page, "golf")
    page.click("#pen-highlight")  # a word has one mark: the other pen replaces it
    assert value(page) == TEXT.replace("chess", "**chess**").replace("golf", "**golf**")
    page.click("#pen-clear")
    assert value(page) == TEXT
    page.click("#pen-undo")
    assert value(page) == TEXT.replace("chess", "**chess**").replace("golf", "**golf**")
    for _ in range(20):
        page.click("#pen-undo")
    assert "Nothing to undo" in page.text_content("#pen-note")
    write(page, "one word")
    box.press("Home")
    box.press("Control+b")  # a caret marks its word
    assert value(page) == "**one** word"
    box.press("Control+z")
    assert value(page) == "one word"
    box.press("Control+Shift+x")
    assert value(page) == "~~one~~ word"


def test_markers_can_be_taken_literally(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address)
    write(page, "see **this** and that")
    page.get_by_label("Take ** and ~~ literally").check()
    settled(page)
    assert page.locator("#preview .emphasise, #prompt .backdrop .emphasise").count() == 0
    page.click("#pen-clear")
    assert "no marks to clear" in page.text_content("#pen-note")
    page.locator("#prompt textarea").press("End")
    page.keyboard.type("!")
    assert page.text_content("#pen-note") == ""  # it was said of another text
    page.keyboard.press("Backspace")
    assert "1 pair of markers taken as plain text" in page.text_content("#preview")
    select(page, "that")
    page.click("#pen-highlight")  # marking needs markers again: those in the text stay text
    assert value(page) == r"see \**this\** and **that**"
    assert not page.get_by_label("Take ** and ~~ literally").is_checked()
    settled(page)
    assert page.text_content("#preview .read") == "see **this** and that"


def test_pasted_markdown_is_noticed_and_can_be_made_text(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address)
    write(page, "")
    page.evaluate("navigator.clipboard.writeText('# Title\\n**one** and **two** and **three**')")
    page.focus("#prompt textarea")
    page.keyboard.press("Control+v")
    page.wait_for_function("document.querySelector('#pen-note').textContent.includes('brought 3 marks')")
    settled(page)
    assert "3 highlights" in page.text_content("#preview")
    page.get_by_role("button", name="Treat as plain text").click()
    settled(page)
    assert page.text_content("#preview .read") == "# Title\n**one** and **two** and **three**"
    assert page.locator("#preview .emphasise").count() == 0
    page.click("#pen-undo")
    settled(page)
    assert page.locator("#preview .emphasise").count() == 3
    write(page, "our **own** and ")
    page.keyboard.press("Control+End")
    page.evaluate("navigator.clipboard.writeText('**theirs**')")
    page.keyboard.press("Control+v")
    page.get_by_role("button", name="Treat as plain text").click()
    assert value(page) == r"our **own** and \**theirs\**"  # marks made before the paste stay marks
    page.click("#pen-undo")
    page.keyboard.press("Control+a")
    page.keyboard.press("Control+v")
    page.keyboard.type("!")  # typing on does not take the question away
    page.get_by_role("button", name="Keep").click()
    assert value(page) == "**theirs**!"
    assert page.evaluate("document.activeElement === document.querySelector('#prompt textarea')")


def test_the_row_at_a_selection_by_mouse_and_by_keys(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address, 1440, 900)
    write(page, TEXT)
    box, row = page.locator("#prompt textarea"), page.locator("#selection-pens")
    pens = page.locator("#pens").bounding_box()
    left, right, middle = page.evaluate(PLACE, "golf")
    page.mouse.dblclick((left + right) / 2, middle)
    row.wait_for()
    assert page.get_by_role("toolbar", name="Mark the selection").count() == 1
    place = row.bounding_box()
    assert place["y"] + place["height"] < middle - 4  # above the words, not on them
    assert place["x"] < right
    assert place["x"] + place["width"] > left
    assert page.locator("#pens").bounding_box() == pens  # nothing moved
    shot(page, "mark-row")
    row.get_by_role("button", name="Highlight", exact=True).click()
    assert value(page) == TEXT.replace("golf", "**golf**")
    assert row.is_hidden()
    select(page, "chess")
    row.wait_for()
    page.keyboard.press("Control+b")
    row.wait_for(state="hidden")
    page.click("#pen-clear")

    page.keyboard.press("Control+Home")
    page.keyboard.press("Control+Shift+ArrowRight")
    row.wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Highlight"
    assert row.is_visible()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert value(page) == TEXT.replace("Notes", "~~Notes~~")
    assert row.is_hidden()
    page.keyboard.press("Control+Home")
    page.keyboard.press("Control+Shift+ArrowRight")
    row.wait_for()
    page.keyboard.press("Escape")
    assert row.is_hidden()
    page.keyboard.press("Tab")  # past the row that is gone, to the pens below
    assert page.evaluate("document.activeElement.id") == "pen-highlight"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+ArrowRight")  # another selection: the row is back
    row.wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    line = TEXT.split("\n")[0]
    assert value(page) == TEXT.replace(line, f"**{line}**")
    assert "Highlighted" in page.text_content("#pen-note")
    box.press("Control+Home")
    box.press("End")
    box.press("Shift+ArrowRight")  # a line's end alone: nothing to mark
    page.wait_for_timeout(200)
    assert row.is_hidden()


def test_a_mark_s_weight_by_mouse_and_by_keys(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address)
    marked = TEXT.replace("golf", "**golf**")
    write(page, marked)
    row, weight = page.locator("#selection-pens"), page.locator("#selection-pens .weight")
    more, less = (row.get_by_role("button", name=f"{name} weight") for name in ("More", "Less"))
    page.mouse.click(*_middle(page, "golf"))  # a click into the mark, nothing selected
    row.wait_for()
    assert weight.text_content() == "×1"
    more.click()
    more.click()
    assert value(page) == marked.replace("**golf**", "**golf**{2}")
    assert weight.text_content() == "×2"
    assert page.text_content("#pen-note") == "Weight 2: “golf”"
    assert row.is_visible()
    settled(page)
    assert page.locator("#preview mark").get_attribute("title") == "emphasised, weight 2"
    assert page.locator("#prompt .backdrop .heavy").text_content() == "golf"
    assert page.locator("#prompt .backdrop .marker").all_text_contents() == ["**", "**", "{2}"]
    page.click("#pen-undo")  # one step for each press
    assert value(page) == marked.replace("**golf**", "**golf**{1.5}")
    page.click("#pen-undo")
    assert value(page) == marked

    page.mouse.click(*_middle(page, "golf"))
    row.wait_for()
    page.keyboard.press("ArrowRight")  # arrow keys and typing bring no row
    row.wait_for(state="hidden")
    page.mouse.click(*_middle(page, "golf"))
    row.wait_for()
    page.keyboard.press("Escape")
    assert row.is_hidden()
    page.mouse.click(*_middle(page, "chess"))  # no mark there
    page.wait_for_timeout(200)
    assert row.is_hidden()
    select(page, "chess")
    row.wait_for()
    assert not more.is_visible()

    select(page, "golf")
    row.wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    for _ in range(6):  # at the end of the scale the button keeps the focus and does nothing
        assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "More weight"
        page.keyboard.press("Enter")
    assert value(page) == marked.replace("**golf**", "**golf**{4}")
    assert more.is_disabled()
    assert less.is_enabled()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert value(page) == marked.replace("**golf**", "**golf**{3}")
    page.get_by_label("Take ** and ~~ literally").check()
    select(page, "golf")
    row.wait_for()
    assert not more.is_visible()


def _middle(page: Any, piece: str) -> tuple[float, float]:
    left, right, middle = page.evaluate(PLACE, piece)
    return (left + right) / 2, middle


@pytest.mark.parametrize("width", [390, 360])
def test_a_mark_s_weight_on_a_phone(address: str, visit: Callable[..., Any], width: int) -> None:
    page = visit(f"{address}?__theme=dark", width, 844, has_touch=True, is_mobile=True)
    marked = TEXT.replace("chess", "~~chess~~{0.5}").replace("golf", "**golf**{2}")
    write(page, marked)
    row = page.locator("#selection-pens")
    page.touchscreen.tap(*_middle(page, "chess"))
    row.wait_for()
    boxes = [button.bounding_box() for button in row.locator("button:visible").all()]
    assert len(boxes) == 5
    assert all(min(box["height"], box["width"]) >= 44 for box in boxes)
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)
    assert abs(boxes[0]["y"] - boxes[-1]["y"]) < 2  # one line
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    seen = page.evaluate(CONTRAST, ["#selection-pens button", "#selection-pens .weight", "#preview mark", "#preview s"])
    assert len(seen) == 5 + 1 + 2
    assert all(ratio >= 4.5 for _, ratio in seen), seen
    shot(page, f"mark-weight-phone-{width}")
    row.get_by_role("button", name="Less weight").tap()
    assert value(page) == marked.replace("{0.5}", "{0.25}")
    assert row.is_visible()
    assert row.get_by_role("button", name="Less weight").is_disabled()
    settled(page)
    page.wait_for_selector('#preview s[title="ignored, weight 0.25"]')  # the server has read it, too


def test_the_row_at_a_selection_on_a_phone(address: str, visit: Callable[..., Any]) -> None:
    page = visit(f"{address}?__theme=dark", 390, 844, has_touch=True, is_mobile=True)
    write(page, TEXT)
    row = page.locator("#selection-pens")
    for piece in ("Notes", "a player of"):
        page.tap("#prompt textarea")
        at = TEXT.index(piece) + (TEXT.index(piece) > TEXT.index("😀"))
        page.evaluate(
            "([a, b]) => document.querySelector('#prompt textarea').setSelectionRange(a, b)", [at, at + len(piece)]
        )
        row.wait_for()
        left, right, top = page.evaluate(RECT, "#selection-pens")
        assert top > page.evaluate(PLACE, piece)[2] + 4  # below: above is where the phone's own menu comes
        assert left >= 0
        assert right <= 390
        assert all(pen.bounding_box()["height"] >= 44 for pen in row.locator("button:visible").all())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        shot(page, f"mark-row-phone-{piece.split()[0]}")
        row.get_by_role("button", name="Ignore").tap()
        page.wait_for_function(
            "text => document.querySelector('#prompt textarea').value === text",
            arg=TEXT.replace(piece, f"~~{piece}~~"),
        )
        page.tap("#pen-undo")
        assert value(page) == TEXT
