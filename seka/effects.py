"""What each head does to the answer: steer one head alone, and see how much likelier the marked words' answer becomes.

Sensitivity (`Projection.relative_shift`) says where a key moves with relevance; this says where moving a key matters. The two need
not agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from seka.projections import Projection
from seka.prompts import Prompt
from seka.steering import Steering
from seka.tokens import Tokens, encode


def effects(
    model: Any,
    tokenizer: Any,
    projection: Projection,
    asked: Sequence[tuple[Prompt, str]],
    positive: float | None = None,
    batch_size: int = 32,
) -> dict[int, Tensor]:
    """{layer: (H,)} mean change, in nats, of the log-probability of an answer's first token when one head is steered.

    asked: marked prompts and the answer that their marks point to, as it would go on after the prompt (with its blank).
    positive: gain, None for the projection's own. A head that the projection lacks gets NaN.
    """
    if not asked:
        raise ValueError("no prompts given; wanted some (Prompt, answer) to see an effect on")
    batches = []
    for first in range(0, len(asked), batch_size):
        some = asked[first : first + batch_size]
        tokens = encode([prompt for prompt, _ in some], tokenizer)
        wanted = torch.tensor([tokenizer(answer, add_special_tokens=False)["input_ids"][0] for _, answer in some])
        batches.append((tokens, wanted))
    plain = torch.cat([_score(model, tokens, wanted) for tokens, wanted in batches])
    found = {}
    for layer in projection.layers:
        present = projection.part(layer).present
        found[layer] = torch.full((len(present),), torch.nan)
        for head in present.nonzero().flatten().tolist():
            steering = Steering(model, projection, positive, heads={layer: [head]})
            changed = []
            for tokens, wanted in batches:
                with steering.on(tokens):
                    changed.append(_score(model, tokens, wanted))
            found[layer][head] = (torch.cat(changed) - plain).mean()
    return found


def _score(model: Any, tokens: Tokens, wanted: Tensor) -> Tensor:
    """(B,) log-probability of each row's wanted token after its prompt."""
    positions = (tokens.attention.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        out = model(
            tokens.ids, attention_mask=tokens.attention, position_ids=positions, logits_to_keep=1, use_cache=False
        )
    scores: Tensor = out.logits[:, -1].float().log_softmax(-1).gather(1, wanted[:, None])[:, 0]
    return scores
