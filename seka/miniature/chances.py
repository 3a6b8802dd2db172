"""What the shipped model makes of two statements in each wording that is kept for evaluation, for `corpus.wordings`.

The corpus never goes by these wordings, so a chance in them can be no more than the model's own: without steering, the first
statement's part of the answers that follow either. Where too few rows tell the side, it is one half.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from random import Random
from typing import Any

from seka.miniature import load
from seka.miniature.corpus.asking import Case, Options
from seka.miniature.corpus.cases import conflict
from seka.miniature.corpus.wordings import PAIRS
from seka.miniature.measures import ways as w
from seka.miniature.measures.evaluate import VALIDATION, Rate, draw, first_right
from seka.miniature.measures.tasks import NOWHERE

ROWS = 400
"""Validation rows of each wording."""


def chances(model: Any, tokenizer: Any, n: int = ROWS, split: str = VALIDATION) -> dict[str, Rate]:
    """{wording as it stands among those that are kept: how often the plain answer follows the first of its statements, of
    the answers that follow either}, on `n` rows each, their words unseen too. ValueError for n < 1."""
    if n < 1:
        raise ValueError(f"{n} rows of each wording asked for; wanted at least 1")
    return {wording: followed_first(model, tokenizer, wording, n, split) for wording in PAIRS.held}


def followed_first(model: Any, tokenizer: Any, wording: str, n: int, split: str) -> Rate:
    """Of the plain answers that follow one of two statements which stand in one wording, how many follow the first."""

    def stated(random: Random, options: Options) -> Case:
        return conflict(random, options, wording)

    rows = draw(stated, n, f"{split}, {wording}", tokenizer, NOWHERE)
    said = w.first_tokens(tokenizer, [row.marked(0) for row in rows], w.plain(model))
    first, second = (
        sum(first_right(row, index, token) for row, token in zip(rows, said, strict=True)) for index in (0, 1)
    )
    return Rate(first, first + second)


def written(rate: Rate) -> str:
    """The chance as it is to stand in a wording: one half where no answer follows either, or the 95 % interval holds one half."""
    if rate.n == 0 or rate.interval[0] <= 0.5 <= rate.interval[1]:
        return "0.5"
    return f"{round(rate.value, 2):g}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `python -m seka miniature chances`."""
    parser.add_argument("--rows", type=int, default=ROWS, help=f"validation rows of each wording (default {ROWS})")


def run(args: argparse.Namespace, report: Callable[[str], None] = lambda line: None) -> None:
    """Report each wording with its chance, and with the one that stands in corpus/wordings.py where that is another."""
    for wording, rate in chances(*load(), args.rows).items():
        together, stands = wording.split("|")
        new = written(rate)
        report(f"{together!r}: {rate.hits} of {rate.n}, {new}" + ("" if new == stands else f" where {stands} stands"))
