"""The page in headless Chromium, served by `python app/main.py`: marking, comparing, looking at it, and what must not happen."""

from __future__ import annotations

import random
import re
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pages
import pytest

import seka

pytestmark = pytest.mark.browser
TEXT = "Notes of a club, 😀 café.\nPreviously Ada played chess.\nCurrently Ada plays golf. Ada is a player of"
needs_embedded = pytest.mark.skipif(not pages.EMBEDDED, reason="the embedded model is not in the tree: python -m seka miniature train")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = pages.chromium()
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright (the `test` extra)")
    with sync_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=path, args=pages.FLAGS.split())
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pages.serving(**pages.tiny(tmp_path_factory.mktemp("tiny"))) as url:
        yield url


@pytest.fixture(scope="module")
def embedded(browser: Any) -> Iterator[str]:
    with pages.serving() as url:
        yield url


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """visit(url, width, height): a page in a context of its own. Console errors and requests elsewhere fail the test."""
    contexts, wrong = [], []

    def go(url: str, width: int = 1280, height: int = 900) -> Any:
        context = browser.new_context(viewport={"width": width, "height": height})
        contexts.append(context)
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if _elsewhere(request.url) else None)
        page.goto(url)
        page.wait_for_selector("#prompt .backdrop")
        page.wait_for_function("document.querySelector('#model-line').textContent.includes('is ready')")
        return page

    yield go
    for context in contexts:
        context.close()
    # A prompt that is refused before it is queued answers with status 422, which the browser notes by itself.
    assert [text for text in wrong if "status of 422" not in text] == []


def _elsewhere(url: str) -> bool:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1"


def write(page: Any, text: str) -> None:
    page.fill("#prompt textarea", text)
    settled(page)


def settled(page: Any) -> None:
    """The preview has caught up with the box."""
    page.wait_for_function(
        """() => {
          const box = document.querySelector('#prompt textarea');
          const read = document.querySelector('#preview .read');
          const literal = document.querySelector('#literal input').checked;
          return (read?.textContent ?? '') === (literal ? box.value : seka.parse(box.value).text);
        }"""
    )


def value(page: Any) -> str:
    return str(page.input_value("#prompt textarea"))


def select(page: Any, piece: str) -> None:
    """Drag the mouse over a piece of the prompt."""
    left, right, middle = page.evaluate(pages.PLACE, piece)
    page.mouse.move(left + 1, middle)
    page.mouse.down()
    page.mouse.move(right - 1, middle, steps=4)
    page.mouse.up()
    assert page.evaluate("(() => { const t = document.querySelector('#prompt textarea'); "
                         "return t.value.slice(t.selectionStart, t.selectionEnd); })()") == piece  # fmt: skip


def compare(page: Any) -> tuple[str, str]:
    """Press Compare, wait for the end, return both answers."""
    page.click("#compare")
    page.wait_for_function("/^(Done|Stopped)/.test(document.querySelector('#status').textContent.trim())")
    return page.text_content("#plain .written"), page.text_content("#steered .written")


def shot(page: Any, name: str) -> None:
    pages.SHOTS.mkdir(exist_ok=True)
    page.wait_for_timeout(400)
    page.screenshot(path=pages.SHOTS / f"{name}.png", full_page=True)


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
    assert page.locator("#heads .shapelayer path").count() == 16
    assert "16 of 16 heads in 8 layers" in page.text_content("#details")
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
        page.wait_for_function("(seen) => !seen.includes(document.querySelector('#prompt textarea').value)", arg=sorted(seen))
        settled(page)
        seen.add(value(page))
        assert page.text_content("#steered .written").strip()
    assert len(seen) == len(titles)


# ---- the editor ----


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
    shapes = {kind: page.locator(f"#preview .{kind}").evaluate("e => getComputedStyle(e).textDecorationLine") for kind in ("emphasise", "ignore")}
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
    pieces = ["*", "**", "**", "~~", "~~", "~", "\\", " ", "\n", "a", "é", "😀", "\u00a0", "\x1f", "\ufeff", "\x85", "漢", "e\u0301"]
    table = ["", "**a**", "***a***", r"\**a**", r"\\**a**", "**  **", "****", "**a ~~b** c~~", "**a**b**", "~~a~~~", "**\n**x**", "**😀**"]
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


# ---- running ----


def test_stop_keeps_the_text_and_nothing_moves_while_it_streams(address: str, visit: Callable[..., Any]) -> None:
    page = visit(address)
    write(page, TEXT.replace("golf", "**golf**"))
    page.locator("#max-new input[type=number]").fill("256")
    page.locator("#max-new input[type=number]").press("Tab")
    before = page.locator("#details").bounding_box()["y"]
    page.click("#compare")
    page.wait_for_function("/Writing: ([5-9]|\\d\\d)/.test(document.querySelector('#status').textContent)")
    assert page.locator("#details").bounding_box()["y"] == before
    page.click("#stop")
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
        write(page, text)
        page.click("#compare")
        page.get_by_text(re.compile(says)).first.wait_for()
        assert not page.text_content("#plain .written").strip() or "Writing" not in page.text_content("#status")


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
    with pages.serving(**pages.hostile(tmp_path)) as url:
        page = visit(url)
        write(page, f"**{pages.EVIL}** <script>window.hacked=2</script>")
        plain, steered = compare(page)
        assert pages.EVIL in plain
        assert pages.EVIL in steered
        page.get_by_role("tab", name="Tokens").click()
        page.wait_for_selector("#confidence .heatmaplayer .hm")
        shown = page.evaluate("['#preview', '#answers', '#tokens', '#details'].map((s) => document.querySelectorAll(`${s} :is(img, script)`).length)")
        assert shown == [0, 0, 0, 0]
        assert page.text_content("#preview .emphasise") == pages.EVIL
        assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_readable(address: str, visit: Callable[..., Any], theme: str) -> None:
    page = visit(f"{address}?__theme={theme}")
    write(page, "Read **this**, not ~~that~~, and **")
    compare(page)
    page.wait_for_selector("#heads .heatmaplayer .hm")
    page.wait_for_timeout(500)
    selectors = [
        "h1", ".hero p", ".hero mark", "#model-line p", "#prompt label > span", "#prompt textarea", "#pens button", "#preview .read",
        "#preview mark", "#preview s", "#preview .counts", "#preview .note", "#settings label span", "#about p", "#compare", "#stop",
        "#status", ".panel-head h2", ".panel-head span", ".copy", ".lead", ".written", "#answers ins", "#answers del", "#remarks",
        "#details button[role=tab]", ".caption", "#heads text.xtitle", "#heads .xtick text", "#heads .cbaxis text",
    ]  # fmt: skip
    measured = page.evaluate(pages.CONTRAST, selectors)
    assert {selector for selector, _ in measured} == set(selectors)
    assert [(selector, round(ratio, 2)) for selector, ratio in measured if ratio < 4.5] == []
    shot(page, theme)


def test_a_phone_stacks_and_never_scrolls_sideways(address: str, visit: Callable[..., Any]) -> None:
    for width in (390, 360):
        page = visit(address, width, 800)
        write(page, TEXT.replace("golf", "**golf**"))
        compare(page)
        page.wait_for_selector("#heads .heatmaplayer .hm")
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
        """() => [...document.querySelectorAll('main :is(button, input, textarea, select)')].filter((e) => e.getClientRects().length)
          .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || [...(e.labels ?? [])].some((l) => l.textContent.trim())
            || e.getAttribute('aria-labelledby') || e.title)).map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []


def test_the_api_is_compare_alone(address: str) -> None:
    from gradio_client import Client

    client = Client(address, verbose=False)
    described = client.view_api(return_format="dict", print_info=False)
    assert list(described["named_endpoints"]) == ["/compare"]
    assert not described["unnamed_endpoints"]
    answer = client.predict(prompt="Ada plays **golf**. Ada plays", max_new_tokens=3, api_name="/compare")
    assert answer["marks"] == [{"start": 10, "end": 14, "weight": 1.0}]
    assert answer["plain"]["tokens"] == answer["steered"]["tokens"] == 3
    with pytest.raises(Exception, match="There is no expert"):
        client.predict(prompt="Ada **plays**", mode="nobody", api_name="/compare")
