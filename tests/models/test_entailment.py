import numpy as np
import pytest
import torch

from euds.errors import ModelError
from euds.models.entailment import TransformersEntailment
from euds.models.protocols import EntailmentModel
from tests.models.conftest import save_bert

LABELS = {0: "CONTRADICTION", 1: "Neutral", 2: "Entailment"}
PREMISES = ["A cat sat on the mat.", "The film was good.", "yes", "A cat sat on the mat."]
HYPOTHESES = ["A cat sat.", "The book was bad, and nobody asked.", "no", "A cat sat."]


def load(folder, labels):
    return TransformersEntailment.load(save_bert(folder, labels=labels), check=False)


def test_it_equals_a_naive_softmax(tmp_path):
    model = load(tmp_path / "nli", LABELS)
    assert isinstance(model, EntailmentModel)
    found = model.entailment(PREMISES, HYPOTHESES)
    assert found.dtype == np.float64
    for premise, hypothesis, probability in zip(PREMISES, HYPOTHESES, found, strict=True):
        inputs = model.tokenizer(premise, hypothesis, return_tensors="pt")
        with torch.no_grad():
            expected = torch.softmax(model.model(**inputs).logits[0], -1)[2]
        assert probability == pytest.approx(float(expected), abs=1e-5)
    assert found[0] == pytest.approx(found[3], abs=1e-6)  # the same pair, elsewhere in a batch
    assert model.entailment([], []).shape == (0,)


@pytest.mark.parametrize(
    ("labels", "index"),
    [
        ({0: "entailment", 1: "not_entailment"}, 0),
        ({0: "not_entailment", 1: "ENTAILMENT"}, 1),
        ({0: "contradiction", 1: "entail", 2: "neutral"}, 1),
    ],
)
def test_the_class_is_found_by_its_name(tmp_path, labels, index):
    assert load(tmp_path / "nli", labels).entails == index


def test_a_model_without_such_a_class_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no class for entailment"):
        load(tmp_path / "nli", {0: "LABEL_0", 1: "LABEL_1"})


def test_a_model_must_judge_a_plain_pair_rightly(tmp_path):
    model = load(tmp_path / "nli", LABELS)
    judged = int(model.probabilities(["A man eats pizza."], ["A man eats."]).argmax())
    for entails in range(3):
        labels = {index: "entailment" if index == entails else f"{index}" for index in range(3)}
        folder = save_bert(tmp_path / f"{entails}", labels=labels)
        if entails == judged:
            assert TransformersEntailment.load(folder).entails == judged
        else:
            with pytest.raises(ModelError, match="does not judge entailment"):
                TransformersEntailment.load(folder)
