"""One layer steered, in every family: its marked keys change as asked, its values and everything else do not."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from byhand import Plan, run
from cells import ROWS, Cell, cell, matrix
from families import FAMILIES
from places import places
from setting import close, tokens_of
from torch import Tensor
from transformers import DynamicCache
from unsupported import refused

from seka import Steering

MODES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "chunked": {"prefill_chunk_size": 7},
    "static": {"cache_implementation": "static"},
}


@matrix(MODES, plain=["greedy"])
def test_one_layer(family: str, mode: str) -> None:
    """Cached keys and values of the prompt, after the rotary embedding, in all layers that have some."""
    here, options = cell(family), MODES[mode]
    if refused(here, **options):
        return
    found = [place.layer for place in places(here.model, family)]
    chosen = found[(len(found) - 1) // 2]
    steering = Steering(here.model, here.projections[0], here.gain, 1.0, layers=[chosen])
    asked: dict[str, Any] = {"max_new_tokens": 1, "return_dict_in_generate": True, **options}
    plain = here.generate(**asked).past_key_values
    steered = here.produce(rows=[steering, None, steering], **asked).past_key_values
    tokens = tokens_of(ROWS)
    width = tokens.ids.shape[1]
    marked = tokens.highlight != 0
    marked[1] = False
    for layer in found:
        keys, values = changes(plain, steered, layer, width, 0.0 if layer <= chosen else company(family))
        if layer <= chosen:
            assert torch.equal(keys, (marked & (layer == chosen))[:, None].expand_as(keys))
            assert not values.any()
        else:  # what it attends to has changed, in steered rows only
            assert keys.flatten(1).any(1).tolist() == values.flatten(1).any(1).tolist() == [True, False, True]
    for row, by_hand in enumerate(keys_by_hand(here, chosen)):
        keys = entries(steered, chosen, width)[0][row, :, -by_hand.shape[1] :]
        torch.testing.assert_close(keys, by_hand, rtol=close(family), atol=close(family))


@cache
def keys_by_hand(here: Cell, layer: int) -> list[Tensor]:
    """(H, T, D) of each row, after the rotary embedding; the first and the last are edited in that layer."""
    plan = Plan([here.projections[0]], here.gain, 1.0, heads={layer: range(99)})
    found = []
    for row, (ids, marks) in enumerate(ROWS):
        cached = DynamicCache(config=here.model.config)
        run(here.model, here.family, ids, marks, None if row == 1 else plan, cache=cached)
        found.append(entries(cached, layer, len(ids))[0][0])
    return found


def changes(plain: Any, steered: Any, layer: int, columns: int, tolerance: float) -> list[Tensor]:
    """(B, H, T) bool: whose keys differ by more than the tolerance, and whose values."""
    both = zip(entries(plain, layer, columns), entries(steered, layer, columns), strict=True)
    return [((a - b).abs() > tolerance).any(-1) for a, b in both]


def company(family: str) -> float:
    """Rows that share an expert are multiplied together, so a row's last bits depend on the others; 0 without experts."""
    return close(family) if "experts_implementation" in FAMILIES[family].settings else 0.0


def entries(cache: Any, layer: int, columns: int) -> tuple[Tensor, Tensor]:
    """(B, H, T, D) keys and values that a layer holds of the prompt."""
    return tuple(getattr(cache.layers[layer], name)[:, :, :columns] for name in ("keys", "values"))
