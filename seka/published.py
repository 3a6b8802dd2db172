"""Read the published `.pt` banks once, safely, into a `Projection`. Knows their layouts; learns nothing.

A bank is {"layers", "proj" (L, H, D, D)}, or {"layers", "U_matrices" (L, H, D, D), "singular_values" (L, H, D)}, or a
bare tensor of projections. Layers are looked up by the ids it stores, never by position. Shifts are not in these files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seka.factors import Factors, LayerProjection
from seka.fingerprint import fingerprint
from seka.projections import STORED, Projection
from seka.sites import Site, sites


def convert(
    path: str | Path,
    model: nn.Module,
    negative: str | Path | None = None,
    energy: float = 0.9,
    layers: Sequence[int] | None = None,
) -> Projection:
    """The bank at `path` (and its negative twin) as a projection of `model`.

    energy: the rank of a head in a bank of singular vectors; a bank of projections has its ranks already.
    layers: layer ids of a bare tensor that holds fewer layers than the model; refused where the bank names its own.

    Shifts are unknown (NaN), so that min_shift > 0 is refused; a bank of projections has no singular values, so that a
    router refuses it; a head of NaN or zeros is absent. ValueError when the bank does not fit the model.
    """
    if not 0 < energy <= 1:
        raise ValueError(f"energy is {energy}; wanted a share above 0 and at most 1")
    bank, ids = _read(Path(path), layers)
    other = None
    if negative is not None:
        other, other_ids = _read(Path(negative), layers)
        if other_ids != ids or len(next(iter(other.values()))) != len(next(iter(bank.values()))):
            raise ValueError(
                f"{path} holds layers {ids}, {negative} holds {other_ids}; wanted the same ones, in both or in neither"
            )
    by_layer = {site.layer: site for site in sites(model)}
    first = bank.get("U_matrices", bank.get("proj"))
    if first is None:
        raise ValueError(f"{path} holds no matrices")
    if ids is None:
        if len(first) != len(by_layer):
            raise ValueError(
                f"{path} names no layers and holds {len(first)} of the model's {len(by_layer)}; give layers=[...]"
            )
        ids = sorted(by_layer)
    parts = {}
    for row, layer in enumerate(ids):
        if layer not in by_layer:
            raise ValueError(f"{path} holds layer {layer}; the model has attention layers {sorted(by_layer)}")
        site = by_layer[layer]
        for file, each in ((path, bank), (negative, other)):
            _fit(f"{file}, layer {layer}", each or {}, row, site)
        positive, present = _factors(bank, row, energy, tail=False)
        tail = None if other is None else _factors(other, row, energy, tail=True)[0]
        unknown = torch.full((site.heads,), torch.nan)
        parts[layer] = LayerProjection(positive, tail, unknown, unknown.clone(), present, torch.ones(site.heads))
    header = {
        **fingerprint(model),
        "name": Path(path).stem,
        "description": f"Converted from the published bank {Path(path).name}.",
        "recipe": {"method": "published", "energy": energy if "U_matrices" in bank else None},
        "oriented": False,
        "recommended_gain": None,
    }
    return Projection(parts, header)


def _read(path: Path, layers: Sequence[int] | None) -> tuple[dict[str, Tensor], list[int] | None]:
    if not path.is_file():
        raise ValueError(f"no bank at {path}; wanted a published .pt file")
    try:
        # weights_only: tensors and plain containers; nothing in the file is executed.
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader raises whatever a broken file leads it to
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"{path} could not be read safely ({reason}); wanted a published .pt bank of tensors"
        ) from None
    ids: list[int] | None = None if layers is None else [int(layer) for layer in layers]
    if isinstance(loaded, Tensor):
        if loaded.dim() not in (2, 3, 4):
            raise ValueError(f"{path} holds a tensor of shape {tuple(loaded.shape)}; wanted 2 to 4 dimensions")
        bank = {"proj": loaded[None, None] if loaded.dim() == 2 else loaded[:, None] if loaded.dim() == 3 else loaded}
    elif isinstance(loaded, dict) and ("proj" in loaded or {"U_matrices", "singular_values"} <= set(loaded)):
        bank = {key: loaded[key] for key in ("proj", "U_matrices", "singular_values") if key in loaded}
        if "U_matrices" in bank:
            bank.pop("proj", None)
        if "layers" in loaded:
            if ids is not None:
                raise ValueError(f"{path} names its own layers {list(loaded['layers'])}; leave layers out")
            ids = [int(layer) for layer in loaded["layers"]]
    else:
        keys = sorted(map(str, loaded)) if isinstance(loaded, dict) else type(loaded).__name__
        raise ValueError(
            f"{path} holds {keys}; wanted 'layers' with 'proj', or with 'U_matrices' and 'singular_values'"
        )
    if ids is not None and len(set(ids)) != len(ids):
        raise ValueError(f"{path}: layers {ids} name one more than once; wanted each layer once")
    bank = {key: _tensor(value, key, path) for key, value in bank.items()}
    count = {len(value) for value in bank.values()}
    if len(count) != 1 or (ids is not None and {len(ids)} != count):
        raise ValueError(f"{path} names layers {ids} but holds {sorted(count)}; wanted one entry for each layer")
    return bank, ids


def _fit(where: str, bank: dict[str, Tensor], row: int, site: Site) -> None:
    for key, value in bank.items():
        wanted = (site.heads, site.width) if key == "singular_values" else (site.heads, site.width, site.width)
        if value[row].shape != wanted:
            raise ValueError(f"{where}: {key!r} is {tuple(value[row].shape)}; the model wants {wanted}")


def _tensor(value: Any, key: str, path: Path) -> Tensor:
    if not isinstance(value, Tensor) or value.dim() != (3 if key == "singular_values" else 4):
        shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"{path}: {key!r} is {shape}; wanted (L, H, D, D), singular values (L, H, D)")
    return value.float()


def _factors(bank: dict[str, Tensor], row: int, energy: float, tail: bool) -> tuple[Factors, Tensor]:
    """One layer's factors and (H,) which heads are present. For a tail: of the head it complements."""
    if "U_matrices" in bank:
        vectors, values = bank["U_matrices"][row], bank["singular_values"][row]
        present = vectors.isfinite().all(-1).all(-1) & values.isfinite().all(-1)
        vectors, values = vectors.nan_to_num(0.0), values.nan_to_num(0.0)
        if not torch.allclose((vectors.mT @ vectors)[present], torch.eye(vectors.shape[-1]), atol=1e-2):
            raise ValueError("a matrix of the bank has columns that are not orthonormal; wanted singular vectors")
        share = values.double().cumsum(-1) / values.double().sum(-1, keepdim=True).clamp(min=1e-30)
        rank = ((share < energy - 1e-12).sum(-1) + 1).clamp(max=values.shape[-1]) * present
    else:
        matrix = bank["proj"][row]
        present = matrix.isfinite().all(-1).all(-1) & (tail | (matrix != 0).any(-1).any(-1))
        matrix = matrix.nan_to_num(0.0).double()
        eye = torch.eye(matrix.shape[-1], dtype=torch.float64)
        matrix = torch.where(present[:, None, None], eye - matrix if tail else matrix, 0.0)
        if not torch.allclose(matrix @ matrix, matrix, atol=1e-3) or not torch.allclose(matrix, matrix.mT, atol=1e-3):
            raise ValueError(
                "a matrix of the bank is no projection (P P = P, symmetric); it cannot be stored as factors"
            )
        eigenvalues, vectors = torch.linalg.eigh(matrix)
        vectors = vectors.flip(-1).float()
        rank = eigenvalues.sum(-1).round().long()
        values = torch.full(eigenvalues.shape, torch.nan)
    stored = max(int(rank.max()), min(STORED, values.shape[-1]))
    vectors = vectors[:, :, :stored] * present[:, None, None]
    if "proj" in bank:
        vectors = vectors * (torch.arange(stored) < rank[:, None])[:, None, :]
    return Factors(values, rank, vectors.contiguous()), present
