"""Short looks at a network while it is trained: loss on validation documents, first answer tokens on validation cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from seka.miniature.batches import Stream, alone, collate
from seka.miniature.model import Network, document_mask, precision

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from seka.miniature.train import Recipe


@torch.no_grad()
def validation_loss(network: Network, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, batches: int = 3) -> float:
    """Mean loss in nats per token on the first validation documents."""
    stream = Stream(tokenizer, recipe.seed, "validation", recipe.tokens, 1.0, recipe.widths)
    total = 0.0
    for _ in range(batches):
        batch = stream.next().to(recipe.device)
        with precision(recipe.device):
            mask = document_mask(batch.documents)
            total += float(network.loss(batch.ids, batch.positions, mask, batch.targets, batch.weights))
    return round(total / batches, 4)


@torch.no_grad()
def accuracies(network: Network, tokenizer: PreTrainedTokenizerFast, rows: list[Any]) -> dict[str, float]:
    """`right`: the first token is that of the corpus's answer; `read`: that of any candidate; `first`: of the first one."""
    device = str(next(network.parameters()).device)
    prompts = tokenizer([row.prompt for row in rows], add_special_tokens=False)["input_ids"]
    width = max(map(len, prompts))
    batch = collate([alone(ids) for ids in prompts], width, 0).to(device)
    with precision(device):
        logits = network(batch.ids, batch.positions, document_mask(batch.documents))
    found = [str(tokenizer.decode([int(logits[n, len(ids) - 1].argmax())])) for n, ids in enumerate(prompts)]
    right = read = first = 0
    for row, token in zip(rows, found, strict=True):
        starts = [answer.startswith(token) and bool(token.strip()) for answer in row.answers]
        right += row.answer.startswith(token) and bool(token.strip())
        read += any(starts)
        first += bool(starts) and starts[0]
    share = {"right": right, "read": read, "first": first}
    return {name: round(count / len(rows), 3) for name, count in share.items()}
