"""From documents to rows of tokens: packs whole documents into windows. It knows shapes, not optimisation.

A row holds several documents one after another. Columns of different documents do not see each other, so every
document is read as if it stood alone, as a prompt does later. A document goes to the narrowest window it fits in.

Some documents skip positions: from one place on, all later columns stand further away, as if text were missing there.
So a short document teaches to look far back (PoSE, Zhu et al. 2023, which does it to lengthen contexts).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from random import Random
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seka.miniature.corpus.documents import draw
from seka.miniature.model import IGNORED

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CHUNK = 1024
OPEN = 48
Row = list[tuple[list[int], list[float], list[int]]]
"""Documents one after another, each its token ids, the weight of every token in the loss, and every token's position."""


@dataclass(frozen=True)
class Batch:
    """ids, documents, positions, targets (B, T) int64, weights (B, T) float32: of every target in the loss.

    `documents` numbers the documents of a row, padding has its own number; positions begin anew with each.
    """

    ids: Tensor
    documents: Tensor
    positions: Tensor
    targets: Tensor
    weights: Tensor

    def to(self, device: str) -> Batch:
        """The same batch elsewhere."""
        return Batch(*(getattr(self, part.name).to(device) for part in fields(self)))


def collate(rows: Iterable[Row], width: int, pad: int) -> Batch:
    """Rows of documents as one batch of `width` columns, padded on the right with `pad`."""
    ids, numbers, positions, targets, weights = [], [], [], [], []
    for row in rows:
        flat = [token for document, _, _ in row for token in document]
        rest = width - len(flat)
        ids.append(flat + [pad] * rest)
        numbers.append([n for n, (document, _, _) in enumerate(row) for _ in document] + [len(row)] * rest)
        positions.append([place for _, _, places in row for place in places] + [*range(rest)])
        targets.append([t for document, _, _ in row for t in [*document[1:], IGNORED]] + [IGNORED] * rest)
        weights.append([w for _, heavy, _ in row for w in [*heavy[1:], 0.0]] + [0.0] * rest)
    return Batch(*map(torch.tensor, (ids, numbers, positions, targets, weights)))


def alone(ids: list[int]) -> Row:
    """A row of one document whose tokens all weigh the same and skip nothing."""
    return [(ids, [1.0] * len(ids), [*range(len(ids))])]


def skipping(random: Random, size: int, share: float, context: int) -> list[int]:
    """Positions of `size` tokens below `context`, which a `share` of documents skips from a random place on."""
    room = context - size
    if random.random() >= share or room <= 0 or size < 2:
        return [*range(size)]
    cut, gap = random.randrange(1, size), random.randint(1, room)
    return [*range(cut), *range(cut + gap, size + gap)]


@dataclass
class Stream:
    """Batches of `tokens` columns in all, from the documents of one split; its state can be saved and set again.

    skips: share of documents that skip positions.
    """

    tokenizer: PreTrainedTokenizerFast
    seed: int
    split: str = "training"
    tokens: int = 6144
    answer_weight: float = 1.0
    widths: tuple[int, ...] = (192, 512, 1024)
    skips: float = 0.0
    index: int = 0
    ready: dict[int, list[Row]] = field(default_factory=dict)
    filling: dict[int, list[Row]] = field(default_factory=dict)

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on from here."""
        return copy.deepcopy({"index": self.index, "ready": self.ready, "filling": self.filling})

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        state = copy.deepcopy(state)
        self.index, self.ready, self.filling = state["index"], state["ready"], state["filling"]

    def next(self) -> Batch:
        """The next batch: wide windows as soon as there are enough of them, narrow ones otherwise."""
        while True:
            for width in sorted(self.widths, reverse=True):
                rows, count = self.ready.setdefault(width, []), max(1, self.tokens // width)
                if len(rows) >= count:
                    self.ready[width] = rows[count:]
                    end = self.tokenizer.eos_token_id
                    assert isinstance(end, int)
                    return collate(rows[:count], width, end)
            self._read()

    def _read(self) -> None:
        drawn = [draw(self.seed, self.split, self.index + n) for n in range(CHUNK)]
        self.index += CHUNK
        end = self.tokenizer.eos_token_id
        read = self.tokenizer([d.text for d in drawn], add_special_tokens=False, return_offsets_mapping=True)
        longest = max(self.widths)
        for number, (_, _, (first, last)), ids, places in zip(
            range(self.index - CHUNK, self.index), drawn, read["input_ids"], read["offset_mapping"], strict=True
        ):
            heavy = [self.answer_weight if start < last and stop > first else 1.0 for start, stop in places]
            ids, heavy = [*ids, end][:longest], [*heavy, 1.0][:longest]
            random = Random(f"{self.seed}/{self.split}/{number}/positions")
            positions = skipping(random, len(ids), self.skips, longest)
            self._put(ids, heavy, positions, min(width for width in self.widths if len(ids) <= width))

    def _put(self, ids: list[int], heavy: list[float], positions: list[int], width: int) -> None:
        """Into the fullest open row that has room; the fullest row is closed when too many are open."""
        bins = self.filling.setdefault(width, [])
        sizes = [sum(len(document) for document, _, _ in row) for row in bins]
        fitting = [(size, n) for n, size in enumerate(sizes) if size + len(ids) <= width]
        if fitting:
            bins[max(fitting)[1]].append((ids, heavy, positions))
            return
        if len(bins) >= OPEN:
            self.ready.setdefault(width, []).append(bins.pop(sizes.index(max(sizes))))
        bins.append([(ids, heavy, positions)])
