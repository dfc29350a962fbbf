"""Models of a few thousand random weights in folders, as a user may have them."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

POSITIONS = 64
SENTENCES = [
    "The film was very good and the book was bad.",
    "A cat sat on the mat, and nobody asked why it sat there.",
]


def _tokenizer(*words: str, length: int, ends: bool = False) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_tokens(list(words))
    if ends:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
        model_max_length=length,
    )


def save_encoder(folder: Path, *, labels: dict[int, str] | None = None, ends: bool = True) -> Path:
    """Save a tiny random BERT: an encoder, or with labels a classifier.

    Without ends, its tokenizer makes no token of an empty text.
    """
    torch.manual_seed(11)
    tokenizer = _tokenizer(length=POSITIONS, ends=ends)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=POSITIONS,
        initializer_range=0.3,
    )
    if labels is None:
        model = BertModel(config, add_pooling_layer=False)
    else:
        config.id2label, config.num_labels = labels, len(labels)
        config.label2id = {label: index for index, label in labels.items()}
        model = BertForSequenceClassification(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_language_model(folder: Path, *, saying: str = "yes") -> Path:
    """Save a tiny GPT-2 that says one word over and over, mostly, whatever it is asked."""
    torch.manual_seed(7)
    tokenizer = _tokenizer(saying, length=512)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=512,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        initializer_range=0.4,
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():  # what is seen counts for little beside a bias towards the word
        words = model.transformer.wte.weight
        model.transformer.ln_f.weight.fill_(0.1)
        model.transformer.ln_f.bias.copy_(1.5 * words[tokenizer.convert_tokens_to_ids(saying)])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_varied_language_model(folder: Path) -> Path:
    """Save a tiny Llama, of the default model's kind, that is now surer and now less."""
    torch.manual_seed(7)
    tokenizer = _tokenizer(length=512)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        initializer_range=0.4,
    )
    LlamaForCausalLM(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
