"""Steering written out a second time, slowly: one unpadded row, no cache, keys edited token by token and head by head.

Nothing of seka's arithmetic is called; only the numbers of a `Projection` are read. `Plan` says what to do, `run` does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from setting import HEADS, QUERY_HEADS, WIDTH
from torch import Tensor

import seka

#: Where the key of each family is final before the rotary embedding, and how that module lays it out.
KEY = {
    "qwen3": ("k_norm", "thd"),
    "qwen2": ("k_proj", "flat"),
    "llama": ("k_proj", "flat"),
    "mistral": ("k_proj", "flat"),
    "gemma2": ("k_proj", "flat"),
    "gemma3_text": ("k_norm", "htd"),
    "olmo2": ("k_norm", "flat"),
}


@dataclass(eq=False)
class Plan:
    """What to do to marked keys. heads {layer: heads}, None for all of the first expert's layers.

    One expert without `score`: k' = k + c+ P+ k + c- P- k. With a score: experts mixed by the prompt's last query.
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
        heads = {n: range(HEADS) for n in self.experts[0].parts} if self.heads is None else self.heads
        return head in heads.get(layer, ())

    def matrix(self, expert: int, layer: int, head: int, channel: str) -> Tensor:
        """(D, D) float64, summed from outer products."""
        at = (expert, layer, head, channel)
        if at not in self.matrices:
            part = self.experts[expert].parts[layer]
            factors = part.negative if channel == "negative" else part.positive
            count = self.top if channel == "leading" else int(factors.rank[head])
            total = torch.zeros((WIDTH, WIDTH), dtype=torch.float64)
            for r in range(count):
                u = factors.vectors[head, :, r].double()
                total += torch.outer(u, u)
            self.matrices[at] = torch.eye(WIDTH, dtype=torch.float64) - total if channel == "negative" else total
        return self.matrices[at]

    def edit(self, layer: int, head: int, key: Tensor, weight: float, alpha: Tensor | None) -> Tensor:
        """key (D,) float64."""
        if alpha is None:
            out = key + max(weight * self.positive, -1.0) * (self.matrix(0, layer, head, "positive") @ key)
            if self.negative:
                out = out + max(weight * self.negative, -1.0) * (self.matrix(0, layer, head, "negative") @ key)
            return out
        out = key.clone()
        total = sum(abs(float(a)) for a in alpha[:, head])
        for m in range(len(self.experts)):
            share = float(alpha[m, head])
            if share:
                factor = max(weight * self.positive * share, -abs(share) / total)
                out += factor * (self.matrix(m, layer, head, "leading") @ key)
        return out

    def weigh(self, layer: int, query: Tensor) -> Tensor:
        """(E, H) float64 from one token's queries (Q, D)."""
        alpha = torch.zeros((len(self.experts), HEADS), dtype=torch.float64)
        share = QUERY_HEADS // HEADS
        for head in range(HEADS):
            q = sum(query[head * share + i] for i in range(share)).double() / share
            for m, expert in enumerate(self.experts):
                if (m, layer, head) in self.absent or not self.acts(layer, head):
                    continue
                factors, value, mass = expert.parts[layer].positive, 0.0, 0.0
                for k in range(self.top):
                    s, dot = float(factors.values[head, k]), float(q @ factors.vectors[head, :, k].double())
                    value += s * dot**2 if self.score == "energy" else s * dot
                    mass += s
                alpha[m, head] = value / (float(q @ q) * mass) if self.score == "energy" else value
            largest = float(alpha[:, head].abs().max())
            if largest:
                alpha[:, head] /= largest
        return alpha


def queries(family: str, attention: Any, hidden: Tensor, column: int) -> Tensor:
    """(Q, D) of one column from the layer's own input (1, T, hidden), after the query norm where there is one."""
    flat = attention.q_proj(hidden[:, column : column + 1])
    if family == "olmo2":
        return attention.q_norm(flat).view(QUERY_HEADS, WIDTH)
    split = flat.view(1, 1, QUERY_HEADS, WIDTH)
    return (attention.q_norm(split) if hasattr(attention, "q_norm") else split).view(QUERY_HEADS, WIDTH)


def run(
    model: Any,
    family: str,
    ids: Sequence[int],
    marks: Mapping[int, float],
    plan: Plan | None,
    length: int | None = None,
) -> tuple[Tensor, dict[int, Tensor]]:
    """(T, V) logits of one row and {layer: (E, H)} coefficients. length: where the prompt ends, when ids go on."""
    if plan is None:
        with torch.no_grad():
            return model(torch.tensor([list(ids)]), use_cache=False).logits[0], {}
    last = (len(ids) if length is None else length) - 1
    alphas: dict[int, Tensor] = {}
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
            for head in range(HEADS):
                if column < len(keys) and plan.acts(layer, head):
                    edited = plan.edit(layer, head, keys[column, head].double(), weight, alpha)
                    keys[column, head] = edited.to(keys.dtype)

    return _forward(model, family, ids, act, last), alphas


def _forward(
    model: Any, family: str, ids: Sequence[int], act: Callable[[int, Tensor, Tensor], None], last: int
) -> Tensor:
    """Logits (T, V) of a forward in which act(layer, query (Q, D), keys (T, H, D)) may change each layer's keys."""
    name, axes = KEY[family]
    patched, handles = [], []
    seen: dict[int, Tensor] = {}

    def replace(layer: int, module: Any) -> None:
        original = module.forward

        def forward(inputs: Tensor) -> Tensor:
            out = original(inputs).clone()
            keys = (
                out[0].transpose(0, 1) if axes == "htd" else out[0].view(-1, HEADS, WIDTH) if axes == "flat" else out[0]
            )
            act(layer, seen[layer], keys)  # a view: what is written there is written in `out`
            return out

        module.forward = forward
        patched.append(module)

    def note(layer: int, attention: Any) -> Callable[..., None]:
        def hook(_module: Any, args: Any, kwargs: Any) -> None:
            hidden = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
            seen[layer] = queries(family, attention, hidden, last)

        return hook

    try:
        for layer, block in enumerate(model.model.layers):
            attention = block.self_attn
            handles.append(attention.register_forward_pre_hook(note(layer, attention), with_kwargs=True))
            replace(layer, getattr(attention, name))
        with torch.no_grad():
            return model(torch.tensor([list(ids)]), use_cache=False).logits[0]
    finally:
        for module in patched:
            del module.forward
        for handle in handles:
            handle.remove()
