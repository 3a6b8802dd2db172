"""Where the keys are: each family against keys computed by hand, and every refusal by name and reason."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import FAMILIES, build_model
from naive import hooks_of, keys_by_hand
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from seka import UnsupportedModel
from seka.sites import SUPPORTED, _sample, context_length, decoder, fingerprint, sites, watching

LAYOUT = {"qwen3": "thd", "gemma3_text": "htd"}


def outputs(model: Any, modules: list[nn.Module], columns: int) -> tuple[list[int], dict[nn.Module, torch.Tensor]]:
    seen: dict[nn.Module, torch.Tensor] = {}
    ids = [(7 * i + 3) % 100 for i in range(columns)]
    hook = lambda module, _, output: seen.__setitem__(module, output)  # noqa: E731
    with torch.no_grad(), watching(dict.fromkeys(modules, hook)):
        model(input_ids=torch.tensor([ids]), use_cache=False)
    return ids, seen


@pytest.mark.parametrize("columns", [1, 2, 4, 7, 16])  # among them the head counts and the head width
def test_keys_are_those_computed_by_hand(model: Any, family: str, columns: int) -> None:
    """Never guessed from a shape: T = H is as good as any other length."""
    found = sites(model)
    ids, seen = outputs(model, [site.key for site in found], columns)
    for site, expected in zip(found, keys_by_hand(model, family, ids), strict=True):
        keys = site.keys(seen[site.key])
        assert keys.shape == (1, columns, site.heads, site.width)
        torch.testing.assert_close(keys[0], expected, rtol=1e-5, atol=1e-5)


def test_geometry(model: Any, family: str) -> None:
    found = sites(model)
    assert [site.layer for site in found] == [0, 1, 2]
    assert {(site.heads, site.query_heads, site.width) for site in found} == {(2, 4, 16)}
    assert {site.key_axes for site in found} == {site.query_axes for site in found} == {LAYOUT.get(family, "flat")}
    normed = family in ("qwen3", "gemma3_text", "olmo2")
    for site, block in zip(found, model.model.layers, strict=True):
        assert site.attention is block.self_attn
        assert site.key is (block.self_attn.k_norm if normed else block.self_attn.k_proj)
        assert site.query is (block.self_attn.q_norm if normed else block.self_attn.q_proj)
    assert decoder(model) is model.model
    assert context_length(model) == 512
    assert sites(model) is found


def test_pack_undoes_keys(model: Any) -> None:
    site = sites(model)[1]
    _, seen = outputs(model, [site.key, site.query], 5)
    packed = site.pack(site.keys(seen[site.key]))
    assert packed.shape == seen[site.key].shape
    assert torch.equal(packed, seen[site.key])
    assert site.queries(seen[site.query]).shape == (1, 5, 4, 16)


def test_queries_are_those_of_the_layer() -> None:
    """Query head by query head, from the layer's own weights."""
    for family in ("qwen3", "gemma3_text", "llama", "olmo2"):
        model = build_model(family)
        site, block = sites(model)[0], model.model.layers[0]
        ids, seen = outputs(model, [site.query], 4)
        with torch.no_grad():
            state = model.model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[0]
            state = state if family == "olmo2" else block.input_layernorm(state)
            weight = block.self_attn.q_proj.weight
            for head in range(4):
                query = state[0] @ weight[16 * head : 16 * head + 16].T
                if family in ("qwen3", "gemma3_text"):
                    query = block.self_attn.q_norm(query)
                if family == "olmo2":
                    query = block.self_attn.q_norm(state[0] @ weight.T)[:, 16 * head : 16 * head + 16]
                torch.testing.assert_close(site.queries(seen[site.query])[0, :, head], query)


def test_looking_leaves_no_hook(family: str) -> None:
    model = build_model(family, seed=5)
    before = hooks_of(model)
    sites(model)
    assert hooks_of(model) == before


def test_watching_ends_with_its_block(qwen: Any) -> None:
    before = hooks_of(qwen)  # transformers may keep some of its own
    inside = []

    def fail() -> None:
        with watching({qwen.model.norm: lambda *_: None}):
            inside.append(hooks_of(qwen))
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail()
    assert inside == [before + 1]
    assert hooks_of(qwen) == before


def stub(kind: str) -> Any:
    """A module with the configuration of a family; refusals need no weights."""
    module = nn.Module()
    module.config = AutoConfig.for_model(kind)
    return module


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        *((kind, "fused projection") for kind in ("gpt2", "gpt_neox", "bloom", "falcon", "phi3", "mpt", "dbrx")),
        *((kind, "multi-head latent attention") for kind in ("deepseek_v2", "deepseek_v3")),
        *(
            (kind, "normalises keys after the rotary embedding")
            for kind in ("llama4_text", "hunyuan_v1_dense", "hunyuan_v1_moe")
        ),
        *((kind, "load the text model alone") for kind in ("gemma3", "llava", "mllama", "qwen2_5_vl", "qwen3_vl")),
        *(
            (kind, "not been proven on this family; proven are qwen3")
            for kind in ("mixtral", "qwen3_next", "phi", "gemma", "t5")
        ),
    ],
)
def test_refusals_name_the_family_and_the_reason(kind: str, reason: str) -> None:
    with pytest.raises(UnsupportedModel, match=rf"type '{kind}' cannot be steered.*{reason}"):
        sites(stub(kind))


@pytest.mark.parametrize("kind", ["gpt2", "phi3", "mixtral", "hunyuan_v1_dense", "llama4_text"])
def test_whole_models_are_refused(kind: str) -> None:
    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    sizes = {"vocab_size": 50, "intermediate_size": 32, "num_local_experts": 2, "head_dim": 16, "pad_token_id": 0}
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **small, **sizes))
    with pytest.raises(UnsupportedModel, match=kind):
        sites(model)


def test_a_supported_name_with_other_insides_is_refused() -> None:
    broken = build_model.__wrapped__("qwen3")  # not the shared one: this one is taken apart
    del broken.model.layers[1].self_attn.k_proj
    with pytest.raises(UnsupportedModel, match=r"layer 1 of this 'qwen3' model.*fused projection"):
        sites(broken)
    assert hooks_of(broken) == 0


def test_what_is_no_language_model_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match="Linear is not a transformers model"):
        sites(nn.Linear(2, 2))
    bare = nn.Module()
    bare.config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(model_type="qwen3"), model_type="qwen3")
    with pytest.raises(UnsupportedModel, match="no decoder layers"):
        sites(bare)


def test_supported_are_exactly_the_families_under_test() -> None:
    assert set(SUPPORTED) == set(FAMILIES)


def test_fingerprints_tell_models_apart_whatever_their_type(model: Any, family: str) -> None:
    here = fingerprint(model)
    twin, other = build_model(family, dtype=torch.float32), build_model(family, seed=1)
    assert fingerprint(twin)["geometry"] == here["geometry"] == fingerprint(other)["geometry"]
    assert fingerprint(twin)["config_digest"] == here["config_digest"]
    names = [name for name, _ in model.model.layers[0].named_parameters()]
    assert set(here["weights"]) == {"embedding", *(f"{layer}.{name}" for layer in range(3) for name in names)}
    samples = [torch.tensor(list(fingerprint(m)["weights"].values())) for m in (model, other)]
    assert (samples[0] - samples[1]).abs().max() > 0.1
    assert here["geometry"]["heads"] == [2, 2, 2]
    assert here["geometry"]["model_type"] == family


def test_samples_stay_inside_a_weight_too_large_for_float32_places() -> None:
    assert len(_sample(torch.empty(5120 * 5120, dtype=torch.bfloat16))) == 4
    assert _sample(torch.arange(3.0)) == [0.0, 1.0, 1.0, 2.0]
