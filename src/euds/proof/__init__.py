"""The proof: train on the subset, on equally large baselines and on everything, and compare."""
