"""The embedded model: its tokenizer, network and training, and what is shipped."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from seka import Projection, Steering, miniature, with_baselines
from seka.miniature import scales
from seka.miniature.batches import Stream, alone, collate, skipping
from seka.miniature.corpus.sentences import unwrap, wrap
from seka.miniature.measures import evaluate, matching
from seka.miniature.measures.tasks import UNSEEN
from seka.miniature.model import IGNORED, Network, Shape, adopt, document_mask, export
from seka.miniature.strength import GAINS
from seka.miniature.tokenizer import train_tokenizer
from seka.miniature.train import Recipe, Run, rate, shares, ship, train

TINY = Shape(vocabulary=400, layers=2, width=32, heads=4, kv_heads=2, head_width=8, inner=48, context=1024)
WIDTHS = (128, 1024)
COUNT = 3000


@pytest.fixture(scope="module")
def shipped():
    if not (miniature.path() / "model.safetensors").exists():
        pytest.fail("the weights are missing; python -m seka miniature train --ship")
    return miniature.load()


@given(st.lists(st.text(st.characters(exclude_characters="\x01\x02\x03"), min_size=1), max_size=5))
def test_wrapped_parts_are_found_where_they_are(parts):
    text, places = unwrap("-".join(wrap(index, part) for index, part in enumerate(parts)))
    assert text == "-".join(parts)
    assert [text[a:b] for a, b in places.values()] == parts


def test_a_column_does_not_see_other_documents():
    torch.manual_seed(0)
    network = Network(TINY)
    network.initialise(torch.Generator().manual_seed(0))
    first, second = [5, 6, 7, 8], [9, 10, 11]
    heavy = (second, [1.0, 5.0, 1.0], [0, 1, 2])
    together = collate([[(first, [1.0, 2.0, 3.0, 4.0], [0, 1, 2, 3]), heavy]], 10, 0)
    single = collate([alone(second)], 3, 0)
    a = network(together.ids, together.positions, document_mask(together.documents))[0, 4:7]
    b = network(single.ids, single.positions, document_mask(single.documents))[0]
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    assert together.targets.tolist() == [[6, 7, 8, IGNORED, 10, 11, IGNORED, IGNORED, IGNORED, IGNORED]]
    assert together.weights.tolist() == [[2, 3, 4, 0, 5, 1, 0, 0, 0, 0]]


def test_the_exported_model_computes_the_same_logits():
    network = Network(TINY)
    network.initialise(torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) * 0.1)
    model = export(network, 0)
    ids = torch.randint(0, TINY.vocabulary, (2, 50), generator=torch.Generator().manual_seed(3))
    positions = torch.tensor([[*range(50)], [*range(20), *range(70, 100)]])
    ours = network(ids, positions, document_mask(torch.zeros_like(ids)))
    theirs = model(ids, position_ids=positions).logits
    assert theirs.std() > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


@given(st.randoms(use_true_random=False), st.integers(1, 40))
def test_a_document_skips_positions_once_and_stays_in_the_context(random, size):
    assert skipping(random, size, 0.0, 64) == [*range(size)]
    places = skipping(random, size, 1.0, 64)
    steps = [b - a for a, b in pairwise(places)]
    assert places[0] == 0
    assert places[-1] < 64
    assert len(places) == size
    assert all(step >= 1 for step in steps)
    assert sum(step > 1 for step in steps) == (size > 1)


def test_bytes_that_an_earlier_corpus_never_held_are_drawn_anew(tmp_path):
    """Those of a model that told them apart stay as they are."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(miniature.path())
    parts = [token for token in range(len(tokenizer)) if "\ufffd" in tokenizer.decode([token])]
    whole = [token for token in range(len(tokenizer)) if token not in set(parts)]
    assert len(parts) >= 128
    shape = replace(TINY, vocabulary=len(tokenizer))
    network = Network(shape)
    network.initialise(torch.Generator().manual_seed(0))
    tokenizer.save_pretrained(tmp_path)
    export(network, 0).save_pretrained(tmp_path)
    kept = Network(shape)
    adopt(kept, tmp_path, tokenizer)
    assert torch.equal(kept.embed_tokens.weight, network.embed_tokens.weight)
    with torch.no_grad():
        network.embed_tokens.weight[parts] = network.embed_tokens.weight[parts[0]].clone()
    export(network, 0).save_pretrained(tmp_path)
    adopt(kept, tmp_path, tokenizer)
    assert torch.equal(kept.embed_tokens.weight[whole], network.embed_tokens.weight[whole])
    drawn = kept.embed_tokens.weight[parts].detach()
    assert torch.pdist(drawn).min() > 0.1 * torch.pdist(kept.embed_tokens.weight[whole[:200]].detach()).median()


def test_the_rate_warms_up_holds_and_falls_to_nothing():
    recipe = Recipe(steps=1000, warm_up=10, decay=0.4)
    assert rate(0.0, 0, recipe) == pytest.approx(0.1)
    assert rate(0.5, 500, recipe) == 1
    assert rate(0.8, 800, recipe) == pytest.approx(0.5)
    assert rate(1.0, 1000, recipe) == 0


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(tmp_path, monkeypatch):
    monkeypatch.setattr("seka.miniature.train.train_tokenizer", partial(train_tokenizer, count=300))
    monkeypatch.setattr("seka.miniature.train.shares", partial(shares, count=50))
    monkeypatch.setattr("seka.miniature.batches.CHUNK", 64)
    recipe = Recipe(steps=4, shape=TINY, tokens=512, widths=WIDTHS, compiled=False, warm_up=2)
    whole = train(recipe, tmp_path / "whole", probe_every=0)
    again = stopped_at(recipe, tmp_path / "parts", 2)
    assert again.step == 2
    parts = train(recipe, tmp_path / "parts", probe_every=0)
    assert parts.step == whole.step == 4
    for (name, a), b in zip(whole.network.state_dict().items(), parts.network.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    ship(whole, tmp_path / "shipped")
    further = Run(replace(recipe, start=str(tmp_path / "shipped")), tmp_path / "further")
    assert further.step == 0
    known = (tmp_path / "further" / "before.json").read_text(encoding="utf-8")
    assert known == (tmp_path / "shipped" / "training_figures.json").read_text(encoding="utf-8")
    (tmp_path / "shipped" / "training_figures.json").write_text('{"of": "another run"}', encoding="utf-8")
    further.save()
    Run(further.recipe, tmp_path / "further")  # a run that goes on keeps what it began with
    assert (tmp_path / "further" / "before.json").read_text(encoding="utf-8") == known
    (tmp_path / "further" / "checkpoint.pt").unlink()
    Run(further.recipe, tmp_path / "further")  # and one that begins anew does not
    assert (tmp_path / "further" / "before.json").read_text(encoding="utf-8") == '{"of": "another run"}'
    Run(replace(further.recipe, start=""), tmp_path / "further")
    assert not (tmp_path / "further" / "before.json").exists()
    assert further.tokenizer.get_vocab() == whole.tokenizer.get_vocab()
    for (name, a), b in zip(whole.network.state_dict().items(), further.network.state_dict().values(), strict=True):
        assert torch.equal(a.bfloat16().float(), b), name  # what is shipped is bfloat16
    with pytest.raises(ValueError, match="another tokens, muon"):
        Run(replace(recipe, tokens=1024, muon=0.5), tmp_path / "parts")


def stopped_at(recipe: Recipe, folder: Path, step: int) -> Run:
    run = Run(recipe, folder)
    while run.step < step:
        run.advance()
    run.save()
    return run


def test_the_stream_goes_on_from_a_saved_state(shipped):
    _, tokenizer = shipped
    stream = Stream(tokenizer, 0, tokens=1024, widths=WIDTHS)
    for _ in range(3):
        stream.next()
    other = Stream(tokenizer, 0, tokens=1024, widths=WIDTHS)
    other.restore(stream.state())
    assert torch.equal(stream.next().ids, other.next().ids)


@settings(deadline=None, max_examples=200)
@given(text=st.text())
def test_any_text_comes_back_from_the_tokenizer(shipped, text):
    _, tokenizer = shipped
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_shipped_files_are_small_and_complete(shipped):
    files = [file for file in miniature.path().iterdir() if file.is_file()]
    assert {"model.safetensors", "config.json", "generation_config.json", "tokenizer.json", "README.md"} <= {
        f.name for f in files
    }
    assert sum(file.stat().st_size for file in files) <= 20 * 2**20
    model, tokenizer = shipped
    assert model.dtype == torch.float32
    assert tokenizer.model_max_length == model.config.max_position_embeddings >= 1024
    assert tokenizer.eos_token == tokenizer.pad_token == "<|endoftext|>"


def test_experts_fit_the_model_and_recommend_a_gain(shipped):
    """At least four that are mixed, and one of all triplets together; every file in the folder is one of them."""
    model, _ = shipped
    mixed, alone = miniature.experts(), miniature.alone()
    assert len(mixed) >= 4
    assert list(alone) == ["pooled"]
    assert set((mixed | alone).values()) == set(miniature.projections().glob("*.safetensors"))
    for name, file in (mixed | alone).items():
        projection = Projection.load(file)
        projection.check(model)
        assert projection.name == name
        assert projection.recommended_gain in GAINS
    router = miniature.router()
    assert router.names == tuple(mixed)
    assert router.recommended_gain == router.gain
    assert router.gain in GAINS
    assert (router.score, router.sharpness) == (scales.SCORE, scales.SHARPNESS)


def test_baselines_are_those_of_prompts_of_every_kind_with_nothing_marked(shipped):
    """As the shipped files hold them; what a baseline is, test_baselines.py says."""
    model, tokenizer = shipped
    prompts = matching.usual(tokenizer)
    kinds = [evaluate.draw(kind, 100, evaluate.VALIDATION, tokenizer, UNSEEN) for kind in matching.MATCHING.values()]
    assert [prompt.text for prompt in prompts] == [row.case.prompt for rows in kinds for row in rows]
    assert not any(prompt.spans for prompt in prompts)
    experts = miniature.router().experts
    found = with_baselines(model, tokenizer, experts, prompts)
    for name, expert in experts.items():
        for layer, part in expert.parts.items():
            assert torch.allclose(part.baseline, found[name].part(layer).baseline, atol=1e-4)


def test_the_router_tells_prompts_apart(shipped):
    """An expert's share is largest on the prompts that are like its triplets, and none leads on more than half of all."""
    model, tokenizer = shipped
    steering = Steering(model, miniature.router())
    found = {}
    for name, kind in matching.MATCHING.items():
        rows = evaluate.draw(kind, 40, f"{evaluate.VALIDATION}, routing", tokenizer, UNSEEN)
        found[name] = matching.shares(tokenizer, [row.marked(row.less_likely) for row in rows], steering)
    mean = {
        name: {kind: sum(share[name] for share in some) / len(some) for kind, some in found.items()} for name in found
    }
    assert {name: max(kinds, key=kinds.__getitem__) for name, kinds in mean.items()} == {name: name for name in found}
    led = Counter(max(share, key=share.__getitem__) for some in found.values() for share in some)
    assert set(led) == set(found)
    assert max(led.values()) <= led.total() / 2


def test_wilson_interval_agrees_with_its_definition():
    """The interval's ends are where a proportion lies 1.96 of its own standard errors from the rate."""
    found = evaluate.Rate(45, 60)
    for end in found.interval:
        assert abs(found.value - end) == pytest.approx(1.959964 * (end * (1 - end) / 60) ** 0.5, rel=1e-6)
