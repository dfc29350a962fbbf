"""The sentence vectors that selecting works on: made where they are needed or worth their price."""

from __future__ import annotations

from euds.errors import MissingExtraError, ModelNotFoundError
from euds.pool.pool import Pool
from euds.progress import Progress
from euds.scoring.engines.base import Engine
from euds.scoring.scores import ScoreTable
from euds.scoring.vectors import Vectors, vectors_of
from euds.selection.request import Request

__all__ = ["MOST_FOR_NOTHING", "vectors_for"]

MOST_FOR_NOTHING = 50_000
"""Texts for which vectors are made unasked, where no score cost a model call either. Vectors of
more take minutes, where all else takes seconds; where a language model reads every text anyway
they are a small part of the cost."""


def vectors_for(
    request: Request,
    pool: Pool,
    scores: ScoreTable,
    *,
    progress: Progress,
    engine: Engine | None = None,
) -> tuple[Vectors | None, str | None]:
    """Return the vectors that a request works on, or why it does without them.

    Parameters
    ----------
    request : Request
        What is asked of selecting.
    pool : Pool
        The samples.
    scores : ScoreTable
        Their scores.
    progress : Progress
        Is told what happens.
    engine : Engine, optional
        Where texts are measured; this process by default.

    Returns
    -------
    vectors : Vectors or None
        None if they are not needed, or can be done without and are not to be had cheaply.
    reason : str or None
        Why there are none, where they would be of use.

    Raises
    ------
    MissingExtraError, ModelNotFoundError
        If the encoder cannot be had, and the request cannot do without.
    """
    if request.vectors_for is None:
        return None, None
    if not request.must_have_vectors:
        texts = len(pool.texts)
        if texts > MOST_FOR_NOTHING and not {"ge", "se"} & set(scores.names):
            return None, (
                f"an encoder would have to read all {texts:,} texts, and no score needed a model; "
                f"--scores ie,ge, or euds.scoring.vectors.vectors_of in Python, has them read"
            )
    try:
        return vectors_of(pool.texts, engine=engine, progress=progress), None
    except (MissingExtraError, ModelNotFoundError) as error:
        if request.must_have_vectors:
            raise
        return None, str(error)
