"""Learning against a slow loop over single prompts in float64, and the laws of each choice that was made."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import FAMILIES, TRIPLETS, build_model, build_tokenizer
from naive import chatty, hooks_of, keys_by_hand, tokenizer_of, touched

from seka import Projection, Triplet, learn
from seka.sites import decoder, sites
from seka.triplets import digest

#: Answers that also stand in the question, at the context's end, in another case, and behind letters that grow in lower case.
HARD = [
    Triplet("İİ Ada plays golf in town.", "Does Ada play golf?", "golf", "Is golf where İ sings?"),
    Triplet("Bob naps. Bob likes the Old Harp", "What is liked?", "the old harp", "Who is Bob?"),
    Triplet("Cleo eats 中文🎉 now; 中文🎉.", "What does 🎉?", "中文🎉", "Where?"),
]


def parts_of(triplet: Triplet, tokenizer: Any, kind: str) -> list[tuple[list[int], list[int]]]:
    """(ids, answer tokens) of the neutral, relevant and irrelevant text, by bytes."""
    at = triplet.context.lower().find(triplet.answer.lower())
    if triplet.context[at : at + len(triplet.answer)].lower() != triplet.answer.lower():
        at = triplet.context.find(triplet.answer)  # lowering moved it
    out = []
    for head, tail in (
        ("Context: ", " "),
        (f"Question: {triplet.question}\nContext: ", ""),
        (f"Question: {triplet.other_question}\nContext: ", ""),
    ):
        text, start = head + triplet.context + tail, len(head) + at
        ids = tokenizer(text)["input_ids"]
        pieces = tokenizer.convert_ids_to_tokens(ids)
        out.append((ids, touched(text, (start, start + len(triplet.answer)), pieces, kind)))
    return out


def by_hand(model: Any, family: str, triplets: list[Triplet], kind: str = "byte-level") -> list[SimpleNamespace]:
    """Per layer: moments (H, D, D), mean relevant key (H, D), shift and relative shift (H,), one prompt at a time."""
    tokenizer = build_tokenizer() if kind == "byte-level" else tokenizer_of(kind)
    rows: list[list[list[np.ndarray]]] = []  # token, text, layer -> (H, D)
    for triplet in triplets:
        texts = parts_of(triplet, tokenizer, kind)
        keys = [[k.double().numpy() for k in keys_by_hand(model, family, ids)] for ids, _ in texts]
        named = [[ids[i] for i in chosen] for ids, chosen in texts]
        assert named[0] == named[1] == named[2]
        for which in zip(*(chosen for _, chosen in texts), strict=True):
            rows.append([[layer[i] for layer in each] for each, i in zip(keys, which, strict=True)])
    out = []
    for layer in range(len(rows[0][0])):
        heads, width = rows[0][0][layer].shape
        sums = SimpleNamespace(n=len(rows), plus=np.zeros((heads, width, width)), minus=np.zeros((heads, width, width)))
        sums.mean, sums.shift, norm = np.zeros((heads, width)), np.zeros(heads), np.zeros(heads)
        for neutral, plus, minus in (tuple(text[layer] for text in row) for row in rows):
            for head in range(heads):
                sums.plus[head] += np.outer(neutral[head], plus[head]) / len(rows)
                sums.minus[head] += np.outer(neutral[head], minus[head]) / len(rows)
                sums.mean[head] += plus[head] / len(rows)
                sums.shift[head] += np.sqrt(((plus[head] - minus[head]) ** 2).sum()) / len(rows)
                norm[head] += np.sqrt((neutral[head] ** 2).sum()) / len(rows)
        sums.relative = sums.shift / norm
        out.append(sums)
    return out


def rank_by_hand(values: np.ndarray, energy: float) -> int:
    total = 0.0
    for r, value in enumerate(values, 1):
        total += value
        if total >= energy * values.sum() * (1 - 1e-12):
            return r
    return len(values)


@cache
def learnt_of(family: str, batch_size: int = 4, energy: float = 0.9) -> Projection:
    return learn(build_model(family), build_tokenizer(), [*TRIPLETS, *HARD], batch_size=batch_size, energy=energy)


@pytest.mark.parametrize("family", FAMILIES)
def test_learning_is_the_slow_loop(family: str) -> None:
    """Spans by overlap in the context part only, sensitivity a mean of distances, the tail of its own moment for P-."""
    projection, close = learnt_of(family), {"rtol": 1e-4, "atol": 1e-4}
    assert projection.layers == (0, 1, 2)
    for layer, sums in enumerate(by_hand(build_model(family), family, [*TRIPLETS, *HARD])):
        np.testing.assert_allclose(projection.shift[layer], sums.shift, **close)
        np.testing.assert_allclose(projection.relative_shift[layer], sums.relative, **close)
        part = projection.parts[layer]
        assert part.present.all()
        for moments, factors in ((sums.plus, part.positive), (sums.minus, part.negative)):
            for head, moment in enumerate(moments):
                left, values, _ = np.linalg.svd(moment)
                np.testing.assert_allclose(factors.values[head], values, rtol=1e-3, atol=1e-4 * values[0])
                rank = rank_by_hand(values, 0.9)
                assert factors.rank[head] == rank
                top = left[:, :rank] @ left[:, :rank].T
                if factors is part.positive:
                    np.testing.assert_allclose(projection.positive(layer)[head], top, atol=2e-3)
                else:
                    np.testing.assert_allclose(projection.negative(layer)[head], np.eye(16) - top, atol=2e-3)
    assert projection.header["triplets"]["tokens"] == sums.n
    assert projection.header["triplets"]["used"] == len(TRIPLETS) + len(HARD)


def test_a_question_that_repeats_the_answer_changes_nothing_of_the_span() -> None:
    """The published search finds the answer in the question, and lowering 'İ' shifts every offset behind it."""
    from seka.learn import texts

    for triplet in HARD:
        for prompt in texts(triplet):
            (start, end), *more = prompt.spans
            assert not more
            assert prompt.text[start:end].lower() == triplet.answer.lower()
            assert start >= prompt.text.index("Context: ") + len("Context: ")
            before = prompt.text[prompt.text.index("Context: ") + 9 : start]
            assert triplet.answer.lower() not in before.lower()


@pytest.mark.parametrize("family", FAMILIES)
def test_projections_project(family: str) -> None:
    projection = learnt_of(family)
    for layer in projection.layers:
        for matrix in (projection.positive(layer), projection.negative(layer)):
            torch.testing.assert_close(matrix @ matrix, matrix, rtol=0, atol=1e-5)
            torch.testing.assert_close(matrix, matrix.mT, rtol=0, atol=1e-6)
        ranks = projection.parts[layer].positive.rank
        torch.testing.assert_close(projection.positive(layer).diagonal(dim1=1, dim2=2).sum(-1), ranks.float())


@pytest.mark.parametrize("family", [*FAMILIES, "gpt2", "opt"])  # the last two add positions to what keys are made of
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_batch_size_does_not_matter(family: str, batch_size: int) -> None:
    one, other = learnt_of(family), learnt_of(family, batch_size)
    for layer in one.layers:
        for name in ("shift", "relative_shift"):
            torch.testing.assert_close(getattr(one, name)[layer], getattr(other, name)[layer], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            one.positive(layer), other.positive(layer), rtol=0, atol=1e-3 if family == "gemma2" else 1e-4
        )
        torch.testing.assert_close(
            one.negative(layer), other.negative(layer), rtol=0, atol=1e-3 if family == "gemma2" else 1e-4
        )


def test_repeating_the_triplets_changes_nothing(tokenizer: Any, qwen: Any) -> None:
    """A Frobenius norm over n, as published, would shrink by the root of the number of repetitions."""
    once, often = (learn(qwen, tokenizer, TRIPLETS * times) for times in (1, 5))
    for layer in once.layers:
        torch.testing.assert_close(once.shift[layer], often.shift[layer])
        torch.testing.assert_close(once.relative_shift[layer], often.relative_shift[layer])
        torch.testing.assert_close(once.positive(layer), often.positive(layer), rtol=0, atol=1e-5)
        torch.testing.assert_close(once.parts[layer].positive.values, often.parts[layer].positive.values)
        assert layer == 0 or (once.shift[layer] > 0).all()  # the first layer has seen no context
    assert often.header["triplets"]["tokens"] == 5 * once.header["triplets"]["tokens"]


def test_relative_shift_has_no_unit(tokenizer: Any) -> None:
    """Keys ten times as long: the shift is ten times as large, the relative shift is the same."""
    model, larger = build_model("llama", layers=1), build_model.__wrapped__("llama", layers=1)
    with torch.no_grad():
        larger.model.layers[0].self_attn.k_proj.weight.mul_(10)
    small, large = (learn(m, tokenizer, TRIPLETS[:2]) for m in (model, larger))
    torch.testing.assert_close(large.shift[0], 10 * small.shift[0])
    torch.testing.assert_close(large.relative_shift[0], small.relative_shift[0])


@pytest.mark.parametrize("energy", [0.05, 0.5, 0.97, 1.0])
def test_the_rank_is_the_smallest_that_reaches_the_energy(energy: float) -> None:
    projection = learnt_of("qwen3", 4, energy)
    for part in projection.parts.values():
        for factors in (part.positive, part.negative):
            for values, rank in zip(factors.values.double(), factors.rank.tolist(), strict=True):
                share = values.cumsum(0) / values.sum()
                assert share[rank - 1] >= energy - 1e-6
                assert rank == 1 or share[rank - 2] < energy + 1e-6
                assert (values[:-1] >= values[1:]).all()
    if energy == 0.05:
        assert all((part.positive.rank == 1).all() for part in projection.parts.values())


@pytest.mark.parametrize(("width", "energy", "stored"), [(8, 0.05, 8), (32, 0.05, 16), (24, 1.0, 24), (16, 0.9, 16)])
def test_sixteen_vectors_are_stored_for_a_router(tokenizer: Any, width: int, energy: float, stored: int) -> None:
    """max(rank, 16) of them, or all where the head is narrower; orthonormal, the first `rank` making up P+."""
    model = build_model("qwen3", layers=1, head_dim=width)
    factors = learn(model, tokenizer, [*TRIPLETS, *HARD], energy=energy).parts[0].positive
    assert factors.values.shape == (2, width)
    assert factors.vectors.shape == (2, width, stored)
    assert factors.vectors.dtype == factors.values.dtype == torch.float32
    if energy == 0.05:
        torch.testing.assert_close(
            factors.vectors.mT @ factors.vectors, torch.eye(stored).expand(2, -1, -1), rtol=0, atol=1e-5
        )
    assert factors.basis().shape == factors.vectors.shape
    for head, rank in enumerate(factors.rank.tolist()):
        assert not factors.basis()[head, :, rank:].any()
        assert torch.equal(factors.basis()[head, :, :rank], factors.vectors[head, :, :rank])


@pytest.mark.parametrize("family", ["qwen3", "llama", "olmo2"])
def test_every_vector_points_along_the_mean_relevant_key(family: str) -> None:
    """The paper's signed score is linear in each vector, whose sign an SVD leaves to chance."""
    projection = learnt_of(family)
    for layer, sums in enumerate(by_hand(build_model(family), family, [*TRIPLETS, *HARD])):
        vectors = projection.parts[layer].positive.vectors.double().numpy()
        along = np.einsum("hd,hdr->hr", sums.mean, vectors)
        clear = np.abs(along) > 1e-5
        assert (along[clear] > 0).all()
        assert clear.mean() > 0.9
    assert projection.header["oriented"] is True


def test_chosen_layers_are_those_of_a_whole_run(tokenizer: Any, qwen: Any) -> None:
    """By layer number: a projection of the last two layers holds the parts of layers 1 and 2, not of 0 and 1."""
    whole = learn(qwen, tokenizer, TRIPLETS)
    for choice, layers in (("last2", (1, 2)), ([2], (2,)), ("0,2", (0, 2))):
        some = learn(qwen, tokenizer, TRIPLETS, layers=choice)
        assert some.layers == layers
        for layer in layers:
            torch.testing.assert_close(some.positive(layer), whole.positive(layer), rtol=0, atol=1e-6)
            torch.testing.assert_close(some.shift[layer], whole.shift[layer])
    with pytest.raises(ValueError, match=r"\[7\] are not attention layers"):
        learn(qwen, tokenizer, TRIPLETS, layers="7")
    with pytest.raises(ValueError, match="'1:0' names heads; every head of a layer is learnt"):
        learn(qwen, tokenizer, TRIPLETS, layers="1:0")


def attention_by_hand(model: Any, ids: list[int], columns: list[int]) -> float:
    with torch.no_grad():
        attentions = model(input_ids=torch.tensor([ids]), output_attentions=True).attentions
    return sum(float(a[0, head, -1, columns].sum()) for a in attentions for head in range(a.shape[1]))


def test_only_triplets_whose_question_raises_the_attention(tokenizer: Any) -> None:
    model = build_model("qwen3", dtype=torch.float32)
    eager = build_model.__wrapped__("qwen3", dtype=torch.float32)
    eager.set_attn_implementation("eager")
    ratios = []
    for triplet in TRIPLETS:
        (neutral, a), (relevant, b), _ = parts_of(triplet, tokenizer, "byte-level")
        ratios.append(attention_by_hand(eager, relevant, b) / attention_by_hand(eager, neutral, a))
    ordered = sorted(ratios)
    bar = (ordered[2] + ordered[3]) / 2
    kept = [triplet for triplet, ratio in zip(TRIPLETS, ratios, strict=True) if ratio >= bar]
    assert len(kept) == 3
    for batch_size in (1, 4):
        some = learn(model, tokenizer, TRIPLETS, min_attention_ratio=bar, batch_size=batch_size)
        assert (some.header["triplets"]["used"], some.header["triplets"]["attention"]) == (3, 3)
        expected = learn(model, tokenizer, kept)
        for layer in some.layers:
            torch.testing.assert_close(some.shift[layer], expected.shift[layer], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(some.positive(layer), expected.positive(layer), rtol=0, atol=1e-3)
    with pytest.raises(ValueError, match=r"none of 6 triplets could be used.*'attention': 6"):
        learn(model, tokenizer, TRIPLETS, min_attention_ratio=1e6)


def seen_ids(model: Any) -> tuple[list[list[int]], Any]:
    rows: list[list[int]] = []

    def note(_module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        for ids, attention in zip(kwargs["input_ids"], kwargs["attention_mask"], strict=True):
            rows.append(ids[attention.bool()].tolist())

    return rows, decoder(model).register_forward_pre_hook(note, with_kwargs=True)


def test_special_tokens_are_the_same_in_learning_as_in_use() -> None:
    """The published builder learns without the beginning-of-sequence token and steers with it."""
    model, tokenizer = build_model("gemma3_text"), tokenizer_of("metaspace")
    learn(model, tokenizer, TRIPLETS[:1])  # the sites are known now, so that no other forward is seen
    rows, handle = seen_ids(model)
    try:
        projection = learn(model, tokenizer, TRIPLETS)
    finally:
        handle.remove()
    wanted = sorted(ids for triplet in TRIPLETS for ids, _ in parts_of(triplet, tokenizer, "metaspace"))
    assert sorted(rows) == wanted
    assert all(row[0] == tokenizer.bos_token_id and row.count(row[0]) == 1 for row in rows)
    for layer, sums in enumerate(by_hand(model, "gemma3_text", TRIPLETS, "metaspace")):
        np.testing.assert_allclose(projection.shift[layer], sums.shift, rtol=1e-4)


def test_chat_texts_stand_in_one_user_turn_with_one_bos() -> None:
    tokenizer, model = chatty(), build_model("qwen3", vocab_size=500)
    learn(model, tokenizer, TRIPLETS[:1])
    rows, handle = seen_ids(model)
    try:
        projection = learn(model, tokenizer, TRIPLETS[:2], chat_template=True)
    finally:
        handle.remove()
    contents = [
        content
        for t in TRIPLETS[:2]
        for content in (
            f"Context: {t.context} ",
            f"Question: {t.question}\nContext: {t.context}",
            f"Question: {t.other_question}\nContext: {t.context}",
        )
    ]
    turns = [[{"role": "user", "content": content}] for content in contents]
    wanted = [tokenizer.apply_chat_template(t, add_generation_prompt=True, return_dict=False) for t in turns]
    assert sorted(rows) == sorted(wanted)
    assert projection.header["recipe"]["chat_template"] is True


def test_a_triplet_cut_differently_in_its_texts_is_left_out_and_counted() -> None:
    """Here the blank after the neutral text melts into the answer's last token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({piece: i for i, piece in enumerate([*letters, "fĠ"])}, [("f", "Ġ")]))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    odd = Triplet("Ada plays golf", "What?", "golf", "Who sings?")
    model = build_model("qwen3")
    mixed = learn(model, tokenizer, [odd, *TRIPLETS[1:4], odd])
    assert (mixed.header["triplets"]["uneven"], mixed.header["triplets"]["used"]) == (2, 3)
    clean = learn(model, tokenizer, TRIPLETS[1:4])
    torch.testing.assert_close(mixed.shift[1], clean.shift[1])
    with pytest.raises(ValueError, match=r"none of 1 triplets could be used.*'uneven': 1"):
        learn(model, tokenizer, [odd])


def test_progress_counts_triplets(tokenizer: Any, qwen: Any) -> None:
    calls: list[tuple[int, int]] = []
    learn(qwen, tokenizer, TRIPLETS, batch_size=4, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(4, 6), (6, 6)]


def test_nothing_is_printed_and_nothing_is_left_behind(tokenizer: Any, qwen: Any, capfd: Any) -> None:
    before = {name: value.clone() for name, value in qwen.state_dict().items()}
    hooks, back_end = hooks_of(qwen), qwen.config._attn_implementation

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    learn(qwen, tokenizer, TRIPLETS, min_attention_ratio=0.0)
    with pytest.raises(KeyboardInterrupt):
        learn(qwen, tokenizer, TRIPLETS, min_attention_ratio=0.0, progress=interrupt)
    assert hooks_of(qwen) == hooks
    assert qwen.config._attn_implementation == back_end
    assert all(torch.equal(before[name], value) for name, value in qwen.state_dict().items())
    assert capfd.readouterr() == ("", "")


def test_the_header_says_where_it_is_from(tokenizer: Any, qwen: Any) -> None:
    projection = learn(qwen, tokenizer, TRIPLETS, energy=0.8, name="games", description="Who plays what.")
    assert (projection.name, projection.description) == ("games", "Who plays what.")
    assert projection.recommended_gain is None
    assert projection.header["recipe"]["energy"] == 0.8
    assert projection.header["triplets"]["digest"] == digest(TRIPLETS)
    assert projection.header["triplets"]["given"] == 6
    assert projection.header["geometry"]["heads"] == [2, 2, 2]
    assert projection.header["dtype"] == "float64"


@pytest.mark.parametrize("family", ["qwen3", "gemma2", "llama"])
def test_a_bfloat16_model_can_be_learnt_from(tokenizer: Any, family: str) -> None:
    """In the type in which it is used; what is stored is float32, and near what the same weights give in full."""
    half, full = (build_model(family, dtype=dtype) for dtype in (torch.bfloat16, torch.float32))
    projection, exact = (learn(m, tokenizer, TRIPLETS) for m in (half, full))
    assert projection.header["dtype"] == "bfloat16"
    for layer in projection.layers:
        part = projection.parts[layer]
        assert {t.dtype for t in (part.shift, part.positive.values, part.positive.vectors)} == {torch.float32}
        torch.testing.assert_close(projection.relative_shift[layer], exact.relative_shift[layer], rtol=0.2, atol=0.05)
        torch.testing.assert_close(projection.positive(layer) @ projection.positive(layer), projection.positive(layer))
    torch.testing.assert_close(projection.shift[0], exact.shift[0], rtol=0.05, atol=0.05)


@pytest.mark.parametrize("energy", [0.0, -0.1, 1.01, float("nan")])
def test_energy_is_a_share(tokenizer: Any, qwen: Any, energy: float) -> None:
    with pytest.raises(ValueError, match=r"energy is .*; wanted a share"):
        learn(qwen, tokenizer, TRIPLETS, energy=energy)


def test_bad_input_is_refused(tokenizer: Any, qwen: Any) -> None:
    with pytest.raises(ValueError, match="batch_size is 0"):
        learn(qwen, tokenizer, TRIPLETS, batch_size=0)
    with pytest.raises(ValueError, match="no triplets given"):
        learn(qwen, tokenizer, [])
    with pytest.raises(ValueError, match=r"answer 'tea' does not stand in its context 'Ada plays\.'"):
        learn(qwen, tokenizer, [Triplet("Ada plays.", "tea?", "tea", "What?")])
    with pytest.raises(ValueError, match="does not fit the model's 512"):
        learn(qwen, tokenizer, [Triplet("golf " * 600, "What?", "golf", "Who?")])


def test_a_tokenizer_that_names_a_short_length_cuts_nothing(qwen: Any) -> None:
    tokenizer = build_tokenizer.__wrapped__()
    tokenizer.model_max_length = 3
    assert torch.equal(learn(qwen, tokenizer, TRIPLETS).shift[2], learn(qwen, build_tokenizer(), TRIPLETS).shift[2])


def test_a_model_of_nan_is_refused(tokenizer: Any) -> None:
    """When it is opened, and where it was well when it was opened: half precision may overflow in longer texts alone."""
    for opened, options, message in (
        (False, {}, "in layer 2 its keys hold NaN"),
        (True, {}, "keys hold NaN"),
        (True, {"min_attention_ratio": 1.0}, "attention holds NaN"),
    ):
        broken = build_model.__wrapped__("qwen3")
        if opened:
            sites(broken)
        with torch.no_grad():
            broken.model.layers[1].mlp.down_proj.weight.fill_(float("nan"))
        with pytest.raises(ValueError, match=message):
            learn(broken, tokenizer, TRIPLETS, **options)
