"""Choose the part of a text pool worth fine-tuning on."""
