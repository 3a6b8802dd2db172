"""The Heads tab: both maps, clicks on them, and measuring each head's effect. What they show is made in maps and head_words.

A run or an example fills it; before any run, and whenever the settings change, it shows what they would steer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import gradio as gr

from app import actions, head_words, maps, words
from app.choices import Choices
from app.models import Studio
from app.views import View
from app.wiring import QUIET, RUNNING, Stops, Wrapper, settings

SENSITIVITY = (
    "<h3>Sensitivity</h3><p>How far a head\u2019s keys move when their token is what a question asks for, against the key\u2019s "
    "own length; with Adaptive, the largest over its experts. Outlined heads are steered. Click one to include or exclude it, "
    "or name heads under Advanced.</p>"
)
EFFECT = (
    "<h3>Effect on this prompt</h3><p>What steering one head alone does: the change in the log-probability of the steered "
    "answer\u2019s first token, in nats; amber with a minus sign where that token becomes less likely.</p>"
)
UNMEASURED = "Not measured for this prompt yet."
#: Clicks come from assets/heads.js.
BRIDGE = "seka.headClicks((at) => trigger('head_click', at));"


@dataclass(frozen=True)
class Heads:
    """run: the last record; measured: one with an effect; clicked: the head that `one` tells of, as the browser said it."""

    said: gr.HTML
    map: gr.Plot
    effect_said: gr.HTML
    effect: gr.Plot
    one: gr.HTML
    bridge: gr.HTML
    reset: gr.Button
    measure: gr.Button
    stop: gr.Button
    run: gr.State
    measured: gr.State
    clicked: gr.State

    @property
    def shown(self) -> list[Any]:
        """The components that `outputs` gives values for, in that order."""
        return [self.said, self.map, self.effect_said, self.effect, self.run, self.measured]


def build(view: View) -> Heads:
    """The tab's content, showing a view."""
    drawn, record = view.figures or {}, view.record or {}
    effect = drawn.get("effect")
    said = gr.HTML(view.heads_words, elem_id="heads-said", elem_classes=["caption"], js_on_load=None)
    with gr.Row(elem_id="maps"):
        with gr.Column(min_width=300):
            gr.HTML(SENSITIVITY, elem_classes=["caption", "map-head"], js_on_load=None)
            map_ = gr.Plot(drawn.get("heads"), show_label=False, elem_id="heads", container=False)
            reset = gr.Button("Reset heads", size="sm", elem_id="reset-heads")
        with gr.Column(min_width=300):
            gr.HTML(EFFECT, elem_classes=["caption", "map-head"], js_on_load=None)
            plot = gr.Plot(effect, show_label=False, elem_id="effect", container=False, visible=effect is not None)
            with gr.Row(elem_id="measuring"):
                measure = gr.Button("Measure each head\u2019s effect on this prompt", size="sm", elem_id="measure")
                stop = gr.Button("Stop measuring", size="sm", elem_id="stop-measuring")
            words_ = gr.HTML(
                view.effect_words or UNMEASURED, elem_id="effect-said", elem_classes=["caption"], js_on_load=None
            )
    one = gr.HTML("", elem_id="one-head", js_on_load=None)
    bridge = gr.HTML("", elem_id="head-clicks", visible="hidden", js_on_load=BRIDGE)
    run, measured = gr.State(view.record), gr.State(record if effect is not None else None)
    return Heads(said, map_, words_, plot, one, bridge, reset, measure, stop, run, measured, gr.State(None))


def outputs(view: View) -> list[Any]:
    """A view as the values of `Heads.shown`: only a finished run changes the tab.

    Until then, and where there is no run, the maps are left to the settings (`wire`). Of a run without an effect, `wire` knows
    whether the last one that was measured is of its prompt.
    """
    if view.figures is None:
        return [gr.skip()] * 6
    if view.record is None:
        return [view.heads_words, gr.skip(), *unmeasured(), None, None]
    filled = [view.heads_words, view.figures.get("heads")]
    effect = view.figures.get("effect")
    if effect is None:
        return [*filled, gr.skip(), gr.skip(), view.record, gr.skip()]
    return [*filled, view.effect_words, gr.Plot(effect, visible=True), view.record, view.record]


def unmeasured() -> list[Any]:
    """Values of the words on the effect and of its map, where there is none."""
    return [UNMEASURED, gr.Plot(None, visible=False)]


def wire(
    page: gr.Blocks,
    studio: Studio,
    heads: Heads,
    choices: Choices,
    line: gr.HTML,
    opened: gr.Textbox,
    inputs: list[Any],
    gpu: Wrapper,
) -> None:
    """The maps follow the settings; clicks, reset and measuring. inputs: the prompt and every setting, in order.

    line: the model's, whose change says that it is there. opened: changes once the page shows what it opens with.
    """
    chosen = inputs[1:]
    named = choices.fields["heads"]

    def follow(measured: Any, *values: Any) -> list[Any]:
        if not studio.ready:
            return [gr.skip()] * 4
        shown = maps.maps(studio, settings(values), measured)
        return [shown.line, shown.line, *(gr.skip() if each is None else each for each in (shown.heads, shown.effect))]

    deciding = [choices.fields[name].change for name in ("mode", "layers", "min_shift", "heads")]
    followed = [choices.where, heads.said, heads.map, heads.effect]
    gr.on(deciding, follow, [heads.measured, *chosen], followed, trigger_mode="always_last", **QUIET)

    def ready(run: Any, measured: Any, *values: Any) -> list[Any]:
        """A run's maps stay as it has filled them; where there is none, they are those of the settings."""
        if run is None:
            return follow(measured, *values)
        return [maps.line(studio, settings(values)), *[gr.skip()] * 3]

    told = [line.change, opened.change, heads.run.change]
    gr.on(told, ready, [heads.run, heads.measured, *chosen], followed, **QUIET)

    def pick(event: gr.EventData, run: Any, measured: Any, *values: Any) -> list[Any]:
        written, said = maps.picked(studio, settings(values), event._data, run, measured)
        return [gr.skip() if written is None else written, said, event._data]

    heads.bridge.head_click(pick, [heads.run, heads.measured, *chosen], [named, heads.one, heads.clicked], **QUIET)

    def again(clicked: Any, run: Any, measured: Any, *values: Any) -> Any:
        """What is told of a head takes in what has been run or measured since it was clicked."""
        return gr.skip() if clicked is None else maps.told(studio, settings(values), clicked, run, measured)

    since = [heads.run.change, heads.measured.change]
    gr.on(since, again, [heads.clicked, heads.run, heads.measured, *chosen], heads.one, **QUIET)

    def keep(run: Any, measured: Any) -> list[Any]:
        """No effect that was measured on another prompt stays under the heading."""
        return [gr.skip()] * 3 if maps.alike(run, measured) else [*unmeasured(), None]

    heads.run.change(keep, [heads.run, heads.measured], [heads.effect_said, heads.effect, heads.measured], **QUIET)

    def reset() -> list[Any]:
        return ["", "", None]

    heads.reset.click(reset, None, [named, heads.one, heads.clicked], **QUIET)
    _measuring(page, studio, heads, inputs, gpu)


def _measuring(page: gr.Blocks, studio: Studio, heads: Heads, inputs: list[Any], gpu: Wrapper) -> None:
    stops = Stops()
    page.unload(stops.leave)

    def arm(request: gr.Request, *values: Any) -> list[Any]:
        stops.arm(request.session_hash)
        return [gr.validate(True, "") for _ in values]

    def measure(request: gr.Request, measured: Any, text: str, *values: Any) -> Iterator[list[Any]]:
        before, kept = "", [*unmeasured()[1:], None]
        if measured and measured.get("typed") == text:
            before, kept = head_words.effect(measured), [gr.skip(), gr.skip()]
        with stops.running(request.session_hash) as flag:
            try:
                for found in maps.measure(studio, text, settings(values)):
                    if flag.is_set():
                        said = words.notice(["Stopped before every layer was measured."])
                        yield [said + before, *kept]
                        return
                    if isinstance(found, str):
                        yield [escape(found), *kept]
                    else:
                        yield [head_words.effect(found), gr.Plot(head_words.effect_map(found), visible=True), found]
            except Exception as error:  # a visitor never sees a traceback
                yield [words.notice([escape(actions.explain(error))], "error") + before, *kept]

    event = heads.measure.click(
        gpu(measure), [heads.measured, *inputs], [heads.effect_said, heads.effect, heads.measured],
        concurrency_id=studio.turns, validator=arm, show_progress_on=[heads.effect_said], api_name="measure", **RUNNING,
    )  # fmt: skip
    stops.button(heads.stop, event, gpu)
