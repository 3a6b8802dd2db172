"""A run as a file: exported by the browser, imported here. Its figures and sentences are made anew from its record.

The file is JSON: {"format": "seka-run", "version": 1, "record": {...}}, the record being what `actions.record` says of a run, with
prompt, settings, versions and the model's fingerprint. Files come from anywhere: every part is checked, none of it is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from app import actions, asked, shapes
from app.asked import Asked
from app.views import View, finished

FORMAT, VERSION = "seka-run", 1
#: Bytes of a file, heads that are steered, and characters of an answer at most: a large model's record has a tenth of each.
LARGEST = 1_000_000
HEADS = 5000
ANSWER = 20_000

_ANSWER = {"text": str, "tokens": int, "finish": (str, None)}
_BY_LAYER = {"*": [(float, None)]}
_NOTE = {"note": str}
_PAIR = {"plain": _BY_LAYER, "steered": _BY_LAYER}
_WRITTEN = {"ids": [int], "texts": [str], "probabilities": [float]}
RECORD: dict[str, Any] = {
    "model": str,
    "made?": {"*": (str, None)},
    "typed": str,
    "settings": {"*": (str, float, bool, None)},  # `asked` looks closer
    "plain": _ANSWER,
    "steered": _ANSWER,
    "seconds": float,
    "heads": {"*": [int]},
    "all_heads": int,
    "totals": ({"*": float}, None),
    "sensitivity?": _BY_LAYER,
    "routing?": ({"names": [str], "coefficients": {"*": [[float]]}}, None),
    "attention?": (
        {"tokens": int, "marked": {"*": int}, "kv_heads": {"*": int}, "shares": {"*": _PAIR}},
        _NOTE,
    ),
    "next?": (
        {"top": [{"id": int, "text": str, "plain": float, "steered": float}], "moved": float},
        _NOTE,
    ),
    "written?": {"plain": _WRITTEN, "steered": _WRITTEN},
    "effect?": _BY_LAYER,
    "effect_of?": {"token": str, "prompt": str, "mode": str, "strength": float},
}


@dataclass(frozen=True)
class Run:
    """A run from a file: what was asked, and its record."""

    asked: Asked
    record: dict[str, Any]

    def view(self, model: str, badge: str = "") -> View:
        """What the page shows of it; `model` is the page's own. ValueError where parts of the record do not fit together.

        badge: HTML for the status line; by default where an imported run is from.
        """
        done = self.record
        plain = actions.read(self.asked.prompt, self.asked.settings.literal).text
        made = done.get("made", {})
        with_version = f" with seka {escape(made['seka'])}" if made.get("seka") else ""
        other = "" if done["model"] == model else ", which is not this page\u2019s model"
        imported = f'<span class="badge">Imported run of {escape(done["model"])}{with_version}{other}</span>'
        try:
            return finished(done, plain, badge or imported)
        except Exception as error:  # whatever a file that looks right may still hold
            raise ValueError("its parts do not fit together") from error


def document(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a file of this run holds."""
    return {"format": FORMAT, "version": VERSION, "record": dict(record)}


def read(source: bytes) -> Run:
    """A run from a file's bytes. ValueError in words for anything else."""
    if len(source) > LARGEST:
        raise ValueError(f"it has {len(source)} bytes; a run has {LARGEST} at most")
    data = asked.parse(source)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError("it is no run that this page exported")
    if data.get("version") != VERSION:
        raise ValueError(f"it is of version {str(data.get('version'))[:20]}, and this page reads version {VERSION}")
    shapes.check(data.get("record"), RECORD, "record")
    record: dict[str, Any] = data["record"]
    if sum(len(row) for row in record["heads"].values()) > HEADS:
        raise ValueError(f"record.heads names more than {HEADS} heads")
    for row in ("plain", "steered"):
        if (size := len(record[row]["text"])) > ANSWER:
            raise ValueError(f"record.{row}.text has {size} characters; an answer has {ANSWER} at most")
    return Run(asked.asked({"prompt": record["typed"], "settings": record["settings"]}), record)


def again(data: Any) -> Asked:
    """What repeats a run's file; of a stopped run only as many tokens as it wrote."""
    record = data.get("record") if isinstance(data, dict) else None
    if not isinstance(record, dict):
        raise ValueError("it is no run that this page exported")
    rows = [row for row in (record.get("plain"), record.get("steered")) if isinstance(row, dict)]
    settings = record.get("settings")
    if isinstance(settings, dict) and any(row.get("finish") == "stopped" for row in rows):
        written = [row["tokens"] for row in rows if isinstance(row.get("tokens"), int)]
        settings = {**settings, "max_new_tokens": max(written, default=1)}
    return asked.asked({"prompt": record.get("typed"), "settings": settings})
