"""How well steering works on the embedded model: marked cases in, rates with intervals out. It writes no files.

Everything goes by the first token of a greedy answer, compared with the first tokens of the rival answers; cases whose
rivals begin with the same token are left out when cases are drawn. Methods differ in the `Steering` alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import torch

from seka.miniature.cases import TRAINING, Case, Options
from seka.miniature.corpus import CASES
from seka.miniature.stories import story
from seka.projections import Factors, Projection
from seka.prompts import Prompt
from seka.steering import Steering
from seka.tokens import Tokens, encode

SEED = 0
VALIDATION, TEST = "validation", "test"


@dataclass(frozen=True)
class Rate:
    """`hits` of `n`."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.hits / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        z, p, n = 1.959964, self.value, self.n
        middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
        return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


@dataclass(frozen=True)
class Row:
    """A case and the first token of each rival answer."""

    case: Case
    firsts: tuple[int, ...]

    def marked(self, index: int, weight: float = 1.0) -> Prompt:
        """The prompt with statement `index` marked."""
        statement = self.case.statements[index]
        return Prompt(self.case.prompt, ((statement.start, statement.end),), (weight,))


def draw(kind: str, n: int, split: str, tokenizer: Any, options: Options = TRAINING) -> list[Row]:
    """`n` rows of one kind with at least two rival statements (one is enough for a passage)."""
    rows: list[Row] = []
    index = 0
    while len(rows) < n:
        random = Random(f"{SEED}/{split}/{kind}/{options.words}/{options.wordings}/{index}")
        index += 1
        case = CASES[kind](random, options)
        firsts = tuple(tokenizer(answer)["input_ids"][0] for answer in case.answers)
        if len(firsts) >= 2 and len(set(firsts)) == len(firsts):
            rows.append(Row(case, firsts))
    return rows


@torch.no_grad()
def first_tokens(
    model: Any, tokenizer: Any, prompts: Sequence[Prompt], steering: Steering | None, size: int = 64
) -> list[int]:
    """The most likely next token of each prompt, steered or not, in batches of similar length."""
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i].text))
    found = [0] * len(prompts)
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        tokens = encode([prompts[i] for i in chosen], tokenizer)
        best = last_logits(model, tokens, steering).argmax(-1).tolist()
        for i, token in zip(chosen, best, strict=True):
            found[i] = token
    return found


def last_logits(model: Any, tokens: Tokens, steering: Steering | None) -> torch.Tensor:
    """Logits of the token after each prompt, (B, vocabulary)."""
    positions = (tokens.attention.cumsum(-1) - 1).clamp(min=0)

    def call() -> torch.Tensor:
        out = model(
            tokens.ids, attention_mask=tokens.attention, position_ids=positions, logits_to_keep=1, use_cache=False
        )
        logits: torch.Tensor = out.logits[:, -1]
        return logits

    if steering is None:
        return call()
    with steering.on(tokens):
        return call()


Ask = Callable[[Sequence[Prompt]], list[int]]


def both_ways(rows: Sequence[Row], ask: Ask) -> dict[str, Rate]:
    """Mark the first rival, then the second: how often the answer follows in each direction, and in both."""
    said = [ask([row.marked(i) for row in rows]) for i in (0, 1)]
    follows = [[token == row.firsts[i] for row, token in zip(rows, said[i], strict=True)] for i in (0, 1)]
    return {
        "first marked": Rate(sum(follows[0]), len(rows)),
        "second marked": Rate(sum(follows[1]), len(rows)),
        "both ways": Rate(sum(a and b for a, b in zip(*follows, strict=True)), len(rows)),
    }


def unlikely(rows: Sequence[Row], ask: Ask, plain: Sequence[int]) -> dict[str, Rate]:
    """Mark a statement that the plain answer does not follow: how often the steered one does."""
    picks = []
    for n, (row, token) in enumerate(zip(rows, plain, strict=True)):
        others = [i for i, first in enumerate(row.firsts) if first != token]
        picks.append(others[n % len(others)])
    said = ask([row.marked(i) for row, i in zip(rows, picks, strict=True)])
    hits = sum(token == row.firsts[i] for row, i, token in zip(rows, picks, said, strict=True))
    return {"unlikely one marked": Rate(hits, len(rows))}


def one_marked(rows: Sequence[Row], ask: Ask, index: Callable[[Row], int], name: str) -> dict[str, Rate]:
    """Mark one given statement of each row: how often the answer is its answer."""
    said = ask([row.marked(index(row)) for row in rows])
    return {name: Rate(sum(t == row.firsts[index(row)] for row, t in zip(rows, said, strict=True)), len(rows))}


def distracted(rows: Sequence[Row], ask: Ask) -> dict[str, Rate]:
    """Passages: mark the sentence that answers the question, then another one; how often the answer is right."""
    right = one_marked(rows, ask, lambda row: row.case.chosen, "right sentence marked")
    said = ask([row.marked((row.case.chosen + 1) % len(row.firsts)) for row in rows])
    hits = sum(token == row.firsts[row.case.chosen] for row, token in zip(rows, said, strict=True))
    return right | {"right, another sentence marked": Rate(hits, len(rows))}


def ignored(rows: Sequence[Row], ask: Ask, plain: Sequence[int]) -> dict[str, Rate]:
    """Mark the statement that the plain answer follows as to be ignored: how often the answer is then another rival's."""
    kept = [(row, row.firsts.index(token)) for row, token in zip(rows, plain, strict=True) if token in row.firsts]
    said = ask([row.marked(i, -1.0) for row, i in kept])
    loses = sum(token != row.firsts[i] for (row, i), token in zip(kept, said, strict=True))
    moves = sum(token in row.firsts and token != row.firsts[i] for (row, i), token in zip(kept, said, strict=True))
    return {"ignored one loses": Rate(loses, len(kept)), "another statement wins": Rate(moves, len(kept))}


def unsteered(rows: Sequence[Row], plain: Sequence[int]) -> dict[str, Rate]:
    """What the model does without steering: names the first, the corpus's, or any of the rivals."""
    pairs = list(zip(rows, plain, strict=True))
    return {
        "plain is the first": Rate(sum(token == row.firsts[0] for row, token in pairs), len(rows)),
        "plain is the corpus's": Rate(sum(token == row.firsts[row.case.chosen] for row, token in pairs), len(rows)),
        "plain is one of the rivals": Rate(sum(token in row.firsts for row, token in pairs), len(rows)),
    }


def task(kind: str, rows: Sequence[Row], ask: Ask, plain: Sequence[int]) -> dict[str, Rate]:
    """Every steered figure of one kind of case."""
    if kind == "passage":
        return distracted(rows, ask)
    figures = unlikely(rows, ask, plain)
    if kind != "several":
        figures |= both_ways(rows, ask)
    if kind in ("conflict", "several"):
        figures |= ignored(rows, ask, plain)
    return figures


def key_scaling(projection: Projection) -> Projection:
    """The control k' = (1 + g) k: the whole space in the place of a learnt subspace."""
    parts = {}
    for layer in projection.layers:
        part = projection.part(layer)
        heads, width = part.positive.values.shape
        whole = Factors(part.positive.values, torch.full((heads,), width), torch.eye(width).repeat(heads, 1, 1))
        parts[layer] = replace(part, positive=whole, negative=None)
    return Projection(parts, {**projection.header, "name": "key scaling"})


@torch.no_grad()
def side_effect(model: Any, tokenizer: Any, steering: Steering, n: int = 60) -> float:
    """Perplexity of a story after a marked sentence of another matter, as a multiple of the unsteered one."""
    total, count = [0.0, 0.0], 0
    for index in range(n):
        random = Random(f"{SEED}/{TEST}/side effect/{index}")
        case, tale = CASES["conflict"](random, TRAINING), story(random)
        statement = case.statements[index % 2]
        head = case.prompt[: max(s.end for s in case.statements)] + ".\n"
        tokens = encode(Prompt(head + tale, ((statement.start, statement.end),)), tokenizer)
        own = len(tokenizer(tale)["input_ids"])
        for way in (0, 1):
            if way:
                with steering.on(tokens):
                    logits = model(tokens.ids, attention_mask=tokens.attention, use_cache=False).logits[0]
            else:
                logits = model(tokens.ids, attention_mask=tokens.attention, use_cache=False).logits[0]
            loss = torch.nn.functional.cross_entropy(logits[-own - 1 : -1], tokens.ids[0, -own:], reduction="sum")
            total[way] += float(loss)
        count += own
    return float(torch.tensor((total[1] - total[0]) / count).exp())
