"""What decides a run, brought along from a link, from the browser's memory or from a file: none of it can be trusted.

Knows plain data and the names of settings; no gradio, no model. Every refusal is a ValueError in words.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from app.settings import Settings

#: Characters of a prompt; whether a model can take so many is another question.
LONGEST = 200_000
#: Smallest and largest number that the page has a place for.
BOUNDS: dict[str, tuple[float, float]] = {
    "strength": (0, 1000),
    "max_new_tokens": (1, 256),
    "min_shift": (0, 1000),
    "seed": (0, 2**53 - 1),
    "temperature": (0, 5),
}


@dataclass(frozen=True)
class Asked:
    """The prompt as typed, and the settings."""

    prompt: str
    settings: Settings

    def data(self) -> dict[str, Any]:
        """As plain data, which `asked` reads back."""
        return {"prompt": self.prompt, "settings": asdict(self.settings)}


def asked(data: Any) -> Asked:
    """From {"prompt": text, "settings": {name: value}}; settings that are not there have their defaults."""
    if not isinstance(data, dict) or not isinstance(data.get("prompt"), str):
        raise ValueError("there is no prompt in it")
    return Asked(text(data["prompt"]), settings(data.get("settings", {})))


def text(prompt: str) -> str:
    """A prompt that can be read: not too long, and all of it characters."""
    if not isinstance(prompt, str):
        raise ValueError(f"the prompt is {type(prompt).__name__}; wanted text")
    if len(prompt) > LONGEST:
        raise ValueError(f"the prompt has {len(prompt)} characters; at most {LONGEST} can be read")
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise ValueError("the prompt holds half of a character") from None
    return prompt


def settings(data: Any) -> Settings:
    """Settings from {name: value}, each of the right type and within BOUNDS."""
    if not isinstance(data, dict):
        raise ValueError("its settings are no table of names and values")
    known = {field.name: field for field in fields(Settings)}
    if unknown := sorted(str(name)[:40] for name in data if name not in known):
        raise ValueError(f"unknown settings {unknown}; wanted some of {sorted(known)}")
    return Settings(**{name: _value(name, value, known[name].default) for name, value in data.items()})


def parse(source: str | bytes) -> Any:
    """JSON that somebody else wrote; without NaN and infinities, which JSON does not have."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number of JSON")

    try:
        return json.loads(source, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON ({str(error)[:80]})") from None


def _value(name: str, value: Any, default: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in BOUNDS:
        least, most = BOUNDS[name]
        if value is None and default is None:
            return None
        if not number or not least <= value <= most:
            raise ValueError(f"{name} is {_short(value)}; wanted a number from {least} to {most}")
        if isinstance(default, int) and value != int(value):
            raise ValueError(f"{name} is {_short(value)}; wanted a whole number")
        return int(value) if isinstance(default, int) else float(value)
    wanted = type(default)
    if not isinstance(value, wanted) or (isinstance(value, str) and len(value) > 4000):
        kind = "true or false" if wanted is bool else "a short text"
        raise ValueError(f"{name} is {_short(value)}; wanted {kind}")
    return text(value) if isinstance(value, str) else value


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:40] + "…"
