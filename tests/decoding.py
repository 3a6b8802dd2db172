"""Decoding written out a second time over `byhand.run`: every step computes the whole sequence anew.

Rows are (ids, {column: weight}, plan or None); a plan is compared by identity, and what a model once said is remembered,
so a model that is decoded by hand must not change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from byhand import Plan, run
from torch import Tensor

Row = tuple[list[int], dict[int, float], Plan | None]


def following(
    model: Any, family: str, ids: Sequence[int], marks: Mapping[int, float], plan: Plan | None, length: int
) -> Tensor:
    """(V,) float32 logits, as transformers hands them out, of the token after `ids`; the prompt is the first `length`."""
    return _following(model, family, tuple(ids), tuple(sorted(marks.items())), plan, length)


@cache
def _following(
    model: Any,
    family: str,
    ids: tuple[int, ...],
    marks: tuple[tuple[int, float], ...],
    plan: Plan | None,
    length: int,
) -> Tensor:
    return run(model, family, ids, dict(marks), plan, length)[0][-1].float()


def greedy(
    model: Any, family: str, ids: Sequence[int], marks: Mapping[int, float], plan: Plan | None, new: int
) -> list[int]:
    """New tokens of uncached greedy decoding."""
    grown = list(ids)
    for _ in range(new):
        grown.append(int(following(model, family, grown, marks, plan, len(ids)).argmax()))
    return grown[len(ids) :]


def sample(
    model: Any, family: str, rows: Sequence[Row], new: int, seed: int, temperature: float = 1.0
) -> list[list[int]]:
    """New tokens of each row, drawn from all rows' distributions by one multinomial a step, as transformers draws."""
    grown: list[list[int]] = [[] for _ in rows]
    torch.manual_seed(seed)
    for _ in range(new):
        last = [
            following(model, family, [*ids, *extra], marks, plan, len(ids))
            for extra, (ids, marks, plan) in zip(grown, rows, strict=True)
        ]
        drawn = torch.multinomial((torch.stack(last) / temperature).softmax(-1), 1)[:, 0].tolist()
        for extra, token in zip(grown, drawn, strict=True):
            extra.append(token)
    return grown


def beams(
    model: Any, family: str, ids: Sequence[int], marks: Mapping[int, float], plan: Plan | None, new: int, width: int
) -> list[list[int]]:
    """New tokens of the `width` best hypotheses, best first; no end token, so no hypothesis ends early."""
    alive: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(new):
        grown = []
        for score, extra in alive:
            logits = following(model, family, [*ids, *extra], marks, plan, len(ids)).log_softmax(-1)
            best = logits.topk(width)
            grown += [(score + float(v), [*extra, int(i)]) for v, i in zip(best.values, best.indices, strict=True)]
        alive = sorted(grown, key=lambda pair: -pair[0])[:width]
    return [extra for _, extra in alive]


def drawn_beams(
    model: Any, family: str, rows: Sequence[Row], new: int, width: int, seed: int, temperature: float = 1.0
) -> list[list[list[int]]]:
    """Beam sampling: for each row `width` hypotheses, best first, as transformers draws them.

    A step draws 2 * width continuations of a row's hypotheses without replacement, by their scores so far, and keeps the
    best `width` of them; the last step keeps the first `width` that were drawn.
    """
    alive: list[list[list[int]]] = [[[] for _ in range(width)] for _ in rows]
    scores = torch.full((len(rows), width), -1e9)
    scores[:, 0] = 0.0  # all hypotheses are the bare prompt at first; only one of them counts
    torch.manual_seed(seed)
    for step in range(new):
        logits = [
            torch.stack([following(model, family, [*ids, *extra], marks, plan, len(ids)) for extra in hypotheses])
            for hypotheses, (ids, marks, plan) in zip(alive, rows, strict=True)
        ]
        grown = torch.stack(logits).log_softmax(-1) / temperature + scores[:, :, None]
        flat, words = grown.flatten(1), grown.shape[2]
        drawn = torch.multinomial(flat.softmax(-1), 2 * width)
        for row, hypotheses in enumerate(alive):
            found = [(float(flat[row, at]), [*hypotheses[at // words], at % words]) for at in drawn[row].tolist()]
            kept = sorted(found[:width] if step + 1 == new else found, key=lambda pair: -pair[0])[:width]
            alive[row] = [extra for _, extra in kept]
            scores[row] = torch.tensor([score for score, _ in kept])
    return alive
