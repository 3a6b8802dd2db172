"""What the tests know by themselves: other kinds of tokenizers, and keys computed layer by layer without seka."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

TEXTS = [
    "Previously Ada plays chess. Currently Ada plays golf.",
    "Ada plays golf in town. golf",
    "Question: What does Ada play?\nContext: Ada plays golf in town.",
    "unhappiness (Paris) [Rome] “Oslo”",
]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def _wrap(inner: Tokenizer, **settings: Any) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=inner, **settings)


def _byte_level(trim: bool, regex: bool = True, normalizer: Any = None) -> Tokenizer:
    inner = Tokenizer(models.BPE())
    if normalizer is not None:
        inner.normalizer = normalizer
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=trim, use_regex=regex)
    inner.decoder = decoders.ByteLevel()
    if trim:
        inner.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    inner.train_from_iterator(TEXTS * 4, trainer)
    return inner


def _metaspace() -> Tokenizer:
    """As SentencePiece models are converted: blanks are a letter, one is put in front, unknown letters become bytes."""
    specials = ["<pad>", "<bos>", "<eos>", "<unk>"]
    inner = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    trainer = trainers.BpeTrainer(
        vocab_size=380,
        special_tokens=[*specials, *(f"<0x{byte:02X}>" for byte in range(256))],
        show_progress=False,
    )
    inner.train_from_iterator(TEXTS[:-1] * 4, trainer)
    inner.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", inner.token_to_id("<bos>"))]
    )
    return inner


@cache
def tokenizer_of(kind: str) -> PreTrainedTokenizerFast:
    """byte-level, trimmed, metaspace (with bos), nfc, loose (no split into words)."""
    end = {"eos_token": "<|endoftext|>"}
    if kind == "metaspace":
        return _wrap(_metaspace(), bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", pad_token="<pad>")
    if kind == "nfc":
        return _wrap(_byte_level(False, normalizer=normalizers.NFC()), **end)
    if kind == "loose":
        return _wrap(_byte_level(False, regex=False), **end)
    return _wrap(_byte_level({"byte-level": False, "trimmed": True}[kind]), **end)


def chatty(kind: str = "metaspace", template: str = TEMPLATE) -> PreTrainedTokenizerFast:
    """A tokenizer with a chat template whose markers are single tokens."""
    tokenizer = copy.deepcopy(tokenizer_of(kind))
    marks = ["<|user|>", "<|system|>", "<|assistant|>", "<|end|>"]
    tokenizer.add_tokens([AddedToken(mark, special=True, normalized=False) for mark in marks])
    tokenizer.chat_template = template
    return tokenizer


@cache
def _letter_to_byte() -> dict[str, int]:
    """The printable letters byte-level BPE writes bytes with (as GPT-2 published them)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    letters = {chr(byte): byte for byte in printable}
    return letters | {chr(256 + i): byte for i, byte in enumerate(rest)}


def piece_bytes(piece: str, kind: str) -> bytes:
    """The bytes of text that one token stands for."""
    if kind == "metaspace":
        if piece.startswith("<0x"):
            return bytes([int(piece[3:5], 16)])
        return b"" if piece in ("<bos>", "<eos>", "<pad>") else piece.replace("▁", " ").encode()
    return bytes(_letter_to_byte()[letter] for letter in piece)


def touched(text: str, span: tuple[int, int], pieces: Sequence[str], kind: str) -> list[int]:
    """Which tokens hold a byte of a non-blank letter of the span, counted off in bytes; no offsets are asked for."""
    wanted, position = set(), 0
    for i, letter in enumerate(text):
        size = len(letter.encode())
        if span[0] <= i < span[1] and not letter.isspace():
            wanted |= set(range(position, position + size))
        position += size
    spelled = [piece_bytes(piece, kind) for piece in pieces]
    whole = b"".join(spelled)
    ahead = len(whole) - len(text.encode())
    if whole[max(ahead, 0) :] != text.encode() or whole[: max(ahead, 0)].strip():
        raise AssertionError(f"the test does not understand this tokenization: {whole!r}")
    out, position = [], -ahead
    for i, part in enumerate(spelled):
        if wanted & set(range(position, position + len(part))):
            out.append(i)
        position += len(part)
    return out


def keys_by_hand(model: Any, family: str, ids: Sequence[int]) -> list[Tensor]:
    """Per layer the (T, H, D) keys before the rotary embedding, of one unpadded row, from the layers' own weights."""
    with torch.no_grad():
        out = model.model(input_ids=torch.tensor([list(ids)]), output_hidden_states=True, use_cache=False)
        keys = []
        for block, state in zip(model.model.layers, out.hidden_states, strict=False):
            attention = block.self_attn
            state = state if family == "olmo2" else block.input_layernorm(state)
            key = attention.k_proj(state)[0]
            if family == "olmo2":
                key = attention.k_norm(key)
            key = key.reshape(len(ids), -1, attention.head_dim)
            if family in ("qwen3", "gemma3_text"):
                key = attention.k_norm(key)
            keys.append(key)
    return keys


def hooks_of(model: torch.nn.Module) -> int:
    """How many hooks hang on the model."""
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
