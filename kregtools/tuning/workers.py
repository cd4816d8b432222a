"""Many trials at once, on a Dask cluster."""

from __future__ import annotations

import importlib.util
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kregtools.tuning import training

TOPIC = "kregtools-epoch"
# A trial whose worker dies more often than this is put down as failed.
MOST_DEATHS = 2
START_SECONDS = 300


class Pool:
    """Runs trials on the workers of a Dask cluster; the search itself stays in this process.

    Without a client it starts a cluster of its own on this machine: one process a worker, one thread each, and one
    GPU each where there are GPUs. A trial whose worker dies is run again on another.

    Args:
        workers: Integer, how many trials run at once. Defaults to `None`: as many as the client's cluster has workers.
        client: `distributed.Client` of a running cluster. Its workers need kregtools, a Keras backend and the memory
            for the data, but no shared directory: what a trial leaves comes back with its result.
    """

    def __init__(self, workers: int | None = None, client: Any = None) -> None:
        if importlib.util.find_spec("distributed") is None:
            raise ImportError(
                "Trials at once need Dask, which is not installed. Received: "
                f"workers={workers!r}, client={client!r}. Install it with `pip install kregtools[distributed]`."
            )
        self.client: Any = client
        self.size = workers or max(len(client.scheduler_info()["workers"]), 1)
        self._own: list[Any] = []
        self._futures: dict[Any, _Submitted] = {}
        self._told: list[tuple[str, int, dict[str, float]]] = []
        self._lock = threading.Lock()

    def opened(self, fit: tuple[Sequence[Any], Mapping[str, Any]]) -> Pool:
        self._fit = fit[0], {name: value for name, value in fit[1].items() if name != "callbacks"}
        _check_can_be_sent(self._fit)
        return self

    def __enter__(self) -> None:
        from distributed import Client

        if self.client is None:
            self._own = [_local_cluster(self.size)]
            self.client = Client(self._own[0])
            self._own.insert(0, self.client)
        self.client.wait_for_workers(self.size if self._own else 1, timeout=START_SECONDS)
        self.client.subscribe_topic(TOPIC, self._hear)
        self._scatter()

    def __exit__(self, *exception: object) -> None:
        with suppress(Exception):
            self.client.unsubscribe_topic(TOPIC)
            self.client.cancel(list(self._futures))
        for opened in self._own:
            with suppress(Exception):
                opened.close(timeout=10)
        if self._own:
            self.client, self._own = None, []
        self._futures.clear()

    def submit(self, trial_id: str, task: training.Trial, directory: Path) -> None:
        self._start(_Submitted(trial_id, task, directory))

    def wait(self, progress: Callable[[str, int, dict[str, float]], None]) -> tuple[str, Any]:
        """Waits for a trial to end; its result, or the error it ended with."""
        from distributed import CancelledError, wait

        while True:
            with suppress(TimeoutError, CancelledError):
                wait(list(self._futures), timeout=0.5, return_when="FIRST_COMPLETED")
            for told in self._taken():
                progress(*told)
            ended = next((future for future in self._futures if future.done()), None)
            if ended is None:
                continue
            run = self._futures.pop(ended)
            if run.losses < MOST_DEATHS and (ended.cancelled() or (self._own and _is_killed(ended))):
                if ended.cancelled() or any(part.status != "finished" for part in self._data):
                    self._scatter()
                self._start(replace(run, losses=run.losses + 1))
            else:
                return run.trial_id, _outcome(ended, run.directory)

    def _scatter(self) -> None:
        """Gives every worker a copy of the data, once and not with every trial.

        A trial can then be run again where one of them dies. If all die at once, Dask forgets the data and cancels
        the trials, and whoever is there by then has to get it again.
        """
        self.client.wait_for_workers(1, timeout=START_SECONDS)
        self._data = self.client.scatter(self._fit, broadcast=True, hash=False)

    def _start(self, run: _Submitted) -> None:
        if self._own:
            # At the worker of another trial it would be lost with that one, and counted as a reason.
            with suppress(TimeoutError):
                self.client.wait_for_workers(min(len(self._futures) + 1, self.size), timeout=START_SECONDS)
        future = self.client.submit(_run, run.trial_id, run.task, self._data, pure=False, retries=0)
        self._futures[future] = run

    def _hear(self, event: tuple[float, Any]) -> None:
        with self._lock:
            self._told.append(tuple(event[1]))  # pyright: ignore[reportArgumentType]

    def _taken(self) -> list[tuple[str, int, dict[str, float]]]:
        with self._lock:
            told, self._told = self._told, []
        return told


@dataclass(frozen=True)
class _Submitted:
    trial_id: str
    task: training.Trial
    directory: Path
    losses: int = 0


def _run(trial_id: str, task: training.Trial, fit: Any) -> tuple[Any, dict[str, bytes]]:
    """Runs a trial in a worker; its result, and its files by name."""
    from distributed import get_worker

    worker = get_worker()
    _leave_the_random_state_to_the_trial()
    with tempfile.TemporaryDirectory(prefix="kregtools-") as name:
        directory = Path(name)
        result = training.run(task, directory, fit, lambda *told: worker.log_event(TOPIC, (trial_id, *told)))
        files = [path for path in directory.rglob("*") if path.is_file()]
        return result, {str(path.relative_to(directory)): path.read_bytes() for path in files}


def _leave_the_random_state_to_the_trial() -> None:
    """Gives Dask a generator of its own: its other threads would draw from the one that is seeded for the trial."""
    own, shared = random.Random(), random.seed.__self__
    for name, module in tuple(sys.modules.items()):
        if name.partition(".")[0] not in ("dask", "distributed", "tornado"):
            continue
        for attribute, value in tuple(vars(module).items()):
            if value is random:
                setattr(module, attribute, own)
            elif getattr(value, "__self__", None) is shared:  # `from random import randint`
                setattr(module, attribute, getattr(own, value.__name__))


def _is_killed(future: Any) -> bool:
    """Whether Dask gave a trial up for the workers that died: an error of its own, not of the trial."""
    return not future.cancelled() and type(future.exception()).__name__ == "KilledWorker"


def _outcome(future: Any, directory: Path) -> Any:
    if future.cancelled() or _is_killed(future):
        return MemoryError("Every worker that ran the trial died. It may need more memory than a worker has.")
    error = future.exception()
    if error is not None:
        return error
    result, files = future.result()
    try:
        for name, content in files.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(content)
    except OSError as full:
        return full
    return result


def _local_cluster(size: int) -> Any:
    import dask.config
    from distributed import Scheduler, SpecCluster
    from distributed.deploy.subprocess import SubprocessWorker

    gpus, specs = _gpus(), {}
    for index in range(size):
        environment = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
        options = {"nthreads": 1, "env": environment, "memory_limit": 0, "death_timeout": 60, "name": str(index)}
        specs[index] = {"cls": SubprocessWorker, "options": {"worker_kwargs": options}}
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard": False, "dashboard_address": None}}
    # The deaths of a trial's workers are counted by the pool: Dask forgets them with the data if all die at once.
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    # The workers import what this process can import, and are as silent.
    with _environment(PYTHONPATH=os.pathsep.join(filter(None, sys.path)), DASK_LOGGING__DISTRIBUTED="critical"):
        return SpecCluster(workers=specs, scheduler=scheduler, silence_logs=logging.CRITICAL)  # pyright: ignore[reportArgumentType]


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _gpus() -> list[str]:
    """The GPUs of this machine, told without a backend, which would take hold of them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu for gpu in visible.split(",") if gpu and gpu != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    return [str(index) for index in range(len(lines))] if listed.returncode == 0 else []


def _check_can_be_sent(fit: tuple[Sequence[Any], Mapping[str, Any]]) -> None:
    import cloudpickle

    for name, value in [*enumerate(fit[0]), *fit[1].items()]:
        if type(value).__module__.startswith("numpy"):
            continue
        try:
            cloudpickle.dumps(value)
        except Exception as error:
            raise ValueError(
                f"Workers are other processes, and {name!r} cannot be sent to them. Received: {type(value).__name__} "
                f"({type(error).__name__}). Expected arrays, or a `keras.utils.PyDataset` that reads its own data."
            ) from error
