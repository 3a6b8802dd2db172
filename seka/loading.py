"""Load a model and its tokenizer by name: the embedded one, or any Hugging Face causal language model. Nothing else."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from seka.sites import sites

EMBEDDED = "miniature"


def load(name: str | None = None, device: str | None = None) -> tuple[Any, Any]:
    """(model, tokenizer) in evaluation mode, on `device` or the GPU where there is one.

    name: None or "miniature" for the embedded model, else a model id or a local folder. ValueError when it cannot be
    loaded; UnsupportedModel when it cannot be steered. Code from a model's repository is never run.
    """
    model: Any
    tokenizer: Any
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if name in (None, EMBEDDED):
        from seka import miniature

        model, tokenizer = miniature.load()
    else:
        try:
            tokenizer = AutoTokenizer.from_pretrained(name)
            model = AutoModelForCausalLM.from_pretrained(name, dtype="auto")
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(f"model {name!r} could not be loaded: {reason}") from None
    model = model.to(device).eval()
    sites(model)  # refuses, by name and reason, what cannot be steered
    return model, tokenizer
