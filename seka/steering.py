"""Edit the keys of highlighted tokens while a prompt is computed. Knows where and how much; what to add is learnt elsewhere.

k' = k + c+ P+ k + c- P- k with c = max(w g s, -1): w the token's weight, g the gain, s the head's scale (SEKA, arXiv
2603.01281; scale and floor are ours: a part of a key is removed at most, and never turned round). P+ and P- may share
directions, so where both channels remove, their floors are -|g| / (|g+| + |g-|), which add up to -1. A paper's pair of
gains with a negative bank, (a, b), is ours (a/2, b/2).
With a router P+ is a sum over experts m of alpha_m U_m U_m^T, and c_m = max(w g s_m alpha_m, -|alpha_m| / sum |alpha|),
which add up to no less than -1 whatever directions the experts share.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from seka.eager import uncompiled
from seka.layers import choose, named_heads
from seka.locks import exclusive
from seka.projections import Projection
from seka.routing import Router, threshold
from seka.session import Group, Session
from seka.sites import check_fits, sites
from seka.tokens import Tokens


class Steering:
    """How to steer one model: whose subspace, how strongly, which layers and heads. It changes nothing until `on`.

    source: a `Projection`, or a `Router` over several.
    positive: gain of P+; None takes the source's recommended gain. negative: gain of P- (0: no negative channel). Both
        act times each head's scale.
    layers: None takes the source's recommended layers; "all" those it holds, "last10", "first4" (of the model's attention
        layers), "3,5", ints, or heads of layers, "0:1,3;4:0".
    min_shift: of their heads steer those whose relative shift is at least this.
    heads: {layer: [heads]} names them, whatever the layers and the shift.

    ProjectionMismatch when the source was learnt on another model; ValueError when nothing would be steered.
    """

    def __init__(
        self,
        model: nn.Module,
        source: Projection | Router,
        positive: float | None = None,
        negative: float = 0.0,
        layers: str | Sequence[int] | None = None,
        min_shift: float = 0.0,
        heads: Mapping[int, Sequence[int]] | None = None,
    ) -> None:
        if not isinstance(source, Projection | Router):
            raise TypeError(f"wanted a Projection or a Router, given {type(source).__name__}")
        model = uncompiled(model)
        source.check(model)
        self.model, self.source = model, source
        self.positive, self.negative = _gains(source, positive, negative)
        layers = source.recommended_layers if layers is None else layers
        everywhere = isinstance(layers, str) and layers.strip().lower() == "all"
        if heads is not None:
            layers, everywhere, min_shift = sorted(heads), False, 0.0
        named = named_heads(layers) if heads is None else heads
        self.sites = tuple(s for s in choose(source.layers if everywhere else layers, sites(model)))
        #: {layer: (E, H) bool} which expert may act on which head; E is 1 for a projection.
        self.allowed = {site.layer: self._allow(site.layer, min_shift, named) for site in self.sites}
        if not any(bool(allowed.any()) for allowed in self.allowed.values()):
            raise ValueError("no head is steered: " + self._why_none(layers, min_shift, named))
        self.sites = tuple(site for site in self.sites if bool(self.allowed[site.layer].any()))
        self._bases = {site.layer: self._basis(site.layer) for site in self.sites}
        self._scales = {
            site.layer: torch.stack([expert.part(site.layer).scale for expert in self._experts()])
            for site in self.sites
        }

    @property
    def router(self) -> Router | None:
        return self.source if isinstance(self.source, Router) else None

    @property
    def selected(self) -> dict[int, Tensor]:
        """{layer: (H,) bool} heads that are steered."""
        return {site.layer: self.allowed[site.layer].any(0) for site in self.sites}

    def with_gain(self, positive: float, negative: float | None = None) -> Steering:
        """The same steering at another strength; what is stored is shared, so a sweep in one batch costs little."""
        other = copy.copy(self)
        other.positive, other.negative = _gains(self.source, positive, self.negative if negative is None else negative)
        if (other.negative != 0) != (self.negative != 0):
            other._bases = {site.layer: other._basis(site.layer) for site in other.sites}
        return other

    def only(self, heads: Mapping[int, Sequence[int]]) -> Steering:
        """The same steering of just these heads of its layers; nothing is checked or computed anew.

        heads: {layer: [heads]}. ValueError for a layer that is not steered, and for a head that the source lacks.
        """
        here = [site.layer for site in self.sites]
        if missing := sorted(set(heads) - set(here)):
            raise ValueError(f"layers {missing} are not steered here; wanted some of {here}")
        other = copy.copy(self)
        other.sites = tuple(site for site in self.sites if site.layer in heads)
        other.allowed = {site.layer: self._allow(site.layer, 0.0, heads) for site in other.sites}
        other._bases = {site.layer: self._bases[site.layer] for site in other.sites}
        return other

    def _why_none(self, layers: object, min_shift: float, named: Mapping[int, Sequence[int]] | None) -> str:
        if named is not None and not any(named.values()):
            return f"heads={dict(named)} names none"
        known = [
            float(shift)
            for expert in self._experts()
            for site in self.sites
            for head, shift in enumerate(expert.part(site.layer).relative_shift)
            if expert.part(site.layer).present[head] and (named is None or head in named[site.layer])
        ]
        if not known:
            return f"this source has none in {layers!r}"
        return f"in {layers!r} none has a relative shift of {min_shift:g} or more; the largest is {max(known):.3f}"

    @contextmanager
    def on(self, tokens: Tokens) -> Iterator[Session]:
        """Steer every row of `tokens` in the model calls of this thread; on leaving, the model is as it was."""
        with steer(self.model, tokens, [self] * len(tokens)) as session:
            yield session

    def group(self, layer: int) -> Tensor:
        """(H, D, R) what keys are projected on in this layer: vectors of P+, then of P-'s complement if it is in use;
        with a router the leading vectors of each expert in turn."""
        return self._bases[layer]

    def coefficients(self, layer: int, weights: Tensor, alpha: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Coefficients of N tokens: (N, H, R) for the basis' vectors, and (N, H) or None for the key itself.

        weights (N,): each token's mark. alpha (N, E, H): the router's coefficients for each token's row, None without.
        """
        mask, scale = self.allowed[layer].to(weights), self._scales[layer].to(weights)
        if alpha is not None:
            floor = -alpha.abs() / alpha.abs().sum(1, keepdim=True).clamp(min=1.0)
            mixed = torch.maximum(weights[:, None, None] * self.positive * scale * alpha, floor) * mask
            top = self._bases[layer].shape[2] // mask.shape[0]
            return mixed.mT.repeat_interleave(top, dim=2), None
        floor_plus, floor_minus = self._floors()
        scaled = weights[:, None] * scale[0]
        plus = (scaled * self.positive).clamp(min=floor_plus) * mask[0]
        rank = self._bases[layer].shape[2]
        if self.negative == 0:
            return plus[:, :, None].expand(-1, -1, rank), None
        minus = (scaled * self.negative).clamp(min=floor_minus) * mask[0]
        tail = self._tail(layer)
        return torch.cat(
            [plus[:, :, None].expand(-1, -1, rank - tail), -minus[:, :, None].expand(-1, -1, tail)], 2
        ), minus

    def _floors(self) -> tuple[float, float]:
        """The least coefficients of P+ and of P-: -1 each, or -1 together where both remove at the same weights."""
        if self.negative == 0 or (self.positive > 0) != (self.negative > 0):
            return -1.0, -1.0
        share = abs(self.positive) / (abs(self.positive) + abs(self.negative))
        return -share, share - 1.0

    def _tail(self, layer: int) -> int:
        """Vectors of P-'s complement at the end of the basis."""
        part = self.source.part(layer) if isinstance(self.source, Projection) else None
        return 0 if part is None or part.negative is None or self.negative == 0 else part.negative.vectors.shape[2]

    def _experts(self) -> list[Projection]:
        return list(self.source.experts.values()) if isinstance(self.source, Router) else [self.source]

    def _allow(self, layer: int, min_shift: float, heads: Mapping[int, Sequence[int]] | None) -> Tensor:
        experts = self._experts()
        allowed = torch.stack([threshold(expert, layer, min_shift) for expert in experts])
        if heads is None:
            return allowed
        present = torch.stack([expert.part(layer).present for expert in experts])
        named = torch.zeros(present.shape[1], dtype=torch.bool)
        for head in heads[layer]:
            if not 0 <= head < len(named) or not bool(present[:, head].any()):
                raise ValueError(
                    f"head {head} of layer {layer} cannot be steered; this source has {present.any(0).nonzero().flatten().tolist()}"
                )
            named[head] = True
        return allowed & named

    def _basis(self, layer: int) -> Tensor:
        if isinstance(self.source, Router):
            return self.source.vectors(layer).permute(1, 2, 0, 3).flatten(2)
        part = self.source.part(layer)
        if self.negative == 0 or part.negative is None:
            return part.positive.basis()
        return torch.cat([part.positive.basis(), part.negative.basis()], 2)


@contextmanager
def steer(model: nn.Module, tokens: Tokens, rows: Sequence[Steering | None]) -> Iterator[Session]:
    """Steer each row of a batch its own way (None: not at all) in the model calls of this thread.

    Only the columns of `tokens.highlight` are edited, while they are computed: whole prompts, chunks of one, beams and
    several sequences per row (copies side by side), with and without a cache; calls by inputs_embeds are placed by count.
    Compiled code runs uncompiled meanwhile. On leaving, also by an exception, every hook is gone.

    One steering per model at a time: a second thread waits, and so does a plain call that holds the model's lock. A call
    from another thread that does not is a RuntimeError; so are other tokens, other rows, and continuous batching
    (ValueError or RuntimeError). ValueError when a row does not fit the model's context.
    """
    model = uncompiled(model)
    if len(rows) != len(tokens):
        raise ValueError(f"{len(rows)} steerings for {len(tokens)} rows; wanted one (or None) for each row")
    if any(row is not None and row.model is not model for row in rows):
        raise ValueError("a row's steering was made for another model; wanted Steering(model, ...) of this model")
    check_fits(model, int(tokens.attention.sum(1).max()))
    groups: dict[int, Group] = {}
    for index, row in enumerate(rows):
        if row is not None:
            groups.setdefault(id(row._bases), Group(row.sites, row.group, row.router)).rows[index] = row
    with exclusive(model):
        session = Session(model, tokens, list(groups.values()))
        with session.attached():
            yield session


def _gains(source: Projection | Router, positive: float | None, negative: float) -> tuple[float, float]:
    if positive is None:
        positive = source.recommended_gain
        if positive is None:
            raise ValueError("no gain given and the projection recommends none; wanted positive=..., for example 0.2")
    for name, gain in (("positive", positive), ("negative", negative)):
        if not torch.isfinite(torch.tensor(float(gain))):
            raise ValueError(f"{name} is {gain}; wanted a finite gain")
    if negative != 0:
        if isinstance(source, Router):
            raise ValueError(
                f"negative={negative}: a router has no negative channel (AdaSEKA defines none); use negative=0"
            )
        if any(part.negative is None for part in source.parts.values()):
            raise ValueError(f"negative={negative}: this projection has no negative channel; use negative=0")
    return float(positive), float(negative)
