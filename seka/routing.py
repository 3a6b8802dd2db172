"""Mix several experts by the prompt's own query (AdaSEKA, arXiv 2603.01281). Knows scores and files; edits nothing.

An expert is a `Projection`. For the last token of a prompt, each layer's query asks each expert's leading singular
vectors how much it lies in their span; the answers, scaled so that the largest is 1, weigh the experts per KV head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from seka.experts import Experts
from seka.fingerprint import fingerprint
from seka.layers import CHOICES, is_choice
from seka.projections import Projection

SCORES = ("energy", "relative", "signed")
WAYS = ("online", "two_pass")
LEAST = 1e-12
"""Mean energy that nothing is divided by: so little is rounding."""


@dataclass(frozen=True)
class Routing:
    """How experts were weighed. names: E of them. coefficients {layer: (B, E, H)}, largest magnitude 1 per row and head;
    0 for an expert that leaves the head out, for a row that is not routed, and for a head that is not steered."""

    names: tuple[str, ...]
    coefficients: Mapping[int, Tensor]

    def row(self, index: int) -> Routing:
        """The routing of one row, (1, E, H) per layer."""
        return Routing(self.names, {layer: c[index : index + 1] for layer, c in self.coefficients.items()})

    def totals(self) -> dict[str, float]:
        """Share of each expert in all coefficients' magnitude, over rows, layers and heads; they sum to 1."""
        weight = torch.stack([c.abs().sum((0, 2)) for c in self.coefficients.values()]).sum(0)
        total = float(weight.sum()) or 1.0
        return {name: float(w) / total for name, w in zip(self.names, weight.tolist(), strict=True)}


class Router:
    """Experts and how to weigh them.

    experts: {name: Projection}, all of one model and of the same layers.
    top: K leading vectors used of each expert, whatever its rank.
    score: "energy", sum_k s_k (q.u_k)^2 / (||q||^2 sum_k s_k), which no sign and no scale of an expert's moments can
        change; "relative", the energy over its mean on the prompts of the experts' baselines (`seka.with_baselines`), so
        that an expert whose vectors every query lies near is not picked for every prompt by that (one without a baseline
        counts with the mean of the others'); or "signed", the paper's sum_k s_k (q.u_k), with vectors turned at learning
        time so that the mean relevant key projects positively.
    sharpness: exponent b of (|a| / max|a|)^b, the sign kept. 1 is the paper's; more of it leaves less to experts that fit
        the prompt less, which matters where experts resemble each other and their scores lie close together.
    way: "online" weighs within the one pass, by queries that lower steered layers have already touched; "two_pass"
        takes them from an unsteered pass of the decoder first, which is the paper's arithmetic.
    gain: the gain that is recommended for the mixture; None for the mean of the experts' own.
    layers: what is recommended to be steered, layers ("last3") or heads of them ("0:1,3;4:0"), as `seka.layers.choose` takes
        it; None for what the experts recommend alike.
    """

    def __init__(
        self,
        experts: Mapping[str, Projection],
        top: int = 5,
        score: str = "energy",
        way: str = "online",
        sharpness: float = 1.0,
        gain: float | None = None,
        layers: str | None = None,
    ) -> None:
        if not experts:
            raise ValueError("a router needs at least one expert: Router({name: Projection, ...})")
        if score not in SCORES:
            raise ValueError(f"score {score!r} is unknown; wanted one of {SCORES}")
        if way not in WAYS:
            raise ValueError(f"way {way!r} is unknown; wanted one of {WAYS}")
        if not 0 < sharpness < float("inf"):
            raise ValueError(f"sharpness is {sharpness}; wanted a finite number above 0 (1: the paper's coefficients)")
        if gain is not None and not 0 < gain < float("inf"):
            raise ValueError(f"gain is {gain}; wanted a finite number above 0, or None for the experts' mean")
        if layers is not None and not is_choice(layers):
            raise ValueError(f"layers is {layers!r}; wanted {CHOICES}, or None for the experts' own")
        self.experts, self.names, self.score, self.way = dict(experts), tuple(experts), score, way
        self.sharpness, self.gain, self._layers = sharpness, gain, layers
        first = self.names[0]
        self.layers = self.experts[first].layers
        stored = min(p.positive.vectors.shape[2] for e in self.experts.values() for p in e.parts.values())
        if not 1 <= top <= stored:
            raise ValueError(f"top is {top}; these experts store {stored} vectors a head, so wanted 1 to {stored}")
        self.top = top
        for name, expert in self.experts.items():
            if expert.layers != self.layers or expert.header["geometry"] != self.experts[first].header["geometry"]:
                raise ValueError(
                    f"experts {first!r} (layers {list(self.layers)}, model {self.experts[first].header['model']!r}) and {name!r} "
                    f"(layers {list(expert.layers)}, model {expert.header['model']!r}) do not belong together"
                )
            if score == "signed" and not expert.header.get("oriented"):
                raise ValueError(
                    f"expert {name!r} was converted, and the signs of its vectors are arbitrary, so score='signed' means "
                    "nothing for it; use score='energy'"
                )
            for layer, part in expert.parts.items():
                if not bool(part.positive.values[part.present].isfinite().all()):
                    raise ValueError(
                        f"expert {name!r} has no singular values (layer {layer}), so it cannot be weighed; use it alone, "
                        "or convert the published *_svd.pt file instead"
                    )
        if score == "relative":
            bare = [n for n in self.layers if all(e.part(n).baseline is None for e in self.experts.values())]
            if bare:
                raise ValueError(
                    f"no expert has a baseline in layers {bare}, so score='relative' has nothing to compare with; measure "
                    "some with seka.with_baselines, or use score='energy'"
                )
        self._usual = {layer: self._mean_energy(layer) for layer in self.layers} if score == "relative" else {}

    @classmethod
    def load(
        cls,
        source: Mapping[str, str | Path] | str | Path,
        top: int | None = None,
        score: str | None = None,
        way: str | None = None,
        sharpness: float | None = None,
        gain: float | None = None,
        layers: str | None = None,
    ) -> Router:
        """From {name: path}, or from a JSON file that holds just that, or more:

            {"experts": {name: path}, "alone": {name: path}, "router": {"sharpness": 8.0, "gain": 0.18, "layers": "last3"}}

        Paths are relative to the file, or else taken as they are. "router" may set any of the parameters here; one that
        is given here goes first, and one that neither sets is as in `Router`. "alone" names further experts of the same
        folder, which are not mixed. ValueError for a file of any other form.
        """
        if isinstance(source, Mapping):
            listed = Experts({name: Path(path) for name, path in source.items()})
        else:
            listed = Experts.read(source)
        given = {"top": top, "score": score, "way": way, "sharpness": sharpness, "gain": gain, "layers": layers}
        settings = {**listed.router, **{name: value for name, value in given.items() if value is not None}}
        return cls({name: Projection.load(path) for name, path in listed.mixed.items()}, **settings)

    @property
    def recommended_gain(self) -> float | None:
        """The mixture's own gain, else the mean of the experts' recommended gains, or None where one has none.

        Coefficients add up: where experts share directions, a mixture edits more strongly than one of them at this gain.
        """
        if self.gain is not None:
            return self.gain
        gains = [expert.recommended_gain for expert in self.experts.values()]
        known = [gain for gain in gains if gain is not None]
        return sum(known) / len(known) if len(known) == len(gains) else None

    @property
    def recommended_layers(self) -> str:
        """The mixture's own layers or heads, else those that all its experts recommend alike, else "all"."""
        if self._layers is not None:
            return self._layers
        known = {expert.recommended_layers for expert in self.experts.values()}
        return known.pop() if len(known) == 1 else "all"

    def check(self, model: nn.Module) -> None:
        """ProjectionMismatch unless every expert was learnt on this model."""
        here = fingerprint(model)
        for expert in self.experts.values():
            expert.check(model, here)

    def vectors(self, layer: int) -> Tensor:
        """(E, H, D, K) leading vectors of every expert."""
        return torch.stack([expert.part(layer).positive.vectors[:, :, : self.top] for expert in self.experts.values()])

    def values(self, layer: int) -> Tensor:
        """(E, H, K) their singular values; 0 for an absent head."""
        rows = [expert.part(layer).positive.values[:, : self.top].nan_to_num(0.0) for expert in self.experts.values()]
        return torch.stack(rows)

    def usual(self, layer: int) -> Tensor | None:
        """(E, H) float64 mean energy of every expert on its baseline's prompts; None for a score that does not ask for it.

        The mean of the others where an expert has no baseline or leaves the head out; 1 where that is unknown, too.
        """
        return self._usual.get(layer)

    def _mean_energy(self, layer: int) -> Tensor:
        parts = [expert.part(layer) for expert in self.experts.values()]
        values = self.values(layer).double()
        unknown = torch.full((values.shape[1], self.top), torch.nan)
        rows = torch.stack([unknown if part.baseline is None else part.baseline[:, : self.top] for part in parts])
        present = torch.stack([part.present for part in parts])
        found = (rows * values).sum(-1) / values.sum(-1)
        found = torch.where(present & (found > LEAST), found, torch.nan)
        return torch.where(found.isnan(), found.nanmean(0), found).nan_to_num(1.0)


def threshold(projection: Projection, layer: int, min_shift: float, name: str = "") -> Tensor:
    """(H,) bool: heads that are present and whose relative shift reaches `min_shift`. ValueError where it is unknown."""
    part = projection.part(layer)
    if min_shift <= 0:
        return part.present.clone()
    known = part.relative_shift[part.present]
    if bool(known.isnan().any()):
        raise ValueError(
            f"min_shift={min_shift} cannot be applied: the projection {name or projection.name!r} does not know its shifts "
            "(it was converted); use min_shift=0 or heads={layer: [heads]}"
        )
    return part.present & (part.relative_shift >= min_shift)


def shares(query: Tensor, vectors: Tensor) -> Tensor:
    """(B, E, H, K) of (q.u)^2 / ||q||^2, of queries (B, Q, D) and vectors (E, H, D, K); 0 for a query of length 0.

    The query heads that share a KV head are averaged.
    """
    shared = query.unflatten(1, (vectors.shape[1], -1)).mean(2)
    norm = shared.square().sum(-1)[:, None, :, None]
    return torch.einsum("bhd,ehdk->behk", shared, vectors).square() / torch.where(norm > 0, norm, 1.0)


def weigh(
    query: Tensor,
    vectors: Tensor,
    values: Tensor,
    allowed: Tensor,
    score: str,
    sharpness: float = 1.0,
    usual: Tensor | None = None,
) -> Tensor:
    """(B, E, H) coefficients (|a| / max|a|)^sharpness with the sign of a.

    query (B, Q, D), vectors (E, H, D, K), values (E, H, K), allowed (E, H), usual (E, H): what energies are divided by, given
    where the score is "relative" and nowhere else. The query heads that share a KV head are averaged.
    """
    if (usual is None) == (score == "relative"):
        given = "no mean energies" if usual is None else "mean energies"
        raise ValueError(f"score {score!r} was given {given}; wanted some for 'relative', and for it alone")
    if score == "signed":
        shared = query.unflatten(1, (vectors.shape[1], -1)).mean(2)
        raw = (torch.einsum("bhd,ehdk->behk", shared, vectors) * values).sum(-1)
    else:
        mass = values.sum(-1)
        raw = (shares(query, vectors) * values).sum(-1) / torch.where(mass > 0, mass, 1.0)
    if usual is not None:
        raw = raw / usual
    raw = raw * allowed
    largest = raw.abs().amax(1, keepdim=True)
    share = raw / torch.where(largest > 0, largest, 1.0)
    return share if sharpness == 1 else share.sign() * share.abs() ** sharpness
