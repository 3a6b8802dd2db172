"""Prompts, tokens and answers as HTML and as sentences. Knows strings and marks; no model, no gradio.

Everything that somebody or some model wrote goes through `html.escape` where it becomes HTML: here, in tables, and in the
few other files that put it into a sentence.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from html import escape
from itertools import pairwise

from seka.prompts import Prompt, Span
from seka.tokens import Alignment

#: Characters of Chinese and Japanese, which sets no blanks between words; for a class of a regular expression.
UNSPACED = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
#: How many letters from its end on a text is looked at for repeated ones.
LATELY = 200
#: Pairs of words that are compared to find what differs between two texts: the time that takes grows with them.
PAIRS = 1_000_000
EMPTY = '<span class="empty">{}</span>'
#: What somebody may have meant as a weight.
NUMBER = re.compile(r"\{\s{0,3}[-+]?(?:[0-9]{1,9}\.?[0-9]{0,9}|\.[0-9]{1,9})\s{0,3}\}")


def plural(count: int, noun: str) -> str:
    """3, "token" -> "3 tokens"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}".replace(",", "\u202f")


def marked(prompt: Prompt, lost: Sequence[Span] = (), most: int | None = None) -> str:
    """The prompt's text; marks as <mark> and <s>, those in `lost` and markers without a partner flagged where they stand.

    most: characters that are shown of it, None for all.
    """
    shown = len(prompt.text) if most is None else min(most, len(prompt.text))
    stray = {at + i for at in prompt.unpaired for i in (0, 1)}
    out = []
    for start, end, marks, gone in _stretches(prompt, lost):
        if start >= shown:
            break
        piece = escape(prompt.text[start : min(end, shown)])
        for tag, kind, said, sign in (("s", "ignore", "ignored", -1), ("mark", "emphasise", "emphasised", 1)):
            if kin := [(abs(w), last) for w, last in marks if w * sign > 0]:
                weight, last = max(kin)
                title = said if weight == 1 else f"{said}, weight {weight:g}"
                number = _weight(weight) if last == end else ""
                piece = f'<{tag} class="{kind}{_strength(weight)}" title="{title}"{number}>{piece}</{tag}>'
        if gone:
            piece = f'<span class="lost" title="no token stands for it: nothing to steer">{piece}</span>'
        if start in stray:
            piece = f'<span class="stray" title="a marker without a partner: read as text">{piece}</span>'
        out.append(piece)
    return "".join(out) + (" …" if shown < len(prompt.text) else "")


def _stretches(prompt: Prompt, lost: Sequence[Span] = ()) -> Iterator[tuple[int, int, list[tuple[float, int]], bool]]:
    """The text cut where a mark or a marker without a partner begins or ends: (start, end, weight and end of each mark over
    it, whether one of them is in `lost`). One walk over the edges: a prompt may have thousands of marks."""
    edges = {0, len(prompt.text)} | {edge for at in prompt.unpaired for edge in (at, at + 2)}
    gone, change = set(lost), defaultdict[int, list[tuple[float, int, bool, int]]](list)
    for start, end, weight in prompt.marks:
        change[start].append((weight, end, (start, end) in gone, 1))
        change[end].append((weight, end, (start, end) in gone, -1))
    here: Counter[tuple[float, int, bool]] = Counter()
    for start, end in pairwise(sorted(edge for edge in edges | change.keys() if edge <= len(prompt.text))):
        for weight, last, is_gone, step in change.get(start, ()):
            here[weight, last, is_gone] += step
        here = +here
        yield start, end, [(weight, last) for weight, last, _ in here], any(is_gone for _, _, is_gone in here)


def chips(prompt: Prompt, alignment: Alignment) -> str:
    """The prompt's tokens one by one; those that a mark touches look like the mark."""
    out, before = [], (-1, -1)
    for (start, end), weight in zip(alignment.offsets, alignment.weights, strict=True):
        text = prompt.text[start:end]
        shown = escape(text.replace("\n", "\u21b5").replace(" ", "\u00b7")) if text else "\u2205"
        if (start, end) == before:  # one more byte of the same character
            shown = "\u2026"
        before = (start, end)
        kind = "emphasise" if weight > 0 else "ignore" if weight < 0 else "neutral"
        title = f' title="weight {weight:g}"{_weight(weight)}' if weight else ""
        out.append(f'<span class="token {kind}{_strength(weight)}"{title}>{shown}</span>')
        if "\n" in text:
            out.append("<br>")
    return "".join(out)


def warnings(prompt: Prompt) -> list[str]:
    """What the reader should know before running, as escaped sentences."""
    out = []
    for at in prompt.unpaired[:3]:
        line = prompt.text.count("\n", 0, at) + 1
        near = prompt.text[max(0, at - 12) : at + 14].replace("\n", " ").strip()
        marker = escape(prompt.text[at : at + 2])
        out.append(f"<code>{marker}</code> in line {line} has no partner and is read as text: {_quoted(near)}")
    if len(prompt.unpaired) > 3:
        out.append(f"{len(prompt.unpaired) - 3} more markers have no partner.")
    unread = (
        found[0] for _, end in prompt.spans if (found := NUMBER.match(prompt.text, end)) and not _is_weight(found[0])
    )
    if number := next(unread, None):
        out.append(
            f"<code>{escape(number)}</code> behind a mark is no weight and is read as text; "
            "a weight is one or two digits, with up to two decimals and no sign or blank, and not 0: "
            "<code>{2}</code>, <code>{0.5}</code>."
        )
    both = (
        (
            prompt.text[start:end],
            "the highlight counts" if max(marks)[0] >= -min(marks)[0] else "ignoring weighs more and counts",
        )
        for start, end, marks, _ in _stretches(prompt)
        if marks and max(marks)[0] > 0 > min(marks)[0]
    )
    if clash := next((found for found in both if found[0].strip()), None):
        out.append(f"{_quoted(clash[0])} is highlighted and ignored at once: {clash[1]}.")
    if not prompt.spans:
        out.append("Nothing is highlighted yet: both answers will be the same. Select some words and press Highlight.")
    return out


def reach(prompt: Prompt, alignment: Alignment) -> list[str]:
    """At most one sentence, escaped: where steered tokens reach past their marks, as marks act on whole tokens."""
    inside = {at for start, end in prompt.spans for at in range(start, end)}
    past = [
        prompt.text[start:end].strip()
        for (start, end), weight in zip(alignment.offsets, alignment.weights, strict=True)
        if weight and any(at not in inside and prompt.text[at].strip() for at in range(start, end))
    ]
    if not past:
        return []
    shown = ", ".join(_quoted(text) for text in past[:3])
    more = f" and {len(past) - 3} more" if len(past) > 3 else ""
    return [f"Marks act on whole tokens, also on the rest of these: {shown}{more}."]


def summary(prompt: Prompt, alignment: Alignment | None, limit: int) -> str:
    """Counts under the preview."""
    up = sum(weight > 0 for _, _, weight in prompt.marks)
    parts = [plural(up, "highlight")] if up else []
    if len(prompt.spans) > up:
        parts.append(f"{len(prompt.spans) - up} ignored")
    if alignment is None:
        return " \u00b7 ".join([*parts, "counting tokens when the model is there"])
    total = len(alignment.ids)
    if prompt.spans:
        parts.append(f"{sum(weight != 0 for weight in alignment.weights)} of {plural(total, 'token')} steered")
    else:
        parts.append(plural(total, "token"))
    return " \u00b7 ".join([*parts, f"limit {limit}"])


def answer(text: str, prompt: str = "", running: bool = False) -> str:
    """One column: the end of the prompt in a quiet colour, then what the model wrote, escaped."""
    body = escape(text) if text else EMPTY.format("…" if running else "(no words)")
    return _column(prompt, body)


def differences(plain: str, steered: str, prompt: str = "") -> tuple[str, str, str]:
    """Both columns with differing words in <del> and <ins>, and a sentence on how much differs."""
    left, right, changed = compared(plain, steered)
    if plain == steered:
        sentence = "Both answers are identical."
    elif changed == 0:
        sentence = "The answers differ in blanks only."
    else:
        most = max(sum(map(_is_word, pieces(text))) for text in (plain, steered))
        sentence = f"{changed} of {plural(most, 'word')} {'differs' if changed == 1 else 'differ'}."
    before, after = (_column(prompt, body or EMPTY.format("(no words)")) for body in (left, right))
    return before, after, sentence


def pieces(text: str) -> list[str]:
    """Words with the blanks after them; of writing that sets no blanks, single characters."""
    return re.findall(rf"[{UNSPACED}]\s*|[^\s{UNSPACED}]+\s*|\s+", text)


def _is_word(piece: str) -> bool:
    """Not the blank that an answer begins with."""
    return bool(piece.strip())


def compared(plain: str, steered: str) -> tuple[str, str, int]:
    """Both texts as HTML with differing words in <del> and <ins>, and how many words differ on the side that has more.

    Of texts too long for that, everything differs from the first word that does.
    """
    left, right = pieces(plain), pieces(steered)
    before, after = ([word.strip() for word in words] for words in (left, right))
    out: tuple[list[str], list[str]] = ([], [])
    changed = [0, 0]
    if len(before) * len(after) <= PAIRS:
        steps = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    else:
        both = enumerate(zip(before, after, strict=False))
        same = next((n for n, (one, other) in both if one != other), min(len(before), len(after)))
        steps = [("equal", 0, same, 0, same), ("replace", same, len(before), same, len(after))]
    for kind, a, b, c, d in steps:
        for side, tag, words in ((0, "del", left[a:b]), (1, "ins", right[c:d])):
            if words and kind != "equal":
                changed[side] += sum(map(_is_word, words))
                text = "".join(words)
                tail = text[len(text.rstrip()) :]
                out[side].append(f"<{tag}>{escape(text.rstrip())}</{tag}>{escape(tail)}")
            else:
                out[side].append(escape("".join(words)))
    return "".join(out[0]), "".join(out[1]), max(changed)


def repetitive(text: str) -> bool:
    """Whether the text ends in the same one to eight words four times over, or in the same few letters eight times."""
    words = [piece.strip() for piece in pieces(text.strip())]
    return re.search(r"(\D{1,8}?)\1{7}\s*\Z", text[-LATELY:]) is not None or any(
        len(words) >= 4 * size and words[-4 * size :] == words[-size:] * 4
        for size in range(1, min(8, len(words) // 4) + 1)
    )


def notice(sentences: Sequence[str], kind: str = "note") -> str:
    """Sentences (escaped already) as one block; nothing for none."""
    role = ' role="alert"' if kind == "error" else ""
    return f'<div class="{kind}"{role}>' + "<br>".join(sentences) + "</div>" if sentences else ""


def _strength(weight: float) -> str:
    """A further class of a mark that weighs more or less than 1."""
    return " heavy" if abs(weight) > 1 else " light" if 0 < abs(weight) < 1 else ""


def _weight(weight: float) -> str:
    """An attribute that shows the weight behind the words; nothing for 1."""
    return "" if abs(weight) == 1 else f' data-weight="{abs(weight):g}"'


def _is_weight(text: str) -> bool:
    """Whether braces behind a mark are its weight."""
    return Prompt.marked(f"**x**{text}").text == "x"


def _quoted(text: str) -> str:
    """A short excerpt in quotes, escaped."""
    short = text if len(text) <= 40 else text[:38] + "…"
    return f"\u201c{escape(short)}\u201d"


def _column(prompt: str, body: str) -> str:
    last = prompt.rstrip("\n").rpartition("\n")[2]
    lead = last if len(last) <= 90 else "… " + last[-88:].partition(" ")[2]
    shown = f'<span class="lead">{escape(lead)}</span>' if lead.strip() else ""
    return f'<div class="answer">{shown}<span class="written">{body}</span></div>'
