"""FlashAttention's kernels written plainly, for machines that cannot run them: what transformers does around them is its own.

They take what version 2 takes: rows without padding, one after another, lengths given by their bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import transformers.modeling_flash_attention_utils as flash
from torch import Tensor
from transformers import modeling_utils
from transformers.integrations import flash_attention, hub_kernels
from transformers.models.falcon import modeling_falcon
from transformers.models.gptj import modeling_gptj

from seka import backends


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    deterministic: bool = False,
) -> Tensor:
    """q (B, S, Q, D), k and v (B, T, H, D): (B, S, Q, D). The last query stands at the last key."""
    k, v = (x.repeat_interleave(q.shape[2] // x.shape[2], 2) for x in (k, v))
    scores = torch.einsum("bsqd,btqd->bqst", q, k) * (q.shape[-1] ** -0.5 if softmax_scale is None else softmax_scale)
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    behind = torch.arange(k.shape[1] - q.shape[1], k.shape[1])[:, None] - torch.arange(k.shape[1])
    hidden = torch.zeros_like(behind, dtype=torch.bool)
    if causal:
        hidden |= behind < 0
    if window_size[0] >= 0:
        hidden |= behind > window_size[0]
    return torch.einsum("bqst,btqd->bsqd", scores.masked_fill(hidden, -torch.inf).softmax(-1), v)


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float | None = None,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
    deterministic: bool = False,
) -> Tensor:
    """q (sum of S, Q, D), k and v (sum of T, H, D): (sum of S, Q, D)."""
    options: Any = {"softmax_scale": softmax_scale, "causal": causal, "window_size": window_size, "softcap": softcap}
    queries, keys = cu_seqlens_q.tolist(), cu_seqlens_k.tolist()
    return torch.cat(
        [
            flash_attn_func(q[None, a:b], k[None, c:d], v[None, c:d], **options)[0]
            for a, b, c, d in zip(queries, queries[1:], keys, keys[1:], strict=False)
        ]
    )


@contextmanager
def installed() -> Iterator[None]:
    """transformers finds FlashAttention 2 and a device for it."""
    functions = (flash_attn_func, flash_attn_varlen_func, None, flash._pad_input, flash._unpad_input)
    row = flash.FLASH_ATTENTION_COMPATIBILITY_MATRIX[2]
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in vars(flash) if name == "_loaded_implementation" or name.endswith("_fn")]:
            patch.setattr(flash, name, vars(flash)[name])  # put back afterwards
        patch.setattr(flash, "_loaded_implementation", None)
        patch.setattr(flash, "_lazy_imports", lambda *_args, **_options: functions)
        for family in (modeling_falcon, modeling_gptj):  # they import this where FlashAttention is installed
            patch.setattr(family, "_flash_attention_forward", flash._flash_attention_forward, raising=False)
        # These kernels take float32 as it is.
        patch.setattr(flash_attention, "get_target_dtype", lambda _query, _module: None)
        here = {"general_availability_check": lambda: True, "supported_devices": ((lambda: True, "cuda"),)}
        patch.setitem(flash.FLASH_ATTENTION_COMPATIBILITY_MATRIX, 2, {**row, **here})
        yield


@contextmanager
def absent() -> Iterator[None]:
    """transformers finds no FlashAttention, no kernels of the hub and no CUDA device, whatever this machine has."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (backends, modeling_utils, hub_kernels):
            patch.setattr(module, "is_kernels_available", lambda: False)
        for version, row in list(flash.FLASH_ATTENTION_COMPATIBILITY_MATRIX.items()):
            patch.setattr(backends, f"is_flash_attn_{version}_available", lambda: False)
            nothing = {"general_availability_check": lambda: False, "pkg_availability_check": lambda: False}
            patch.setitem(flash.FLASH_ATTENTION_COMPATIBILITY_MATRIX, version, {**row, **nothing})
        patch.setattr(torch.cuda, "is_available", lambda: False)
        yield
