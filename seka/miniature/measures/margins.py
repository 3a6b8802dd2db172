"""How surely an answer is given: the least lead of its tokens, from one forward with the answer behind its prompt.

The lead of a token is its log-probability less that of the likeliest other one; where every lead is above 0, greedy decoding
gives the answer. It may give the same text in other tokens as well, which is rare and not seen here. Gradients flow wherever
they are wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seka.miniature.measures import ways as w
from seka.miniature.measures.evaluate import Row
from seka.prompts import Prompt
from seka.steering import Steering
from seka.tokens import encode


def both(tokenizer: Any, rows: Sequence[Row], steering: Steering, whole: bool) -> Tensor:
    """(N, 2) margins of the answers to N rows of two rivals, the first marked and then the second; `whole` for all tokens of
    an answer, else for its first one."""
    prompts = [row.marked(i) for row in rows for i in (0, 1)]
    answers = [
        tokenizer(row.case.wholes[i].rstrip())["input_ids"] if whole else [row.firsts[i]]
        for row in rows
        for i in (0, 1)
    ]
    return margins(tokenizer, prompts, answers, steering).view(-1, 2)


def margins(
    tokenizer: Any, prompts: Sequence[Prompt], answers: Sequence[Sequence[int]], steering: Steering, size: int = 32
) -> Tensor:
    """(N,) nats, the least lead of each answer's tokens when its marked prompt is steered."""
    found: dict[int, Tensor] = {}
    for chosen in w.batches(prompts, size):
        tokens = encode([prompts[i] for i in chosen], tokenizer)
        wanted = [answers[i] for i in chosen]
        longest = max(map(len, wanted))
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in wanted])
        there = torch.arange(longest) < torch.tensor([[len(row)] for row in wanted])
        attention = torch.cat([tokens.attention, there.to(tokens.attention)], 1)
        with steering.on(tokens):
            out = steering.model(
                torch.cat([tokens.ids, ids], 1),
                attention_mask=attention,
                position_ids=(attention.cumsum(1) - 1).clamp(min=0),
                logits_to_keep=longest + 1,
                use_cache=False,
            )
        logits = out.logits[:, :-1]
        others = logits.scatter(-1, ids[:, :, None], -torch.inf).amax(-1)
        lead = logits.gather(-1, ids[:, :, None])[:, :, 0] - others
        found |= dict(zip(chosen, lead.masked_fill(~there, torch.inf).amin(1), strict=True))
    return torch.stack([found[i] for i in range(len(prompts))])
