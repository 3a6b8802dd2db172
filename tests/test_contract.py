"""Families by decoding modes: rows of different lengths, plain and steered in one batch, token for token as by hand.

Every cell compares transformers' own `generate` under `seka.steer` with an uncached loop over one unpadded row that edits
keys one at a time; `cells` has the rows, `byhand` and `decoding` the loop. Other modes have files of their own.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from byhand import run
from cells import NEW, Cell, cell, expected, matrix
from conftest import build_tokenizer
from decoding import greedy
from setting import close, rows_of
from torch import Tensor
from unsupported import refused

import seka

MODES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "no cache": {"use_cache": False},
    "chunked": {"prefill_chunk_size": 5},  # the last of a single column
    "chunks of one": {"prefill_chunk_size": 1},
    "static": {"cache_implementation": "static"},
    "static, chunked": {"cache_implementation": "static", "prefill_chunk_size": 7},
}


@matrix(MODES, plain=["greedy", "no cache", "static, chunked"])
def test_greedy(family: str, mode: str) -> None:
    """Every step's token, and its logits in float32 as transformers hands them out."""
    here = cell(family)
    if refused(here, **MODES[mode]):
        return
    out = here.produce(output_logits=True, return_dict_in_generate=True, **MODES[mode])
    assert out.sequences[:, -NEW:].tolist() == expected(here)
    near = max(1e-5, close(family))
    torch.testing.assert_close(torch.stack(out.logits, 1), logits_by_hand(here), rtol=0, atol=near)


@matrix(["chunked"])
def test_generate(family: str, mode: str) -> None:
    """`seka.generate` passes modes on."""
    here, tokenizer = cell(family), build_tokenizer()
    prompt = seka.Prompt.marked("Ada **plays golf**. Ada **plays**")
    settings = {"max_new_tokens": NEW, "do_sample": False, **MODES[mode]}
    (row,) = rows_of(seka.encode(prompt, tokenizer))
    by_hand, plain = (greedy(here.model, family, *row, plan, NEW) for plan in (here.plans[0], None))
    found = list(seka.generate(here.model, tokenizer, prompt, here.steerings[0], **settings).ids)
    assert found == by_hand[: len(found)] != plain[: len(found)]
    assert len(found) == NEW or found[-1] == tokenizer.eos_token_id


@cache
def logits_by_hand(here: Cell) -> Tensor:
    """(B, NEW, V) float32: of each row, its prompt and answer computed at once."""
    rows = []
    for (ids, marks, plan), answer in zip(here.rows(), expected(here), strict=True):
        whole = run(here.model, here.family, [*ids, *answer], marks, plan, len(ids))[0]
        rows.append(whole[len(ids) - 1 : -1].float())
    return torch.stack(rows)
