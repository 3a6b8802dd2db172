"""What is said and drawn of heads, from plain data: how sensitivity and effect agree, and all that is known of one head.

The record's keys read here: "sensitivity" and "effect", {layer: [H]} with None where unknown; "effect_of", {"token", "prompt",
"mode", "strength"} of its measurement; "routing" and "attention" as `app.insight` writes them. Older records lack some.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

import torch
from torch import Tensor

from app.tables import percent, quoted
from app.words import plural
from seka.effects import agreement, rank_correlation, two_places

#: {layer: [H]} of plain data, layers as text; None where a head has no value.
Plain = Mapping[str, list[float | None]]
#: (layer, KV head)
Place = tuple[int, int]


def plain(values: Mapping[int, Tensor]) -> dict[str, list[float | None]]:
    """{layer: (H,)} as JSON can hold it, rounded; None for NaN."""
    return {
        str(layer): [None if math.isnan(value) else round(value, 5) for value in row.tolist()]
        for layer, row in values.items()
    }


def tensors(values: Plain) -> dict[int, Tensor]:
    """What `plain` wrote: {layer: (H,)}, NaN for None."""
    return {int(layer): torch.tensor([math.nan if v is None else v for v in row]) for layer, row in values.items()}


def places(values: Plain) -> dict[Place, float]:
    """{(layer, head): value} of the heads that have one."""
    every = {(int(layer), head): value for layer, row in values.items() for head, value in enumerate(row)}
    return {place: value for place, value in every.items() if value is not None}


def steered(count: int, every: int, layers: int) -> str:
    """How many heads marks act on."""
    return f"{count} of {plural(every, 'head')} in {plural(layers, 'layer')}"


def effect(record: Mapping[str, Any]) -> str:
    """HTML under the map of effects: what was measured, and where effect and sensitivity disagree. Empty without one."""
    if not record.get("effect") or not record.get("effect_of"):
        return ""
    of, moved, shift = record["effect_of"], places(record["effect"]), places(record.get("sensitivity") or {})
    if not moved:
        return ""
    sentences = [
        f"Measured on “{escape(of['prompt'])}”, steered by {escape(of['mode'])} at strength {of['strength']:g}, each head at "
        f"its scale of it: how much likelier one head alone makes {escape(quoted(of['token']))}, with which the steered "
        "answer begins."
    ]
    best = max(moved, key=moved.__getitem__)
    against = sum(value < 0 for value in moved.values())
    works = "works" if against == 1 else "work"
    sentences.append(
        f"{_name(best)} does most for it ({_nats(moved[best])}); {against} of {plural(len(moved), 'head')} {works} against it."
    )
    if shared := [place for place in moved if place in shift]:
        first = max(shared, key=shift.__getitem__)
        r = rank_correlation([shift[place] for place in shared], [moved[place] for place in shared])
        if first == best:
            sentences.append("It is the most sensitive head, too.")
        else:
            place, rank = f"layer {first[0]}, KV head {first[1]}", _rank(first, moved)
            sentences.append(f"The most sensitive one, {place}, has {rank} by effect ({_nats(moved[first])}).")
        if not math.isnan(r):
            sentences.append(f"Sensitivity and effect {agreement(r)}: their rank correlation is {two_places(r)}.")
    return " ".join(sentences)


def drawn(record: Mapping[str, Any]) -> dict[str, Any]:
    """Both maps of a record's heads, by name; None where it does not hold the values."""
    return {"heads": sensitivity_map(record), "effect": effect_map(record)}


def sensitivity_map(record: Mapping[str, Any]) -> Any:
    """The figure of a record's sensitivity, its steered heads outlined; None where it has none."""
    from seka import figures

    if not record.get("sensitivity"):
        return None
    values = tensors(record["sensitivity"])
    return figures.shifts(values, _selected(record, values))


def effect_map(record: Mapping[str, Any], selected: Mapping[int, Tensor] | None = None) -> Any:
    """The figure of a record's effect; None where it has none. selected: heads to outline, None for those of the record."""
    from seka import figures

    if not record.get("effect"):
        return None
    values = tensors(record["effect"])
    return figures.effects(values, _selected(record, values) if selected is None else selected)


def _selected(record: Mapping[str, Any], values: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """{layer: (H,)} bool, the heads that the record's run steered. KeyError for a layer that has no values."""
    heads = {int(layer): torch.tensor(row, dtype=torch.long) for layer, row in record.get("heads", {}).items()}
    return {layer: torch.isin(torch.arange(len(values[layer])), row) for layer, row in heads.items()}


def one(
    place: Place,
    state: str,
    shifts: Mapping[str, Plain],
    scales: Mapping[str, Plain],
    run: Mapping[str, Any] | None,
    measured: Mapping[str, Any] | None,
) -> str:
    """HTML of all that is known of one head.

    state: what a click has just done, or whether it is steered. shifts: {expert: its sensitivity}. scales: {expert: its
    factors of the strength}. run: the last run's record; measured: a record with an effect; None where there is none.
    """
    every = {name: places(values) for name, values in shifts.items()}
    known = {name: values[place] for name, values in every.items() if place in values}
    rows = [("Sensitivity", _sensitivity(place, known, every)), ("Scale of the strength", _scale(place, scales))]
    moved = places((measured or {}).get("effect") or {})
    rows.append(("Effect alone", f"{_nats(moved[place])}, {_rank(place, moved)}" if place in moved else "not measured"))
    rows.append(("Router’s weights, last run", _weights(place, run or {})))
    rows += _attention(place, run or {})
    listed = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows)
    return f'<p class="which"><strong>{_name(place)}</strong>: {escape(state)}</p><dl>{listed}</dl>'


def _sensitivity(place: Place, known: Mapping[str, float], every: Mapping[str, Mapping[Place, float]]) -> str:
    if not known:
        return "unknown"
    largest: dict[Place, float] = {}
    for values in every.values():
        for at, value in values.items():
            largest[at] = max(value, largest.get(at, value))
    each = f" ({', '.join(f'{name} {value:.3f}' for name, value in known.items())})" if len(known) > 1 else ""
    return f"relative shift {largest[place]:.3f}, {_rank(place, largest)}{each}"


def _scale(place: Place, scales: Mapping[str, Plain]) -> str:
    known = {name: places(values)[place] for name, values in scales.items() if place in places(values)}
    if len(set(known.values())) > 1:
        return ", ".join(f"{name} ×{scale:.3g}" for name, scale in known.items())
    return f"×{next(iter(known.values())):.3g}" if known else "unknown"


def _weights(place: Place, run: Mapping[str, Any]) -> str:
    if not run:
        return "no run yet"
    routing = run.get("routing")
    if routing is None:
        return "none: one expert acted" if "routing" in run else "not recorded"
    rows = routing["coefficients"].get(str(place[0]))
    if not rows or place[1] >= len(rows[0]) or not any(row[place[1]] for row in rows):
        return "none: it was not steered"
    return ", ".join(f"{name} {row[place[1]]:.2f}" for name, row in zip(routing["names"], rows, strict=True))


def _attention(place: Place, run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Mean share over the query heads that this KV head serves, for each kind of mark."""
    found = run.get("attention") or {}
    layer, head = str(place[0]), place[1]
    count = found.get("kv_heads", {}).get(layer)
    rows = []
    for kind, shares in found.get("shares", {}).items():
        group = len(shares["plain"].get(layer, ())) // (count or 1)
        if not count or not group or head >= count:
            continue
        served = slice(head * group, (head + 1) * group)
        before, after = (sum(shares[way][layer][served]) / group for way in ("plain", "steered"))
        rows.append((f"Attention on {kind} words, last run", f"{percent(before)} plain, {percent(after)} steered"))
    return rows


def _name(place: Place) -> str:
    return f"Layer {place[0]}, KV head {place[1]}"


def _nats(value: float) -> str:
    return f"{value:+.3f} nats".replace("-", "\u2212")


def _rank(place: Place, values: Mapping[Place, float]) -> str:
    return f"rank {1 + sum(value > values[place] for value in values.values())} of {len(values)}"
