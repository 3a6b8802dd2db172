"""What the tests of steering share: tiny models, invented projections, prompts of several lengths, and how to look at a model."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from conftest import PROMPTS, build_model
from families import FAMILIES
from torch import Tensor

import seka
from seka import Projection, Router, Steering
from seka.factors import Factors, LayerProjection
from seka.fingerprint import fingerprint
from seka.routing import Routing
from seka.sites import decoder, sites
from seka.tokens import Tokens

HEADS, QUERY_HEADS, WIDTH = 2, 4, 16

#: How far float64 logits may lie from those by hand: the norms round to float32 inside.
CLOSE = 1e-6


def close(family: str) -> float:
    """The tolerance of a family's logits. The table of families says why some run in float32; layers of linear attention
    and of state spaces compute in it whatever the model's type."""
    rounded = {"linear_key_head_dim", "mamba_d_state"} & set(FAMILIES[family].settings)
    return CLOSE if FAMILIES[family].dtype == torch.float64 and not rounded else 5e-5


def steerable(family: str, **changes: Any) -> Any:
    """A tiny model whose answers steering changes easily: with tied embeddings random Gemmas only repeat their input."""
    return build_model(family, tie_word_embeddings=False, **changes)


def forward(model: Any, tokens: Tokens, **options: Any) -> Any:
    """One call of the model over a left-padded batch, positions counted from each row's first real token."""
    positions = (tokens.attention.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        return model(tokens.ids, attention_mask=tokens.attention, position_ids=positions, **options)


def logits(model: Any, tokens: Tokens, steering: Steering | None = None) -> Tensor:
    if steering is None:
        return forward(model, tokens).logits
    with steering.on(tokens):
        return forward(model, tokens).logits


def last(out: Tensor, row: int, count: int) -> Tensor:
    """A row's logits without its padding."""
    return out[row, -count:]


def prompts() -> list[seka.Prompt]:
    """Three prompts of different lengths; the first and last token of one are marked, one holds a negative mark."""
    return [seka.Prompt.marked(text) for text in PROMPTS]


def rows_of(tokens: Tokens) -> list[tuple[list[int], dict[int, float]]]:
    """Each row without its padding: ids, and {column: weight of its mark}."""
    out = []
    for ids, attention, highlight in zip(tokens.ids, tokens.attention, tokens.highlight, strict=True):
        start = int((attention == 0).sum())
        marks = {i: float(w) for i, w in enumerate(highlight[start:]) if float(w) != 0}
        out.append((ids[start:].tolist(), marks))
    return out


def tokens_of(rows: Sequence[tuple[Sequence[int], Mapping[int, float]]]) -> Tokens:
    """A left-padded batch of rows given as ids and {column: weight}."""
    width = max(len(ids) for ids, _ in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    attention, highlight = torch.zeros_like(ids), torch.zeros((len(rows), width))
    for i, (row, marks) in enumerate(rows):
        pad = width - len(row)
        ids[i, pad:] = torch.tensor(row)
        attention[i, pad:] = 1
        for column, weight in marks.items():
            highlight[i, pad + column] = weight
    return Tokens(ids, attention, highlight)


def invent(
    model: Any, seed: int = 0, layers: Sequence[int] | None = None, scaled: bool = False, **header: Any
) -> seka.Projection:
    """A projection of random orthonormal factors for this model; ranks 3 to 8 differ between heads and channels. scaled: each
    head has a scale of its own, 0.5 to 1.5."""
    generator, usual = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1000)
    found = {site.layer: site for site in sites(model)}

    def factors(heads: int, width: int) -> Factors:
        gauss = torch.randn((heads, width, width), generator=generator, dtype=torch.float64)
        vectors = torch.linalg.qr(gauss).Q[:, :, :8].float().contiguous()
        values = torch.rand((heads, width), generator=generator).sort(descending=True).values + 0.1
        return Factors(values, torch.randint(3, 9, (heads,), generator=generator), vectors)

    parts = {}
    for layer in found if layers is None else layers:
        heads, width = found[layer].heads, found[layer].width
        parts[layer] = LayerProjection(
            factors(heads, width),
            factors(heads, width),
            torch.rand(heads, generator=generator) + 1,
            torch.rand(heads, generator=generator) + 0.1,
            torch.ones(heads, dtype=torch.bool),
            torch.rand(heads, generator=generator) + 0.5 if scaled else torch.ones(heads),
            torch.rand((heads, 8), generator=usual) / width,
        )
    return seka.Projection(parts, {**fingerprint(model), "name": f"invented {seed}", "oriented": True, **header})


def steering_of(model: Any, gain: float = 8.0, seed: int = 0) -> Steering:
    return Steering(model, invent(model, seed), gain)


@contextmanager
def counted(model: Any) -> Iterator[list[tuple[int, ...]]]:
    """Shapes of the decoder's calls."""
    shapes: list[tuple[int, ...]] = []

    def note(_module: Any, args: Any, kwargs: Any) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        inputs = kwargs["inputs_embeds"] if ids is None else ids  # a wrapper hands embeddings on
        shapes.append(tuple(inputs.shape[:2]))

    handle = decoder(model).register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield shapes
    finally:
        handle.remove()


@contextmanager
def scripted(model: Any, rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The model says what is written: row b's n-th call prefers rows[b][n]. Yields the calls' numbers."""
    calls: list[int] = []

    def hook(_module: Any, _args: Any, logits: Tensor) -> Tensor:
        out = logits.clone()
        for row, script in enumerate(rows):
            out[row, -1, script[min(len(calls), len(script) - 1)]] = 1e4
        calls.append(len(calls))
        return out

    handle = model.lm_head.register_forward_hook(hook)
    try:
        yield calls
    finally:
        handle.remove()


def footprint(model: torch.nn.Module) -> tuple[int, tuple[tuple[str, int], ...]]:
    """What a context must leave as it found it: number of hooks, and the bytes of every parameter and buffer."""
    hooks = sum(
        len(h) for m in model.modules() for h in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks)
    ) + sum("forward" in m.__dict__ for m in model.modules())
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    return hooks, tuple((name, hash(t.detach().numpy().tobytes())) for name, t in tensors)


def experts(model: Any, count: int = 3, scaled: bool = False) -> dict[str, Projection]:
    return {"abc"[n]: invent(model, n, scaled=scaled) for n in range(count)}


def changed(projection: Projection, **change: Any) -> Projection:
    """The projection with `change` = name: function(layer, tensor) applied to fields of every positive channel."""
    parts = {}
    for layer, part in projection.parts.items():
        fields = {name: f(layer, getattr(part.positive, name)) for name, f in change.items()}
        parts[layer] = replace(part, positive=replace(part.positive, **fields))
    return Projection(parts, projection.header)


def routed(model: Any, tokens: Tokens, router: Router, gain: float = 4.0, **options: Any) -> tuple[Tensor, Routing]:
    with Steering(model, router, gain, **options).on(tokens) as session:
        out = forward(model, tokens).logits
    assert session.routing is not None
    return out, session.routing
