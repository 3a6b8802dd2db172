"""Load a model and its tokenizer by name: the embedded one, or any Hugging Face causal language model. Nothing else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.distributed.configuration_utils import DistributedConfig

from seka import backends
from seka.sites import sites

EMBEDDED = "miniature"


def load(
    name: str | None = None,
    device: str | None = None,
    attn: str = backends.AUTO,
    device_map: str | Mapping[str, Any] | None = None,
    tp_plan: str | Mapping[str, str] | None = None,
    offload_folder: str | None = None,
) -> tuple[Any, Any]:
    """(model, tokenizer) in evaluation mode, on `device` or the GPU where there is one.

    name: None or "miniature" for the embedded model, else a model id or a local folder.
    attn: the attention implementation, by transformers' name; "auto" takes FlashAttention where it can be had, then
    SDPA, then eager attention.
    device_map: "auto", or {module: device, "cpu" or "disk"}, for a model larger than one device; what goes to the disk
    is kept in offload_folder where its own files cannot serve.
    tp_plan: "auto" to divide every layer among the processes that torchrun has started.

    ValueError when it cannot be loaded; UnsupportedModel when it cannot be steered. Code from a model's repository is
    never run.
    """
    model: Any
    tokenizer: Any
    spread = _spread(name, device, device_map, tp_plan, offload_folder)
    options = {**spread, **backends.asked(attn)}
    try:
        if name in (None, EMBEDDED):
            from seka import miniature

            model, tokenizer = miniature.load(**options)
        else:
            tokenizer = AutoTokenizer.from_pretrained(name)
            model = AutoModelForCausalLM.from_pretrained(name, dtype="auto", **options)
    except (OSError, ValueError, ImportError) as error:
        reason = str(error).strip().splitlines()[0]
        how = "" if attn == backends.AUTO else f" with attn={attn!r}"
        raise ValueError(f"model {name or EMBEDDED!r} could not be loaded{how}: {reason}") from None
    if not spread:
        model = model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model = model.eval()
    sites(model)  # refuses, by name and reason, what cannot be steered
    backends.settle(model, attn)
    return model, tokenizer


def _spread(name: str | None, device: str | None, device_map: Any, tp_plan: Any, folder: str | None) -> dict[str, Any]:
    """What `from_pretrained` is told about several devices; empty for one. ValueError for what contradicts itself."""
    given = {"device": device, "device_map": device_map, "tp_plan": tp_plan}
    given = {key: value for key, value in given.items() if value is not None}
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} contradict each other; give one of them")
    if name in (None, EMBEDDED) and not given.keys() <= {"device"}:
        raise ValueError(
            f"{next(iter(given))} is for a model larger than one device; the embedded one is small: leave it out"
        )
    if folder is not None and device_map is None:
        raise ValueError(
            f"offload_folder={folder!r} says where a device_map puts what is on disk; give a device_map too"
        )
    if tp_plan is not None:
        if int(os.environ.get("WORLD_SIZE", "1")) < 2:
            raise ValueError(
                f"tp_plan={tp_plan!r} divides a model among processes, and this is the only one; "
                "start it with: torchrun --nproc-per-node N"
            )
        return {"distributed_config": DistributedConfig(tp_plan=tp_plan)}
    return {} if device_map is None else {"device_map": device_map, "offload_folder": folder}
