"""Decoding written out a second time over `byhand.run`: every step computes the whole sequence anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from byhand import Plan, run


def greedy(
    model: Any, family: str, ids: Sequence[int], marks: Mapping[int, float], plan: Plan | None, new: int
) -> list[int]:
    """New tokens of uncached greedy decoding."""
    grown = list(ids)
    for _ in range(new):
        grown.append(int(run(model, family, grown, marks, plan, len(ids))[0][-1].argmax()))
    return grown[len(ids) :]


def sample(
    model: Any, family: str, rows: Sequence[tuple[list[int], dict[int, float], Plan | None]], new: int, seed: int
) -> list[list[int]]:
    """New tokens of each row, drawn from all rows' distributions by one multinomial a step, as transformers draws."""
    grown = [list(ids) for ids, _, _ in rows]
    torch.manual_seed(seed)
    for _ in range(new):
        last = [
            run(model, family, ids, marks, plan, len(start))[0][-1].float()
            for ids, (start, marks, plan) in zip(grown, rows, strict=True)
        ]
        drawn = torch.multinomial(torch.stack(last).softmax(-1), 1)[:, 0].tolist()
        for ids, token in zip(grown, drawn, strict=True):
            ids.append(token)
    return [ids[len(start) :] for ids, (start, _, _) in zip(grown, rows, strict=True)]


def beams(
    model: Any, family: str, ids: Sequence[int], marks: Mapping[int, float], plan: Plan | None, new: int, width: int
) -> list[list[int]]:
    """New tokens of the `width` best hypotheses, best first; no end token, so no hypothesis ends early."""
    alive: list[tuple[float, list[int]]] = [(0.0, [])]
    for _ in range(new):
        grown = []
        for score, extra in alive:
            logits = run(model, family, [*ids, *extra], marks, plan, len(ids))[0][-1].float().log_softmax(-1)
            best = logits.topk(width)
            grown += [(score + float(v), [*extra, int(i)]) for v, i in zip(best.values, best.indices, strict=True)]
        alive = sorted(grown, key=lambda pair: -pair[0])[:width]
    return [extra for _, extra in alive]
