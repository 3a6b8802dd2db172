"""Tiny random models and a byte-level tokenizer, built here; nothing is downloaded."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["SEKA_CACHE"] = os.path.join(os.path.dirname(__file__), "screenshots", "cache")

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from families import build
from hypothesis import settings
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import seka

#: Families for tests whose law does not depend on where keys are; all of them are in `families.FAMILIES`.
FAMILIES = ("qwen3", "qwen2", "llama", "mistral", "gemma2", "gemma3_text", "olmo2")

PROMPTS = [
    "Previously Ada plays chess. Currently **Ada plays golf**. Ada plays",
    "**Bob** sings; Cleo does ~~not~~ sing. So **Bob**",
    "In town the old harp is played by Dan, **who lives here**, and by nobody else. Dan **plays**",
]

torch.set_num_threads(1)
settings.register_profile("seka", deadline=None)  # a busy machine is no failure
settings.load_profile("seka")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With several workers, one has all browser tests, since two pages at once starve each other, and files stay whole."""
    for item in items:
        browser = item.get_closest_marker("browser")
        item.add_marker(pytest.mark.xdist_group("browser" if browser else item.path.name))


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
    family: str = "qwen3", dtype: torch.dtype | None = None, layers: int | None = None, seed: int = 0, **changes: Any
) -> Any:
    """The tiny model of a family, as `families.build` makes it; made once."""
    return build(family, dtype, layers, seed, **changes)


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


@pytest.fixture
def tokens(tokenizer: PreTrainedTokenizerFast) -> seka.Tokens:
    """Three marked prompts of different lengths, left padded."""
    return seka.encode([seka.Prompt.marked(text) for text in PROMPTS], tokenizer)


@pytest.fixture
def one(tokenizer: PreTrainedTokenizerFast) -> seka.Tokens:
    """The first of them alone."""
    return seka.encode(seka.Prompt.marked(PROMPTS[0]), tokenizer)


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


@pytest.fixture
def llama() -> Any:
    """One whose answers steering changes easily."""
    return build_model("llama", tie_word_embeddings=False)


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
