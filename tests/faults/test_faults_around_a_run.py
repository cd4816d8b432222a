"""What can go wrong around a run: the record suffers, the run does not."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import kregtools
from kregtools.callbacks import FitDiagnosis, HealthMonitor
from kregtools.errors import KregtoolsWarning

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 8)).astype("float32")
Y = X.sum(axis=1)
EPOCHS = 5


def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def fit(*callbacks: keras.callbacks.Callback, model: keras.Model | None = None, **settings: Any) -> list[np.ndarray]:
    """Trains and returns the weights."""
    model = model or network()
    model.fit(X, Y, batch_size=16, verbose=0, callbacks=list(callbacks), **{"epochs": EPOCHS, **settings})
    return model.get_weights()


class At(keras.callbacks.Callback):
    """Does something at the beginning of an epoch, or at its end."""

    def __init__(self, epoch: int, what: Any, end: bool = False) -> None:
        super().__init__()
        self.epoch, self.what, self.end = epoch, what, end

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch and not self.end:
            self.what()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch and self.end:
            self.what()


@pytest.fixture(scope="module")
def unwatched() -> list[np.ndarray]:
    return fit()


def same(weights: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return all(np.array_equal(one, other) for one, other in zip(weights, others, strict=True))


def watched(monitor: FitDiagnosis, *callbacks: keras.callbacks.Callback, expected: str) -> list[np.ndarray]:
    """Trains under the monitor; one warning of ours comes, and it matches."""
    with pytest.warns(KregtoolsWarning, match=expected) as warned:
        weights = fit(monitor, *callbacks)
    assert len([w for w in warned if issubclass(w.category, KregtoolsWarning)]) == 1
    assert len(monitor.record.logs) == EPOCHS
    return weights


# ---- the disk


def test_a_directory_that_vanishes_is_one_warning_and_the_run_goes_on(tmp_path, unwatched):
    monitor = HealthMonitor(directory=tmp_path / "run", verbose=0)
    gone = At(2, lambda: shutil.rmtree(tmp_path / "run"))
    assert same(watched(monitor, gone, expected="cannot be written .* goes on in memory"), unwatched)


def test_a_directory_that_cannot_be_made_is_one_warning_and_the_run_goes_on(tmp_path, unwatched):
    (tmp_path / "file").write_text("in the way")
    monitor = HealthMonitor(directory=tmp_path / "file" / "run", verbose=0)
    assert same(watched(monitor, expected="cannot be written .* goes on in memory"), unwatched)


def test_no_free_file_handle_is_one_warning_and_the_run_goes_on(tmp_path, unwatched):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[Any] = []

    def exhaust() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 4, limits[1]))
        try:
            while True:
                held.append(open(os.devnull))  # noqa: SIM115
        except OSError:
            pass

    def release() -> None:
        while held:
            held.pop().close()
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    # TensorFlow itself opens a file in its steps, and aborts where it cannot: the handles are gone between them.
    monitor = HealthMonitor(directory=tmp_path / "run", verbose=0)
    expected = "Too many open files.* goes on in memory"
    try:
        with pytest.warns(KregtoolsWarning, match=expected) as warned:
            weights = fit(At(2, exhaust, end=True), monitor, At(2, release, end=True))
    finally:
        release()
    assert len(warned) == 1 and same(weights, unwatched)
    assert len(monitor.record.logs) == EPOCHS
    assert len(kregtools.load(tmp_path / "run").record.logs) == 2


def test_two_runs_in_one_directory_do_not_mix(tmp_path, unwatched):
    other = HealthMonitor(directory=tmp_path, verbose=0, resume=True)
    monitor = HealthMonitor(directory=tmp_path, verbose=0, resume=True)
    intruder = At(2, lambda: fit(other))
    assert same(watched(monitor, intruder, expected="another process writes to it"), unwatched)
    assert len(kregtools.load(tmp_path).record.logs) == EPOCHS


def test_a_directory_that_another_run_took_meanwhile_is_one_warning(tmp_path, unwatched):
    monitor, other = (HealthMonitor(directory=tmp_path, verbose=0) for _ in range(2))
    fit(other)
    assert same(watched(monitor, expected="cannot be written .*File exists"), unwatched)


# ---- the process


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:.*fork.*:RuntimeWarning")
def test_a_fork_in_the_middle_of_a_run_leaves_the_record_alone(tmp_path, unwatched):
    def fork() -> None:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    with warnings.catch_warnings():
        warnings.simplefilter("error", KregtoolsWarning)
        weights = fit(HealthMonitor(directory=tmp_path, verbose=0), At(2, fork))
    assert same(weights, unwatched)
    assert len(kregtools.load(tmp_path).record.logs) == EPOCHS


def test_a_clock_that_jumps_changes_nothing(monkeypatch, unwatched):
    clock, jumps = time.time, iter([0, -(10**6), 10**6, 0, -(10**9)] * 1000)
    monkeypatch.setattr(time, "time", lambda: clock() + next(jumps))
    monitor = HealthMonitor(verbose=0)
    assert same(fit(monitor), unwatched)
    assert 0 <= monitor.overhead < np.inf


def test_the_environment_is_left_as_it_was(tmp_path, unwatched):
    before = (dict(os.environ), os.getcwd(), np.random.get_state()[1].tolist())
    np.random.seed(3)
    expected = np.random.get_state()[1].tolist()
    model = network()
    np.random.seed(3)
    fit(HealthMonitor(directory=tmp_path, verbose=0), model=model, shuffle=False)
    assert np.random.get_state()[1].tolist() == expected
    assert (dict(os.environ), os.getcwd()) == before[:2]


# ---- a run that is gone on with


class Interrupt(At):
    def __init__(self, epoch: int) -> None:
        super().__init__(epoch, self._stop)

    def _stop(self) -> None:
        raise KeyboardInterrupt


def restored(tmp_path: Path) -> keras.callbacks.Callback:
    return keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))


def test_after_backup_and_restore_the_record_is_whole(tmp_path, unwatched):
    with pytest.raises(KeyboardInterrupt):
        fit(HealthMonitor(directory=tmp_path / "run", verbose=0, resume=True), restored(tmp_path), Interrupt(3))
    monitor = HealthMonitor(directory=tmp_path / "run", verbose=0, resume=True)
    fit(monitor, restored(tmp_path))
    for record in (monitor.record, kregtools.load(tmp_path / "run").record):
        assert record.epochs.tolist() == list(range(EPOCHS))
        assert np.all(np.diff(record.steps) > 0) and record.steps[-1] >= 16
    run = kregtools.load(tmp_path / "run")
    assert run.record.frame().equals(monitor.record.frame()) and run.diagnosis == monitor.diagnosis


@pytest.mark.parametrize("kind", [HealthMonitor, pytest.param(FitDiagnosis, marks=pytest.mark.slow)])
def test_a_fit_from_a_later_epoch_goes_on_with_the_record(kind, tmp_path):
    monitor, model = kind(directory=tmp_path, verbose=0), network()
    fit(monitor, model=model, epochs=3)
    fit(monitor, model=model, initial_epoch=3, epochs=5)
    for record in (monitor.record, kregtools.load(tmp_path).record):
        assert record.epochs.tolist() == [0, 1, 2, 3, 4]
    fit(monitor, model=model, initial_epoch=4, epochs=6)
    for record in (monitor.record, kregtools.load(tmp_path).record):
        assert record.epochs.tolist() == [0, 1, 2, 3, 4, 5]
    fit(monitor, model=model, epochs=2)
    for record in (monitor.record, kregtools.load(tmp_path).record):
        assert record.epochs.tolist() == [0, 1]


def test_a_damaged_record_is_one_warning_and_the_run_goes_on(tmp_path, unwatched):
    (tmp_path / "record.jsonl").write_bytes(b'{"schema": 2}\ngarbage\n{"fit": {}}\n')
    monitor = HealthMonitor(directory=tmp_path, verbose=0, resume=True)
    assert same(watched(monitor, expected="is damaged: line 2 .* goes on in memory"), unwatched)
    assert (tmp_path / "record.jsonl").read_bytes().count(b"\n") == 3


# ---- names

NAMES = ["<script>alert(1)</script>", "{{ 7*7 }}", "naïve λ 层", "a#2", 'quo"te', "%s%n", "../../etc", "x" * 500]


def test_hostile_names_of_metrics_are_names_and_nothing_else(tmp_path):
    model = network()
    model.compile("sgd", "mse", metrics=[keras.metrics.MeanAbsoluteError(name=name) for name in NAMES[:3]])
    monitor = HealthMonitor(directory=tmp_path / "run", verbose=0)
    fit(monitor, model=model, epochs=2)
    run = kregtools.load(tmp_path / "run")
    for name in NAMES[:3]:
        assert np.isfinite(run.record.log(name)).all(), name
    assert "<script>alert(1)" not in run.report(tmp_path / "run.html").read_text()
    assert str(run.diagnosis)


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_of_a_layer_is_a_name_and_nothing_else(name, tmp_path):
    """TensorFlow refuses most of these; other backends do not."""
    series = {
        (name, "kernel", "gradient_rms"): [1e-1, 1e-12, 1e-12, 1e-12, 1e-12],
        (name, "activation", "std"): [1.0] * 5,
    }
    record = kregtools.record.example(
        logs={"loss": [0.7] * 5, name: [0.5] * 5},
        series=series,
        facts={"layers": [{"name": name, "class": name, "activation": "relu", "weights": ["kernel"]}]},
    )
    record.save(tmp_path / "run")
    run = kregtools.load(tmp_path / "run")
    assert run.record.frame().equals(record.frame())
    assert "<script>alert(1)" not in run.report(tmp_path / "run.html").read_text()
    assert str(run.diagnosis)
