"""The engine of many machines: Ray Data hands shards to workers that have the model loaded.

Ray starts the workers, gives each the cores and GPUs that were asked for, hands out shards no
faster than they are measured, and starts anew what was lost with a worker or a machine. This
process alone writes to the store. What Ray itself has to say is in Ray's log files.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from euds.errors import EngineError, MissingExtraError, OptionError
from euds.models.sources import ModelReference
from euds.models.tuning import Tuning, try_out
from euds.pool.pool import Texts
from euds.progress import Progress, SilentProgress
from euds.scoring.engines.ray_worker import (
    Answer,
    Attempts,
    ShardWorker,
    packed,
    tuning_here,
    unpacked,
)
from euds.scoring.scorers.base import Measurement, recipe_id, recipe_of

__all__ = ["RayEngine"]

_WINDOW_BYTES = 256 * 2**20
_CONNECT_SECONDS = 10
_LOOK_SECONDS = 10.0
_NAME_LENGTH = 12
_SHOWN = 5


@dataclass
class RayEngine:
    """Measures on a Ray cluster; a context manager that leaves the cluster at its end.

    Parameters
    ----------
    address : str or None
        The cluster: ``host:port`` of its head, or ``auto`` on one of its machines. None starts Ray
        on this machine, until the engine is left. A program that is connected to Ray already stays
        connected as it is.
    workers : int or None
        How many workers to start; None for as many as the cluster has room for now.
    threads_per_worker : int
        Cores that each is given, and threads that its model computes with.
    gpus_per_worker : float or None
        GPUs that each is given; None for one if the cluster has any, else for none.
    progress : Progress
        Is told how many workers there are.

    Raises
    ------
    MissingExtraError
        If Ray is not installed.
    OptionError
        If a number makes no sense, or the address is one of Ray Client.
    """

    address: str | None = None
    workers: int | None = None
    threads_per_worker: int = 1
    gpus_per_worker: float | None = None
    progress: Progress = field(default_factory=SilentProgress)
    _entered: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, init=False)
    _told: str | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("threads_per_worker", 1), ("gpus_per_worker", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise OptionError(
                    f"{name.replace('_', ' ')} is too small",
                    got=str(value),
                    expected=f"at least {least}",
                )
        if self.address not in (None, "auto") and _host_and_port(self.address) is None:
            raise OptionError(
                "that is no address of a Ray cluster that can be used",
                got=self.address,
                expected="host:port of its head, or auto on one of its machines",
                next_step="run the command on a machine of the cluster, or with 'ray job submit'",
            )
        _ray()

    def __enter__(self) -> RayEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self._entered.close()

    def run(self, measurement: Measurement, shards: Iterable[Texts]) -> Iterator[pl.DataFrame]:
        """Yield one frame a shard, as they are done.

        Raises
        ------
        EngineError
            At once if the cluster is not to be had or a worker cannot measure at all. If single
            shards cannot be measured, after all others have been yielded.
        """
        failed = []
        for window in _windows(shards):
            for answer in self._answers(measurement, window):
                if answer.rows is None:
                    failed.append(f"shard {answer.shard}, {answer.error}")
                else:
                    yield unpacked(answer.rows)
        if failed:
            more = len(failed) - _SHOWN
            raise EngineError(
                f"{len(failed):,} shard(s) of texts could not be measured; all others are stored",
                where=measurement.name,
                got="\n            ".join(failed[:_SHOWN])
                + (f"\n            and {more:,} more" if more > 0 else ""),
                next_step="the same command measures these again, and nothing else",
            )

    def try_out(self, reference: ModelReference, precision: str, progress: Progress) -> Tuning:
        """Return how a model is run on a machine of the cluster.

        Raises
        ------
        EngineError
            If the cluster is not to be had, or the machine cannot run the model.
        """
        if precision != "auto" or reference.folder is None:
            return try_out(reference, precision, progress)  # there is nothing to find out
        ray = self._connected()
        gpus = self._gpus(ray)
        self._workers(ray, gpus)
        task = ray.remote(num_cpus=self.threads_per_worker, num_gpus=gpus)(tuning_here)
        try:
            tuning, error = ray.get(task.remote(reference, precision, gpu=gpus > 0))
        except ray.exceptions.RayError as lost:
            raise _unusable(lost) from lost
        if tuning is None:
            raise EngineError("a worker cannot run the model", where=reference.name, got=error)
        found: Tuning = tuning
        return found

    def _answers(self, measurement: Measurement, window: dict[str, bytes]) -> Iterator[Answer]:
        """Yield the answer to each shard, as they come."""
        ray = self._connected()
        gpus = self._gpus(ray)
        workers = min(self._workers(ray, gpus), len(window))
        attempts = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Attempts).remote()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Ray Data's own, about its own settings
            shards = ray.data.from_arrow(
                [
                    pl.DataFrame({"shard": [name], "texts": [texts]}).to_arrow()
                    for name, texts in window.items()
                ]
            )
            shards.context.enable_progress_bars = False
            shards.context.print_on_execution_start = False
            answers = shards.map_batches(
                ShardWorker,
                fn_constructor_args=(
                    measurement,
                    recipe_id(recipe_of(measurement)),
                    functools.partial(_begin, attempts),
                ),
                fn_constructor_kwargs={"threads": self.threads_per_worker, "gpu": gpus > 0},
                batch_size=1,  # shard
                batch_format="pyarrow",
                # The least is one, so that those who are left go on when a machine is lost.
                compute=ray.data.ActorPoolStrategy(
                    min_size=1, max_size=workers, initial_size=workers
                ),
                num_cpus=self.threads_per_worker,
                num_gpus=gpus or None,
            )
        left = set(window)
        if hasattr(signal, "siginterrupt"):  # not on Windows
            # Polars has it otherwise, and then Ctrl-C is not heard before the next answer comes.
            signal.siginterrupt(signal.SIGINT, True)
        try:
            with self._watched(ray, gpus):
                for table in answers.iter_batches(
                    batch_size=None, batch_format="pyarrow", prefetch_batches=0
                ):
                    for row in pl.DataFrame(pl.from_arrow(table)).iter_rows(named=True):
                        answer = Answer(**row)
                        if answer.fatal:
                            raise EngineError(
                                "a worker cannot measure", where=measurement.name, got=answer.error
                            )
                        left.discard(answer.shard)
                        yield answer
        except ray.exceptions.RayError as lost:
            raise _unusable(lost) from lost
        yield from (Answer(name, error="no answer came back") for name in sorted(left))

    @contextlib.contextmanager
    def _watched(self, ray: Any, gpus: float) -> Iterator[None]:
        """Say so if the last machine with room for a worker is lost: Ray waits for others."""
        done = threading.Event()

        def watch() -> None:
            waits = False
            while not done.wait(_LOOK_SECONDS):
                room = sum(_room(node, self.threads_per_worker, gpus) for node in ray.nodes())
                if not room and not waits:
                    self.progress.note(
                        "Ray: no machine of the cluster has room for a worker any more; waiting "
                        "for one (what was measured is in the store)"
                    )
                waits = not room

        watcher = threading.Thread(target=watch, name="euds-ray", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _gpus(self, ray: Any) -> float:
        if self.gpus_per_worker is not None:
            return self.gpus_per_worker
        return 1 if ray.cluster_resources().get("GPU", 0) else 0

    def _workers(self, ray: Any, gpus: float) -> int:
        """Return how many workers to start, and say so if that is news."""
        room = [_room(node, self.threads_per_worker, gpus) for node in ray.nodes()]
        each = f"{self.threads_per_worker} core(s)" + (f" and {gpus:g} GPU(s)" if gpus else "")
        if self.workers is None and not sum(room):
            raise EngineError(
                "no machine of the cluster has room for a worker",
                got=", ".join(
                    f"{amount:g} {name} in all"
                    for name, amount in sorted(ray.cluster_resources().items())
                    if name in ("CPU", "GPU")
                )
                or "machines without cores",
                expected=f"{each} on one machine",
                next_step="give a number of workers to wait for machines that are still to come",
            )
        workers = self.workers or sum(room)
        told = (
            f"Ray: {workers} worker(s) with {each} each; "
            f"{sum(map(bool, room))} machine(s) have room for {sum(room)}"
        )
        if told != self._told:
            self.progress.note(told)
            self._told = told
        return workers

    def _connected(self) -> Any:
        """Return Ray, connected to the cluster."""
        ray = _ray()
        if ray.is_initialized():
            return ray
        settings: dict[str, Any] = {"address": self.address}
        if self.address is None:
            os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing leaves this machine
            settings = {"address": "local", "include_dashboard": False}
        try:
            if self.address is not None and (place := _host_and_port(self.address)) is not None:
                # Ray itself tries for minutes.
                socket.create_connection(place, timeout=_CONNECT_SECONDS).close()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ray.init(**settings, log_to_driver=False, logging_level=logging.CRITICAL)
        except (OSError, RuntimeError, ValueError) as error:
            raise EngineError(
                "there is no connection to a Ray cluster",
                where=self.address or "this machine",
                got=str(error).strip().splitlines()[0],
                next_step="'ray status' on a machine of the cluster tells its address",
            ) from error
        self._entered.callback(ray.shutdown)
        self._entered.enter_context(_quiet(ray))
        return ray


@contextlib.contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Keep Ray's log lines off the terminal; they are in its log files too."""
    console = [
        handler
        for handler in logging.getLogger("ray.data").handlers
        if isinstance(handler, logging.StreamHandler)
    ]
    levels = [handler.level for handler in console]
    worker: Any = importlib.import_module("ray._private.worker")
    for handler in console:
        handler.setLevel(logging.CRITICAL + 1)
    # What happens to machines and workers goes to stdout, and nothing public turns that off.
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = True
        for handler, level in zip(console, levels, strict=True):
            handler.setLevel(level)


def _ray() -> Any:
    """Return the package Ray, with Ray Data."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("ray.data")
            return importlib.import_module("ray")
    except ImportError as error:
        raise MissingExtraError(
            error.name or "ray", extra="ray", purpose="measuring on a Ray cluster"
        ) from error


def _host_and_port(address: str) -> tuple[str, int] | None:
    """Return both parts of an address; None if it has no such parts.

    >>> _host_and_port("head:6379"), _host_and_port("ray://head:10001"), _host_and_port("head")
    (('head', 6379), None, None)
    """
    host, _, port = address.rpartition(":")
    whole = host and "/" not in host and port.isdecimal() and int(port) < 2**16
    return (host.strip("[]"), int(port)) if whole else None


def _begin(attempts: Any, shard: str) -> int:
    """Tell the count of tries, wherever it is, that a shard is begun; return what it says."""
    begun: int = _ray().get(attempts.begin.remote(shard))
    return begun


def _windows(shards: Iterable[Texts]) -> Iterator[dict[str, bytes]]:
    """Yield shards by name, packed, as many as the cluster is to hold at a time."""
    window: dict[str, bytes] = {}
    held = 0
    for shard in shards:
        texts = packed(shard.frame)
        if held + len(texts) > _WINDOW_BYTES and window:
            yield window
            window, held = {}, 0
        window[shard.fingerprint[:_NAME_LENGTH]] = texts
        held += len(texts)
    if window:
        yield window


def _room(node: dict[str, Any], cores: int, gpus: float) -> int:
    """Return how many workers a machine has room for, other programs left aside."""
    if not node["Alive"]:
        return 0
    has = node["Resources"]
    room = has.get("CPU", 0) // cores
    return int(min(room, has.get("GPU", 0) // gpus) if gpus else room)


def _unusable(error: Exception) -> EngineError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return EngineError(
        "the Ray cluster gave up; what was measured is in the store",
        got=lines[-1].strip(),
        next_step="the same command goes on where it was; Ray's log files say what happened",
    )
