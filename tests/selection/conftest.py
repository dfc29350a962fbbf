"""No test of selecting reads a text with an encoder: vectors are given, or there are none."""

import pytest

from euds.errors import ModelNotFoundError
from euds.selection import sentence_vectors


@pytest.fixture(autouse=True)
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_, **__):
        raise ModelNotFoundError("there is no encoder", next_step="euds models get minilm-l6")

    monkeypatch.setattr(sentence_vectors, "vectors_of", refuse)
