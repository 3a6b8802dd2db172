"""The grammar of marks in the browser (assets/marks.js) against Python's, pens on selections, and sentences. No server."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hands import ROOT

import seka

pytest_plugins = ["pages"]
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(browser: Any) -> Iterator[Any]:
    """An empty page that knows the grammar."""
    made = browser.new_page()
    made.add_script_tag(path=ROOT / "assets" / "marks.js")
    yield made
    made.close()


def units(text: str, *points: int) -> list[int]:
    """Offsets in code points as JavaScript counts them."""
    return [len(text[:n].encode("utf-16-le")) // 2 for n in points]


# ---- pens ----


@pytest.mark.parametrize(
    ("raw", "piece", "weight", "expected"),
    [
        ("**one two** three", "two** three", 1, "**one two three**"),
        ("**one two three**", "two", 1, "**one** two **three**"),
        ("one\n\n two ", "\n two ", -1, "one\n\n ~~two~~ "),
        ("5 ** 3 is it", "is", 1, r"5 \** 3 **is** it"),
        ("😀 👍 end", "👍", 1, "😀 **👍** end"),
        (r"a \**b\** c", "c", 1, r"a \**b\** **c**"),
        ("a *** b", "b", 1, r"a \*** **b**"),
        ("***x", "x", -1, r"\***~~x~~"),
        ("***x", "x", 1, r"*\****x**"),
        ("~~one two~~", "two", 1, "~~one~~ **two**"),
        ("**one** ~~two~~", "one** ~~two", 1, "**one two**"),
        ("**one two**{2}", "one", 1, "one **two**{2}"),
        ("**one** **two**{3}", "two", 1, "**one** two"),
        ("**one two**{2} three", "two**{2} three", 1, "**one**{2} **two three**"),
        ("**one**{2} two", "one**{2} two", 1, "**one two**"),
        ("**one**{2}**two**", "one**{2}**two", 1, "onetwo"),
        ("**one** ~~two~~{3}", "two", 1, "**one** **two**"),
        ("**one two**{2}", "two", -1, "**one**{2} ~~two~~"),
        ("**one**{2} 5 ** 3", "one", 1, r"one 5 \** 3"),
        ("one{2}", "one", 1, r"**one**\{2}"),
        (r"**one**\{2}", "one", 1, "one{2}"),
    ],
)
def test_selections_merge_and_parts_come_off(page: Any, raw: str, piece: str, weight: int, expected: str) -> None:
    start = raw.index(piece)
    given = [raw, *units(raw, start, start + len(piece)), weight]
    assert page.evaluate("([raw, a, b, w]) => seka.toggle(raw, a, b, w).raw", given) == expected


def test_the_same_pen_twice_leaves_the_text_alone(page: Any) -> None:
    dice = random.Random(3)
    twice = """([raw, a, b, w]) => {
      const once = seka.toggle(raw, a, b, w);
      const again = once.problem ? once : seka.toggle(once.raw, once.from, once.to, w);
      return again.problem ? null : [once.raw, once.marked, again.raw];
    }"""
    done = 0
    for _ in range(300):
        raw = "".join(dice.choices(["a", "b ", "**", "~~", " ", "*", "\\", "😀", "\n", "{2}"], k=12))
        start, end = sorted(dice.choices(range(len(raw) + 1), k=2))
        for weight in (1, -1):
            if (found := page.evaluate(twice, [raw, *units(raw, start, end), weight])) is None:
                continue
            once, marked, again = (seka.Prompt.marked(part) if isinstance(part, str) else part for part in found)
            text = seka.Prompt.marked(raw).text
            assert once.text == again.text == text
            changed = [i for i in range(len(text)) if _weights(once, i) != _weights(again, i)]
            assert changed or not marked, raw
            signs = [any(w * weight > 0 for w in _weights(once, i)) for i in changed if text[i].strip()]
            assert all(sign is marked for sign in signs), raw
            done += 1
    assert done > 200


def test_a_caret_marks_its_word_also_beyond_the_basic_plane(page: Any) -> None:
    caret = "([raw, at]) => seka.toggle(raw, at, at, 1).raw"
    for raw, at, expected in (
        ("one two", 5, "one **two**"),
        ("𝒜𝒷𝒸 x", 2, "**𝒜𝒷𝒸** x"),
        ("it’s well-known", 12, "it’s **well-known**"),
        ("a **b c** d", 5, "a b c d"),
    ):
        assert page.evaluate(caret, [raw, *units(raw, at)]) == expected
    assert page.evaluate("seka.toggle('a   b', 2, 2, 1).problem") == "Select the words to mark first."


# ---- weights ----


@pytest.mark.parametrize(
    ("raw", "piece", "step", "expected"),
    [
        ("a **b** c", "b", 1, "a **b**{1.5} c"),
        ("a **b** c", "b", -1, "a **b**{0.75} c"),
        ("~~b~~{0.75}", "b", 1, "~~b~~"),
        ("~~b~~{1.5}", "b", -1, "~~b~~"),
        ("**b**{2}", "b", 1, "**b**{3}"),
        ("**b**{3}", "b", 1, "**b**{4}"),
        ("**b**{4}", "b", 1, "**b**{4}"),
        ("**b**{9}", "b", 1, "**b**{9}"),
        ("**b**{9}", "b", -1, "**b**{4}"),
        ("**b**{0.5}", "b", -1, "**b**{0.25}"),
        ("**b**{0.1}", "b", -1, "**b**{0.1}"),
        ("**b**{0.1}", "b", 1, "**b**{0.25}"),
        ("**a** x ~~b~~{2} **c**", "a** x ~~b", 1, "**a**{1.5} x ~~b~~{3} **c**"),
        ("**a**{1.5}**b**", "a", -1, "**a****b**"),
        ("**a ~~b~~ c**", "b", 1, "**a ~~b~~{1.5} c**{1.5}"),
        ("**b**{1.5}{2}", "b", -1, r"**b**\{2}"),
        ("**😀**{2} 5 ** 3", "😀", 1, r"**😀**{3} 5 \** 3"),
    ],
)
def test_marks_take_the_next_weight(page: Any, raw: str, piece: str, step: int, expected: str) -> None:
    at = units(raw, raw.index(piece), raw.index(piece) + len(piece))
    found, start, end = page.evaluate(
        "([raw, a, b, step]) => (({raw: made, from, to}) => [made, from, to])(seka.nextWeights(raw, a, b, step))",
        [raw, *at, step],
    )
    assert found == expected
    chosen = found.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le")
    assert re.sub(r"\{.*?\}", "", chosen) == piece


def test_a_caret_weighs_its_mark_and_stays_in_it(page: Any) -> None:
    presses = """([raw, at]) => {
      const made = [];
      for (let from = at; made.length < 2; ) {
        const done = seka.nextWeights(raw, from, from, 1);
        if (done.problem) return made;
        made.push((raw = done.raw));
        from = done.from;
      }
      return made;
    }"""
    raw = "x **ab**{2}**c** y"
    for at in range(len(raw) + 1):
        first = ["x **ab**{3}**c** y", "x **ab**{4}**c** y"]
        second = ["x **ab**{2}**c**{1.5} y", "x **ab**{2}**c**{2} y"]
        wanted = first if 2 < at < 11 else second if 11 < at < 16 else []
        assert page.evaluate(presses, [raw, at]) == wanted, at


# ---- sentences ----


def test_a_sentence_is_what_its_stops_say(page: Any) -> None:
    dice = random.Random(7)
    words = ["Ada", "Bob", "plays", "the", "harp,", "3", "😀", "café"]
    sentence = "([text, a, b]) => seka.sentence(text, a, b)"
    for _ in range(200):
        made = [" ".join(["So", *dice.choices(words, k=dice.randint(1, 4))]) + dice.choice(".!?") for _ in range(4)]
        text = "".join(part + dice.choice([" ", "  ", "\n", " \n\n"]) for part in made)
        edges = [0, *[stop.end() for stop in re.finditer(r"[.!?]\s+", text)]]
        parts = [(start, start + len(text[start:end].rstrip())) for start, end in pairwise(edges)]
        assert [text[start:end] for start, end in parts] == made
        start, end = sorted(dice.sample(range(len(text.rstrip())), 2))
        if hit := [part for part in parts if part[0] < end and start < part[1]]:
            whole = units(text, hit[0][0], hit[-1][1])
            assert page.evaluate(sentence, [text, *units(text, start, end)]) == whole, text
            assert page.evaluate(sentence, [text, *whole]) == whole, text


def test_a_sentence_goes_on_after_abbreviations_and_initials(page: Any) -> None:
    for parts in (
        ["Dr. Ada met Mrs. Bob vs. Prof. Cleo.", "Then she left."],
        ["Some cities, e.g. Rome, i.e. St. Peter's (cf. Fig. 3) too.", "Others do not."],
        ["J. R. R. Tolkien and George W. Bush met.", "So did I.", "We sang etc.", "All of us."],
        ["E.g. Ada.", "It ends with Dr."],
        ["He wrote “J. Smith” there.", "At 5 p.m.", "In the U.S.", "Then he spoke.", "NASA.", "Mr.", "Ada is next."],
    ):
        text = "".join(part + ("\n" if part == "Mr." else " ") for part in parts)
        at = 0
        for part in parts:
            start = text.index(part, at)
            at = start + len(part)
            for a, b in ((start, at), (start + 1, start + 1), (at - 2, at - 1)):
                assert page.evaluate("([text, a, b]) => seka.sentence(text, a, b)", [text, a, b]) == [start, at], part


def test_marking_a_sentence_reads_past_marks_and_takes_itself_off_again(page: Any) -> None:
    sentence = "([raw, a, b]) => { const done = seka.toggle(raw, a, b, 1, {whole: true}); return [done.raw, done.from, done.to]; }"
    raw = "Ada plays **chess**. Now Ada ~~plays~~ golf! So"
    at = raw.index("golf")
    marked, start, end = page.evaluate(sentence, [raw, at, at + 2])
    assert marked == "Ada plays **chess**. **Now Ada plays golf!** So"
    assert marked[start:end] == "Now Ada plays golf!"
    assert page.evaluate(sentence, [marked, start, start + 3])[0] == "Ada plays **chess**. Now Ada plays golf! So"
    both, *_ = page.evaluate(sentence, [raw, 2, at])
    assert both == "**Ada plays chess. Now Ada plays golf!** So"


# ---- the grammar ----

WEIGHTS = ["{2}", "{0.5}", "{00.05}", "{1}", "{0}", "{", "}", "2", "."]
PIECES = ["*", "**", "**", "~~", "~~", "~", *"\\ \na\u00e9\u00a0\x1f\ufeff\x85漢", "😀", "e\u0301", *WEIGHTS]
TABLE = [
    *("", "**a**", "***a***", r"\**a**", r"\\**a**", "**  **", "****", "**a ~~b** c~~", "**a**b**", "~~a~~~"),
    *("**\n**x**", "**😀**", "**a**{2}", r"**a**\{2}", r"**a**\\{2}", "**a**{2}**b**", "**a**{100}", "**a~~**{2}~~"),
    *("****{2}", "**a**{٢}", "**a**{99.99}{2}", r"\**{2}", "**a ~~b**{2} c~~{3}"),
]


def test_the_browser_s_grammar_is_python_s(page: Any) -> None:
    dice = random.Random(4)
    texts = TABLE + ["".join(dice.choices(PIECES, k=dice.randint(1, 16))) for _ in range(3000)]
    read = page.evaluate(
        """(texts) => texts.map((raw) => {
          const { text, spans, unpaired, pieces } = seka.parse(raw);
          const points = (offset) => Array.from(text.slice(0, offset)).length;
          return { text, unpaired: unpaired.map(points), marks: spans.map((s) => [points(s.start), points(s.end), s.weight]),
                   pieces: pieces.filter((p) => p.text && !p.gone).map((p) => [points(p.plain), p.weights]),
                   written: seka.write(text, spans), literal: seka.literalise(raw), cleared: seka.clear(raw) };
        })""",
        texts,
    )
    for raw, ours in zip(texts, read, strict=True):
        prompt = seka.Prompt.marked(raw)
        assert (ours["text"], ours["unpaired"]) == (prompt.text, list(prompt.unpaired)), raw
        assert [tuple(mark) for mark in ours["marks"]] == list(prompt.marks), raw
        assert all(set(weights) == _weights(prompt, at) for at, weights in ours["pieces"]), raw
        assert seka.Prompt.marked(ours["literal"]) == seka.Prompt(raw), raw
        assert seka.Prompt.marked(ours["cleared"]) == seka.Prompt(prompt.text), raw
        assert (ours["written"] is None) is (_written(prompt) is None), raw
        if ours["written"] is not None:
            assert seka.Prompt.marked(ours["written"]) == prompt, raw


def test_a_prompt_of_thousands_of_marks_is_read_at_once(page: Any) -> None:
    """The link to such a prompt has a few hundred characters: whoever opens it must not lose the page."""
    count, milliseconds = page.evaluate(
        """() => {
          const began = performance.now();
          return [seka.parse("**a** ".repeat(33_000)).spans.length, performance.now() - began];
        }"""
    )
    assert count == 33_000
    assert milliseconds < 4000


def _written(prompt: seka.Prompt) -> str | None:
    try:
        return prompt.to_marked()
    except ValueError:
        return None


def _weights(prompt: seka.Prompt, at: int) -> set[float]:
    return {weight for start, end, weight in prompt.marks if start <= at < end}
