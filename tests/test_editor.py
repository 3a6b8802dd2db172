"""Marking in headless Chromium: pens, keys, undo, literal markers, pasted Markdown, and the grammar Python has."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hands import TEXT, select, settled, value, write

import seka

pytest_plugins = ["pages"]
pytestmark = pytest.mark.browser


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


def test_overlapping_selections_merge_and_parts_come_off(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address)
    cases = [
        ("**one two** three", "two** three", 1, "**one two three**"),
        ("**one two three**", "two", 1, "**one** two **three**"),
        ("one\n\n two ", "\n two ", -1, "one\n\n ~~two~~ "),
        ("5 ** 3 is it", "is", 1, r"5 \** 3 **is** it"),
        ("😀 👍 end", "👍", 1, "😀 **👍** end"),
        (r"a \**b\** c", "c", 1, r"a \**b\** **c**"),
    ]
    for raw, piece, weight, expected in cases:
        start = raw.index(piece)
        units = [len(raw[:n].encode("utf-16-le")) // 2 for n in (start, start + len(piece))]
        assert page.evaluate("([raw, a, b, w]) => seka.toggle(raw, a, b, w).raw", [raw, *units, weight]) == expected


def test_markers_can_be_taken_literally(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address)
    write(page, "see **this** and that")
    page.get_by_label("Take ** and ~~ literally").check()
    settled(page)
    assert page.locator("#preview .emphasise").count() == 0
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


def test_the_browser_s_grammar_is_python_s(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address)
    dice = random.Random(4)
    pieces = [
        "*",
        "**",
        "**",
        "~~",
        "~~",
        "~",
        "\\",
        " ",
        "\n",
        "a",
        "é",
        "😀",
        "\u00a0",
        "\x1f",
        "\ufeff",
        "\x85",
        "漢",
        "e\u0301",
    ]
    table = [
        "",
        "**a**",
        "***a***",
        r"\**a**",
        r"\\**a**",
        "**  **",
        "****",
        "**a ~~b** c~~",
        "**a**b**",
        "~~a~~~",
        "**\n**x**",
        "**😀**",
    ]
    texts = table + ["".join(dice.choices(pieces, k=dice.randint(1, 16))) for _ in range(3000)]
    read = page.evaluate(
        """(texts) => texts.map((raw) => {
          const { text, spans, unpaired } = seka.parse(raw);
          const points = (offset) => Array.from(text.slice(0, offset)).length;
          return { text, unpaired: unpaired.map(points), marks: spans.map((s) => [points(s.start), points(s.end), s.weight]),
                   written: seka.write(text, spans), literal: seka.literalise(raw), cleared: seka.clear(raw) };
        })""",
        texts,
    )
    for raw, ours in zip(texts, read, strict=True):
        prompt = seka.Prompt.marked(raw)
        assert (ours["text"], ours["unpaired"]) == (prompt.text, list(prompt.unpaired)), raw
        assert [tuple(mark) for mark in ours["marks"]] == list(prompt.marks), raw
        assert seka.Prompt.marked(ours["literal"]) == seka.Prompt(raw), raw
        assert seka.Prompt.marked(ours["cleared"]) == seka.Prompt(prompt.text), raw
        if ours["written"] is not None:
            back = seka.Prompt.marked(ours["written"])
            assert _coverage(back) == _coverage(prompt), raw


def _coverage(prompt: seka.Prompt) -> tuple[str, list[set[float]]]:
    return prompt.text, [{w for a, b, w in prompt.marks if a <= i < b} for i in range(len(prompt.text))]
