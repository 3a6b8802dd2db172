"""Experts that visitors learn themselves: from what, under which name, with progress. No gradio; `shelf` keeps them."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue

from app import environment, shelf
from app.models import ADAPTIVE, SHIPPED, Studio
from seka import triplets
from seka.baselines import with_baselines
from seka.learn import learn
from seka.miniature.measures.matching import usual
from seka.projections import Projection
from seka.triplets import Triplet

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
#: Experts of one model that are kept at most.
MOST = 16
#: Studios whose model somebody is learning on.
_busy: set[int] = set()
_guard = threading.Lock()


@dataclass(frozen=True)
class Progress:
    """Triplets, or then prompts that the expert is compared on, done of all; expert: what was learnt, at the end only."""

    done: int
    total: int
    seconds: float
    unit: str = "triplet"
    expert: Projection | None = None


class _Left(Exception):
    """Whoever wanted the expert has stopped or gone."""


def given(path: str | None) -> tuple[list[Triplet], str]:
    """The triplets to learn from, those of a file or the bundled ones, and what they are in words.

    ValueError names the line that is wrong, or the largest number of triplets.
    """
    if path is None:
        found = triplets.bundled()
        return found, f"Learnt on this page from the {len(found)} bundled triplets."
    file = Path(path)
    try:
        found = triplets.read(file)
    except ValueError as error:  # a visitor knows the file by its own name
        raise ValueError(str(error).replace(str(file), f"file {file.name}")) from None
    most = environment.read().triplets
    if len(found) > most:
        raise ValueError(
            f"file {file.name} holds {len(found)} triplets; wanted at most {most}: shorten it, or set SEKA_TRIPLETS"
        )
    return found, f"Learnt on this page from {len(found)} triplets of {file.name}."


def named(studio: Studio, text: str) -> str:
    """The name of a new expert. ValueError for one that is no name, or is taken."""
    name = re.sub(r"[\s-]+", "_", text.strip().lower())
    if not NAME.fullmatch(name) or name == ADAPTIVE:
        raise ValueError(
            f"the name {text.strip()!r} will not do; wanted a letter, then letters, digits or _, 32 at most, "
            f"and not {ADAPTIVE!r}"
        )
    if name in studio.experts:
        raise ValueError(
            f"there is already an expert {name!r}; choose another name"
            + (", or remove that one first" if name in studio.own else "")
        )
    return name


def learnt(
    studio: Studio, found: Sequence[Triplet], name: str, description: str, stop: threading.Event
) -> Iterator[Progress]:
    """Learn an expert, keep it and add it to the studio; how far it is, at least once a second. The model is free between
    batches.

    Stops after the batch in which `stop` is set, or when the generator is closed, and then keeps nothing. ValueError in words
    for what cannot be learnt, or while somebody else learns on this model.
    """
    if note := environment.read().learn_note:
        raise ValueError(note)
    if not studio.ready or studio.model is None:
        raise ValueError(f"{studio.line()}; wait until the model is there")
    with _guard:
        name = named(studio, name)
        if len(studio.own) >= MOST:
            raise ValueError(f"{MOST} experts were learnt here already, which is the most; remove one first")
        if id(studio) in _busy:
            raise ValueError("somebody is learning an expert of this model already; try again when that is done")
        _busy.add(id(studio))
    told: SimpleQueue[tuple[int, int, str] | Projection | Exception] = SimpleQueue()

    def progress(done: int, total: int, unit: str = "triplet") -> None:
        told.put((done, total, unit))
        if stop.is_set():
            raise _Left

    def work() -> None:
        try:
            assert studio.model is not None
            expert = learn(studio.model, studio.tokenizer, found, name=name, description=description, progress=progress)
            expert = _compared(studio, expert, partial(progress, unit="prompt"))
            if stop.is_set():
                raise _Left
            shelf.keep(studio.model, name, expert)
            studio.adopt(name, expert)
            told.put(expert)
        except Exception as error:
            told.put(error)
        finally:
            _busy.discard(id(studio))

    began = time.monotonic()
    last = 0, len(found), "triplet"
    threading.Thread(target=work, name="seka-learn", daemon=True).start()
    try:
        while True:
            try:
                news = told.get(timeout=1.0)
            except Empty:
                news = last
            if isinstance(news, _Left):
                return
            if isinstance(news, Exception):
                raise news
            seconds = time.monotonic() - began
            if isinstance(news, Projection):
                yield Progress(len(found), len(found), seconds, expert=news)
                return
            last = news
            done, total, unit = last
            yield Progress(done, total, seconds, unit)
    finally:
        stop.set()


def _compared(studio: Studio, expert: Projection, progress: Callable[[int, int], None]) -> Projection:
    """With baselines on the prompts that the shipped experts were measured on, where their router asks for them. Which prompts
    other experts have them of is in no file: beside those it counts with the mean of theirs."""
    if studio.origin != SHIPPED or studio.router is None or studio.router.score != "relative":
        return expert
    assert studio.model is not None
    prompts = usual(studio.tokenizer)
    return with_baselines(studio.model, studio.tokenizer, {"": expert}, prompts, progress=progress)[""]


def remove(studio: Studio, name: str) -> None:
    """Forget an expert that was learnt here, also on disk. ValueError for any other."""
    if name not in studio.experts:
        raise ValueError(f"there is no expert {name!r} any more: somebody else has removed it")
    if name not in studio.own or studio.model is None:
        raise ValueError(f"{name!r} was not learnt on this page, so it is not removed")
    studio.drop(name)
    shelf.file(studio.model, name).unlink(missing_ok=True)


def kept(studio: Studio, name: str | None) -> Path | None:
    """The file of an expert that was learnt here; None for any other."""
    return shelf.file(studio.model, name) if name in studio.own and studio.model is not None and name else None
