"""What each head does to the answer: steer one head alone, and see how much likelier the marked words' answer becomes.

Sensitivity (`Projection.relative_shift`) says where a key moves with relevance; this says where moving a key matters. The two need
not agree; `rank_correlation` says how far they do, `agreement` in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from seka.devices import input_device
from seka.locks import lock
from seka.projections import Projection
from seka.prompts import Prompt
from seka.routing import Router
from seka.steering import Steering
from seka.tokens import Tokens, align, encode

#: Least rank correlation of each verdict on two maps; below them they are opposed.
AGREEMENT = ((0.7, "agree well"), (0.3, "agree in part"), (-0.3, "hardly agree"))


def effects(
    model: Any,
    tokenizer: Any,
    source: Projection | Router,
    asked: Sequence[tuple[Prompt, str]],
    positive: float | None = None,
    batch_size: int = 32,
) -> dict[int, Tensor]:
    """{layer: (H,)} mean change, in nats, of the log-probability of an answer's first token when one head is steered.

    asked: marked prompts and the answer that their marks point to, as it would go on after the prompt (with its blank).
    positive: gain, None for the source's own, times each head's scale. A head that the source lacks gets NaN.
    ValueError when nothing is asked, and for an answer that adds no token to its prompt or changes the prompt's.
    """
    if not asked:
        raise ValueError("no prompts given; wanted some (Prompt, answer) to see an effect on")
    batches = []
    for first in range(0, len(asked), batch_size):
        some = asked[first : first + batch_size]
        tokens = encode([prompt for prompt, _ in some], tokenizer)
        wanted = torch.tensor([first_token(tokenizer, prompt, answer) for prompt, answer in some])
        batches.append((tokens, wanted))
    return dict(by_layer(model, source, batches, positive))


def first_token(tokenizer: Any, prompt: Prompt, answer: str) -> int:
    """The id that comes after the prompt's where the answer goes on: by itself an answer may be tokenised otherwise.

    ValueError where none does, or where the prompt's own tokens change with the answer behind them.
    """
    before = list(align(prompt, tokenizer).ids)
    ids = tokenizer(prompt.text + answer, add_special_tokens=not prompt.rendered, verbose=False)["input_ids"]
    if ids[: len(before)] != before:
        raise ValueError(
            f"the answer {answer!r} changes the tokens of its prompt, which ends in {prompt.text[-20:]!r}; wanted one that "
            "begins a new token, with the blank that it begins with"
        )
    if len(ids) == len(before):
        raise ValueError(f"the answer {answer!r} adds no token to its prompt; wanted some text")
    return int(ids[len(before)])


def by_layer(
    model: Any, source: Projection | Router, batches: Sequence[tuple[Tokens, Tensor]], positive: float | None = None
) -> Iterator[tuple[int, Tensor]]:
    """`effects`, a layer at a time: (layer, (H,)). Whoever leaves early ends the work; between calls others have their turn.

    batches: tokens of B prompts, and the (B,) ids whose log-probability is watched.
    """
    plain = torch.cat([_score(model, tokens, wanted) for tokens, wanted in batches])
    every = Steering(model, source, positive, layers="all")  # checked once: that looks at every weight
    for layer in source.layers:
        experts = source.experts.values() if isinstance(source, Router) else [source]
        present = torch.stack([expert.part(layer).present for expert in experts]).any(0)
        found = torch.full((len(present),), torch.nan)
        for head in present.nonzero().flatten().tolist():
            steering = every.only({layer: [head]})
            changed = []
            for tokens, wanted in batches:
                with steering.on(tokens):
                    changed.append(_score(model, tokens, wanted))
            found[head] = (torch.cat(changed) - plain).mean()
        yield layer, found


def likeliest(model: Any, tokens: Tokens, steering: Steering) -> Tensor:
    """(B,) id of the token that each steered answer begins with when decoding is greedy."""
    with steering.on(tokens):
        return _next(model, tokens).argmax(-1)


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's: the correlation of ranks, equal values sharing their mean rank. NaN where either does not vary."""
    if len(one) != len(other):
        raise ValueError(f"{len(one)} values against {len(other)}; wanted two lists of one length")
    if not one:
        return float("nan")
    pair = torch.stack([ranks(one), ranks(other)])
    centred = pair - pair.mean(1, keepdim=True)
    spread = float(centred.square().sum(1).prod().sqrt())
    return float(centred.prod(0).sum()) / spread if spread > 0 else float("nan")


def agreement(correlation: float) -> str:
    """What two maps with that rank correlation do: "agree well", "agree in part", "hardly agree" or "are opposed"."""
    return next((verdict for least, verdict in AGREEMENT if correlation >= least), "are opposed")


def two_places(correlation: float) -> str:
    """As text with two places; what rounds to zero has no sign."""
    return f"{round(correlation, 2) + 0.0:.2f}"


def ranks(values: Sequence[float]) -> Tensor:
    """(N,) float64 ranks from 0, the smallest; equal values share their mean."""
    column = torch.tensor(values, dtype=torch.float64)
    below = (column[None, :] < column[:, None]).sum(1)
    same = (column[None, :] == column[:, None]).sum(1)
    return below + (same - 1).double() / 2


def _next(model: Any, tokens: Tokens) -> Tensor:
    """(B, V) log-probabilities of the token after each prompt, on the CPU."""
    tokens = tokens.to(input_device(model))
    with lock(model), torch.no_grad():
        out = model(
            tokens.ids,
            attention_mask=tokens.attention,
            position_ids=tokens.positions,
            logits_to_keep=1,
            use_cache=False,
        )
    scores: Tensor = out.logits[:, -1].float().log_softmax(-1).cpu()
    return scores


def _score(model: Any, tokens: Tokens, wanted: Tensor) -> Tensor:
    """(B,) log-probability of each row's wanted token after its prompt."""
    return _next(model, tokens).gather(1, wanted[:, None])[:, 0]
