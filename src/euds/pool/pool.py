"""The pool of samples, and the part of it that a scorer may see.

A `Pool` is everything that was read: texts, the user's other columns, where each row came from, and
the rows that were refused. Of a large pool the texts lie in a file, and are read part by part (see
`euds.pool.records`). `Texts` is what scorers get: texts and contexts under a key, each distinct
pair once. It has no label, no id and no file, so that no score can depend on them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from euds.files.damage import (
    DamagedFileError,
    parse_json,
    read_parquet,
    read_parquet_columns,
    read_parquet_metadata,
)
from euds.pool.records import (
    HeldRecords,
    ParquetRecords,
    Records,
    side_by_side,
    write_parquet_in_parts,
)

__all__ = [
    "POOL_SCHEMA",
    "REJECTED_SCHEMA",
    "ROW_SCHEMA",
    "WORDING_SCHEMA",
    "Pool",
    "Source",
    "Texts",
    "shared",
    "text_key",
]

Format = Literal["jsonl", "csv", "tsv", "parquet", "folder"]

POOL_SCHEMA = {
    "id": pl.String,
    "key": pl.String,
    "text": pl.String,
    "context": pl.String,
    "label": pl.String,
    "file": pl.String,
    "line": pl.UInt32,
}
WORDING_SCHEMA = {name: POOL_SCHEMA[name] for name in ("text", "context")}
ROW_SCHEMA = {name: kind for name, kind in POOL_SCHEMA.items() if name not in WORDING_SCHEMA}
REJECTED_SCHEMA = {
    "file": pl.String,
    "line": pl.UInt32,
    "reason": pl.String,
    "raw": pl.String,
}
_SUFFIX = re.compile(r"[\w.]*", re.ASCII)  # a part of a file's name, where it may do no harm
_KEY = "^[0-9a-f]{32}$"  # see `text_key`
_HASHED_ROWS = 100_000  # at once: as one text they take more memory than the pool's ids
_RECORD_PREFIX = "source."
_SOURCE_METADATA = "euds.source"
_FINGERPRINT_METADATA = "euds.fingerprint"


def text_key(text: str, context: str | None = None) -> str:
    """Return the key of a (text, context) pair: 32 hexadecimal digits of its BLAKE2b hash.

    The context's length goes in first, so that moving a character from the context to the text
    gives another key, and no context differs from an empty one.

    >>> text_key("a", "b") == text_key("ab"), text_key("a") == text_key("a", "")
    (False, False)
    """
    digest = hashlib.blake2b(digest_size=16)
    if context is not None:
        encoded = context.encode()
        digest.update(b"%d:" % len(encoded))
        digest.update(encoded)
    digest.update(b"|")
    digest.update(text.encode())
    return digest.hexdigest()


def shared(names: pl.Series) -> pl.Series:
    """Return a column of few distinct names, each of them held once instead of once a row."""
    distinct = names.unique().sort()
    return distinct.gather(distinct.search_sorted(names))


@dataclass(frozen=True)
class Source:
    """How the input was written, so that a subset can be written the same way.

    Parameters
    ----------
    format : {"jsonl", "csv", "tsv", "parquet", "folder"}
        The input's format.
    suffix : str
        The suffix of a file in that format, with its compression: ``.jsonl``, ``.csv.gz``, ...;
        empty for a folder.
    encoding : str
        The text encoding of the input, as Python names it; for UTF-16 with the order of its bytes.
    bom : bool
        Whether the input begins with a byte order mark.
    newline : str
        The end of the input's first line; written back after every record.
    header : str or None
        The header record of a CSV or TSV file, exactly as it was read, with its line end.
    text, context, label, id : str or None
        The columns, or the templates, that the samples' fields came from.
    columns : tuple of str
        The names of all columns that were found.
    """

    format: Format
    suffix: str
    encoding: str = "utf-8"
    bom: bool = False
    newline: str = "\n"
    header: str | None = None
    text: str | None = None
    context: str | None = None
    label: str | None = None
    id: str | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Texts:
    """Distinct (text, context) pairs: all that a scorer may see.

    Parameters
    ----------
    frame : polars.DataFrame
        Columns ``key``, ``text``, ``context`` (null where there is none); keys are unique and
        sorted, so that nothing computed from it depends on the order of the input.
    """

    frame: pl.DataFrame

    def __post_init__(self) -> None:
        if self.frame.columns != ["key", "text", "context"]:
            raise ValueError(f"columns must be key, text, context; got {self.frame.columns}")

    def __len__(self) -> int:
        return self.frame.height

    def parts(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of ``frame`` some at a time, in any order; long texts need no memory."""
        yield from HeldRecords(self.frame).parts()

    @property
    def keys(self) -> list[str]:
        """The keys, sorted."""
        return self.frame["key"].to_list()

    @property
    def texts(self) -> list[str]:
        """The texts, in the order of the keys."""
        return self.frame["text"].to_list()

    @property
    def contexts(self) -> list[str | None]:
        """The contexts, in the order of the keys."""
        return self.frame["context"].to_list()

    @property
    def whole(self) -> list[str]:
        """Each text with its context after it: a long context cannot push the text out."""
        return [
            text if context is None else f"{text}\n{context}"
            for text, context in zip(self.texts, self.contexts, strict=True)
        ]

    @property
    def fingerprint(self) -> str:
        """A hash over all keys."""
        return hashlib.blake2b("".join(self.keys).encode(), digest_size=16).hexdigest()

    @classmethod
    def of(cls, texts: list[str], contexts: list[str | None] | None = None) -> Texts:
        """Make texts from plain lists, without the repeats.

        >>> len(Texts.of(["a", "b", "a"]))
        2
        """
        if contexts is None:
            contexts = [None] * len(texts)
        keys = [text_key(text, context) for text, context in zip(texts, contexts, strict=True)]
        frame = pl.DataFrame(
            {"key": keys, "text": texts, "context": contexts},
            schema={"key": pl.String, "text": pl.String, "context": pl.String},
        )
        return cls(frame.unique("key").sort("key"))

    def select(self, keys: pl.Series | list[str]) -> Texts:
        """Return the texts with the given keys."""
        return Texts(self.frame.filter(pl.col("key").is_in(pl.Series(keys, dtype=pl.String))))


class _TextsInParts(Texts):
    """The texts of a large pool: no more of them are in memory than someone asks for.

    Parameters
    ----------
    keys : polars.Series
        The key of each row of the pool.
    wording : Records
        Text and context of each.
    """

    def __init__(self, keys: pl.Series, wording: Records) -> None:
        self._keys = HeldRecords(keys.to_frame("key"))
        self._wording = wording
        self._is_first = keys.is_first_distinct()

    def __len__(self) -> int:
        return int(self._is_first.sum())

    def parts(self) -> Iterator[pl.DataFrame]:
        for keys, wording in side_by_side(self._keys, self._wording, mask=self._is_first):
            yield keys.hstack(wording)

    @property
    def keys(self) -> list[str]:
        return self._keys.read(self._is_first)["key"].sort().to_list()

    @functools.cached_property
    def frame(self) -> pl.DataFrame:
        return pl.concat(self.parts()).sort("key")


@dataclass(frozen=True)
class Pool:
    """The samples to select from; immutable.

    Parameters
    ----------
    rows : polars.DataFrame
        One row a sample, in input order, with the columns of `ROW_SCHEMA`: ``id`` (unique), ``key``
        (the hash of text and context), ``label`` (null where there is none), ``file`` and ``line``
        (where the sample came from, counted from 1).
    wording : Records
        ``text`` and ``context`` (null where there is none) of each sample, in the same order.
    raw : Records
        What is written back of each sample, in the same order. For JSONL, CSV and TSV one column
        ``record`` with the record exactly as it was read, without its line end; for Parquet the
        original columns; for a folder ``path``, relative to the folder, and ``bytes``.
    source : Source
        How the input was written.
    rejected : polars.DataFrame
        The rows that could not be used: ``file``, ``line``, ``reason``, ``raw`` (cut to 1,000
        characters).
    """

    rows: pl.DataFrame
    wording: Records
    raw: Records
    source: Source
    rejected: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REJECTED_SCHEMA))

    def __post_init__(self) -> None:
        for name, table, expected in (
            ("rows", self.rows, ROW_SCHEMA),
            ("wording", self.wording, WORDING_SCHEMA),
        ):
            if dict(table.schema) != expected:
                raise ValueError(f"{name} must have the columns {expected}; got {table.schema}")
        for name, records in (("texts", self.wording), ("records", self.raw)):
            if self.rows.height != records.height:
                raise ValueError(f"{self.rows.height} samples, but {records.height} {name}")

    @classmethod
    def of(
        cls,
        frame: pl.DataFrame,
        records: pl.DataFrame,
        source: Source,
        rejected: pl.DataFrame | None = None,
    ) -> Pool:
        """Return a pool of tables in memory: ``frame`` with the columns of `POOL_SCHEMA`."""
        if dict(frame.schema) != POOL_SCHEMA:
            raise ValueError(f"frame must have the columns {POOL_SCHEMA}; got {frame.schema}")
        return cls(
            frame.select(list(ROW_SCHEMA)),
            HeldRecords(frame.select(list(WORDING_SCHEMA))),
            HeldRecords(records),
            source,
            pl.DataFrame(schema=REJECTED_SCHEMA) if rejected is None else rejected,
        )

    def __len__(self) -> int:
        return self.rows.height

    @property
    def frame(self) -> pl.DataFrame:
        """The rows with their texts, all in memory; those of a large pool are read every time."""
        return self.rows.hstack(self.wording.read().get_columns()).select(list(POOL_SCHEMA))

    @property
    def records(self) -> pl.DataFrame:
        """All records, see ``raw``, in memory; those of a large pool are read every time."""
        return self.raw.read()

    @functools.cached_property
    def has_texts(self) -> bool:
        """Whether the texts are there; a run with ``--no-texts`` keeps none."""
        first = next(self.wording.parts(columns=["text"]), None)
        return first is None or not first["text"].has_nulls()

    @property
    def texts(self) -> Texts:
        """The distinct (text, context) pairs, without labels: what scorers get."""
        if not isinstance(self.wording, HeldRecords):
            return _TextsInParts(self.rows["key"], self.wording)
        distinct = self.frame.select("key", "text", "context").unique("key")
        return Texts(distinct.sort("key", "context"))  # by two columns, see `fingerprint`

    @functools.cached_property
    def text_bytes(self) -> int:
        """The length of all texts, in bytes of UTF-8."""
        parts = self.wording.parts(columns=["text"])
        return sum(int(part["text"].str.len_bytes().sum()) for part in parts)

    @property
    def characters(self) -> pl.Series:
        """The number of characters of each text."""
        parts = self.wording.parts(columns=["text"])
        nothing = pl.Series("text", [], dtype=pl.UInt32)
        return pl.concat([nothing, *(part["text"].str.len_chars() for part in parts)])

    @property
    def label_names(self) -> tuple[str, ...]:
        """The distinct label names, sorted; no sample's own label can be told from them."""
        return tuple(sorted(self.rows["label"].drop_nulls().unique().to_list()))

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash over ids, texts and contexts that does not depend on the order of the rows."""
        # Ids are unique; but Polars sorts two columns of strings much faster than one.
        rows = self.rows.select("id", "key").sort("id", "key")
        told = pl.format("{}:{}{}", pl.col("id").str.len_chars(), "id", "key").str.join("")
        digest = hashlib.blake2b(digest_size=16)
        for part in rows.iter_slices(_HASHED_ROWS):
            digest.update(part.select(told).item().encode())
        return digest.hexdigest()

    def without_texts(self) -> Pool:
        """Return the pool with ids, keys and places only: no text, context, label or record."""
        nothing = pl.repeat(None, len(self), dtype=pl.String, eager=True)
        return replace(
            self,
            rows=self.rows.with_columns(label=nothing),
            wording=HeldRecords(pl.DataFrame({"text": nothing, "context": nothing})),
            raw=HeldRecords(pl.DataFrame({"record": nothing})),
            rejected=self.rejected.with_columns(raw=pl.lit(None, dtype=pl.String)),
        )

    def take(self, mask: pl.Series) -> Pool:
        """Return the pool with the rows where ``mask`` is true, in the same order.

        Their records go with them; ``rejected``, which tells of the reading, stays as it is.
        """
        return replace(
            self,
            rows=self.rows.filter(mask),
            wording=self.wording.keep(mask),
            raw=self.raw.keep(mask),
        )

    def save(self, path: Path) -> None:
        """Write the pool to one Parquet file that `load` reads; ``rejected`` is not part of it."""
        records = {f"{_RECORD_PREFIX}{name}": kind for name, kind in self.raw.schema.items()}
        named = dict(zip(self.raw.schema, records, strict=True))
        tables = side_by_side(HeldRecords(self.rows), self.wording, self.raw)
        write_parquet_in_parts(
            (
                rows.hstack(wording).select(list(POOL_SCHEMA)).hstack(raw.rename(named))
                for rows, wording, raw in tables
            ),
            path,
            schema=pl.Schema([*POOL_SCHEMA.items(), *records.items()]),
            rows_per_group=min(self.wording.rows_per_part, self.raw.rows_per_part),
            metadata={
                _SOURCE_METADATA: json.dumps(asdict(self.source)),
                _FINGERPRINT_METADATA: self.fingerprint,
            },
        )

    @classmethod
    def load(cls, path: Path, *, rejected: pl.DataFrame | None = None) -> Pool:
        """Read a pool that `save` wrote, and give it the rows that were refused.

        Raises
        ------
        OSError, polars.exceptions.PolarsError, KeyError, ValueError
            If the file is damaged, or no pool.
        """
        metadata = read_parquet_metadata(path)
        source = _parse_source(metadata[_SOURCE_METADATA])
        names = read_parquet_columns(path)
        rows = read_parquet(path, [name for name in ROW_SCHEMA if name in names])
        _check_rows(rows)
        records = {
            name.removeprefix(_RECORD_PREFIX): name
            for name in names
            if name.startswith(_RECORD_PREFIX)
        }
        wording = ParquetRecords(path, {name: name for name in WORDING_SCHEMA}, _AllOrNone("text"))
        raw = ParquetRecords(path, records, _check_records(source))
        _check_schemas(wording, raw, source)
        refused = pl.DataFrame(schema=REJECTED_SCHEMA) if rejected is None else rejected
        pool = cls(
            rows.select(list(ROW_SCHEMA)).with_columns(shared(rows["file"])),
            wording.held_if_small(),
            raw.held_if_small(),
            source,
            refused,
        )
        if _FINGERPRINT_METADATA in metadata:
            # What was saved with the rows need not be made of them again: that takes a sort.
            vars(pool)["fingerprint"] = metadata[_FINGERPRINT_METADATA]
        return pool


def _parse_source(text: str) -> Source:
    """Return the source that a file tells of; it may tell anything."""
    told = parse_json(text)
    if not isinstance(told, dict) or told.keys() != {one.name for one in fields(Source)}:
        raise DamagedFileError("what is said of the input is not what was written there")
    optional = ("header", "text", "context", "label", "id")
    texts = [told["suffix"], told["encoding"], told["newline"]]
    texts += [told[name] for name in optional if told[name] is not None]
    columns = told["columns"]
    if not (
        told["format"] in get_args(Format)
        and isinstance(told["bom"], bool)
        and isinstance(columns, list)
        and isinstance(told["suffix"], str)
        and _SUFFIX.fullmatch(told["suffix"])
        and all(isinstance(one, str) for one in [*texts, *columns])
    ):
        raise DamagedFileError("what is said of the input is not what was written there")
    try:
        "".encode(told["encoding"])
    except (LookupError, ValueError) as error:
        raise DamagedFileError(f"there is no encoding {told['encoding']!r}") from error
    return Source(**{**told, "columns": tuple(columns)})


def _check_schemas(wording: Records, raw: Records, source: Source) -> None:
    if dict(wording.schema) != WORDING_SCHEMA:
        raise DamagedFileError("the columns of the texts have other types")
    folder = {"path": pl.String(), "bytes": pl.Binary()}
    record = {"record": pl.String()}
    expected = {"parquet": raw.schema, "folder": folder}.get(source.format, record)
    # A run with --no-texts keeps none, of whatever format.
    if dict(raw.schema) not in (dict(expected), record):
        raise DamagedFileError("the records are not those of the format")


class _AllOrNone:
    """Checks parts of a table: a column has a value in all rows of all of them, or in none.

    There are no texts, and no records, in a run with ``--no-texts``; a part that differs from those
    before it was changed by somebody.
    """

    def __init__(self, column: str) -> None:
        self._column = column
        self._is_there: bool | None = None

    def __call__(self, part: pl.DataFrame) -> None:
        if self._column not in part.columns or not part.height:
            return
        nulls = part[self._column].null_count()
        if self._is_there is None:
            self._is_there = not nulls
        if nulls != (0 if self._is_there else part.height):
            raise DamagedFileError(f"samples without a {self._column}")


def _check_records(source: Source) -> Callable[[pl.DataFrame], None]:
    """Return what checks the records of a format."""
    if source.format == "parquet":
        return lambda _: None
    if source.format != "folder":
        return _AllOrNone("record")

    def check(part: pl.DataFrame) -> None:
        nulls = dict(zip(part.columns, part.null_count().row(0), strict=True))
        if nulls != {"record": part.height} and ("record" in nulls or any(nulls.values())):
            raise DamagedFileError("the records are not those of the format")

    return check


def _check_rows(rows: pl.DataFrame) -> None:
    needed = rows.select(list(ROW_SCHEMA))
    if dict(needed.schema) != ROW_SCHEMA:
        raise DamagedFileError("the columns of the samples have other types")
    if sum(needed.select("id", "key", "file", "line").null_count().row(0)):
        raise DamagedFileError("samples without an id, a key or a place")
    if not needed["key"].str.contains(_KEY).all():
        raise DamagedFileError("a sample's key is no hash")
    if needed["id"].is_duplicated().any():
        raise DamagedFileError("two samples have the same id")
