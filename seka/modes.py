"""What a call of `generate` was asked for, and which of its modes cannot be steered. Knows settings; calls no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seka.sites import check_fits, context_length

_REFUSED = {
    "guidance_scale": "it calls the model again for an unconditional prompt, which would be steered too",
    "negative_prompt_ids": "it calls the model again for another prompt, which would be steered too",
    "negative_prompt_attention_mask": "it calls the model again for another prompt, which would be steered too",
    "custom_generate": "its calls of the model are unknown",
    "trust_remote_code": "it runs a decoding loop from the Hub, whose calls of the model are unknown",
    "token_healing": "it changes the prompt's last tokens, so that marks would stand on others",
}
_ASSISTED = ("assistant_model", "prompt_lookup_num_tokens", "assistant_early_exit", "use_mtp")
_ENDINGS = ("stop_strings", "stopping_criteria", "max_time")


class Settings:
    """The settings as transformers will read them: a keyword, else the generation_config given, else the model's own."""

    def __init__(self, model: Any, options: Mapping[str, Any]) -> None:
        self._options = options
        self._configs = (options.get("generation_config"), getattr(model, "generation_config", None))

    def __getitem__(self, name: str) -> Any:
        if name in self._options:
            return self._options[name]
        found = (getattr(config, name, None) for config in self._configs)
        return next((value for value in found if value is not None), None)

    def refuse(self) -> None:
        """ValueError for modes that would steer something else than the marked words, or nothing."""
        for name, reason in _REFUSED.items():
            if self._asked(name) and (name != "guidance_scale" or self[name] != 1):
                raise ValueError(f"{name} cannot be combined with seka: {reason}; leave it out")
        if self["cache_implementation"] == "paged":
            raise ValueError(
                "cache_implementation='paged' cannot be combined with seka: a paged cache mixes all requests in one row, "
                "so marked tokens cannot be placed; use another cache"
            )
        assisted = [name for name in _ASSISTED if self._asked(name)]
        for name in ("num_beams", "num_return_sequences"):
            if assisted and (self[name] or 1) > 1:
                raise ValueError(
                    f"{assisted[0]} cannot be combined with {name}={self[name]}: assisted decoding and prompt look-up "
                    "follow one sequence; leave one of the two out"
                )

        several = (self["num_return_sequences"] or 1) > 1 and (self["num_beams"] or 1) == 1
        for name in ("stop_strings", "stopping_criteria"):
            if several and self._asked(name):
                raise ValueError(
                    f"{name} cannot be combined with num_return_sequences={self['num_return_sequences']}: a row that has "
                    "stopped goes on or is padded while others run, so its end cannot be told; ask for one answer a call"
                )

    def new_tokens(self, model: Any, length: int) -> int:
        """The most new tokens after a prompt of `length`. ValueError, naming both lengths, where they cannot be had."""
        new, longest = self["max_new_tokens"], self["max_length"]
        if new is None and longest is not None:
            new = longest - length
            if new < 1:
                raise ValueError(
                    f"max_length is {longest}, which counts the prompt, and the prompt has {length} tokens; "
                    "ask for more, or use max_new_tokens"
                )
        if new is None:  # transformers' own default: 20, or as many as still fit
            limit = context_length(model)
            new = 20 if limit is None else max(1, min(20, limit - length))
        check_fits(model, length, new)
        least = self["min_new_tokens"] or (self["min_length"] or 0) - length
        if least > new:
            raise ValueError(
                f"at least {least} new tokens are wanted and at most {new} are allowed; change one of them"
            )
        return int(new)

    def may_stop(self) -> bool:
        """Whether an answer may end in other ways than by its end token and its length."""
        return any(self._asked(name) for name in _ENDINGS)

    def _asked(self, name: str) -> bool:
        return self[name] is not None and self[name] is not False
