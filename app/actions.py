"""What the page does, as plain functions: plain in, plain out. No gradio; steering is seka's alone, this only asks for it.

Errors that a visitor can cause come back as words. Anything else is logged, and a sentence comes back all the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import Any

import torch

from app import words
from app.models import ADAPTIVE, Studio
from app.views import View, finished, rate
from seka import figures
from seka.generation import Comparison, stream
from seka.layers import choose
from seka.prompts import MARKERS, Prompt
from seka.routing import Routing
from seka.sites import sites
from seka.steering import Steering
from seka.tokens import align

logger = logging.getLogger(__name__)
#: Seconds between two updates of the columns.
BEAT = 0.08
#: Over the figures while a run has none of its own.
BEFORE = "From the run before this one."


@dataclass(frozen=True)
class Settings:
    """What beside the prompt decides a run. strength None: the mode's recommended gain; temperature 0: greedy."""

    mode: str = ADAPTIVE
    strength: float | None = None
    max_new_tokens: int = 32
    layers: str = "all"
    min_shift: float = 0.0
    seed: int = 0
    temperature: float = 0.0
    literal: bool = False


def read(text: str, literal: bool) -> Prompt:
    """The prompt as typed; `literal` takes every marker as text."""
    return Prompt.marked(text, markers=None if literal else MARKERS)


def preview(studio: Studio, text: str, literal: bool) -> tuple[str, str]:
    """HTML of the prompt as the model will read it with counts and warnings, and of its tokens one by one."""
    if not text.strip():
        return words.notice(["Write or paste a prompt, then mark the words that matter."], "hint"), ""
    prompt = read(text, literal)
    alignment, notes = None, words.warnings(prompt)
    if literal and (found := len(read(text, False).spans)):
        notes = [f"{words.plural(found, 'pair')} of markers taken as plain text."]
    try:
        alignment = align(prompt, studio.tokenizer) if studio.tokenizer is not None else None
    except ValueError as error:
        notes.append(escape(str(error)))
    if alignment is not None and len(alignment.ids) >= studio.limit:
        notes.append(
            f"Too long: {words.plural(len(alignment.ids), 'token')}, the limit is {studio.limit} with the answer."
        )
    counts = f'<div class="counts">{words.summary(prompt, alignment, studio.limit)}</div>'
    tokens = words.chips(prompt, alignment) if alignment is not None else ""
    return f'<div class="read">{words.marked(prompt)}</div>{counts}{words.notice(notes)}', tokens


def check(studio: Studio, text: str, settings: Settings) -> dict[str, str]:
    """What stands in the way of a run: {"prompt" | name of a setting: sentence}; empty when nothing does."""
    if not text.strip():
        return {"prompt": "Write a prompt first."}
    if not studio.ready or studio.model is None:
        return {}  # the run waits for the model and checks again
    try:
        count = len(align(read(text, settings.literal), studio.tokenizer).ids)
        if count + settings.max_new_tokens > studio.limit:
            return {
                "prompt": f"Too long: {count} tokens of prompt and {settings.max_new_tokens} new ones, the limit is "
                f"{studio.limit} together. Shorten the prompt" + (" or ask for fewer." if count < studio.limit else ".")
            }
    except ValueError as error:
        return {"prompt": _sentence(error)}
    try:
        choose(settings.layers, sites(studio.model))
    except ValueError as error:
        return {"layers": _sentence(error)}
    return {}


def run(
    studio: Studio, text: str, settings: Settings, stop: Callable[[], bool] = lambda: False
) -> Iterator[Comparison]:
    """Both answers, growing; the last one is complete. Waits for the model. ValueError for what `check` finds."""
    while not studio.wait(0.2):
        if stop():
            return
    if studio.problem:
        raise ValueError(studio.problem)
    problems = check(studio, text, settings)
    if problems:
        raise ValueError(" ".join(problems.values()))
    answers = stream(
        studio.model,
        studio.tokenizer,
        read(text, settings.literal),
        steering(studio, settings),
        max_new_tokens=settings.max_new_tokens,
        do_sample=settings.temperature > 0,
        temperature=settings.temperature or 1.0,
        seed=settings.seed,
        stop=stop,
    )
    try:
        yield from answers
    finally:
        answers.close()  # type: ignore[attr-defined]  # a generator; whoever leaves early takes the model's steps along


def steering(studio: Studio, settings: Settings) -> Steering:
    """The steering that these settings name. ValueError in words where they cannot be."""
    assert studio.model is not None
    return Steering(
        studio.model,
        studio.source(settings.mode),
        positive=studio.gain(settings.mode) if settings.strength is None else settings.strength,
        layers=settings.layers,
        min_shift=settings.min_shift,
    )


def compare(studio: Studio, text: str, settings: Settings, stop: Callable[[], bool] = lambda: False) -> Iterator[View]:
    """The page's run: views while both answers stream, then one with differences, remarks and figures. Raises nothing."""
    view = View(status="Reading the prompt …", heads_words=BEFORE, router_words=BEFORE)
    drawn, last = 0.0, None
    try:
        plain_text = read(text, settings.literal).text
        while not studio.wait(0.0):
            yield replace(view, status=f"{studio.line()}. Your comparison starts by itself.")
            if studio.wait(0.5) or stop():
                break
        yield view
        for last in run(studio, text, settings, stop):
            if time.monotonic() - drawn > BEAT:
                drawn = time.monotonic()
                view = View(
                    words.answer(last.plain.text, plain_text, last.plain.finish is None),
                    words.answer(last.steered.text, plain_text, last.steered.finish is None),
                    _progress(last, settings),
                )
                yield view
        if last is None or not last.steered.ids:
            yield replace(view, status="Stopped before the first word.")
        else:
            done = record(studio, last, settings)
            yield finished(done, plain_text, None)  # the words first; figures take a moment
            yield finished(done, plain_text, draw(studio, last, settings))
    except Exception as error:  # a visitor never sees a traceback
        yield replace(view, status=words.notice([escape(explain(error))], "error"))


def record(studio: Studio, pair: Comparison, settings: Settings) -> dict[str, Any]:
    """A finished comparison as plain data: what an example file and the API hold."""
    used = steering(studio, settings)
    routing = pair.steered.routing
    return {
        "model": studio.name,
        "settings": asdict(replace(settings, strength=used.positive)),
        "plain": {"text": pair.plain.text, "tokens": len(pair.plain.ids), "finish": pair.plain.finish},
        "steered": {"text": pair.steered.text, "tokens": len(pair.steered.ids), "finish": pair.steered.finish},
        "seconds": round(pair.seconds, 3),
        "heads": {str(layer): heads.nonzero().flatten().tolist() for layer, heads in used.selected.items()},
        "all_heads": sum(site.heads for site in sites(studio.model)) if studio.model is not None else 0,
        "totals": routing.totals() if routing is not None else None,
    }


def answer(studio: Studio, text: str, settings: Settings) -> dict[str, Any]:
    """One whole run as plain data. ValueError for what `check` finds."""
    *_, pair = run(studio, text, settings)
    marks = [{"start": start, "end": end, "weight": weight} for start, end, weight in pair.prompt.marks]
    return {"prompt": pair.prompt.text, "marks": marks, **record(studio, pair, settings)}


def draw(studio: Studio, pair: Comparison, settings: Settings) -> dict[str, Any]:
    """The figures of a finished comparison."""
    routing: Routing | None = pair.steered.routing
    plain, steered = ([studio.tokenizer.decode([i]) for i in row.ids] for row in (pair.plain, pair.steered))
    return {
        "heads": figures.heads(studio.source(settings.mode), steering(studio, settings)),
        "router": figures.router(routing) if routing is not None else None,
        "tokens": figures.compare(pair, (plain, steered)),
    }


def explain(error: Exception) -> str:
    """An error as a sentence that says what to do."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return "The model ran out of memory. Shorten the prompt or ask for fewer new tokens, then press Compare again."
    if isinstance(error, ValueError | TypeError):
        return _sentence(error)
    logger.error("a run failed", exc_info=error)
    return (
        f"Something went wrong inside ({type(error).__name__}). The prompt is kept; try again, or with other settings."
    )


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def _progress(pair: Comparison, settings: Settings) -> str:
    count = max(len(pair.plain.ids), len(pair.steered.ids))
    return f"Writing: {count} of {settings.max_new_tokens} tokens{rate(count, pair.seconds)}"
