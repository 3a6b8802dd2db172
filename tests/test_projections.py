"""Files and fit of projections: what is written comes back, what is foreign is refused in words."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import FAMILIES, TRIPLETS, build_model, build_tokenizer
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from seka import Projection, ProjectionMismatch, learn


@pytest.fixture(scope="module")
def projection() -> Projection:
    return learn(build_model("qwen3"), build_tokenizer(), TRIPLETS, layers="1,2", energy=0.7, name="games 中")


@pytest.fixture
def saved(projection: Projection, tmp_path: Path) -> Path:
    projection.save(tmp_path / "p.safetensors")
    return tmp_path / "p.safetensors"


def same(one: Projection, other: Projection) -> bool:
    """Bit for bit, NaN equal to NaN."""
    for layer in one.layers:
        a, b = one.parts[layer], other.parts[layer]
        pairs = [(getattr(a, name), getattr(b, name)) for name in ("shift", "relative_shift", "present", "scale")]
        for x, y in ((a.positive, b.positive), (a.negative, b.negative)):
            if (x is None) != (y is None):
                return False
            if x is not None and y is not None:
                pairs += [(x.values, y.values), (x.rank, y.rank), (x.vectors, y.vectors)]
        if not all(
            x.dtype == y.dtype and torch.equal(torch.nan_to_num(x, -7.0), torch.nan_to_num(y, -7.0)) for x, y in pairs
        ):
            return False
    return one.layers == other.layers


def rewritten(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> Path:
    """The file again, after `change(tensors, header)`."""
    tensors = load_file(path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["seka"])
    change(tensors, header)
    save_file(tensors, path, metadata={"seka": json.dumps(header)})
    return path


def test_what_is_saved_comes_back(projection: Projection, saved: Path) -> None:
    back = Projection.load(saved)
    assert same(projection, back)
    assert back.layers == (1, 2)
    assert back.name == "games 中"
    assert {key: back.header[key] for key in projection.header} == json.loads(json.dumps(dict(projection.header)))
    back.check(build_model("qwen3"))
    assert not same(projection, projection.random())


def test_a_scale_for_each_head_is_kept(projection: Projection, tmp_path: Path) -> None:
    scaled = projection.scaled({2: [0.5, 1.75]})
    assert (scaled.parts[1].scale.tolist(), scaled.parts[2].scale.tolist()) == ([1.0, 1.0], [0.5, 1.75])
    assert projection.parts[2].scale.tolist() == [1.0, 1.0]
    scaled.save(tmp_path / "p.safetensors")
    back = Projection.load(tmp_path / "p.safetensors")
    assert same(scaled, back)
    assert not same(projection, back)
    for wrong in ({2: [0.5]}, {2: [0.5, 0.0]}, {2: [0.5, -1.0]}, {1: [0.5, float("inf")]}):
        with pytest.raises(ValueError, match=r"scale of layer \d is .*wanted 2 finite numbers above 0"):
            projection.scaled(wrong)
    with pytest.raises(ValueError, match="layer 0 is not in this projection"):
        projection.scaled({0: [1.0, 1.0]})


def test_a_file_without_scales_is_read(projection: Projection, saved: Path) -> None:
    """What version 1 of the format wrote."""

    def older(tensors: dict[str, Any], header: dict[str, Any]) -> None:
        header["format"] = 1
        for layer in (1, 2):
            del tensors[f"layers.{layer}.scale"]

    assert same(projection, Projection.load(rewritten(saved, older)))


def test_a_folder_is_made_and_a_file_replaced(projection: Projection, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "p.safetensors"
    projection.save(path)
    projection.with_header(recommended_gain=0.25, name="other").save(path)
    back = Projection.load(str(path))
    assert (back.recommended_gain, back.name) == (0.25, "other")
    assert projection.recommended_gain is None


def test_recommended_layers_are_kept(projection: Projection, tmp_path: Path) -> None:
    few = projection.with_header(recommended_layers="last2")
    few.save(tmp_path / "few.safetensors")
    for each in (few, few.random(), few.with_header(name="other"), Projection.load(tmp_path / "few.safetensors")):
        assert each.recommended_layers == "last2"
    assert projection.recommended_layers == few.with_header(recommended_layers=None).recommended_layers == "all"
    for wrong in ("some", "", 3, [1, 2], "0:", ":1", "0:1;2", ";"):
        with pytest.raises(
            ValueError, match=r"recommended_layers is .*; wanted 'all', 'lastN', 'firstN', '3,5', or heads"
        ):
            projection.with_header(recommended_layers=wrong)


def test_a_saved_file_may_be_read_by_whoever_may_read_a_plain_one(projection: Projection, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    projection.save(tmp_path / "p.safetensors")
    assert (tmp_path / "p.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.safetensors", "plain"]


def test_a_header_without_recommended_layers_means_all(saved: Path) -> None:
    """As files are that were written before there were any."""
    path = rewritten(saved, lambda _tensors, header: header.pop("recommended_layers"))
    assert Projection.load(path).recommended_layers == "all"


def test_bfloat16_and_zeros_beyond_the_rank_are_read(saved: Path) -> None:
    """As banks of another type have them, and those that were converted from projections."""

    def change(tensors: dict[str, Any], _header: Any) -> None:
        for layer in (1, 2):
            for channel in ("positive", "negative"):
                name = f"layers.{layer}.{channel}"
                beyond = torch.arange(tensors[f"{name}.vectors"].shape[2]) >= tensors[f"{name}.rank"][:, None]
                tensors[f"{name}.vectors"] = (tensors[f"{name}.vectors"] * ~beyond[:, None]).bfloat16()

    before = {layer: Projection.load(saved).positive(layer) for layer in (1, 2)}
    after = Projection.load(rewritten(saved, change))
    for layer in (1, 2):
        torch.testing.assert_close(after.positive(layer).float(), before[layer], rtol=0, atol=2e-2)


def test_a_model_made_in_memory_has_no_name(saved: Path) -> None:
    path = rewritten(saved, lambda _tensors, header: header.update(model=""))
    Projection.load(path).check(build_model("qwen3"))


def test_an_entry_that_could_not_be_read_again_is_not_taken(projection: Projection) -> None:
    for changes in ({"recommended_gain": 0}, {"recommended_gain": "0.2"}, {"name": None}, {"triplets": 3}):
        with pytest.raises(ValueError, match=rf"^{next(iter(changes))} is .*; wanted"):
            projection.with_header(**changes)


def test_without_a_negative_channel(projection: Projection, tmp_path: Path) -> None:
    parts = {layer: replace(part, negative=None) for layer, part in projection.parts.items()}
    half = Projection(parts, projection.header)
    half.save(tmp_path / "h.safetensors")
    back = Projection.load(tmp_path / "h.safetensors")
    assert same(half, back)
    with pytest.raises(ValueError, match="no negative channel"):
        back.negative(1)


def test_layers_are_looked_up_never_counted(projection: Projection) -> None:
    for look in (projection.positive, projection.negative, projection.part):
        with pytest.raises(ValueError, match=r"layer 0 is not in this projection; it holds \[1, 2\]"):
            look(0)
    assert set(projection.shift) == set(projection.relative_shift) == {1, 2}


def test_an_absent_head_projects_on_nothing(projection: Projection) -> None:
    part = projection.parts[1]
    gap = Projection({1: replace(part, present=torch.tensor([True, False]))}, projection.header)
    for before, after in ((projection.positive(1), gap.positive(1)), (projection.negative(1), gap.negative(1))):
        assert torch.equal(before[0], after[0])
        assert before[1].any()
        assert not after[1].any()


def test_the_control_has_the_same_ranks_in_other_directions(projection: Projection) -> None:
    """The published control keeps all directions, which makes it the identity."""
    control, again, other = projection.random(3), projection.random(3), projection.random(4)
    assert same(control, again)
    for layer in projection.layers:
        for channel in ("positive", "negative"):
            learnt, drawn = (getattr(p, channel)(layer) for p in (projection, control))
            torch.testing.assert_close(drawn @ drawn, drawn, rtol=0, atol=1e-5)
            torch.testing.assert_close(drawn, drawn.mT, rtol=0, atol=1e-6)
            trace = drawn.diagonal(dim1=1, dim2=2).sum(-1)
            torch.testing.assert_close(trace, learnt.diagonal(dim1=1, dim2=2).sum(-1), rtol=1e-4, atol=1e-4)
            assert ((trace > 0.5) & (trace < 15.5)).all()
            assert (drawn - learnt).norm() > 0.5
            assert (drawn - getattr(other, channel)(layer)).norm() > 0.5
        assert torch.equal(control.parts[layer].positive.rank, projection.parts[layer].positive.rank)
        assert torch.equal(control.shift[layer], projection.shift[layer])
    control.check(build_model("qwen3"))


def test_random_directions_favour_none(projection: Projection) -> None:
    """Over many draws the mean of P is r / D times the identity."""
    mean = torch.stack([projection.random(seed).positive(1) for seed in range(400)]).mean(0)
    for head, rank in enumerate(projection.parts[1].positive.rank.tolist()):
        torch.testing.assert_close(mean[head], torch.eye(16) * rank / 16, rtol=0, atol=0.08)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_model_in_another_type_is_accepted(family: str) -> None:
    learnt = learn(build_model(family, dtype=torch.float32), build_tokenizer(), TRIPLETS[:2])
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.float64):
        learnt.check(build_model.__wrapped__(family, dtype=torch.float32).to(dtype))


def test_learnt_in_bfloat16_used_in_full() -> None:
    half = build_model.__wrapped__("qwen3", dtype=torch.bfloat16)
    learnt = learn(half, build_tokenizer(), TRIPLETS[:2])
    learnt.check(half.double())
    learnt.check(build_model("qwen3", dtype=torch.float32))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"num_key_value_heads": 4}, "heads"),
        ({"num_attention_heads": 2}, "query_heads"),
        ({"head_dim": 8}, "widths"),
        ({"layers": 2}, "heads"),
        ({"hidden_size": 32}, "hidden_size"),
        ({"vocab_size": 401}, "vocab_size"),
        ({"family": "llama"}, "model_type"),
    ],
)
def test_another_shape_is_refused_with_both_sides(projection: Projection, changes: dict[str, Any], key: str) -> None:
    geometry = projection.header["geometry"]
    with pytest.raises(ProjectionMismatch, match="was learnt on") as caught:
        projection.check(build_model(**changes))
    named = [name for name in geometry if f"with {name} " in str(caught.value)]
    assert named
    assert str(geometry[named[0]]) in str(caught.value)
    assert key in named or changes.get("layers") or changes.get("num_attention_heads")
    assert "python -m seka learn" in str(caught.value)


@pytest.mark.parametrize("family", FAMILIES)
def test_another_model_of_the_same_shape_is_refused(family: str) -> None:
    learnt = learn(build_model(family), build_tokenizer(), TRIPLETS[:2], layers=[0])
    with pytest.raises(ProjectionMismatch, match="same shape but other weights"):
        learnt.check(build_model(family, seed=1))


def test_a_finetuned_last_layer_is_another_model(projection: Projection) -> None:
    other = build_model.__wrapped__("qwen3")
    with torch.no_grad():
        other.model.layers[2].self_attn.k_proj.weight.mul_(1.1)
    with pytest.raises(ProjectionMismatch, match="other weights"):
        projection.check(other)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no projection at"):
        Projection.load(tmp_path / "missing.safetensors")
    with pytest.raises(ValueError, match="no projection at"):
        Projection.load(tmp_path)
    for suffix in (".pt", ".pth", ".bin"):
        with pytest.raises(ValueError, match="PyTorch file; convert it once: python -m seka convert"):
            Projection.load(tmp_path / f"bank{suffix}")
    junk = {"empty": b"", "text": b"hello " * 9, "huge": b"\xff" * 64, "json": b'{"layers": []}'}
    for name, content in junk.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is not a projection of seka"):
            Projection.load(tmp_path / name)


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    (tmp_path / "trap.safetensors").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ValueError, match="is not a projection of seka"):
        Projection.load(tmp_path / "trap.safetensors")
    assert not (tmp_path / "sprung").exists()


def test_a_file_cut_short_is_refused(saved: Path) -> None:
    whole = saved.read_bytes()
    for size in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        saved.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="is not a projection of seka"):
            Projection.load(saved)


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for metadata in (None, {"format": "pt"}, {"seka": "{"}, {"seka": "[]"}, {"seka": "{}"}):
        save_file({"x": torch.zeros(2)}, path, metadata=metadata)
        with pytest.raises(ValueError, match=r"model\.safetensors is not a projection of seka"):
            Projection.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, h: h.update(format=99), "has format 99, this seka reads 1"),
        (lambda t, h: h.update(recommended_layers=["last3"]), r"recommended_layers is \['last3'\]; wanted 'all'"),
        (lambda t, h: h.update(model=None), "not a projection of seka.*model is None; wanted text"),
        (lambda t, h: h.update(name=["x"]), r"name is \['x'\]; wanted text"),
        (lambda t, h: h.update(geometry=[]), r"geometry is \[\]; wanted {name: value}"),
        (lambda t, h: h.update(weights={"embedding": "abc"}), r"weights is .*abc.*; wanted {name: \[finite numbers\]}"),
        (lambda t, h: h.update(weights={"embedding": [1.0, None]}), "weights is"),
        (lambda t, h: h.update(weights={"embedding": [10**400]}), "weights is"),
        (lambda t, h: h.update(layers="12"), "layers is '12'; wanted a list of different layer numbers"),
        (lambda t, h: h.update(layers=[1, 1]), r"layers is \[1, 1\]"),
        (lambda t, h: h.update(layers=[]), r"layers is \[\]"),
        (lambda t, h: h.update(layers=["1"]), r"layers is \['1'\]"),
        (
            lambda t, h: h.update(recommended_gain="a lot"),
            "recommended_gain is 'a lot'; wanted a finite number above 0",
        ),
        (lambda t, h: h.update(recommended_gain=[1]), r"recommended_gain is \[1\]"),
        (lambda t, h: h.update(recommended_gain=-0.5), "recommended_gain is -0.5"),
        (lambda t, h: h.update(recommended_gain=float("nan")), "recommended_gain is nan"),
        (lambda t, h: h.update(recommended_gain=10**400), "recommended_gain is 1000"),
        (lambda t, h: h.update(recommended_gain=True), "recommended_gain is True"),
        (lambda t, h: h.update(triplets=[1, 2]), r"triplets is \[1, 2\]; wanted {count: number}, or None"),
        (lambda t, h: h.pop("geometry"), "not a projection of seka.*geometry"),
        (lambda t, h: h.pop("layers"), "not a projection of seka.*layers"),
        (lambda t, h: h.update(layers=[1, 2, 5]), "not a projection of seka.*layers.5"),
        (lambda t, h: t.pop("layers.1.shift"), "not a projection of seka.*shift"),
        (lambda t, h: t.pop("layers.2.positive.rank"), "not a projection of seka.*rank"),
        (lambda t, h: t.update({"layers.1.positive.values": torch.zeros(3, 16)}), "do not belong together"),
        (
            lambda t, h: t.update({"layers.1.positive.rank": torch.tensor([1, 17])}),
            r"\[1, 17\] .*do not belong together",
        ),
        (lambda t, h: t.update({"layers.1.negative.rank": torch.tensor([1])}), "do not belong together"),
        (lambda t, h: t.update({"layers.1.positive.vectors": torch.zeros(2, 8, 16)}), "do not belong together"),
        (lambda t, h: t.update({"layers.1.positive.vectors": torch.zeros(2, 16)}), "do not belong together"),
        (lambda t, h: t.update({"layers.1.positive.vectors": torch.zeros(2, 16, 17)}), "do not belong together"),
        (lambda t, h: t.update({"layers.1.positive.rank": torch.tensor([1, -2])}), "do not belong together"),
        (lambda t, h: t.update({"layers.1.positive.values": torch.zeros(2)}), "do not belong together"),
        (lambda t, h: t.update({"layers.1.shift": torch.zeros(5)}), "do not belong together"),
        (lambda t, h: t.update({"layers.1.present": torch.ones(1, dtype=torch.bool)}), "do not belong together"),
        (lambda t, h: t.update({"layers.1.scale": torch.ones(3)}), "do not belong together"),
        (lambda t, h: t.pop("layers.1.scale"), "not a projection of seka.*scale"),
        (
            lambda t, h: t.update({"layers.1.scale": torch.ones(2, dtype=torch.int64)}),
            "scale is .*wanted finite numbers",
        ),
        (lambda t, h: t["layers.1.scale"].fill_(-1.0), r"scale is \[-1.0, -1.0\]; wanted finite numbers above 0"),
        (lambda t, h: t["layers.1.scale"].fill_(float("nan")), "scale is .*nan"),
        (lambda t, h: t["layers.1.positive.vectors"].mul_(10), "vectors are not orthonormal"),
        (lambda t, h: t["layers.1.negative.vectors"].mul_(1.02), "vectors are not orthonormal"),
        (
            lambda t, h: t["layers.2.positive.vectors"][0, :, 1].copy_(t["layers.2.positive.vectors"][0, :, 0]),
            "orthonormal",
        ),
        (lambda t, h: t["layers.2.positive.vectors"][0, :, 0].zero_(), "vectors are not orthonormal"),
        (lambda t, h: t.update({"layers.1.positive.rank": torch.tensor([1.5, 2.0])}), "do not belong together"),
        (lambda t, h: t.update({"layers.1.present": torch.ones(2)}), "present is torch.float32; wanted bool"),
        (lambda t, h: t["layers.2.positive.vectors"].view(-1)[5:6].fill_(float("nan")), "vectors hold NaN"),
        (lambda t, h: t["layers.2.negative.vectors"].view(-1)[5:6].fill_(float("inf")), "vectors hold NaN or infinity"),
    ],
)
def test_damaged_files_are_refused(saved: Path, change: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Projection.load(rewritten(saved, change))
