"""Bytes on disk and at addresses: atomic writes, Parquet, packages, the environment."""
