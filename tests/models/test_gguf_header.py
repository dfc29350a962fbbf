"""Headers of GGUF files, written by the format's own library and by hand."""

import struct

import numpy as np
import pytest

from euds.errors import ModelError
from euds.models.checking import check_gguf_header, check_gguf_layers

U32, STRING, ARRAY, U64 = 4, 8, 9, 10


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def header(*pairs: bytes, tensors=0, count=None) -> bytes:
    told = len(pairs) if count is None else count
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, told) + b"".join(pairs)


def listed(kind: int, count: int, content: bytes = b"") -> bytes:
    return text(b"tokens") + struct.pack("<IIQ", ARRAY, kind, count) + content


@pytest.mark.parametrize("order", ["little", "big"])
def test_what_the_library_writes_is_taken(tmp_path, order):
    import gguf

    endian = gguf.GGUFEndian.LITTLE if order == "little" else gguf.GGUFEndian.BIG
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama", endianess=endian)
    writer.add_block_count(1)
    writer.add_bool("general.flag", True)
    writer.add_token_list(["a", "bc", ""])
    writer.add_array("some.scores", [0.5, 1.5])
    writer.add_tensor("one", np.ones((4, 8), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    check_gguf_header(tmp_path / "a.gguf")


@pytest.mark.parametrize(
    "content",
    [
        header(listed(STRING, 1 << 60)),
        header(listed(U32, 1 << 60)),
        header(listed(ARRAY, 1 << 60)),
        header(listed(ARRAY, 1, struct.pack("<IQ", ARRAY, 1) * 9)),
        header(listed(STRING, 2, text(b"a") + struct.pack("<Q", 1 << 62))),
        header(struct.pack("<Q", 1 << 63)),
        header(text(b"name") + struct.pack("<I", 77)),
        header(text(b"name") + struct.pack("<I", U64) + b"1234"),
        header(count=1 << 60),
        header(tensors=1 << 60),
        header(listed(U32, 3, b"\0" * 12), listed(U32, 3, b"\0" * 11)),
        header()[:11],
        b"GGUF",
    ],
)
@pytest.mark.timeout(20)
def test_what_ends_after_the_file_is_refused_at_once(tmp_path, content):
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(ModelError, match="does not fit into the file"):
        check_gguf_layers(tmp_path / "a.gguf")


def test_what_is_no_gguf_is_left_to_whoever_opens_it(tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"PK and more")
    check_gguf_header(tmp_path / "a.gguf")
