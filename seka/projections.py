"""What was learnt about a model's keys: per layer and KV head a subspace, and how sensitive the head is to relevance.

Knows files and algebra; how factors are learnt is in `learn`, how they act is in `steering`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from seka.factors import Factors, LayerProjection, is_scale, read
from seka.fingerprint import fingerprint
from seka.header import NEEDED, problem
from seka.sites import sites

#: What is written. Files of 1 are read as well: they have no `scale`.
FORMAT = 2
#: Vectors stored for every head even where the rank is lower, for a router to use.
STORED = 16


class ProjectionMismatch(ValueError):
    """A projection that was learnt on another model."""


@dataclass(frozen=True)
class Projection:
    """The learnt projection of one model: a `LayerProjection` by layer index, and a header that says where it is from."""

    parts: Mapping[int, LayerProjection]
    header: Mapping[str, Any]

    @property
    def layers(self) -> tuple[int, ...]:
        """Layer indices, ascending."""
        return tuple(sorted(self.parts))

    @property
    def shift(self) -> dict[int, Tensor]:
        """{layer: (H,)} mean distance of relevant from irrelevant keys, in key units."""
        return {layer: self.parts[layer].shift for layer in self.layers}

    @property
    def relative_shift(self) -> dict[int, Tensor]:
        """{layer: (H,)} shift over the mean norm of a neutral key; no unit. NaN where unknown."""
        return {layer: self.parts[layer].relative_shift for layer in self.layers}

    @property
    def scale(self) -> dict[int, Tensor]:
        """{layer: (H,)} factor of the gain in each head, above 0; 1 where nobody has chosen one."""
        return {layer: self.parts[layer].scale for layer in self.layers}

    @property
    def name(self) -> str:
        return str(self.header.get("name", ""))

    @property
    def description(self) -> str:
        return str(self.header.get("description", ""))

    @property
    def recommended_gain(self) -> float | None:
        """The gain its makers chose on validation prompts, or None."""
        gain = self.header.get("recommended_gain")
        return None if gain is None else float(gain)

    @property
    def recommended_layers(self) -> str:
        """The layers, or heads of layers, that its makers chose to steer, as `seka.layers.choose` takes them; "all" for none."""
        return self.header.get("recommended_layers") or "all"

    def part(self, layer: int) -> LayerProjection:
        """The layer's part. ValueError when the projection does not hold it: layers are looked up, never counted off."""
        if layer not in self.parts:
            raise ValueError(f"layer {layer} is not in this projection; it holds {list(self.layers)}")
        return self.parts[layer]

    def positive(self, layer: int) -> Tensor:
        """(H, D, D) P+ of every head, no threshold applied; zeros for an absent head."""
        part = self.part(layer)
        return part.positive.projector() * part.present[:, None, None]

    def negative(self, layer: int) -> Tensor:
        """(H, D, D) P- of every head. ValueError when none was learnt."""
        part = self.part(layer)
        if part.negative is None:
            raise ValueError("this projection has no negative channel; use negative=0, or learn it from triplets")
        eye = torch.eye(part.negative.vectors.shape[1])
        return (eye - part.negative.projector()) * part.present[:, None, None]

    def with_header(self, **changes: Any) -> Projection:
        """The same projection with header entries changed (recommended_gain, recommended_layers, name, ...).

        ValueError for an entry that `load` would refuse.
        """
        if wrong := problem(changes):
            raise ValueError(wrong)
        return replace(self, header={**self.header, **changes})

    def scaled(self, scale: Mapping[int, Sequence[float]]) -> Projection:
        """The same projection with other factors of the gain, {layer: one for each KV head}; other layers keep theirs.

        ValueError for a layer that is not here, for another number of heads, and for a factor that is not finite and above 0.
        """
        parts = dict(self.parts)
        for layer, row in scale.items():
            part, fresh = self.part(layer), torch.tensor(row, dtype=torch.float32)
            if fresh.shape != part.scale.shape or not is_scale(fresh):
                raise ValueError(
                    f"scale of layer {layer} is {list(row)}; wanted {len(part.scale)} finite numbers above 0"
                )
            parts[layer] = replace(part, scale=fresh)
        return replace(self, parts=parts)

    def random(self, seed: int = 0) -> Projection:
        """A control: subspaces of the same ranks in directions that mean nothing."""
        generator = torch.Generator().manual_seed(seed)

        def draw(factors: Factors) -> Factors:
            gauss = torch.randn(factors.vectors.shape, generator=generator)
            return replace(factors, vectors=torch.linalg.qr(gauss).Q)

        parts = {
            layer: replace(
                self.parts[layer],
                positive=draw(self.parts[layer].positive),
                negative=None if (tail := self.parts[layer].negative) is None else draw(tail),
                baseline=None,
            )
            for layer in self.layers
        }
        return Projection(parts, {**self.header, "name": f"random ({self.name}, seed {seed})"})

    def check(self, model: nn.Module, here: Mapping[str, Any] | None = None) -> None:
        """ProjectionMismatch, naming both sides, unless it was learnt on this very model (any dtype).

        here: the model's fingerprint, where it is known already.
        """
        here = here or fingerprint(model)
        ours, theirs = here["geometry"], self.header["geometry"]
        for key in ours:
            if ours[key] != theirs.get(key):
                raise ProjectionMismatch(
                    f"this projection was learnt on {self.header['model']!r} with {key} {theirs.get(key)}; "
                    f"the model {here['model']!r} has {ours[key]}. Learn one for it: python -m seka learn"
                )
        if other := _other_weights(here["weights"], self.header["weights"]):
            raise ProjectionMismatch(
                f"this projection was learnt on {self.header['model']!r}; the model {here['model']!r} has the same shape "
                f"but other weights ({other}). Learn one for it: python -m seka learn"
            )
        for site in sites(model):
            held = self.parts[site.layer].positive.values.shape if site.layer in self.parts else None
            if held not in (None, (site.heads, site.width)):
                raise ProjectionMismatch(
                    f"layer {site.layer} of this projection holds (H, D) = {tuple(held)}; the model has "
                    f"({site.heads}, {site.width}): the file's tensors do not fit its own header"
                )

    def save(self, path: str | Path) -> None:
        """Write safetensors: tensors by layer, and the header as JSON in the metadata. Under its name only once it is whole."""
        tensors: dict[str, Tensor] = {}
        for layer in self.layers:
            tensors |= {f"layers.{layer}.{key}": tensor for key, tensor in self.parts[layer].tensors().items()}
        header = {**self.header, "format": FORMAT, "layers": list(self.layers)}
        whole = Path(path)
        fresh = whole.with_name(f"{whole.name}.part")
        whole.parent.mkdir(parents=True, exist_ok=True)
        # Written plainly, for who may read a plain file; safetensors' own `save_file` makes one for its owner alone.
        fresh.write_bytes(save({k: v.contiguous() for k, v in tensors.items()}, metadata={"seka": json.dumps(header)}))
        fresh.replace(whole)

    @classmethod
    def load(cls, path: str | Path) -> Projection:
        """Read a file that `save` wrote. ValueError for anything else; nothing in the file is executed."""
        if str(path).endswith((".pt", ".pth", ".bin")):
            raise ValueError(
                f"{path} is a PyTorch file; convert it once: python -m seka convert {path} OUT.safetensors --model M"
            )
        if not Path(path).is_file():
            raise ValueError(f"no projection at {path}; wanted a file that `python -m seka learn` wrote")
        try:
            with safe_open(path, framework="pt") as file:
                header = json.loads((file.metadata() or {})["seka"])
                if header["format"] not in range(1, FORMAT + 1):
                    raise ValueError(
                        f"{path} has format {header['format']!r}, this seka reads 1 to {FORMAT}; update seka or learn anew"
                    )
                if wrong := problem({**dict.fromkeys(NEEDED), **header}):
                    raise TypeError(wrong)
                parts = {layer: read(file, layer, header["format"]) for layer in header["layers"]}
        except (SafetensorError, KeyError, TypeError, RecursionError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is not a projection of seka ({type(error).__name__}: {error})") from None
        return cls(parts, header)

    @classmethod
    def from_pretrained(cls, repo_id: str, *, filename: str | None = None, **options: Any) -> Projection:
        """Fetch a projection from the Hugging Face Hub, or from this machine's cache of it, and read it.

        filename: the file in the repository (default projection.safetensors). options: revision, cache_dir, token of
        `seka.hub.fetch`. ValueError in words for what is not there, cannot be reached, or is no projection.
        """
        from seka import hub

        return cls.load(hub.fetch(repo_id, filename or hub.FILE, **options))

    def push_to_hub(self, repo_id: str, *, filename: str | None = None, **options: Any) -> str:
        """Upload this projection and, where the repository has none, a card written from its header; the commit's address.

        options: revision, private, card, token of `seka.hub.publish`. ValueError in words for what stands in the way.
        """
        from seka import hub

        return hub.publish(self, repo_id, filename or hub.FILE, **options)


def _other_weights(ours: Mapping[str, list[float]], theirs: Mapping[str, list[float]]) -> str:
    """The first weight that is not the same but for rounding to bfloat16; empty when there is none."""
    for name in {**ours, **theirs}:
        a, b = (torch.tensor(side.get(name, []), dtype=torch.float64) for side in (ours, theirs))
        if a.shape != b.shape or not torch.allclose(a, b, rtol=2**-8, atol=1e-6):
            return name
    return ""
