"""Plain and steered text from one model. Knows decoding; where keys are edited is `steering`'s business."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LogitsProcessorList
from transformers.generation.logits_process import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from seka.locks import lock, steered
from seka.prompts import Prompt
from seka.routing import Routing
from seka.sites import context_length
from seka.steering import Steering, steer
from seka.tokens import Tokens, encode, pad_id

_REFUSED = {
    "guidance_scale": "it calls the model again for an unconditional prompt, which would be steered too",
    "custom_generate": "its calls of the model are unknown",
    "negative_prompt_ids": "it calls the model again for another prompt, which would be steered too",
}


@dataclass(frozen=True)
class Result:
    """One answer. ids: new tokens, without the prompt's. probabilities: the model's own (before temperature and the like)
    of each of them; empty where they were not followed. finish: "eos", "length" or "stopped"; None while running."""

    prompt: Prompt
    text: str
    ids: tuple[int, ...]
    probabilities: tuple[float, ...] = ()
    finish: str | None = None
    routing: Routing | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Comparison:
    """The plain and the steered answer to one prompt, from one batch. seconds: since the start. prompt_tokens: T."""

    prompt: Prompt
    plain: Result
    steered: Result
    seconds: float = field(default=0.0, compare=False)
    prompt_tokens: int = 0

    @property
    def identical(self) -> bool:
        return self.plain.ids == self.steered.ids


def generate(model: Any, tokenizer: Any, prompt: Prompt, steering: Steering | None = None, **kwargs: Any) -> Result:
    """One answer by transformers' own `generate`, whose keyword arguments these are; steered when a steering is given.

    With several sequences per prompt the first is returned. ValueError for modes that cannot be steered honestly and for
    a prompt that does not fit the model's context. Nothing is truncated.
    """
    config = copy.deepcopy(kwargs.get("generation_config"))

    def setting(name: str) -> Any:
        """As given to `generate`, by keyword or in a generation_config."""
        return kwargs[name] if name in kwargs else getattr(config, name, None)

    for name, reason in _REFUSED.items():
        if setting(name) is not None and (name, setting(name)) != ("guidance_scale", 1):
            raise ValueError(f"{name} cannot be combined with seka: {reason}; leave it out")
    if setting("cache_implementation") == "paged":
        raise ValueError(
            "a paged cache mixes all requests in one row, so marked tokens cannot be placed; use another cache"
        )
    forced: dict[str, Any] = {}
    if setting("prefill_chunk_size"):
        forced["disable_compile"] = True  # a compiled chunk keeps or loses the hooks it was traced with
    if setting("pad_token_id") is None:
        forced["pad_token_id"] = pad_id(tokenizer)
    new = setting("max_new_tokens")
    tokens = _ready(model, tokenizer, prompt, new)
    options = dict(kwargs)
    if config is None:
        options |= forced
    else:
        config.update(**forced)
        options["generation_config"] = config
    if setting("stop_strings"):
        options["tokenizer"] = tokenizer
    with lock(model), torch.no_grad():
        routing = None
        if steered(model):
            raise RuntimeError(
                "this model is being steered already, so no answer would be plain; leave the steering first"
            )
        if steering is None:
            out = model.generate(tokens.ids, attention_mask=tokens.attention, **options)
        else:
            with steering.on(tokens) as session:
                out = model.generate(tokens.ids, attention_mask=tokens.attention, **options)
            routing = session.routing
    sequences: Tensor = out if isinstance(out, Tensor) else out.sequences
    ids = [int(i) for i in sequences[0, tokens.ids.shape[1] :]]
    ends = _ends(model, tokenizer, setting("eos_token_id"))
    stop = next((n for n, i in enumerate(ids) if i in ends), None)
    kept = ids if stop is None else ids[: stop + 1]
    other = any(setting(name) for name in ("stop_strings", "stopping_criteria", "max_time"))
    cut = "stopped" if other and (new is None or len(ids) < new) else "length"
    finish = cut if stop is None else "eos"
    return Result(prompt, _text(tokenizer, kept, finish), tuple(kept), (), finish, routing)


def compare(model: Any, tokenizer: Any, prompt: Prompt, steering: Steering, **kwargs: Any) -> Comparison:
    """Plain and steered answer from one batch; the keyword arguments are those of `stream`."""
    *_, last = stream(model, tokenizer, prompt, steering, **kwargs)
    return last


def stream(
    model: Any,
    tokenizer: Any,
    prompt: Prompt,
    steering: Steering,
    *,
    max_new_tokens: int = 64,
    do_sample: bool = False,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    repetition_penalty: float = 1.0,
    seed: int = 0,
    stop: Callable[[], bool] | None = None,
) -> Iterator[Comparison]:
    """Both answers as they grow: one Comparison after every step, row 0 plain and row 1 steered in one batch.

    Greedy unless `do_sample`; then both rows are drawn with the same noise, so that they differ only where steering
    changes the distribution. A row ends at its own end-of-text token. `stop` is asked before every step. The model's
    lock is held step by step, so several streams may run in turn.
    """
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}; wanted at least 1")
    if not 0 < top_p <= 1 or top_k < 0 or repetition_penalty <= 0:
        raise ValueError(
            f"top_p is {top_p}, top_k {top_k}, repetition_penalty {repetition_penalty}; wanted 0 < top_p <= 1, top_k >= 0 "
            "(0: all), repetition_penalty > 0"
        )
    if do_sample and temperature <= 0:
        raise ValueError(f"temperature is {temperature}; wanted more than 0, or do_sample=False for greedy decoding")
    one = _ready(model, tokenizer, prompt, max_new_tokens)
    both = Tokens(one.ids.repeat(2, 1), one.attention.repeat(2, 1), one.highlight.repeat(2, 1))
    choice = _Choice(do_sample, temperature, top_k, top_p, repetition_penalty, seed, both.ids.device)
    return _steps(model, tokenizer, prompt, both, steering, choice, max_new_tokens, stop or (lambda: False))


def _steps(
    model: Any,
    tokenizer: Any,
    prompt: Prompt,
    both: Tokens,
    steering: Steering,
    choice: _Choice,
    max_new_tokens: int,
    stop: Callable[[], bool],
) -> Iterator[Comparison]:
    start, length = time.perf_counter(), both.ids.shape[1]
    ends = _ends(model, tokenizer)
    rows = [_Row(tokenizer), _Row(tokenizer)]
    routing, cache, ids = None, None, both.ids

    def now() -> Comparison:
        plain = rows[0].result(prompt, None)
        other = rows[1].result(prompt, routing.row(1) if routing is not None else None)
        return Comparison(prompt, plain, other, time.perf_counter() - start, length)

    for step in range(max_new_tokens):
        if stop():
            break
        with lock(model), torch.no_grad():
            if step == 0:
                with steer(model, both, [None, steering]) as session:
                    out = model(both.ids, attention_mask=both.attention, use_cache=True, logits_to_keep=1)
                routing = session.routing
            else:
                out = model(ids[:, -1:], past_key_values=cache, use_cache=True)
        cache, logits = out.past_key_values, out.logits[:, -1].float()
        chosen = choice(ids, logits)
        ids = torch.cat([ids, chosen[:, None]], 1)
        picked = zip(rows, chosen.tolist(), logits.softmax(-1).gather(1, chosen[:, None])[:, 0].tolist(), strict=True)
        for row, token, probability in picked:
            row.add(token, probability, ends, step + 1 == max_new_tokens)
        yield now()
        if all(row.finish for row in rows):
            return
    for row in rows:
        row.finish = row.finish or "stopped"
    yield now()


@dataclass
class _Choice:
    """Picks the next token of each row; rows share the noise of a step."""

    do_sample: bool
    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    seed: int
    device: torch.device

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)
        self.processors = LogitsProcessorList()
        if self.repetition_penalty != 1.0:
            self.processors.append(RepetitionPenaltyLogitsProcessor(self.repetition_penalty))
        if self.do_sample:
            if self.temperature != 1.0:
                self.processors.append(TemperatureLogitsWarper(self.temperature))
            if self.top_k:
                self.processors.append(TopKLogitsWarper(self.top_k))
            if self.top_p < 1.0:
                self.processors.append(TopPLogitsWarper(self.top_p))

    def __call__(self, ids: Tensor, logits: Tensor) -> Tensor:
        """ids (B, T), logits (B, V) -> (B,). Sampling adds one Gumbel draw (V,) to every row and takes the largest."""
        scores: Tensor = self.processors(ids, logits)  # type: ignore[arg-type]
        if self.do_sample:
            uniform = torch.rand(scores.shape[-1], generator=self.generator, dtype=torch.float64)
            scores = scores - (-uniform.clamp(min=1e-300).log()).log().to(scores)
        return scores.argmax(-1)


class _Row:
    """One growing answer."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.ids: list[int] = []
        self.probabilities: list[float] = []
        self.finish: str | None = None

    def add(self, token: int, probability: float, ends: set[int], last: bool) -> None:
        if self.finish:
            return
        self.ids.append(token)
        self.probabilities.append(probability)
        self.finish = "eos" if token in ends else "length" if last else None

    def result(self, prompt: Prompt, routing: Routing | None) -> Result:
        text = _text(self.tokenizer, self.ids, self.finish)
        return Result(prompt, text, tuple(self.ids), tuple(self.probabilities), self.finish, routing)


def _text(tokenizer: Any, ids: list[int], finish: str | None) -> str:
    """What the ids say; while the answer grows, a last character is held back until its bytes are all there."""
    text = str(tokenizer.decode(ids, skip_special_tokens=True))
    return text if finish else text.rstrip("\ufffd")


def _ready(model: nn.Module, tokenizer: Any, prompt: Prompt, new: int | None) -> Tokens:
    """(1, T) on the model's device; ValueError, naming both lengths, when it does not fit the model's context."""
    tokens = encode(prompt, tokenizer)
    limit, length = context_length(model), tokens.ids.shape[1]
    if limit is not None and length + (new or 1) > limit:
        raise ValueError(
            f"the prompt has {length} tokens and {new or 1} more are asked for; the model holds {limit}. "
            "Shorten the prompt or ask for fewer"
        )
    return tokens.to(model.get_input_embeddings().weight.device)  # type: ignore[operator]


def _ends(model: Any, tokenizer: Any, ids: int | list[int] | None = None) -> set[int]:
    """Ids that end an answer: those asked for, else the model's generation settings', else the tokenizer's."""
    config = getattr(model, "generation_config", None)
    ids = getattr(config, "eos_token_id", None) if ids is None else ids
    ids = tokenizer.eos_token_id if ids is None else ids
    return set() if ids is None else set(ids) if isinstance(ids, list | tuple) else {int(ids)}
