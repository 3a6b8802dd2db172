"""Which columns of the prompt one call of the model computes. Refuses calls that are not of this prompt; edits nothing."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from seka.tokens import Tokens

_PAGED = (
    "continuous batching (generate_batch, cache_implementation='paged') was called inside a steering: it mixes all "
    "requests in one row, so marked tokens cannot be placed; use model.generate with another cache"
)
_THREAD = (
    "the model was called from another thread than the one that steers it. Enter the steering in the thread that calls "
    "the model (with a streamer: `with steering.on(tokens): model.generate(...)` in that thread's own function); "
    "for a plain call hold seka.locks.lock(model), which waits until the steering ends"
)


@dataclass(frozen=True)
class Call:
    """past: columns before this call's first. columns: how many it computes. copies: rows per row of the prompt.
    embedded: it was given embeddings, and nobody knows of which tokens."""

    past: int
    columns: int
    copies: int
    device: torch.device
    embedded: bool


class Calls:
    """Reads the calls of one steering over `tokens`, made by the thread that entered it."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.rows, self.columns = tokens.ids.shape
        self._owner = threading.current_thread()
        #: Whether the thread that steers has called the model.
        self.used = False
        self._before = set(threading.enumerate())
        self._given: Tensor | None = None  # ids the outermost module was called with, where it embeds them itself
        self._lengths: dict[int, tuple[Any, int, int | None]] = {}  # caches whose length is on the device
        #: Why a thread that began inside the steering was refused; its own error may be lost with it.
        self.refused: str | None = None

    def mine(self) -> bool:
        """Whether this is the thread that steers."""
        return threading.current_thread() is self._owner

    def outermost(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before each call of the whole model: keep its ids, which a multimodal wrapper hands on as embeddings."""
        if self.mine():
            self._given = _ids(args, kwargs)

    def read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Before each call of the decoder. RuntimeError and ValueError for calls that cannot be steered right."""
        self._check_caller(kwargs)
        self.used = True
        ids, embedded = _ids(args, kwargs), kwargs.get("inputs_embeds")
        given, self._given = self._given, None
        inputs = embedded if ids is None else ids
        if inputs is None:
            raise ValueError("the model was called without input_ids or inputs_embeds, so no column can be placed")
        rows, columns = int(inputs.shape[0]), int(inputs.shape[1])
        past = self._past(kwargs.get("past_key_values"), columns)
        if rows % self.rows:
            raise ValueError(
                f"the model was called with {rows} rows inside a steering of {self.rows}; wanted the same rows, or a "
                "multiple of them (beams, several sequences)"
            )
        if past == 0 and columns < self.columns and kwargs.get("past_key_values") is None:
            raise ValueError(
                f"the model was called with {columns} columns inside a steering of {self.columns} tokens; wanted the whole "
                "prompt, or its next columns together with a cache (guidance_scale calls it with another prompt: leave it out)"
            )
        ids = given if ids is None else ids
        if ids is not None and ids.shape[:2] == (rows, columns):
            self._check_prompt(ids, past)
        return Call(past, columns, rows // self.rows, inputs.device, ids is None)

    def _check_caller(self, kwargs: Mapping[str, Any]) -> None:
        reason = _PAGED if kwargs.get("read_index") is not None else None if self.mine() else _THREAD
        if reason is None:
            return
        if not self.mine() and threading.current_thread() not in self._before:
            self.refused = reason
        raise RuntimeError(reason)

    def _check_prompt(self, ids: Tensor, past: int) -> None:
        """Columns of the prompt must hold this steering's tokens; what stands on padding does not matter."""
        columns = min(ids.shape[1], self.columns - past)
        if columns <= 0:
            return
        copies, here = ids.shape[0] // self.rows, slice(past, past + columns)
        wanted, padding = self.tokens.ids[:, here].to(ids.device), self.tokens.attention[:, here].to(ids.device) == 0
        same = (ids[:, :columns].view(self.rows, copies, columns) == wanted[:, None]) | padding[:, None]
        if not bool(same.all()):
            raise ValueError(
                "the model was called with other tokens inside a steering; wanted the prompt it was entered with. Leave it "
                "first, or enter seka.steer with all rows"
            )

    def _past(self, cache: Any, columns: int) -> int:
        """Columns that are in the cache. A static cache keeps the number on the device: it is read when several columns
        come at once or somebody else has changed it, and counted while they come one by one, so that decoding does not
        wait for the device. Under inference_mode, where torch keeps no versions, it is read each time."""
        if cache is None:
            return 0
        length = cache.get_seq_length()
        if not isinstance(length, Tensor):
            return int(length)
        version = None if length.is_inference() else length._version  # one more after each call, two after a reset
        _, seen, last = self._lengths.get(id(cache), (None, 0, None))
        if columns > 1 or last is None or version != last + 1:
            seen = int(length)
        self._lengths[id(cache)] = (cache, seen + columns, version)
        return seen


def _ids(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    ids = kwargs.get("input_ids")
    return args[0] if ids is None and args else ids
