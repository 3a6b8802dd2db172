"""Where keys and queries live in each model family. All architecture knowledge and all refusals are here; no steering.

A site is the place in one attention layer where the key of every head is final but for the rotary embedding: the output
of the key norm where there is one, of the key projection otherwise.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

#: Families proven by the tests; `model_type` of the text configuration.
SUPPORTED = ("qwen3", "qwen2", "llama", "mistral", "gemma2", "gemma3_text", "olmo2")

_LATENT = "it keeps a latent instead of keys (multi-head latent attention), so there is no key to edit before attention"
_FUSED = "its query, key and value come from one fused projection, which has no place of its own for keys"
_LATE_NORM = "it normalises keys after the rotary embedding, so the length of an edited key is lost"
_WRAPPER = "it is a wrapper around a text model; load the text model alone (for Gemma 3: Gemma3ForCausalLM)"
_REASONS = {
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "deepseek_v32", "kimi", "mistral4", "glm4_moe_lite"), _LATENT),
    **dict.fromkeys(("gpt2", "gpt_neox", "bloom", "falcon", "phi3", "dbrx", "mpt", "gpt_bigcode"), _FUSED),
    **dict.fromkeys(("llama4", "llama4_text", "hunyuan_v1_dense", "hunyuan_v1_moe"), _LATE_NORM),
    **dict.fromkeys(("gemma3", "llava", "mllama", "qwen2_5_vl", "qwen3_vl"), _WRAPPER),
}


class UnsupportedModel(ValueError):
    """This model cannot be steered; the message says why."""


@dataclass(frozen=True)
class Site:
    """One attention layer.

    layer: index in the decoder. attention: the attention module. key, query: the modules whose outputs are the keys
    and queries before the rotary embedding. heads H, query_heads Q, width D. key_axes, query_axes: how these outputs
    are laid out, "flat" (B, T, H*D), "thd" (B, T, H, D) or "htd" (B, H, T, D).
    """

    layer: int
    attention: nn.Module
    key: nn.Module
    query: nn.Module
    heads: int
    query_heads: int
    width: int
    key_axes: str
    query_axes: str

    def keys(self, output: Tensor) -> Tensor:
        """Output of `key` as (B, T, H, D)."""
        return _unpack(output, self.key_axes, self.heads, self.width)

    def queries(self, output: Tensor) -> Tensor:
        """Output of `query` as (B, T, Q, D)."""
        return _unpack(output, self.query_axes, self.query_heads, self.width)

    def pack(self, keys: Tensor) -> Tensor:
        """(B, T, H, D) back to the layout of `key`'s output."""
        if self.key_axes == "flat":
            return keys.flatten(2)
        return keys.transpose(1, 2) if self.key_axes == "htd" else keys


def _unpack(output: Tensor, axes: str, heads: int, width: int) -> Tensor:
    if axes == "flat":
        return output.reshape(*output.shape[:2], heads, width)
    return output.transpose(1, 2) if axes == "htd" else output


_known: WeakKeyDictionary[nn.Module, tuple[Site, ...]] = WeakKeyDictionary()


def sites(model: nn.Module) -> tuple[Site, ...]:
    """The sites of a model, in layer order; found once per model. UnsupportedModel names the model type and the reason."""
    if model not in _known:
        _known[model] = _find(model)
    return _known[model]


def text_config(model: nn.Module) -> Any:
    """The configuration of the text decoder."""
    config: Any = getattr(model, "config", None)
    if config is None or not hasattr(config, "get_text_config"):
        raise UnsupportedModel(f"{type(model).__name__} is not a transformers model; wanted a causal language model")
    return config.get_text_config()


def decoder(model: Any) -> nn.Module:
    """The stack of layers, without the vocabulary head."""
    found = model.get_decoder() if hasattr(model, "get_decoder") else None
    if not isinstance(found, nn.Module) or not hasattr(found, "layers"):
        raise UnsupportedModel(f"{type(model).__name__} has no decoder layers; wanted a causal language model")
    return found


def context_length(model: nn.Module) -> int | None:
    """Most tokens the model can hold, or None where its configuration names no limit."""
    limit = getattr(text_config(model), "max_position_embeddings", None)
    return int(limit) if limit else None


def _find(model: nn.Module) -> tuple[Site, ...]:
    config = text_config(model)
    outer, kind = getattr(model.config, "model_type", ""), config.model_type
    refused = _REASONS.get(outer) or _REASONS.get(kind)
    if refused or outer not in SUPPORTED:
        reason = refused or f"seka has not been proven on this family; proven are {', '.join(SUPPORTED)}"
        raise UnsupportedModel(f"models of type {outer or type(model).__name__!r} cannot be steered: {reason}")
    drafts = []
    for layer, block in enumerate(decoder(model).layers):  # type: ignore[arg-type]
        attention = block.self_attn
        if not hasattr(attention, "k_proj"):
            raise UnsupportedModel(f"layer {layer} of this {outer!r} model cannot be steered: {_FUSED}")
        key = getattr(attention, "k_norm", attention.k_proj)
        query = getattr(attention, "q_norm", attention.q_proj)
        width = int(attention.head_dim)
        heads, query_heads = attention.k_proj.out_features // width, attention.q_proj.out_features // width
        drafts.append((layer, attention, key, query, heads, query_heads, width))
    # The layout is seen, not guessed: one forward with a number of columns that is no head count and no width.
    sizes = {size for draft in drafts for size in draft[4:7]}
    columns = next(n for n in range(2, len(sizes) + 3) if n not in sizes)
    shapes = _shapes(model, [m for draft in drafts for m in (draft[2], draft[3])], columns)
    return tuple(
        Site(
            *draft,
            _axes(shapes[draft[2]], columns, draft[4], draft[6]),
            _axes(shapes[draft[3]], columns, draft[5], draft[6]),
        )
        for draft in drafts
    )


@contextmanager
def watching(modules: dict[nn.Module, Any]) -> Iterator[None]:
    """Forward hooks {module: hook} for the length of the block; they go whatever happens inside."""
    handles: list[Any] = []
    try:
        for module, hook in modules.items():
            handles.append(module.register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _shapes(model: nn.Module, modules: list[nn.Module], columns: int) -> dict[nn.Module, torch.Size]:
    seen: dict[nn.Module, torch.Size] = {}

    def note(module: nn.Module, _: Any, output: Tensor) -> None:
        seen[module] = output.shape

    device = model.get_input_embeddings().weight.device  # type: ignore[operator]
    with torch.no_grad(), watching(dict.fromkeys(modules, note)):
        decoder(model)(input_ids=torch.zeros((1, columns), dtype=torch.long, device=device), use_cache=False)
    return seen


def _axes(shape: torch.Size, columns: int, heads: int, width: int) -> str:
    layouts = {
        (1, columns, heads * width): "flat",
        (1, columns, heads, width): "thd",
        (1, heads, columns, width): "htd",
    }
    if tuple(shape) not in layouts:
        raise UnsupportedModel(
            f"keys of shape {tuple(shape)} for {columns} tokens, {heads} heads of {width}: unknown layout"
        )
    return layouts[tuple(shape)]


def fingerprint(model: nn.Module) -> dict[str, Any]:
    """What tells this model from another one of the same shape: geometry, and a few entries of every weight.

    They are compared with a tolerance, so that a model loaded in bfloat16 still is the model it was in float32.
    """
    found = sites(model)
    config = text_config(model)
    geometry = {
        "model_type": model.config.model_type,  # type: ignore[union-attr]
        "hidden_size": config.hidden_size,
        "vocab_size": config.vocab_size,
        "query_heads": [site.query_heads for site in found],
        "heads": [site.heads for site in found],
        "widths": [site.width for site in found],
    }
    return {
        "model": _name(model),
        "revision": getattr(model.config, "_commit_hash", None),
        "geometry": geometry,
        "config_digest": hashlib.sha256(json.dumps(geometry, sort_keys=True).encode()).hexdigest()[:16],
        "weights": _weights(model),
    }


def _name(model: Any) -> str:
    """The model's id, or the last part of a local folder: a file that travels names no machine's folders."""
    name = str(getattr(model.config, "_name_or_path", ""))
    return Path(name).name if Path(name).is_dir() else name


def _weights(model: Any) -> dict[str, list[float]]:
    """A few entries of the embedding and of every weight in every layer, by name."""
    named = {"embedding": model.get_input_embeddings().weight}
    for layer, block in enumerate(decoder(model).layers):  # type: ignore[arg-type]
        named |= {f"{layer}.{name}": weight for name, weight in block.named_parameters()}
    return {name: _sample(weight) for name, weight in named.items()}


def _sample(weight: Tensor, count: int = 4) -> list[float]:
    flat = weight.detach().flatten()
    # Whole numbers throughout: in float32 the last place of a large matrix rounds to one beyond its end.
    index = torch.arange(1, count + 1) * (flat.numel() - 1) // count
    return [float(f"{value:.6g}") for value in flat[index.to(flat.device)].float().cpu().tolist()]
