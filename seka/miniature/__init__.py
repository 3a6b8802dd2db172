"""The embedded language model: where its files are and how to load them. How it is made is in the modules beside.

    python -m seka miniature train | compare | average | chances | learn | card | check

`corpus` makes its text; `tokenizer`, `batches`, `model`, `optimiser`, `probe` and `train` make the model, `compare` compares
runs and `average` takes their mean, `chances` says what it makes of two statements in wordings it never saw, `learn` makes its
experts and `strength` chooses their gains, `measures` knows what it is measured by, `card` and `check` measure. None is imported
here.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seka.experts import NAME, Experts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

    from seka.routing import Router

ROOT = Path(__file__).resolve().parents[2]


def path() -> Path:
    """Folder of weights, tokenizer and card; any transformers loader takes it."""
    return ROOT / "assets" / "miniature"


def load(**options: Any) -> tuple[Qwen3ForCausalLM, PreTrainedTokenizerFast]:
    """(model, tokenizer): float32, evaluation mode, on the CPU. options: more for `from_pretrained`."""
    import torch
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

    if not (path() / "model.safetensors").exists():
        raise FileNotFoundError(
            f"no weights in {path()}; check out the whole repository, or: python -m seka miniature train"
        )
    model = Qwen3ForCausalLM.from_pretrained(path(), dtype=torch.float32, **options)
    model.eval()
    return model, PreTrainedTokenizerFast.from_pretrained(path())


def projections() -> Path:
    """Folder of the projections learnt on this model, with their experts.json."""
    return ROOT / "projections"


def experts() -> dict[str, Path]:
    """{name: file} of the experts that the router mixes."""
    return dict(Experts.of(projections()).mixed)


def alone() -> dict[str, Path]:
    """{name: file} of the experts that are used by themselves only: "pooled", learnt from all kinds of triplets together."""
    return dict(Experts.of(projections()).alone)


def router() -> Router:
    """The router over `experts()`, with the settings that were chosen for it."""
    from seka.routing import Router

    return Router.load(projections() / NAME)
