"""Links: read back, refused in words, never trusted. They are written here independently of the page."""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from dataclasses import asdict
from typing import Any

import pytest

from app.actions import Settings
from app.asked import Asked
from app.link import LONGEST, address, read

ASKED = Asked(
    "Ada **plays** ~~golf~~ 😀 <b>\n\\**", Settings(mode="facts", strength=0.25, seed=7, temperature=0.5, literal=True)
)


def link(data: Any, kind: str = "j") -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    if kind == "z":
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        raw = packer.compress(raw) + packer.flush()
    return kind + base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize("kind", ["j", "z"])
@pytest.mark.parametrize("tail", ["", "a", "ab", "abc"])  # every length of padding
def test_a_link_gives_back_what_it_holds(kind: str, tail: str) -> None:
    given = {"prompt": ASKED.prompt + tail, "settings": asdict(ASKED.settings)}
    assert read(link(given, kind)) == Asked(ASKED.prompt + tail, ASKED.settings)


def test_settings_that_a_link_does_not_name_have_their_defaults() -> None:
    assert read(link({"prompt": "x"})) == Asked("x", Settings())
    assert read(link({"prompt": "x", "settings": {"strength": None}})).settings.strength is None


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("q" + link({"prompt": "x"})[1:], "not of this page"),
        ("j!!!", "missing or wrong"),
        (link({"prompt": "x"})[:-2], "not JSON"),
        (link(b"\xff\xfe"), "missing or wrong"),
        ("z" + link({"prompt": "x"})[1:], "missing or wrong"),
        (link(b"x" * 2_000_000, "z"), "more than any prompt"),  # 2 MB in 3 kB
        (link({"prompt": "x" * 300_000}, "z"), "300000 characters"),
        ("j" + "A" * LONGEST, "characters long"),
        (link({"text": "x"}), "no prompt"),
        (link([1]), "no prompt"),
        (link({"prompt": 3}), "no prompt"),
        (link({"prompt": "\ud800"}), "half of a character"),
        (link({"prompt": "x", "settings": [1]}), "no table"),
        (link({"prompt": "x", "settings": {"evil": 1}}), "unknown settings ['evil']"),
        (link({"prompt": "x", "settings": {"seed": 1.5}}), "whole number"),
        (link({"prompt": "x", "settings": {"seed": True}}), "seed is True"),
        (link({"prompt": "x", "settings": {"strength": "1"}}), "strength is '1'"),
        (link({"prompt": "x", "settings": {"temperature": -1}}), "from 0 to 5"),
        (link({"prompt": "x", "settings": {"max_new_tokens": 10**9}}), "from 1 to 256"),
        (link({"prompt": "x", "settings": {"mode": "a" * 5000}}, "z"), "short text"),
        (link({"prompt": "x", "settings": {"literal": 1}}), "true or false"),
        (link(b'{"prompt": "x", "settings": {"strength": NaN}}'), "NaN"),
        (link(b"[" * 3000), "not JSON"),
    ],
)
def test_a_bad_link_is_refused_in_words(code: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        read(code)


def test_huge_numbers_are_refused_too() -> None:
    for value in (math.inf, -1e400, 1e308, 10**400):
        with pytest.raises(ValueError, match=r"strength is|no number"):
            read(link(json.dumps({"prompt": "x", "settings": {"strength": value}}).encode()))


def test_links_of_a_space_lead_to_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert address() == ""
    monkeypatch.setenv("SPACE_ID", "ada/seka")
    assert address() == "https://huggingface.co/spaces/ada/seka"
