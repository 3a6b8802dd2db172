"""What a run shows of the model's inside, measured once at its end: plain data for its record. No gradio, no words of it.

A measurement that fails says why in a `note`, in place of numbers; it never takes the answers with it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from app.models import Studio
from seka.attention import attention_on_highlight
from seka.decoding import Result
from seka.devices import input_device
from seka.generation import Comparison
from seka.next_tokens import next_tokens
from seka.routing import Routing
from seka.sites import sites
from seka.steering import Steering, steer
from seka.tokens import Tokens, encode

logger = logging.getLogger(__name__)
#: Digits after the point of what is kept; more would tell nothing and travel along with every link and file.
DIGITS = 5


def measure(studio: Studio, pair: Comparison, steering: Steering) -> dict[str, Any]:
    """The record's keys "routing", "attention", "next" and "written" of a finished run. After Stop the model rests.

    routing: {"names": E names, "coefficients": {layer: [E][H]}}, None without a router.
    attention: {"tokens": T, "marked": {kind: tokens}, "kv_heads": {layer: H}, "shares": {kind: {"plain" | "steered":
    {layer: [Q]}}}}, kind "highlighted" or "ignored": the last token's attention on tokens with such a mark.
    next: `seka.next_tokens` as data. written: {"plain" | "steered": {"ids", "texts", "probabilities"}} of new tokens.
    """
    stopped = "stopped" in (pair.plain.finish, pair.steered.finish)
    rest = {"note": "The run was stopped, so this was not measured."}
    return {
        "routing": _routing(pair.steered.routing),
        "attention": rest if stopped else _tried(_attention, studio, pair, steering),
        "next": rest if stopped else _tried(_next, studio, pair, steering),
        "written": {"plain": _written(studio, pair.plain), "steered": _written(studio, pair.steered)},
    }


def _tried(measurement: Any, *given: Any) -> dict[str, Any]:
    try:
        done: dict[str, Any] = measurement(*given)
        return done
    except ValueError as error:
        return {"note": f"This cannot be measured here: {error}."}
    except (RuntimeError, MemoryError) as error:
        logger.exception("a measurement failed")
        return {"note": f"Measuring this failed ({type(error).__name__})."}


def _routing(routing: Routing | None) -> dict[str, Any] | None:
    if routing is None:
        return None
    return {
        "names": list(routing.names),
        "coefficients": {str(layer): _plain(c[0]) for layer, c in routing.coefficients.items()},
    }


def _attention(studio: Studio, pair: Comparison, steering: Steering) -> dict[str, Any]:
    """One pass over the prompt: for each kind of mark a plain and a steered row."""
    model: Any = studio.model
    one = encode(pair.prompt, studio.tokenizer).to(input_device(model))
    found = {"highlighted": one.highlight > 0, "ignored": one.highlight < 0}
    kinds = {kind: mask for kind, mask in found.items() if bool(mask.any())}
    if not kinds:
        return {"note": "Nothing is marked, so there is no attention on marked words."}
    rows = 2 * len(kinds)
    batch = Tokens(one.ids.repeat(rows, 1), one.attention.repeat(rows, 1), one.highlight.repeat(rows, 1))
    asked = torch.cat([mask.float().repeat(2, 1) for mask in kinds.values()])
    with steer(model, batch, [None, steering] * len(kinds)):
        shares = attention_on_highlight(model, Tokens(batch.ids, batch.attention, asked))
    at = {
        kind: {"plain": _row(shares, 2 * index), "steered": _row(shares, 2 * index + 1)}
        for index, kind in enumerate(kinds)
    }
    return {
        "tokens": int(one.ids.shape[1]),
        "marked": {kind: int(mask.sum()) for kind, mask in kinds.items()},
        "kv_heads": {str(site.layer): site.heads for site in sites(model)},
        "shares": at,
    }


def _next(studio: Studio, pair: Comparison, steering: Steering) -> dict[str, Any]:
    found = asdict(next_tokens(studio.model, studio.tokenizer, pair.prompt, steering))
    top = [{**token, **{row: round(token[row], DIGITS) for row in ("plain", "steered")}} for token in found["top"]]
    return {"top": top, "moved": round(found["moved"], DIGITS)}


def _written(studio: Studio, result: Result) -> dict[str, Any]:
    return {
        "ids": list(result.ids),
        "texts": [str(studio.tokenizer.decode([token])) for token in result.ids],
        "probabilities": [round(value, DIGITS) for value in result.probabilities],
    }


def _row(shares: Mapping[int, Tensor], row: int) -> dict[str, Any]:
    return {str(layer): _plain(share[row]) for layer, share in shares.items()}


def _plain(values: Tensor) -> Any:
    """Nested lists of rounded numbers."""
    return torch.round(values.double().cpu(), decimals=DIGITS).tolist()
