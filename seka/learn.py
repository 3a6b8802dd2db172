"""Learn a projection from contrastive triplets: one forward per batch, moments summed as they come, then an SVD per head.

SEKA, arXiv 2603.01281, section on offline learning: Omega+ = H^T H+ / n, Omega- = H^T H- / n, not centred.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from seka.attention import attention_on_highlight
from seka.devices import input_device
from seka.eager import watching
from seka.factors import Factors, LayerProjection
from seka.fingerprint import fingerprint
from seka.layers import choose, named_heads
from seka.locks import lock, steered
from seka.projections import STORED, Projection
from seka.prompts import Prompt
from seka.sites import Site, context_length, decoder, sites
from seka.tokens import Tokens, align, chat, encode
from seka.triplets import Triplet, digest
from seka.version import VERSION


@dataclass
class _Moments:
    """Sums of one layer over the answer tokens seen so far, float64."""

    positive: Tensor  # (H, D, D) sum of k k+^T
    negative: Tensor  # (H, D, D) sum of k k-^T
    mean: Tensor  # (H, D) sum of k+
    shift: Tensor  # (H,) sum of ||k+ - k-||
    norm: Tensor  # (H,) sum of ||k||

    def add(self, neutral: Tensor, positive: Tensor, negative: Tensor) -> None:
        """Each (N, H, D): the same answer tokens in the three texts."""
        self.positive += torch.einsum("nhi,nhj->hij", neutral, positive)
        self.negative += torch.einsum("nhi,nhj->hij", neutral, negative)
        self.mean += positive.sum(0)
        self.shift += (positive - negative).norm(dim=-1).sum(0)
        self.norm += neutral.norm(dim=-1).sum(0)

    def whole(self, site: Site) -> _Moments:
        """Of all heads, where processes have summed a part each."""
        return _Moments(*(site.whole(getattr(self, field.name), 0) for field in fields(self)))


def texts(triplet: Triplet) -> tuple[Prompt, Prompt, Prompt]:
    """Neutral, relevant and irrelevant text of a triplet, the answer marked where it first stands in the context."""
    found = re.search(re.escape(triplet.answer.strip()), triplet.context, re.IGNORECASE)
    if found is None:
        raise ValueError(f"the answer {triplet.answer!r} does not stand in its context {triplet.context!r}")

    def prompt(head: str, tail: str = "") -> Prompt:
        return Prompt(head + triplet.context + tail, ((len(head) + found.start(), len(head) + found.end()),))

    return (
        prompt("Context: ", " "),
        prompt(f"Question: {triplet.question}\nContext: "),
        prompt(f"Question: {triplet.other_question}\nContext: "),
    )


def learn(
    model: nn.Module,
    tokenizer: Any,
    triplets: Sequence[Triplet],
    layers: str | Sequence[int] = "all",
    energy: float = 0.9,
    batch_size: int = 16,
    chat_template: bool = False,
    min_attention_ratio: float | None = None,
    name: str = "",
    description: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Projection:
    """Learn the projection of every head; no head is left out, a threshold is for whoever steers.

    energy: the rank of a head is the smallest whose share of the singular values' sum reaches it, in (0, 1].
    chat_template: put each text in a user turn, for a model that is used through its chat template.
    min_attention_ratio: keep only triplets whose relevant question raises the attention of the last token on the
    answer, summed over layers and query heads, by this factor against the neutral text (1.2 in the published builder).
    progress: called with (triplets done, triplets in all) after each batch.

    A triplet whose answer is tokenised differently in its three texts is left out; `header["triplets"]` counts those.
    ValueError when nothing is left, when a triplet does not fit the model's context, or when keys are not finite.
    """
    if not 0 < energy <= 1:
        raise ValueError(f"energy is {energy}; wanted a share above 0 and at most 1")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; wanted at least 1")
    if not triplets:
        raise ValueError("no triplets given; wanted some, for example seka.triplets.bundled()")
    if named_heads(layers) is not None:
        raise ValueError(
            f"layers {layers!r} names heads; every head of a layer is learnt, so wanted layers alone, like '3,5'"
        )
    chosen = choose(layers, sites(model))
    moments: dict[Site, _Moments] = {}
    tokens_used = used = 0
    left_out = {"uneven": 0, "attention": 0}
    for first in range(0, len(triplets), batch_size):
        rows = []
        for triplet in triplets[first : first + batch_size]:
            three = texts(triplet)
            if chat_template:
                three = tuple(chat(text, tokenizer) for text in three)  # type: ignore[assignment]
            if _even(three, tokenizer, context_length(model)):
                rows.append(three)
            else:
                left_out["uneven"] += 1
        if rows and min_attention_ratio is not None:
            kept = _attentive(model, tokenizer, rows, min_attention_ratio)
            left_out["attention"] += len(rows) - len(kept)
            rows = kept
        if rows:
            tokens_used += _accumulate(model, _batch(rows, tokenizer, model), chosen, moments)
            used += len(rows)
        if progress is not None:
            progress(min(first + batch_size, len(triplets)), len(triplets))
    if not used:
        raise ValueError(f"none of {len(triplets)} triplets could be used ({left_out}); wanted at least one")
    recipe = {
        "method": "seka",
        "energy": energy,
        "chat_template": chat_template,
        "min_attention_ratio": min_attention_ratio,
    }
    header = {
        **fingerprint(model),
        "name": name,
        "description": description,
        "recipe": recipe,
        "triplets": {
            "digest": digest(triplets),
            "given": len(triplets),
            "used": used,
            **left_out,
            "tokens": tokens_used,
        },
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "seka": VERSION,
        "oriented": True,
        "recommended_gain": None,
        "recommended_layers": None,
    }
    parts = {site.layer: _part(moments[site].whole(site), tokens_used, energy) for site in chosen}
    return Projection(parts, header)


def _zeros(keys: Tensor) -> _Moments:
    """For keys (N, H, D) on their device: a layer may lie on another one than its neighbours."""
    (heads, width), device = keys.shape[1:], keys.device
    square, vector = (heads, width, width), (heads, width)
    shapes: tuple[tuple[int, ...], ...] = (square, square, vector, vector[:1], vector[:1])
    return _Moments(*(torch.zeros(shape, dtype=torch.float64, device=device) for shape in shapes))


def _even(three: Sequence[Prompt], tokenizer: Any, limit: int | None) -> bool:
    """Row i must be the same token in all three texts."""
    answers = []
    for prompt in three:
        row = align(prompt, tokenizer)
        if limit is not None and len(row.ids) > limit:
            raise ValueError(
                f"a text of {len(row.ids)} tokens does not fit the model's {limit}: {prompt.text[:80]!r}..."
            )
        answers.append([i for i, weight in zip(row.ids, row.weights, strict=True) if weight])
    return answers[0] == answers[1] == answers[2]


def _batch(rows: Sequence[Sequence[Prompt]], tokenizer: Any, model: nn.Module) -> Tokens:
    """(3 n, T): all neutral rows, then all relevant, then all irrelevant ones, so that answer tokens come in one order."""
    return encode([row[kind] for kind in range(3) for row in rows], tokenizer).to(input_device(model))


def _attentive(model: nn.Module, tokenizer: Any, rows: list[Any], ratio: float) -> list[Any]:
    tokens = _batch(rows, tokenizer, model)
    total = torch.stack([share.sum(-1).cpu() for share in attention_on_highlight(model, tokens).values()]).sum(0)
    if not bool(total.isfinite().all()):
        raise ValueError("the model's attention holds NaN or infinity; load it in float32 or bfloat16")
    neutral, positive = total[: len(rows)], total[len(rows) : 2 * len(rows)]
    return [row for row, keep in zip(rows, (positive >= ratio * neutral).tolist(), strict=True) if keep]


def _accumulate(model: nn.Module, tokens: Tokens, chosen: Sequence[Site], moments: dict[Site, _Moments]) -> int:
    """Run the batch once; each site's keys are gathered, added up and let go inside the hook. Number of answer tokens."""
    index = tokens.highlight.flatten().nonzero().squeeze(-1)

    def hook(site: Site) -> Callable[..., None]:
        def gather(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            keys = site.keys(output).flatten(0, 1)[index.to(output.device)].double()
            moments.setdefault(site, _zeros(keys)).add(*keys.chunk(3))

        return gather

    hooks = [(site.key, hook(site)) for site in chosen]
    with lock(model), torch.no_grad(), watching(hooks):
        if steered(model):
            raise RuntimeError(
                "this model is being steered, so its keys are not its own; leave the steering, then learn"
            )
        decoder(model)(
            input_ids=tokens.ids, attention_mask=tokens.attention, position_ids=tokens.positions, use_cache=False
        )
    return len(index) // 3


def _part(sums: _Moments, n: int, energy: float) -> LayerProjection:
    for total in (sums.positive, sums.negative, sums.shift, sums.norm):
        if not bool(total.isfinite().all()):
            raise ValueError(
                "the model's keys hold NaN or infinity, so nothing can be learnt; load it in float32 or bfloat16"
            )
    shift, norm = (sums.shift / n).float().cpu(), (sums.norm / n).float().cpu()
    positive, negative = (_factors(total / n, sums.mean, energy) for total in (sums.positive, sums.negative))
    present, scale = torch.ones(len(shift), dtype=torch.bool), torch.ones(len(shift))
    return LayerProjection(positive, negative, shift, shift / norm, present, scale)


def _factors(moment: Tensor, mean: Tensor, energy: float) -> Factors:
    """SVD of each head's (D, D) moment; every vector is turned so that the mean relevant key projects positively."""
    left, values, _ = torch.linalg.svd(moment)
    left = left * torch.where((mean[:, None, :] @ left) < 0, -1.0, 1.0)
    share = values.cumsum(-1) / values.sum(-1, keepdim=True)
    # The tolerance keeps energy=1 from missing the full rank by rounding.
    rank = ((share < energy - 1e-12).sum(-1) + 1).clamp(max=values.shape[-1])
    stored = max(int(rank.max()), min(STORED, values.shape[-1]))
    return Factors(values.float().cpu(), rank.cpu(), left[:, :, :stored].float().contiguous().cpu())
