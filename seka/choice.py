"""Pick the next token of each row from its logits. Knows numbers only: no model, no text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LogitsProcessorList
from transformers.generation.logits_process import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)


@dataclass
class Choice:
    """Greedy, or drawn with noise that all rows share, so that they differ only where their distributions do.

    top_k: 0 for all. ValueError for settings that mean nothing.
    """

    do_sample: bool = False
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.top_p <= 1 or self.top_k < 0 or self.repetition_penalty <= 0:
            raise ValueError(
                f"top_p is {self.top_p}, top_k {self.top_k}, repetition_penalty {self.repetition_penalty}; "
                "wanted 0 < top_p <= 1, top_k >= 0 (0: all), repetition_penalty > 0"
            )
        if self.do_sample and self.temperature <= 0:
            raise ValueError(
                f"temperature is {self.temperature}; wanted more than 0, or do_sample=False for greedy decoding"
            )
        self.generator = torch.Generator().manual_seed(self.seed)
        self.processors = LogitsProcessorList()
        if self.repetition_penalty != 1.0:
            self.processors.append(RepetitionPenaltyLogitsProcessor(self.repetition_penalty))
        if self.do_sample:
            if self.temperature != 1.0:
                self.processors.append(TemperatureLogitsWarper(self.temperature))
            if self.top_k:
                self.processors.append(TopKLogitsWarper(self.top_k))
            if self.top_p < 1.0:
                self.processors.append(TopPLogitsWarper(self.top_p))

    def __call__(self, ids: Tensor, logits: Tensor) -> Tensor:
        """ids (B, T), logits (B, V) -> (B,). Sampling adds one Gumbel draw (V,) to every row and takes the largest."""
        scores: Tensor = self.processors(ids, logits)  # type: ignore[arg-type]
        if self.do_sample:
            uniform = torch.rand(scores.shape[-1], generator=self.generator, dtype=torch.float64)
            scores = scores - (-uniform.clamp(min=1e-300).log()).log().to(scores)
        return scores.argmax(-1)
