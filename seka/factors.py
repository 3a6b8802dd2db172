"""One layer's part of a projection: singular vectors, what is known of each head, and its tensors in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Factors:
    """Left singular vectors of one moment, for every head of a layer.

    values (H, D): singular values, NaN where the source had none. rank (H,) int64. vectors (H, D, R): orthonormal
    columns, zeros beyond what is stored; R is at least the largest rank.
    """

    values: Tensor
    rank: Tensor
    vectors: Tensor

    def basis(self) -> Tensor:
        """(H, D, R) the first `rank` vectors of each head, zeros beyond."""
        keep = torch.arange(self.vectors.shape[-1]) < self.rank[:, None]
        return self.vectors * keep[:, None, :]

    def projector(self) -> Tensor:
        """(H, D, D) onto the first `rank` vectors of each head."""
        basis = self.basis()
        return basis @ basis.mT


@dataclass(frozen=True)
class LayerProjection:
    """One layer. positive spans P+; negative spans the complement of P- (a tail is stored as the head it complements).

    shift (H,): mean over answer tokens of ||k+ - k-||_2. relative_shift (H,): the same over the mean norm of the
    neutral key, which has no unit. NaN where unknown. present (H,) bool: False for a head the source left out.
    scale (H,): factor of the gain in each head, above 0, which its makers chose; 1 where they chose none.
    baseline (H, R): what prompts' last queries q have along each vector u of P+, the mean of (q.u)^2 / ||q||^2, which
    `seka.with_baselines` measures for a router; None where unknown.
    """

    positive: Factors
    negative: Factors | None
    shift: Tensor
    relative_shift: Tensor
    present: Tensor
    scale: Tensor
    baseline: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """What a file holds of it, by name: "shift", "positive.values", ...; `read` is the way back."""
        found = {key: getattr(self, key) for key in ("shift", "relative_shift", "present", "scale")}
        if self.baseline is not None:
            found["baseline"] = self.baseline
        for channel, factors in (("positive", self.positive), ("negative", self.negative)):
            if factors is not None:
                found |= {f"{channel}.{key}": getattr(factors, key) for key in ("values", "rank", "vectors")}
        return found


def is_scale(values: Tensor) -> bool:
    return bool((values.isfinite() & (values > 0)).all())


def _is_baseline(shares: Tensor, vectors: Tensor) -> bool:
    """Whether there is a share of a query's square for each of the (H, D, R) vectors, up to rounding."""
    return shares.shape == vectors.mT.shape[:2] and bool(((shares >= 0) & (shares <= 1 + 1.1e-2)).all())


def _are_orthonormal(vectors: Tensor, rank: Tensor) -> bool:
    """Whether each head's columns are; beyond its rank they may be zeros. Up to the rounding of bfloat16."""
    gram = vectors.double().mT @ vectors.double()
    blank = (torch.arange(vectors.shape[-1]) >= rank[:, None]) & (vectors == 0).all(1)
    return torch.allclose(gram, torch.diag_embed((~blank).double()), rtol=0, atol=1.1e-2)


def read(file: Any, layer: int, version: int) -> LayerProjection:
    """A layer's part from an open safetensors file of a format's version. ValueError where its tensors do not fit together."""
    at = f"layers.{layer}"
    names = set(file.keys())

    def factors(channel: str) -> Factors:
        values, rank, vectors = (file.get_tensor(f"{at}.{channel}.{key}") for key in ("values", "rank", "vectors"))
        (heads, width), stored = (*values.shape, 0, 0)[:2], vectors.shape[-1] if vectors.dim() == 3 else 0
        fits = values.dim() == 2 and vectors.shape[:2] == values.shape and rank.shape == (heads,)
        kinds = values.is_floating_point() and vectors.is_floating_point() and rank.dtype == torch.int64
        if not kinds or not fits or not stored <= width or not bool(((rank >= 0) & (rank <= stored)).all()):
            raise ValueError(
                f"{at}.{channel}: values {tuple(values.shape)}, rank {tuple(rank.shape)} of {rank.tolist()} and "
                f"vectors {tuple(vectors.shape)} do not belong together; wanted (H, D), (H,) int64, (H, D, R)"
            )
        if not bool(vectors.isfinite().all()):
            raise ValueError(f"{at}.{channel}: the vectors hold NaN or infinity")
        if not _are_orthonormal(vectors, rank):
            raise ValueError(
                f"{at}.{channel}: the vectors are not orthonormal; wanted singular vectors, zeros beyond the rank"
            )
        return Factors(values, rank, vectors)

    shift, relative, present = (file.get_tensor(f"{at}.{key}") for key in ("shift", "relative_shift", "present"))
    scale = file.get_tensor(f"{at}.scale") if version > 1 else torch.ones(len(present))
    positive = factors("positive")
    negative = factors("negative") if f"{at}.negative.values" in names else None
    heads = positive.rank.shape
    if present.dtype != torch.bool:
        raise ValueError(f"{at}: present is {present.dtype}; wanted bool")
    if any(each.shape != heads for each in (shift, relative, present, scale, *([negative.rank] if negative else []))):
        raise ValueError(
            f"{at}: shift {tuple(shift.shape)}, relative_shift {tuple(relative.shape)}, present {tuple(present.shape)} and "
            f"scale {tuple(scale.shape)} do not belong together with the factors of {heads[0]} heads; wanted (H,) each"
        )
    if not scale.is_floating_point() or not is_scale(scale):
        raise ValueError(f"{at}: scale is {scale.tolist()}; wanted finite numbers above 0")
    baseline = file.get_tensor(f"{at}.baseline").float() if f"{at}.baseline" in names else None
    if baseline is not None and not _is_baseline(baseline, positive.vectors):
        raise ValueError(
            f"{at}: baseline {tuple(baseline.shape)} does not belong to vectors {tuple(positive.vectors.shape)}; wanted "
            "(H, R), shares from 0 to 1"
        )
    return LayerProjection(positive, negative, shift, relative, present, scale.float(), baseline)
