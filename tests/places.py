"""Where the keys and queries of a tiny model are: by the table of families and plain slicing, without asking seka."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from families import FAMILIES
from torch import Tensor, nn


@dataclass(frozen=True)
class Place:
    """One layer that computes keys of its own.

    layer: index in the decoder. attention: its attention module. module: the module whose output holds the keys before
    the rotary embedding. H heads, Q query_heads, D width. keys: from that output, one row (1, T, ...), to a view
    (T, H, D). query: from the attention's input at one column, (1, 1, hidden), to (Q, D) before the rotary embedding.
    """

    layer: int
    attention: Any
    module: Any
    heads: int
    query_heads: int
    width: int
    keys: Callable[[Tensor], Tensor]
    query: Callable[[Tensor], Tensor]


def places(model: Any, name: str) -> list[Place]:
    """In layer order. Layers without the table's key module (linear attention, keys of another layer) are left out."""
    family = FAMILIES[name]
    blocks = next(m for m in model.get_decoder().modules() if isinstance(m, nn.ModuleList))
    found = []
    for layer, block in enumerate(blocks):
        attention = next((child for child in block.children() if hasattr(child, family.key)), None)
        if attention is not None:
            find = _fused if family.axes.startswith("fused") else _own
            found.append(find(layer, attention, model.config.get_text_config(), family.key, family.axes))
    return found


def _own(layer: int, attention: Any, config: Any, key: str, axes: str) -> Place:
    """Keys have a projection of their own."""
    width = attention.head_dim
    heads, query_heads = attention.k_proj.out_features // width, config.num_attention_heads
    norm = getattr(attention, key.replace("k_", "q_")) if key != "k_proj" else None
    gated = attention.q_proj.out_features == 2 * query_heads * width

    def keys(output: Tensor) -> Tensor:
        row = output[0]
        return row.view(-1, heads, width) if axes == "flat" else row.transpose(0, 1) if axes == "htd" else row

    def query(hidden: Tensor) -> Tensor:
        flat = attention.q_proj(hidden)[0, 0]
        if gated:  # each head's query is followed by its gate
            flat = flat.view(query_heads, 2, width)[:, 0].flatten()
        if norm is None:
            return flat.view(query_heads, width)
        shape = {"flat": (1, 1, -1), "thd": (1, 1, query_heads, width), "htd": (1, query_heads, 1, width)}[axes]
        return norm(flat.view(shape)).view(query_heads, width)

    return Place(layer, attention, getattr(attention, key), heads, query_heads, width, keys, query)


def _fused(layer: int, attention: Any, config: Any, key: str, axes: str) -> Place:
    """One projection makes queries, keys and values."""
    module = getattr(attention, key)
    query_heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // query_heads
    total = (module.nf if hasattr(module, "nf") else module.out_features) // width
    heads = (total - query_heads) // 2

    def keys(output: Tensor) -> Tensor:
        if axes == "fused groups":
            return output[0].view(-1, heads, total // heads, width)[:, :, -2]
        return output[0].view(-1, total, width)[:, query_heads : query_heads + heads]

    def query(hidden: Tensor) -> Tensor:
        output = module(hidden)[0, 0]
        if axes == "fused groups":
            return output.view(heads, total // heads, width)[:, :-2].reshape(query_heads, width)
        return output.view(total, width)[:query_heads]

    return Place(layer, attention, module, heads, query_heads, width, keys, query)
