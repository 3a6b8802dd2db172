"""The embedded language model: where its files are and how to load them. How it is made is in the modules beside.

    python -m seka miniature train | trial | learn | card | check

`corpus` makes its text; `tokenizer`, `batches`, `model`, `optimiser`, `probe` and `train` make the model, `trial` looks at any
weights, `learn` makes its experts, `measures` knows what it is measured by, `card` and `check` measure. None is imported here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, Qwen3ForCausalLM

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


def experts() -> dict[str, Path]:
    """{name: file} of the projections learnt on this model, as projections/experts.json lists them."""
    listed = ROOT / "projections" / "experts.json"
    entries = json.loads(listed.read_text(encoding="utf-8")) if listed.exists() else {}
    return {name: listed.parent / file for name, file in entries.items()}
