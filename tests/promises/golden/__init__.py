"""Golden runs: what public commands gave, written down to be compared with."""
