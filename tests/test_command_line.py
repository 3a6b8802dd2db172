"""The command line end to end on a tiny model in a folder: what it prints, what it writes, how it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TRIPLETS, build_model, build_tokenizer

import seka
from seka.__main__ import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    build_model("qwen3", torch.float32).save_pretrained(path)
    build_tokenizer().save_pretrained(path)
    lines = [json.dumps(vars(triplet)) for triplet in TRIPLETS]
    (path / "triplets.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def bank(folder: Path) -> Path:
    out = folder / "facts.safetensors"
    arguments = ["learn", "--model", str(folder), "--out", str(out), "--triplets", str(folder / "triplets.jsonl")]
    assert main([*arguments, "--recommended-gain", "2", "--description", "Learnt from games."]) == 0
    return out


def test_generate_prints_plain_and_steered_as_the_library_gives_them(
    folder: Path, bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "Ada plays chess. **Ada plays golf**.\nAda is a ~~player~~ of"
    arguments = ["generate", text, "--model", str(folder), "--projection", str(bank), "--max-new-tokens", "6", "--json"]
    assert main(arguments) == 0
    record = json.loads(capsys.readouterr().out)
    from seka.loading import load

    model, tokenizer = load(str(folder))
    prompt = seka.Prompt.marked(text)
    pair = seka.compare(model, tokenizer, prompt, seka.Steering(model, seka.Projection.load(bank)), max_new_tokens=6)
    assert record["prompt"] == prompt.text
    assert "**" not in record["prompt"]
    assert record["spans"] == [[17, 31], [42, 48]]
    assert record["weights"] == [1.0, -1.0]
    assert (record["plain"], record["steered"]) == (pair.plain.text, pair.steered.text)
    assert record["strength"] == 2.0


def test_in_a_log_progress_is_a_line_for_every_tenth(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = tmp_path / "many.jsonl"
    many.write_text("\n".join([(folder / "triplets.jsonl").read_text(encoding="utf-8")] * 4), encoding="utf-8")
    arguments = ["learn", "--model", str(folder), "--out", str(tmp_path / "x.safetensors"), "--triplets", str(many)]
    assert main([*arguments, "--batch-size", "1"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"{done} of 24 triplets" for done in (3, 5, 8, 10, 12, 15, 17, 20, 22, 24)]


def test_literal_marks_nothing(folder: Path, bank: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "generate",
        "2**3",
        "--model",
        str(folder),
        "--projection",
        str(bank),
        "--max-new-tokens",
        "2",
        "--json",
    ]
    assert main([*arguments, "--literal"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["prompt"] == "2**3"
    assert record["plain"] == record["steered"]


def test_a_router_file_is_mixed_and_reported(folder: Path, bank: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seka.Projection.load(bank).random(0).save(folder / "other.safetensors")
    config = folder / "experts.json"
    config.write_text(json.dumps({"facts": bank.name, "other": "other.safetensors"}), encoding="utf-8")
    arguments = ["generate", "**Ada** plays", "--model", str(folder), "--router", str(config), "--max-new-tokens", "3"]
    assert main([*arguments, "--json"]) == 0
    experts = json.loads(capsys.readouterr().out)["experts"]
    assert set(experts) == {"facts", "other"}
    assert sum(experts.values()) == pytest.approx(1)


def test_inspect_lists_every_head(bank: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(bank)]) == 0
    out = capsys.readouterr().out
    assert "Learnt from games." in out
    assert "recommended gain 2.0, recommended layers all" in out
    assert re.search(r"^ {4}0( +\d+ +\d\.\d{3} +1)+$", out, re.MULTILINE)
    assert main(["inspect", str(bank), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    projection = seka.Projection.load(bank)
    assert [row["layer"] for row in record["heads"]] == list(projection.layers)
    assert record["heads"][0]["scale"] == [1.0] * len(record["heads"][0]["rank"])
    assert record["heads"][1]["relative_shift"] == pytest.approx(projection.relative_shift[1].tolist(), abs=1e-4)


def test_learnt_recommended_layers_are_those_that_generate_steers(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = str(tmp_path / "few.safetensors")
    learn = ["learn", "--model", str(folder), "--out", few, "--triplets", str(folder / "triplets.jsonl")]
    assert main([*learn, "--recommended-gain", "20", "--recommended-layers", "last1"]) == 0
    assert seka.Projection.load(few).layers == (0, 1, 2)
    assert main(["inspect", few]) == 0
    assert "recommended layers last1" in capsys.readouterr().out
    generate = [
        "generate",
        "**Ada** plays",
        "--model",
        str(folder),
        "--projection",
        few,
        "--max-new-tokens",
        "8",
        "--json",
    ]

    def steered(*options: str) -> str:
        assert main([*generate, *options]) == 0
        return str(json.loads(capsys.readouterr().out)["steered"])

    assert steered() == steered("--layers", "last1") != steered("--layers", "all")
    assert main([*learn, "--layers", "0,1", "--recommended-layers", "last2"]) == 2
    assert "names layers [2], and --layers 0,1 leaves them out" in capsys.readouterr().err
    assert main([*learn, "--recommended-layers", "1:0,7"]) == 2
    assert "layer 1 has no heads [7]; wanted some of 0 to 1" in capsys.readouterr().err
    assert main([*learn, "--recommended-gain", "20", "--recommended-layers", "2:0,1"]) == 0
    capsys.readouterr()
    assert steered() == steered("--layers", "last1")


def test_convert_writes_a_projection_of_the_model(folder: Path, tmp_path: Path) -> None:
    vectors = torch.linalg.qr(torch.randn(3, 2, 16, 16, generator=torch.Generator().manual_seed(0))).Q
    torch.save(
        {"layers": [0, 1, 2], "U_matrices": vectors, "singular_values": torch.ones(3, 2, 16)}, tmp_path / "in.pt"
    )
    out = tmp_path / "out.safetensors"
    assert main(["convert", str(tmp_path / "in.pt"), str(out), "--model", str(folder), "--energy", "0.5"]) == 0
    assert seka.Projection.load(out).part(1).positive.rank.tolist() == [8, 8]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "x", "--model", "no/such-model", "--projection", "{bank}"], "no/such-model"),
        (["generate", "**x**", "--model", "{folder}"], "--projection FILE or --router JSON"),
        (
            ["generate", "**x**", "--model", "{folder}", "--projection", "{bank}", "--layers", "7"],
            "not attention layers",
        ),
        (["generate", "**x**", "--model", "{folder}", "--projection", "gone.safetensors"], "no projection at gone"),
        (["generate", "", "--model", "{folder}", "--projection", "{bank}"], "no tokens"),
        (["inspect", "{folder}/config.json"], "not a projection of seka"),
        (["learn", "--model", "{folder}", "--out", "x", "--triplets", "gone.jsonl"], "gone.jsonl"),
        (
            ["learn", "--model", "{folder}", "--out", "x", "--recommended-gain", "0"],
            "--recommended-gain is 0.0; wanted",
        ),
        (["convert", "{bank}", "x", "--model", "{folder}"], "wanted 'layers' with 'proj'"),
        (["convert", "{folder}/config.json", "x", "--model", "{folder}"], "could not be read safely"),
    ],
)
def test_a_users_error_is_one_line_and_status_2(
    arguments: list[str], message: str, folder: Path, bank: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([a.format(folder=folder, bank=bank) for a in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_unknown_option_is_one_line_and_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["generate"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out: Any = capsys.readouterr().out
    assert all(command in out for command in ("generate", "learn", "inspect", "convert", "miniature", "app"))
