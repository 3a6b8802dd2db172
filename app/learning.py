"""The panel in which visitors learn an expert of their own from triplets, take it along, and remove it again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from html import escape
from typing import Any

import gradio as gr

from app import actions, environment, own, words
from app.choices import Choices, about_line, note_line
from app.models import Studio
from app.own import Progress
from app.wiring import QUIET
from seka import triplets

#: Most bytes of a file that is uploaded.
LARGEST = "16mb"


@dataclass(frozen=True)
class Learning:
    """file, name, learn, stop, status: to learn one. mine, download, remove: those that were learnt."""

    file: gr.File
    name: gr.Textbox
    learn: gr.Button
    stop: gr.Button
    status: gr.HTML
    mine: gr.Dropdown
    download: gr.DownloadButton
    remove: gr.Button


def build(studio: Studio) -> Learning | None:
    """The panel; only a sentence where nothing can be learnt."""
    note = environment.read().learn_note
    with gr.Accordion("Your own expert", open=not (studio.modes() or note), elem_id="learning"):
        if note:
            at_home = "On a machine of your own, <code>make app</code> opens this page with it."
            gr.HTML(f"{escape(note)} {at_home}", elem_classes=["caption"], js_on_load=None)
            return None
        gr.HTML(_explained(), elem_classes=["caption"], js_on_load=None)
        with gr.Row(elem_id="learning-row"):
            file = gr.File(
                label="Triplets (.jsonl), optional", file_types=[".jsonl"], height=140, min_width=280,
                elem_id="learning-file",
            )  # fmt: skip
            with gr.Column(min_width=280):
                name = gr.Textbox("mine", label="Name", max_lines=1, max_length=40, elem_id="learning-name")
                with gr.Row(elem_id="learning-go"):
                    learn = gr.Button("Learn", variant="primary", elem_id="learning-learn", min_width=110)
                    stop = gr.Button("Stop learning", elem_id="learning-stop", min_width=110)
        status = gr.HTML(_line(""), elem_id="learning-status", js_on_load=None)
        with gr.Row(elem_id="learning-mine"):
            mine = gr.Dropdown([], label="Learnt here", elem_id="learning-list", min_width=200, filterable=False)
            download = gr.DownloadButton(
                "Download as safetensors", size="sm", elem_id="learning-download", min_width=170, scale=0
            )
            remove = gr.Button("Remove", size="sm", elem_id="learning-remove", min_width=90, scale=0)
    return Learning(file, name, learn, stop, status, mine, download, remove)


def wire(page: gr.Blocks, studio: Studio, panel: Learning | None, choices: Choices) -> None:
    """Learning fills the settings with the new expert; the list of modes follows what is known to the server."""
    if panel is None:
        return
    mode, strength = choices.fields["mode"], choices.fields["strength"]
    shown = [panel.status, mode, choices.about, choices.note, strength, panel.mine, panel.download]
    flags: dict[str | None, threading.Event] = {}

    def learn(request: gr.Request, path: str | None, name: str) -> Iterator[list[Any]]:
        flag = flags[request.session_hash] = threading.Event()
        try:
            found, description = own.given(path)
            progress = Progress(0, len(found), 0.0)
            for progress in own.learnt(studio, found, name, description, flag):
                yield [_running(progress), *[gr.skip()] * 6]
            if progress.expert is None:
                yield [_line("Stopped; nothing was kept."), *[gr.skip()] * 6]
            else:
                yield [_learnt(progress), *_chosen(studio, progress.expert.name)]
        except Exception as error:  # a visitor never sees a traceback
            yield [_line(words.notice([escape(actions.explain(error))], "error")), *[gr.skip()] * 6]
        finally:
            flag.set()
            flags.pop(request.session_hash, None)

    def stop(request: gr.Request) -> None:
        if flag := flags.get(request.session_hash):
            flag.set()

    def remove(name: str | None, now: str | None) -> list[Any]:
        if not name:
            return [_line("There is nothing to remove."), *[gr.skip()] * 6]
        said = f"{escape(name)} was removed."
        try:
            own.remove(studio, name)
        except ValueError as error:
            said = escape(actions.explain(error))
        left = _standing(studio, now)
        return [_line(said), *_chosen(studio, left)]

    def follow(now: str | None, name: str | None) -> list[Any]:
        """Modes as the server has them now; a mode that is gone gives way to the first one."""
        left = _standing(studio, now)
        change: dict[str, Any] = {} if left == now else {"value": left}
        mine = name if name in studio.own else next(iter(studio.own), None)
        return [
            gr.Timer(active=not studio.wait(0)),
            gr.Radio(choices=studio.modes(), **change),
            note_line(studio),
            gr.Dropdown(choices=list(studio.own), value=mine),
            _file(studio, mine),
        ]

    gr.on(
        [panel.learn.click, panel.name.submit], learn, [panel.file, panel.name], shown,
        concurrency_limit=None, trigger_mode="once", show_progress="hidden", api_visibility="private",
    )  # fmt: skip  # no queue: whoever comes second is told so at once
    panel.stop.click(stop, None, None, **QUIET)
    panel.remove.click(remove, [panel.mine, mode], shown, **QUIET)
    panel.mine.input(lambda name: _file(studio, name), panel.mine, panel.download, **QUIET)
    # What was learnt before is known as soon as the model is there; a page that is opened later shows it at once.
    timer = gr.Timer(1.0)
    gr.on(
        [timer.tick, page.load],
        follow,
        [mode, panel.mine],
        [timer, mode, choices.note, panel.mine, panel.download],
        **QUIET,
    ).then(lambda mode: about_line(studio, mode or ""), mode, choices.about, **QUIET)  # of the mode as it is by then


def _explained() -> str:
    bundled = triplets.bundled()
    return (
        "An expert is learnt from triplets: a context, a question that the answer belongs to, and one that it does not. "
        "A file has one JSON object a line, such as "
        f"<code>{escape(json.dumps(asdict(bundled[0]), ensure_ascii=False))}</code>. Without a file, the "
        f"{len(bundled)} triplets that come with this page are used. What is learnt "
        "here is everybody's: all who use this page can choose it, and their Adaptive mixes it with the other experts."
    )


def _standing(studio: Studio, mode: str | None) -> str | None:
    """The mode where it still is one, else the first."""
    modes = [value for _, value in studio.modes()]
    return mode if mode in modes else next(iter(modes), None)


def _chosen(studio: Studio, name: str | None) -> list[Any]:
    """mode, about, note, strength, list and download button, with this mode chosen."""
    mine = name if name in studio.own else next(iter(studio.own), None)
    return [
        gr.Radio(choices=studio.modes(), value=name),
        about_line(studio, name or ""),
        note_line(studio),
        studio.gain(name or ""),
        gr.Dropdown(choices=list(studio.own), value=mine),
        _file(studio, mine),
    ]


def _file(studio: Studio, name: str | None) -> Any:
    path = own.kept(studio, name)
    return gr.DownloadButton(value=None if path is None else str(path), interactive=path is not None)


def _line(text: str) -> str:
    return f'<div role="status">{text}</div>'


def _running(progress: Progress) -> str:
    bar = f'<progress max="{progress.total}" value="{progress.done}" aria-label="{progress.unit.capitalize()}s read"></progress>'
    # No live region: a screen reader would read every step.
    return (
        f"<div>{bar} {progress.done} of {words.plural(progress.total, progress.unit)} · {progress.seconds:.0f} s</div>"
    )


def _learnt(progress: Progress) -> str:
    assert progress.expert is not None
    counts = progress.expert.header["triplets"]
    left = counts["given"] - counts["used"]
    aside = f"; {left} were left out because their answer is cut into other tokens without its question" if left else ""
    return _line(
        f"<b>{escape(progress.expert.name)}</b> was learnt from {words.plural(counts['used'], 'triplet')} in "
        f"{progress.seconds:.1f} s{aside}. It is chosen now; nobody has measured which strength suits it."
    )
