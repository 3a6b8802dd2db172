"""Families by decoding modes: rows of different lengths, plain and steered in one batch, token for token as by hand.

Every cell compares transformers' own `generate` under `seka.steer` with an uncached loop that edits keys one at a time.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from byhand import Plan, run
from conftest import build_tokenizer
from decoding import beams, greedy, sample
from setting import close, footprint, invent, prompts, rows_of, steerable, tokens_of
from torch import Tensor

import seka
from seka import Router, Steering
from seka.tokens import Tokens

NEW = 5
Row = tuple[list[int], dict[int, float]]


@cache
def batch() -> Tokens:
    """Three prompts of different lengths, the middle one plain (it is marked all the same)."""
    return seka.encode([prompts()[n] for n in (1, 0, 2)], build_tokenizer())


@cache
def steered(family: str) -> tuple[Any, list[Steering | None], list[Plan | None]]:
    """The model, how each row is steered, and the same by hand."""
    model, gain = steerable(family), strong(family)
    one, two = invent(model), invent(model, 1)
    return (
        model,
        [Steering(model, one, gain, 1.0), None, Steering(model, two, gain, layers=[0, 2])],
        [Plan([one], gain, 1.0), None, Plan([two], gain, heads={0: [0, 1], 2: [0, 1]})],
    )


def strong(family: str) -> float:
    """A gain that changes tokens within a few steps; random Gemma 3 models hardly look at anything but themselves."""
    return 60.0 if family == "gemma3_text" else 8.0


@cache
def expected(family: str) -> list[list[int]]:
    """Greedy tokens by hand; every steered row differs from its plain one."""
    model, _, plans = steered(family)
    out = []
    for (ids, marks), plan in zip(rows_of(batch()), plans, strict=True):
        out.append(greedy(model, family, ids, marks, plan, NEW))
        if plan is not None and out[-1] == greedy(model, family, ids, marks, None, NEW):
            raise AssertionError(f"{family}: steering changes no token, so this test would prove nothing")
    return out


def produce(family: str, tokens: Tokens | None = None, rows: Any = None, **options: Any) -> Any:
    """model.generate under steering; new tokens (rows, NEW), or transformers' own output where asked for."""
    model, steerings, _ = steered(family)
    tokens = tokens or batch()
    before = footprint(model)
    settings = {"max_new_tokens": NEW, "do_sample": False, "disable_compile": True, **options}
    with seka.steer(model, tokens, steerings if rows is None else rows):
        out = model.generate(tokens.ids, attention_mask=tokens.attention, **settings)
    assert footprint(model) == before
    return out[:, tokens.ids.shape[1] :].tolist() if isinstance(out, Tensor) else out


MODES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "no cache": {"use_cache": False},
    "chunked prefill": {"prefill_chunk_size": 7},
    "chunks of one": {"prefill_chunk_size": 1},
    "static cache": {"cache_implementation": "static"},
    "static cache, chunked": {"cache_implementation": "static", "prefill_chunk_size": 16},
}


@pytest.mark.parametrize("mode", MODES)
def test_greedy(family: str, mode: str) -> None:
    assert produce(family, **MODES[mode]) == expected(family)


def test_logits(family: str) -> None:
    """Every step's logits, in float32 as transformers hands them out."""
    model, _, plans = steered(family)
    out = produce(family, output_logits=True, return_dict_in_generate=True)
    for row, ((ids, marks), plan) in enumerate(zip(rows_of(batch()), plans, strict=True)):
        whole = run(model, family, [*ids, *expected(family)[row]], marks, plan, len(ids))[0].float()
        for step, logits in enumerate(out.logits):
            torch.testing.assert_close(logits[row], whole[len(ids) - 1 + step], rtol=0, atol=max(1e-5, close(family)))


def test_sampling(family: str) -> None:
    """One draw for all rows, as transformers draws, from distributions by hand."""
    model, _, plans = steered(family)
    rows = [(ids, marks, plan) for (ids, marks), plan in zip(rows_of(batch()), plans, strict=True)]
    by_hand = sample(model, family, rows, NEW, seed=11)
    torch.manual_seed(11)
    assert produce(family, do_sample=True, top_k=0, top_p=1.0, temperature=1.0) == by_hand
    assert by_hand != sample(model, family, [(ids, marks, None) for ids, marks, _ in rows], NEW, seed=11)


def test_several_sequences(family: str) -> None:
    """Two draws of each row; both are of a row steered its own way."""
    model, _, plans = steered(family)
    rows = [(ids, marks, plan) for (ids, marks), plan in zip(rows_of(batch()), plans, strict=True) for _ in range(2)]
    by_hand = sample(model, family, rows, NEW, seed=5)
    torch.manual_seed(5)
    drawn = produce(family, do_sample=True, top_k=0, top_p=1.0, temperature=1.0, num_return_sequences=2)
    assert drawn == by_hand
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("options", [{}, {"use_cache": False}, {"cache_implementation": "static"}], ids=str)
def test_beams(family: str, options: dict[str, Any]) -> None:
    """The best two of three beams, in order, against a beam search by hand."""
    plans = steered(family)[2]
    by_hand: list[list[int]] = []
    for (ids, marks), plan in zip(rows_of(batch()), plans, strict=True):
        best = searched(family, tuple(ids), tuple(marks.items()), plans.index(plan))
        by_hand += best[:2]
    assert produce(family, num_beams=3, num_return_sequences=2, **options) == by_hand


@cache
def searched(family: str, ids: tuple[int, ...], marks: tuple[tuple[int, float], ...], plan: int) -> list[list[int]]:
    model, _, plans = steered(family)
    found = beams(model, family, ids, dict(marks), plans[plan], NEW, 3)
    if plans[plan] is not None and found == beams(model, family, ids, dict(marks), None, NEW, 3):
        raise AssertionError(f"{family}: steering changes no beam, so this test would prove nothing")
    return found


def test_prompt_lookup(family: str) -> None:
    """One row whose prompt repeats itself, so that candidates are found and some are refused."""
    model, _, _ = steered(family)
    projection = invent(model)
    ids = [7, 8, 9, 10, 7, 8, 9, 10, 7, 8]
    row: Row = (ids, {2: 1.0, 5: 1.0, 6: -0.5})
    plan = Plan([projection], strong(family))
    out = produce(family, tokens_of([row]), [Steering(model, projection, strong(family))], prompt_lookup_num_tokens=3)
    assert out == [greedy(model, family, *row, plan, NEW)]
    assert out != [greedy(model, family, *row, None, NEW)]


@pytest.mark.parametrize("options", [{}, {"cache_implementation": "static"}], ids=["dynamic", "static"])
def test_two_turns(family: str, options: dict[str, Any]) -> None:
    """A conversation continued over its cache: marks of the first turn stay in it, those of the second are edited."""
    model, steerings, plans = steered(family)
    first = produce(family, return_dict_in_generate=True, max_cache_len=160 if options else None, **options)
    width = batch().ids.shape[1]
    assert first.sequences[:, width:].tolist() == expected(family)
    question, marked = [40, 41, 42, 43, 44, 45], {1: 1.0, 2: 1.0, 5: -1.0}  # column 5 is the last of all
    rows: list[Row] = []
    for (ids, marks), answer in zip(rows_of(batch()), expected(family), strict=True):
        start = len(ids) + len(answer)
        rows.append(([*ids, *answer, *question], {**marks, **{start + n: w for n, w in marked.items()}}))
    again = tokens_of(rows)
    out = produce(family, again, past_key_values=first.past_key_values)
    second = [greedy(model, family, ids, marks, plan, NEW) for (ids, marks), plan in zip(rows, plans, strict=True)]
    assert out == second
    for n in (0, 2):  # the second turn's marks matter on their own
        ids, marks = rows[n]
        only_first = {c: w for c, w in marks.items() if c < len(ids) - len(question)}
        assert second[n] != greedy(model, family, ids, only_first, plans[n], NEW)
    fresh = produce(family, again)  # and a cache continued is a cache computed at once
    assert fresh == second
    assert steerings[1] is None


@pytest.mark.parametrize("mode", ["greedy", "no cache", "chunked prefill", "static cache"])
@pytest.mark.parametrize("windowed", ["mistral", "gemma2", "gemma3_text"])
def test_windows_shorter_than_the_prompt(windowed: str, mode: str) -> None:
    """Sliding-window layers that have dropped marked columns before the prompt ends."""
    mixed = {"layer_types": ("sliding_attention", "full_attention", "sliding_attention")}
    model = steerable(windowed, sliding_window=9, **({} if windowed == "mistral" else mixed))
    projection = invent(model)
    steering, plan = Steering(model, projection, strong(windowed)), Plan([projection], strong(windowed))
    tokens = batch()
    options = {"max_new_tokens": NEW, "do_sample": False, "disable_compile": True, **MODES[mode]}
    with seka.steer(model, tokens, [steering, None, steering]):
        out = model.generate(tokens.ids, attention_mask=tokens.attention, **options)
    by_hand = [
        greedy(model, windowed, ids, marks, plan if n != 1 else None, NEW)
        for n, (ids, marks) in enumerate(rows_of(tokens))
    ]
    assert out[:, tokens.ids.shape[1] :].tolist() == by_hand
    ids, marks = rows_of(tokens)[0]
    assert by_hand[0] != greedy(model, windowed, ids, marks, None, NEW)
    assert by_hand[0] != greedy(steerable(windowed), windowed, ids, marks, plan, NEW)  # the window matters


@pytest.mark.parametrize("mode", ["greedy", "no cache", "static cache", "beams", "chunked prefill"])
@pytest.mark.parametrize("way", ["online", "two_pass"])
def test_routed(family: str, mode: str, way: str) -> None:
    """A router in every mode: each row weighed by its own last token, once; chunks only in two passes."""
    model, _, _ = steered(family)
    steering = Steering(model, Router(mixed(family), way=way), strong(family))
    rows = [steering, None, steering.with_gain(strong(family) / 2)]
    if mode == "chunked prefill" and way == "online":
        with pytest.raises(ValueError, match="computed in pieces"):
            produce(family, rows=rows, **MODES[mode])
        return
    options = {"num_beams": 2} if mode == "beams" else MODES[mode]
    assert produce(family, rows=rows, **options) == routed_by_hand(family, way, mode == "beams")


@cache
def mixed(family: str) -> dict[str, seka.Projection]:
    model, _, _ = steered(family)
    return {"a": invent(model), "b": invent(model, 1)}


@cache
def routed_by_hand(family: str, way: str, search: bool) -> list[list[int]]:
    model, _, _ = steered(family)
    experts = list(mixed(family).values())
    plans = [Plan(experts, strong(family) / part, score="energy", way=way) if part else None for part in (1, 0, 2)]
    out = []
    for (ids, marks), plan in zip(rows_of(batch()), plans, strict=True):
        best = (
            beams(model, family, ids, marks, plan, NEW, 2)[0]
            if search
            else greedy(model, family, ids, marks, plan, NEW)
        )
        out.append(best)
        if plan is not None and not search and best == greedy(model, family, ids, marks, None, NEW):
            raise AssertionError(f"{family}: routing changes no token, so this test would prove nothing")
    return out


def test_one_result_of_generate(family: str) -> None:
    """`seka.generate` passes every mode on, and its plain answer is the model's own."""
    model, steerings, _ = steered(family)
    tokenizer = build_tokenizer()
    prompt = prompts()[1]  # the first row of the batch
    results = {
        name: seka.generate(
            model, tokenizer, prompt, steerings[0], **{"max_new_tokens": NEW, "do_sample": False, **options}
        )
        for name, options in MODES.items()
    }
    assert len({r.ids for r in results.values()}) == 1
    assert list(results["greedy"].ids) == expected(family)[0][: len(results["greedy"].ids)]
    plain = seka.generate(model, tokenizer, prompt, max_new_tokens=NEW, do_sample=False)
    assert plain.ids != results["greedy"].ids
