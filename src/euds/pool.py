"""The pool of samples, and the part of it that a scorer may see.

A `Pool` is everything that was read: texts, the user's other columns, where each row came from, and
the rows that were refused. `Texts` is what scorers get: texts and contexts under a key, each
distinct pair once. It has no label, no id and no file, so that no score can depend on them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from euds.damage import (
    DamagedFileError,
    parse_json,
    read_parquet,
    read_parquet_columns,
    read_parquet_metadata,
)
from euds.records import Records, RecordsAside

__all__ = ["POOL_SCHEMA", "REJECTED_SCHEMA", "Pool", "Source", "Texts", "text_key"]

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


@dataclass(frozen=True)
class Pool:
    """The samples to select from; immutable.

    Parameters
    ----------
    frame : polars.DataFrame
        One row a sample, in input order, with the columns of `POOL_SCHEMA`: ``id`` (unique),
        ``key`` (the hash of text and context), ``text``, ``context`` and ``label`` (null where
        there is none), ``file`` and ``line`` (where the sample came from, counted from 1).
    raw : polars.DataFrame or StoredRecords
        One row a sample, in the same order: what is written back, in memory or, of a large pool,
        in a temporary file. For JSONL, CSV and TSV one column ``record`` with the record exactly as
        it was read, without its line end; for Parquet the original columns; for a folder ``path``,
        relative to the folder, and ``bytes``.
    source : Source
        How the input was written.
    rejected : polars.DataFrame
        The rows that could not be used: ``file``, ``line``, ``reason``, ``raw`` (cut to 1,000
        characters).
    """

    frame: pl.DataFrame
    raw: Records
    source: Source
    rejected: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REJECTED_SCHEMA))

    def __post_init__(self) -> None:
        if dict(self.frame.schema) != POOL_SCHEMA:
            raise ValueError(f"frame must have the columns {POOL_SCHEMA}; got {self.frame.schema}")
        if self.frame.height != self.raw.height:
            raise ValueError(f"{self.frame.height} samples, but {self.raw.height} records")

    def __len__(self) -> int:
        return self.frame.height

    @property
    def records(self) -> pl.DataFrame:
        """All records, see ``raw``; those of a large pool are read every time."""
        return self.raw if isinstance(self.raw, pl.DataFrame) else self.raw.read()

    @property
    def has_texts(self) -> bool:
        """Whether the texts are there; a run with ``--no-texts`` keeps none."""
        return not self.frame["text"].has_nulls()

    @property
    def texts(self) -> Texts:
        """The distinct (text, context) pairs, without labels: what scorers get."""
        distinct = self.frame.select("key", "text", "context").unique("key")
        return Texts(distinct.sort("key", "context"))  # by two columns, see `fingerprint`

    @property
    def label_names(self) -> tuple[str, ...]:
        """The distinct label names, sorted; no sample's own label can be told from them."""
        return tuple(sorted(self.frame["label"].drop_nulls().unique().to_list()))

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash over ids, texts and contexts that does not depend on the order of the rows."""
        # Ids are unique; but Polars sorts two columns of strings much faster than one.
        rows = self.frame.select("id", "key").sort("id", "key")
        told = pl.format("{}:{}{}", pl.col("id").str.len_chars(), "id", "key").str.join("")
        digest = hashlib.blake2b(digest_size=16)
        for part in rows.iter_slices(_HASHED_ROWS):
            digest.update(part.select(told).item().encode())
        return digest.hexdigest()

    def without_texts(self) -> Pool:
        """Return the pool with ids, keys and places only: no text, context, label or record."""
        nothing = pl.lit(None, dtype=pl.String)
        return replace(
            self,
            frame=self.frame.with_columns(text=nothing, context=nothing, label=nothing),
            raw=self.frame.select("id").with_columns(record=nothing).drop("id"),
            rejected=self.rejected.with_columns(raw=nothing),
        )

    def take(self, mask: pl.Series) -> Pool:
        """Return the pool with the rows where ``mask`` is true, in the same order.

        Their records go with them; ``rejected``, which tells of the reading, stays as it is.
        """
        return replace(self, frame=self.frame.filter(mask), raw=self.raw.filter(mask))

    def save(self, path: Path) -> None:
        """Write the pool to one Parquet file that `load` reads; ``rejected`` is not part of it."""
        frame = self.frame.hstack(
            self.records.rename(lambda name: f"{_RECORD_PREFIX}{name}").get_columns()
        )
        metadata = {
            _SOURCE_METADATA: json.dumps(asdict(self.source)),
            _FINGERPRINT_METADATA: self.fingerprint,
        }
        frame.write_parquet(path, metadata=metadata)

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
        records = _load_records(path, names, source)  # first: it makes room again
        frame = read_parquet(path, [name for name in POOL_SCHEMA if name in names])
        _check_samples(frame)
        refused = pl.DataFrame(schema=REJECTED_SCHEMA) if rejected is None else rejected
        pool = cls(frame.select(list(POOL_SCHEMA)), records, source, refused)
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


def _load_records(path: Path, columns: Sequence[str], source: Source) -> Records:
    names = [name for name in columns if name.startswith(_RECORD_PREFIX)]
    records = read_parquet(path, names).rename(lambda name: name.removeprefix(_RECORD_PREFIX))
    _check_records(records, source)
    aside = RecordsAside()
    aside.add(records)
    return aside.finish()


def _check_records(records: pl.DataFrame, source: Source) -> None:
    if source.format == "parquet":
        return
    folder = {"path": pl.String(), "bytes": pl.Binary()}
    expected = folder if source.format == "folder" else {"record": pl.String()}
    if dict(records.schema) == {"record": pl.String} and records["record"].is_null().all():
        return  # a run with --no-texts keeps none
    if dict(records.schema) != expected or sum(records.null_count().row(0)):
        raise DamagedFileError("the records are not those of the format")


def _check_samples(frame: pl.DataFrame) -> None:
    needed = frame.select(list(POOL_SCHEMA))
    if dict(needed.schema) != POOL_SCHEMA:
        raise DamagedFileError("the columns of the samples have other types")
    missing = needed.select("id", "key", "file", "line").null_count()
    # All texts are there, or none is: a run with --no-texts keeps none.
    if sum(missing.row(0)) or needed["text"].null_count() not in (0, needed.height):
        raise DamagedFileError("samples without an id, a key, a text or a place")
    if not needed["key"].str.contains(_KEY).all():
        raise DamagedFileError("a sample's key is no hash")
    if needed["id"].is_duplicated().any():
        raise DamagedFileError("two samples have the same id")
