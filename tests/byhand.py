"""Steering written out a second time, slowly: one unpadded row, no cache, keys edited token by token and head by head.

Nothing of seka's arithmetic is called; only the numbers of a `Projection` are read, and `places` says where keys are by
the tests' own table. `Plan` says what to do, `run` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from places import places
from torch import Tensor

import seka


@dataclass(eq=False)
class Plan:
    """What to do to marked keys. heads {layer: heads}, None for all of the first expert's layers.

    One expert without `score`: k' = k + c+ P+ k + c- P- k, both c times the head's scale. With a score: experts mixed by
    the prompt's last query.
    """

    experts: Sequence[seka.Projection]
    positive: float = 1.0
    negative: float = 0.0
    heads: Mapping[int, Sequence[int]] | None = None
    score: str | None = None
    way: str = "online"
    top: int = 5
    absent: frozenset[tuple[int, int, int]] = frozenset()  # (expert, layer, head) that takes no part
    matrices: dict[tuple[int, int, int, str], Tensor] = field(default_factory=dict)

    def acts(self, layer: int, head: int) -> bool:
        if self.heads is None:
            return layer in self.experts[0].parts
        return head in self.heads.get(layer, ())

    def matrix(self, expert: int, layer: int, head: int, channel: str) -> Tensor:
        """(D, D) float64, summed from outer products."""
        at = (expert, layer, head, channel)
        if at not in self.matrices:
            part = self.experts[expert].parts[layer]
            factors = part.negative if channel == "negative" else part.positive
            count = self.top if channel == "leading" else int(factors.rank[head])
            width = factors.vectors.shape[1]
            total = torch.zeros((width, width), dtype=torch.float64)
            for r in range(count):
                u = factors.vectors[head, :, r].double()
                total += torch.outer(u, u)
            self.matrices[at] = torch.eye(width, dtype=torch.float64) - total if channel == "negative" else total
        return self.matrices[at]

    def edit(self, layer: int, head: int, key: Tensor, weight: float, alpha: Tensor | None) -> Tensor:
        """key (D,) float64."""
        if alpha is None:
            scale = float(self.experts[0].parts[layer].scale[head])
            plus, minus = weight * self.positive * scale, weight * self.negative * scale
            if plus < 0 and minus < 0:  # both remove: once at most
                plus, minus = (c / max(1.0, -plus - minus) for c in (plus, minus))
            out = key + max(plus, -1.0) * (self.matrix(0, layer, head, "positive") @ key)
            if self.negative:
                out = out + max(minus, -1.0) * (self.matrix(0, layer, head, "negative") @ key)
            return out
        out = key.clone()
        total = sum(abs(float(a)) for a in alpha[:, head])
        for m in range(len(self.experts)):
            share = float(alpha[m, head])
            if share:
                scale = float(self.experts[m].parts[layer].scale[head])
                factor = max(weight * self.positive * scale * share, -abs(share) / total)
                out += factor * (self.matrix(m, layer, head, "leading") @ key)
        return out

    def weigh(self, layer: int, query: Tensor) -> Tensor:
        """(E, H) float64 from one token's queries (Q, D)."""
        heads = len(self.experts[0].parts[layer].present)
        alpha = torch.zeros((len(self.experts), heads), dtype=torch.float64)
        share = len(query) // heads
        for head in range(heads):
            q = sum(query[head * share + i] for i in range(share)).double() / share
            for m, expert in enumerate(self.experts):
                if (m, layer, head) in self.absent or not self.acts(layer, head):
                    continue
                factors, value, mass, usual = expert.parts[layer].positive, 0.0, 0.0, 0.0
                for k in range(self.top):
                    s, dot = float(factors.values[head, k]), float(q @ factors.vectors[head, :, k].double())
                    value += s * dot if self.score == "signed" else s * dot**2
                    mass += s
                    if (baseline := expert.parts[layer].baseline) is not None:
                        usual += s * float(baseline[head, k])
                size = {"signed": 1.0, "energy": float(q @ q) * mass, "relative": float(q @ q) * usual}[self.score]
                alpha[m, head] = value / size
            largest = float(alpha[:, head].abs().max())
            if largest:
                alpha[:, head] /= largest
        return alpha


def run(
    model: Any,
    family: str,
    ids: Sequence[int],
    marks: Mapping[int, float],
    plan: Plan | None,
    length: int | None = None,
    cache: Any = None,
) -> tuple[Tensor, dict[int, Tensor]]:
    """(T, V) logits of one row and {layer: (E, H)} coefficients.

    length: where the prompt ends, when ids go on. cache: an empty cache of transformers' to look into afterwards.
    """
    last = (len(ids) if length is None else length) - 1
    alphas: dict[int, Tensor] = {}
    if plan is None:
        return _forward(model, family, ids, None, last, cache), alphas
    if plan.score is not None and plan.way == "two_pass":
        _forward(model, family, ids, lambda layer, q, k: alphas.update({layer: plan.weigh(layer, q)}), last)
    ahead = dict(alphas)

    def act(layer: int, query: Tensor, keys: Tensor) -> None:
        if layer not in plan.experts[0].parts:
            return
        alpha = None
        if plan.score is not None:
            if plan.way == "online":
                alphas[layer] = plan.weigh(layer, query)
            alpha = (ahead if plan.way == "two_pass" else alphas)[layer]
        for column, weight in marks.items():
            for head in range(keys.shape[1]):
                if column < len(keys) and plan.acts(layer, head):
                    edited = plan.edit(layer, head, keys[column, head].double(), weight, alpha)
                    keys[column, head] = edited.to(keys.dtype)

    return _forward(model, family, ids, act, last, cache), alphas


def _forward(
    model: Any,
    family: str,
    ids: Sequence[int],
    act: Callable[[int, Tensor, Tensor], None] | None,
    last: int,
    cache: Any = None,
) -> Tensor:
    """Logits (T, V) of a forward in which act(layer, query (Q, D), keys (T, H, D)) may change each layer's keys.

    query: of column `last`, computed from the attention's own input.
    """
    patched, handles = [], []
    seen: dict[int, Tensor] = {}

    def replace(place: Any) -> None:
        original = place.module.forward

        def forward(inputs: Tensor) -> Tensor:
            out = original(inputs)
            if place.layer not in seen:  # a fused projection, asked for the query
                return out
            out = out.clone()
            act(place.layer, seen.pop(place.layer), place.keys(out))  # a view: written there is written in `out`
            return out

        place.module.forward = forward
        patched.append(place.module)

    def note(place: Any) -> Callable[..., None]:
        def hook(_module: Any, args: Any, kwargs: Any) -> None:
            hidden = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
            seen[place.layer] = place.query(hidden[:, last : last + 1])

        return hook

    try:
        for place in places(model, family) if act is not None else ():
            handles.append(place.attention.register_forward_pre_hook(note(place), with_kwargs=True))
            replace(place)
        with torch.no_grad():
            return model(torch.tensor([list(ids)]), past_key_values=cache, use_cache=cache is not None).logits[0]
    finally:
        for module in patched:
            del module.forward
        for handle in handles:
            handle.remove()
