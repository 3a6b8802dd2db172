"""The families of models that seka steers, each as a tiny random model. The one list of families in the tests."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

LEFT_OUT = object()
#: Configuration of every tiny model: 2 KV heads and 4 query heads of 16. Weights are large, so that attention is not flat.
COMMON: Mapping[str, Any] = MappingProxyType(
    {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": 0,
    }
)
_MOE = {
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "moe_k"), 2),
    **dict.fromkeys(("n_group", "topk_group", "n_shared_experts", "moe_num_shared_experts"), 1),
    **dict.fromkeys(("first_k_dense_replace", "moe_layer_start_index"), 1),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size", "shared_intermediate_size"), 32),
    "experts_implementation": "eager",
}
_LINEAR = {
    **dict.fromkeys(("linear_num_key_heads", "linear_num_value_heads"), 2),
    **dict.fromkeys(("linear_key_head_dim", "linear_value_head_dim"), 8),
    "layer_types": ("full_attention", "linear_attention", "linear_attention", "full_attention"),
}
_SHARING = {  # the last two layers use the keys of the first two
    "num_kv_shared_layers": 2,
    "hidden_size_per_layer_input": 8,
    "vocab_size_per_layer_input": 400,
    "layer_types": ("sliding_attention", "full_attention") * 2,
}
_GEMMA4 = {**_SHARING, "global_head_dim": 32, "num_global_key_value_heads": 1, "attention_k_eq_v": True}
_MAMBA = {
    **dict.fromkeys(("mamba_n_heads", "mamba_d_state", "mamba_chunk_size"), 8),
    "mamba_d_head": 16,
    "mamba_d_ssm": 128,
}
_EYE = {
    **dict.fromkeys(("hidden_size", "intermediate_size", "image_size", "head_dim", "global_head_dim"), 16),
    **dict.fromkeys(("num_hidden_layers", "num_attention_heads", "num_key_value_heads"), 1),
    "patch_size": 8,
}
_PLAIN = dict.fromkeys(("head_dim", "num_key_value_heads"), LEFT_OUT)  # width and KV heads follow from the others
_LOUD = {"logit_scale": 1.0}  # its own makes the draws of a random model almost even
_NO_SDPA = "transformers has no SDPA for it"
_NAN = "eager attention makes NaN of padding rows in float64"
_CAPS = f"transformers runs its soft caps in eager attention only; {_NAN}"


@dataclass(frozen=True)
class Family:
    """One family and its tiny model.

    name: `model_type` of its configuration (the outer one of a wrapper), unless it is a `variant_of` that type.
    title: as the README names it. settings: configuration on top of the common one. layers: how many it has by default.
    key: the module of an attention layer whose output is the final key before the rotary embedding; layers without it
    have no keys of their own. axes: how keys lie there: "flat" (B, T, H*D), "thd" (B, T, H, D), "htd" (B, H, T, D);
    "fused slices" (B, T, Q*D + H*D + H*D) has all queries, then all keys, then all values; "fused groups"
    (B, T, H * (Q/H + 2) * D) has for each KV head its queries, its key, its value. Fused modules hold the queries too.
    like: the family that stands for this one in the tests of every mode, because its keys are made in the same way.
    dtype and attention: of the tiny model; float64 and SDPA unless `reason` says why not.
    gain: one that changes the greedy tokens of random models. outer: a wrapper's own configuration; the text model's
    is then `settings`.
    """

    name: str
    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    key: str = "k_proj"
    axes: str = "flat"
    variant_of: str = ""
    like: str = ""
    layers: int = 3
    dtype: torch.dtype = torch.float64
    attention: str = "sdpa"
    reason: str = ""
    gain: float = 8.0
    outer: Mapping[str, Any] | None = None

    @property
    def model_type(self) -> str:
        return self.variant_of or self.name


_PROJECTION = (
    Family("llama", "Llama"),
    Family("mistral", "Mistral"),
    Family("mixtral", "Mixtral", _MOE),
    Family("qwen2", "Qwen2"),
    Family("gemma", "Gemma"),
    Family("gemma2", "Gemma 2", dtype=torch.float32, attention="eager", reason=_CAPS),
    Family("granite", "Granite"),
    Family("smollm3", "SmolLM3"),
    Family("cohere_plain", "Cohere", _LOUD, variant_of="cohere"),
    Family("cohere2", "Cohere 2", _LOUD),
    Family("glm4", "GLM-4"),
    Family("glm4_moe_plain", "GLM-4 MoE", _MOE, variant_of="glm4_moe", like="glm4"),
    Family("starcoder2", "StarCoder2", gain=60.0),
    Family("stablelm", "StableLM"),
    Family("phi", "Phi"),
    Family("gpt_oss", "gpt-oss", _MOE, attention="eager", reason=_NO_SDPA),
    Family("ernie4_5", "ERNIE 4.5"),
    Family("seed_oss", "Seed-OSS"),
    Family(
        "llama4_text",
        "Llama 4 (text, without qk norm)",
        {**_MOE, "use_qk_norm": False, "intermediate_size_mlp": 96},
    ),
    Family("arcee", "Arcee", like="llama"),
    Family("bitnet", "BitNet", like="llama"),
    Family("helium", "Helium", like="llama"),
    Family("hyperclovax", "HyperCLOVA X", like="granite"),
    Family("nemotron", "Nemotron", like="llama"),
    Family("olmo", "OLMo", like="llama"),
    Family("cwm", "CWM", {"bos_token_id": 1, "eos_token_id": (1,)}, like="llama"),
    Family("opt", "OPT", {**_PLAIN, "ffn_dim": 96, "word_embed_proj_dim": 64}, like="llama", gain=60.0),
    Family(
        "gptj",
        "GPT-J",
        {**_PLAIN, "rotary_dim": 8},
        like="phi",
        dtype=torch.float32,
        attention="eager",
        reason=f"{_NO_SDPA}; {_NAN}",
    ),
    Family("ministral", "Ministral", like="mistral"),
    Family("ministral3", "Ministral 3", like="mistral", gain=60.0),
    Family("phimoe", "Phi-3.5 MoE", _MOE, like="mixtral"),
    Family("qwen2_moe", "Qwen2 MoE", _MOE, like="qwen2"),
    Family("vaultgemma", "VaultGemma", like="gemma2", dtype=torch.float32, attention="eager", reason=_CAPS),
    Family("granitemoe", "Granite MoE", _MOE, like="granite"),
    Family("granitemoeshared", "Granite MoE (shared experts)", _MOE, like="granite"),
    Family(
        "granitemoehybrid",
        "Granite 4",
        {**_MOE, **_MAMBA, "layer_types": ("mamba", "attention", "attention")},
        like="bamba",
    ),
    Family("bamba", "Bamba", {**_MAMBA, "attn_layer_indices": (1, 2)}),
    Family("falcon_h1", "Falcon-H1", _MAMBA),
    Family("cohere2_moe", "Cohere 2 MoE", {**_MOE, **_LOUD}, like="cohere2"),
    Family("glm", "GLM", like="glm4"),
    Family("ernie4_5_moe", "ERNIE 4.5 MoE", _MOE, like="ernie4_5"),
    Family("solar_open", "Solar Open", _MOE, like="glm4"),
)
_NORM = (
    Family("qwen3", "Qwen3", key="k_norm", axes="thd"),
    Family("qwen3_moe", "Qwen3 MoE", _MOE, key="k_norm", axes="thd"),
    Family("qwen3_next", "Qwen3-Next", {**_MOE, **_LINEAR}, key="k_norm", axes="thd", layers=4),
    Family("qwen3_5_text", "Qwen3.5", _LINEAR, key="k_norm", axes="thd", layers=4),
    Family("gemma3_text", "Gemma 3 (text)", key="k_norm", axes="htd", gain=60.0),
    Family(
        "gemma3",
        "Gemma 3 (multimodal)",
        key="k_norm",
        axes="htd",
        gain=60.0,
        outer={"vision_config": _EYE, "mm_tokens_per_image": 4},
    ),
    Family(
        "gemma3n_text",
        "Gemma 3n (text)",
        {**_SHARING, "laurel_rank": 8, "activation_sparsity_pattern": (0.0,) * 4},
        key="k_norm",
        axes="thd",
        layers=4,
    ),
    Family("gemma4_text", "Gemma 4 (text)", _GEMMA4, key="k_norm", axes="thd", layers=4),
    Family(
        "gemma4",
        "Gemma 4 (multimodal)",
        _GEMMA4,
        key="k_norm",
        axes="thd",
        layers=4,
        gain=20.0,
        outer={"vision_config": _EYE, "audio_config": None},
    ),
    Family("olmo2", "OLMo 2", key="k_norm"),
    Family("olmo3", "OLMo 3", key="k_norm"),
    Family("olmoe", "OLMoE", _MOE, key="k_norm"),
    Family("cohere", "Cohere", {**_LOUD, "use_qk_norm": True}, key="k_norm", axes="thd", gain=20.0),
    Family("glm4_moe", "GLM-4 MoE", {**_MOE, "use_qk_norm": True}, key="k_norm", axes="thd"),
    Family("exaone4", "EXAONE 4", key="k_norm", axes="htd", gain=20.0),
    Family("apertus", "Apertus", key="k_norm", axes="htd", gain=20.0),
    Family("stablelm_norm", "StableLM", {"qk_layernorm": True}, key="k_layernorm", axes="htd", variant_of="stablelm"),
    Family("phi_norm", "Phi", {"qk_layernorm": True}, key="k_layernorm", axes="htd", variant_of="phi", gain=60.0),
    Family(
        "lfm2", "LFM2", {"layer_types": ("conv", "full_attention", "full_attention")}, key="k_layernorm", axes="thd"
    ),
    Family(
        "qwen3_5_moe_text", "Qwen3.5 MoE", {**_MOE, **_LINEAR}, key="k_norm", axes="thd", layers=4, like="qwen3_5_text"
    ),
    Family("dots1", "dots.llm1", _MOE, key="k_norm", axes="thd", like="qwen3_moe"),
    Family("hy_v3", "Hunyuan 3", _MOE, key="k_norm", axes="htd", like="exaone4"),
    Family("exaone_moe", "EXAONE MoE", _MOE, key="k_norm", axes="htd", like="exaone4"),
    Family("flex_olmo", "FlexOlmo", _MOE, key="k_norm", like="olmo2"),
    Family("minimax_m2", "MiniMax M2", _MOE, key="k_norm", like="olmo2"),
    Family(
        "lfm2_moe",
        "LFM2 MoE",
        {**_MOE, "layer_types": ("conv", "full_attention", "full_attention"), "num_dense_layers": 1},
        key="k_layernorm",
        axes="thd",
        like="lfm2",
    ),
)
_GROUPS: dict[str, Any] = {"key": "query_key_value", "axes": "fused groups"}
_FUSED = (
    Family("phi3", "Phi-3", key="qkv_proj", axes="fused slices", gain=60.0),
    Family("gpt2", "GPT-2", _PLAIN, key="c_attn", axes="fused slices"),
    Family("gpt_neox", "GPT-NeoX (Pythia)", _PLAIN, **_GROUPS),
    Family("falcon", "Falcon", {**_PLAIN, "new_decoder_architecture": True, "num_kv_heads": 2}, **_GROUPS),
    Family("falcon_one", "Falcon", {**_PLAIN, "multi_query": True}, variant_of="falcon", gain=20.0, **_GROUPS),
    Family("falcon_many", "Falcon", {**_PLAIN, "multi_query": False, "alibi": True}, variant_of="falcon", **_GROUPS),
    Family("bloom", "BLOOM", _PLAIN, dtype=torch.float32, attention="eager", reason=f"{_NO_SDPA}; {_NAN}", **_GROUPS),
)

FAMILIES: dict[str, Family] = {family.name: family for family in (*_PROJECTION, *_NORM, *_FUSED)}


def readme() -> str:
    """The list of families in the README: those that are tested in every mode of decoding, then those like one of them."""

    def line(where: str, families: tuple[Family, ...]) -> str:
        full = {family.model_type: family.title for family in families if not family.like}
        like = {family.model_type: family.title for family in families if family.model_type not in full}
        lists = [", ".join(f"{title} `{kind}`" for kind, title in names.items()) for names in (full, like) if names]
        return textwrap.fill(
            f"- {where}: " + "; also ".join(lists), 120, subsequent_indent="  ", break_on_hyphens=False
        )

    return "\n".join(
        (
            line("the key's own projection", _PROJECTION),
            line("the key's norm", _NORM),
            line("one projection for query, key and value", _FUSED),
        )
    )


def build(
    name: str,
    dtype: torch.dtype | None = None,
    layers: int | None = None,
    seed: int = 0,
    attention: str | None = None,
    **changes: Any,
) -> Any:
    """The tiny random model of a family, in evaluation mode; `changes` go over its settings (tuples become lists)."""
    family = FAMILIES[name]
    settings = {**COMMON, "num_hidden_layers": layers or family.layers, **family.settings, **changes}
    settings = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in settings.items()
        if value is not LEFT_OUT
    }
    if family.outer is not None:
        tied = {key: settings[key] for key in ("tie_word_embeddings",) if key in settings}  # the wrapper has the head
        settings = {**family.outer, **tied, "text_config": settings}
    torch.manual_seed(seed)
    config = AutoConfig.for_model(family.model_type, **settings)
    model = AutoModelForCausalLM.from_config(
        config, dtype=dtype or family.dtype, attn_implementation=attention or family.attention
    )
    model.generation_config.eos_token_id = None  # some configurations have one whatever is asked; no answer ends early
    return model.eval()
