"""A tiny model twice: whole on one device, and spread, with layers away on disk or in memory.

What is away is "meta" outside of its own forward, as it is on a GPU that the model does not fit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import accelerate
from conftest import build_model, build_tokenizer
from families import FAMILIES
from torch import nn
from transformers import AutoModelForCausalLM

from seka.sites import blocks

_folders = tempfile.TemporaryDirectory()


def parts(model: Any) -> list[str]:
    """Names of what a device map can place: the embedding, each layer, the norm, the head."""
    stack = model.get_decoder()
    at = next(name for name, module in model.named_modules() if module is stack)
    names = []
    for name, child in stack.named_children():
        each = [f".{n}" for n in range(len(child))] if isinstance(child, nn.ModuleList) else [""]
        names += [f"{at}.{name}{n}" for n in each]
    return [*names, "lm_head"]


def on_disk(which: Callable[[str], bool]) -> Callable[[Any, Path], Any]:
    """Loaded from its folder with a device map; what is on disk is read anew for every call."""

    def arrange(whole: Any, folder: Path) -> Any:
        places = {name: "disk" if which(name) else "cpu" for name in parts(whole)}
        return AutoModelForCausalLM.from_pretrained(
            folder, device_map=places, offload_folder=folder / "away", dtype="auto", attn_implementation=attn(whole)
        )

    return arrange


def in_memory(by_layer: bool) -> Callable[[Any, Path], Any]:
    """As a GPU would keep what it has no room for; each module fetches its own weights, or a layer those of all its parts."""

    def arrange(whole: Any, _folder: Path) -> Any:
        layer = [type(blocks(whole)[0]).__name__] if by_layer else None
        return accelerate.cpu_offload(deepcopy(whole), execution_device="cpu", preload_module_classes=layer)

    return arrange


def attn(model: Any) -> str:
    return str(model.config._attn_implementation)


#: How the model is kept, and whether its embedding is away too.
ARRANGEMENTS: dict[str, tuple[Callable[[Any, Path], Any], bool]] = {
    "a layer on disk": (on_disk(lambda name: name.endswith(".1")), False),
    "all on disk": (on_disk(lambda name: True), True),
    "all in memory": (in_memory(by_layer=False), True),
    "layers in memory": (in_memory(by_layer=True), True),
}


@dataclass(frozen=True)
class Pair:
    """One model twice: on one device, and spread."""

    family: str
    whole: Any
    spread: Any
    embedding_away: bool
    folder: Path

    @property
    def gain(self) -> float:
        return FAMILIES[self.family].gain

    @property
    def both(self) -> tuple[Any, Any]:
        return self.whole, self.spread


@cache
def pair_of(family: str, arrangement: str, tied: bool = False) -> Pair:
    """The same for all tests, which leave it as it was. tied: the embedding is the vocabulary head too."""
    folder = Path(tempfile.mkdtemp(dir=_folders.name))
    built = build_model(family, layers=2, tie_word_embeddings=tied)
    assert (built.lm_head.weight is built.get_input_embeddings().weight) == tied
    built.save_pretrained(folder)
    build_tokenizer().save_pretrained(folder)
    whole = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", attn_implementation=attn(built)).eval()
    arrange, away = ARRANGEMENTS[arrangement]
    return Pair(family, whole, arrange(whole, folder).eval(), away, folder)
