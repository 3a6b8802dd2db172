"""Examples with their results, which the page shows before anything has run. `python -m app.examples` writes them.

Every result in the file comes from a real run of the embedded model; what to run comes from the file itself (title,
prompt, settings of each entry), so the command can be repeated after the model or the experts have changed.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, fields, replace
from html import escape
from pathlib import Path
from typing import Any

from app import actions, maps
from app.models import ADAPTIVE, Studio, studio
from app.views import BEFORE, View, finished

PATH = Path(__file__).resolve().parents[1] / "assets" / "examples.json"
BADGE = "Precomputed example \u2013 press Compare to run it yourself"


@dataclass(frozen=True)
class Example:
    """title, a note on what to see, prompt with markers, settings, and `result`: the record of its run."""

    title: str
    note: str
    prompt: str
    settings: actions.Settings
    result: dict[str, Any]

    def view(self, model: str) -> View:
        """What the page of this model shows for it: its run; before a first run where the run is another model's, which
        would answer otherwise and has other heads."""
        if self.result["model"] != model:
            return BEFORE
        text = actions.read(self.prompt, self.settings.literal).text
        view = finished(self.result, text, f'<span class="badge">{BADGE}</span>')
        return replace(view, remarks=f"{escape(self.note)} {view.remarks}".strip())


def load(path: Path = PATH) -> list[Example]:
    """The examples that have a result; none where there is no file."""
    if not path.exists():
        return []
    return [
        Example(
            entry["title"], entry.get("note", ""), entry["prompt"], settings(entry.get("settings", {})), entry["result"]
        )
        for entry in json.loads(path.read_text(encoding="utf-8"))
        if entry.get("result")
    ]


def settings(chosen: dict[str, Any]) -> actions.Settings:
    """Settings from an entry; ValueError names one that is unknown."""
    known = {field.name for field in fields(actions.Settings)}
    if unknown := sorted(set(chosen) - known):
        raise ValueError(f"unknown settings {unknown}; wanted some of {sorted(known)}")
    return actions.Settings(**chosen)


def compute(here: Studio, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries with the result of a real run each."""
    done = []
    for entry in entries:
        chosen = settings(entry.get("settings", {}))
        if chosen.mode == ADAPTIVE and here.router is None:
            raise ValueError(here.note)
        *_, last = actions.run(here, entry["prompt"], chosen)
        result = {**actions.record(here, last, chosen, entry["prompt"]), **_effect(here, entry["prompt"], chosen)}
        done.append({**entry, "result": result})
    return done


def _effect(here: Studio, prompt: str, chosen: actions.Settings) -> dict[str, Any]:
    """The record's keys on each head's effect; none for a prompt where no head can act."""
    try:
        *_, measured = maps.measure(here, prompt, chosen)
    except ValueError:
        return {}
    assert isinstance(measured, dict)
    return measured


def main(source: Path = PATH) -> None:
    """Run every entry of `source` and write the results to the page's file."""
    here = studio()
    here.start(None)
    done = compute(here, json.loads(source.read_text(encoding="utf-8")))
    PATH.write_text(json.dumps(done, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    for entry in done:
        result = entry["result"]
        same = " (identical)" if result["plain"]["text"] == result["steered"]["text"] else ""
        sys.stdout.write(f"{entry['title']}: {result['plain']['text']!r} -> {result['steered']['text']!r}{same}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PATH)
