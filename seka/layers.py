"""Which layers "last10" or "3,5" names, and which heads "0:1,3;4:0" does. Knows the model's sites; no projection."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from seka.sites import Site

#: What a choice may be, in words.
CHOICES = "'all', 'lastN', 'firstN', '3,5', or heads of layers, '0:1,3;4:0'"
_COUNTED = re.compile(r"(last|first)([1-9]\d*)")
_LISTED = re.compile(r"\d+(\s*,\s*\d+)*")


def is_choice(layers: object) -> bool:
    """Whether it is text that `choose` understands: "all", "last10", "first4", "3,5" or "0:1,3;4:0". Knows no model's layers."""
    if not isinstance(layers, str):
        return False
    text = layers.strip().lower()
    if ":" in text:
        try:
            return bool(read_heads(text))
        except ValueError:
            return False
    return text == "all" or bool(_COUNTED.fullmatch(text) or _LISTED.fullmatch(text))


def choose(layers: str | Sequence[int], available: Sequence[Site]) -> tuple[Site, ...]:
    """The sites a choice names: "all", "last10", "first4" (attention layers; all where there are fewer), "3,5", or ints;
    of heads ("0:1,3;4:0") those of their layers, and `named_heads` tells which ones.

    ValueError names the choice and the layers there are.
    """
    by_layer = {site.layer: site for site in available}
    wanted = f"wanted 'all', 'lastN', 'firstN', layers out of {sorted(by_layer)}, for example '3,5', or heads of them, '0:1,3;4:0'"
    named: Mapping[int, Sequence[int]] = {}
    if isinstance(layers, str):
        if not is_choice(layers):
            raise ValueError(f"layers {layers!r} not understood; {wanted}")
        text = layers.strip().lower()
        if text == "all":
            return tuple(available)
        if match := _COUNTED.fullmatch(text):
            count = int(match[2])
            return tuple(available[-count:] if match[1] == "last" else available[:count])
        named = named_heads(text) or {}
        layers = list(named) or [int(part) for part in text.split(",")]
    numbers = sorted({int(layer) for layer in layers})
    missing = [number for number in numbers if number not in by_layer]
    if missing or not numbers:
        raise ValueError(f"layers {missing or list(layers)} are not attention layers of this model; {wanted}")
    for layer, heads in named.items():
        if beyond := [head for head in heads if head >= by_layer[layer].heads]:
            raise ValueError(f"layer {layer} has no heads {beyond}; wanted some of 0 to {by_layer[layer].heads - 1}")
    return tuple(by_layer[number] for number in numbers)


def named_heads(layers: str | Sequence[int]) -> dict[int, list[int]] | None:
    """{layer: [KV heads]} of a choice that names heads; None for one of whole layers, all of whose heads it means."""
    return read_heads(layers) if isinstance(layers, str) and ":" in layers else None


def read_heads(text: str) -> dict[int, list[int]]:
    """{layer: [KV heads]} as written: layers apart by ";", each with its heads, "0:1,3;4:0". Nothing for a blank text.

    ValueError names the part that is not so. Whether a model has these layers and heads is a `Steering`'s to say.
    """
    found: dict[int, set[int]] = {}
    for part in text.split(";") if text.strip() else ():
        if not (match := re.fullmatch(r"\s*([0-9]{1,5})\s*:\s*([0-9]{1,5}(?:\s*,\s*[0-9]{1,5})*)\s*", part)):
            raise ValueError(
                f"heads {part.strip()!r} not understood; wanted LAYER:HEAD,HEAD;LAYER:HEAD, like '0:1,3;4:0'"
            )
        found.setdefault(int(match[1]), set()).update(int(head) for head in match[2].split(","))
    return {layer: sorted(found[layer]) for layer in sorted(found)}


def write_heads(heads: Mapping[int, Sequence[int]]) -> str:
    """What `read_heads` reads back; layers without heads are left out."""
    return ";".join(
        f"{layer}:{','.join(str(n) for n in sorted(heads[layer]))}" for layer in sorted(heads) if heads[layer]
    )
