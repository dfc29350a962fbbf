"""A pool's texts into a table of scores: entropies, scorers, the store, engines, vectors."""
