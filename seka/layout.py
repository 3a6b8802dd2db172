"""Heads inside a module's output: where they lie, reading them, writing them back. Knows shapes; no model and no steering."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Which places of an output hold the heads in question; every place is `width` numbers.

    The output has G `groups` of S `places`: (B, T, G*S*width), (B, T, G*S, width), or `swapped` (B, G*S, T, width).
    The heads are places `first` up to `last` of each group: all of them where a module makes keys alone, some where it
    makes queries and values too.
    """

    width: int
    groups: int
    places: int
    first: int
    last: int
    swapped: bool = False

    @property
    def heads(self) -> int:
        return self.groups * (self.last - self.first)

    def read(self, output: Tensor) -> Tensor:
        """The heads, (B, T, H, D)."""
        return self._grouped(output)[..., self.first : self.last, :].flatten(2, 3)

    def write(self, output: Tensor, heads: Tensor) -> Tensor:
        """A new output with `heads` (B, T, H, D) in place of its own; whatever else it holds stays as it is."""
        grouped: Tensor = heads.unflatten(2, (self.groups, -1))
        if grouped.shape[3] < self.places:
            part, grouped = grouped, self._grouped(output).clone()
            grouped[..., self.first : self.last, :] = part
        rows: Tensor = grouped.flatten(2, 3)
        return (rows.transpose(1, 2) if self.swapped else rows).reshape(output.shape)

    def _grouped(self, output: Tensor) -> Tensor:
        rows = output.transpose(1, 2) if self.swapped else output
        return rows.reshape(*rows.shape[:2], self.groups, self.places, self.width)


def alone(shape: tuple[int, ...], columns: int, width: int) -> Layout | None:
    """The layout of an output of so many columns that holds one kind of heads; None where its shape is another one.

    `columns` must be no head count, or the last two forms could not be told apart.
    """
    if len(shape) == 3 and shape[1] == columns and shape[2] % width == 0:
        heads, swapped = shape[2] // width, False
    elif len(shape) == 4 and columns in shape[1:3] and shape[3] == width:
        swapped = shape[2] == columns
        heads = shape[1] if swapped else shape[2]
    else:
        return None
    return Layout(width, 1, heads, 0, heads, swapped)


def slices(places: int, heads: int, queries: int, width: int) -> tuple[Layout, Layout]:
    """Keys and queries where all queries come first, then all keys, then all values."""
    return Layout(width, 1, places, queries, queries + heads), Layout(width, 1, places, 0, queries)


def groups(places: int, heads: int, queries: int, width: int) -> tuple[Layout, Layout]:
    """Keys and queries where every KV head has its own queries, then its key, then its value."""
    shared = queries // heads
    keys = Layout(width, heads, places // heads, shared, shared + 1)
    return keys, Layout(width, heads, places // heads, 0, shared)
