"""Who may use a model: one lock each, and one steering at a time. Knows no hooks and no keys."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from torch import nn

_locks: WeakKeyDictionary[nn.Module, threading.RLock] = WeakKeyDictionary()
_locks_guard = threading.Lock()
_steered: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()


def lock(model: nn.Module) -> threading.RLock:
    """The lock of a model: whoever calls the model while others may steer it holds this for the length of the call."""
    with _locks_guard:
        return _locks.setdefault(model, threading.RLock())


def steered(model: nn.Module) -> bool:
    """Whether some thread steers this model now; ask while holding its lock."""
    return _steered.get(model, False)


@contextmanager
def exclusive(model: nn.Module) -> Iterator[None]:
    """Hold the model for one steering. RuntimeError when this thread steers it already."""
    with lock(model):
        if steered(model):
            raise RuntimeError(
                "this model is being steered already; give all rows to one seka.steer(model, tokens, [...])"
            )
        _steered[model] = True
        try:
            yield
        finally:
            _steered[model] = False
