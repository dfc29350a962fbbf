"""Tiny random models of several architectures, and the small real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    Gemma2Config,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.models.gemma2 import Gemma2ForCausalLM

from euds.models.network import Network
from euds.models.sources import ModelReference, resolve
from euds.models.tokens import Tokens
from euds.models.transformers_lm import TransformersLM

POSITIONS = 64
CORPUS = [
    "The film was very good and the book was bad.",
    "A cat sat on the mat, and nobody asked why it sat there.",
    "Is the answer yes or no? Question: what is this?\nAnswer: a test.\n",
]
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<user>{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<bot>{% endif %}"
)


def make_tokenizer(*, bos: bool = True, template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on three sentences."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<s>", "</s>", "<user>", "<bot>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>" if bos else None,
        eos_token="</s>",
        pad_token="</s>",
        additional_special_tokens=["<user>", "<bot>"],
    )
    wrapped.chat_template = template
    return wrapped


def make_model(architecture: str, vocabulary: int):
    """Return a random causal model whose predictions are far from uniform."""
    torch.manual_seed(7)
    shape = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": POSITIONS,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
        "initializer_range": 0.4,
    }
    grouped = {**shape, "num_key_value_heads": 2, "intermediate_size": 48, "head_dim": 8}
    if architecture == "llama":
        model = LlamaForCausalLM(LlamaConfig(**grouped, attn_implementation="eager"))
    elif architecture == "mistral":
        model = MistralForCausalLM(MistralConfig(**grouped, sliding_window=12))
    elif architecture == "gemma2":  # caps its logits, and every other layer slides
        config = Gemma2Config(**grouped, final_logit_softcapping=3.0, sliding_window=12)
        model = Gemma2ForCausalLM(config)
    else:
        model = GPT2LMHeadModel(GPT2Config(**shape, attn_implementation="eager"))
    return model.eval()


def make_lm(architecture: str, *, batch_tokens: int = 96) -> TransformersLM:
    """Return a tiny language model of an architecture."""
    tokenizer = make_tokenizer()
    network = Network.of_model(make_model(architecture, len(tokenizer)))
    return TransformersLM(network, Tokens.of_model(tokenizer, network.model), batch_tokens)


def save_bert(folder: Path, *, labels: dict[int, str] | None = None) -> Path:
    """Save a tiny random BERT, as an encoder or as a classifier, with a tokenizer."""
    torch.manual_seed(11)
    tokenizer = make_tokenizer(template=None)
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
        config.id2label = labels
        config.label2id = {label: index for index, label in labels.items()}
        config.num_labels = len(labels)
        model = BertForSequenceClassification(config)
    model.save_pretrained(folder)
    tokenizer.model_max_length = POSITIONS
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def llama() -> TransformersLM:
    return make_lm("llama")


@pytest.fixture(scope="session", params=["llama", "gpt2", "mistral", "gemma2"])
def lm(request: pytest.FixtureRequest) -> TransformersLM:
    return make_lm(request.param)


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    """Run on one core: small products gain little from more, and lose much on a shared one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def smollm2() -> ModelReference:
    return resolve("smollm2-135m")


@pytest.fixture(scope="session")
def minilm() -> ModelReference:
    return resolve("minilm-l6")
