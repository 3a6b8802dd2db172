"""Laws of marked prompts: the grammar against a letter-by-letter reading, and that writing and reading undo each other."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seka import MARKERS, Prompt

WORDS = st.text(st.sampled_from("ab *~\\\n\r\t中é🎉\u0301\u200dİ👩{}.012"), max_size=24)
PIECES = st.lists(st.sampled_from(["**", "~~", "*", "a", " ", "\\", "{2}", "{0.5}", "{0}", "{"]), max_size=16).map(
    "".join
)
NUMBERS = [f"{n}{point}" for n in (*range(100), "00", "05") for point in ("", ".0", ".5", ".05", ".50", ".99")]
WEIGHTS = [f"{{{number}}}" for number in NUMBERS if float(number)]
ANY = st.text(max_size=40)


def reading(text: str) -> tuple[str, list[tuple[int, int, float]], list[int]]:
    """The grammar as it is described: (text, marks, unpaired), one letter at a time."""
    items: list[tuple[str, str]] = []  # (what stands there, kind of marker or "")
    behind: dict[int, int] = {}  # number of a marker's item: where the text behind it begins
    i = 0
    while i < len(text):
        j = i
        while j < len(text) and text[j] == "\\":
            j += 1
        if text[j : j + 2] in ("**", "~~"):
            items += [("\\", "")] * ((j - i) // 2)
            items.append((text[j : j + 2], "" if (j - i) % 2 else text[j : j + 2]))
            i = behind[len(items) - 1] = j + 2
        else:
            end = max(j, i + 1)
            items += [(letter, "") for letter in text[i:end]]
            i = end
    gone: dict[int, int] = {}
    weight: dict[int, float] = {}
    pairs = []
    for kind in ("**", "~~"):
        at = [k for k, (_, other) in enumerate(items) if other == kind]
        pairs += [(b, a) for a, b in zip(at[::2], at[1::2], strict=False)]
    for b, a in sorted(pairs):
        if not any(not kind and piece.strip() for piece, kind in items[a + 1 : b]):
            continue
        gone[a], gone[b] = b, a
        weight[a] = 1.0 if items[a][1] == "**" else -1.0
        rest = text[behind[b] :]
        bare = rest.lstrip("\\")
        slashes = len(rest) - len(bare)
        if braces := next((braces for braces in WEIGHTS if bare.startswith(braces)), ""):
            if not slashes:
                weight[a] *= float(braces[1:-1])
            dropped = (slashes + 1) // 2 if slashes else len(braces)
            for k in range(b + 1, b + 1 + dropped):
                items[k] = ("", "")
    out, starts, unpaired = "", {}, []
    for k, (piece, kind) in enumerate(items):
        starts[k] = len(out)
        if k in gone:
            continue
        if kind:
            unpaired.append(len(out))
        out += piece
    marks = [(starts[a], starts[b], weight[a]) for a, b in gone.items() if a < b]
    return out, sorted(marks), unpaired


@given(WORDS | ANY | PIECES)
def test_reading_follows_the_grammar(text: str) -> None:
    prompt = Prompt.marked(text)
    assert (prompt.text, sorted(prompt.marks), list(prompt.unpaired)) == reading(text)


@given(WORDS | ANY)
def test_none_takes_everything_literally(text: str) -> None:
    prompt = Prompt.marked(text, markers=None)
    assert (prompt.text, prompt.spans, prompt.weights, prompt.unpaired) == (text, (), (), ())


@given(WORDS | ANY | PIECES)
def test_any_text_can_be_written_without_marks(text: str) -> None:
    """Literal markers, whatever surrounds them, always have a written form."""
    assert Prompt.marked(Prompt(text).to_marked()) == Prompt(text)


@given(st.data())
def test_writing_and_reading_undo_each_other(data: st.DataObject) -> None:
    text = data.draw(WORDS | ANY | PIECES)
    spans = data.draw(_spans(text))
    prompt = Prompt(text, [s[:2] for s in spans], [s[2] for s in spans])
    try:
        written = prompt.to_marked()
    except ValueError:
        if not {"*", "~"} & set(text) and not _clash(spans):
            raise  # nothing in this text is hard to write
        return
    back = Prompt.marked(written)
    assert back.text == text
    assert _cover(back) == _cover(prompt)
    if not set("\\*~{") & set(text):
        own = sum(len(f"{{{abs(w):g}}}") for _, _, w in back.marks if abs(w) != 1)
        assert len(written) == len(text) + 4 * len(back.spans) + own


def _spans(text: str) -> st.SearchStrategy[list[tuple[int, int, float]]]:
    possible = [(a, b) for a in range(len(text)) for b in range(a + 1, len(text) + 1) if text[a:b].strip()]
    if not possible:
        return st.just([])
    return st.lists(st.tuples(st.sampled_from(possible), st.sampled_from([1.0, -1.0, 2.0, -0.25])), max_size=4).map(
        lambda drawn: [(a, b, w) for (a, b), w in drawn]
    )


def _cover(prompt: Prompt) -> dict[float, set[int]]:
    """Which letters each weight covers."""
    weights = {w for _, _, w in prompt.marks}
    return {w: {i for a, b, v in prompt.marks if v == w for i in range(a, b)} for w in weights}


def _clash(spans: list[tuple[int, int, float]]) -> bool:
    """Spans of one kind overlap and weigh differently."""
    return any(max(a, c) < min(b, d) for a, b, v in spans for c, d, w in spans if v * w > 0 and v != w)


@pytest.mark.parametrize(("letters", "size"), [(("*", "a", "\\"), 8), (("**", "a", "\\", "{2}"), 6)])
def test_writing_refuses_only_what_no_writing_expresses(letters: tuple[str, ...], size: int) -> None:
    """Every string of up to so many letters is read; whatever can be read, `to_marked` can write."""
    readable = set()
    for count in range(size + 1):
        for chosen in product(letters, repeat=count):
            prompt = Prompt.marked("".join(chosen))
            if len(prompt.text) <= 3 or "{2}" in letters:
                readable.add((prompt.text, prompt.spans, prompt.weights))
    assert ("*a" if size == 8 else "a{2}", ((0, 2 if size == 8 else 1),), (1.0,)) in readable
    for text, spans, weights in readable:
        assert Prompt.marked(Prompt(text, spans, weights).to_marked()) == Prompt(text, spans, weights)


@given(WORDS)
def test_markers_go_and_nothing_else(text: str) -> None:
    """Without backslashes and braces, each pair takes four letters away, and what stays is what stood there, in order."""
    text = re.sub(r"[\\{]", "", text)
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
        ("a **b**{2} c", "a b c", [(2, 3, 2.0)], []),
        ("~~b~~{0.5}", "b", [(0, 1, -0.5)], []),
        ("**a**{99.99}**b**{00.01}", "ab", [(0, 1, 99.99), (1, 2, 0.01)], []),
        ("**a**{1}", "a", [(0, 1, 1.0)], []),
        ("**a**{2}{3}", "a{3}", [(0, 1, 2.0)], []),
        ("**a**{0} **b**{0.00} **c**{100}", "a{0} b{0.00} c{100}", [(0, 1, 1.0), (5, 6, 1.0), (13, 14, 1.0)], []),
        ("**a**{x} **b**{ 2 } **c** {2}", "a{x} b{ 2 } c {2}", [(0, 1, 1.0), (5, 6, 1.0), (12, 13, 1.0)], []),
        ("**a**{.5} **b**{1.} **c**{1.234}", "a{.5} b{1.} c{1.234}", [(0, 1, 1.0), (6, 7, 1.0), (12, 13, 1.0)], []),
        ("**a**{-2} **b**{٢}", "a{-2} b{٢}", [(0, 1, 1.0), (6, 7, 1.0)], []),
        ("**a**{2", "a{2", [(0, 1, 1.0)], []),
        (r"**a**\{2}", "a{2}", [(0, 1, 1.0)], []),
        (r"**a**\\{2}", r"a\{2}", [(0, 1, 1.0)], []),
        (r"**a**\\\{2}", r"a\{2}", [(0, 1, 1.0)], []),
        (r"**a**\{0}", r"a\{0}", [(0, 1, 1.0)], []),
        (r"x\{2} \**\{2}", r"x\{2} **\{2}", [], []),
        ("{2} **{2} a", "{2} **{2} a", [], [4]),
        ("**{2}**{3}", "{2}", [(0, 3, 3.0)], []),
        ("****{2}", "****{2}", [], [0, 2]),
        ("**a ~~b**{2} c~~{3}", "a b c", [(0, 3, 2.0), (2, 5, -3.0)], []),
        ("**a~~**{2}~~", "a~~~~", [(0, 3, 2.0)], [1, 3]),
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


@pytest.mark.parametrize(
    ("prompt", "written"),
    [
        (Prompt("a b c", [(2, 3)], [2]), "a **b**{2} c"),
        (Prompt("abc", [(0, 1), (1, 3)], [-0.5, -1]), "~~a~~{0.5}~~bc~~"),
        (Prompt("a{2}", [(0, 1)]), r"**a**\{2}"),
        (Prompt("a{2}", [(0, 1)], [1.5]), "**a**{1.5}{2}"),
        (Prompt("a\\{2}", [(0, 1)]), r"**a**\\\{2}"),
        (Prompt("a{0}", [(0, 1)]), "**a**{0}"),
        (Prompt("a{2}b", [(0, 1), (2, 3)]), "**a**{**2**}b"),
        (Prompt("**a**{2}"), r"\**a\**{2}"),
        (Prompt("ab", [(0, 2), (1, 2)], [0.29, -99.99]), "**a~~b~~{99.99}**{0.29}"),
    ],
)
def test_weights_are_written_behind_their_marks(prompt: Prompt, written: str) -> None:
    assert prompt.to_marked() == written
    assert Prompt.marked(written) == prompt


def test_every_weight_is_read_and_written() -> None:
    for hundredths in range(1, 10000):
        prompt = Prompt("a", [(0, 1)], [hundredths / 100])
        assert Prompt.marked(f"**a**{{{hundredths / 100:g}}}") == Prompt.marked(prompt.to_marked()) == prompt


def test_own_markers_are_multiplied() -> None:
    assert Prompt.marked("[[b[[{2}", markers={"[[": 2.5}).weights == (5.0,)
    prompt = Prompt("ab", [(0, 1), (1, 2)], [3.0, 6.0])
    assert prompt.to_marked({"!": 0.0, "**": 1.0, "++": 6.0}) == "**a**{3}++b++"


@pytest.mark.parametrize("weight", [0.001, 0.125, 100.0, -1e9])
def test_weights_that_no_number_gives_cannot_be_written(weight: float) -> None:
    with pytest.raises(ValueError, match=rf"no marker weighs {weight}; .*0\.01 to 99\.99"):
        Prompt("abc", [(0, 1)], [weight]).to_marked()
    with pytest.raises(ValueError, match="no marker weighs -2"):
        Prompt("abc", [(0, 1)], [-2.0]).to_marked({"**": 1.0})


def test_overlapping_weights_of_one_kind_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="overlap and weigh differently"):
        Prompt("abc", [(0, 3), (1, 2)], [1, 2]).to_marked()
    assert Prompt("abc", [(0, 2), (1, 3)], [2, 2]).to_marked() == "**abc**{2}"


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
