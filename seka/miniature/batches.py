"""From documents to rows of tokens: packs whole documents into windows. It knows shapes, not optimisation.

A row holds several documents one after another. Columns of different documents do not see each other, so every
document is read as if it stood alone, as a prompt does later. A document goes to the narrowest window it fits in.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seka.miniature.corpora import Corpus
from seka.miniature.model import IGNORED

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CHUNK = 1024
OPEN = 48


@dataclass(frozen=True)
class Batch:
    """ids, documents, targets: (B, T) int64. `documents` numbers the documents of a row, padding has its own number."""

    ids: Tensor
    documents: Tensor
    targets: Tensor

    def to(self, device: str) -> Batch:
        """The same batch elsewhere."""
        return Batch(self.ids.to(device), self.documents.to(device), self.targets.to(device))


def collate(rows: Iterable[list[list[int]]], width: int, pad: int) -> Batch:
    """Rows of documents (lists of token ids) as one batch of `width` columns, padded on the right with `pad`."""
    ids, numbers, targets = [], [], []
    for row in rows:
        flat = [token for document in row for token in document]
        rest = width - len(flat)
        ids.append(flat + [pad] * rest)
        numbers.append([n for n, document in enumerate(row) for _ in document] + [len(row)] * rest)
        targets.append([t for document in row for t in [*document[1:], IGNORED]] + [IGNORED] * rest)
    return Batch(torch.tensor(ids), torch.tensor(numbers), torch.tensor(targets))


@dataclass
class Stream:
    """Batches of `tokens` columns in all, from the documents of one split; its state can be saved and set again."""

    tokenizer: PreTrainedTokenizerFast
    corpus: Corpus
    seed: int
    split: str = "training"
    tokens: int = 7680
    widths: tuple[int, ...] = (192, 512, 1024)
    index: int = 0
    ready: dict[int, list[list[list[int]]]] = field(default_factory=dict)
    filling: dict[int, list[list[list[int]]]] = field(default_factory=dict)

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
        texts = list(islice(self.corpus.documents(self.seed, self.split, self.index), CHUNK))
        self.index += CHUNK
        end = self.tokenizer.eos_token_id
        for ids in self.tokenizer(texts, add_special_tokens=False)["input_ids"]:
            document = [*ids, end][: max(self.widths)]
            self._put(document, min(width for width in self.widths if len(document) <= width))

    def _put(self, document: list[int], width: int) -> None:
        """Into the fullest open row that has room; the fullest row is closed when too many are open."""
        bins = self.filling.setdefault(width, [])
        sizes = [sum(map(len, row)) for row in bins]
        fitting = [(size, n) for n, size in enumerate(sizes) if size + len(document) <= width]
        if fitting:
            bins[max(fitting)[1]].append(document)
            return
        if len(bins) >= OPEN:
            self.ready.setdefault(width, []).append(bins.pop(sizes.index(max(sizes))))
        bins.append([document])
