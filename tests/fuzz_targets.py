"""What is put to damaged and hostile bytes: each target ends in a result or in an error of ours.

`tests/test_fuzz.py` and `benchmarks/fuzz.py` share them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import shutil
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import zstandard

import euds
from euds.errors import EudsError
from euds.models.conversion import read_conversion
from euds.models.hardware import float32_bytes
from euds.models.sources import resolve
from euds.pool.pool import Pool
from euds.progress import SilentProgress
from euds.proof.training.protocol import Outcome
from euds.proof.training.trained import TrainingStore
from euds.reading import read
from euds.reporting.listings import rows_of
from euds.runs.explaining import explain
from euds.runs.folder import RunFolder
from euds.runs.summary import summarise
from euds.scoring.store.disk import Store
from euds.writing import write_rejected, write_subset

__all__ = ["NAMES", "Target", "target"]

ROWS = [
    {"id": "a1", "text": "a good film", "label": "good", "n": 1, "deep": [{"x": [None, 1.5]}]},
    {"id": "b2", "text": 'a bad film, "really"', "label": "bad", "n": -2, "deep": []},
    {"id": "c3", "text": "zwölf Füße 🙂", "label": None, "n": 30, "deep": [{"x": []}]},
]
CHAT = {
    "messages": [
        {"role": "user", "content": "what?"},
        {"role": "assistant", "content": "that"},
    ]
}
# How a file may be read; the first byte that is put to a target chooses one.
WISHES = (
    {},
    {"text": "text"},
    {"text": "{text} {label}", "label": "n"},
    {"text": "text", "id": "id"},
    {"encoding": "utf-16"},
    {"encoding": "cp1252"},
    {"text": "{n}", "context": "{id} {label}", "label": "other"},
    {"encoding": "shift_jis", "text": "text"},
)


@dataclass(frozen=True)
class Target:
    """One thing that takes bytes.

    Parameters
    ----------
    run : callable
        Takes the bytes and a folder of its own; an `EudsError` is a fine end, any other is none.
    seeds : tuple of bytes
        Inputs that are as they should be.
    unpack, pack : callable
        Inputs that are packed are changed inside: how to come there, and back.
    slow : bool
        Whether a run takes so long that only a few are made in the tests.
    """

    run: Callable[[bytes, Path], None]
    seeds: tuple[bytes, ...]
    unpack: Callable[[bytes], bytes] = bytes
    pack: Callable[[bytes], bytes] = bytes
    slow: bool = False

    def __call__(self, data: bytes) -> bool:
        """Put bytes to it; return whether they were taken for good."""
        # What is written is synced to the disk, which takes most of the time where there is one.
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        with tempfile.TemporaryDirectory(prefix="euds-fuzz-", dir=memory) as folder:
            try:
                self.run(data, Path(folder))
            except EudsError as error:
                str(error).encode()  # it can be shown
                return False
        return True


def _file(name: str, data: bytes, folder: Path) -> None:
    """Read a file, and do with the pool what a run does."""
    if not data:
        return
    (folder / name).write_bytes(data[1:])
    wishes = WISHES[data[0] % len(WISHES)]
    if name.endswith(".parquet"):
        wishes = {option: value for option, value in wishes.items() if option != "encoding"}
    _keep(read(folder / name, max_rejected=1, **wishes), folder)


def _folder(data: bytes, folder: Path) -> None:
    """Read a folder of text files, whose contents are split at zero bytes."""
    pool = folder / "pool"
    for number, content in enumerate(data.split(b"\0")[:20]):
        place = pool / str(number % 3) / f"{number}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    _keep(read(pool, max_rejected=1), folder)


def _keep(pool: Pool, folder: Path) -> None:
    pool.save(folder / "pool.out")
    loaded = Pool.load(folder / "pool.out", rejected=pool.rejected)
    assert loaded.frame.equals(pool.frame)
    write_rejected(loaded, folder / "rejected.out")
    ids = loaded.frame["id"][::2]
    write_subset(loaded, ids, folder / f"subset{loaded.source.suffix}")


# ---- the run folder --------------------------------------------------------------------------


@functools.cache
def _run() -> Path:
    """Make a small run, once."""
    folder = Path(tempfile.mkdtemp(prefix="euds-fuzz-run-"))
    # Its life is that of the process.
    import atexit

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    words = ROWS[0]["text"].split() + ROWS[1]["text"].split() + ["very", "dull", "plot", "cold"]
    texts = [" ".join(words[at:] + words[:at]) for at in range(len(words))]
    lines = [*map(json.dumps, ROWS), *(json.dumps({"text": text}) for text in texts), "?"]
    (folder / "in.jsonl").write_text("\n".join(lines))
    pool = read(folder / "in.jsonl", max_rejected=0.5)
    store = Store(folder / "store")
    table = euds.score(pool, ["ie", "ge"], model="toy", store=store, progress=SilentProgress())
    table.provenance["inputs"] = [str(folder / "in.jsonl")]
    selection = euds.select(pool, table, keep=0.5, rule="random")
    run = RunFolder.create(folder / "run")
    run.save_scored(pool, table)
    run.save_selection(selection)
    summary = {**summarise(pool, table, selection), "examples": [], "settings": selection.settings}
    run.save_manifest(
        {
            "inputs": [str(folder / "in.jsonl")],
            "pool": {"rows": len(pool), "fingerprint": pool.fingerprint},
            "provenance": table.provenance,
            "summary": summary,
        }
    )
    # Without checksums, or nothing but an undamaged file would ever be opened.
    manifest = json.loads((folder / "run" / "manifest.json").read_text())
    (folder / "run" / "manifest.json").write_text(json.dumps({**manifest, "checksums": {}}))
    trained = TrainingStore(folder / "trained")
    trained.add("d", Outcome(("a", "b") * 3, 4, 1.5, 0.5))
    return folder


def _run_file(name: str, data: bytes, folder: Path) -> None:
    """Use a run, one of whose files is replaced."""
    shutil.copytree(_run() / "run", folder / "run")
    (folder / "run" / name).write_bytes(data)
    run = RunFolder.open(folder / "run")
    with contextlib.suppress(EudsError):
        RunFolder.create(folder / "run", inputs=["another.jsonl"])
    pool, table = run.load_scored()
    table.require(["ie"])
    chosen = run.load_selection(pool)
    for sample in pool.frame["id"].head(5):
        explain(pool, table, chosen, sample)
    rows_of(run, kept=True, sort="-ie", limit=3)
    run.manifest.get("summary", {}).get("settings")
    selection = euds.select(pool, table, keep=0.5, rule="ie")
    summarise(pool, table, selection)
    selection.write(folder / f"subset{pool.source.suffix}")


def _metadata(name: str, key: str, data: bytes, folder: Path) -> None:
    """Use a run, in one of whose Parquet files another text stands beside the table."""
    whole = _run() / "run" / name
    metadata = {**pl.read_parquet_metadata(whole), key: data.decode("utf-8", "replace")}
    metadata = {name: text for name, text in metadata.items() if name.startswith("euds.")}
    pl.read_parquet(whole).write_parquet(folder / "other", metadata=metadata)
    _run_file(name, (folder / "other").read_bytes(), folder)


def _run_seed(name: str) -> bytes:
    return (_run() / "run" / name).read_bytes()


def _metadata_seed(name: str, key: str) -> bytes:
    return pl.read_parquet_metadata(_run() / "run" / name)[key].encode()


def _stored(data: bytes, folder: Path) -> None:
    """Read a file of the store, under the name that its bytes should have, and under another."""
    store, recipe = Store(folder), {"name": "m", "version": 1, "parameters": {}}
    place = store.folder(recipe)
    place.mkdir(parents=True)
    (place / f"{hashlib.blake2b(data, digest_size=16).hexdigest()}.parquet").write_bytes(data)
    (place / f"{'0' * 32}.parquet").write_bytes(data)
    (place / "recipe.json").write_bytes(data)
    store.rows(recipe)


def _stored_seed() -> bytes:
    return next((_run() / "store").glob("*/*.parquet")).read_bytes()


def _training(data: bytes, folder: Path) -> None:
    (folder / "d.json.zst").write_bytes(data)
    TrainingStore(folder).get("d")


# ---- models ----------------------------------------------------------------------------------


def _safetensors(data: bytes, folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    (folder / "converted.json").write_bytes(data)
    read_conversion(folder)
    (folder / "model.safetensors").write_bytes(data)
    float32_bytes(folder)


def _safetensors_seed() -> bytes:
    header = {
        "__metadata__": {"format": "pt"},
        "w": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    }
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(24)


@functools.cache
def _encoder() -> Path:
    """Save a tiny encoder, once."""
    from tests.models.conftest import save_bert

    folder = save_bert(_run() / "encoder")
    (folder / "modules.json").write_text(
        json.dumps([{"type": "sentence_transformers.models.Pooling"}])
    )
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "mean"}))
    return folder


def _model_file(name: str, data: bytes, folder: Path) -> None:
    """Load an encoder, one of whose files is replaced."""
    from euds.models.transformers_encoder import TransformersEncoder

    shutil.copytree(_encoder(), folder / "model")
    (folder / "model" / name).write_bytes(data)
    reference = resolve(str(folder / "model"))
    assert reference.folder is not None
    _ = reference.has_chat_template
    TransformersEncoder.load(reference.folder, precision="float32")


def _gguf(data: bytes, folder: Path) -> None:
    (folder / "model.gguf").write_bytes(data)
    from euds.models.conversion import convert

    convert(folder / "model.gguf", "0" * 64, name="model")


def _gguf_seed() -> bytes:
    """Write the smallest file of a model: its header, a few values, its tensors."""
    import gguf
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "a.gguf"
        writer = gguf.GGUFWriter(place, "llama")
        writer.add_block_count(1)
        writer.add_context_length(16)
        writer.add_embedding_length(8)
        writer.add_feed_forward_length(12)
        writer.add_head_count(2)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_tokenizer_model("gpt2")
        writer.add_token_list(["a", "b", "ab", "<s>"])
        writer.add_token_types([1, 1, 1, 3])
        writer.add_token_merges(["a b"])
        writer.add_bos_token_id(3)
        writer.add_tensor("token_embd.weight", np.zeros((4, 8), np.float32))
        for part in ("gate", "up"):
            writer.add_tensor(f"blk.0.ffn_{part}.weight", np.zeros((12, 8), np.float32))
        writer.add_tensor("blk.0.ffn_down.weight", np.zeros((8, 12), np.float32))
        for part in ("q", "k", "v", "output"):
            writer.add_tensor(f"blk.0.attn_{part}.weight", np.zeros((8, 8), np.float32))
        for norm in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
            writer.add_tensor(f"{norm}.weight", np.ones(8, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return place.read_bytes()


# ---- all of them -----------------------------------------------------------------------------


def _gunzip(data: bytes) -> bytes:
    return data[:1] + zlib.decompress(data[1:], wbits=31)


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    return data[:1] + packer.compress(data[1:]) + packer.flush()


def _unzstd(data: bytes) -> bytes:
    return data[:1] + zstandard.ZstdDecompressor().decompress(data[1:])


def _zstd(data: bytes) -> bytes:
    return data[:1] + zstandard.ZstdCompressor(write_checksum=True).compress(data[1:])


def _text_seeds(separator: str | None) -> tuple[bytes, ...]:
    if separator is None:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in [*ROWS, CHAT])
    else:
        table = pl.DataFrame(ROWS).drop("deep")
        lines = table.write_csv(
            separator=separator, quote_style="never" if separator == "\t" else "necessary"
        )
    as_it_is = [bytes([choice]) + lines.encode() for choice in range(4)]
    return (
        *as_it_is,
        b"\x04" + lines.encode("utf-16"),
        b"\x01" + lines.replace("\n", "\r").encode(),
    )


def _table_seeds() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "a"
        pl.DataFrame(ROWS).write_parquet(place)
        first = place.read_bytes()
        pl.DataFrame(ROWS).drop("deep").write_parquet(place, compression="uncompressed")
        return b"\x00" + first, b"\x03" + place.read_bytes()


_INPUTS = {
    "jsonl": ("a.jsonl", None),
    "csv": ("a.csv", ","),
    "tsv": ("a.tsv", "\t"),
    "jsonl.gz": ("a.jsonl.gz", None),
    "csv.zst": ("a.csv.zst", ","),
    "csv in gz": ("a.csv.gz", ","),
}
_PACKING = {".gz": (_gunzip, _gzip), ".zst": (_unzstd, _zstd)}
_RUN_FILES = {
    "manifest": "manifest.json",
    "pool": "pool.parquet",
    "scores": "scores.parquet",
    "selection": "selection.parquet",
    "rejected": "rejected.jsonl",
}
_METADATA = {
    "source of the pool": ("pool.parquet", "euds.source"),
    "provenance of scores": ("scores.parquet", "euds.provenance"),
}
_MODEL_FILES = {
    "model.safetensors": "model.safetensors",
    "config.json": "config.json",
    "tokenizer.json": "tokenizer.json",
    "modules.json": "modules.json",
    "pooling": "1_Pooling/config.json",
}


@functools.cache
def target(name: str) -> Target:
    """Return the target of a name out of `NAMES`, and make only what that one needs."""
    if name in _INPUTS:
        return _input_target(name)
    if name in _RUN_FILES:
        file = _RUN_FILES[name]
        return Target(functools.partial(_run_file, file), (_run_seed(file),), slow=True)
    if name in _METADATA:
        file, key = _METADATA[name]
        seed = _metadata_seed(file, key)
        return Target(functools.partial(_metadata, file, key), (seed,), slow=True)
    if name in _MODEL_FILES:
        file = _MODEL_FILES[name]
        seed = (_encoder() / file).read_bytes()
        return Target(functools.partial(_model_file, file), (seed,), slow=True)
    return _other_target(name)


def _input_target(name: str) -> Target:
    file, separator = _INPUTS[name]
    seeds = _text_seeds(separator)
    run = functools.partial(_file, file)
    suffix = Path(file).suffix
    if suffix not in _PACKING:
        return Target(run, seeds)
    unpack, pack = _PACKING[suffix]
    packed = tuple(map(pack, seeds))
    return Target(run, packed, unpack, pack) if " in " in name else Target(run, packed)


def _other_target(name: str) -> Target:
    if name.startswith("training"):
        whole = ((_run() / "trained" / "d.json.zst").read_bytes(),)
        unpack = zstandard.ZstdDecompressor().decompress
        pack = zstandard.ZstdCompressor().compress
        inside = name == "training inside"
        return Target(_training, whole, unpack, pack) if inside else Target(_training, whole)
    if name == "folder":
        contents = b"one\0two\0\xef\xbb\xbfthree\0" + "vier".encode("utf-16")
        return Target(_folder, (contents,))
    if name == "parquet":
        return Target(functools.partial(_file, "a.parquet"), _table_seeds())
    if name == "store":
        return Target(_stored, (_stored_seed(),))
    if name == "safetensors":
        return Target(_safetensors, (_safetensors_seed(),))
    assert name == "gguf", name
    return Target(_gguf, (_gguf_seed(),), slow=True)


NAMES = (
    *("jsonl", "csv", "tsv", "parquet", "folder", "jsonl.gz", "csv.zst", "csv in gz"),
    *("manifest", "pool", "scores", "selection", "rejected"),
    *("source of the pool", "provenance of scores", "store", "training", "training inside"),
    *("safetensors", "model.safetensors", "config.json", "tokenizer.json", "modules.json"),
    *("pooling", "gguf"),
)
