"""Any text that a format can hold is read exactly, and written back byte for byte."""

from __future__ import annotations

import csv
import io
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from euds.errors import EudsError
from euds.reading import read
from euds.writing import write_subset

# Half surrogates cannot be encoded; a text must not be white space only.
any_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
no_nul = any_text.filter(lambda text: "\0" not in text)
newlines = st.sampled_from(["\n", "\r\n"])
encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"])


def check(folder, name: str, content: bytes, texts: list[str]) -> None:
    (folder / name).write_bytes(content)
    pool = read(folder / name)
    assert pool.frame["text"].to_list() == texts
    assert pool.rejected.height == 0
    write_subset(pool, pool.frame["id"], folder / f"subset-{name}")
    assert (folder / f"subset-{name}").read_bytes() == content


@settings(deadline=None)
@given(st.lists(any_text, min_size=1, max_size=8), st.booleans(), newlines, encodings)
def test_jsonl(tmp_path_factory, texts, ascii_only, newline, encoding):
    lines = [json.dumps({"n": 1, "text": text}, ensure_ascii=ascii_only) for text in texts]
    content = "".join(line + newline for line in lines).encode(encoding)
    check(tmp_path_factory.mktemp("jsonl"), "a.jsonl", content, texts)


@settings(deadline=None)
@given(st.lists(no_nul, min_size=1, max_size=8), st.booleans(), newlines, encodings)
def test_csv(tmp_path_factory, texts, quote_all, newline, encoding):
    stream = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    writer = csv.writer(stream, lineterminator=newline, quoting=quoting)
    writer.writerow(["text", 'a "quoted", name'])
    writer.writerows([[text, "x"] for text in texts])
    check(tmp_path_factory.mktemp("csv"), "a.csv", stream.getvalue().encode(encoding), texts)


@settings(deadline=None)
@given(st.lists(no_nul.filter(lambda text: not set("\t\r\n") & set(text)), min_size=1), newlines)
def test_tsv(tmp_path_factory, texts, newline):
    content = "".join(f"{text}\t{number}{newline}" for number, text in enumerate(texts))
    check(tmp_path_factory.mktemp("tsv"), "a.tsv", f"text\tn{newline}{content}".encode(), texts)


@settings(deadline=None)
@given(st.lists(no_nul, min_size=1, max_size=5))
def test_folder(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("folder")
    (folder / "pool").mkdir()
    # A text that begins with U+FEFF would be a byte order mark.
    texts = [text.lstrip("\ufeff") + "." for text in texts]
    for number, text in enumerate(texts):
        (folder / "pool" / f"{number}.txt").write_bytes(text.encode())
    pool = read(folder / "pool")
    assert pool.frame["text"].to_list() == texts
    write_subset(pool, pool.frame["id"], folder / "subset")
    for number, text in enumerate(texts):
        assert (folder / "subset" / f"{number}.txt").read_bytes() == text.encode()


@given(st.binary(max_size=400))
def test_no_bytes_whatever_are_more_than_an_error_of_ours(tmp_path_factory, noise):
    folder = tmp_path_factory.mktemp("noise")
    for name in ("a.jsonl", "a.csv", "a.tsv", "a.parquet", "a.jsonl.gz", "a.csv.zst"):
        (folder / name).write_bytes(noise)
        try:
            pool = read(folder / name, text="text", max_rejected=1)
        except EudsError:
            continue
        assert len(pool) > 0
