"""Which layers a choice like "last10" names. Knows the model's sites; no projection."""

from __future__ import annotations

import re
from collections.abc import Sequence

from seka.sites import Site


def choose(layers: str | Sequence[int], available: Sequence[Site]) -> tuple[Site, ...]:
    """The sites a choice names: "all", "last10", "first4" (attention layers; all where there are fewer), "3,5", or ints.

    ValueError names the choice and the layers there are.
    """
    by_layer = {site.layer: site for site in available}
    wanted = f"wanted 'all', 'lastN', 'firstN', or layers out of {sorted(by_layer)}, for example '3,5'"
    if isinstance(layers, str):
        text = layers.strip().lower()
        if text == "all":
            return tuple(available)
        if match := re.fullmatch(r"(last|first)([1-9]\d*)", text):
            count = int(match[2])
            return tuple(available[-count:] if match[1] == "last" else available[:count])
        if not re.fullmatch(r"\d+(\s*,\s*\d+)*", text):
            raise ValueError(f"layers {layers!r} not understood; {wanted}")
        layers = [int(part) for part in text.split(",")]
    numbers = sorted({int(layer) for layer in layers})
    missing = [number for number in numbers if number not in by_layer]
    if missing or not numbers:
        raise ValueError(f"layers {missing or list(layers)} are not attention layers of this model; {wanted}")
    return tuple(by_layer[number] for number in numbers)
