"""A model on more than one device: where its inputs go, where its weights rest, which of its heads this process computes.

Knows device maps (accelerate) and tensor parallelism (torch), and refuses every other arrangement; nothing of keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import torch
from torch import Tensor, nn

if torch.distributed.is_available():
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel
    from torch.distributed.tensor import DTensor, Shard, distribute_tensor
if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

_COPIES = "it runs copies of the model, on which no hook would hang; give the model inside it, {name}.module"
_PIECES = "its layers keep their weights in pieces between calls (FSDP); load it with a device_map or tensor parallel"
_STAGES = "each process holds only some of its layers (pipeline parallel); load it with a device_map or tensor parallel"
_EMPTY = "the weight {name} has no values (it is on the meta device); load the model with its weights"


def refusal(model: nn.Module) -> str | None:
    """Why a model that is arranged like this cannot be steered, or None."""
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return _COPIES.format(name=type(model).__name__)
    if hasattr(model, "_pp_stage"):
        return _STAGES
    if torch.distributed.is_available():
        kinds = (FSDPModule, FullyShardedDataParallel)
        if any(isinstance(module, kinds) for module in model.modules()):
            return _PIECES
    return None


def input_device(model: Any) -> torch.device:
    """Where token ids go: to the embedding, or to where it is brought when it is called. ValueError for a model without
    weights."""
    embedding = model.get_input_embeddings()
    hook: Any = getattr(embedding, "_hf_hook", None)
    if not embedding.weight.is_meta:
        return torch.device(embedding.weight.device)
    if hook is None:
        raise ValueError(_EMPTY.format(name="of the embedding"))
    return torch.device(hook.execution_device)


def weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every parameter by name, with its value also where a device map leaves it in memory or on disk between calls.

    Nothing is moved: what is on disk is read lazily, so that a few entries of a weight cost no more than that.
    """
    away: dict[str, tuple[Mapping[str, Tensor], str]] = {}
    for at, part in module.named_modules():
        hook: Any = getattr(part, "_hf_hook", None)
        if getattr(hook, "offload", False):
            for name, _ in part.named_parameters(recurse=hook.place_submodules):
                away[f"{at}.{name}" if at else name] = (hook.weights_map, name)
    for name, here in module.named_parameters():
        kept, key = away.get(name, ({name: here}, name))
        weight = kept[key]
        if weight.is_meta:
            raise ValueError(_EMPTY.format(name=repr(name)))
        yield name, weight


def entries(weight: Tensor, index: Tensor) -> Tensor:
    """The entries at flat places `index` (N,), float32; of a weight that processes share, from whichever has them."""
    weight = weight.detach()
    if not _is_shared(weight):
        return weight.flatten()[index.to(weight.device)].float()
    (placement,), mesh, local = weight.placements, weight.device_mesh, weight.to_local()
    index = index.to(local.device)
    if placement.is_replicate():
        return entries(local, index)
    place, dim = list(torch.unravel_index(index, weight.shape)), placement.dim % weight.ndim  # type: ignore[attr-defined]
    # Which rows are here: their numbers are laid out the very way the weight is, interleaved or not; nothing is sent.
    numbers = torch.arange(weight.shape[dim], device=local.device)
    numbers = numbers.view([-1 if d == dim else 1 for d in range(weight.ndim)])
    rows = distribute_tensor(numbers, mesh, [placement], src_data_rank=None).to_local().flatten()
    found, row = (place[dim][:, None] == rows).nonzero(as_tuple=True)
    place = [coordinate[found] for coordinate in place]
    place[dim] = row
    values = torch.zeros(len(index), device=local.device).index_put((found,), local[tuple(place)].float())
    torch.distributed.all_reduce(values, group=mesh.get_group())
    return values


@dataclass(frozen=True)
class Share:
    """Heads of a layer are split among the processes of `mesh`: equal parts, in the order of ranks."""

    mesh: DeviceMesh

    def count(self, heads: int) -> float:
        """How many of so many heads each process computes; no whole number where they cannot be split evenly."""
        return heads / self.mesh.size()

    def of(self, heads: int) -> slice:
        """Which of so many heads this process computes."""
        part, rank = heads // self.mesh.size(), self.mesh.get_local_rank()
        return slice(part * rank, part * (rank + 1))

    def gather(self, part: Tensor, dim: int) -> Tensor:
        """Every process' part along `dim`, in one tensor. All processes of the mesh call this together."""
        whole: Tensor = DTensor.from_local(part, self.mesh, [Shard(dim)], run_check=False).full_tensor()
        return whole


def share(attention: nn.Module) -> Share | None:
    """How the weights of an attention layer are split among processes, or None where they are whole."""
    meshes = [weight.device_mesh for weight in attention.parameters() if _is_shared(weight)]
    return Share(meshes[0]) if meshes else None


def _is_shared(weight: Tensor) -> TypeGuard[DTensor]:
    return torch.distributed.is_available() and isinstance(weight, DTensor)
