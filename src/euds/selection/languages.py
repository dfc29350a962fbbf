"""The language that a text is written in, told offline."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

__all__ = ["UNKNOWN", "languages_of"]

UNKNOWN = "und"
"""ISO 639's code for a language that cannot be told."""

_LEAST_CONFIDENCE = 0.5
_CHARACTERS = 500
"""The first so many characters of a text decide; more hardly change the answer, but take time."""


def languages_of(texts: Sequence[str]) -> list[str]:
    """Return the language of each text as an ISO 639-1 code.

    The detector is py3langid (after Lui and Baldwin 2012, https://aclanthology.org/P12-3005): naive
    Bayes over byte n-grams, its model is part of the package. Of a text by itself it gives the same
    answer everywhere.

    Returns
    -------
    list of str
        ``und`` where no language has a posterior probability of 1/2 or more, as with many texts of
        a few words.

    >>> languages_of(["The cat sat on the mat.", "Der Hund schläft unter dem Tisch."])
    ['en', 'de']
    """
    detect = _detector()
    found = []
    for text in texts:
        language, confidence = detect(text[:_CHARACTERS])
        found.append(language if confidence >= _LEAST_CONFIDENCE else UNKNOWN)
    return found


@functools.cache
def _detector() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True).classify
