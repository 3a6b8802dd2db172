"""Look at one forward of a model: where its attention layers put keys and queries, and that edited keys are attended to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from seka.devices import input_device
from seka.eager import watching
from seka.families import Parts, UnsupportedModel
from seka.layout import Layout


def look(model: nn.Module, decoder: nn.Module, parts: Sequence[Parts]) -> dict[int, tuple[Layout, Layout]]:
    """{layer: layouts of its keys and of its queries}, in whatever part of the heads this process computes.

    Two equal rows are computed, in the second of which every key is made longer. Layouts come from the shapes that pass.
    That they are right, that nothing normalises keys later, and that no key is made elsewhere, shows in the cache: the
    second row's keys must be longer by just so much, and its values the same. UnsupportedModel names the layer if not.
    """
    sizes = {size for part in parts for size in (part.heads, part.query_heads, part.width)}
    columns = next(n for n in itertools.count(2) if all(size % n for size in sizes))  # no shape can be read in two ways
    queries: dict[int, Layout] = {}
    keys: dict[int, Layout] = {}

    def note(part: Parts) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            queries[part.layer] = part.layouts(tuple(output.shape), columns)[1]

        return hook

    def lengthen(part: Parts) -> Callable[..., Tensor]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            layout = keys[part.layer] = part.layouts(tuple(output.shape), columns)[0]
            heads = layout.read(output).clone()
            heads[1] *= _factors(columns, layout.heads).to(heads)
            return layout.write(output, heads)

        return hook

    hooks: list[tuple[nn.Module, Any]] = []
    for part in parts:
        hooks += [(part.query, note(part)), (part.key, lengthen(part)), (part.attention, _first_row)]
    cache: Any = DynamicCache(config=model.config)  # type: ignore[arg-type]
    ids = torch.arange(1, columns + 1, device=input_device(model)).expand(2, -1)
    with torch.no_grad(), _evaluating(model), watching(hooks):
        decoder(input_ids=ids, past_key_values=cache, use_cache=True)
    for part in parts:
        if part.layer not in keys or part.layer not in queries:
            raise UnsupportedModel(
                f"layer {part.layer} computed keys without calling its own modules that do so: something has replaced its "
                "attention. Load the model without it"
            )
    for layer, kept in enumerate(cache.layers):
        if getattr(kept, "keys", None) is not None and kept.keys.numel():
            _check(layer, keys.get(layer), columns, kept.keys, kept.values)
    return {part.layer: (keys[part.layer], queries[part.layer]) for part in parts}


def _factors(columns: int, heads: int) -> Tensor:
    """(T, H, 1) how much longer each key is made: 1.5 to 2.5 times, no two alike."""
    golden = 0.5 * (5**0.5 - 1)
    return 1.5 + (golden * torch.arange(columns * heads, dtype=torch.float64) % 1).view(columns, heads, 1)


def _first_row(_module: nn.Module, _inputs: Any, output: Any) -> Any:
    """After each attention layer: both rows go on alike, so that what the next layer shows is its own doing."""
    if isinstance(output, tuple):
        return (output[0][[0, 0]], *output[1:])
    return output[[0, 0]]


def _check(layer: int, layout: Layout | None, columns: int, keys: Tensor, values: Tensor) -> None:
    """UnsupportedModel unless the cached keys (2, n*H, T, D) and values are what became of the keys that were written."""
    if layout is None:
        raise UnsupportedModel(f"layer {layer} keeps keys that no module of its own makes, so they cannot be edited")
    if not bool(keys.isfinite().all()):
        raise UnsupportedModel(f"in layer {layer} its keys hold NaN or infinity; load it in float32 or bfloat16")
    factors = _factors(columns, layout.heads)[-keys.shape[2] :].transpose(0, 1).to(keys)
    copies = keys.shape[1] // layout.heads  # some families keep a copy of each KV head for each of its query heads
    longer = keys[0] * factors.repeat_interleave(copies, 0) if keys.shape[1] == copies * layout.heads else None
    if longer is None or not _alike(keys[1], longer):
        raise UnsupportedModel(
            f"layer {layer} does not attend to the keys that its projection or key norm puts out: something is done to "
            "them before attention (another norm, a clip), so what is added to a key would be lost"
        )
    if not _alike(values[1], values[0]):
        raise UnsupportedModel(f"layer {layer} makes its values from the keys, which cannot be edited without them")


def _alike(one: Tensor, other: Tensor) -> bool:
    """Whether all vectors of the last dimension are the same but for rounding in any dtype."""
    error, size = (one - other).float().norm(dim=-1), other.float().norm(dim=-1)
    return bool((error <= 0.05 * size).all())  # NaN is not alike


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """No dropout within; what was in training is put back into it."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
