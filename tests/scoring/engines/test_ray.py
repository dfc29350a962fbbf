"""The engine on a cluster of several nodes: the same numbers, and what happens when things die."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import jsonschema
import pytest
import yaml

from euds.errors import EngineError
from euds.models.sources import resolve
from euds.pool.pool import Texts
from euds.progress import SilentProgress
from euds.scoring.engines.local import LocalEngine
from euds.scoring.engines.ray import RayEngine
from euds.scoring.measuring import Measurer
from euds.scoring.prompts import task_named
from euds.scoring.score import score
from euds.scoring.scorers.base import recipe_of
from euds.scoring.scorers.semantic_answers import SampledAnswers
from euds.scoring.store.disk import Store
from euds.selection.select import select
from tests.conftest import make_pool
from tests.models.conftest import make_model, make_tokenizer
from tests.scoring.engines.measurements import Lengths

ray = pytest.importorskip("ray", reason='needs Ray: pip install "euds[ray]"')

pytestmark = [
    # Ray's own: deprecated settings of its own, and processes that outlive their handles.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def engine(cluster):
    with RayEngine(cluster.address, gpus_per_worker=0) as found:
        yield found


def some_texts(count=160, *, words=()):
    """Return texts; each of the words is in one of them, first at the long end, then in between."""
    texts = [f"{'x' * (index % 37)} number {index}" for index in range(count)]
    for word, length in zip(words, (50, 20), strict=False):
        texts.append(f"{'y' * length} {word}")
    return Texts.of(texts)


class Acts(SilentProgress):
    """Does something once so many shards are stored."""

    def __init__(self, after, act):
        self.left, self.act = after, act

    def advance(self, stage, *, rows, seconds, left=None):
        self.left -= 1
        if self.left == 0:
            self.act()


def test_scores_and_selection_are_those_of_the_local_engine(tmp_path, engine):
    tokenizer = make_tokenizer()
    make_model("llama", len(tokenizer)).save_pretrained(tmp_path / "llama")
    tokenizer.save_pretrained(tmp_path / "llama")
    pool = make_pool(
        [f"The film number {index} was {'very ' * (index % 9)}good" for index in range(60)]
    )

    def scored_by(one):
        store = Store(tmp_path / type(one).__name__)
        table = score(
            pool, ["ie", "ge"], engine=one, store=store, progress=SilentProgress(),
            model=str(tmp_path / "llama"), precision="float32",
        )  # fmt: skip
        return table, select(pool, table, keep=0.3, rule="igse")

    (here, chosen_here), (there, chosen_there) = scored_by(LocalEngine()), scored_by(engine)
    assert there.frame.equals(here.frame)
    assert there.provenance["stages"][0]["measured"] == 60
    assert chosen_there.frame.equals(chosen_here.frame)


@pytest.mark.slow
def test_sampled_answers_are_those_of_the_local_engine(tmp_path, engine):
    sampled = SampledAnswers(resolve("toy"), "float32", task_named("topic").templates[0])
    here = Measurer(Store(tmp_path / "here"), LocalEngine(), SilentProgress())
    there = Measurer(Store(tmp_path / "there"), engine, SilentProgress())
    assert there(sampled, some_texts(24)).equals(here(sampled, some_texts(24)))


def test_a_node_that_is_killed_costs_the_shards_in_work(tmp_path, cluster):
    doomed = cluster.add_node(num_cpus=2)
    lengths, texts = Lengths(tmp_path / "diary", seconds=0.2), some_texts()

    def kill():
        cluster.remove_node(doomed, allow_graceful=False)

    with RayEngine(cluster.address, gpus_per_worker=0) as engine:
        rows = Measurer(Store(tmp_path), engine, Acts(6, kill))(lengths, texts)
    assert rows["n"].to_list() == [len(text) for text in texts.texts]
    assert set(rows["gpus"]) == {""}  # none was given, so none is seen
    again = {name: times for name, times in Counter(lengths.begun()).items() if times > 1}
    assert sum(again.values()) - len(again) <= 2  # that node had two workers


@pytest.mark.slow
def test_workers_get_gpus_and_an_interrupted_run_goes_on(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr("euds.scoring.engines.ray._LOOK_SECONDS", 0.5)
    doomed = cluster.add_node(num_cpus=1, num_gpus=1)  # Ray believes what it is told
    told = []

    def kill():
        cluster.remove_node(doomed, allow_graceful=False)

    class Notes(SilentProgress):
        def note(self, message):
            told.append(message)
            if "waiting" in message:
                os.kill(os.getpid(), signal.SIGINT)

    lengths = Lengths(tmp_path / "diary", seconds=0.1)
    with (
        RayEngine(cluster.address, progress=Notes()) as engine,
        pytest.raises(KeyboardInterrupt),
    ):
        Measurer(Store(tmp_path), engine, Acts(3, kill))(lengths, some_texts())
    assert told[0].startswith("Ray: 1 worker(s) with 1 core(s) and 1 GPU(s) each")
    assert len(told) == 2
    stored = Store(tmp_path).rows(recipe_of(lengths))
    assert set(stored["gpus"]) == {"0"}
    resumed = Lengths(tmp_path / "second diary")
    Measurer(Store(tmp_path), LocalEngine(), SilentProgress())(resumed, some_texts())
    assert len(resumed.begun()) == (len(some_texts()) - stored.height) / Lengths.rows_per_shard


def test_shards_that_always_fail_are_named_and_all_others_are_kept(tmp_path, engine):
    texts = some_texts(words=["stumble", "crash"])
    bad = Lengths(tmp_path / "diary", raises="stumble", dies="crash")
    with pytest.raises(EngineError, match=r"2 shard\(s\) of texts could not be measured") as caught:
        Measurer(Store(tmp_path), engine, SilentProgress())(bad, texts)
    mended = Lengths(tmp_path / "second diary")
    Measurer(Store(tmp_path), LocalEngine(workers=1), SilentProgress())(mended, texts)
    reasons = {"ValueError: a text that cannot be measured", "its worker died, 3 times"}
    told = dict(line.split(", ", 1) for line in caught.value.got.splitlines())
    assert {name.strip().removeprefix("shard ") for name in told} == set(mended.begun())
    assert set(told.values()) == reasons


def test_a_worker_that_cannot_load_the_model_ends_the_run_with_the_reason(tmp_path, engine):
    lengths = Lengths(tmp_path / "diary", loads=False)
    with pytest.raises(EngineError, match="a worker cannot measure") as caught:
        Measurer(Store(tmp_path), engine, SilentProgress())(lengths, some_texts())
    assert caught.value.got == "ValueError: weights of another planet"


def test_a_worker_that_no_machine_has_room_for_is_refused(cluster, tmp_path):
    with (
        RayEngine(cluster.address, threads_per_worker=99) as engine,
        pytest.raises(EngineError, match="no machine of the cluster has room") as caught,
    ):
        list(engine.run(Lengths(tmp_path / "diary"), [some_texts()]))
    assert caught.value.expected == "99 core(s) on one machine"


def test_a_cluster_that_is_not_there_is_said_at_once(tmp_path):
    with (
        RayEngine("localhost:9") as engine,
        pytest.raises(EngineError, match="no connection to a Ray cluster"),
    ):
        list(engine.run(Lengths(tmp_path / "diary"), [some_texts()]))


def test_the_cluster_file_of_the_page_is_one_that_ray_takes():
    page = Path(__file__).parents[3] / "docs" / "ray.md"
    described = page.read_text(encoding="utf-8").partition("```yaml\n")[2].partition("```")[0]
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    jsonschema.validate(yaml.safe_load(described), json.loads(schema.read_text()))


def test_the_command_prints_its_own_lines_and_none_of_rays(tmp_path, cluster):
    rows = [json.dumps({"text": f"the film number {index} was good"}) for index in range(40)]
    (tmp_path / "films.jsonl").write_text("\n".join(rows))
    command = [
        *(sys.executable, "-m", "euds", "score", "films.jsonl", "--model", "toy", "--json"),
        *("--scores", "ge", "--engine", "ray", "--ray-address", cluster.address),
    ]
    environment = {**os.environ, "EUDS_CACHE": str(tmp_path / "cache")}
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(ran.stdout)["measured"] == 40
    assert [line.partition(":")[0].strip() for line in ran.stderr.splitlines()] == [
        *("40 rows read, 0 rejected", "token-entropies", "Ray", "token-entropies")
    ]
