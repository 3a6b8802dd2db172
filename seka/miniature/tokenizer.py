"""The tokenizer: byte-level BPE learnt on the corpus. It knows bytes and merges, not models.

Every one of the 256 bytes is a token, nothing is normalised and no special token is added on its own, so any pasted
text comes back exactly as it went in. Digits are always single tokens, which makes numbers easy to copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END = "<|endoftext|>"


def train_tokenizer(
    documents: Iterable[str], vocabulary: int, context: int, count: int = 30_000
) -> PreTrainedTokenizerFast:
    """A tokenizer with `vocabulary` tokens learnt on the first `count` documents."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    bpe.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(islice(documents, count), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=END,
        model_max_length=context,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
