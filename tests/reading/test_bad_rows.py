"""Rows that cannot be used: none stops the run, none vanishes, each says where and why."""

from __future__ import annotations

import json
import os
from pathlib import Path

import polars as pl
import pytest

from euds.errors import InputError
from euds.reading import read
from euds.reading.rows import RECORD_BYTES

GOOD = b'{"text": "good %d"}'


def read_between_good_rows(tmp_path: Path, bad: bytes, *, newline: bytes = b"\n", **options):
    """Return the pool of a JSONL file with one bad line, line 3, among four good ones."""
    lines = [GOOD % 1, GOOD % 2, bad, GOOD % 4, GOOD % 5]
    (tmp_path / "a.jsonl").write_bytes(newline.join([*lines, b""]))
    pool = read(tmp_path / "a.jsonl", max_rejected=0.2, **options)
    assert pool.frame["text"].to_list() == ["good 1", "good 2", "good 4", "good 5"]
    assert pool.frame["line"].to_list() == [1, 2, 4, 5]
    assert pool.rejected["line"].to_list() == [3]
    assert pool.rejected["file"].to_list() == [str(tmp_path / "a.jsonl")]
    return pool.rejected["reason"][0], pool.rejected["raw"][0]


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"text": "caf\xe9"}', "byte 14 of the line, 0xE9, is not valid UTF-8"),
        (b'{"text": "\\ud800"}', "surrogate"),
        (b'{"text": "a", "context": "\\udfff"}', "surrogate"),
        (b'{"text": "a", "label": "\\udfff"}', "the label holds half of a surrogate"),
        (b'{"text": "cut', "broken JSON: Unterminated string starting at at character 10"),
        (b'{"text": "a"} {"text": "b"}', "broken JSON: Extra data"),
        (b"{'text': 'a'}", "broken JSON"),
        (b'{"text": "tab\there"}', "broken JSON: Invalid control character"),
        (b'["text"]', "an array, not a JSON object"),
        (b"NaN", "a number, not a JSON object"),
        (b'"text"', "a string, not a JSON object"),
        (b'{"text": NaN}', "the field 'text' is a number, not a string"),
        (b'{"text": 7}', "the field 'text' is a number, not a string"),
        (b'{"text": true}', "the field 'text' is a boolean, not a string"),
        (b'{"text": ["a"]}', "the field 'text' is an array, not a string"),
        (b'{"text": {"a": 1}}', "the field 'text' is an object, not a string"),
        (b'{"text": null}', "the field 'text' is empty (null)"),
        (b'{"txt": "a"}', "there is no field 'text'"),
        (b'{"text": ""}', "the text is empty"),
        (b'{"text": " \\u00a0\\n"}', "the text is only white space"),
        (b'{"text": "a", "context": 3}', "the field 'context' is a number, not a string"),
        (b'{"text": "a", "label": {}}', "the label is an object, not a string"),
        (b'{"text": "a", "label": Infinity}', "the label is inf, not a finite number"),
        (b'{"text": "a\x00b"}', "NUL"),
        (b'{"text": ' + b"[" * 200_000, "the JSON is nested too deeply"),
        (b'{"text": "a", "n": ' + b"9" * 5_000 + b"}", "too many digits"),
    ],
)
def test_a_bad_line_is_refused_with_its_reason(tmp_path, bad, reason, newline):
    got, raw = read_between_good_rows(tmp_path, bad, newline=newline)
    assert reason in got
    assert raw == bad.decode("utf-8", "backslashreplace")[:1_000]


def test_other_columns_may_hold_anything(tmp_path):
    line = '{"text": "a", "x": NaN, "y": "\\ud800", "z": [1, {"b": -Infinity}]}'
    (tmp_path / "a.jsonl").write_text(line)
    pool = read(tmp_path / "a.jsonl")
    assert pool.records["record"].to_list() == [line]


def test_an_escaped_nul_is_legal_text(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a\\u0000b"}')
    assert read(tmp_path / "a.jsonl").frame["text"].to_list() == ["a\0b"]


@pytest.mark.parametrize("newline", [b"\n", b"\r"])
def test_a_huge_line_is_refused_and_not_kept(tmp_path, newline):
    huge = b'{"text": "' + b"x" * (RECORD_BYTES + (3 << 20)) + b'"}'
    got, raw = read_between_good_rows(tmp_path, huge, newline=newline)
    assert got == f"the line is longer than {RECORD_BYTES:,} bytes"
    assert raw == huge[:1_000].decode()


def test_a_line_just_within_the_limit_is_read(tmp_path):
    line = b'{"text": "' + b"x" * (RECORD_BYTES - 12) + b'"}'
    assert len(line) == RECORD_BYTES
    (tmp_path / "a.jsonl").write_bytes(line + b"\n" + line.replace(b"x", b"xx", 1))
    pool = read(tmp_path / "a.jsonl", max_rejected=0.5)
    assert pool.frame["line"].to_list() == [1]
    assert pool.rejected["line"].to_list() == [2]


def test_a_huge_line_in_utf_16_is_refused(tmp_path):
    # An odd number of chunks, and line ends that are two bytes wide.
    huge = "x" * (RECORD_BYTES // 2 + 600_001)
    content = f'\ufeff{{"text": "a"}}\n{huge}\n{{"text": "b"}}\n'
    (tmp_path / "a.jsonl").write_bytes(content.encode("utf-16-be"))
    pool = read(tmp_path / "a.jsonl", max_rejected=0.5)
    assert pool.frame.select("text", "line").rows() == [("a", 1), ("b", 3)]
    assert pool.rejected["line"].to_list() == [2]


def test_a_file_in_utf_16_that_breaks_off_in_a_character(tmp_path):
    good = '\ufeff{"text": "a"}\n{"text": "b"}\n{"text": "c"}'.encode("utf-16-le")
    (tmp_path / "a.jsonl").write_bytes(good[:-1])
    pool = read(tmp_path / "a.jsonl", max_rejected=0.5)
    assert pool.frame["text"].to_list() == ["a", "b"]
    assert "not valid UTF-16-LE" in pool.rejected["reason"][0]


def test_bytes_that_would_be_written_otherwise_are_refused(tmp_path):
    # In code page 932, 0x87 0x90 and 0x81 0xE0 are the same sign; only one of them is written.
    (tmp_path / "a.tsv").write_bytes(b"text\n\x81\xe0\n\x87\x90\n")
    pool = read(tmp_path / "a.tsv", encoding="cp932", max_rejected=0.5)
    assert pool.frame["text"].to_list() == ["≒"]
    assert "not the usual CP932" in pool.rejected["reason"][0]


def csv(tmp_path: Path, content: str | bytes):
    raw = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "a.csv").write_bytes(raw)
    pool = read(tmp_path / "a.csv", max_rejected=0.9)
    return pool, pool.rejected.select("line", "reason").rows()


def test_ragged_rows_name_both_counts(tmp_path):
    pool, rejected = csv(tmp_path, 'text,n\na,1\nb\nc,3,4\n"d\nd",5,6\ne,7\n')
    assert pool.frame["text"].to_list() == ["a", "e"]
    assert rejected == [
        (3, "the row has 1 fields, the header has 2"),
        (4, "the row has 3 fields, the header has 2"),
        (5, "the row has 3 fields, the header has 2 (it runs over 2 lines)"),
    ]


@pytest.mark.parametrize(
    ("after", "texts"),
    [
        ("good,2\nalso,3\n", ["first", "good", "also"]),
        ('"good",2\n"al""so",3\n', ["first", "good", 'al"so']),
        ('good,2\n"two\nlines",3\nlast,4\n', ["first", "good", "two\nlines", "last"]),
        ('good,2\n"open again,3\nlast,4\n', ["first", "good", "last"]),
        ('"a, b",2\n\n"c",3', ["first", "a, b", "c"]),
    ],
)
def test_an_unclosed_quote_does_not_swallow_the_rows_after_it(tmp_path, after, texts):
    pool, rejected = csv(tmp_path, f'text,n\nfirst,0\n"broken,1\n{after}')
    assert pool.frame["text"].to_list() == texts
    assert rejected[0][0] == 3
    assert "quote" in rejected[0][1]


def test_many_unclosed_quotes_are_read_in_one_pass(tmp_path):
    good = "".join(f'"good, {n}",1\n' for n in range(20))
    pool, rejected = csv(tmp_path, "text,n\n" + ('"broken,1\n' + good) * 500)
    assert len(pool) == 10_000
    assert [line for line, _ in rejected] == [2 + 21 * n for n in range(500)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('"a" b,1', "text follows the closing quote"),
        ('say "a",1', "a field with a quote inside is not quoted"),
        ('"a,1', "no closing quote"),
    ],
)
def test_misplaced_quotes_are_refused(tmp_path, bad, reason):
    pool, rejected = csv(tmp_path, f"text,n\nx,0\n{bad}\ny,2\n")
    assert pool.frame["text"].to_list() == ["x", "y"]
    assert rejected[0][0] == 3
    assert reason in rejected[0][1]


def test_an_undecodable_line_inside_a_quoted_field(tmp_path):
    pool, rejected = csv(tmp_path, b'text,n\n"a\nb\xff\nc",1\nd,2\n')
    assert pool.frame["text"].to_list() == ["d"]
    assert [line for line, _ in rejected] == [2, 3, 4]
    assert "runs into line 3" in rejected[0][1]
    assert "0xFF" in rejected[1][1]


def test_a_quoted_field_without_bounds_is_refused(tmp_path):
    block = ("x" * 1_000 + ",1\n") * (RECORD_BYTES // 1_000 + 100)
    pool, rejected = csv(tmp_path, 'text,n\n"open,1\n' + block)
    assert len(pool) == RECORD_BYTES // 1_000 + 100
    assert rejected == [(2, f"a quoted field does not end within {RECORD_BYTES:,} characters")]


def test_a_nul_in_a_csv_file_is_refused(tmp_path):
    pool, rejected = csv(tmp_path, b"text,n\na,1\nb\0,2\n")
    assert pool.frame["text"].to_list() == ["a"]
    assert rejected == [(3, "character 2 of the line is NUL")]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ("hello there", None),
        ([], "no turn of the assistant"),
        ([{"role": "user", "content": "hi"}], "no turn of the assistant"),
        ([{"role": "assistant", "content": None}], "the 'content' of message 1 is null"),
        ([{"role": "assistant", "content": [{"type": "text"}]}], "message 1 is an array"),
        (["hi"], "message 1 is a string, not an object"),
        ({"role": "assistant"}, "is an object, not a list of messages"),
        (None, "is null, not a list of messages"),
        ([{"role": "assistant", "content": " "}], "only white space"),
    ],
)
def test_bad_chats_are_refused(tmp_path, messages, reason):
    good = {"messages": [{"role": "assistant", "content": "fine"}]}
    lines = [json.dumps(good), json.dumps({"messages": messages})]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    pool = read(tmp_path / "a.jsonl", max_rejected=0.5)
    if reason is None:
        assert pool.frame["text"].to_list() == ["fine", "hello there"]
    else:
        assert pool.frame["text"].to_list() == ["fine"]
        assert reason in pool.rejected["reason"][0]


def test_bad_rows_of_a_table_are_refused():
    frame = pl.DataFrame(
        {
            "text": ["a", None, "", "d"],
            "label": [1.0, 2.0, 3.0, float("nan")],
            "x": [[1], [], None, [2]],
        }
    )
    pool = read(frame, max_rejected=0.5)
    assert pool.frame.select("text", "label", "line").rows() == [("a", "1.0", 1), ("d", None, 4)]
    assert pool.rejected["line"].to_list() == [2, 3]
    assert pool.records.equals(frame[[0, 3]])


def test_a_column_of_another_type_is_named():
    with pytest.raises(InputError) as caught:
        read(pl.DataFrame({"text": [b"a"]}))
    assert "the field 'text' is bytes, not a string" in str(caught.value)


def test_bad_files_of_a_folder_are_refused(tmp_path, monkeypatch):
    for name, content in {
        "a": b"fine",
        "b": b"caf\xe9",
        "c": b"",
        "d": b"x" * 20,
        "e": b"e",
    }.items():
        (tmp_path / f"{name}.txt").write_bytes(content)
    monkeypatch.setattr("euds.reading.folders.RECORD_BYTES", 10)
    real_open = Path.open

    def refuse(self, *args, **kwargs):
        if self.name == "e.txt":
            raise PermissionError(13, "Permission denied")
        return real_open(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    pool = read(tmp_path, max_rejected=0.9)
    assert pool.frame["text"].to_list() == ["fine"]
    assert [Path(file).name for file in pool.rejected["file"]] == [
        "b.txt",
        "c.txt",
        "d.txt",
        "e.txt",
    ]
    assert pool.rejected["reason"].to_list() == [
        "byte 4 of the file, 0xE9, is not valid UTF-8",
        "the text is empty",
        "the file is longer than 10 bytes",
        "the file cannot be read: Permission denied",
    ]


def test_a_file_name_that_is_no_unicode_is_refused(tmp_path):
    name = os.fsdecode(b"caf\xe9.txt")
    try:
        (tmp_path / name).write_text("a")
    except OSError:
        pytest.skip("this file system only takes Unicode names")
    (tmp_path / "b.txt").write_text("b")
    pool = read(tmp_path, max_rejected=0.5)
    assert pool.frame["text"].to_list() == ["b"]
    assert pool.rejected["file"].to_list() == [f"{tmp_path}/caf\\xe9.txt"]


def test_raw_is_cut_to_a_thousand_characters(tmp_path):
    got, raw = read_between_good_rows(tmp_path, "é".encode() * 2_000)
    assert "broken JSON" in got
    assert raw == "é" * 1_000


def many(tmp_path: Path, bad: bytes, count: int) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b"".join([GOOD % n + b"\n" for n in range(100 - count)] + [bad + b"\n"] * count)
    )
    return path


def test_one_in_a_hundred_may_be_bad(tmp_path):
    assert len(read(many(tmp_path, b"{", 1))) == 99
    with pytest.raises(InputError, match="2 of 100 rows"):
        read(many(tmp_path, b"{", 2))


@pytest.mark.parametrize(
    ("bad", "options", "remedy"),
    [
        (b'{"text": "\xe9"}', {}, "--encoding cp1252"),
        (b'{"text": "\x81"}', {"encoding": "cp1252"}, "another --encoding"),
        (b'{"text": 1}', {}, "--max-rejected 0.06"),
        (b"\0{", {}, "--encoding utf-16"),
    ],
)
def test_too_many_bad_rows_suggest_the_remedy(tmp_path, bad, options, remedy):
    path = many(tmp_path, bad, 5)
    with pytest.raises(InputError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert "5 of 100 rows cannot be used" in message
    for line in (96, 97, 98):
        assert f"{path}:{line}: " in message
    assert f"{path}:99" not in message
    assert remedy in message


def test_the_suggested_share_is_enough(tmp_path):
    assert len(read(many(tmp_path, b"{", 5), max_rejected=0.06)) == 95


def test_if_no_row_can_be_used_no_share_helps(tmp_path):
    with pytest.raises(InputError, match="100 of 100 rows") as caught:
        read(many(tmp_path, b"{", 100), max_rejected=1)
    assert "--max-rejected" not in str(caught.value)
