"""Sliding windows shorter than every prompt: layers that have dropped marked columns before the prompt ends."""

from __future__ import annotations

from typing import Any

from cells import cell, every_family, expected, matrix
from unsupported import refused

EVERY = {"sliding_window": 5}
MIXED = {**EVERY, "layer_types": ("sliding_attention", "full_attention", "sliding_attention")}
ASKED = {**MIXED, "use_sliding_window": True}
#: The families whose configuration has a window, and how it is set.
WINDOWED: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("mistral", "mixtral", "starcoder2", "phi3", "phimoe", "ministral3"), EVERY),
    **dict.fromkeys(
        ("gemma3n_text", "gemma4_text", "gemma4"), EVERY
    ),  # half of their layers, of which others take keys
    **dict.fromkeys(("gemma2", "gemma3_text", "gemma3", "vaultgemma", "cohere2", "cohere2_moe", "olmo3"), MIXED),
    **dict.fromkeys(("exaone4", "exaone_moe", "gpt_oss", "ministral", "cwm", "dots1"), MIXED),
    **dict.fromkeys(("qwen2", "qwen3", "qwen2_moe", "smollm3"), ASKED),
    "qwen3_moe": {**EVERY, "use_sliding_window": True},
    "llama4_text": {"attention_chunk_size": 6},
}
MODES: dict[str, dict[str, Any]] = {
    "window": {},
    "window, no cache": {"use_cache": False},
    "window, chunked": {"prefill_chunk_size": 4},
    "window, static": {"cache_implementation": "static"},
    "window, static, chunked": {"cache_implementation": "static", "prefill_chunk_size": 7},
}


@matrix(MODES, plain=["window", "window, static, chunked"], of=WINDOWED)
def test_windows_shorter_than_the_prompt(family: str, mode: str) -> None:
    here = cell(family, **WINDOWED[family])
    if not refused(here, **MODES[mode]):
        assert here.produce(**MODES[mode]) == expected(here)
    assert expected(here) != expected(cell(family))  # the window matters


@every_family
def test_no_window_is_left_out(family: str) -> None:
    config = cell(family).model.config.get_text_config()
    assert any(hasattr(config, name) for name in ("sliding_window", "attention_chunk_size")) == (family in WINDOWED)
