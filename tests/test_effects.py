"""What one head does to an answer, against a naive loop over heads and prompts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import build_model, build_tokenizer
from naive import chatty
from setting import invent
from tokenizers import Tokenizer, models, normalizers
from transformers import PreTrainedTokenizerFast

import seka
from seka import projections
from seka.effects import effects, first_token
from seka.fingerprint import fingerprint

ASKED = [
    (seka.Prompt.marked("Previously **Ada plays chess**. Currently Ada plays golf. Ada plays"), " chess"),
    (seka.Prompt.marked("Ada plays **golf** in town. Ada plays"), " golf"),
    (seka.Prompt.marked("What does **Ada** play?"), " Ada"),
]


def test_one_head_at_a_time_as_a_loop_over_prompts():
    model, tokenizer = build_model("qwen3"), build_tokenizer()
    projection = invent(model)
    found = effects(model, tokenizer, projection, ASKED, positive=6.0, batch_size=2)

    def score(prompt: seka.Prompt, answer: str, steering: seka.Steering | None) -> float:
        tokens = seka.encode(prompt, tokenizer)
        wanted = tokenizer(answer, add_special_tokens=False)["input_ids"][0]
        with torch.no_grad():
            if steering is None:
                logits = model(tokens.ids).logits
            else:
                with steering.on(tokens):
                    logits = model(tokens.ids, attention_mask=tokens.attention).logits
        return float(logits[0, -1].float().log_softmax(-1)[wanted])

    for layer in projection.layers:
        for head in range(2):
            steering = seka.Steering(model, projection, 6.0, heads={layer: [head]})
            moved = [score(*pair, steering) - score(*pair, None) for pair in ASKED]
            assert float(found[layer][head]) == pytest.approx(sum(moved) / len(moved), abs=1e-4)
    assert max(float(value.abs().max()) for value in found.values()) > 1e-3


def llama_like() -> PreTrainedTokenizerFast:
    """Llama 2's scheme: a blank is put before every text, and blanks are letters."""
    pieces = ["▁", "▁Ada", "▁play", "▁plays", "▁golf", "▁chess", "▁now"]
    inner = Tokenizer(models.Unigram([("<unk>", -20.0), *((piece, -1.0) for piece in pieces)], unk_id=0))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")


@pytest.mark.parametrize(("answer", "piece"), [(" golf", "▁golf"), (" chess now", "▁chess"), ("", None), ("s", None)])
def test_an_answer_s_first_token_is_the_one_after_its_prompt(answer: str, piece: str | None):
    """By itself " golf" begins with a blank of its own in the scheme that puts one before every text."""
    tokenizer, prompt = llama_like(), seka.Prompt.marked("**Ada** play")
    assert tokenizer.tokenize(" golf") == ["▁", "▁golf"]
    if piece is None:
        with pytest.raises(
            ValueError, match="adds no token to its prompt; wanted" if not answer else "changes the tokens"
        ):
            first_token(tokenizer, prompt, answer)
    else:
        assert tokenizer.convert_ids_to_tokens(first_token(tokenizer, prompt, answer)) == piece


def test_the_model_s_weights_are_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large model has hundreds of heads; telling it from another one reads a part of each weight."""
    looked: list[Any] = []
    monkeypatch.setattr(projections, "fingerprint", lambda model: looked.append(model) or fingerprint(model))
    model = build_model("qwen3")
    effects(model, build_tokenizer(), invent(model), ASKED[:1], positive=6.0)
    assert len(looked) == 1


def test_a_rendered_prompt_gets_no_second_beginning():
    tokenizer = chatty()
    prompt = seka.chat(seka.Prompt.marked("**Ada** plays"), tokenizer)
    ids = tokenizer(prompt.text + "golf", add_special_tokens=False)["input_ids"]
    assert (
        first_token(tokenizer, prompt, "golf")
        == ids[len(tokenizer(prompt.text, add_special_tokens=False)["input_ids"])]
    )


def test_nothing_to_look_at_is_an_error():
    model = build_model("qwen3")
    with pytest.raises(ValueError, match="no prompts given"):
        effects(model, build_tokenizer(), invent(model), [], positive=1.0)
