"""Tiny random models of each family and a byte-level tokenizer, built here; nothing is downloaded."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import settings
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

import seka

FAMILIES = ("qwen3", "qwen2", "llama", "mistral", "gemma2", "gemma3_text", "olmo2")

PROMPTS = [
    "Previously Ada plays chess. Currently **Ada plays golf**. Ada plays",
    "**Bob** sings; Cleo does ~~not~~ sing. So **Bob**",
    "In town the old harp is played by Dan, **who lives here**, and by nobody else. Dan **plays**",
]

torch.set_num_threads(1)
settings.register_profile("seka", deadline=None)  # a busy machine is no failure
settings.load_profile("seka")


@cache
def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of about 300 pieces whose offsets include the leading blank, as Qwen's do."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False)
    inner.decoder = decoders.ByteLevel()
    text = [
        "Previously Ada plays chess. Currently Ada plays golf.",
        "Question: What does Ada play?\nContext: Ada plays golf.",
    ]
    inner.train_from_iterator(
        text * 4,
        trainers.BpeTrainer(
            vocab_size=300,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=["<|endoftext|>"],
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|endoftext|>", pad_token="<|endoftext|>")


@cache
def build_model(
    family: str = "qwen3", dtype: torch.dtype | None = None, layers: int = 3, seed: int = 0, **changes: Any
) -> Any:
    """A random causal model: 2 KV heads, 4 query heads, width 16. Weights are scaled up so that attention is not flat.

    float64 and SDPA, but float32 and eager for Gemma 2: transformers runs it in eager attention only (soft caps), and
    eager attention makes NaN of padding rows in float64.
    """
    eager = family == "gemma2"
    dtype = dtype or (torch.float32 if eager else torch.float64)
    torch.manual_seed(seed)
    settings = {
        "vocab_size": 400,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "initializer_range": 0.2,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": 0,
        **{name: list(value) if isinstance(value, tuple) else value for name, value in changes.items()},
    }
    config = AutoConfig.for_model(family, **settings)
    attention = "eager" if eager else "sdpa"
    return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation=attention).eval()


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


@pytest.fixture
def tokens(tokenizer: PreTrainedTokenizerFast) -> seka.Tokens:
    """Three marked prompts of different lengths, left padded."""
    return seka.encode([seka.Prompt.marked(text) for text in PROMPTS], tokenizer)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(family: str) -> Any:
    """Each family in turn, float64 (Gemma 2: float32)."""
    return build_model(family)


@pytest.fixture
def qwen() -> Any:
    """One family, float64, for laws that do not depend on it."""
    return build_model("qwen3")


TRIPLETS = [
    seka.Triplet(f"{who} plays {what} in town.", f"What does {who} play?", what, f"Where does {who} sing?")
    for who, what in [
        ("Ada", "golf"),
        ("Bob", "chess"),
        ("Cleo", "the old harp"),
        ("Dan", "tennis"),
        ("Eve", "go"),
        ("Finn", "polo"),
    ]
]


@pytest.fixture
def triplets() -> list[seka.Triplet]:
    return list(TRIPLETS)


@pytest.fixture
def learnt(tokenizer: Any, triplets: list[seka.Triplet]) -> Callable[..., seka.Projection]:
    """learnt(model, **options): a projection of that model."""

    def run(model: Any, **options: Any) -> seka.Projection:
        return seka.learn(model, tokenizer, options.pop("triplets", triplets), **options)

    return run
