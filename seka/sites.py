"""Where keys and queries live in a model, seen in one forward of it; no steering.

A site is the place in one attention layer where the key of every head is final but for the rotary embedding: the output
of the key norm where there is one, of the key projection otherwise, which may be one with the query's and the value's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from seka import devices, families
from seka.devices import Share
from seka.eager import uncompiled
from seka.families import SUPPORTED as SUPPORTED
from seka.families import Parts
from seka.families import UnsupportedModel as UnsupportedModel
from seka.layout import Layout
from seka.locks import lock
from seka.probe import look


@dataclass(frozen=True)
class Site:
    """One attention layer.

    layer: index in the decoder. attention: the attention module. key, query: the modules whose outputs hold the keys and
    queries before the rotary embedding, as the layouts say; one and the same where the projection is fused.
    heads H, query_heads Q, width D.
    share: how processes divide the heads under tensor parallelism, or None where this one computes all; then the
    outputs hold `held` of the H heads, and as large a part of the Q.
    """

    layer: int
    attention: nn.Module
    key: nn.Module
    query: nn.Module
    heads: int
    query_heads: int
    width: int
    key_layout: Layout
    query_layout: Layout
    share: Share | None = None

    @property
    def held(self) -> slice:
        """Which of the H heads this process computes."""
        return slice(0, self.heads) if self.share is None else self.share.of(self.heads)

    def whole(self, part: Tensor, dim: int) -> Tensor:
        """The heads that this process computed, along `dim`, joined with those of the other processes."""
        return part if self.share is None else self.share.gather(part, dim)

    def keys(self, output: Tensor) -> Tensor:
        """Output of `key` as (B, T, H, D)."""
        return self.key_layout.read(output)

    def queries(self, output: Tensor) -> Tensor:
        """Output of `query` as (B, T, Q, D)."""
        return self.query_layout.read(output)

    def write(self, output: Tensor, keys: Tensor) -> Tensor:
        """A new output of `key` with these keys (B, T, H, D) in it, and all else as it was."""
        return self.key_layout.write(output, keys)


_known: WeakKeyDictionary[nn.Module, tuple[Site, ...]] = WeakKeyDictionary()


def sites(model: nn.Module) -> tuple[Site, ...]:
    """The sites of a model, in layer order; found once, and again when their modules have been replaced.

    UnsupportedModel names the model type and the reason.
    """
    model = uncompiled(model)
    if not _in_place(model):
        with lock(model):  # finding them calls the model, which another thread may steer
            if not _in_place(model):
                _known[model] = _find(model)
    return _known[model]


def _in_place(model: nn.Module) -> bool:
    """Whether the sites are known, and their modules still those of the model."""
    known = _known.get(model)
    if known is None:
        return False
    now = [(part.key, part.query) for part in families.parts(blocks(model), text_config(model))]
    return now == [(site.key, site.query) for site in known]


def text_config(model: nn.Module) -> Any:
    """The configuration of the text decoder."""
    config: Any = getattr(model, "config", None)
    if config is None or not hasattr(config, "get_text_config"):
        raise UnsupportedModel(f"{type(model).__name__} is not a transformers model; wanted a causal language model")
    return config.get_text_config()


def decoder(model: Any) -> nn.Module:
    """The stack of layers, without the vocabulary head."""
    return _stack(model)[0]


def blocks(model: Any) -> nn.ModuleList:
    """The decoder's layers, in order."""
    return _stack(model)[1]


def _stack(model: Any) -> tuple[nn.Module, nn.ModuleList]:
    """The first module on the way in that has layers."""
    found: Any = model
    for _ in range(4):
        if isinstance(found, nn.Module) and (layers := families.layers(found)) is not None:
            return found, layers
        inner = found.get_decoder() if hasattr(found, "get_decoder") else None
        found = getattr(found, "model", None) if inner is found else inner  # Llama 4 takes itself for its decoder
    raise UnsupportedModel(f"{type(model).__name__} has no decoder layers; wanted a causal language model")


def context_length(model: nn.Module) -> int | None:
    """Most tokens the model can hold, or None where its configuration names no limit."""
    limit = getattr(text_config(model), "max_position_embeddings", None)
    return int(limit) if limit else None


def check_fits(model: nn.Module, length: int, new: int = 0) -> None:
    """ValueError, naming both lengths, when `length` tokens of a prompt and `new` more do not fit the model's context."""
    limit = context_length(model)
    if limit is not None and length + new > limit:
        asked = f" and {new} more are asked for" if new else ""
        raise ValueError(
            f"the prompt has {length} tokens{asked}; the model holds {limit}. "
            f"Shorten the prompt{' or ask for fewer' if new else ''}"
        )


def _find(model: nn.Module) -> tuple[Site, ...]:
    if reason := devices.refusal(model):
        raise UnsupportedModel(f"{type(model).__name__} cannot be steered: {reason}")
    config, kind = text_config(model), getattr(model.config, "model_type", "") or type(model).__name__
    if reason := _refusal(model, kind):
        raise UnsupportedModel(f"models of type {kind!r} cannot be steered: {reason}")
    parts = tuple(families.parts(blocks(model), config))
    if not parts:
        raise UnsupportedModel(f"this {kind!r} model cannot be steered: none of its layers makes keys of its own")
    try:
        seen = look(model, decoder(model), parts)
    except (RuntimeError, UnsupportedModel) as error:
        split = devices.share(parts[0].attention)
        uneven = split is not None and any(part.heads % split.mesh.size() for part in parts)
        if split is not None and (uneven or isinstance(error, RuntimeError)):
            raise UnsupportedModel(
                f"this {kind!r} model with {parts[0].heads} key heads does not run on {split.mesh.size()} processes, also "
                f"without steering; start as many as divide its heads, or use a device_map ({error})"
            ) from None
        if isinstance(error, UnsupportedModel):
            raise UnsupportedModel(f"this {kind!r} model cannot be steered: {error}") from None
        raise
    return tuple(_site(part, *seen[part.layer]) for part in parts)


def _refusal(model: nn.Module, kind: str) -> str | None:
    """Why this model cannot be steered: what its modules show, or that its family is not proven."""
    try:
        reason = families.refusal(blocks(model), text_config(model))
    except UnsupportedModel:
        if kind in SUPPORTED:
            raise
        reason = None
    if reason is not None or kind in SUPPORTED:
        return reason
    if (inner := text_config(model).model_type) in SUPPORTED:
        return f"it is a wrapper around a {inner!r} model; load the text model alone, with AutoModelForCausalLM"
    return f"seka has not been proven on this family; proven are {', '.join(SUPPORTED)}"


def _site(part: Parts, keys: Layout, queries: Layout) -> Site:
    """The site of one layer, of whose heads this process may compute a part only."""
    split = devices.share(part.attention)
    if (keys.heads, queries.heads) == (part.heads, part.query_heads):
        split = None
    elif split is None or (keys.heads, queries.heads) != (split.count(part.heads), split.count(part.query_heads)):
        raise UnsupportedModel(
            f"layer {part.layer} computes {keys.heads} of {part.heads} key heads and {queries.heads} of "
            f"{part.query_heads} query heads in this process; wanted all of them, or the same share of both under tensor "
            "parallelism"
        )
    return Site(
        part.layer, part.attention, part.key, part.query, part.heads, part.query_heads, part.width, keys, queries, split
    )
