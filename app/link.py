"""A link that holds a prompt and its settings, so that nothing is stored on the server.

`?s=` is one letter and base64url without padding: "j" of JSON in UTF-8, "z" of the same deflated without a header. The JSON is
{"prompt": text, "settings": {name: value}}. The browser writes links (assets/carry.js); here they are read.
"""

from __future__ import annotations

import base64
import binascii
import os
import zlib

from app.asked import Asked, asked, parse

#: Characters of a link's text at most: servers and chats cut longer addresses. Longer runs travel as files.
LONGEST = 6000
#: Bytes that a compressed link may unfold to.
UNFOLDED = 1_000_000


def read(code: str) -> Asked:
    """What a link holds. ValueError in words for one that cannot be read."""
    if len(code) > LONGEST:
        raise ValueError(f"it is {len(code)} characters long, and a link holds {LONGEST}")
    try:
        raw = base64.b64decode(code[1:] + "=" * (-len(code[1:]) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("some of its characters are missing or wrong") from None
    if code[:1] == "z":
        raw = _unfold(raw)
    elif code[:1] != "j":
        raise ValueError("it is not of this page")
    try:
        return asked(parse(raw.decode()))
    except UnicodeDecodeError:
        raise ValueError("some of its characters are missing or wrong") from None


def _unfold(raw: bytes) -> bytes:
    unfolder = zlib.decompressobj(-15)
    try:
        out = unfolder.decompress(raw, UNFOLDED)
    except zlib.error:
        raise ValueError("some of its characters are missing or wrong") from None
    if not unfolder.eof:
        raise ValueError("it ends too early, or unfolds to more than any prompt")
    return out


def address() -> str:
    """Where links lead: the Space's page, since it passes parameters on; empty for the address that the browser shows."""
    space = os.environ.get("SPACE_ID", "")
    return f"https://huggingface.co/spaces/{space}" if space else ""
