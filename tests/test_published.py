"""Published banks: written here in each of their layouts, read back safely, by layer number, with what is unknown unknown."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import build_model
from torch import Tensor

from seka import Projection, Router, Steering
from seka.published import convert


def projector(rank: int, seed: int, width: int = 16) -> Tensor:
    basis = torch.linalg.qr(torch.randn(width, rank, generator=torch.Generator().manual_seed(seed)).double()).Q
    return (basis @ basis.T).float()


def projectors(layers: int, first_rank: int = 1) -> Tensor:
    """(layers, 2, 16, 16), each head of another rank."""
    return torch.stack(
        [torch.stack([projector(first_rank + 2 * i + h, 10 * i + h) for h in range(2)]) for i in range(layers)]
    )


def singular(layers: int) -> tuple[Tensor, Tensor]:
    """(layers, 2, 16, 16) orthogonal matrices and (layers, 2, 16) falling values."""
    generator = torch.Generator().manual_seed(1)
    vectors = torch.linalg.qr(torch.randn(layers, 2, 16, 16, generator=generator)).Q
    return vectors, torch.rand(layers, 2, 16, generator=generator).sort(-1, descending=True).values


def write(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    return tmp_path / "tiny_pos_proj.pt"


def test_a_bank_of_projections(bank: Path, qwen: Any, tmp_path: Path) -> None:
    matrices = projectors(3)
    found = convert(write(bank, {"layers": [0, 1, 2], "proj": matrices}), qwen)
    assert found.layers == (0, 1, 2)
    for layer in range(3):
        torch.testing.assert_close(found.positive(layer), matrices[layer], rtol=0, atol=1e-5)
        assert found.parts[layer].positive.rank.tolist() == [1 + 2 * layer, 2 + 2 * layer]
        assert found.parts[layer].present.all()
        assert found.parts[layer].positive.values.isnan().all()
        assert found.shift[layer].isnan().all()
        assert found.relative_shift[layer].isnan().all()
        with pytest.raises(ValueError, match="no negative channel"):
            found.negative(layer)
    found.check(qwen)
    assert found.recommended_gain is None
    found.save(tmp_path / "out.safetensors")
    back = Projection.load(tmp_path / "out.safetensors")
    assert all(torch.equal(back.positive(layer), found.positive(layer)) for layer in range(3))
    assert back.relative_shift[1].isnan().all()


def test_layers_are_those_the_bank_names(bank: Path, qwen: Any) -> None:
    """Published loaders put row i on the i-th layer asked for; here a row goes where its number says."""
    matrices = projectors(2)
    found = convert(write(bank, {"layers": [2, 0], "proj": matrices}), qwen)
    assert found.layers == (0, 2)
    torch.testing.assert_close(found.positive(2), matrices[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(found.positive(0), matrices[1], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match=r"layer 1 is not in this projection; it holds \[0, 2\]"):
        found.positive(1)


@pytest.mark.parametrize("energy", [0.3, 0.9, 1.0])
def test_a_bank_of_singular_vectors(bank: Path, qwen: Any, energy: float) -> None:
    vectors, values = singular(3)
    content = {"layers": [0, 1, 2], "U_matrices": vectors, "singular_values": values}
    found = convert(write(bank, content), qwen, energy=energy)
    for layer in range(3):
        part = found.parts[layer]
        torch.testing.assert_close(part.positive.values, values[layer])
        for head in range(2):
            rank = next(
                r for r in range(1, 17) if values[layer, head, :r].sum() >= (energy - 1e-6) * values[layer, head].sum()
            )
            assert part.positive.rank[head] == rank
            basis = vectors[layer, head, :, :rank]
            torch.testing.assert_close(found.positive(layer)[head], basis @ basis.T, rtol=0, atol=1e-5)
            torch.testing.assert_close(part.positive.vectors[head], vectors[layer, head])
    assert found.header["oriented"] is False


def test_the_negative_twin(tmp_path: Path, qwen: Any) -> None:
    """P- comes back as the bank holds it, in both layouts; a tail of singular vectors is what their head leaves."""
    plus, minus = projectors(3), projectors(3, first_rank=9)
    at = [write(tmp_path / f"{name}.pt", {"layers": [0, 1, 2], "proj": m}) for name, m in (("p", plus), ("n", minus))]
    found = convert(at[0], qwen, negative=at[1])
    for layer in range(3):
        torch.testing.assert_close(found.positive(layer), plus[layer], rtol=0, atol=1e-5)
        torch.testing.assert_close(found.negative(layer), minus[layer], rtol=0, atol=1e-5)
    vectors, values = singular(3)
    bank = write(tmp_path / "s.pt", {"layers": [0, 1, 2], "U_matrices": vectors, "singular_values": values})
    found = convert(bank, qwen, negative=bank)
    for layer in range(3):
        eye = torch.eye(16).expand(2, -1, -1)
        torch.testing.assert_close(found.negative(layer), eye - found.positive(layer), rtol=0, atol=1e-5)
    other = write(tmp_path / "o.pt", {"layers": [0, 1], "proj": minus[:2]})
    with pytest.raises(ValueError, match=r"holds layers \[0, 1, 2\], .*holds \[0, 1\]; wanted the same"):
        convert(at[0], qwen, negative=other)


def test_heads_of_nan_or_zeros_are_absent(bank: Path, qwen: Any) -> None:
    """Both are how the published builders write a head they left out; NaN keys must never come of it."""
    matrices = projectors(3)
    matrices[0, 1], matrices[2, 0] = float("nan"), 0.0
    vectors, values = singular(3)
    vectors[0, 1], values[0, 1], values[2, 0] = float("nan"), float("nan"), float("nan")
    for content in ({"proj": matrices}, {"U_matrices": vectors, "singular_values": values}):
        found = convert(write(bank, {"layers": [0, 1, 2], **content}), qwen)
        assert [found.parts[layer].present.tolist() for layer in range(3)] == [
            [True, False],
            [True, True],
            [False, True],
        ]
        assert all(found.positive(layer).isfinite().all() for layer in range(3))
        assert not found.positive(0)[1].any()
        assert found.positive(0)[0].any()
        steering = Steering(qwen, found, positive=1.0)
        assert [steering.selected[layer].tolist() for layer in range(3)] == [[True, False], [True, True], [False, True]]


def test_bare_tensors(tmp_path: Path) -> None:
    """(D, D), (L, D, D) and (L, H, D, D), of a model with as many layers and heads."""
    one = build_model("llama", layers=1, num_key_value_heads=1)
    three = build_model("llama", num_key_value_heads=1)
    matrix, stack = projector(3, 0), torch.stack([projector(r, r) for r in (2, 3, 4)])
    torch.testing.assert_close(
        convert(write(tmp_path / "2.pt", matrix), one).positive(0), matrix[None], rtol=0, atol=1e-5
    )
    found = convert(write(tmp_path / "3.pt", stack), three)
    for layer in range(3):
        torch.testing.assert_close(found.positive(layer)[0], stack[layer], rtol=0, atol=1e-5)
    four = write(tmp_path / "4.pt", stack[:2, None])
    with pytest.raises(ValueError, match=r"names no layers and holds 2 of the model's 3; give layers"):
        convert(four, three)
    found = convert(four, three, layers=[2, 1])
    torch.testing.assert_close(found.positive(2)[0], stack[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(found.positive(1)[0], stack[1], rtol=0, atol=1e-5)


def test_an_unknown_shift_refuses_a_threshold(bank: Path, qwen: Any) -> None:
    found = convert(write(bank, {"layers": [0, 1, 2], "proj": projectors(3)}), qwen)
    Steering(qwen, found, positive=1.0)
    Steering(qwen, found, positive=1.0, heads={1: [0]})
    with pytest.raises(ValueError, match=r"min_shift=0\.2 cannot be applied.*does not know its shifts"):
        Steering(qwen, found, positive=1.0, min_shift=0.2)
    with pytest.raises(ValueError, match="gain"):
        Steering(qwen, found)  # no recommended gain in a published file


def test_only_a_bank_with_singular_values_routes(tmp_path: Path, qwen: Any) -> None:
    vectors, values = singular(3)
    layers = {"layers": [0, 1, 2]}
    routed = convert(write(tmp_path / "s.pt", {**layers, "U_matrices": vectors, "singular_values": values}), qwen)
    plain = convert(write(tmp_path / "p.pt", {**layers, "proj": projectors(3)}), qwen)
    assert Router({"a": routed, "b": routed.random()}).names == ("a", "b")
    with pytest.raises(ValueError, match="'b' has no singular values"):
        Router({"a": routed, "b": plain})
    with pytest.raises(ValueError, match=r"signed|orient"):
        Router({"a": routed, "b": routed.random()}, score="signed")  # nobody knows which way its vectors point


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return (os.mkdir, (self.path,))


def test_nothing_in_a_bank_is_executed(bank: Path, qwen: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="could not be read safely"):
        convert(write(bank, {"layers": [0], "proj": Trap(tmp_path / "sprung")}), qwen)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 broken", b"\x80\x02."])
def test_files_that_are_no_bank(bank: Path, qwen: Any, content: bytes) -> None:
    bank.write_bytes(content)
    with pytest.raises(ValueError, match=r"tiny_pos_proj\.pt could not be read safely"):
        convert(bank, qwen)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weights": torch.zeros(2)}, "holds .'weights'.; wanted 'layers' with 'proj'"),
        ([1, 2], "holds list; wanted"),
        ({"layers": [0], "U_matrices": torch.zeros(1, 2, 16, 16)}, "wanted 'layers' with 'proj'"),
        (torch.zeros(4), "1 to 4|2 to 4 dimensions"),
        ({"layers": [0, 1], "proj": projectors(3)}, "names layers .0, 1. but holds .3."),
        ({"layers": [0, 1, 7], "proj": projectors(3)}, "holds layer 7; the model has attention layers"),
        ({"layers": [0, 1, 2], "proj": torch.zeros(3, 4, 16, 16)}, r"\(4, 16, 16\); the model wants \(2, 16, 16\)"),
        ({"layers": [0, 1, 2], "proj": torch.zeros(3, 2, 8, 8)}, r"\(2, 8, 8\); the model wants"),
        ({"layers": [0, 1, 2], "proj": 0.5 * projectors(3)}, "no projection"),
        ({"layers": [0, 1, 2], "proj": "text"}, "'proj' is str"),
        ({"layers": [0, 1, 2], "proj": torch.zeros(3, 16, 16)}, r"'proj' is \(3, 16, 16\)"),
    ],
)
def test_banks_that_do_not_fit(bank: Path, qwen: Any, content: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert(write(bank, content), qwen)


@pytest.mark.parametrize(
    "values", [torch.rand(3, 2, 9), torch.rand(3, 4, 16), torch.rand(3, 1, 16)], ids=["width", "heads", "one head"]
)
def test_singular_values_must_fit_their_vectors(bank: Path, qwen: Any, values: Tensor) -> None:
    content = {"layers": [0, 1, 2], "U_matrices": singular(3)[0], "singular_values": values}
    with pytest.raises(ValueError, match="singular"):
        convert(write(bank, content), qwen)


def test_layers_are_given_only_where_the_bank_names_none(bank: Path, qwen: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"names its own layers \[0, 1, 2\]; leave layers out"):
        convert(write(bank, {"layers": [0, 1, 2], "proj": projectors(3)}), qwen, layers=[0, 1, 2])
    with pytest.raises(ValueError, match="no bank at"):
        convert(tmp_path / "missing.pt", qwen)
    with pytest.raises(ValueError, match="name one more than once"):
        convert(write(bank, {"layers": [0, 1, 1], "proj": projectors(3)}), qwen)


def test_a_negative_twin_of_another_shape_is_refused(tmp_path: Path, qwen: Any) -> None:
    plus = write(tmp_path / "p.pt", {"layers": [0, 1, 2], "proj": projectors(3)})
    for name, other in (("heads", torch.zeros(3, 1, 16, 16)), ("width", torch.zeros(3, 2, 8, 8))):
        minus = write(tmp_path / f"{name}.pt", {"layers": [0, 1, 2], "proj": other})
        with pytest.raises(ValueError, match="the model wants"):
            convert(plus, qwen, negative=minus)


def test_a_bank_in_half_precision(bank: Path, qwen: Any) -> None:
    """float16 banks are projections up to rounding."""
    matrices = projectors(3)
    found = convert(write(bank, {"layers": [0, 1, 2], "proj": matrices.half()}), qwen)
    torch.testing.assert_close(found.positive(2), matrices[2], rtol=0, atol=2e-3)
    torch.testing.assert_close(found.positive(2) @ found.positive(2), found.positive(2), rtol=0, atol=1e-5)


def test_vectors_that_are_not_orthonormal_are_refused(tmp_path: Path) -> None:
    torch.save(
        {"layers": [0], "U_matrices": torch.ones(1, 2, 16, 16), "singular_values": torch.ones(1, 2, 16)},
        tmp_path / "u.pt",
    )
    with pytest.raises(ValueError, match="not orthonormal"):
        convert(tmp_path / "u.pt", build_model())
