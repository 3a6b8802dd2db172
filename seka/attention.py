"""How much of the last token's attention falls on the highlighted ones. One row of queries where the family permits."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from seka.devices import input_device
from seka.eager import watching
from seka.locks import lock
from seka.sites import decoder, sites
from seka.tokens import Tokens


def attention_on_highlight(model: nn.Module, tokens: Tokens) -> dict[int, Tensor]:
    """{layer: (B, Q)} share of the last column's attention on columns with a highlight other than 0; between 0 and 1.

    Of every layer with keys of its own, from one run of the decoder, with the queries and keys it sees (rotary
    embedding or ALiBi, mask, sliding window, soft cap and attention sink included; steered keys inside `steering.on`).

    Measured in SDPA or eager attention as the model has it. FlashAttention and flex attention show no weights: a model
    that has one of them runs SDPA meanwhile (eager attention where its family has no SDPA), which differs by rounding.
    ValueError for a family whose attention was chosen while it was loaded and shows no weights.
    """
    marked = tokens.highlight != 0
    at = {site.attention: site for site in sites(model)}
    shares: dict[int, Tensor] = {}

    def observe(module: nn.Module, row: Tensor) -> None:
        """row (B, Q, T): what the last query gives to each column."""
        share = row.float() @ marked.to(row.device, torch.float32)[:, :, None]
        shares[at[module].layer] = at[module].whole(share.squeeze(-1), 1)

    tokens = tokens.to(input_device(model))
    with lock(model), torch.no_grad(), _observing(model, list(at), observe):
        decoder(model)(
            input_ids=tokens.ids,
            attention_mask=tokens.attention,
            position_ids=tokens.positions,
            use_cache=False,
        )
    return dict(sorted(shares.items()))


Observer = Callable[[nn.Module, Tensor], None]
_observers: dict[
    nn.Module, tuple[threading.Thread, Observer]
] = {}  # who looks at an attention module now, in his own calls


@contextmanager
def _observing(model: nn.Module, modules: list[nn.Module], observe: Observer) -> Iterator[None]:
    """Let `observe` see the last row of attention weights (B, Q, T) of these modules. What was changed is restored."""
    stack: Any = decoder(model)
    hooks: list[tuple[nn.Module, Any]]
    before = stack.config._attn_implementation
    shown = before if before in ("eager", "sdpa") else "sdpa" if stack._supports_sdpa else "eager"
    if stack._can_set_attn_implementation():
        name, hooks = _NAME.format(shown), []
    elif before == shown == "sdpa" and getattr(stack.config, "alibi", False):  # Falcon
        raise ValueError(
            f"a {type(model).__name__} shows its attention weights in eager attention, which in transformers adds ALiBi a "
            "second time, so they are not those of SDPA; load it with attn='eager' to see those"
        )
    elif before == shown:  # families with a loop of their own: their eager attention returns its weights
        name, hooks = "eager", [(module, _returned) for module in modules]
    else:
        raise ValueError(
            f"a {type(model).__name__} loaded with {before!r} shows no attention weights; load it with attn='sdpa' or 'eager'"
        )
    _observers.update(dict.fromkeys(modules, (threading.current_thread(), observe)))
    stack.config._attn_implementation = name
    try:
        with watching(hooks):
            yield
    finally:
        stack.config._attn_implementation = before
        for module in modules:
            del _observers[module]


def _returned(module: nn.Module, _inputs: Any, output: Any) -> None:
    """A hook on attention that returns (output, weights (B, Q, T, T))."""
    _observers[module][1](module, output[1][:, :, -1])


def _observed(shown: str) -> Callable[..., Any]:
    """An attention function that is `shown` and lets the module's observer look at what it is given."""

    def attend(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
    ) -> Any:
        thread, observe = _observers.get(module, (None, None))
        if observe is not None and thread is threading.current_thread():
            observe(module, _last_row(query, key, mask, options))
        family: Any = sys.modules[type(module).__module__]  # where its eager attention is, beside its attention class
        inner = family.eager_attention_forward if shown == "eager" else AttentionInterface()[shown]
        return inner(module, query, key, value, mask, **options)

    return attend


_NAME = "seka_observed_{}"
for _shown in ("eager", "sdpa"):
    AttentionInterface.register(_NAME.format(_shown), _observed(_shown))
    AttentionMaskInterface.register(_NAME.format(_shown), AttentionMaskInterface()[_shown])


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
    if (sinks := options.get("s_aux")) is not None:  # each takes its share and gives it to no column
        logits = torch.cat([logits, sinks.float().view(1, -1, 1).expand(len(logits), -1, -1)], -1)
    weights: Tensor = logits.softmax(-1)
    return weights if sinks is None else weights[..., :-1]
