"""How an answer ends: at its own end token, at the length asked for, or stopped with what there is."""

from __future__ import annotations

from typing import Any

import pytest
from setting import (
    counted,
    footprint,
    scripted,
    steerable,
    steering_of,
)

import seka
from seka import Prompt

PROMPT = Prompt.marked("Previously Ada plays chess. Currently **Ada plays golf**. Ada plays")


def test_each_row_ends_at_its_own_end(qwen: Any, tokenizer: Any) -> None:
    a, b, end = 70, 71, tokenizer.eos_token_id
    with scripted(qwen, [[a, b, end, a, a, a], [b, a, b, a, end, a]]) as calls:
        steps = list(seka.stream(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=9))
    last = steps[-1]
    assert last.plain.ids == (a, b, end)
    assert last.steered.ids == (b, a, b, a, end)
    assert (last.plain.finish, last.steered.finish) == ("eos", "eos")
    assert last.plain.text == tokenizer.decode([a, b])
    assert len(last.plain.probabilities) == 3
    assert len(calls) == len(steps) == 5  # and the model is not called again
    assert [s.plain.finish for s in steps] == [None, None, "eos", "eos", "eos"]
    with scripted(qwen, [[a, end], [a]]):
        out = seka.compare(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=3)
    assert (out.plain.finish, out.steered.finish) == ("eos", "length")


def test_ends_of_generate(qwen: Any, tokenizer: Any) -> None:
    """The end asked for counts, and what comes after an end is not part of the answer."""
    with scripted(qwen, [[70, 71, 72, 73]]):
        out = seka.generate(qwen, tokenizer, PROMPT, max_new_tokens=8, do_sample=False, eos_token_id=72)
    assert (out.ids, out.finish) == ((70, 71, 72), "eos")
    end = tokenizer.eos_token_id
    with scripted(qwen, [[70, end, 73]]):  # this model's own settings name no end; the tokenizer does
        out = seka.generate(qwen, tokenizer, PROMPT, max_new_tokens=4, do_sample=False)
    assert (out.ids, out.finish, out.text) == ((70, end), "eos", tokenizer.decode([70]))


@pytest.mark.parametrize("after", [0, 1, 3])
def test_stop_keeps_the_partial_text(tokenizer: Any, after: int) -> None:
    model = steerable("qwen3")
    whole = seka.compare(model, tokenizer, PROMPT, steering_of(model), max_new_tokens=9)
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > after

    with counted(model) as calls:
        steps = list(seka.stream(model, tokenizer, PROMPT, steering_of(model), max_new_tokens=9, stop=stop))
    assert len(calls) == after
    last = steps[-1]
    assert (last.plain.finish, last.steered.finish) == ("stopped", "stopped")
    assert last.plain.ids == whole.plain.ids[:after]
    assert last.steered.ids == whole.steered.ids[:after]
    assert last.steered.text == tokenizer.decode(list(whole.steered.ids[:after]), skip_special_tokens=True)
    assert footprint(model)[0] == 0


def test_a_stopped_row_that_had_ended_keeps_its_end(qwen: Any, tokenizer: Any) -> None:
    asked: list[int] = []
    with scripted(qwen, [[70, tokenizer.eos_token_id], [70]]):
        steps = seka.stream(
            qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=9, stop=lambda: len(asked) > 3 or asked.append(1)
        )
        *_, last = steps
    assert (last.plain.finish, last.steered.finish) == ("eos", "stopped")


def test_half_a_letter_is_held_back(qwen: Any, tokenizer: Any) -> None:
    """Bytes of a letter arrive one by one; the text shows it when it is whole, and keeps what stays broken at the end."""
    text = "a🎉bé"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == 8
    broken = ids[:3]
    with scripted(qwen, [[*ids, ids[0]], [*broken, broken[-1]]]):
        steps = list(seka.stream(qwen, tokenizer, PROMPT, steering_of(qwen), max_new_tokens=8))
    assert [s.plain.text for s in steps] == ["a", "a", "a", "a", "a🎉", "a🎉b", "a🎉b", text]
    assert [s.steered.text for s in steps][:3] == ["a", "a", "a"]
    assert "\ufffd" in steps[-1].steered.text  # what ended broken is shown as such
