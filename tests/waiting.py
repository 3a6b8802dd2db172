"""Threads of a test, and how long it waits for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

WAIT = 20.0  # seconds after which a test takes it for a deadlock


def start(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def join(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(WAIT)
        assert not thread.is_alive(), "a thread waits for ever"


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)
