"""The samples to select from, and tables larger than memory."""
