"""Muon for the hidden matrices, AdamW for the rest; it knows parameters and gradients, not what the network computes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from seka.miniature.model import Network, low_precision


def orthogonalise(matrices: Tensor) -> Tensor:
    """Push the singular values of every matrix in (N, rows, columns) towards 1.

    Five quintic Newton-Schulz steps (K. Jordan, Muon, 2024), in bfloat16 where that is the faster one.
    """
    x = matrices.bfloat16() if low_precision(str(matrices.device)) else matrices
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    result: Tensor = (x.mT if tall else x).to(matrices.dtype)
    return result


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised, matrices of one shape together."""

    def __init__(self, params: Iterable[Tensor], lr: float = 0.02, momentum: float = 0.95, decay: float = 0.01) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update from the gradients at hand."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            moved: dict[Tensor, Tensor] = {}
            for p in group["params"]:
                if p.grad is not None:
                    state = self.state[p]
                    if not state:
                        state["momentum"] = torch.zeros_like(p)
                    state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                    moved[p] = torch.lerp(p.grad, state["momentum"], group["momentum"])
                    shapes[p.shape].append(p)
            for shape, params in shapes.items():
                update = orthogonalise(torch.stack([moved[p] for p in params])) * max(1.0, shape[0] / shape[1]) ** 0.5
                for p, change in zip(params, update, strict=True):
                    p.mul_(1 - group["lr"] * group["decay"]).add_(change, alpha=-group["lr"])


def optimisers(network: Network, muon: float, adam: float) -> tuple[torch.optim.Optimizer, ...]:
    """Muon with rate `muon` for every matrix inside a layer, AdamW with rate `adam` for embeddings and norms."""
    matrices = [p for name, p in network.named_parameters() if p.ndim == 2 and "embed" not in name]
    rest = [p for name, p in network.named_parameters() if p.ndim != 2 or "embed" in name]
    chosen = Muon(matrices, lr=muon), torch.optim.AdamW(rest, lr=adam, betas=(0.9, 0.95), weight_decay=0.0)
    for optimiser in chosen:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return chosen
