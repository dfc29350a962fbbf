"""Bytes made to do harm, which tests put to what reads files."""

from __future__ import annotations


def too_deep() -> bytes:
    """Return a table; to read it would end the process, and so would to write it with Polars."""
    names = [name.encode() for name in ("schema", "text", *"x" * 3_000)]
    elements = [
        b"\x48" + bytes([len(name)]) + name + (b"\x15\x04\x00" if at == 0 else b"\x15\x02\x00")
        if at != 1
        else b"\x15\x0c\x38\x04text\x00"
        for at, name in enumerate(names)
    ]
    number = len(elements)
    count = bytes([number & 127 | 128, number >> 7])
    footer = b"\x15\x02\x19\xfc" + count + b"".join(elements) + b"\x16\x00\x19\x0c\x00"
    return b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def endless_gguf(length: int) -> bytes:
    """Return a model file whose one setting is a list of many numbers, of which none are there."""
    key = b"general.things"
    header = b"GGUF" + (3).to_bytes(4, "little") + bytes(8) + (1).to_bytes(8, "little")
    of_numbers = (9).to_bytes(4, "little") + (4).to_bytes(4, "little")
    return header + len(key).to_bytes(8, "little") + key + of_numbers + length.to_bytes(8, "little")
