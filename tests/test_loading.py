"""Loading by name with an attention back end: a model gets the fastest it can run, or says why not."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flash
import pytest
import torch
from conftest import build_model, build_tokenizer
from transformers import PreTrainedModel

from app import models
from seka import backends
from seka.__main__ import main
from seka.loading import load

pytestmark = pytest.mark.filterwarnings("ignore:_compile flag on create_block_mask:DeprecationWarning")


@pytest.fixture(autouse=True)
def bare() -> Iterator[None]:
    with flash.absent():
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    """folder(family, dtype): a model on disk."""

    def save(family: str, dtype: torch.dtype = torch.bfloat16) -> str:
        build_model(family, dtype=dtype).save_pretrained(tmp_path)
        build_tokenizer().save_pretrained(tmp_path)
        return str(tmp_path)

    return save


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA device of compute capability 9.0, as far as the choice of a back end looks at it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))
    monkeypatch.setattr(backends, "input_device", lambda _model: torch.device("cuda", 0))


def implementation(name: str | None, **options: Any) -> str:
    """What a model loaded on the CPU runs."""
    model, _ = load(name, "cpu", **options)
    return str(model.config.get_text_config()._attn_implementation)


def test_auto_is_sdpa_or_eager_without_a_gpu(folder: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert implementation(None) == "sdpa"
        assert implementation(folder("qwen3")) == "sdpa"
        assert implementation(folder("gemma2")) == "eager"


def test_auto_is_flash_attention_where_it_can_run(
    folder: Any, gpu: None, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    assert implementation(folder("qwen3")) == "sdpa"  # nothing is installed
    monkeypatch.setattr(backends, "is_flash_attn_2_available", lambda: True)
    with flash.installed():
        assert implementation(folder("qwen3")) == "flash_attention_2"
        assert implementation(folder("gemma2")) == "flash_attention_2"
    assert not [warning for warning in recwarn if "FlashAttention" in str(warning.message)]


def test_auto_says_once_why_not(folder: Any, gpu: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves the model as it was loaded."""
    monkeypatch.setattr(backends, "is_flash_attn_2_available", lambda: True)

    def told(name: str, runs: str, why: str) -> None:
        with pytest.warns(UserWarning, match=f"installed, but this model runs '{runs}': .*{why}") as caught:
            assert implementation(name) == runs
        assert len([one for one in caught if "FlashAttention" in str(one.message)]) == 1

    with flash.installed():
        told(folder("qwen3", torch.float32), "sdpa", "float16 and bfloat16, and the model is in float32")
        told(folder("bloom"), "eager", "transformers has none for a BloomForCausalLM")
        told(folder("falcon"), "sdpa", "FalconForCausalLM chooses its attention while it is loaded; ask for attn=")
        assert implementation(folder("falcon"), attn="flash_attention_2") == "flash_attention_2"
        with monkeypatch.context() as patch:
            patch.setattr(torch.cuda, "get_device_capability", lambda _device: (7, 5))
            told(folder("qwen3"), "sdpa", "compute capability 8.0 or more, and this one has 7.5")
        with monkeypatch.context() as patch:
            patch.setattr(backends, "WIDEST", 8)
            told(folder("qwen3"), "sdpa", "at most 8 wide, and those of layer 0 are 16")
    told(folder("qwen3"), "sdpa", "the package for FlashAttention2 doesn't seem to be installed")
    told(folder("gpt_oss"), "eager", "`kernels` is either not installed")


def test_a_part_without_it_keeps_the_whole_model_as_it_was(
    folder: Any, gpu: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers changes a wrapper part by part, and finds only then that its last part cannot."""
    monkeypatch.setattr(backends, "is_flash_attn_2_available", lambda: True)
    name = folder("gemma3")
    with flash.installed():
        changed, _ = load(name, "cpu")
        parts = [part for part in changed.modules() if isinstance(part, PreTrainedModel)]
        assert {part.config._attn_implementation for part in parts} == {"flash_attention_2"}
        monkeypatch.setattr(type(parts[-1]), "_supports_flash_attn", False)
        with pytest.warns(UserWarning, match="this model runs 'sdpa': .* does not support Flash Attention 2"):
            model, _ = load(name, "cpu")
    left = [part.config._attn_implementation for part in model.modules() if isinstance(part, PreTrainedModel)]
    assert len(left) > 2
    assert set(left) == {"sdpa"}


def test_a_name_is_passed_on(folder: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert implementation(None, attn="eager") == "eager"
    assert implementation(folder("qwen3"), attn="flex_attention") == "flex_attention"
    arguments = ["generate", "Ada **plays**", "--max-new-tokens", "1"]
    assert main([*arguments, "--attn", "eager"]) == 0
    assert main([*arguments, "--attn", "quick"]) == 2
    assert "could not be loaded with attn='quick'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("family", "attn", "reason"),
    [
        ("qwen3", "quick", r"with attn='quick': Specified `attn_implementation=\"quick\"` is not supported"),
        ("gemma2", "sdpa", "with attn='sdpa': Gemma2ForCausalLM does not support"),
        ("qwen3", "flash_attention_2", "attn='flash_attention_2' needs a CUDA device, and there is none"),
        ("qwen3", "someone/kernel", "with attn='someone/kernel': `kernels` is either not installed"),
    ],
)
def test_a_name_that_cannot_be_had(folder: Any, family: str, attn: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        load(folder(family), attn=attn)


def test_flash_attention_beside_its_gpu(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a GPU, but the model is not on it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    wanted = "'flash_attention_2' cannot be had: it needs a CUDA device, and the model is on cpu"
    with flash.installed(), pytest.raises(ValueError, match=wanted):
        load(folder("qwen3"), "cpu", attn="flash_attention_2")


def test_the_page_takes_the_name_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def note(_name: Any, **options: Any) -> None:
        asked.append(options["attn"])
        raise ValueError("not now")

    monkeypatch.setattr(models, "load", note)
    for value in ("", "eager"):
        monkeypatch.setenv("SEKA_ATTN", value)
        models.Studio("a model", {})._load(None)
    assert asked == ["auto", "eager"]
