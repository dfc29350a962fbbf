"""A tiny random BERT whose tokenizer knows pairs, and samples to train it on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from euds.models.extras import quiet_transformers
from euds.models.fingerprints import folder_fingerprint
from euds.models.sources import ModelReference
from euds.proof.training.protocol import Samples

PRAISE, BLAME = ["good", "fine", "warm", "bright", "kind"], ["bad", "poor", "cold", "dark", "cruel"]
NAMES = [f"name{number}" for number in range(30)]
WORDS = [
    *(*PRAISE, *BLAME, *NAMES),
    *("the", "a", "and", "it", "was", "in", "film", "book", "sold", "made", "wrote", "saw"),
    *("who", "what", "née", "##s", *"0123456789.,'?-", *(f"##{digit}" for digit in range(10))),
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
POSITIONS = 64


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Return a WordPiece tokenizer of a few words, with the special tokens of BERT."""
    vocabulary = {word: index for index, word in enumerate(SPECIAL + WORDS)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=POSITIONS,
    )


def save_encoder(folder: Path) -> ModelReference:
    """Save a tiny random BERT without a pooling layer or a head."""
    tokenizer = word_tokenizer()
    with torch.random.fork_rng(), quiet_transformers():
        torch.manual_seed(11)
        config = BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=POSITIONS,
            pad_token_id=0,
            initializer_range=0.1,
        )
        BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return ModelReference(str(folder), "folder", folder_fingerprint(folder), folder)


def samples_of(
    texts: list[str], labels: list[str | None], contexts: list[str | None] | None = None
) -> Samples:
    """Return samples with made-up keys."""
    keys = [f"{number:032x}" for number in range(len(texts))]
    return Samples(keys, texts, contexts or [None] * len(texts), labels)


def opinions(rows: int, *, unlabelled: int) -> Samples:
    """Return sentences whose class one word tells; the last ones have no label."""
    draw = random.Random(3)
    texts, labels = [], []
    for number in range(rows):
        subject, word = draw.choice(["film", "book"]), draw.choice((PRAISE, BLAME)[number % 2])
        tail = ["and", "it", "was", "a", "film"][: draw.randrange(6)]
        texts.append(" ".join(["the", subject, "was", word, *tail]))
        labels.append("praise" if number % 2 == 0 else "blame")
    return samples_of(texts, labels[: rows - unlabelled] + [None] * unlabelled)


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> ModelReference:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Run on one core: small products gain little from more, and lose much on a shared one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
