"""What was measured is kept: in the cache, or at an address."""
