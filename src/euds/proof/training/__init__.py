"""Trainers: what a proof trains on each subset, and what is kept of it."""
