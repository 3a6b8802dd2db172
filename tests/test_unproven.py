"""Models that cannot be steered: every refusal by name and reason, and what shows that a proven family is not itself."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from families import FAMILIES, build
from naive import hooks_of
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

import seka.families
from seka import UnsupportedModel
from seka.layout import groups, slices
from seka.sites import SUPPORTED, sites

LATENT = r"layer 0 keeps a latent instead of keys \(multi-head latent attention\)"
KIMI = {"layer_types": ["linear_attention", "full_attention"]}
LATE = r"layer 0 normalises keys after the rotary embedding"
REFUSED = {
    **dict.fromkeys(("deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "glm4_moe_lite"), LATENT),
    **dict.fromkeys(("glm_moe_dsa", "longcat_flash", "minicpm3", "mistral4", "youtu"), LATENT),
    "kimi_linear": LATENT.replace("0", "1"),
    **dict.fromkeys(("hunyuan_v1_dense", "hunyuan_v1_moe", "llama4_text"), LATE),
    **dict.fromkeys(("persimmon", "nanochat", "diffllama", "mpt", "mamba", "bert"), "not been proven on this family"),
}


def unloaded(kind: str) -> Any:
    """A small model of any type, without values."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2}
    sizes |= {"vocab_size": 50, "intermediate_size": 32, "pad_token_id": 0, "is_decoder": True}
    extra = {"hunyuan_v1_dense": {"head_dim": 16}, "hunyuan_v1_moe": {"head_dim": 16}, "kimi_linear": KIMI}
    config = AutoConfig.for_model(kind, **{**sizes, **extra.get(kind, {})})
    auto = AutoModelForImageTextToText if kind == "mistral4" else AutoModelForCausalLM
    with torch.device("meta"):
        return auto.from_config(config)


@pytest.mark.parametrize(("kind", "reason"), REFUSED.items())
def test_refusals_name_the_family_and_the_reason(kind: str, reason: str) -> None:
    with pytest.raises(UnsupportedModel, match=rf"type '{kind}' cannot be steered.*{reason}"):
        sites(unloaded(kind))


def test_unknown_families_are_told_what_is_proven() -> None:
    with pytest.raises(UnsupportedModel, match=rf"proven are {', '.join(SUPPORTED)}$"):
        sites(unloaded("mpt"))


def test_a_wrapper_that_is_not_proven_names_the_model_inside() -> None:
    module = nn.Module()
    module.config = AutoConfig.for_model("llava")
    with pytest.raises(UnsupportedModel, match=r"type 'llava' .* wrapper around a 'llama' model; load the text model"):
        sites(module)


@pytest.mark.parametrize("name", ["olmo", "olmoe"])
def test_clipped_keys_are_refused(name: str) -> None:
    with pytest.raises(UnsupportedModel, match=rf"type '{name}' .* clips keys after the projection \(clip_qkv\)"):
        sites(build(name, clip_qkv=8.0))


@pytest.mark.parametrize("name", ["gpt2", "phi3", "gpt_neox", "falcon", "falcon_many", "bloom"])
def test_a_wrong_idea_of_a_fused_output_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache tells: no layout is taken on trust."""
    right = seka.families._FUSED[FAMILIES[name].key]
    monkeypatch.setitem(seka.families._FUSED, FAMILIES[name].key, groups if right is slices else slices)
    with pytest.raises(
        UnsupportedModel, match=rf"'{FAMILIES[name].model_type}' .* layer 0 does not attend to the keys"
    ):
        sites(build(name))


@pytest.mark.parametrize("name", ["qwen3", "gemma3_text", "olmo2", "stablelm_norm", "phi_norm"])
def test_a_key_norm_that_was_overlooked_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seka.families, "_KEYS", ("k_proj",))
    with pytest.raises(UnsupportedModel, match="layer 0 does not attend to the keys that its projection"):
        sites(build(name))


def test_a_norm_after_the_rotary_embedding_is_noticed_by_its_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a new version of a proven family might have it, under whatever name."""
    from transformers.models.llama import modeling_llama

    rotary = modeling_llama.apply_rotary_pos_emb

    def normed(*args: Any, **options: Any) -> tuple[Tensor, Tensor]:
        query, key = rotary(*args, **options)
        return query, key / key.norm(dim=-1, keepdim=True)

    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", normed)
    with pytest.raises(UnsupportedModel, match=r"'llama' model .* layer 0 does not attend to the keys"):
        sites(build("llama"))


def test_values_made_from_keys_are_noticed() -> None:
    model = build("llama")
    attention = model.model.layers[1].self_attn
    attention.v_proj.forward = lambda hidden: attention.k_proj(hidden)
    with pytest.raises(UnsupportedModel, match="layer 1 makes its values from the keys"):
        sites(model)


def test_keys_that_come_from_elsewhere_are_noticed() -> None:
    hidden = build("llama")
    attention = hidden.model.layers[1].self_attn
    projection = attention.k_proj
    del attention.k_proj
    object.__setattr__(attention, "k_proj", projection)  # still called, no longer to be found
    with pytest.raises(UnsupportedModel, match="layer 1 keeps keys that no module of its own makes"):
        sites(hidden)
    replaced = build("llama")
    attention = replaced.model.layers[2].self_attn
    attention.forward = copy.deepcopy(attention).forward
    with pytest.raises(UnsupportedModel, match="layer 2 computed keys without calling its own modules"):
        sites(replaced)
    assert hooks_of(replaced) == hooks_of(build("llama"))


def test_modules_that_are_not_there_are_named() -> None:
    model = build("qwen3")
    del model.model.layers[1].self_attn.q_norm
    with pytest.raises(UnsupportedModel, match="layer 1 has a k_norm for keys, but no such module for queries"):
        sites(model)
    with pytest.raises(UnsupportedModel, match="none of its layers makes keys of its own"):
        sites(build("granitemoehybrid", layer_types=("mamba",) * 3))


def test_what_is_no_language_model_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="Linear is not a transformers model"):
        sites(nn.Linear(2, 2))
    bare = nn.Module()
    bare.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(model_type="qwen3"), model_type="qwen3")
    with pytest.raises(UnsupportedModel, match="no decoder layers"):
        sites(bare)
