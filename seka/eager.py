"""Hooks on a model for a while, during which compiled code runs as plain Python. Knows nothing of models' parts and of steering."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_guard = threading.Lock()
_inside = 0
_stance: Any = None


@contextmanager
def eager() -> Iterator[None]:
    """Everything that `torch.compile` has made or makes runs uncompiled within, in the whole process.

    A graph that was traced without hooks never calls them, and one that was traced with them never forgets them
    (torch does not guard on hooks), so steering would be lost, or stay. Flex attention runs unfused within, which needs
    memory by the square of the prompt. Blocks may nest and overlap between threads; a stance that somebody sets for himself
    must not begin inside one and end after it.
    """
    global _inside, _stance
    with _guard:
        if _inside == 0:
            _stance = torch.compiler.set_stance("force_eager")
        _inside += 1
    try:
        yield
    finally:
        with _guard:
            _inside -= 1
            if _inside == 0:
                _stance.__exit__(None, None, None)


def uncompiled(model: nn.Module) -> nn.Module:
    """The model inside what `torch.compile(model)` returns; any other model as it is."""
    inner: nn.Module = getattr(model, "_orig_mod", model)
    return inner


@contextmanager
def watching(hooks: Iterable[tuple[nn.Module, Any]]) -> Iterator[None]:
    """Forward hooks (module, hook) for the length of the block; they go whatever happens inside.

    Those of one module run in the order given, each on what the one before has made of the output. In calls from other
    threads they do nothing.
    """
    handles: list[Any] = []
    here = threading.current_thread()

    def only_here(hook: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *call: hook(*call) if threading.current_thread() is here else None

    with eager():
        try:
            for module, hook in hooks:
                handles.append(module.register_forward_hook(only_here(hook)))
            yield
        finally:
            for handle in handles:
                handle.remove()
