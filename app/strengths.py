"""One prompt at several strengths: the page's sweep and the record of it. No gradio; the sweep is seka's.

Errors that a visitor can cause come back as words, as in `actions`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import Any

from app import actions, asked, cards, words
from app.actions import BEAT, Settings
from app.models import Studio
from app.tables import visible
from app.views import rate
from seka import figures
from seka.sweep import Sweep, stream

#: Strengths of the page's sweep, in recommended ones; the one that is set is added. Fewer on ZeroGPU, where a sweep should
#: take no longer than the comparison that its seconds are reckoned by.
MULTIPLES, FEW = (0.0, 0.5, 1.0, 1.5, 2.0), (0.0, 1.0, 2.0)
#: Strengths of one sweep at most: each is a row of the batch.
MOST = 16


@dataclass(frozen=True)
class Shown:
    """What the page shows of a sweep: HTML of its status, of what it was made of and of its table; a figure at the end."""

    status: str
    caption: str = ""
    table: str = ""
    figure: Any = None


def offered(studio: Studio, settings: Settings, multiples: Sequence[float] = MULTIPLES) -> list[float]:
    """The strengths of the page's sweep, rising. multiples: of the recommended strength."""
    gain = studio.gain(settings.mode)
    chosen = [] if settings.strength is None else [settings.strength]
    return sorted({round(strength, 4) for strength in (*(gain * times for times in multiples), *chosen)})


def run(
    studio: Studio,
    text: str,
    settings: Settings,
    strengths: Sequence[float],
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Sweep]:
    """The answers, growing; the last Sweep is complete. Waits for the model. ValueError for what `actions.check` finds, and
    for strengths that cannot be swept."""
    if not isinstance(strengths, list | tuple) or not 1 <= len(strengths) <= MOST:
        raise ValueError(f"strengths are {str(strengths)[:80]}; wanted a list of 1 to {MOST} numbers")
    for strength in strengths:
        if strength is None:  # the recommended one in settings, but no place on a scale
            raise ValueError(f"strengths are {str(strengths)[:80]}; wanted numbers, each once")
        asked.settings({"strength": strength})
    if actions.admitted(studio, text, settings, stop):
        prompt, used = actions.read(text, settings.literal), actions.steering(studio, settings)
        gains = [float(strength) for strength in strengths]
        yield from stream(studio.model, studio.tokenizer, prompt, used, gains, stop=stop, **settings.decoding())


def sweep(
    studio: Studio,
    text: str,
    settings: Settings,
    stop: Callable[[], bool] = lambda: False,
    multiples: Sequence[float] = MULTIPLES,
) -> Iterator[Shown]:
    """The page's sweep: what it shows while the answers stream, then with the figure. Raises nothing."""
    shown = Shown("Reading the prompt …")
    drawn, last = 0.0, None
    try:
        while not studio.wait(0.0):
            yield replace(shown, status=f"{studio.line()}. The sweep starts by itself.")
            if studio.wait(0.5) or stop():
                break
        yield shown
        for last in run(studio, text, settings, offered(studio, settings, multiples), stop):
            if time.monotonic() - drawn > BEAT:
                drawn = time.monotonic()
                done = record(studio, last, settings, text)
                count = max(answer["tokens"] for answer in done["answers"])
                status = f"Writing: {count} of {settings.max_new_tokens} tokens{rate(count, last.seconds)}"
                shown = Shown(
                    status, caption(done, studio.gain(settings.mode)), table(done, studio.gain(settings.mode))
                )
                yield shown
        if last is None or not last.curves:
            yield replace(shown, status="Stopped before the first word.")
            return
        done, gain = record(studio, last, settings, text), studio.gain(settings.mode)
        yield Shown(summary(done), caption(done, gain), table(done, gain), draw(done))
    except Exception as error:  # a visitor never sees a traceback
        yield replace(shown, status=words.notice([escape(actions.explain(error))], "error"))


def answer(
    studio: Studio,
    text: str,
    settings: Settings,
    strengths: Sequence[float] | None = None,
    multiples: Sequence[float] = MULTIPLES,
) -> dict[str, Any]:
    """One whole sweep as plain data, of `offered` strengths where none are given. ValueError as in `run`."""
    *_, last = run(studio, text, settings, offered(studio, settings, multiples) if strengths is None else strengths)
    return record(studio, last, settings, text)


def record(studio: Studio, swept: Sweep, settings: Settings, typed: str) -> dict[str, Any]:
    """A sweep as plain data. typed: the prompt with its markers. A curve's text is that of its token."""
    return {
        "model": studio.name,
        "typed": typed,
        "settings": asdict(settings),
        "strengths": list(swept.strengths),
        "answers": [{"text": row.text, "tokens": len(row.ids), "finish": row.finish} for row in swept.answers],
        "curves": [
            {"id": token, "text": str(studio.tokenizer.decode([token])), "probabilities": list(curve)}
            for token, curve in swept.curves.items()
        ],
        "seconds": round(swept.seconds, 3),
    }


def draw(done: Mapping[str, Any]) -> Any:
    """The figure of a sweep's record."""
    curves = {curve["id"]: (visible(curve["text"]), curve["probabilities"]) for curve in done["curves"]}
    return figures.sweep(done["strengths"], list(curves.values()))


def caption(done: Mapping[str, Any], gain: float) -> str:
    """What was swept, so that the table says by itself what it belongs to."""
    literal = done["settings"]["literal"]
    prompt = actions.read(done["typed"], literal)
    how = cards.how({**done, "settings": {**done["settings"], "strength": None}})
    return (
        f'<p class="asked">{cards.excerpt(prompt)}</p><p class="how">{escape(how)} · recommended strength {gain:g}</p>'
    )


def table(done: Mapping[str, Any], gain: float) -> str:
    """A row for each strength with its answer; words that differ from the first row's are marked once a row has ended."""
    first = done["answers"][0]
    rows = []
    for strength, row in zip(done["strengths"], done["answers"], strict=True):
        ended = row["finish"] is not None and first["finish"] is not None
        body = words.compared(first["text"], row["text"])[1] if ended else escape(row["text"])
        notes = ["off"] if strength == 0 else []
        notes += ["recommended"] if abs(strength - gain) < 1e-4 else []
        notes += ["set"] if done["settings"]["strength"] == strength else []
        notes += ["repeats itself"] if words.repetitive(row["text"]) else []
        small = f"<small>{', '.join(notes)}</small>" if notes else ""
        shown = body or words.EMPTY.format("…" if row["finish"] is None else "(no words)")
        rows.append(f'<tr><th scope="row">{strength:g}{small}</th><td><span class="written">{shown}</span></td></tr>')
    return (
        '<table><thead><tr><th scope="col">Strength</th><th scope="col">Answer</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def summary(done: Mapping[str, Any]) -> str:
    """How a sweep ended, and where the answers change."""
    answers, strengths = done["answers"], done["strengths"]
    count = max(row["tokens"] for row in answers)
    stopped = any(row["finish"] == "stopped" for row in answers)
    begun = f"Stopped after {words.plural(count, 'token')}" if stopped else f"Done in {done['seconds']:.1f} s"
    texts = [row["text"] for row in answers]
    if len(set(texts)) == 1:
        return f"{begun}. All {len(texts)} answers are identical."
    change = next(i for i, text in enumerate(texts) if text != texts[0])
    return (
        f"{begun}. {len(set(texts))} different answers at {len(texts)} strengths; {strengths[change]:g} is the first that "
        f"changes the answer at {strengths[0]:g}."
    )
