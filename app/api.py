"""What the page offers to programs: public endpoints with types and words. Everything else of the page is private."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import gradio as gr
from gradio.events import api

from app import actions, head_words
from app.actions import Settings
from app.models import ADAPTIVE, Studio
from app.strengths import answer as swept
from app.sweep import multiples
from app.wiring import REFUSED, TOGETHER, Wrapper, as_is, settings
from seka import figures
from seka.tokens import align

T = TypeVar("T")


def publish(studio: Studio, gpu: Wrapper = as_is) -> None:
    """Add the endpoints to the page that is being built. gpu: wraps those that run the model.

    Parameters are called as in `Settings`, and in that order; the Code tab writes calls that rely on it.
    """

    def compare(
        prompt: str,
        mode: str = ADAPTIVE,
        strength: float | None = None,
        max_new_tokens: int = 32,
        layers: str = "",
        min_shift: float = 0.0,
        seed: int = 0,
        temperature: float = 0.0,
        literal: bool = False,
        heads: str = "",
    ) -> dict[str, Any]:
        """Answer a prompt twice, as the model is and steered by its marks.

        Parameters:
            prompt: text with **emphasised** and ~~ignored~~ words.
            mode: "adaptive", or the name of one expert.
            strength: gain of the edit, 0 to 1000; None takes the recommended one, 0 is off.
            max_new_tokens: length of each answer at most, 1 to 256.
            layers: "all", "last4", "first2", "3,5", or heads of layers, "0:1,3;4:0"; empty for what is recommended.
            min_shift: steer heads whose relative shift is at least this, from 0.
            seed: noise of both answers where temperature is above 0; a whole number from 0.
            temperature: 0 to 5; 0 is greedy.
            literal: take ** and ~~ as text.
            heads: just these KV heads of these layers, "0:1,3;4:0", in place of layers and min_shift; empty for none.
        Returns:
            both answers, their lengths and ends, the heads that were steered, what was measured inside, seconds, versions,
            and the settings in use.
        """
        values = (mode, strength, max_new_tokens, layers, min_shift, seed, temperature, literal, heads)
        return _told(lambda: actions.answer(studio, prompt, settings(values)))

    def parse(prompt: str, literal: bool = False) -> dict[str, Any]:
        """Read a prompt as the model will: its text, its marks, and which tokens they touch.

        Parameters:
            prompt: text with **emphasised** and ~~ignored~~ words; a number in braces is a mark's own weight: **words**{2}.
            literal: take ** and ~~ as text.
        Returns:
            text without markers; marks and tokens as start, end (code points of text) and weight; where markers without a
            partner stand; the most tokens that prompt and answer may have together.
        """
        return _told(lambda: _parse(studio, prompt, literal))

    def sensitivity(mode: str = ADAPTIVE) -> dict[str, Any]:
        """How far each head's keys move with relevance, over the key's own norm: the map of the Heads tab.

        Parameters:
            mode: the name of one expert, or "adaptive" for the largest over the experts.
        Returns:
            mode; relative_shift: layer to a number for each KV head, null where unknown; recommended_strength.
        """
        return _told(lambda: _sensitivity(studio, mode))

    def router(prompt: str, strength: float | None = None, literal: bool = False) -> dict[str, Any]:
        """How the router weighs the experts for a prompt, head by head.

        Parameters:
            prompt: text with **emphasised** and ~~ignored~~ words.
            strength: gain of the edit, which lower layers feel; None takes the recommended one.
            literal: take ** and ~~ as text.
        Returns:
            names of the experts; coefficients: layer to a row for each expert of a number for each KV head, the largest of a
            head is 1; totals: each expert's share of all.
        """
        return _told(lambda: _router(studio, prompt, Settings(strength=strength, literal=literal, max_new_tokens=1)))

    def sweep(
        prompt: str,
        strengths: list[float] | None = None,
        mode: str = ADAPTIVE,
        max_new_tokens: int = 32,
        layers: str = "",
        min_shift: float = 0.0,
        seed: int = 0,
        temperature: float = 0.0,
        literal: bool = False,
        heads: str = "",
    ) -> dict[str, Any]:
        """Answer a prompt at several strengths, all from one batch.

        Parameters:
            prompt: text with **emphasised** and ~~ignored~~ words.
            strengths: gains of the edit, 1 to 16 numbers from 0 to 1000, each once; None takes 0 to twice the recommended one.
            mode: "adaptive", or the name of one expert.
            max_new_tokens: length of each answer at most, 1 to 256.
            layers: "all", "last4", "first2", "3,5", or heads of layers, "0:1,3;4:0"; empty for what is recommended.
            min_shift: steer heads whose relative shift is at least this, from 0.
            seed: noise of all answers where temperature is above 0; a whole number from 0.
            temperature: 0 to 5; 0 is greedy.
            literal: take ** and ~~ as text.
            heads: just these KV heads of these layers, "0:1,3;4:0", in place of layers and min_shift; empty for none.
        Returns:
            strengths, an answer for each, and curves: the likeliest first tokens with a probability for each strength.
        """
        values = (mode, None, max_new_tokens, layers, min_shift, seed, temperature, literal, heads)
        return _told(lambda: swept(studio, prompt, settings(values), strengths, multiples(gpu)))

    running: list[Callable[..., Any]] = [compare, router, sweep]
    resting: list[Callable[..., Any]] = [parse, sensitivity]
    for endpoint in running:
        api(
            gpu(endpoint),
            api_name=studio.endpoint(endpoint.__name__),
            concurrency_id=studio.turns,
            concurrency_limit=TOGETHER,
        )
    for endpoint in resting:
        api(endpoint, api_name=studio.endpoint(endpoint.__name__), concurrency_limit=TOGETHER)


def mcp() -> bool:
    """Whether the endpoints can be offered by the Model Context Protocol as well: gradio needs its package for that."""
    return importlib.util.find_spec("mcp") is not None


def _told(answer: Callable[[], T]) -> T:
    """A caller gets the sentence that the page would show, never a traceback."""
    try:
        return answer()
    except Exception as error:
        raise gr.Error(actions.explain(error), title=REFUSED, print_exception=False) from None


def _parse(studio: Studio, prompt: str, literal: bool) -> dict[str, Any]:
    while not studio.wait(0.5):
        pass
    if studio.tokenizer is None:
        raise ValueError(studio.problem)
    read, count = actions.counted(studio, prompt, literal)
    if count >= studio.limit:
        raise ValueError(f"too long: {count} tokens, the limit is {studio.limit} with the answer; shorten the prompt")
    found = align(read, studio.tokenizer)
    tokens = [
        {"id": token, "start": start, "end": end, "weight": weight}
        for token, (start, end), weight in zip(found.ids, found.offsets, found.weights, strict=True)
    ]
    marks = [{"start": start, "end": end, "weight": weight} for start, end, weight in read.marks]
    return {
        "text": read.text,
        "marks": marks,
        "tokens": tokens,
        "unpaired": list(read.unpaired),
        "limit": studio.limit,
    }


def _sensitivity(studio: Studio, mode: str) -> dict[str, Any]:
    shifts = head_words.plain(figures.sensitivity(studio.source(mode)))
    return {"mode": mode, "relative_shift": shifts, "recommended_strength": studio.gain(mode)}


def _router(studio: Studio, prompt: str, chosen: Settings) -> dict[str, Any]:
    done = actions.answer(studio, prompt, replace(chosen, mode=ADAPTIVE))
    return {**done["routing"], "totals": done["totals"]}
