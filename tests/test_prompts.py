"""Laws of marked prompts: the grammar against a letter-by-letter reading, and that writing and reading undo each other."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seka import MARKERS, Prompt

WORDS = st.text(st.sampled_from("ab *~\\\n\r\t中é🎉\u0301\u200dİ👩"), max_size=24)
ANY = st.text(max_size=40)


def reading(text: str) -> tuple[str, list[tuple[int, int, float]], list[int]]:
    """The grammar as it is described: (text, marks, unpaired), one letter at a time."""
    items: list[tuple[str, str]] = []  # (what stands there, kind of marker or "")
    i = 0
    while i < len(text):
        j = i
        while j < len(text) and text[j] == "\\":
            j += 1
        if text[j : j + 2] in ("**", "~~"):
            items += [("\\", "")] * ((j - i) // 2)
            items.append((text[j : j + 2], "" if (j - i) % 2 else text[j : j + 2]))
            i = j + 2
        else:
            end = max(j, i + 1)
            items += [(letter, "") for letter in text[i:end]]
            i = end
    gone: dict[int, int] = {}
    for kind in ("**", "~~"):
        at = [k for k, (_, other) in enumerate(items) if other == kind]
        for a, b in zip(at[::2], at[1::2], strict=False):
            if any(not kind and piece.strip() for piece, kind in items[a + 1 : b]):
                gone[a], gone[b] = b, a
    out, starts, unpaired = "", {}, []
    for k, (piece, kind) in enumerate(items):
        starts[k] = len(out)
        if k in gone:
            continue
        if kind:
            unpaired.append(len(out))
        out += piece
    marks = [(starts[a], starts[b], 1.0 if items[a][1] == "**" else -1.0) for a, b in gone.items() if a < b]
    return out, sorted(marks), unpaired


@given(WORDS | ANY)
def test_reading_follows_the_grammar(text: str) -> None:
    prompt = Prompt.marked(text)
    assert (prompt.text, sorted(prompt.marks), list(prompt.unpaired)) == reading(text)


@given(WORDS | ANY)
def test_none_takes_everything_literally(text: str) -> None:
    prompt = Prompt.marked(text, markers=None)
    assert (prompt.text, prompt.spans, prompt.weights, prompt.unpaired) == (text, (), (), ())


@given(WORDS | ANY)
def test_any_text_can_be_written_without_marks(text: str) -> None:
    """Literal markers, whatever surrounds them, always have a written form."""
    assert Prompt.marked(Prompt(text).to_marked()) == Prompt(text)


@given(st.data())
def test_writing_and_reading_undo_each_other(data: st.DataObject) -> None:
    text = data.draw(WORDS | ANY)
    spans = data.draw(_spans(text))
    prompt = Prompt(text, [s[:2] for s in spans], [s[2] for s in spans])
    try:
        written = prompt.to_marked()
    except ValueError:
        if not {"*", "~"} & set(text):
            raise  # nothing in this text is hard to write
        return
    back = Prompt.marked(written)
    assert back.text == text
    assert _cover(back) == _cover(prompt)
    if not set("\\*~") & set(text):
        assert len(written) == len(text) + 4 * len(back.spans)


def _spans(text: str) -> st.SearchStrategy[list[tuple[int, int, float]]]:
    possible = [(a, b) for a in range(len(text)) for b in range(a + 1, len(text) + 1) if text[a:b].strip()]
    if not possible:
        return st.just([])
    return st.lists(st.tuples(st.sampled_from(possible), st.sampled_from([1.0, -1.0])), max_size=4).map(
        lambda drawn: [(a, b, w) for (a, b), w in drawn]
    )


def _cover(prompt: Prompt) -> dict[float, set[int]]:
    """Which letters each weight covers."""
    return {w: {i for a, b, v in prompt.marks if v == w for i in range(a, b)} for w in (1.0, -1.0)}


def test_writing_refuses_only_what_no_writing_expresses() -> None:
    """Every string of up to eight letters is read; whatever can be read, `to_marked` can write."""
    readable = set()
    for size in range(9):
        for letters in product("*a\\", repeat=size):
            prompt = Prompt.marked("".join(letters))
            if len(prompt.text) <= 3:
                readable.add((prompt.text, prompt.spans))
    assert ("*a", ((0, 2),)) in readable
    for text, spans in readable:
        assert Prompt.marked(Prompt(text, spans).to_marked()) == Prompt(text, spans)


@given(WORDS)
def test_markers_go_and_nothing_else(text: str) -> None:
    """Without backslashes, each pair takes four letters away, and what stays is what stood there, in order."""
    text = text.replace("\\", "")
    prompt = Prompt.marked(text)
    assert len(prompt.text) == len(text) - 4 * len(prompt.spans)
    rest = iter(text)
    assert all(letter in rest for letter in prompt.text)


@pytest.mark.parametrize(
    ("written", "text", "marks", "unpaired"),
    [
        ("a **b** c", "a b c", [(2, 3, 1.0)], []),
        ("a ~~b~~ c", "a b c", [(2, 3, -1.0)], []),
        ("**one** two **three**", "one two three", [(0, 3, 1.0), (8, 13, 1.0)], []),
        ("***x***", "*x*", [(0, 2, 1.0)], []),
        (r"\**x\**", "**x**", [], []),
        (r"\~~x\~~", "~~x~~", [], []),
        (r"\\**x**", "\\x", [(1, 2, 1.0)], []),
        (r"\\\**x**", "\\**x**", [], [4]),
        (r"a\b **x** c\*d", r"a\b x c\*d", [(4, 5, 1.0)], []),
        ("2 ** 3 is 8", "2 ** 3 is 8", [], [2]),
        ("****", "****", [], [0, 2]),
        ("** \n **", "** \n **", [], [0, 5]),
        ("**a** **b", "a **b", [(0, 1, 1.0)], [2]),
        ("**a ~~b~~ c**", "a b c", [(0, 5, 1.0), (2, 3, -1.0)], []),
        ("**a ~~b** c~~", "a b c", [(0, 3, 1.0), (2, 5, -1.0)], []),
        ("**a\n\n  b** c", "a\n\n  b c", [(0, 6, 1.0)], []),
        ("x\r\n**y**\r\nz", "x\r\ny\r\nz", [(3, 4, 1.0)], []),
        ("👩‍🚀 **🎉é** 中**文字**", "👩‍🚀 🎉é 中文字", [(4, 6, 1.0), (8, 10, 1.0)], []),
        ("e\u0301 **e\u0301** x", "e\u0301 e\u0301 x", [(3, 5, 1.0)], []),
    ],
)
def test_examples(written: str, text: str, marks: list[tuple[int, int, float]], unpaired: list[int]) -> None:
    prompt = Prompt.marked(written)
    assert (prompt.text, list(prompt.marks), list(prompt.unpaired)) == (text, marks, unpaired)


def test_own_markers() -> None:
    prompt = Prompt.marked("a [[b[[ ** c", markers={"[[": 2.5})
    assert (prompt.text, prompt.marks, prompt.unpaired) == ("a b ** c", ((2, 3, 2.5),), ())
    assert dict(MARKERS) == {"**": 1.0, "~~": -1.0}
    with pytest.raises(ValueError, match="wanted one at least"):
        Prompt.marked("x", markers={})


def test_weights_without_a_marker_cannot_be_written() -> None:
    with pytest.raises(ValueError, match=r"no marker weighs 0\.5"):
        Prompt("abc", [(0, 1)], [0.5]).to_marked()


def test_find_marks_each_phrase_once() -> None:
    prompt = Prompt.find("Ada plays 🎉 golf.", "Ada", "golf")
    assert [prompt.text[a:b] for a, b in prompt.spans] == ["Ada", "golf"]
    for phrase, count in (("chess", 0), ("a", 2), ("", 0)):
        with pytest.raises(ValueError, match=f"stands {count} times"):
            Prompt.find("Ada plays golf.", phrase)


def test_defaults_and_values() -> None:
    prompt = Prompt("abc", [[0, 1], [1, 3]])
    assert prompt.spans == ((0, 1), (1, 3))
    assert prompt.weights == (1.0, 1.0)
    assert prompt == Prompt("abc", ((0, 1), (1, 3)), (1, 1))
    assert hash(prompt) == hash(Prompt("abc", ((0, 1), (1, 3)), (1, 1)))


@pytest.mark.parametrize("span", [(-1, 2), (2, 2), (2, 1), (0, 4), (3, 4)])
def test_spans_must_fit(span: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="does not fit the text of 3 code points"):
        Prompt("abc", [span])


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="only blanks"):
        Prompt("a  \n b", [(1, 4)])
    for weight in (0.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="finite weight other than 0"):
            Prompt("abc", [(0, 1)], [weight])
    for weights in ([], [1.0, 1.0]):
        with pytest.raises(ValueError, match="one weight for each span"):
            Prompt("abc", [(0, 1)], weights)
    for maker in (Prompt, Prompt.marked):
        with pytest.raises(TypeError, match="given int"):
            maker(3)  # type: ignore[arg-type]
