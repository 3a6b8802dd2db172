"""The model behind the page: which one, which experts, and loading it while the page is already up. No handlers, no gradio.

SEKA_MODEL names a model (id or folder), SEKA_EXPERTS the folder of its projections; without them it is the embedded one.
An experts.json in that folder says which are mixed, which stand alone and how the router weighs (see `seka.experts`).
SEKA_LIMIT is the most tokens of prompt and answer together (2048), never more than the model holds. SEKA_ATTN names its
attention implementation.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from seka import miniature
from seka.backends import AUTO
from seka.experts import Experts
from seka.loading import load
from seka.projections import Projection
from seka.routing import Router
from seka.sites import context_length

logger = logging.getLogger(__name__)

ADAPTIVE = "adaptive"
#: Gain offered where a projection recommends none.
GAIN = 0.2


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
        #: Why there is no adaptive mode, in words; empty when there is one.
        self.note = ""
        self._ready = threading.Event()
        self._began = time.monotonic()
        if len(mixed) > 1:
            try:
                self.router = Router(mixed, **(router or {}))
            except ValueError as error:
                self.note = f"Adaptive is not available: {error}"
        else:
            self.note = "Adaptive needs at least two experts to mix; there is one."

    @classmethod
    def of(cls, name: str, model: nn.Module, tokenizer: Any, mixed: Mapping[str, Projection], **more: Any) -> Studio:
        """A studio that is ready at once. more: `alone` and `router`."""
        studio = cls(name, mixed, **more)
        studio._install(model, tokenizer)
        return studio

    def start(self, source: str | None) -> None:
        """Load behind the page. source: model id or folder, None for the embedded model."""
        threading.Thread(target=self._load, args=(source,), name="seka-model", daemon=True).start()

    @property
    def ready(self) -> bool:
        return self._ready.is_set() and not self.problem

    def wait(self, seconds: float) -> bool:
        """True as soon as loading is over, well or badly; False when it goes on after `seconds`."""
        return self._ready.wait(seconds)

    @property
    def limit(self) -> int:
        """Most tokens of prompt and answer together."""
        asked = int(os.environ.get("SEKA_LIMIT", "2048"))
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
        known = ", ".join(value for _, value in self.modes())
        raise ValueError(
            self.note if mode == ADAPTIVE else f"There is no expert {mode!r} for {self.name}; there are: {known}."
        )

    def line(self) -> str:
        """The state in one line."""
        if self.problem:
            return f"{self.name} could not be loaded"
        return (
            f"{self.name} is ready" if self.ready else f"Loading {self.name} … {time.monotonic() - self._began:.0f} s"
        )

    def _load(self, source: str | None) -> None:
        try:
            self._install(*load(source, attn=os.environ.get("SEKA_ATTN") or AUTO))
        except Exception as error:  # a page that says why is better than a dead thread
            logger.exception("loading %s failed", self.name)
            self.problem = " ".join(str(error).split()) or type(error).__name__
            self._ready.set()

    def _install(self, model: nn.Module, tokenizer: Any) -> None:
        for expert in self.experts.values():
            expert.check(model)
        self.model, self.tokenizer = model, tokenizer
        self._ready.set()


def studio() -> Studio:
    """The studio that the environment asks for; its model is not loading yet (see `Studio.start`)."""
    source = os.environ.get("SEKA_MODEL")
    name, folder = "seka-miniature", miniature.projections()
    if source:
        name = Path(source).name if Path(source).exists() else source
        folder = Path(os.environ.get("SEKA_EXPERTS", "experts"))
    found = Experts.of(folder)
    if not found.mixed:
        cure = "Check out the whole repository."
        if source:
            cure = (
                f"Learn one: python -m seka learn --model {source} --out {folder / 'facts.safetensors'}; "
                f"then set SEKA_EXPERTS={folder}"
            )
        raise SystemExit(f"No experts for {name} in {folder.resolve()}. {cure}")
    mixed, alone = ({n: Projection.load(path) for n, path in some.items()} for some in (found.mixed, found.alone))
    return Studio(name, mixed, alone, found.router)
