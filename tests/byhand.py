"""Steering written out a second time, slowly: one unpadded row, no cache, keys edited token by token and head by head.

Nothing of seka's arithmetic is called; only the numbers of a `Projection` are read. `Plan` says what to do, `run` does it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from conftest import build_model
from torch import Tensor

import seka
from seka.projections import Factors, LayerProjection
from seka.sites import fingerprint
from seka.tokens import Tokens

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
HEADS, QUERY_HEADS, WIDTH = 2, 4, 16

WORDS = [
    "Previously Ada plays chess. Currently **Ada plays golf**. Ada plays",
    "**Bob** sings; Cleo does ~~not~~ sing. So **Bob**",
    "In town the old harp is played by Dan, **who lives here**, and by nobody else. Dan **plays**",
]


#: How far float64 logits may lie from those by hand: the norms round to float32 inside. Gemma 2 runs in float32.
CLOSE = 1e-6


def close(family: str) -> float:
    return 5e-5 if family == "gemma2" else CLOSE


def steerable(family: str, **changes: Any) -> Any:
    """A tiny model whose answers steering changes easily: with tied embeddings random Gemmas only repeat their input."""
    return build_model(family, tie_word_embeddings=False, **changes)


def forward(model: Any, tokens: Tokens, **options: Any) -> Any:
    """One call of the model over a left-padded batch, positions counted from each row's first real token."""
    positions = (tokens.attention.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        return model(tokens.ids, attention_mask=tokens.attention, position_ids=positions, **options)


def prompts() -> list[seka.Prompt]:
    """Three prompts of different lengths; the first and last token of one are marked, one holds a negative mark."""
    return [seka.Prompt.marked(text) for text in WORDS]


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


def invent(model: Any, seed: int = 0, layers: Sequence[int] | None = None, **header: Any) -> seka.Projection:
    """A projection of random orthonormal factors for this model; ranks 3 to 8 differ between heads and channels."""
    generator = torch.Generator().manual_seed(seed)
    stored = 8

    def factors() -> Factors:
        gauss = torch.randn((HEADS, WIDTH, WIDTH), generator=generator, dtype=torch.float64)
        vectors = torch.linalg.qr(gauss).Q[:, :, :stored].float().contiguous()
        values = torch.rand((HEADS, WIDTH), generator=generator).sort(descending=True).values + 0.1
        return Factors(values, torch.randint(3, stored + 1, (HEADS,), generator=generator), vectors)

    parts = {
        layer: LayerProjection(
            factors(),
            factors(),
            torch.rand(HEADS, generator=generator) + 1,
            torch.rand(HEADS, generator=generator) + 0.1,
            torch.ones(HEADS, dtype=torch.bool),
        )
        for layer in (layers if layers is not None else range(len(model.model.layers)))
    }
    return seka.Projection(parts, {**fingerprint(model), "name": f"invented {seed}", "oriented": True, **header})


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
    model: Any, family: str, ids: Sequence[int], marks: Mapping[int, float], plan: Plan | None, length: int | None = None
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
            keys = out[0].transpose(0, 1) if axes == "htd" else out[0].view(-1, HEADS, WIDTH) if axes == "flat" else out[0]
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


def greedy(
    model: Any, family: str, ids: Sequence[int], marks: Mapping[int, float], plan: Plan | None, new: int
) -> list[int]:
    """New tokens of uncached greedy decoding."""
    grown = list(ids)
    for _ in range(new):
        grown.append(int(run(model, family, grown, marks, plan, len(ids))[0][-1].argmax()))
    return grown[len(ids) :]


def sample(
    model: Any, family: str, rows: Sequence[tuple[list[int], dict[int, float], Plan | None]], new: int, seed: int
) -> list[list[int]]:
    """New tokens of each row, drawn from all rows' distributions by one multinomial a step, as transformers draws."""
    grown = [list(ids) for ids, _, _ in rows]
    torch.manual_seed(seed)
    for _ in range(new):
        last = [
            run(model, family, ids, marks, plan, len(start))[0][-1].float()
            for ids, (start, marks, plan) in zip(grown, rows, strict=True)
        ]
        drawn = torch.multinomial(torch.stack(last).softmax(-1), 1)[:, 0].tolist()
        for ids, token in zip(grown, drawn, strict=True):
            ids.append(token)
    return [ids[len(start) :] for ids, (start, _, _) in zip(grown, rows, strict=True)]


def beams(
    model: Any, family: str, ids: Sequence[int], marks: Mapping[int, float], plan: Plan | None, new: int, width: int
) -> list[list[int]]:
    """New tokens of the `width` best hypotheses, best first; no end token, so no hypothesis ends early."""
    alive: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(new):
        grown = []
        for score, extra in alive:
            logits = run(model, family, [*ids, *extra], marks, plan, len(ids))[0][-1].float().log_softmax(-1)
            best = logits.topk(width)
            grown += [
                (score + float(v), [*extra, int(i)]) for v, i in zip(best.values, best.indices, strict=True)
            ]
        alive = sorted(grown, key=lambda pair: -pair[0])[:width]
    return [extra for _, extra in alive]


def footprint(model: torch.nn.Module) -> tuple[int, tuple[tuple[str, int], ...]]:
    """What a context must leave as it found it: number of hooks, and the bytes of every parameter and buffer."""
    hooks = sum(
        len(h) for m in model.modules() for h in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks)
    ) + sum("forward" in m.__dict__ for m in model.modules())
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    return hooks, tuple((name, hash(t.detach().numpy().tobytes())) for name, t in tensors)
