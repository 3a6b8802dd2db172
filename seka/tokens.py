"""From prompts to token ids and the highlight of each token. Knows the tokenizer; no model, no steering."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from seka.prompts import Prompt, Span


@dataclass(frozen=True)
class Tokens:
    """A left-padded batch.

    ids (B, T) int64; attention (B, T) int64, 0 on padding; highlight (B, T) float32, the weight of the mark that
    touches the token, 0 where there is none.
    """

    ids: Tensor
    attention: Tensor
    highlight: Tensor

    def __len__(self) -> int:
        return int(self.ids.shape[0])

    @property
    def positions(self) -> Tensor:
        """(B, T) int64: each token's place in its own prompt. Padding is not counted, as it would move a row where
        positions are absolute; it stands at 0."""
        return (self.attention.cumsum(-1) - 1).clamp(min=0)

    def to(self, device: torch.device | str) -> Tokens:
        """The same batch on another device."""
        return Tokens(self.ids.to(device), self.attention.to(device), self.highlight.to(device))


@dataclass(frozen=True)
class Alignment:
    """One prompt's tokens: `ids`, the (start, end) code points of the text each stands for, and each one's weight.

    A special token that the tokenizer adds stands for no text: its offsets are equal.
    """

    ids: tuple[int, ...]
    offsets: tuple[Span, ...]
    weights: tuple[float, ...]


def align(prompt: Prompt, tokenizer: Any) -> Alignment:
    """Tokenise one prompt and find the tokens of each span.

    A token belongs to a span when it overlaps it in at least one non-blank character; learning and steering share this
    rule. A token touched by several spans takes the weight of largest magnitude, ties go to emphasis. Special tokens
    (a beginning of text, a turn's ends) are never marked, also where a span reaches over those that a template wrote.
    ValueError when a span has no token: a mark is never lost silently. Nothing is truncated.
    """
    alignment, lost = align_some(prompt, tokenizer)
    for error in lost.values():
        raise error
    return alignment


def align_some(prompt: Prompt, tokenizer: Any) -> tuple[Alignment, dict[Span, ValueError]]:
    """As `align`, for whoever wants to show all of it: spans without a token are given with the reason, in place of an error."""
    if not isinstance(prompt, Prompt):
        raise TypeError(f"wanted a seka.Prompt, given {type(prompt).__name__}: use Prompt.marked(text) or Prompt(text)")
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(
            f"{type(tokenizer).__name__} gives no character offsets, which marks need; "
            "load the fast tokenizer: AutoTokenizer.from_pretrained(name, use_fast=True)"
        )
    encoded = tokenizer(
        prompt.text,
        return_offsets_mapping=True,
        add_special_tokens=not prompt.rendered,
        truncation=False,
        verbose=False,  # a length is checked against the model's context, by whoever runs it
    )
    ids = [int(i) for i in encoded["input_ids"]]
    offsets = [(int(start), int(end)) for start, end in encoded["offset_mapping"]]
    if not ids:
        raise ValueError("the prompt has no tokens: it is empty; write something")
    special = _special(prompt.text, ids, offsets, tokenizer) if prompt.marks else set()
    weights = [0.0] * len(ids)
    lost: dict[Span, ValueError] = {}
    # Tokens by where they begin, and how far any of them has reached: a span's tokens stand between two places of these.
    order = sorted(range(len(ids)), key=lambda i: offsets[i])
    begins = [offsets[i][0] for i in order]
    reached = list(accumulate((offsets[i][1] for i in order), max))
    for start, end, weight in prompt.marks:
        near = order[bisect_right(reached, start) : bisect_left(begins, end)]
        over = [i for i in near if prompt.text[max(offsets[i][0], start) : min(offsets[i][1], end)].strip()]
        touched = [i for i in over if i not in special]
        if not touched:
            why = "it is special tokens, which are never marked" if over else "the tokenizer drops it"
            lost[start, end] = ValueError(
                f"no token stands for the marked text {prompt.text[start:end]!r}: {why}; mark other words"
            )
        for i in touched:
            if (abs(weight), weight) > (abs(weights[i]), weights[i]):
                weights[i] = weight
    return Alignment(tuple(ids), tuple(offsets), tuple(weights)), lost


def _special(text: str, ids: Sequence[int], offsets: Sequence[Span], tokenizer: Any) -> set[int]:
    """Places of special tokens that are spelled out in the text. An unknown word, whose token is special too, is none."""
    spelled = {i: token.content for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    places = enumerate(zip(ids, offsets, strict=True))
    return {n for n, (i, (a, b)) in places if i in spelled and text[a:b].strip() == spelled[i].strip()}


def encode(prompts: Prompt | Sequence[Prompt], tokenizer: Any, limit: int | None = None) -> Tokens:
    """Prompts to one left-padded batch (see `align` for the rule and the errors).

    limit: the most tokens a prompt may have, for example a model's context; ValueError, naming both lengths, beyond it.
    """
    rows = [align(prompt, tokenizer) for prompt in ([prompts] if isinstance(prompts, Prompt) else prompts)]
    if not rows:
        raise ValueError("no prompt given; wanted at least one")
    width = max(len(row.ids) for row in rows)
    if limit is not None and width > limit:
        raise ValueError(f"the prompt has {width} tokens; the limit is {limit}. Shorten the prompt")
    ids = torch.full((len(rows), width), pad_id(tokenizer), dtype=torch.long)
    attention = torch.zeros((len(rows), width), dtype=torch.long)
    highlight = torch.zeros((len(rows), width), dtype=torch.float32)
    for i, row in enumerate(rows):
        n = len(row.ids)
        ids[i, width - n :] = torch.tensor(row.ids)
        attention[i, width - n :] = 1
        highlight[i, width - n :] = torch.tensor(row.weights)
    return Tokens(ids, attention, highlight)


def pad_id(tokenizer: Any) -> int:
    """The id to pad with; it is never attended, so any will do where the tokenizer names none."""
    for candidate in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    return 0


def chat(prompt: Prompt, tokenizer: Any, system: str | None = None) -> Prompt:
    """The prompt as one user turn of the tokenizer's chat template, spans moved along.

    ValueError when there is no template, or when the rendered text does not hold the prompt as it is (a template may
    strip outer blanks; anything more would lose marks).
    """
    if not getattr(tokenizer, "chat_template", None):
        raise ValueError("this tokenizer has no chat template; use the prompt as it is, without chat")
    if prompt.rendered:
        raise ValueError("this prompt is rendered already; give the plain prompt")

    def render(content: str) -> str:
        turns = [{"role": "system", "content": system}] if system is not None else []
        turns.append({"role": "user", "content": content})
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    # The place of the content is found with a text that cannot occur by chance, then checked on the real one.
    sentinel = "seka\u2063content\u2063here"
    head, found, tail = render(sentinel).partition(sentinel)
    rendered = render(prompt.text)
    if found and rendered == head + prompt.text + tail:
        kept, shift = prompt.text, len(head)
    else:
        kept = prompt.text.strip()
        shift = len(head) - (len(prompt.text) - len(prompt.text.lstrip()))
        if not found or rendered != head + kept + tail:
            raise ValueError(
                "the chat template changes the prompt's text, so marks cannot be placed; use it without chat"
            )
    low, high = len(head), len(head) + len(kept)
    spans = tuple((max(start + shift, low), min(end + shift, high)) for start, end in prompt.spans)
    return Prompt(rendered, spans, prompt.weights, rendered=True)
