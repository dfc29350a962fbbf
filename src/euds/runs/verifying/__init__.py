"""Whether a run folder is what a run wrote: every file, and what the files say of each other."""
