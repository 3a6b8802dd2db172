"""Both maps of the heads, sensitivity and causal effect, and where they disagree. What a head's effect is, is in `seka.effects`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seka.effects import effects, rank_correlation, ranks
from seka.miniature.measures.evaluate import Row
from seka.projections import Projection

SHOWN = 4
"""How many heads are named where the maps disagree."""


def maps(model: Any, tokenizer: Any, projection: Projection, gain: float, rows: Sequence[Row]) -> dict[str, Any]:
    """{"effect", "shift"}: {layer: [H]}, and what `compare` finds; the less likely statement of each row is marked.

    effect: nats that the answer's first token gains when one head alone is steered, each at the same gain, whatever its
    scale; shift: relative, no unit.
    """
    even = projection.scaled({layer: [1.0] * len(projection.part(layer).scale) for layer in projection.layers})
    asked = [(row.marked(row.less_likely), row.case.answers[row.less_likely]) for row in rows]
    effect, shift = effects(model, tokenizer, even, asked, gain), projection.relative_shift
    return {
        "gain": gain,
        "n": len(rows),
        "effect": {str(layer): _plain(effect[layer]) for layer in projection.layers},
        "shift": {str(layer): _plain(shift[layer]) for layer in projection.layers},
        **compare(effect, shift),
    }


def compare(effect: dict[int, Tensor], shift: dict[int, Tensor]) -> dict[str, Any]:
    """Spearman's rank correlation of {layer: (H,)} maps, and the heads whose ranks lie furthest apart.

    Ranks count from 1, the largest; equal values share the mean of theirs. A head that either map does not know (NaN) has
    none.
    """
    heads = [
        (layer, head)
        for layer in sorted(effect)
        for head in range(len(effect[layer]))
        if not bool(torch.stack([effect[layer][head], shift[layer][head]]).isnan().any())
    ]
    values = [[float(some[layer][head]) for layer, head in heads] for some in (effect, shift)]
    places = len(heads) - torch.stack([ranks(row) for row in values])
    gaps = (places[0] - places[1]).abs().tolist()
    far = sorted(range(len(heads)), key=lambda i: (-gaps[i], heads[i]))[:SHOWN]
    return {
        "heads": len(heads),
        "rank correlation": round(rank_correlation(*values), 3),
        "furthest apart": [
            {"layer": heads[i][0], "head": heads[i][1], "effect": float(places[0, i]), "shift": float(places[1, i])}
            for i in far
        ],
    }


def _plain(values: Tensor) -> list[float | None]:
    return [None if value != value else round(value, 4) for value in values.tolist()]
