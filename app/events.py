"""Which event of the page calls which action, and how its plain answer reaches the components. No layout."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.events import api

from app import actions
from app.actions import Settings
from app.examples import Example
from app.models import Studio
from app.views import View

if TYPE_CHECKING:
    from app.page import Parts

Wrapper = Callable[[Callable[..., Any]], Callable[..., Any]]
NAMES = [field.name for field in fields(Settings)]
#: Comparisons that run at the same time; they take turns, step by step, on the one model.
TOGETHER = 2
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


def as_is(function: Callable[..., Any]) -> Callable[..., Any]:
    """No wrapper."""
    return function


class Stops:
    """A stop flag for each visitor, from the moment a run asks to be queued until it ends."""

    def __init__(self) -> None:
        self._flags: dict[str | None, threading.Event] = {}

    def arm(self, session: str | None) -> None:
        """A fresh flag for the run that asks to begin."""
        self._flags[session] = threading.Event()

    def flag(self, session: str | None) -> threading.Event:
        return self._flags.setdefault(session, threading.Event())

    def stop(self, session: str | None) -> None:
        if flag := self._flags.get(session):
            flag.set()

    def drop(self, session: str | None) -> None:
        self._flags.pop(session, None)


def fitting(studio: Studio, settings: Settings) -> Settings:
    """Settings as the page can show them: a mode this model has, and a strength that is a number."""
    modes = [value for _, value in studio.modes()]
    mode = settings.mode if settings.mode in modes else modes[0]
    strength = studio.gain(mode) if settings.strength is None else settings.strength
    return replace(settings, mode=mode, strength=strength)


def about(studio: Studio, mode: str) -> str:
    """The line under the mode; it also tells the script where the strength's tick goes."""
    gain = studio.gain(mode)
    return f'<p class="about" data-gain="{gain:g}">{escape(studio.describe(mode))}</p>'


def model_line(studio: Studio) -> str:
    """The model and whether it is there."""
    state = "failed" if studio.problem else "ready" if studio.ready else "loading"
    title = f' title="{escape(studio.problem)}"' if studio.problem else ""
    return f'<p class="model {state}" role="status"{title}><span class="dot"></span>{escape(studio.line())}</p>'


def settings(values: Sequence[Any]) -> Settings:
    """Settings from the components' values; an emptied number is its default."""
    given: dict[str, Any] = {name: value for name, value in zip(NAMES, values, strict=True) if value is not None}
    whole: dict[str, Any] = {name: int(given[name]) for name in ("max_new_tokens", "seed") if name in given}
    return Settings(**{**given, **whole})


def outputs(view: View) -> list[Any]:
    """A view as the values of Parts.results; figures only in the last one of a run."""
    columns = [view.plain, view.steered, view.status, view.remarks]
    if view.figures is None:
        captions = [words or gr.skip() for words in (view.heads_words, view.router_words)]
        return [*columns, *captions, *[gr.skip()] * 3]
    heads, router, tokens = (view.figures[name] for name in ("heads", "router", "tokens"))
    return [*columns, view.heads_words, view.router_words, heads, gr.Plot(router, visible=router is not None), tokens]


def wire(page: gr.Blocks, studio: Studio, parts: Parts, shown: Sequence[Example], gpu: Wrapper) -> None:
    """Connect everything."""
    stops = Stops()
    mode, strength, literal = (parts.fields[NAMES.index(name)] for name in ("mode", "strength", "literal"))
    inputs = [parts.prompt, *parts.fields]

    def compare(request: gr.Request, text: str, *values: Any) -> Iterator[list[Any]]:
        flag = stops.flag(request.session_hash)
        try:
            for view in actions.compare(studio, text, settings(values), flag.is_set):
                yield outputs(view)
        finally:
            flag.set()
            stops.drop(request.session_hash)

    def check(request: gr.Request, text: str, *values: Any) -> list[Any]:
        problems = actions.check(studio, text, settings(values))
        if not problems:
            stops.arm(request.session_hash)
        return [gr.validate(name not in problems, problems.get(name, "")) for name in ("prompt", *NAMES)]

    event = gr.on(
        [parts.run.click, parts.prompt.submit], gpu(compare), inputs, parts.results,
        concurrency_id="model", concurrency_limit=TOGETHER, trigger_mode="once", validator=check,
        show_progress="minimal", show_progress_on=[parts.status], api_visibility="private", api_name="run",
    )  # fmt: skip

    def stop(request: gr.Request) -> None:
        stops.stop(request.session_hash)

    # On ZeroGPU the run is another process, which sees no flag of ours: there the event itself is cancelled.
    parts.stop.click(stop, None, None, cancels=None if gpu is as_is else [event], **QUIET)

    def preview(text: str, literal: bool) -> tuple[str, str]:
        return actions.preview(studio, text, literal)

    read = [parts.prompt, literal], [parts.preview, parts.tokens]
    gr.on([parts.prompt.change, literal.change], preview, *read, trigger_mode="always_last", **QUIET)

    def choose(mode: str, strength: float) -> tuple[str, Any]:
        recommended = {studio.gain(value) for _, value in studio.modes()}
        return about(studio, mode), studio.gain(mode) if strength in recommended else gr.skip()

    mode.input(choose, [mode, strength], [parts.about, strength], **QUIET)
    parts.reset.click(studio.gain, mode, strength, **QUIET)
    parts.differ.change(
        None, parts.differ, None, js="(on) => { seka.differences(on); return []; }", api_visibility="private"
    )

    for chip, example in zip(parts.chips, shown, strict=True):

        def show(example: Example = example) -> list[Any]:
            chosen = fitting(studio, example.settings)
            values = [getattr(chosen, name) for name in NAMES]
            return [example.prompt, *values, about(studio, chosen.mode), *outputs(example.view(studio.name))]

        chip.click(show, None, [*inputs, parts.about, *parts.results], **QUIET)

    timer = gr.Timer(1.0, active=not studio.ready)

    def tick(text: str, literal: bool) -> list[Any]:
        counted = preview(text, literal) if studio.ready else (gr.skip(), gr.skip())
        return [model_line(studio), gr.Timer(active=not studio.wait(0)), *counted]

    gr.on([timer.tick, page.load], tick, read[0], [parts.model_line, timer, *read[1]], **QUIET)
    _public(studio)


def _public(studio: Studio) -> None:
    def compare(
        prompt: str,
        mode: str = "adaptive",
        strength: float | None = None,
        max_new_tokens: int = 32,
        layers: str = "all",
        min_shift: float = 0.0,
        seed: int = 0,
        temperature: float = 0.0,
        literal: bool = False,
    ) -> dict[str, Any]:
        """Answer a prompt twice, as the model is and steered by its marks.

        Parameters:
            prompt: text with **emphasised** and ~~ignored~~ words.
            mode: "adaptive", or the name of one expert.
            strength: gain of the edit; None takes the recommended one, 0 is off.
            max_new_tokens: length of each answer at most.
            layers: "all", "last4", "first2" or "3,5".
            min_shift: steer heads whose relative shift is at least this.
            seed: noise of both answers where temperature is above 0.
            temperature: 0 is greedy.
            literal: take ** and ~~ as text.
        Returns:
            both answers, their lengths and ends, the heads that were steered, seconds, and the settings in use.
        """
        values = (mode, strength, max_new_tokens, layers, min_shift, seed, temperature, literal)
        try:
            return actions.answer(studio, prompt, settings(values))
        except Exception as error:  # a caller gets the sentence that the page would show
            raise gr.Error(actions.explain(error), print_exception=False) from None

    api(compare, api_name="compare", concurrency_id="model", concurrency_limit=TOGETHER)
