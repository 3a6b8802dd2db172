"""How much of the last token's attention falls on the highlighted ones. One row of queries; no (T, T) matrix is made."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from seka.locks import lock
from seka.sites import decoder, sites, text_config
from seka.tokens import Tokens


def attention_on_highlight(model: nn.Module, tokens: Tokens) -> dict[int, Tensor]:
    """{layer: (B, Q)} share of the last column's attention on columns with a highlight other than 0; between 0 and 1.

    Runs the decoder once, in the attention back end the model has, and sees the queries and keys it sees (rotary
    embedding, mask, sliding window and soft cap included; steered keys inside `steering.on`).
    """
    marked = tokens.highlight != 0
    layers = {site.attention: site.layer for site in sites(model)}
    shares: dict[int, Tensor] = {}

    def observe(module: nn.Module, query: Tensor, key: Tensor, mask: Tensor | None, options: dict[str, Any]) -> None:
        shares[layers[module]] = (
            _last_row(query, key, mask, options) @ marked.to(query.device, torch.float32)[:, :, None]
        )

    with lock(model), torch.no_grad(), _observing(model, observe):
        decoder(model)(input_ids=tokens.ids, attention_mask=tokens.attention, use_cache=False)
    return {layer: share.squeeze(-1) for layer, share in sorted(shares.items())}


def _last_row(query: Tensor, key: Tensor, mask: Tensor | None, options: dict[str, Any]) -> Tensor:
    """(B, Q, T) attention weights of the last query. query (B, Q, T, D) and key (B, H, T, D) after the rotary embedding."""
    heads, width = query.shape[1], query.shape[3]
    last = query[:, :, -1].float().unflatten(1, (key.shape[1], heads // key.shape[1]))
    scale = options.get("scaling")
    logits = torch.einsum("bhgd,bhtd->bhgt", last, key.float()) * (width**-0.5 if scale is None else scale)
    logits = logits.flatten(1, 2)
    if (cap := options.get("softcap")) is not None:
        logits = torch.tanh(logits / cap) * cap
    if mask is not None:
        row = mask[:, :, -1, : logits.shape[-1]]
        logits = logits.masked_fill(~row, -torch.inf) if row.dtype == torch.bool else logits + row.float()
    weights: Tensor = logits.softmax(-1)
    return weights


@contextmanager
def _observing(model: Any, observe: Callable[..., None]) -> Iterator[None]:
    """Call `observe` with what the attention function gets, then that function. The back end is restored afterwards."""
    before = text_config(model)._attn_implementation
    if before not in ("eager", "sdpa"):
        raise ValueError(f"attention back end {before!r} does not show its mask; wanted 'sdpa' or 'eager'")
    name = f"seka_observed_{before}"

    def attend(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
    ) -> Any:
        observe(module, query, key, mask, options)
        inner = AttentionInterface()[before] if before != "eager" else _eager(module)
        return inner(module, query, key, value, mask, **options)

    AttentionInterface.register(name, attend)
    AttentionMaskInterface.register(name, AttentionMaskInterface()[before])
    model.set_attn_implementation(name)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def _eager(module: nn.Module) -> Callable[..., Any]:
    """The eager attention function lives beside the family's attention class."""
    function: Callable[..., Any] = sys.modules[type(module).__module__].eager_attention_forward
    return function
