"""The maps of heads as settings change: which heads would be steered, one head more or less, and each head's effect. No gradio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from torch import Tensor

from app import actions, head_words, words
from app.models import Studio
from app.settings import Settings
from seka import figures
from seka.effects import by_layer, likeliest
from seka.layers import write_heads
from seka.routing import Router
from seka.sites import sites
from seka.tokens import encode

#: A prompt's end, as far as it is told.
TAIL = 40


@dataclass(frozen=True)
class Maps:
    """line: what the settings steer, or what is wrong with them (HTML). The figures outline those heads; either may be None."""

    line: str
    heads: Any
    effect: Any


def line(studio: Studio, settings: Settings) -> str:
    """Which heads these settings steer, or why they steer none. Empty until the model is there."""
    return _looked(studio, settings)[0] if studio.ready else ""


def maps(studio: Studio, settings: Settings, measured: Mapping[str, Any] | None) -> Maps:
    """Both maps at these settings; none of the sensitivity of a mode that is not here. measured: a record with an effect, or
    None."""
    said, steering = _looked(studio, settings)
    selected = steering.selected if steering is not None else {}
    try:
        source = studio.source(settings.mode) if steering is None else steering.source
    except ValueError:  # the line says so: somebody else removed it
        source = None
    return Maps(
        said,
        figures.heads(source, steering) if source is not None else None,
        head_words.effect_map(_ours(studio, measured), selected),
    )


def picked(
    studio: Studio, settings: Settings, clicked: Any, run: Any = None, measured: Any = None
) -> tuple[str | None, str]:
    """What a click on a map does: (Settings.heads as it is now, None where it stays; HTML of the head's figures).

    clicked: {"layer", "head"} as the browser says. run, measured: records for the head's figures, or None.
    """
    try:
        if not studio.ready:
            raise ValueError(f"{studio.line()}; heads can be chosen when the model is there")
        place = _place(clicked)
        try:
            written, did = toggled(studio, settings, *place)
        except ValueError as error:
            return None, head(studio, settings, place, actions.explain(error), run, measured)
        return written, head(studio, settings, place, did, run, measured)
    except ValueError as error:
        return None, words.notice([escape(actions.explain(error))], "error")


def told(studio: Studio, settings: Settings, clicked: Any, run: Any = None, measured: Any = None) -> str:
    """HTML of the figures, as they are now, of the head that was clicked last; arguments as in `picked`."""
    try:
        layer, number = _place(clicked)
        there = number in _selected(studio, settings).get(layer, [])
        return head(studio, settings, (layer, number), "steered" if there else "not steered", run, measured)
    except ValueError as error:
        return words.notice([escape(actions.explain(error))], "error")


def toggled(studio: Studio, settings: Settings, layer: int, head: int) -> tuple[str, str]:
    """(Settings.heads with this head put in or taken out, what was done). ValueError where that cannot be.

    The first head chosen begins from what layers and threshold select; a choice that they select as well is written as none.
    """
    here = _selected(studio, settings)
    there = head in here.get(layer, [])
    chosen = [n for n in here.get(layer, []) if n != head] if there else [*here.get(layer, []), head]
    written = write_heads({**here, layer: chosen})
    if not written:
        raise ValueError("the last head that is steered stays: include another one first")
    actions.steering(studio, replace(settings, heads=written))
    default = write_heads(_selected(studio, replace(settings, heads="")))
    return "" if written == default else written, "not steered any more" if there else "steered now"


def head(studio: Studio, settings: Settings, place: tuple[int, int], state: str, run: Any, measured: Any) -> str:
    """HTML of one head's figures, with this mode's experts. state: what to say of it first."""
    source = studio.source(settings.mode)
    experts = source.experts if isinstance(source, Router) else {settings.mode: source}
    shifts = {name: head_words.plain(expert.relative_shift) for name, expert in experts.items()}
    scales = {name: head_words.plain(expert.scale) for name, expert in experts.items()}
    return head_words.one(place, state, shifts, scales, _ours(studio, run), _ours(studio, measured))


def measure(studio: Studio, text: str, settings: Settings) -> Iterator[str | dict[str, Any]]:
    """Each head's effect on this prompt: sentences on the way, then the record's keys "typed", "effect", "effect_of",
    "sensitivity" and "heads". ValueError for what `actions.check` finds, and where no head can act.

    One head is steered alone, at these settings' strength; watched is the likeliest first token of the steered answer.
    """
    while not studio.wait(0.5):
        yield f"{studio.line()}. Measuring starts by itself."
    if studio.problem:
        raise ValueError(studio.problem)
    if problems := actions.check(studio, text, settings):
        raise ValueError(" ".join(problems.values()))
    prompt = actions.read(text, settings.literal)
    if not prompt.spans:
        raise ValueError("nothing is marked, so no head can act; mark the words that matter first")
    steering, tokens = actions.steering(studio, settings), encode(prompt, studio.tokenizer)
    if steering.positive == 0:
        raise ValueError("strength is 0, so no head can act; raise it first")
    wanted = likeliest(studio.model, tokens, steering)
    layers = steering.source.layers
    moved: dict[int, Tensor] = {}
    yield f"Measuring: {words.plural(len(layers), 'layer')} to go …"
    for layer, effect in by_layer(studio.model, steering.source, [(tokens, wanted)], steering.positive):
        moved[layer] = effect
        yield f"Measuring: {len(moved)} of {words.plural(len(layers), 'layer')}"
    tail = " ".join(prompt.text.split())
    yield {
        "typed": text,
        "effect": head_words.plain(moved),
        "effect_of": {
            "token": str(studio.tokenizer.decode(wanted)),
            "prompt": tail if len(tail) <= TAIL else "… " + tail[-TAIL:].partition(" ")[2],
            "mode": settings.mode,
            "strength": steering.positive,
        },
        "sensitivity": head_words.plain(figures.sensitivity(steering.source)),
        "heads": {str(layer): row.nonzero().flatten().tolist() for layer, row in steering.selected.items()},
    }


def alike(run: Mapping[str, Any] | None, measured: Mapping[str, Any] | None) -> bool:
    """Whether a run is of the prompt that an effect was measured on. Only marks are measured, so none taken literally."""
    if not run or not measured:
        return False
    return "typed" in run and run["typed"] == measured.get("typed") and not run["settings"].get("literal")


def _looked(studio: Studio, settings: Settings) -> tuple[str, Any]:
    """(HTML sentence, the steering or None where the settings make none)."""
    try:
        steering = actions.steering(studio, settings)
    except ValueError as error:
        # No alert: it is told anew with every letter that is typed.
        return f'<span class="error">{escape(actions.explain(error))}</span>', None
    count = sum(int(row.sum()) for row in steering.selected.values())
    every = sum(site.heads for site in sites(steering.model))
    said = f"Marks steer {head_words.steered(count, every, len(steering.selected))}"
    return f"{said}, chosen by hand." if settings.heads.strip() else f"{said}.", steering


def _selected(studio: Studio, settings: Settings) -> dict[int, list[int]]:
    """{layer: heads} that these settings steer; none where they cannot be."""
    try:
        selected = actions.steering(studio, settings).selected
    except ValueError:
        return {}
    return {layer: row.nonzero().flatten().tolist() for layer, row in selected.items()}


def _ours(studio: Studio, record: Any) -> Mapping[str, Any]:
    """A record of this page's model; nothing for none, and for one of another model, whose heads are others."""
    return record if record and record.get("model", studio.name) == studio.name else {}


def _place(clicked: Any) -> tuple[int, int]:
    layer, head = (clicked.get(name) if isinstance(clicked, dict) else None for name in ("layer", "head"))
    if type(layer) is not int or type(head) is not int or layer < 0 or head < 0:
        raise ValueError("no head was clicked on; wanted a layer and a KV head")
    return layer, head
