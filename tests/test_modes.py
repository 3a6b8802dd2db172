"""Modes of decoding that go beyond one row after another: several sequences, embeddings, chats, caches cut and reset.

Each is compared with uncached decoding that edits keys by hand, and with the plain answer so that it could fail.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from byhand import Plan
from conftest import build_tokenizer
from decoding import beams, drawn_beams, greedy
from naive import chatty
from setting import forward, invent, logits, prompts, rows_of, steerable, tokens_of
from shapes import NEW, OPTIONS, ROW, batch, different, every_shape, generated, setting_of
from torch import Tensor
from transformers import PreTrainedTokenizerFast, StaticCache

import seka
from seka import Prompt, Router, Steering

# Drawn beams and several sequences


def test_generate_returns_every_sequence() -> None:
    """seka.generate with num_return_sequences: beams in order, draws in order, each cut at its own end."""
    model, steering, plan = setting_of("llama")
    tokenizer, prompt = build_tokenizer(), prompts()[1]
    ((ids, marks),) = rows_of(seka.encode(prompt, tokenizer))
    result = seka.generate(model, tokenizer, prompt, steering, num_beams=3, num_return_sequences=3, **OPTIONS)
    by_hand = beams(model, "llama", ids, marks, plan, NEW, 3)
    assert [list(r.ids) for r in (result, *result.others)] == by_hand
    assert len({r.ids for r in (result, *result.others)}) == 3
    assert by_hand[0] != beams(model, "llama", ids, marks, None, NEW, 3)[0]
    for answer in (result, *result.others):
        assert answer.prompt == prompt
        assert answer.text == tokenizer.decode(list(answer.ids), skip_special_tokens=True)
        assert answer.finish == "length"
    torch.manual_seed(5)
    drawn = seka.generate(
        model, tokenizer, prompt, steering, do_sample=True, num_return_sequences=3, max_new_tokens=NEW, top_k=0
    )
    torch.manual_seed(5)
    tokens = tokens_of([(ids, marks)])
    with steering.on(tokens):
        raw = model.generate(
            tokens.ids,
            attention_mask=tokens.attention,
            do_sample=True,
            num_return_sequences=3,
            max_new_tokens=NEW,
            top_k=0,
            eos_token_id=tokenizer.eos_token_id,
        )
    assert [list(r.ids) for r in (drawn, *drawn.others)] == raw[:, len(ids) :].tolist()
    assert seka.generate(model, tokenizer, prompt, steering, **OPTIONS).others == ()


def test_each_of_several_sequences_ends_where_it_ends() -> None:
    model, steering, _ = setting_of("llama")
    tokenizer, prompt = build_tokenizer(), prompts()[1]
    options = {"do_sample": True, "num_return_sequences": 4, "max_new_tokens": 8, "top_k": 0, "temperature": 3.0}
    torch.manual_seed(2)
    free = seka.generate(model, tokenizer, prompt, steering, **options)
    end = free.others[1].ids[2]
    torch.manual_seed(2)
    out = seka.generate(model, tokenizer, prompt, steering, **options, eos_token_id=end)
    rows, wanted = (out, *out.others), (free, *free.others)
    assert rows[2].ids == wanted[2].ids[:3]
    assert [r.finish for r in rows] == ["eos" if end in r.ids else "length" for r in wanted]
    assert rows[2].finish == "eos"
    assert any(r.finish == "length" for r in rows)


@pytest.mark.parametrize("way", ["online", "two_pass"])
def test_routed_beam_sampling(way: str) -> None:
    """Beams of a row are weighed by that row's query; drawn beams cached and uncached are the same."""
    model = steerable("qwen3")
    router = Router({"a": invent(model), "b": invent(model, 1)}, way=way)
    steering = Steering(model, router, 8.0)
    rows = [steering, None, steering.with_gain(3.0)]
    plans = [Plan(list(router.experts.values()), g, score="energy", way=way) if g else None for g in (8.0, 0.0, 3.0)]
    known = [(ids, marks, plan) for (ids, marks), plan in zip(rows_of(batch()), plans, strict=True)]
    torch.manual_seed(1)
    out = generated(model, batch(), rows, num_beams=2, do_sample=True, top_k=0)
    assert out == [row[0] for row in drawn_beams(model, "qwen3", known, NEW, 2, seed=1)]
    assert out != [row[0] for row in drawn_beams(model, "qwen3", [(i, m, None) for i, m, _ in known], NEW, 2, seed=1)]


# Embeddings instead of ids


@every_shape
@pytest.mark.parametrize("options", [{}, {"num_beams": 2}, {"cache_implementation": "static"}], ids=str)
@pytest.mark.parametrize("ids_too", [False, True])
def test_embeddings(family: str, ids_too: bool, options: dict[str, Any]) -> None:
    """A prompt given as embeddings, with its ids or without: columns are counted off."""
    model, steering, _ = setting_of(family)
    tokens, rows = batch(), [steering, None, steering]
    embedded = model.get_input_embeddings()(tokens.ids).detach()
    expected = generated(model, tokens, rows, **options)
    with seka.steer(model, tokens, rows):
        given = {"input_ids": tokens.ids} if ids_too else {}
        out = model.generate(**given, inputs_embeds=embedded, attention_mask=tokens.attention, **{**OPTIONS, **options})
    assert out[:, tokens.ids.shape[1] if ids_too else 0 :].tolist() == expected
    plain = generated(model, tokens, [None] * 3, **options)
    assert [a == b for a, b in zip(expected, plain, strict=True)] == [False, True, False]


def test_generate_by_embeddings() -> None:
    """seka.generate places marks on embeddings of the prompt's own length, whatever they stand for."""
    model, steering, plan = setting_of("llama")
    tokenizer, prompt = build_tokenizer(), prompts()[1]
    tokens = seka.encode(prompt, tokenizer)
    soft = model.get_input_embeddings()(tokens.ids.flip(1)).detach()
    ((_, marks),) = rows_of(tokens)
    by_hand = greedy(model, "llama", tokens.ids.flip(1)[0].tolist(), marks, plan, NEW)
    out = seka.generate(model, tokenizer, prompt, steering, inputs_embeds=soft, **OPTIONS)
    assert list(out.ids) == by_hand
    with pytest.raises(
        ValueError, match=rf"\(1, {tokens.ids.shape[1] - 1}\) rows and columns; wanted \(1, {tokens.ids.shape[1]}\)"
    ):
        seka.generate(model, tokenizer, prompt, steering, inputs_embeds=soft[:, 1:], **OPTIONS)


# Chats


@cache
def talking() -> PreTrainedTokenizerFast:
    return chatty("byte-level")


@every_shape
def test_a_chat_with_a_system_message(family: str) -> None:
    """Marks inside the user's turn land on the user's tokens, though the system's turn says the same words."""
    tokenizer = talking()
    prompt = Prompt.marked("Ada plays **golf** in town. ~~Ada~~ plays")
    system = "Ada plays golf in town."
    rendered = seka.chat(prompt, tokenizer, system)
    tokens = seka.encode(rendered, tokenizer)
    # Where the marks must be, found without offsets: turns are told by their special tokens, words by decoding each token.
    ids, weights = tokens.ids[0].tolist(), tokens.highlight[0].tolist()
    user = ids.index(tokenizer.convert_tokens_to_ids("<|user|>"))
    said = "".join(tokenizer.decode([i]) for i, weight in zip(ids, weights, strict=True) if weight > 0)
    hushed = "".join(tokenizer.decode([i]) for i, weight in zip(ids, weights, strict=True) if weight < 0)
    assert (said.strip(), hushed.strip()) == ("golf", "Ada")
    assert not any(weights[:user])
    model, steering, plan = setting_of(family)
    ((row, marks),) = rows_of(tokens)
    by_hand = greedy(model, family, row, marks, plan, NEW)
    assert different(by_hand, model, family, row, marks)
    assert list(seka.generate(model, tokenizer, rendered, steering, **OPTIONS).ids) == by_hand
    elsewhere = {n - min(marks) + 1: w for n, w in marks.items()}  # the same marks in the system's turn
    assert by_hand != greedy(model, family, row, elsewhere, plan, NEW)


# Caches that are cut, reset and used again


@every_shape
def test_a_cache_cut_in_the_prompt_and_used_again(family: str) -> None:
    """What is computed again is steered again, from the column where the cut cache ends."""
    model, steering, _ = setting_of(family)
    tokens, width = batch(), batch().ids.shape[1]
    positions = (tokens.attention.cumsum(-1) - 1).clamp(min=0)
    whole = logits(model, tokens, steering)
    with steering.on(tokens), torch.no_grad():
        cache = forward(model, tokens, use_cache=True).past_key_values
        for cut in (width - 1, 20, 3):
            cache.crop(cut - cache.get_seq_length())
            again: Tensor = model(
                tokens.ids[:, cut:],
                attention_mask=tokens.attention,
                position_ids=positions[:, cut:],
                past_key_values=cache,
            ).logits
            real = tokens.attention[:, cut:].bool()
            torch.testing.assert_close(again[real], whole[:, cut:][real], rtol=0, atol=1e-6)
    assert (whole - logits(model, tokens)).abs().max() > 1e-3


@pytest.mark.parametrize("grad", ["no_grad", "inference_mode"])
def test_a_static_cache_that_is_reset_between_single_columns(grad: str) -> None:
    """Columns that come one by one are counted, until somebody resets the cache."""
    model, steering, _ = setting_of("llama")
    tokens = tokens_of([ROW])
    whole = logits(model, tokens, steering)
    with steering.on(tokens), getattr(torch, grad)():
        cache = StaticCache(config=model.config, max_cache_len=32)
        for _ in range(2):
            for column in range(len(ROW[0])):
                out = model(tokens.ids[:, column : column + 1], past_key_values=cache).logits
                torch.testing.assert_close(out[:, 0], whole[:, column], rtol=0, atol=1e-6)
            model(torch.tensor([[5]]), past_key_values=cache)
            cache.reset()
    assert (whole - logits(model, tokens)).abs().max() > 1e-3
