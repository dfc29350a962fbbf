"""Scoring that spends model time where it decides what is kept, and predicts the rest."""
