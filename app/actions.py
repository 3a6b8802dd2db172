"""What the page does, as plain functions: plain in, plain out. No gradio; steering is seka's alone, this only asks for it.

Errors that a visitor can cause come back as words. Anything else is logged, and a sentence comes back all the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from html import escape
from typing import Any

import torch

from app import asked, head_words, insight, origin, words
from app.models import Studio
from app.settings import Settings as Settings
from app.views import View, finished, rate
from seka import figures
from seka.generation import Comparison, stream
from seka.layers import choose, read_heads
from seka.prompts import MARKERS, Prompt, Span
from seka.sites import sites
from seka.steering import Steering
from seka.tokens import align, align_some

logger = logging.getLogger(__name__)
#: Seconds between two updates of the columns.
BEAT = 0.08
#: Characters of a prompt that is too long to be run, as far as the preview shows it.
BEGINNING = 4000
#: The answers are there, but the run is not over: Compare cannot be pressed yet.
LOOKING = "Both answers are complete; looking inside the model …"
#: Over the figures while a run has none of its own.
BEFORE = "From the run before this one."


def read(text: str, literal: bool) -> Prompt:
    """The prompt as typed; `literal` takes every marker as text."""
    return Prompt.marked(text, markers=None if literal else MARKERS)


def preview(studio: Studio, text: str, literal: bool) -> tuple[str, str]:
    """HTML of the prompt as the model will read it with counts and warnings, and of its tokens one by one."""
    if not text.strip():
        return words.notice(["Write or paste a prompt, then mark the words that matter."], "hint"), ""
    try:
        prompt, count = counted(studio, text, literal)
    except ValueError as error:
        return words.notice([escape(_sentence(error))]), ""
    if count >= studio.limit:
        long = f"Too long: {words.plural(count, 'token')}, the limit is {studio.limit} with the answer."
        return f'<div class="read">{words.marked(prompt, most=BEGINNING)}</div>{words.notice([long])}', ""
    alignment, notes = None, words.warnings(prompt)
    lost: dict[Span, ValueError] = {}
    if literal and (found := len(read(text, False).spans)):
        notes = [f"{words.plural(found, 'pair')} of markers taken as plain text."]
    if studio.tokenizer is not None:
        alignment, lost = align_some(prompt, studio.tokenizer)
        notes += words.reach(prompt, alignment)
    notes += [escape(_sentence(error)) for error in list(lost.values())[:3]]
    counts = f'<div class="counts">{words.summary(prompt, alignment, studio.limit)}</div>'
    tokens = words.chips(prompt, alignment) if alignment is not None else ""
    return f'<div class="read">{words.marked(prompt, list(lost))}</div>{counts}{words.notice(notes)}', tokens


def counted(studio: Studio, text: str, literal: bool) -> tuple[Prompt, int]:
    """The prompt and its tokens, 0 while nobody can count them; its marks are not looked at, for they may be too many.

    ValueError for a text that is too long to be counted, or that has no tokens.
    """
    prompt = read(asked.text(text), literal)
    return prompt, len(align(Prompt(prompt.text), studio.tokenizer).ids) if studio.tokenizer is not None else 0


def check(studio: Studio, text: str, settings: Settings) -> dict[str, str]:
    """What stands in the way of a run: {"prompt" | name of a setting: sentence}; empty when nothing does."""
    if not isinstance(text, str):
        return {"prompt": f"The prompt is {type(text).__name__}; wanted text."}
    if not text.strip():
        return {"prompt": "Write a prompt first."}
    for name, value in asdict(settings).items():
        try:
            asked.settings({name: value})
        except ValueError as error:
            return {name: _sentence(error)}
    if not studio.ready or studio.model is None:
        return {}  # the run waits for the model and checks again
    try:
        prompt, count = counted(studio, text, settings.literal)
        if count + settings.max_new_tokens > studio.limit:
            return {
                "prompt": f"Too long: {count} tokens of prompt and {settings.max_new_tokens} new ones, the limit is "
                f"{studio.limit} together. Shorten the prompt" + (" or ask for fewer." if count < studio.limit else ".")
            }
        align(prompt, studio.tokenizer)
    except ValueError as error:
        return {"prompt": _sentence(error)}
    looked_at = "mode"
    try:
        studio.source(settings.mode)
        looked_at = "heads"
        if not settings.heads.strip():
            looked_at = "layers"
            if settings.layers.strip():
                choose(settings.layers, sites(studio.model))
            looked_at = "min_shift" if settings.min_shift > 0 else "layers"
        steering(studio, settings)
    except ValueError as error:
        return {looked_at: _sentence(error)}
    return {}


def run(
    studio: Studio, text: str, settings: Settings, stop: Callable[[], bool] = lambda: False
) -> Iterator[Comparison]:
    """Both answers, growing; the last one is complete. Waits for the model. ValueError for what `check` finds."""
    if admitted(studio, text, settings, stop):
        prompt, used = read(text, settings.literal), steering(studio, settings)
        yield from stream(studio.model, studio.tokenizer, prompt, used, stop=stop, **settings.decoding())


def admitted(studio: Studio, text: str, settings: Settings, stop: Callable[[], bool]) -> bool:
    """Wait for the model. False for a run that was stopped meanwhile; ValueError for what `check` finds."""
    while not studio.wait(0.2):
        if stop():
            return False
    if studio.problem:
        raise ValueError(studio.problem)
    if problems := check(studio, text, settings):
        raise ValueError(" ".join(problems.values()))
    return True


def steering(studio: Studio, settings: Settings) -> Steering:
    """The steering that these settings name. ValueError in words where they cannot be."""
    assert studio.model is not None
    return Steering(
        studio.model,
        studio.source(settings.mode),
        positive=studio.gain(settings.mode) if settings.strength is None else settings.strength,
        layers=settings.layers.strip() or None,
        min_shift=settings.min_shift,
        heads=read_heads(settings.heads) or None,
    )


def compare(studio: Studio, text: str, settings: Settings, stop: Callable[[], bool] = lambda: False) -> Iterator[View]:
    """The page's run: views while both answers stream, then one with differences, remarks and figures. Raises nothing."""
    names = ("heads_words", "router_words", "attention_words", "next_words", "tokens_words")
    captions: dict[str, Any] = dict.fromkeys(names, BEFORE)
    view = View(status="Reading the prompt …", **captions)
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
            view = finished(outcome(studio, last, settings, text), plain_text, LOOKING, drawn=False)
            yield view  # the words first; figures take a moment
            yield finished(record(studio, last, settings, text), plain_text)
    except Exception as error:  # a visitor never sees a traceback
        yield replace(view, status=words.notice([escape(explain(error))], "error"))


def outcome(studio: Studio, pair: Comparison, settings: Settings, typed: str) -> dict[str, Any]:
    """What came of a comparison, as plain data; nothing of it has to be measured. typed: the prompt with its markers."""
    used, routing = _used(pair), pair.steered.routing
    return {
        "model": studio.name,
        "made": origin.made(studio),
        "typed": typed,
        "settings": asdict(replace(settings, strength=used.positive)),
        "plain": {"text": pair.plain.text, "tokens": len(pair.plain.ids), "finish": pair.plain.finish},
        "steered": {"text": pair.steered.text, "tokens": len(pair.steered.ids), "finish": pair.steered.finish},
        "seconds": round(pair.seconds, 3),
        "heads": {str(layer): heads.nonzero().flatten().tolist() for layer, heads in used.selected.items()},
        "all_heads": sum(site.heads for site in sites(studio.model)) if studio.model is not None else 0,
        "sensitivity": head_words.plain(figures.sensitivity(used.source)),
        "totals": routing.totals() if routing is not None else None,
    }


def record(studio: Studio, pair: Comparison, settings: Settings, typed: str) -> dict[str, Any]:
    """A finished comparison with what is measured of its inside: what an example file and the API hold."""
    return {**outcome(studio, pair, settings, typed), **insight.measure(studio, pair, _used(pair))}


def answer(studio: Studio, text: str, settings: Settings) -> dict[str, Any]:
    """One whole run as plain data. ValueError for what `check` finds."""
    *_, pair = run(studio, text, settings)
    marks = [{"start": start, "end": end, "weight": weight} for start, end, weight in pair.prompt.marks]
    return {"prompt": pair.prompt.text, "marks": marks, **record(studio, pair, settings, text)}


def _used(pair: Comparison) -> Steering:
    """What steered a run, which the studio may not have any more: visitors learn and remove experts meanwhile."""
    assert pair.steering is not None
    return pair.steering


def explain(error: Exception) -> str:
    """An error as a sentence that says what to do."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error):
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return "The model ran out of memory. Shorten the prompt or ask for fewer new tokens, then press Compare again."
    if isinstance(error, TypeError):  # more often a mistake of ours than of a visitor's
        logger.error("a run was refused", exc_info=error)
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
