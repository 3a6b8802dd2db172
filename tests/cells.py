"""What every cell of the matrix families x modes shares: one model a family, three rows, and the answers by hand.

The rows differ in length; the first and the last are steered each its own way, the middle one is plain though it is
marked. The first marks its first and its last token and takes one back; the last is the longest, so it has no padding.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch
from byhand import Plan
from decoding import Row as PlannedRow
from decoding import greedy
from families import FAMILIES
from setting import footprint, invent, steerable, tokens_of
from torch import Tensor

import seka
from seka import Projection, Steering
from seka.tokens import Tokens

#: Families that take every mode, and those whose keys are made as another one's, which take some.
CORE = [name for name, family in FAMILIES.items() if not family.like]
LIKE = [name for name, family in FAMILIES.items() if family.like]
every_family = pytest.mark.parametrize("family", CORE + LIKE)

NEW = 3
Row = tuple[list[int], dict[int, float]]
ROWS: list[Row] = [
    ([31, 7, 112, 58, 203, 94, 5, 77, 310, 41, 19], {0: 1.0, 3: 1.0, 4: 1.0, 5: 1.0, 7: -0.5, 8: 1.0, 10: 1.0}),
    ([150, 9, 62, 188, 23, 301], {1: 1.0, 2: 1.0}),
    (
        [44, 260, 81, 17, 333, 12, 99, 205, 66, 8, 171, 29, 240, 53, 120, 36],
        {1: 1.0, 2: 1.0, 3: 1.0, 6: 0.5, 9: 1.0, 10: 1.0, 13: 1.0, 14: 1.0},
    ),
]


def matrix(
    modes: Iterable[str], plain: Iterable[str] = (), turn: int | None = None, of: Container[str] = FAMILIES
) -> pytest.MarkDecorator:
    """Cells (family, mode): the core in all modes; the others in the plain ones, and every fifth, from `turn` on, in all."""
    dear = [] if turn is None else LIKE[turn::5]
    cells = [(family, mode) for mode in modes for family in CORE + dear]
    cells += [(family, mode) for mode in plain for family in LIKE]
    return pytest.mark.parametrize(("family", "mode"), [cell for cell in cells if cell[0] in of])


@dataclass(frozen=True, eq=False)
class Cell:
    """A family's model, two projections of it, how each row is steered, and the same by hand."""

    family: str
    model: Any
    projections: Sequence[Projection]
    steerings: Sequence[Steering | None]
    plans: Sequence[Plan | None]
    untouched: Any  # the model's footprint before all

    @property
    def gain(self) -> float:
        return FAMILIES[self.family].gain

    def rows(self, steered: bool = True) -> list[PlannedRow]:
        """The rows with their plans, or all plain."""
        return [(*row, plan if steered else None) for row, plan in zip(ROWS, self.plans, strict=True)]

    def produce(
        self, tokens: Tokens | None = None, rows: Sequence[Steering | None] | None = None, **options: Any
    ) -> Any:
        """`generate` under steering, after which the model is as it was."""
        tokens = tokens_of(ROWS) if tokens is None else tokens
        try:
            with seka.steer(self.model, tokens, self.steerings if rows is None else rows):
                return self.generate(tokens, **options)
        finally:
            assert footprint(self.model) == self.untouched

    def generate(self, tokens: Tokens | None = None, **options: Any) -> Any:
        """The model's own generate, greedy unless asked otherwise: new tokens of each row, or transformers' output.

        seed: of what is drawn.
        """
        tokens = tokens_of(ROWS) if tokens is None else tokens
        torch.manual_seed(options.pop("seed", 0))
        settings: Mapping[str, Any] = {"max_new_tokens": NEW, "do_sample": False, "disable_compile": True, **options}
        out = self.model.generate(tokens.ids, attention_mask=tokens.attention, **settings)
        return out[:, tokens.ids.shape[1] :].tolist() if isinstance(out, Tensor) else out

    def differs(self, found: Sequence[Any], plain: Sequence[Any]) -> bool:
        """Whether every steered row, and no other, has another answer than its plain one."""
        return [a != b for a, b in zip(found, plain, strict=True)] == [plan is not None for plan in self.plans]

    def telling(self, answers: Callable[[Sequence[PlannedRow], int], Sequence[Any]]) -> tuple[int, Any]:
        """The first seed by which steering changes the answers(rows, seed) of every steered row, and these answers."""
        for seed in range(20):
            found = answers(self.rows(), seed)
            if self.differs(found, answers(self.rows(steered=False), seed)):
                return seed, found
        raise AssertionError(f"{self.family}: steering changes too little, so this test would prove nothing")


@cache
def cell(family: str, **changes: Any) -> Cell:
    """The cell of a family, whose model has `changes` in its configuration."""
    model, gain = steerable(family, **changes), FAMILIES[family].gain
    one, two = invent(model), invent(model, 1)
    some = sorted(two.parts)[-2:]
    chosen = {layer: range(len(two.parts[layer].present)) for layer in some}
    return Cell(
        family,
        model,
        [one, two],
        [Steering(model, one, gain, 1.0), None, Steering(model, two, gain, layers=some)],
        [Plan([one], gain, 1.0), None, Plan([two], gain, heads=chosen)],
        footprint(model),
    )


@cache
def expected(cell: Cell) -> list[list[int]]:
    """Greedy tokens of each row by hand."""
    return cell.telling(lambda rows, _: [greedy(cell.model, cell.family, *row, NEW) for row in rows])[1]
