"""Which attention implementation a model runs. Knows what is installed and what FlashAttention needs; steers nothing.

Keys are edited before any of them is called, so that all see edited keys; here it is about speed and memory only.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.utils.import_utils import (
    is_flash_attn_2_available,
    is_flash_attn_3_available,
    is_flash_attn_4_available,
    is_kernels_available,
)

from seka.devices import input_device
from seka.sites import sites, text_config

#: FlashAttention where it is installed and the model can run it, else SDPA, else eager where a family has no SDPA.
AUTO = "auto"
WIDEST = 256  # a head in FlashAttention 2


def asked(attn: str) -> dict[str, str]:
    """What `from_pretrained` is told: transformers' own names ("eager", "sdpa", "flex_attention", "flash_attention_2", a
    kernel "org/name"), or nothing for "auto", which is SDPA, or eager attention where a family has no SDPA."""
    if attn.startswith("flash_attention") and not torch.cuda.is_available():
        raise ValueError(f"attn={attn!r} needs a CUDA device, and there is none; use attn='auto', 'sdpa' or 'eager'")
    return {} if attn == AUTO else {"attn_implementation": attn}


def settle(model: Any, attn: str) -> None:
    """Have a loaded model run `attn`, on the device where it is.

    "auto" changes it from SDPA or eager attention to FlashAttention, on a CUDA device where the package flash_attn or
    the hub's `kernels` is installed; one warning says why not, where the model cannot run it. With another name it was
    loaded already (see `asked`): ValueError where transformers did not notice that it cannot run.
    """
    if attn != AUTO:
        if (reason := obstacle(model, attn)) is not None:
            raise ValueError(f"attn={attn!r} cannot be had: {reason}; attn='auto' takes what can")
        return
    flash = installed()
    if flash is None or input_device(model).type != "cuda":
        return
    if (reason := obstacle(model, flash) or _change(model, flash)) is not None:
        runs = text_config(model)._attn_implementation
        warnings.warn(f"FlashAttention is installed, but this model runs {runs!r}: {reason}", stacklevel=3)


def installed() -> str | None:
    """The FlashAttention that transformers finds; version 2 before later ones, a package before the hub's kernels."""
    versions = {2: is_flash_attn_2_available, 3: is_flash_attn_3_available, 4: is_flash_attn_4_available}
    found = [version for version, is_available in versions.items() if is_available()]
    if not found and is_kernels_available():
        found = [2]  # transformers fetches the kernel of that version
    return f"flash_attention_{found[0]}" if found else None


def obstacle(model: Any, attn: str) -> str | None:
    """Why this model cannot run FlashAttention on the device where it is, as far as transformers does not tell; None
    where it can, and for other implementations."""
    if not attn.startswith("flash_attention"):
        return None
    device = input_device(model)
    if device.type != "cuda":
        return f"it needs a CUDA device, and the model is on {device}"
    if (capability := torch.cuda.get_device_capability(device)) < (8, 0):
        return f"it needs a GPU of compute capability 8.0 or more, and this one has {capability[0]}.{capability[1]}"
    if model.dtype not in (torch.float16, torch.bfloat16):
        return f"it computes in float16 and bfloat16, and the model is in {str(model.dtype).removeprefix('torch.')}"
    widest = max(sites(model), key=lambda site: site.width)
    if widest.width > WIDEST:
        return f"its heads are at most {WIDEST} wide, and those of layer {widest.layer} are {widest.width}"
    return None


def _change(model: Any, flash: str) -> str | None:
    """Have it run FlashAttention; or why that could not be, mostly in transformers' words, and it runs what it did."""
    if not model._supports_flash_attn:
        return f"transformers has none for a {type(model).__name__}"
    if not model._can_set_attn_implementation():
        return f"a {type(model).__name__} chooses its attention while it is loaded; ask for attn={flash!r} there"
    configs = [part.config for part in model.modules() if isinstance(part, PreTrainedModel)]
    before = [config._attn_implementation for config in configs]
    try:
        model.set_attn_implementation(flash)
    except (ValueError, ImportError, OSError) as error:
        for config, had in zip(configs, before, strict=True):
            config._attn_implementation = had
        return " ".join(str(error).split())
    return None
