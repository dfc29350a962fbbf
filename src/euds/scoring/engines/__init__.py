"""Where shards of texts are measured."""
