"""The model behind the page: which one, which experts, and loading it while the page is already up. No handlers, no gradio.

Which model, which experts and which limits: the variables of app/environment.py. An experts.json in the folder of experts
says which are mixed, which stand alone and how the router weighs (see `seka.experts`).
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from app import environment, shelf
from seka import miniature
from seka.experts import Experts
from seka.loading import EMBEDDED, load
from seka.projections import Projection
from seka.routing import Router
from seka.sites import context_length

logger = logging.getLogger(__name__)

ADAPTIVE = "adaptive"
#: The origin of the model and the experts that this repository holds.
SHIPPED = EMBEDDED, "projections"
#: Gain offered where a projection recommends none.
GAIN = 0.2
ONE_EXPERT = "Adaptive needs at least two experts; there is one."
NO_EXPERT = "This model has no expert yet, so nothing can be steered: learn one below, under Your own expert."


class Studio:
    """One model with its tokenizer and experts. Experts are read at once, the model in a thread (`start`).

    mixed: experts that the adaptive mode mixes. alone: further ones, by themselves only. router: settings of the `Router`.
    Until it is `ready`, `model` and `tokenizer` are None.
    """

    def __init__(
        self,
        name: str,
        mixed: Mapping[str, Projection],
        alone: Mapping[str, Projection] | None = None,
        router: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.experts = name, {**mixed, **(alone or {})}
        self.model: nn.Module | None = None
        self.tokenizer: Any = None
        self.router: Router | None = None
        self.problem = ""
        #: As the environment names the model and the folder (or repository) of its projections.
        self.origin = SHIPPED
        #: {expert: its file}, of those that were read from one; of a repository of the Hub the name that it has there.
        self.files: dict[str, Path] = {}
        #: Experts that were learnt on this page, which are among the others, too.
        self.own: dict[str, Projection] = {}
        #: Why there is no adaptive mode, in words; empty when there is one.
        self.note = ""
        #: Its place among the pages of several models; the first is 0.
        self.place = 0
        self._ready = threading.Event()
        self._began = time.monotonic()
        self._starting = threading.Lock()
        self._later: str | None = None
        self._changing = threading.Lock()  # what visitors learn and remove
        self._mixed = dict(mixed)  # those of the adaptive mode, as they came with the model
        self._given: tuple[Router | None, str] = (None, "")
        if len(mixed) > 1:
            try:
                self.router = Router(mixed, **(router or {}))
            except ValueError as error:
                self.note = f"Adaptive is not available: {error}"
        else:
            self.note = ONE_EXPERT if mixed else NO_EXPERT

    @classmethod
    def of(cls, name: str, model: nn.Module, tokenizer: Any, mixed: Mapping[str, Projection], **more: Any) -> Studio:
        """A studio that is ready at once. more: `alone` and `router`."""
        studio = cls(name, mixed, **more)
        studio._install(model, tokenizer)
        return studio

    def start(self, source: str | None) -> None:
        """Load behind the page. source: model id or folder, None for the embedded model."""
        self._began = time.monotonic()
        threading.Thread(target=self._load, args=(source,), name="seka-model", daemon=True).start()

    def later(self, source: str) -> None:
        """Load behind the page as soon as somebody waits for it."""
        self._later = source

    def open(self, source: str | None) -> None:
        """Load here and now, in this thread, in place of later."""
        with self._starting:
            self._later = None
        self._load(source)

    @property
    def ready(self) -> bool:
        return self._ready.is_set() and not self.problem

    def wait(self, seconds: float) -> bool:
        """True as soon as loading is over, well or badly; False when it goes on after `seconds`."""
        with self._starting:
            if self._later is not None:
                self.start(self._later)
                self._later = None
        return self._ready.wait(seconds)

    @property
    def limit(self) -> int:
        """Most tokens of prompt and answer together."""
        asked = environment.read().limit
        return min(asked, (self.model is not None and context_length(self.model)) or asked)

    def modes(self) -> list[tuple[str, str]]:
        """(label, value) of each way to steer that works here."""
        adaptive = [("Adaptive", ADAPTIVE)] if self.router is not None else []
        return adaptive + [(name.replace("_", " ").capitalize(), name) for name in self.experts]

    def describe(self, mode: str) -> str:
        """One line on a mode: what the expert was learnt from."""
        if mode == ADAPTIVE and self.router is not None:
            return (
                f"Mixes {len(self.router.experts)} experts head by head, by what the end of your prompt is looking for."
            )
        if mode not in self.experts:
            return self.note
        return self.experts[mode].description or "No description in its file."

    def gain(self, mode: str) -> float:
        """The recommended strength of a mode."""
        source = self.router if mode == ADAPTIVE else self.experts.get(mode)
        gain = source.recommended_gain if source is not None else None
        return GAIN if gain is None else round(gain, 3)

    def source(self, mode: str) -> Projection | Router:
        """What to steer with. ValueError for a mode that is not here."""
        if mode == ADAPTIVE and self.router is not None:
            return self.router
        if mode in self.experts:
            return self.experts[mode]
        known = ", ".join(value for _, value in self.modes()) or "none yet"
        raise ValueError(
            self.note if mode == ADAPTIVE else f"There is no expert {mode!r} for {self.name}; there are: {known}."
        )

    def endpoint(self, name: str) -> str:
        """What a public endpoint is called on this model's page: the pages after the first one count them."""
        return f"{name}_{self.place}" if self.place else name

    @property
    def turns(self) -> str:
        """Whose turns the runs of this model take: those of another model's page wait for others."""
        return f"model {self.place}"

    def adopt(self, name: str, expert: Projection) -> None:
        """Add an expert of a visitor's under a new name: a mode of its own, and a part of the mixture."""
        with self._changing:
            if name in self.experts:
                logger.warning("the expert %r that was learnt here is left out: the model has one of that name", name)
                return
            self._arrange({**self.own, name: expert})

    def drop(self, name: str) -> None:
        """Take an expert of a visitor's away again."""
        with self._changing:
            self._arrange({key: expert for key, expert in self.own.items() if key != name})

    def _arrange(self, own: dict[str, Projection]) -> None:
        """The experts that came with the model stay as they are, and these stand beside them, also in the mixture, whose
        recommended strength and scales stay; an expert that does not fit the mixture is offered alone."""
        if not self.own:
            self._given = self.router, self.note
        base, note = self._given
        mixed = dict(self._mixed)
        gain = base.recommended_gain if base is not None else None
        router = base
        for name, expert in own.items():
            mixed = {**mixed, name: expert if base is None else _scaled_like(base, expert)}
            if len(mixed) > 1:
                try:
                    router = (
                        Router(mixed, base.top, base.score, base.way, base.sharpness, gain, base.recommended_layers)
                        if base
                        else Router(mixed)
                    )
                    note = ""
                except ValueError as error:
                    mixed = {n: e for n, e in mixed.items() if n != name}
                    note = note or f"Adaptive does without {name}: {error}"
        others = {n: e for n, e in self.experts.items() if n not in self.own}
        if router is None and len(others) + len(own) == 1:
            note = ONE_EXPERT
        self.own, self.experts, self.router, self.note = own, {**others, **own}, router, note

    def line(self) -> str:
        """The state in one line."""
        if self.problem:
            return f"{self.name} could not be loaded"
        return (
            f"{self.name} is ready" if self.ready else f"Loading {self.name} … {time.monotonic() - self._began:.0f} s"
        )

    def _load(self, source: str | None) -> None:
        try:
            self._install(*load(source, attn=environment.read().attn))
        except Exception as error:  # a page that says why is better than a dead thread
            logger.exception("loading %s failed", self.name)
            self.problem = " ".join(str(error).split()) or type(error).__name__
            self._ready.set()

    def _install(self, model: nn.Module, tokenizer: Any) -> None:
        for expert in self.experts.values():
            expert.check(model)
        if not environment.read().learn_note:  # else it would be mixed in where no page offers it
            for name, expert in shelf.recall(model).items():
                self.adopt(name, expert)
        self.model, self.tokenizer = model, tokenizer
        self._ready.set()


def studio(source: str | None = None, folder: Path | None = None) -> Studio:
    """The studio of a model, by default the environment's first; its model is not loading yet (see `Studio.start`).

    source: id, folder, or "miniature", the embedded one. folder: of its projections; by default what the environment says,
    which may be a repository of the Hub. ValueError where there are none and none can be learnt.
    """
    asked = environment.read()
    source = source or asked.model
    named, own = str(folder or asked.experts or environment.EXPERTS), miniature.projections()
    if source == EMBEDDED and not (folder or asked.experts):
        folder = own
    folder = folder or _fetched(named)
    name = "seka-miniature" if source == EMBEDDED else Path(source).name if Path(source).exists() else source
    found = Experts.of(folder)
    if not found.mixed and folder == own:
        raise ValueError("no experts of the embedded model in projections/: check out the whole repository")
    if not found.mixed and asked.learn_note:
        raise ValueError(
            f"no experts for {source} in {folder.resolve()}; learn one: "
            f"python -m seka learn --model {source} --out {folder}/facts.safetensors; then set SEKA_EXPERTS={folder}"
        )
    mixed, alone = ({n: Projection.load(path) for n, path in some.items()} for some in (found.mixed, found.alone))
    out = Studio(name, mixed, alone, found.router)
    out.files = {**found.mixed, **found.alone}
    if folder not in (own, Path(named)):  # fetched
        out.files = {n: path.relative_to(folder) for n, path in out.files.items()}
    if source != EMBEDDED or folder != own:
        out.origin = source, named
    return out


def studios() -> list[Studio]:
    """One of every model that the environment offers, the first one first. The others load when somebody opens them."""
    asked = environment.read()
    if len(asked.models) == 1:
        return [studio()]
    root = Path(asked.experts or environment.EXPERTS)
    folders = {source: root / Path(source).name for source in asked.models}
    if EMBEDDED in folders and not folders[EMBEDDED].is_dir():
        folders[EMBEDDED] = miniature.projections()
    out = [studio(source, folder) for source, folder in folders.items()]
    for each, source in zip(out[1:], asked.models[1:], strict=True):
        each.later(source)
    return out


def _fetched(experts: str) -> Path:
    """The folder of that name, or that of a repository `user/name` where this machine has no such folder."""
    here = Path(experts)
    if here.is_dir() or here.parent.is_dir() or not re.fullmatch(r"[\w.-]+/[\w.-]+", experts):
        return here
    from seka import hub

    return hub.fetch_all(experts)


def _scaled_like(router: Router, expert: Projection) -> Projection:
    """The expert with the mixture's scales, the mean over its experts: what it learnt by itself has 1 in every head, and the
    mixture's strength was chosen with others. Layers that do not fit are for the `Router` to refuse."""
    scale = {}
    for layer in set(router.layers) & set(expert.layers):
        rows = torch.stack([each.part(layer).scale for each in router.experts.values()])
        if rows.shape[1] == len(expert.part(layer).scale):
            scale[layer] = rows.mean(0).tolist()
    return expert.scaled(scale)
