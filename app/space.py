"""ZeroGPU: what runs the model gets a GPU for as long as it declares, in a process of its own. Elsewhere nothing of this acts.

Such a process is a copy of this one: it is handed its arguments and hands back what it yields by pickling, and forgets the
rest. Where no GPU is to be had, `spaces` says so in a gr.Error; visitors read here what they can do about it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from app.strengths import FEW
from app.wiring import NAMES, REFUSED, Wrapper

#: Seconds that a run takes beside its tokens, and for each of them: guesses to be on the safe side; nobody has measured them.
START, TOKEN = 8.0, 0.25
#: Rows of a batch that are taken to be as fast as a comparison's two: those of the page's own sweep. More take in proportion.
ROWS = len(FEW) + 1
HOME = "or run it at home, where there is no limit: make app"
#: What a message of `spaces` contains, and what to say instead.
SAYS = {
    "quota": "Your GPU time of today is used up or too short for this run. Ask for fewer new tokens, sign in to Hugging Face, "
    f"{HOME}. The examples need no GPU.",
    "illegal duration": f"This run asks for more GPU time than one run may have. Ask for fewer new tokens, {HOME}.",
    "no gpu": f"All GPUs are taken just now. Try again in a minute, {HOME}.",
    "queue timeout": f"All GPUs are taken just now. Try again in a minute, {HOME}.",
    "aborted": "The run took longer than it had asked for and was ended. Ask for fewer new tokens, or try again.",
    "worker error": "The GPU's process ended with an error. Try again, with a shorter prompt or fewer new tokens.",
    "proxy token": "Hugging Face could not tell who asks. Reload the page and try again.",
}  # fmt: skip


def wrapper(spaces: Any, most: int) -> Wrapper:
    """How a function that runs the model gets a GPU. spaces: the package of that name; most: seconds of one run at most."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        names = list(inspect.signature(function).parameters)

        def duration(*args: Any, **kwargs: Any) -> int:
            strengths = _argument("strengths", names, args, kwargs)
            rows = len(strengths) if isinstance(strengths, list) else 0
            return seconds(_new_tokens(names, args, kwargs), most, rows)

        borrowed = spaces.GPU(duration=duration)(function)
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def stream(*args: Any, **kwargs: Any) -> Iterator[Any]:
                try:
                    yield from borrowed(*args, **kwargs)
                except gr.Error as error:
                    raise kinder(error) from None

            return stream

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                return borrowed(*args, **kwargs)
            except gr.Error as error:
                raise kinder(error) from None

        return call

    return wrap


def seconds(new_tokens: int, most: int, rows: int = 0) -> int:
    """GPU time to declare for a run of so many tokens: what is declared has to be left of a visitor's day.

    rows: strengths that a sweep was asked for; 0 for any other run, and for the page's own.
    """
    return max(1, min(most, round(START + TOKEN * new_tokens * max(1.0, rows / ROWS))))


def kinder(error: gr.Error) -> gr.Error:
    """The error in words that say what to do; itself where it is none of ZeroGPU's."""
    if getattr(error, "title", "") == REFUSED:
        return error
    told = f"{getattr(error, 'title', '')} {error.message}".lower()
    for part, sentence in SAYS.items():
        if part in told:
            return gr.Error(sentence, title="No GPU for this run", print_exception=False)
    return error


def _new_tokens(names: list[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """max_new_tokens of a call: by that name, or among the settings that follow the prompt; the page's most where unknown.

    What takes neither, the router's endpoint, writes one token."""
    if "max_new_tokens" in names:
        found = _argument("max_new_tokens", names, args, kwargs)
    elif "values" in names:
        found = args[-len(NAMES) + NAMES.index("max_new_tokens")] if len(args) >= len(NAMES) else None
    else:
        return 1
    return int(found) if isinstance(found, int | float) and 0 < found <= 256 else 256


def _argument(name: str, names: list[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An argument of a call to a function of these parameters; None where it is not given."""
    place = names.index(name) if name in names else len(args)
    return kwargs.get(name) if place >= len(args) else args[place]
