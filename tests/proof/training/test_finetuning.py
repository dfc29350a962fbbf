"""Fine-tuning of a tiny random BERT, and of the small real encoder."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForQuestionAnswering, BertForSequenceClassification

from euds.errors import ModelError, OptionError
from euds.models.extras import quiet_transformers
from euds.models.sources import ModelReference, resolve
from euds.progress import SilentProgress
from euds.proof.tasks import proof_task_named
from euds.proof.training.finetuning import FineTuning
from euds.proof.training.finetuning_course import FineTuningCourse
from euds.proof.training.goals import tokenised
from euds.proof.training.protocol import Samples
from tests.proof.conftest import NAMES, opinions, samples_of, save_encoder, word_tokenizer

FIT, ASK = np.arange(120), np.arange(120, 160)
RATE = {"learning_rate": 3e-3}


class Notes(SilentProgress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def load(
    encoder: ModelReference, samples: Samples, task: str = "sentiment", **options
) -> FineTuningCourse:
    trainer = FineTuning(encoder, **{"epochs": 6, "precision": "float32", **options})
    return trainer.load(proof_task_named(task), samples, SilentProgress())


@pytest.fixture(scope="module")
def course(encoder: ModelReference) -> FineTuningCourse:
    return load(encoder, opinions(160, unlabelled=40))


@pytest.fixture(scope="module")
def right() -> tuple[str, ...]:
    return tuple(opinions(160, unlabelled=0).labels[120:])


def logits_of(course: FineTuningCourse, *, seed: int, steps: int, rows: int = 40) -> torch.Tensor:
    """Return what a trained model says of the first rows, in numbers."""
    said = []
    answers = course.goal.answers

    def listen(output, asked):
        said.append(output.logits[: len(asked)].clone())
        return answers(output, asked)

    course.goal.answers = listen
    try:
        fit = np.arange(rows)
        course.run(fit, np.arange(4), seed=seed, settings=RATE, steps=steps)
    finally:
        del course.goal.answers
    return torch.cat(said)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_one_word_tells_is_learnt(encoder, right, precision):
    course = load(encoder, opinions(160, unlabelled=40), precision=precision)
    outcome = course.run(FIT, ASK, seed=1, settings=RATE)
    assert outcome.answers == right
    assert outcome.steps == 6 * 8
    assert outcome.training_seconds > 0
    assert outcome.answering_seconds > 0
    assert course.preparing_seconds > 0


def test_nothing_is_learnt_from_shuffled_labels(encoder, right):
    samples = opinions(160, unlabelled=40)
    labels = list(samples.labels[:120])
    random.Random(5).shuffle(labels)
    mixed = Samples(samples.keys, samples.texts, samples.contexts, labels + [None] * 40)
    outcome = load(encoder, mixed).run(FIT, ASK, seed=1, settings=RATE)
    assert np.mean([one == other for one, other in zip(outcome.answers, right, strict=True)]) < 0.8


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_seed_decides_every_bit_whatever_happened_before(encoder, precision):
    course = load(encoder, opinions(160, unlabelled=40), precision=precision)
    before = logits_of(course, seed=1, steps=4)
    torch.manual_seed(99)
    other = logits_of(course, seed=2, steps=4)
    assert torch.equal(logits_of(course, seed=1, steps=4), before)
    assert not torch.equal(other, before)
    again = load(encoder, opinions(160, unlabelled=40), precision=precision)
    assert torch.equal(logits_of(again, seed=1, steps=4), before)


def test_the_seed_makes_the_head_and_not_the_encoder(course):
    one, same, other = (dict(course.initial.fresh(seed).named_parameters()) for seed in (1, 1, 2))
    differs = {name for name in one if not torch.equal(one[name], other[name])}
    assert differs == {"bert.pooler.dense.weight", "classifier.weight"}
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert one["classifier.weight"].std().item() == pytest.approx(
        0.1, rel=0.5
    )  # as its config says


def test_a_head_of_the_checkpoint_is_made_anew(encoder, tmp_path):
    """A head that has learnt other classes must not favour any arm, or any class."""
    config = BertConfig.from_pretrained(encoder.folder, num_labels=2)
    with quiet_transformers():
        BertForSequenceClassification(config).save_pretrained(tmp_path / "same")
        BertForQuestionAnswering(config).save_pretrained(tmp_path / "span")
    config.num_labels = 5
    with quiet_transformers():
        BertForSequenceClassification(config).save_pretrained(tmp_path / "more")
    for name in ("same", "span", "more"):
        word_tokenizer().save_pretrained(tmp_path / name)
        reference = ModelReference(name, "folder", name, tmp_path / name)
        initial = load(reference, opinions(20, unlabelled=0)).initial
        one, other = initial.fresh(1).classifier.weight, initial.fresh(2).classifier.weight
        assert one.shape == (2, 32)
        assert not torch.equal(one, other)


def random_state() -> tuple:
    legacy = np.random.get_state()  # noqa: NPY002
    return random.getstate(), legacy[1].tolist(), legacy[2:], torch.get_rng_state().tolist()


def test_the_global_random_state_is_untouched(course):
    before = random_state()
    course.run(FIT, ASK, seed=1, settings=RATE, steps=1)
    assert random_state() == before


def test_nothing_is_written_or_said(encoder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    load(encoder, opinions(40, unlabelled=0)).run(FIT[:20], FIT[:5], seed=1, settings=RATE)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_the_order_of_the_rows_changes_nothing(course):
    shuffled = np.random.default_rng(0).permutation
    fit, ask = shuffled(FIT), ASK[shuffled(40)]
    one = course.run(FIT, ASK, seed=3, settings=RATE)
    other = course.run(fit, np.append(ask, ask[:3]), seed=3, settings=RATE)
    places = dict(zip(ASK.tolist(), one.answers, strict=True))
    assert len(set(one.answers)) == 2
    assert other.answers == tuple(places[row] for row in [*ask.tolist(), *ask[:3].tolist()])


def test_a_class_that_the_subset_lacks_has_an_output(encoder):
    texts = ["the film was good", "the film was bad"] * 20
    samples = samples_of(texts, [*["good", "bad"] * 18, *["odd"] * 4])
    course = load(encoder, samples)
    outcome = course.run(np.arange(36), np.arange(4), seed=1, settings=RATE, steps=30)
    assert course.initial.model.config.num_labels == 3
    assert outcome.answers == ("good", "bad", "good", "bad")
    only = course.run(np.arange(0, 36, 2), np.arange(4), seed=1, settings=RATE, steps=30)
    assert only.answers == ("good",) * 4


def test_steps_take_the_place_of_epochs(course):
    trainer = course.trainer
    assert [trainer.steps_of(rows) for rows in (1, 16, 17, 120)] == [6, 6, 12, 48]
    for rows, steps, taken in [(17, None, 12), (17, 1, 1), (17, 15, 15), (1, 2, 2), (5, None, 6)]:
        outcome = course.run(FIT[:rows], ASK, seed=1, settings=RATE, steps=steps)
        assert outcome.steps == taken
        assert len(outcome.answers) == 40


def test_the_learning_rate_is_that_of_the_settings(course):
    still = course.run(FIT, ASK, seed=1, settings={"learning_rate": 1e-12})
    moved = course.run(FIT, ASK, seed=1, settings=RATE)
    assert len(set(still.answers)) == 1  # a random encoder says the same of all
    assert len(set(moved.answers)) == 2


def test_a_row_without_a_label_cannot_be_trained_on(course):
    with pytest.raises(AssertionError, match="without a label"):
        course.run(ASK, FIT, seed=1, settings=RATE)


def test_a_pair_is_read_with_its_context(encoder, right):
    """The class stands in the context alone."""
    texts = opinions(160, unlabelled=40)
    samples = samples_of(["what was it?"] * 160, list(texts.labels), list(texts.texts))
    course = load(encoder, samples, task="yes-no")
    outcome = course.run(FIT, ASK, seed=1, settings=RATE, steps=80)
    assert outcome.answers == right
    blind = load(encoder, samples, task="sentiment").run(FIT, ASK, seed=1, settings=RATE, steps=8)
    assert len(set(blind.answers)) == 1


def test_a_row_is_cut_and_special_words_of_a_text_are_none():
    tokenizer = word_tokenizer()
    rows = tokenised(tokenizer, ["the film " * 20, "a [SEP] film", ""], max_tokens=10)
    assert [len(row) for row in rows] == [10, 7, 2]  # [ S E P ] are three words without the marks
    assert rows[0].inputs["input_ids"][-1] == tokenizer.sep_token_id
    assert rows[1].inputs["input_ids"].count(tokenizer.sep_token_id) == 1
    assert all(row.context_tokens == () for row in rows)


@pytest.mark.parametrize(
    ("question", "context", "kept"),
    [
        (3, 4, (3, 4)),  # fits
        (8, 50, (8, 9)),  # the context is cut
        (8, 0, (8, 0)),
        (30, 50, (8, 9)),  # a question that leaves no room is cut too
        (30, 2, (15, 2)),  # but not more than it must be
        (12, 4, (12, 4)),
    ],
)
def test_of_a_pair_the_question_is_kept(question, context, kept):
    tokenizer = word_tokenizer()
    # Another row before it, and one behind: each gets its own tokens back.
    (first, row, last) = tokenised(
        tokenizer,
        ["who", "film " * question, "what " * 40],
        ["sold", "book " * context, None],
        max_tokens=20,
    )
    ids = tokenizer.convert_ids_to_tokens(row.inputs["input_ids"])
    assert (ids.count("film"), ids.count("book")) == kept
    assert len(row) == min(20, sum(kept) + 3)
    assert len(row.context_tokens) == ids.count("book")
    assert ids[slice(*row.context_span)] == ["book"] * ids.count("book")
    assert tokenizer.decode(first.inputs["input_ids"]) == "[CLS] who [SEP] sold [SEP]"
    assert last.inputs["input_ids"].count(tokenizer.convert_tokens_to_ids("what")) == 17
    assert last.context_span == (0, 0)


def makers(rows: int, *, unlabelled: int) -> tuple[Samples, list[str]]:
    """Return questions about a name somewhere in the context, or about none, and the answers."""
    draw = random.Random(2)
    contexts, answers = [], []
    for number in range(rows):
        name = draw.choice(NAMES).upper()
        before, after = (["film", "book", "née", "it"][: draw.randrange(5)] for _ in range(2))
        contexts.append(" ".join([*before, name, "wrote it", *after]))
        answers.append([name, "unknown"][number % 2])
    questions = ["who wrote it?", "who saw it?"] * (rows // 2)
    labels = answers[: rows - unlabelled] + [None] * unlabelled
    return samples_of(questions, labels, contexts), answers


def test_words_of_a_context_are_learnt_to_be_pointed_at(encoder):
    samples, answers = makers(200, unlabelled=40)
    course = load(encoder, samples, task="answer", epochs=8)
    outcome = course.run(np.arange(160), np.arange(160, 200), seed=1, settings=RATE)
    right = [one == other for one, other in zip(outcome.answers, answers[160:], strict=True)]
    assert np.mean(right) > 0.9


def test_what_cannot_be_pointed_at_is_trained_as_no_answer(encoder):
    context = "the film was sold in 1864 , née book"
    samples = samples_of(
        ["what?"] * 6, ["1864", "NÉE book", "nobody", "Unknown.", "", None], [context] * 6
    )
    notes = Notes()
    trainer = FineTuning(encoder, precision="float32")
    course = trainer.load(proof_task_named("answer"), samples, notes)
    tokens = word_tokenizer().convert_ids_to_tokens(course.rows[0].inputs["input_ids"])
    spans = [course.goal.targets(row) for row in range(5)]
    pointed = [tokens[span["start_positions"] : span["end_positions"] + 1] for span in spans]
    assert pointed == [["1", "##8", "##6", "##4"], ["née", "book"], *[["[CLS]"]] * 3]
    assert [note[:14] for note in notes.notes] == ["1 answers are "]
    with pytest.raises(AssertionError, match="without a label"):
        course.goal.targets(5)
    assert course.goal.no_answer == "unknown"
    cut = FineTuning(encoder, precision="float32", max_tokens=12).load(
        proof_task_named("answer"), samples, notes
    )
    assert [cut.goal.targets(row)["start_positions"] for row in range(5)] == [0] * 5
    assert notes.notes[1].startswith("3 answers are not in the first 12 tokens")


def test_without_a_context_there_is_no_answer(encoder):
    samples = samples_of(["what?"] * 4, ["film", "", "", ""], [None, "", "the film", None])
    outcome = load(encoder, samples, task="answer").run(
        np.arange(4), np.array([0, 1, 3]), seed=1, settings=RATE, steps=1
    )
    assert outcome.answers == ("", "", "")


def test_a_model_that_cannot_have_the_head_is_refused(encoder, tmp_path):
    samples = opinions(4, unlabelled=0)
    toy = ModelReference("toy", "toy", "1", None)
    with pytest.raises(ModelError, match="toy model cannot be fine-tuned"):
        load(toy, samples)
    word_tokenizer().save_pretrained(tmp_path)
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    reference = ModelReference("wrong", "folder", "1", tmp_path)
    for kind in ("vits", "no-such-model"):
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
        with pytest.raises(ModelError, match="cannot be loaded"):
            load(reference, samples)


def test_a_checkpoint_that_lacks_a_layer_is_refused(tmp_path):
    reference = save_encoder(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layer.1.output" not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks weights of the encoder") as caught:
        load(reference, opinions(4, unlabelled=0))
    assert "layer.1.output" in str(caught.value)


def test_a_tokenizer_that_cannot_pad_is_refused(encoder, tmp_path):
    for path in encoder.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings.pop("pad_token")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="no padding token"):
        load(ModelReference("bare", "folder", "1", tmp_path), opinions(4, unlabelled=0))


def test_a_row_is_no_longer_than_the_encoder_reads(encoder):
    course = load(encoder, samples_of(["film " * 90] * 2, ["a", "b"]), max_tokens=512)
    assert [len(row) for row in course.rows] == [64, 64]


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"max_tokens": 4},
        {"learning_rates": ()},
        {"learning_rates": (1e-4, 0.0)},
        {"warmup_share": 1.0},
        {"weight_decay": -0.1},
        {"precision": "float8"},
    ],
)
def test_parameters_that_make_no_sense_are_refused(encoder, wrong):
    with pytest.raises(OptionError):
        FineTuning(encoder, **wrong)


def test_the_recipe_says_what_is_computed_in(encoder):
    assert FineTuning(encoder).precision in {"float32", "bfloat16"}
    assert FineTuning(encoder, learning_rates=(1e-3,)).grid == ({"learning_rate": 1e-3},)


def test_trained_parameters_are_those_of_the_layers(encoder):
    layer = 4 * (32 * 32 + 32) + (32 * 64 + 64) + (64 * 32 + 32) + 2 * 2 * 32
    assert FineTuning(encoder).trained_parameters == 2 * layer


@pytest.mark.models
def test_the_small_real_encoder_learns_from_a_few_rows():
    draw = random.Random(0)
    subjects = {
        "sport": ["the striker", "the goalkeeper", "our sprinter", "the tennis champion"],
        "money": ["the central bank", "the stock market", "the investor", "the tax office"],
    }
    ends = ["made news today", "surprised everyone", "had a quiet week", "was talked about"]
    rows = [
        (f"{draw.choice(subjects[label])} {draw.choice(ends)}", label)
        for label in ["sport", "money"] * 40
    ]
    samples = samples_of([text for text, _ in rows], [*[one for _, one in rows[:48]], *[None] * 32])
    trainer = FineTuning(resolve("minilm-l6"), max_tokens=32)
    course = trainer.load(proof_task_named("topic"), samples, SilentProgress())
    outcome = course.run(np.arange(48), np.arange(48, 80), seed=0, settings={"learning_rate": 2e-4})
    assert outcome.answers == tuple(label for _, label in rows[48:])
    assert trainer.trained_parameters == 6 * (4 * (384**2 + 384) + 2 * 384 * 1536 + 1536 + 5 * 384)
