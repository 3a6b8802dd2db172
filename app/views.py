"""A finished run, from its record of plain data: columns, remarks and the sentences under the figures. No model, no gradio.

A run that has just ended and a precomputed example go through the same functions, so they look the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import Any

from app import cards, findings, head_words, words


@dataclass(frozen=True)
class View:
    """What the page shows of a run: HTML of both columns, of the status line and of the remarks; figures at the end only."""

    plain: str = ""
    steered: str = ""
    status: str = ""
    remarks: str = ""
    heads_words: str = ""
    router_words: str = ""
    #: "heads", "effect", "router", "attention", "next", "tokens": plotly's or None
    figures: dict[str, Any] | None = None
    router_table: str = ""
    attention_words: str = ""
    attention_table: str = ""
    next_words: str = ""
    next_table: str = ""
    tokens_words: str = ""
    effect_words: str = ""
    card: str = ""  # HTML of the finished run as a small card, to be pinned
    record: dict[str, Any] | None = field(default=None, compare=False, repr=False)  # of a finished run


NEW = "Press Compare: the same model answers twice."
#: A page before its first run.
BEFORE = View(
    status=NEW, heads_words=NEW, router_words=NEW, attention_words=NEW, next_words=NEW, tokens_words=NEW, figures={}
)


def finished(done: dict[str, Any], prompt: str, status: str | None = None, drawn: bool = True) -> View:
    """The last view of a run, from its record: a real run and a precomputed example look the same.

    prompt: without markers. status: for its line, None for what the run says. drawn: with its figures and their captions.
    """
    plain, steered = done["plain"], done["steered"]
    left, right, sentence = words.differences(plain["text"], steered["text"], prompt)
    remarks = [f"{sentence} {_advice(done)}" if plain["text"] == steered["text"] else sentence]
    if words.repetitive(steered["text"]):
        both = words.repetitive(plain["text"])
        remarks.append(
            "Both answers repeat themselves." if both else "The steered answer repeats itself: lower Strength."
        )
    return View(
        left,
        right,
        status or _summary(done),
        "<br>".join(remarks),
        figures={**head_words.drawn(done), **findings.drawn(done)} if drawn else None,
        **(_captions(done) if drawn else {}),
        record=done,
        card=cards.card(done, prompt),
    )


def _captions(done: dict[str, Any]) -> dict[str, str]:
    """What is said of figures comes with them, so that no old figure is shown under new words."""
    return {
        "heads_words": _heads(done),
        "effect_words": head_words.effect(done),
        "router_words": _router(done),
        **findings.said(done),
    }


def _advice(done: dict[str, Any]) -> str:
    """What to do where both answers are the same."""
    if done["settings"].get("strength") == 0:
        return "Strength is 0, which is off: raise it."
    prompt = cards.asked(done)
    if prompt is not None and not prompt.spans:
        return "Nothing was marked: mark the words that matter."
    return "If the plain one does not follow your marks already, try a higher or lower Strength, or other words."


def rate(count: int, seconds: float) -> str:
    """Speed as an ending of a status line; nothing while there is none worth telling."""
    speed = count / seconds if seconds > 0 else math.nan
    return f" · {speed:.0f} tokens/s" if speed >= 1 else ""


def _summary(done: dict[str, Any]) -> str:
    plain, steered = done["plain"], done["steered"]
    count = max(plain["tokens"], steered["tokens"])
    speed = rate(count, done["seconds"])
    if "stopped" in (plain["finish"], steered["finish"]):
        return f"Stopped after {words.plural(count, 'token')}{speed}"
    cut = " · cut at the token limit" if "length" in (plain["finish"], steered["finish"]) else ""
    return (
        f"Done: {plain['tokens']} and {words.plural(steered['tokens'], 'token')} in {done['seconds']:.1f} s{speed}{cut}"
    )


def _heads(done: dict[str, Any]) -> str:
    count, layers = sum(len(heads) for heads in done["heads"].values()), len(done["heads"])
    strength = done["settings"]["strength"]
    gain = f" at strength {strength:g}" if strength is not None else ""
    where = f"on the outlined heads, {count} of {done['all_heads']} in {words.plural(layers, 'layer')}"
    return f"Strength is 0: marks would act {where}." if strength == 0 else f"Marks act {where}{gain}."


def _router(done: dict[str, Any]) -> str:
    if done["totals"] is None:
        name = escape(done["settings"]["mode"])
        return f"One expert, {name}, acts on the outlined heads: nothing to mix. Choose Adaptive to see the router at work."
    shares = sorted(done["totals"].items(), key=lambda item: -item[1])
    mixed = ", ".join(f"{escape(name)} {share:.0%}" for name, share in shares)
    return f"The router mixed {mixed} for this prompt. {escape(findings.leaders(done.get('routing')))}".strip()
