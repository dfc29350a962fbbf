"""What good inputs of each format become."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest
import zstandard

from euds.errors import InputError, OptionError
from euds.pool.pool import text_key
from euds.reading import read

TEXTS = ["first", "zweite Zeile, mit Komma", "三", "\u202eright to left\u202c", "a\x07b 🎉"]
LABELS = ["x", "y", "x", "y", "x"]


def jsonl(path: Path, *rows: object) -> Path:
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return path


def rows(pool, *columns):
    return pool.frame.select(columns).rows()


def as_jsonl() -> bytes:
    pairs = zip(TEXTS, LABELS, strict=True)
    return "".join(
        json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n"
        for text, label in pairs
    ).encode()


def as_csv() -> bytes:
    quoted = [f'"{text}",{label}\n' for text, label in zip(TEXTS, LABELS, strict=True)]
    return ("text,label\n" + "".join(quoted)).encode()


def as_tsv() -> bytes:
    lines = [f"{text}\t{label}\n" for text, label in zip(TEXTS, LABELS, strict=True)]
    return ("text\tlabel\n" + "".join(lines)).encode()


CONTENTS = {
    "a.jsonl": as_jsonl(),
    "a.ndjson": as_jsonl(),
    "a.csv": as_csv(),
    "a.CSV": as_csv(),
    "a.tsv": as_tsv(),
    "a.tab": as_tsv(),
    "a.jsonl.gz": gzip.compress(as_jsonl()),
    "a.csv.gz": gzip.compress(as_csv()[:40]) + gzip.compress(as_csv()[40:]),
    "a.jsonl.zst": zstandard.compress(as_jsonl()),
    "a.tsv.zst": zstandard.compress(as_tsv()[:30]) + zstandard.compress(as_tsv()[30:]),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_every_text_format_gives_the_same_samples(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(CONTENTS[name])
    pool = read(path)
    first = 2 if pool.source.header else 1
    assert rows(pool, "text", "label", "line") == list(
        zip(TEXTS, LABELS, range(first, first + 5), strict=True)
    )
    assert pool.frame["file"].unique().to_list() == [str(path)]
    assert pool.frame["key"].to_list() == [text_key(text) for text in TEXTS]
    assert pool.frame["id"].to_list() == [text_key(text)[:16] for text in TEXTS]
    assert pool.source.suffix == name[1:].lower()
    assert pool.rejected.height == 0


def test_parquet_and_a_table_in_memory_give_the_same_samples(tmp_path):
    frame = pl.DataFrame({"label": LABELS, "text": TEXTS, "n": [1, 2, 3, 4, 5]})
    frame.write_parquet(tmp_path / "a.parquet")
    from_file, from_memory = read(tmp_path / "a.parquet"), read(frame)
    for pool in (from_file, from_memory):
        assert rows(pool, "text", "label", "line") == list(
            zip(TEXTS, LABELS, range(1, 6), strict=True)
        )
        assert pool.records.equals(frame)
        assert pool.records.schema == frame.schema
    assert from_file.fingerprint == from_memory.fingerprint


def test_standard_input_is_jsonl(monkeypatch):
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(as_jsonl())))
    pool = read("-")
    assert pool.frame["text"].to_list() == TEXTS
    assert pool.frame["file"].unique().to_list() == ["<stdin>"]


def test_a_folder_gives_one_sample_a_file_and_the_subfolder_as_label(tmp_path):
    for name, text in {
        "pos/b.txt": "B\n",
        "pos/deep/a.txt": "A",
        "neg/c.TXT": "C",
        "d.txt": "D",
    }.items():
        (tmp_path / "pool" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pool" / name).write_text(text)
    (tmp_path / "pool" / "README.md").write_text("not a sample")
    pool = read(tmp_path / "pool")
    assert rows(pool, "text", "label") == [("D", None), ("C", "neg"), ("B\n", "pos"), ("A", "pos")]
    assert pool.records["path"].to_list() == ["d.txt", "neg/c.TXT", "pos/b.txt", "pos/deep/a.txt"]
    assert pool.records["bytes"].to_list() == [b"D", b"C", b"B\n", b"A"]
    assert pool.frame["file"][2] == str(tmp_path / "pool" / "pos" / "b.txt")


def test_paths_of_a_folder_can_be_ids(tmp_path):
    (tmp_path / "a.txt").write_text("A")
    assert read(tmp_path, id="path").frame["id"].to_list() == ["a.txt"]


def test_several_files_and_patterns_are_read_in_order(tmp_path):
    for name in ("b", "a", "c"):
        jsonl(tmp_path / f"{name}.jsonl", {"text": name}, {"text": name * 2})
    pool = read(tmp_path / "c.jsonl", f"{tmp_path}/[ab].jsonl")
    assert pool.frame["text"].to_list() == ["c", "cc", "a", "aa", "b", "bb"]
    assert pool.frame["line"].to_list() == [1, 2, 1, 2, 1, 2]


def test_a_file_with_a_name_like_a_pattern_is_a_file(tmp_path):
    jsonl(tmp_path / "a[1].jsonl", {"text": "literal"})
    jsonl(tmp_path / "a1.jsonl", {"text": "pattern"})
    assert read(tmp_path / "a[1].jsonl").frame["text"].to_list() == ["literal"]


@pytest.mark.parametrize(
    ("encoding", "mark", "expected"),
    [
        ("utf-8", b"\xef\xbb\xbf", "utf-8"),
        ("utf-16-le", b"\xff\xfe", "utf-16-le"),
        ("utf-16-be", b"\xfe\xff", "utf-16-be"),
        ("utf-32-le", b"\xff\xfe\0\0", "utf-32-le"),
        ("utf-32-be", b"\0\0\xfe\xff", "utf-32-be"),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_byte_order_marks_are_understood(tmp_path, encoding, mark, expected, newline):
    # Between these characters, and inside them, are the bytes of line ends.
    texts = ["plain", "\u0a05\u0100\u0a05\u0d05\u0100\u0d05", "\u0a0a\u0d0d", "ü"]
    content = newline.join(["text", *texts, ""])
    (tmp_path / "a.csv").write_bytes(mark + content.encode(encoding))
    pool = read(tmp_path / "a.csv")
    assert pool.frame["text"].to_list() == texts
    assert (pool.source.encoding, pool.source.bom) == (expected, True)
    assert pool.source.newline == newline
    assert pool.source.header == "text" + newline


@pytest.mark.parametrize(
    ("asked", "found"), [("utf-16", "utf-16-le"), ("utf_8_sig", "utf-8"), ("CP1252", "cp1252")]
)
def test_an_encoding_can_be_named(tmp_path, asked, found):
    (tmp_path / "a.tsv").write_bytes("text\ncafé\n".encode(found))
    pool = read(tmp_path / "a.tsv", encoding=asked)
    assert pool.frame["text"].to_list() == ["café"]
    assert (pool.source.encoding, pool.source.bom) == (found, False)


@pytest.mark.parametrize("encoding", ["utf-9", "base64", "rot13"])
def test_an_unknown_encoding_is_an_error(tmp_path, encoding):
    with pytest.raises(OptionError, match="encoding"):
        read(jsonl(tmp_path / "a.jsonl", {"text": "a"}), encoding=encoding)


def test_csv_fields_may_hold_commas_quotes_and_line_ends(tmp_path):
    content = 'text,label\n"a, ""b""\r\nc\n\nd",1\n"",2\nplain,\n'
    (tmp_path / "a.csv").write_bytes(content.encode())
    pool = read(tmp_path / "a.csv", max_rejected=1)
    assert rows(pool, "text", "label", "line") == [('a, "b"\r\nc\n\nd', "1", 2), ("plain", None, 7)]
    assert pool.records["record"].to_list() == ['"a, ""b""\r\nc\n\nd",1', "plain,"]
    assert rows_of(pool.rejected) == [(6, "the field 'text' is empty (null)", '"",2')]


def rows_of(rejected: pl.DataFrame):
    return rejected.select("line", "reason", "raw").rows()


def test_tsv_has_no_quotes(tmp_path):
    (tmp_path / "a.tsv").write_text('text\tlabel\n"open\t1\nit""s\t2\n')
    pool = read(tmp_path / "a.tsv")
    assert pool.frame["text"].to_list() == ['"open', 'it""s']


def test_blank_lines_are_no_rows(tmp_path):
    (tmp_path / "a.jsonl").write_text('\n{"text": "a"}\n \t\n\n{"text": "b"}')
    (tmp_path / "a.csv").write_text("\ntext,n\n\na,1\n\nb,2")
    for name, lines in (("a.jsonl", [2, 5]), ("a.csv", [4, 6])):
        pool = read(tmp_path / name)
        assert rows(pool, "text", "line") == list(zip("ab", lines, strict=True))
        assert pool.rejected.height == 0


@pytest.mark.parametrize(
    ("row", "text", "context"),
    [
        ({"text": "t", "context": "c", "prompt": "p", "response": "r"}, "t", "c"),
        ({"text": "t", "context": None}, "t", None),
        ({"prompt": "p", "response": "r"}, "r", "p"),
        ({"instruction": "do", "input": "it", "output": "done"}, "done", "do\nit"),
        ({"instruction": "do", "input": "", "output": "done"}, "done", "do"),
        ({"instruction": "do", "output": "done"}, "done", "do"),
        (
            {
                "messages": [
                    {"role": "system", "content": "be brief"},
                    {"role": "user", "content": "hi"},
                    {"role": "assistant", "content": "hello"},
                    {"role": "user", "content": "bye"},
                    {"role": "assistant", "content": "ciao"},
                    {"role": "user", "content": "not answered"},
                ]
            },
            "ciao",
            "system: be brief\nuser: hi\nassistant: hello\nuser: bye",
        ),
        (
            {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "yo"}]},
            "yo",
            "user: hi",
        ),
        ({"messages": [{"role": "assistant", "content": "alone"}]}, "alone", None),
    ],
)
def test_the_text_is_found_by_default(tmp_path, row, text, context):
    from_jsonl = read(jsonl(tmp_path / "a.jsonl", row))
    from_table = read(pl.DataFrame([row]))
    for pool in (from_jsonl, from_table):
        assert rows(pool, "text", "context") == [(text, context)]


def test_a_sparse_column_counts_as_there(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {"text": "a"}, {"text": "b", "label": 1, "context": "c"})
    pool = read(path)
    assert rows(pool, "context", "label") == [(None, None), ("c", "1")]
    assert pool.source.columns == ("text", "label", "context")
    assert read(path, label="label").source.label == "label"


@pytest.mark.parametrize(
    ("value", "label"),
    [
        ("x", "x"),
        ("", ""),
        (3, "3"),
        (True, "true"),
        (2.5, "2.5"),
        (None, None),
        (float("nan"), None),
    ],
)
def test_labels_become_text(tmp_path, value, label):
    assert rows(
        read(jsonl(tmp_path / "a.jsonl", {"t": "a", "y": value}), text="t", label="y"), "label"
    ) == [(label,)]


def test_a_template_joins_columns(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {"q": "why", "n": 3, "p": "because"}, {"q": None, "n": 1})
    pool = read(path, text="{{{q}}} {n}", context="p: {p}", max_rejected=0.5)
    assert rows(pool, "text", "context") == [("{why} 3", "p: because")]
    assert pool.source.text == "{{{q}}} {n}"
    assert pool.rejected["reason"].to_list() == ["the field 'q' of the template is missing"]


def test_braces_in_a_value_are_no_template(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {"a": "{b}", "b": "B"})
    assert read(path, text="{a}{b}").frame["text"].to_list() == ["{b}B"]


def test_a_column_may_be_called_like_a_template(tmp_path):
    assert read(jsonl(tmp_path / "a.jsonl", {"{a}": "x", "a": "y"}), text="{a}").frame[
        "text"
    ].to_list() == ["x"]


@pytest.mark.parametrize(
    "options",
    [
        {"text": "{text} {label}"},
        {"text": "label"},
        {"context": "label"},
        {"text": "{text}", "context": "{stars}", "label": "stars"},
    ],
)
def test_the_text_may_not_contain_the_label(tmp_path, options):
    path = jsonl(tmp_path / "a.jsonl", {"text": "a", "label": "b", "stars": "c"})
    with pytest.raises(InputError, match="would contain the label"):
        read(path, **options)


@pytest.mark.parametrize(
    ("template", "message"),
    [("{text", "partner"), ("a}{text}", "partner"), ("{{}}", "names no column")],
)
def test_a_broken_template_is_an_error(tmp_path, template, message):
    with pytest.raises(InputError, match=message):
        read(jsonl(tmp_path / "a.jsonl", {"text": "a"}), text=template)


@pytest.mark.parametrize("option", ["text", "context", "label", "id"])
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_column_that_is_not_there_is_an_error(tmp_path, option, suffix):
    frame = pl.DataFrame({"text": ["a"], "review": ["b"]})
    path = tmp_path / f"a.{suffix}"
    {"jsonl": frame.write_ndjson, "csv": frame.write_csv, "parquet": frame.write_parquet}[suffix](
        path
    )
    with pytest.raises(InputError) as caught:
        read(path, **{option: "reveiw"})
    message = str(caught.value)
    assert message.startswith(f"{option}: there is no column 'reveiw'")
    assert "'text', 'review'" in message
    assert "did you mean 'review'?" in message


def test_no_text_by_default_lists_the_columns(tmp_path):
    with pytest.raises(InputError) as caught:
        read(jsonl(tmp_path / "a.jsonl", {"question": "a", "answer": "b"}))
    assert "'question', 'answer'" in str(caught.value)
    assert "--text" in str(caught.value)


def test_csv_holds_no_chats(tmp_path):
    (tmp_path / "a.csv").write_text("messages,n\nhello,1\n")
    with pytest.raises(InputError, match="not clear which column"):
        read(tmp_path / "a.csv")
    assert read(tmp_path / "a.csv", text="messages").frame["text"].to_list() == ["hello"]


@pytest.mark.parametrize("options", [{}, {"text": "text"}])
def test_a_semicolon_file_is_recognised(tmp_path, options):
    (tmp_path / "a.csv").write_text("text;label\nhello;1\n")
    with pytest.raises(InputError, match="semicolons"):
        read(tmp_path / "a.csv", **options)


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_a_senseless_share_is_an_error(tmp_path, share):
    with pytest.raises(OptionError, match="max_rejected"):
        read(jsonl(tmp_path / "a.jsonl", {"text": "a"}), max_rejected=share)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_context_template_with_a_column_that_is_not_there_is_an_error(tmp_path, suffix):
    frame = pl.DataFrame({"text": ["a"], "passage": ["b"]})
    path = tmp_path / f"a.{suffix}"
    {"jsonl": frame.write_ndjson, "csv": frame.write_csv}[suffix](path)
    with pytest.raises(InputError, match="context: there is no column 'pasage'"):
        read(path, context="about: {pasage}")


def test_a_column_that_is_the_label_is_neither_context_nor_id(tmp_path):
    path = jsonl(tmp_path / "a.jsonl", {"text": "a", "context": "c", "id": 1})
    assert rows(read(path, label="context"), "context", "label") == [(None, "c")]
    pool = read(path, label="id")
    assert rows(pool, "id", "label") == [(text_key("a", "c")[:16], "1")]
