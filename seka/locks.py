"""Who may use a model: one lock each. Knows no hooks and no keys.

A steering holds its model's lock from beginning to end; `seka.stream` holds it step by step, so that several visitors
take turns; `seka.learn` and `seka.with_baselines` hold it batch by batch, `seka.generate` and
`seka.attention_on_highlight` for their length. Whoever calls a model himself while others may steer it writes
`with seka.locks.lock(model): model(...)`. So each visitor gets what he would get alone, and different models never wait
for each other. Two things it cannot give: `seka.generate` with do_sample draws from torch's one generator, which all
threads share (`seka.stream` has one of its own); and the tasks of one thread (asyncio) are one visitor to it.

Turns are given in the order of asking. The thread that has the lock may take it again; a second steering within the
first is refused. A model, the decoder inside it, and what `torch.compile` makes of either share one lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from seka.eager import uncompiled


class Lock:
    """Taken by `with`; first come, first served; free for the thread that has it.

    Unlike `threading.RLock` it lets a stream of steps wait for its turn after every step, and may be given back by
    another thread than took it: a generator that is left in the middle ends wherever it is collected.
    """

    def __init__(self) -> None:
        self.steered = False  # whether the holder steers the model
        self._changed = threading.Condition()
        self._waiting: deque[object] = deque()
        self._owner: threading.Thread | None = None
        self._depth = 0

    def __enter__(self) -> Lock:
        me, turn = threading.current_thread(), object()
        with self._changed:
            if self._owner is not me:
                self._waiting.append(turn)
                try:
                    self._changed.wait_for(lambda: self._owner is None and self._waiting[0] is turn)
                    self._owner = me
                finally:  # also when the waiting is interrupted: the next in line is woken
                    self._waiting.remove(turn)
                    self._changed.notify_all()
            self._depth += 1
        return self

    def __exit__(self, *_: Any) -> None:
        with self._changed:
            self._depth -= 1
            if self._depth == 0:
                self._owner = None
                self._changed.notify_all()


_locks: WeakKeyDictionary[nn.Module, Lock] = WeakKeyDictionary()
_locks_guard = threading.Lock()


def lock(model: nn.Module) -> Lock:
    """The lock of a model: whoever calls the model while others may steer it holds this for the length of the call."""
    with _locks_guard:
        return _locks.setdefault(_core(model), Lock())


def steered(model: nn.Module) -> bool:
    """Whether some thread steers this model now; ask while holding its lock."""
    return lock(model).steered


@contextmanager
def exclusive(model: nn.Module) -> Iterator[None]:
    """Hold the model for one steering. RuntimeError when this thread steers it already."""
    with lock(model) as held:
        if held.steered:
            raise RuntimeError(
                "this model is being steered already; give all rows to one seka.steer(model, tokens, [...])"
            )
        held.steered = True
        try:
            yield
        finally:
            held.steered = False


def _core(model: nn.Module) -> nn.Module:
    """The stack of layers that a model, its wrappers and its compiled form have in common."""
    found: Any = uncompiled(model)
    while hasattr(found, "get_decoder"):
        inner = found.get_decoder()
        if not isinstance(inner, nn.Module) or uncompiled(inner) is found:
            break
        found = uncompiled(inner)
    return found  # type: ignore[no-any-return]
