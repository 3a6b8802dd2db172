"""A prompt and its marked spans, and the `**marked**` way of writing them. Knows only `str`: no tokens, no model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

Span = tuple[int, int]

#: What each marker means when it is typed: `**emphasise**` weighs 1, `~~ignore~~` weighs -1.
MARKERS: Mapping[str, float] = MappingProxyType({"**": 1.0, "~~": -1.0})

#: Backslashes, then a weight in braces: one or two digits, with a point and one or two more where wanted, not 0.
_OWN = re.compile(r"(\\*)\{(?=[0-9.]*[1-9])([0-9]{1,2}(?:\.[0-9]{1,2})?)\}")


@dataclass(frozen=True)
class Prompt:
    """Text without markers, and which parts of it are marked.

    text: what the model reads.
    spans: (start, end) in code points of `text`, end exclusive. They may overlap.
    weights: one per span; above 0 emphasises, below 0 suppresses. None means 1 for each.
    rendered: the text already holds everything the model expects (a chat template), so that no special tokens are added.
    unpaired: code-point positions in `text` of markers that were left as they stood (see `marked`).
    """

    text: str
    spans: tuple[Span, ...] = ()
    weights: tuple[float, ...] | None = None
    rendered: bool = False
    unpaired: tuple[int, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise TypeError(f"a prompt's text is a str, given {type(self.text).__name__}")
        object.__setattr__(self, "spans", tuple((int(start), int(end)) for start, end in self.spans))
        weights = self.weights if self.weights is not None else (1.0,) * len(self.spans)
        object.__setattr__(self, "weights", tuple(float(weight) for weight in weights))
        if len(self.marks) != len(self.spans) or len(weights) != len(self.spans):
            raise ValueError(f"{len(self.spans)} spans but {len(weights)} weights; give one weight for each span")
        for start, end, weight in self.marks:
            if not 0 <= start < end <= len(self.text):
                raise ValueError(
                    f"span ({start}, {end}) does not fit the text of {len(self.text)} code points; "
                    "wanted 0 <= start < end <= length"
                )
            if not self.text[start:end].strip():
                raise ValueError(f"span ({start}, {end}) holds only blanks: {self.text[start:end]!r}; mark some words")
            if weight == 0 or not math.isfinite(weight):
                raise ValueError(f"span {self.text[start:end]!r} weighs {weight}; wanted a finite weight other than 0")

    @property
    def marks(self) -> tuple[tuple[int, int, float], ...]:
        """(start, end, weight) of each span."""
        return tuple((start, end, weight) for (start, end), weight in zip(self.spans, self.weights or (), strict=False))

    @classmethod
    def marked(cls, text: str, markers: Mapping[str, float] | None = MARKERS) -> Prompt:
        r"""Read `**emphasise**` and `~~ignore~~`; `markers=None` takes everything literally.

        Markers of one kind pair from left to right; blanks and newlines inside are fine; the kinds may nest or cross.
        Directly after a pair, a number in braces is its own weight, times the marker's: `**words**{2}` weighs 2,
        `~~words~~{0.5}` weighs -0.5. The number is one or two digits, or those with a point and one or two more digits,
        and not 0; any other braces are text, as are all that stand elsewhere.
        `\**` and `\~~` are literal (of n backslashes directly before a marker half stay, and an odd one makes the
        marker literal); so is `{2}` in `**words**\{2}`, where half of the backslashes stay, too, and any of them keeps the
        braces text. An unpaired marker, or a pair around nothing but blanks, stays in the text and is reported in
        `unpaired`. `***x***` marks `*x` and leaves `*`.
        """
        if not isinstance(text, str):
            raise TypeError(f"a prompt's text is a str, given {type(text).__name__}")
        if markers is None:
            return cls(text)
        if not markers or not all(markers):
            raise ValueError(
                f"markers are {dict(markers)}; wanted one at least, none empty, or None to take all literally"
            )
        return _read(text, markers)

    @classmethod
    def find(cls, text: str, *phrases: str) -> Prompt:
        """Mark each phrase where it stands in `text`. ValueError when one is absent or stands there more than once."""
        spans = []
        for phrase in phrases:
            count = len(re.findall(f"(?={re.escape(phrase)})", text)) if phrase else 0
            if count != 1:
                raise ValueError(
                    f"{phrase!r} stands {count} times in the text; wanted exactly once. "
                    "Give a longer phrase, or spans: Prompt(text, [(start, end)])"
                )
            start = text.index(phrase)
            spans.append((start, start + len(phrase)))
        return cls(text, tuple(spans))

    def to_marked(self, markers: Mapping[str, float] = MARKERS) -> str:
        """Write the prompt with markers, so that `Prompt.marked` reads it back; overlapping spans of one weight are merged.

        ValueError when the markers cannot express it: a weight that is none of theirs times a number that `marked` reads,
        a span that ends beside the marker's letter, or overlapping spans of one kind that weigh differently.
        """
        opening: dict[int, list[str]] = {}
        closing: dict[int, list[str]] = {}
        merged: list[tuple[int, int, float]] = []
        for weight in dict.fromkeys(weight for _, _, weight in self.marks):
            marker, own = _spelling(weight, markers)
            for start, end in _union([(s, e) for s, e, w in self.marks if w == weight]):
                merged.append((start, end, weight))
                opening.setdefault(start, []).append(marker)
                closing.setdefault(end, []).insert(0, marker + own)
        for late in (False, True):  # `***` in the text: its first two letters are escaped, or its last two
            written = _write(self.text, opening, closing, tuple(markers), late)
            back = _read(written, markers)
            if back.text == self.text and sorted(back.marks) == sorted(merged):
                return written
        raise ValueError(
            f"markers cannot express these spans of {self.text!r}: a span touches a marker's own letter, "
            "or spans of one kind overlap and weigh differently. Keep the spans and weights"
        )


def _pieces(text: str, markers: tuple[str, ...]) -> list[tuple[str, bool]]:
    """Cut text into (piece, is a live marker), backslashes before markers resolved."""
    pattern = re.compile(
        r"(\\*)(" + "|".join(re.escape(marker) for marker in sorted(markers, key=len, reverse=True)) + ")"
    )
    pieces: list[tuple[str, bool]] = []
    position = 0
    for match in pattern.finditer(text):
        slashes = len(match[1])
        pieces.append((text[position : match.start()] + "\\" * (slashes // 2), False))
        pieces.append((match[2], slashes % 2 == 0))
        position = match.end()
    pieces.append((text[position:], False))
    return pieces


def _read(text: str, markers: Mapping[str, float]) -> Prompt:
    pieces = _pieces(text, tuple(markers))
    opened: dict[str, int] = {}
    pairs: list[tuple[int, int]] = []
    own: dict[int, float] = {}  # by the place of the closing marker
    for index, (piece, live) in enumerate(pieces):
        if not live:
            continue
        start = opened.pop(piece, None)
        if start is None:
            opened[piece] = index
        elif _blank_between(pieces, start, index):
            continue  # an empty pair: both markers stay
        else:
            pairs.append((start, index))
            own[index], rest = _own_weight(pieces[index + 1][0])
            pieces[index + 1] = (rest, False)
    gone = {index for pair in pairs for index in pair}
    offsets, out, length, unpaired = [], [], 0, []
    for index, (piece, live) in enumerate(pieces):
        offsets.append(length)
        if index in gone:
            continue
        if live:
            unpaired.append(length)
        out.append(piece)
        length += len(piece)
    marks = sorted((offsets[a], offsets[b], markers[pieces[a][0]] * own[b]) for a, b in pairs)
    return Prompt(
        "".join(out),
        tuple((start, end) for start, end, _ in marks),
        tuple(weight for _, _, weight in marks),
        unpaired=tuple(unpaired),
    )


def _own_weight(text: str) -> tuple[float, str]:
    """Of the text after a closing marker: the weight that it begins with, 1 where there is none, and what is left."""
    found = _OWN.match(text)
    if found is None:
        return 1.0, text
    if slashes := len(found[1]):
        return 1.0, "\\" * (slashes // 2) + text[slashes:]
    return float(found[2]), text[found.end() :]


def _blank_between(pieces: list[tuple[str, bool]], start: int, end: int) -> bool:
    """Nothing but blanks and other live markers between. Markers of another kind do not count as content, whether
    or not they find a partner later, so that the answer never depends on what follows."""
    return not any(piece.strip() for piece, live in pieces[start + 1 : end] if not live)


def _union(spans: list[Span]) -> list[Span]:
    out: list[Span] = []
    for start, end in sorted(spans):
        if out and start < out[-1][1]:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((start, end))
    return out


def _spelling(weight: float, markers: Mapping[str, float]) -> tuple[str, str]:
    """The marker that writes a weight, and what follows the closing one: nothing where the marker itself weighs so."""
    for marker, unit in markers.items():
        if unit == weight:
            return marker, ""
    for marker, unit in markers.items():
        number = f"{weight / unit:.2f}".rstrip("0").rstrip(".") if unit else ""
        if _OWN.fullmatch(f"{{{number}}}") and unit * float(number) == weight:
            return marker, f"{{{number}}}"
    raise ValueError(
        f"no marker weighs {weight}; markers are {dict(markers)}, times 0.01 to 99.99 in hundredths. "
        "Keep the spans and weights"
    )


def _write(
    text: str,
    opening: Mapping[int, list[str]],
    closing: Mapping[int, list[str]],
    markers: tuple[str, ...],
    late: bool,
) -> str:
    def edge_within(start: int, end: int) -> bool:
        return any(edge in opening or edge in closing for edge in range(start + 1, end))

    out = ""
    position = 0
    while position <= len(text):
        ends, starts = closing.get(position, []), opening.get(position, [])
        for marker in (*ends, *starts):
            slashes = len(out) - len(out.rstrip("\\"))
            out += "\\" * slashes + marker
        own = _OWN.match(text, position) if ends and not starts and ends[-1] in markers else None
        if own and not edge_within(position, own.end()):
            out += "\\" * (len(own[1]) + 1)
        literal = next((marker for marker in markers if text.startswith(marker, position)), None)
        inside = literal and edge_within(position, position + len(literal))
        rest = text[position:]
        odd = late and literal and (len(rest) - len(rest.lstrip(literal[0]))) % len(literal)
        if literal and not inside and not odd:
            slashes = len(out) - len(out.rstrip("\\"))
            out += "\\" * (slashes + 1) + literal
            position += len(literal)
        else:
            out += text[position : position + 1]
            position += 1
    return out
