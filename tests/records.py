"""Records of runs of the tiny studio, as a file would bring them back, and the cells of a table in markup."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from functools import cache
from typing import Any

from studios import text_of, tiny_studio

from app import actions
from app.actions import Settings

MARKED = "Previously Ada played **chess**. Currently Ada ~~plays golf~~. Ada is a player of"
STRONG = Settings(mode="facts", strength=6.0, max_new_tokens=4)


@cache
def record(mode: str = "facts", text: str = MARKED) -> dict[str, Any]:
    """The record of a run with that mode."""
    loaded: dict[str, Any] = json.loads(json.dumps(actions.answer(tiny_studio(), text, replace(STRONG, mode=mode))))
    return loaded


def cells(table: str) -> list[list[str]]:
    """What stands in the rows of a table."""
    rows = re.findall("<tr>(<td>.*?)</tr>", table)
    return [[text_of(cell) for cell in re.findall("<td>(.*?)</td>", row)] for row in rows]
