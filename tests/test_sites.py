"""Where the keys are: each family against its own cache and its own attention weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from cells import cell, expected
from conftest import build_model
from families import FAMILIES, build
from naive import hooks_of
from places import places
from torch import Tensor, nn

from seka.eager import watching
from seka.layout import Layout
from seka.sites import SUPPORTED, Site, blocks, context_length, decoder, sites

every = pytest.mark.parametrize("name", list(FAMILIES))
IDS = [31, 7, 112, 58, 203, 94, 5]
Hooks = Sequence[tuple[nn.Module, Callable[..., Any]]]


def call(model: Any, hooks: Hooks = (), **options: Any) -> Any:
    with torch.no_grad(), watching(hooks):
        return model(input_ids=torch.tensor([IDS]), **options)


def cached(model: Any, hooks: Hooks = ()) -> dict[int, tuple[Tensor, Tensor]]:
    """{layer: keys and values (1, heads, T, width)} of every layer that keeps some."""
    layers = call(model, hooks, use_cache=True).past_key_values.layers
    kept = {n: getattr(layer, "keys", None) for n, layer in enumerate(layers)}
    return {n: (keys, layers[n].values) for n, keys in kept.items() if keys is not None and keys.numel()}


def outputs(model: Any, modules: Sequence[nn.Module]) -> dict[nn.Module, Any]:
    seen: dict[nn.Module, Any] = {}
    call(model, [(module, lambda m, _, output: seen.__setitem__(m, output)) for module in modules])
    return seen


def scaled(layout: Layout, factors: Tensor) -> Callable[..., Tensor]:
    """A hook that multiplies heads (1, T, H, D) by (T, H, 1)."""
    return lambda _module, _inputs, output: layout.write(output, layout.read(output) * factors.to(output))


def same(one: Tensor, other: Tensor) -> None:
    """But for rounding: some families turn keys in float32, whatever their type."""
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@every
def test_an_edit_changes_the_cached_keys_of_its_columns_and_nothing_else(name: str) -> None:
    """By the very ratio of the edit, so nothing normalises them afterwards; one head and two columns at a time."""
    model = build_model(name)
    plain = cached(model)
    assert set(plain) == {site.layer for site in sites(model)}
    for site in sites(model):
        factors = torch.ones(len(IDS), site.heads, 1, dtype=torch.float64)
        factors[[2, 3], -1, 0] = torch.tensor([1.75, 0.25], dtype=torch.float64)
        steered = cached(model, [(site.key, scaled(site.key_layout, factors))])
        keys, values = plain[site.layer]
        wanted = factors.transpose(0, 1).repeat_interleave(keys.shape[1] // site.heads, 0).to(keys)
        same(steered[site.layer][0], keys * wanted)
        left_alone = (wanted == 1).expand_as(keys[0])
        assert torch.equal(steered[site.layer][0][0][left_alone], keys[0][left_alone])
        assert torch.equal(steered[site.layer][1], values)
        below, above = (
            [torch.equal(steered[n][0], plain[n][0]) for n in plain if (n < site.layer) is lower and n != site.layer]
            for lower in (True, False)
        )
        assert all(below)
        assert not any(above)  # later layers see it in the residual stream: the edit was no edit of nothing


@every
def test_queries_are_those_the_attention_uses(name: str) -> None:
    """Another query for one head and column changes that row of attention weights and no other."""
    model = build(name, attention="eager")
    for site in sites(model):
        factors = torch.ones(len(IDS), site.query_heads, 1, dtype=torch.float64)
        factors[5, 2] = 0.25
        plain, bent = (
            outputs_of(model, site, hooks) for hooks in ((), [(site.query, scaled(site.query_layout, factors))])
        )
        assert plain.shape == (site.query_heads, len(IDS), len(IDS))
        changed = (plain != bent).any(-1)
        assert changed.nonzero().tolist() == [[2, 5]]


def outputs_of(model: Any, site: Site, hooks: Hooks) -> Tensor:
    """(Q, T, T) attention weights of a layer."""
    seen: list[Tensor] = []
    call(model, [*hooks, (site.attention, lambda _m, _i, output: seen.append(output[1][0]))], use_cache=False)
    return seen[0]


@every
def test_sites_are_where_the_table_says(name: str) -> None:
    """Layers, heads, widths, keys and queries: by the modules that the table names, cut up by hand."""
    model = build_model(name)
    found, by_hand = sites(model), places(model, name)
    assert [(s.layer, s.attention, s.key, s.heads, s.query_heads, s.width) for s in found] == [
        (p.layer, p.attention, p.module, p.heads, p.query_heads, p.width) for p in by_hand
    ]
    inputs: dict[nn.Module, Tensor] = {}

    def note(module: nn.Module, args: Any, kwargs: Any) -> None:
        inputs[module] = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]

    handles = [site.attention.register_forward_pre_hook(note, with_kwargs=True) for site in found]
    seen = outputs(model, [module for site in found for module in {site.key, site.query}])
    for handle in handles:
        handle.remove()
    for site, place in zip(found, by_hand, strict=True):
        assert torch.equal(site.keys(seen[site.key])[0], place.keys(seen[site.key]))
        for column in (0, 4):
            with torch.no_grad():
                query = place.query(inputs[site.attention][:, column : column + 1])
            same(site.queries(seen[site.query])[0, column], query)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.like])
def test_families_like_another_answer_as_by_hand(name: str) -> None:
    """The other one goes through every mode of decoding; these through the plainest."""
    assert FAMILIES[FAMILIES[name].like].axes == FAMILIES[name].axes
    assert cell(name).produce() == expected(cell(name))


@pytest.mark.parametrize("columns", [1, 2, 4, 16])  # among them every head count, and the width
def test_reading_and_writing_do_not_depend_on_the_number_of_columns(columns: int) -> None:
    found = {site for name in FAMILIES for site in sites(build_model(name))}
    layouts = {(s.key_layout, s.heads) for s in found} | {(s.query_layout, s.query_heads) for s in found}
    assert len(layouts) > 12
    for layout, heads in layouts:
        places = layout.groups * layout.places
        shape = (2, places, columns, layout.width) if layout.swapped else (2, columns, places, layout.width)
        output = torch.randn(shape)
        held = layout.read(output)
        assert held.shape == (2, columns, heads, layout.width)
        assert torch.equal(layout.write(output, held), output)
        negative = layout.write(output, -held)
        assert torch.equal(layout.read(negative), -held)
        assert int((negative != output).sum()) == held.numel()
        if not layout.swapped:
            assert torch.equal(layout.read(output.flatten(2)), held)
            assert torch.equal(layout.write(output.flatten(2), -held), negative.flatten(2))


@pytest.mark.parametrize("name", ["llama", "gemma3", "gemma4_text", "gpt2", "qwen3_next", "falcon_h1", "bloom"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_looking_leaves_no_trace(name: str, dtype: torch.dtype) -> None:
    """In any type, though rounding is coarse there; and in training, though dropout tells equal rows apart."""
    model = build(name, dtype, seed=5).train()
    before, frozen = hooks_of(model), model.get_input_embeddings().eval()
    assert sites(model) is sites(model)
    assert hooks_of(model) == before
    assert {module for module in model.modules() if not module.training} == set(frozen.modules())


def test_decoders_are_found_wherever_they_are() -> None:
    for name, inside in (
        ("qwen3", "model"),
        ("gemma3", "model.language_model"),
        ("gpt2", "transformer"),
        ("gpt_neox", "gpt_neox"),
        ("llama4_text", "model"),
        ("opt", "model.decoder"),
    ):
        model = build_model(name)
        assert decoder(model) is decoder(decoder(model)) is model.get_submodule(inside)
        assert len(blocks(model)) == 3
        assert context_length(model) == 512


def test_watching_ends_with_its_block(qwen: Any) -> None:
    before = hooks_of(qwen)  # transformers may keep some of its own
    inside = []

    def fail() -> None:
        with watching([(qwen.model.norm, lambda *_: None), (qwen.model.norm, lambda *_: None)]):
            inside.append(hooks_of(qwen))
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail()
    assert inside == [before + 2]
    assert hooks_of(qwen) == before


def test_hooks_of_one_module_run_in_order_each_on_what_the_one_before_made(qwen: Any) -> None:
    norm, seen = qwen.model.norm, []
    call(qwen, [(norm, lambda _m, _i, out: out * 0 + 1), (norm, lambda _m, _i, out: seen.append(out))])
    assert bool((seen[0] == 1).all())


def test_supported_are_exactly_the_families_under_test() -> None:
    assert len(SUPPORTED) == len(set(SUPPORTED))
    assert set(SUPPORTED) == {family.model_type for family in FAMILIES.values()}
