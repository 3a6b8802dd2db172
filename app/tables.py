"""Numbers as text, and tables and captions as HTML. Whatever they are given is escaped here."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape


def percent(share: float) -> str:
    """0.123 -> "12%"; one digit more below a tenth."""
    if 0 < share < 0.0005:
        return "<0.1%"
    return f"{share:.0%}" if share >= 0.0995 or share == 0 else f"{share:.1%}"


def points(change: float) -> str:
    """A change of a share in percentage points, with its sign: 0.361 -> "+36.1"."""
    return f"{100 * change:+.1f}" if abs(change) >= 0.0005 else "0.0"


def visible(text: str) -> str:
    """A token's text with its blanks shown, as the view of the prompt's tokens shows them."""
    return text.replace("\n", "\u21b5").replace(" ", "\u00b7") or "\u2205"


def quoted(text: str) -> str:
    """A token in quotes, its blanks shown."""
    return f"\u201c{visible(text)}\u201d"


def sentences(plain: Sequence[str]) -> str:
    """Sentences of plain text as the HTML of a caption, a line each."""
    return "<br>".join(escape(sentence) for sentence in plain)


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of plain texts as HTML; it scrolls by itself where it is wider than the page, with the keyboard, too."""
    columns = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="numbers" role="region" tabindex="0" aria-label="{escape(caption)}"><table>'
        f"<caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )
