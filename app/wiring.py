"""What every panel needs to connect its events: options of light ones, settings from components' values, stop flags."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from html import escape
from typing import Any

import gradio as gr

from app import actions
from app.actions import Settings
from app.models import Studio

Wrapper = Callable[[Callable[..., Any]], Callable[..., Any]]
NAMES = [field.name for field in fields(Settings)]
#: Fields of the page that are not called like their settings.
LABELS = {"min_shift": "Head threshold", "max_new_tokens": "Max new tokens"}
#: Comparisons that run at the same time; they take turns, step by step, on the one model.
TOGETHER = 2
#: Title of an error in our own words, which may hold a visitor's; `spaces` has others.
REFUSED = "Refused"
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
#: Options of events that run a model, beside `concurrency_id`: a line of its own for every model.
RUNNING: dict[str, Any] = {
    "concurrency_limit": TOGETHER,
    "trigger_mode": "once",
    "show_progress": "minimal",
    "api_visibility": "private",
}


def as_is(function: Callable[..., Any]) -> Callable[..., Any]:
    """No wrapper."""
    return function


class Stops:
    """A stop flag for each visitor, from the moment a run asks to be queued until it ends or the visitor leaves."""

    def __init__(self) -> None:
        self._flags: dict[str | None, threading.Event] = {}

    def arm(self, session: str | None) -> None:
        """A fresh flag for the run that asks to begin."""
        self._flags[session] = threading.Event()

    @contextmanager
    def running(self, session: str | None) -> Iterator[threading.Event]:
        """The flag of a run, while it lasts. At its end a flag that a newer one has armed stays."""
        flag = self._flags.setdefault(session, threading.Event())
        try:
            yield flag
        finally:
            flag.set()
            if self._flags.get(session) is flag:
                del self._flags[session]

    def stop(self, request: gr.Request) -> None:
        """What runs for the visitor stops."""
        if flag := self._flags.get(request.session_hash):
            flag.set()

    def leave(self, request: gr.Request) -> None:
        """The visitor is gone: what runs for him stops, and what waits in the queue leaves no flag behind."""
        if flag := self._flags.pop(request.session_hash, None):
            flag.set()

    def button(self, button: gr.Button, event: Any, gpu: Wrapper) -> None:
        """Connect the button that stops `event`'s run."""
        # On ZeroGPU the run is another process, which sees no flag of ours: there the event itself is cancelled.
        button.click(self.stop, None, None, cancels=None if gpu is as_is else [event], **QUIET)


def fitting(studio: Studio, settings: Settings) -> Settings:
    """Settings as the page can show them: a mode this model has, and a strength that is a number."""
    modes = [value for _, value in studio.modes()]
    mode = settings.mode if settings.mode in modes or not modes else modes[0]
    strength = studio.gain(mode) if settings.strength is None else settings.strength
    return replace(settings, mode=mode, strength=strength)


def strongest(studio: Studio) -> float:
    """The largest strength that the page offers: twice the recommended one of any mode, at least 1."""
    return max([1.0, *(2 * studio.gain(value) for _, value in studio.modes())])


@dataclass(frozen=True)
class Gate:
    """What no run takes is refused before it is queued, and the reason said under the prompt: other fields may be folded away.

    refused: the element for the reason. It has an event of its own, since Gradio drops a validator's words when the event of
    a field that has just been filled ends after it.
    """

    studio: Studio
    refused: gr.HTML

    def problem(self, text: str, values: Sequence[Any]) -> str:
        """Why the prompt is not run with these settings; empty where it is."""
        return refusal(actions.check(self.studio, text, settings(values)))

    def wire(
        self, triggers: Sequence[Any], run: Callable[..., Any], inputs: list[Any], shown: list[Any], stops: Stops,
        **options: Any,
    ) -> Any:  # fmt: skip
        """Connect what runs the prompt, behind the check. inputs: the prompt and every setting, in order."""

        def check(request: gr.Request, text: str, *values: Any) -> list[Any]:
            problem = self.problem(text, values)
            if not problem:
                stops.arm(request.session_hash)
            # The words are for screen readers, which would be told "complete" without any.
            return [gr.validate(not problem, problem), *(gr.validate(True, "") for _ in values)]

        def say(text: str, *values: Any) -> str:
            if not (said := self.problem(text, values)):
                return ""
            given = {name: value for name, value in zip(NAMES, values, strict=True) if value is not None}
            asked = escape(json.dumps({"prompt": text, "settings": given}))  # assets/page.js sees when it is past
            return f'<p role="alert" data-at="{time.monotonic_ns()}" data-asked="{asked}">{escape(said)}</p>'

        # First, as Gradio goes no further in a click's events than to the one whose validator refuses.
        gr.on(triggers, say, inputs, self.refused, **QUIET)
        return gr.on(
            triggers, run, inputs, shown,
            concurrency_id=self.studio.turns, validator=check, **options, **RUNNING,
        )  # fmt: skip


def refusal(problems: Mapping[str, str]) -> str:
    """What `actions.check` found, in one line that names the field as the page does; empty for nothing."""
    return " ".join(_labelled(name, said) for name, said in problems.items())


def _labelled(name: str, said: str) -> str:
    own, label = f"{name.capitalize()} is ", LABELS.get(name)
    if label is None:
        return said
    return f"{label} is {said.removeprefix(own)}" if said.startswith(own) else f"{label}: {said}"


def settings(values: Sequence[Any]) -> Settings:
    """Settings from the components' values; an emptied number is its default."""
    given: dict[str, Any] = {name: value for name, value in zip(NAMES, values, strict=True) if value is not None}
    # Sliders and JSON know one kind of number; the rest is for `check` to refuse.
    for name in ("max_new_tokens", "seed"):
        if isinstance(value := given.get(name), float) and value.is_integer():
            given[name] = int(value)
    return Settings(**given)
