"""What entries of a projection's header must be, whoever wrote them. It knows plain values; no tensors, no files."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from seka.layers import CHOICES, is_choice


def _is_number(value: Any) -> bool:
    """Finite, and no bool."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _are_weights(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(some, list) and all(map(_is_number, some)) for some in value.values()
    )


def _are_layers(value: Any) -> bool:
    whole = isinstance(value, list) and all(type(layer) is int and layer >= 0 for layer in value)
    return whole and 0 < len(set(value)) == len(value)


#: Entries that no header may lack.
NEEDED = ("model", "geometry", "weights", "layers")
_TEXT: tuple[Callable[[Any], bool], str] = (lambda value: isinstance(value, str), "text")
#: What entries of a header must be, and how to say so. A model made in memory has an empty name.
_ENTRIES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "model": _TEXT,
    "name": _TEXT,
    "description": _TEXT,
    "geometry": (lambda value: isinstance(value, dict), "{name: value}"),
    "weights": (_are_weights, "{name: [finite numbers]}"),
    "layers": (_are_layers, "a list of different layer numbers"),
    "triplets": (lambda value: value is None or isinstance(value, dict), "{count: number}, or None"),
    "recommended_gain": (
        lambda value: value is None or (_is_number(value) and value > 0),
        "a finite number above 0, or None",
    ),
    "recommended_layers": (
        lambda value: value is None or is_choice(value),
        f"{CHOICES}, or None for all",
    ),
}


def problem(entries: Mapping[str, Any]) -> str:
    """What is wrong with entries of a header, in words; empty when nothing is."""
    for key, (fits, wanted) in _ENTRIES.items():
        if key in entries and not fits(entries[key]):
            return f"{key} is {entries[key]!r:.80}; wanted {wanted}"
    return ""
