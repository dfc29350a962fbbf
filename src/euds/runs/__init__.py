"""The run folder: manifest, summary, explaining, verifying, replaying, forgetting."""
