"""Small models saved to disk with two experts each, for a server to load: one that never ends, one that is hostile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from conftest import TRIPLETS, build_model, build_tokenizer

import seka

EVIL = "<img src=x onerror=window.hacked=1>"


def tiny(folder: Path, layers: int = 32) -> dict[str, str]:
    """A random model that never ends by itself, with two experts strong enough to change its answers, and deep enough
    to be caught while it writes; the environment for it."""
    model, tokenizer = build_model("qwen3", torch.float32, layers=layers), build_tokenizer()
    return _saved(folder, model, tokenizer, gain=4.0)


def hostile(folder: Path) -> dict[str, str]:
    """A model that answers every prompt with an <img onerror>: its last norm sees a constant, its head one token."""
    tokenizer = build_tokenizer().__class__.from_pretrained(_tokenizer_copy(folder))
    tokenizer.add_tokens([EVIL])
    model = build_model("qwen3", torch.float32, seed=11)
    evil = tokenizer.convert_tokens_to_ids(EVIL)
    with torch.no_grad():
        model.model.embed_tokens.weight[:, 0] = 50.0
        head = torch.zeros_like(model.lm_head.weight)
        head[evil, 0] = 10.0
        model.lm_head.weight = torch.nn.Parameter(head)
    model.config.tie_word_embeddings = False
    return _saved(folder, model, tokenizer, gain=0.1)


def _tokenizer_copy(folder: Path) -> str:
    build_tokenizer().save_pretrained(folder / "plain-tokenizer")
    return str(folder / "plain-tokenizer")


def _saved(folder: Path, model: Any, tokenizer: Any, gain: float) -> dict[str, str]:
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    for i, name in enumerate(("facts", "roles")):
        learnt = seka.learn(model, tokenizer, TRIPLETS[i : i + 4], name=name, description=f"Learnt from {name}.")
        learnt.with_header(recommended_gain=gain * (i + 1)).save(folder / "experts" / f"{name}.safetensors")
    return {"SEKA_MODEL": str(folder / "model"), "SEKA_EXPERTS": str(folder / "experts")}
