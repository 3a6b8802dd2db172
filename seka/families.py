"""What is known of model families: which are proven, what their modules are called, and why others cannot be steered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from seka.layout import Layout, alone, groups, slices

#: Families proven by the tests, by `model_type`; a wrapper's own where the text model is inside one.
# fmt: off
SUPPORTED = (
    "llama", "mistral", "mixtral", "qwen2", "gemma", "gemma2", "granite", "smollm3", "cohere", "cohere2", "glm4",
    "glm4_moe", "starcoder2", "stablelm", "phi", "gpt_oss", "ernie4_5", "seed_oss", "llama4_text", "arcee",
    "bitnet", "helium", "hyperclovax", "nemotron", "olmo", "cwm", "opt", "gptj", "ministral", "ministral3",
    "phimoe", "qwen2_moe", "vaultgemma", "granitemoe", "granitemoeshared", "granitemoehybrid", "bamba", "falcon_h1",
    "cohere2_moe", "glm", "ernie4_5_moe", "solar_open", "qwen3", "qwen3_moe", "qwen3_next", "qwen3_5_text",
    "gemma3_text", "gemma3", "gemma3n_text", "gemma4_text", "gemma4", "olmo2", "olmo3", "olmoe", "exaone4",
    "apertus", "lfm2", "qwen3_5_moe_text", "dots1", "hy_v3", "exaone_moe", "flex_olmo", "minimax_m2", "lfm2_moe",
    "phi3", "gpt2", "gpt_neox", "falcon", "bloom",
)
# fmt: on

_LATENT = "keeps a latent instead of keys (multi-head latent attention), so there is no key to edit before attention"
_LATE_NORM = "normalises keys after the rotary embedding, so the length of an edited key is lost"
_CLIPPED = "clips keys after the projection (clip_qkv), so a part of what is added to a key may be lost"

#: Where the key of every head is final but for the rotary embedding: the first of these that an attention layer has.
_KEYS = ("k_norm", "k_layernorm", "k_proj")
#: One projection for queries, keys and values, and how they lie in its output.
_FUSED: dict[str, Callable[[int, int, int, int], tuple[Layout, Layout]]] = {
    "qkv_proj": slices,
    "c_attn": slices,
    "query_key_value": groups,
}
_STACKS = ("layers", "h")


class UnsupportedModel(ValueError):
    """This model cannot be steered; the message says why."""


@dataclass(frozen=True)
class Parts:
    """One attention layer that makes keys of its own.

    key, query: the modules whose outputs are the keys and the queries before the rotary embedding; one and the same where
    `fused` says how both lie in it. heads H, query_heads Q: of the whole layer. width D.
    """

    layer: int
    attention: nn.Module
    key: nn.Module
    query: nn.Module
    heads: int
    query_heads: int
    width: int
    fused: Callable[[int, int, int, int], tuple[Layout, Layout]] | None = None

    def layouts(self, shape: tuple[int, ...], columns: int) -> tuple[Layout, Layout]:
        """How keys and how queries lie in an output of this shape: of `key`, or of `query`, which are laid out alike.

        A process that computes a part of the heads has as large a part of the output.
        """
        if self.fused is not None and len(shape) == 3 and shape[2] % self.width == 0 and shape[2] >= 3 * self.width:
            places, whole = shape[2] // self.width, 2 * self.heads + self.query_heads
            return self.fused(places, self.heads * places // whole, self.query_heads * places // whole, self.width)
        found = alone(shape, columns, self.width)
        if found is None or self.fused is not None:
            raise UnsupportedModel(
                f"layer {self.layer} puts out keys of shape {shape} for {columns} columns and {self.heads} heads of "
                f"{self.width}: unknown layout"
            )
        return found, found


def layers(decoder: nn.Module) -> nn.ModuleList | None:
    """The layers of a decoder, whatever it calls them; None for what is no decoder."""
    found = (getattr(decoder, name, None) for name in _STACKS)
    return next((each for each in found if isinstance(each, nn.ModuleList)), None)


def parts(blocks: nn.ModuleList, config: Any) -> Iterator[Parts]:
    """The layers that make keys of their own. Linear attention and layers that use another one's keys do not."""
    for layer, attention in enumerate(map(_attention, blocks)):
        if attention is not None:
            yield _parts(layer, attention, int(config.num_attention_heads))


def refusal(blocks: nn.ModuleList, config: Any) -> str | None:
    """Why a model with these layers cannot be steered, as its modules and its configuration show; or None."""
    for layer, block in enumerate(blocks):
        names = {name.rpartition(".")[2] for name, _ in block.named_modules()}
        if names & {"kv_a_proj_with_mqa", "kv_b_proj"} or names >= {"kv_proj", "kv_norm"}:
            return f"layer {layer} {_LATENT}"
        if names & {"qk_norm", "key_layernorm"}:
            return f"layer {layer} {_LATE_NORM}"
    if getattr(config, "clip_qkv", None) is not None:
        return f"it {_CLIPPED}"
    return None


def _attention(block: nn.Module) -> nn.Module | None:
    """The part of a layer that makes keys."""
    known = {*_KEYS, *_FUSED}
    return next((child for child in block.children() if known & {name for name, _ in child.named_children()}), None)


def _parts(layer: int, attention: Any, query_heads: int) -> Parts:
    width = int(attention.head_dim if hasattr(attention, "head_dim") else attention.head_size)
    name = next(name for name in (*_KEYS, *_FUSED) if hasattr(attention, name))
    key = getattr(attention, name)
    if name in _FUSED:
        heads = (_outputs(key) // width - query_heads) // 2
        return Parts(layer, attention, key, key, heads, query_heads, width, _FUSED[name])
    query = getattr(attention, name.replace("k_", "q_", 1), None)
    if query is None or not hasattr(attention, "k_proj"):
        raise UnsupportedModel(f"layer {layer} has a {name} for keys, but no such module for queries, or no k_proj")
    return Parts(layer, attention, key, query, attention.k_proj.out_features // width, query_heads, width)


def _outputs(projection: Any) -> int:
    """How many numbers a projection puts out for a column; GPT-2's own kind of layer calls them otherwise."""
    return int(projection.nf if hasattr(projection, "nf") else projection.out_features)
