"""What scorers need of a model: names to weights, and weights to numbers."""

from euds.models.hardware import resolve_precision
from euds.models.loading import load_encoder, load_entailment_model, load_language_model

__all__ = [
    "load_encoder",
    "load_entailment_model",
    "load_language_model",
    "resolve_precision",
]
