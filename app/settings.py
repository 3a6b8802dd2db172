"""What beside the prompt decides a run: plain values, each with its default. Whether they make sense is `actions.check`'s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.models import ADAPTIVE


@dataclass(frozen=True)
class Settings:
    """What beside the prompt decides a run. strength None: the mode's recommended gain; temperature 0: greedy.

    layers: "" for what the mode's files recommend; else layers, as "last4" or "3,5", or heads of them, "0:1,3;4:0".
    heads: "" for those that `layers` and `min_shift` select; else just the KV heads that are named, as "0:1,3;4:0".
    """

    mode: str = ADAPTIVE
    strength: float | None = None
    max_new_tokens: int = 32
    layers: str = ""
    min_shift: float = 0.0
    seed: int = 0
    temperature: float = 0.0
    literal: bool = False
    heads: str = ""

    def decoding(self) -> dict[str, Any]:
        """How answers are drawn: keyword arguments of `seka.stream` and of `seka.sweep`."""
        return {
            "max_new_tokens": self.max_new_tokens,
            "do_sample": self.temperature > 0,
            "temperature": self.temperature or 1.0,
            "seed": self.seed,
        }
