"""Both answers as they grow, in every family: `seka.stream` calls the model step by step, and not as `generate` does."""

from __future__ import annotations

import pytest
from byhand import Plan
from cells import cell
from conftest import build_tokenizer
from decoding import greedy
from families import FAMILIES
from setting import prompts, rows_of

import seka
from seka import Steering

NEW = 5


@pytest.mark.parametrize("family", FAMILIES)
def test_stream(family: str) -> None:
    """The plain row is the model's own answer and the steered one that by hand; they differ."""
    here, tokenizer, prompt = cell(family), build_tokenizer(), prompts()[1]
    steering = Steering(here.model, here.projections[0], here.gain)
    pair = seka.compare(here.model, tokenizer, prompt, steering, max_new_tokens=NEW)
    ((ids, marks),) = rows_of(seka.encode(prompt, tokenizer))
    plan = Plan([here.projections[0]], here.gain)
    assert list(pair.plain.ids) == ended(greedy(here.model, family, ids, marks, None, NEW))
    assert list(pair.steered.ids) == ended(greedy(here.model, family, ids, marks, plan, NEW))
    own = seka.generate(here.model, tokenizer, prompt, max_new_tokens=NEW, do_sample=False)
    assert own.ids == pair.plain.ids
    assert not pair.identical


def ended(ids: list[int]) -> list[int]:
    """Up to the tokenizer's end token, with which an answer ends."""
    end = build_tokenizer().eos_token_id
    return ids[: ids.index(end) + 1] if end in ids else ids


def test_what_only_generate_takes_is_refused() -> None:
    here, tokenizer = cell("llama"), build_tokenizer()
    steering = Steering(here.model, here.projections[0], here.gain)
    with pytest.raises(ValueError, match=r"compare does not take num_beams; it takes max_new_tokens, .*seka\.generate"):
        seka.compare(here.model, tokenizer, prompts()[1], steering, num_beams=2)
