from __future__ import annotations

import inspect
import json
import subprocess
import sys
import textwrap
import weakref
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from eager_search import HPS, TRAIN, VALIDATION, X, Y, build, compiled, same, search
from rich.console import Console

import kregtools
from kregtools.tuning import TuningResult, tune


@pytest.fixture(scope="module")
def reference() -> TuningResult:
    return search()


def test_public_name_is_the_function() -> None:
    assert kregtools.tune is tune is kregtools.tuning.tune
    assert inspect.isfunction(tune)


def test_every_trial_completes(reference: TuningResult) -> None:
    assert [t.status for t in reference.tuner.oracle.trials.values()] == ["COMPLETED"] * 3
    frame = reference.frame()
    assert frame["trial"].tolist() == [0, 1, 2]
    assert frame["status"].tolist() == ["completed"] * 3
    assert {*HPS, "best_epoch", "epochs", "seconds", "val_loss", "val_accuracy"} <= set(frame.columns)
    assert frame["best_epoch"].between(1, frame["epochs"]).all()
    assert (frame["seconds"] > 0).all()
    assert len(frame.drop_duplicates(HPS)) == 3
    assert frame["phase"].tolist() == ["default", "guided", "guided"]
    assert (frame[["verdict", "reason", "why"]].map(len) > 0).all(axis=None)


def test_first_trial_is_the_defaults(reference: TuningResult) -> None:
    assert reference.frame().loc[0, HPS].tolist() == [1e-3, 1e-2]


def test_best_model_achieves_what_the_frame_says(reference: TuningResult) -> None:
    frame = reference.frame()
    best = frame.loc[frame["val_accuracy"].idxmax()]
    scores = reference.best_model().evaluate(*VALIDATION, verbose=0, return_dict=True)
    assert scores["accuracy"] == pytest.approx(best["val_accuracy"])
    assert scores["loss"] == pytest.approx(best["val_loss"], rel=1e-5)
    assert reference.best_hyperparameters.values == best[HPS].to_dict()


def test_seed_zero_is_a_seed(reference: TuningResult) -> None:
    same(search(seed=0), reference)


def test_training_too_is_seeded_apart_in_every_trial() -> None:
    result = search(lambda hp: (hp.Choice("unused", [1, 2, 3, 4]), build_fixed(hp))[1])
    assert result.frame()["val_loss"].nunique() == 3


def build_fixed(hp: keras_tuner.HyperParameters) -> keras.Model:
    return compiled(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")]))


def build_diverging(hp: keras_tuner.HyperParameters, healthy: int = 0) -> keras.Model:
    scale = 1.0 if hp.Int("index", 0, 10**6, default=0) == healthy else np.nan
    layers = [keras.Input((4,)), keras.layers.Rescaling(scale), keras.layers.Dense(1, "sigmoid")]
    return compiled(keras.Sequential(layers))


def test_diverged_trials_are_scored_last_and_end_nothing() -> None:
    result = search(build_diverging, trials=4)
    frame = result.frame()
    assert frame["status"].tolist() == ["completed", *["diverged"] * 3]
    assert frame["val_loss"].isna().tolist() == [False, *[True] * 3]
    assert result.best_hyperparameters.values == {"index": 0}
    assert "FAILED" not in {t.status for t in result.tuner.oracle.trials.values()}
    assert "diverged" in repr(result)


def test_a_search_without_a_finite_loss_has_no_best() -> None:
    result = search(lambda hp: build_diverging(hp, healthy=-1), trials=2)
    with pytest.raises(ValueError, match=r"No trial ended with a finite loss\. Received: 2 trials"):
        result.best_model()
    assert result.frame()["status"].tolist() == ["diverged"] * 2


def test_a_metric_that_is_no_number_fails_no_trial() -> None:
    def nowhere(y_true: Any, y_pred: Any) -> Any:
        return 0.0 * keras.ops.mean(y_pred) + np.nan

    def odd(hp: keras_tuner.HyperParameters) -> keras.Model:
        return compiled(build_fixed(hp), metrics=("accuracy", nowhere))

    assert search(odd, trials=1).frame()["status"].tolist() == ["completed"]
    objective = keras_tuner.Objective("val_nowhere", "max")
    assert search(odd, trials=1, objective=objective).frame()["status"].tolist() == ["diverged"]


def test_early_stopping_keeps_the_best_epoch() -> None:
    result = search(lambda hp: build_at(hp, rate=3.0), trials=1, epochs=30, patience=2)
    frame = result.frame()
    assert frame.loc[0, "epochs"] < 30
    assert frame.loc[0, "epochs"] == frame.loc[0, "best_epoch"] + 2
    kept = result.best_model().evaluate(*VALIDATION, verbose=0)
    assert kept[0] == pytest.approx(frame.loc[0, "val_loss"], rel=1e-5)


def build_at(hp: keras_tuner.HyperParameters, rate: float) -> keras.Model:
    return compiled(keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")]), hp.Fixed("rate", rate))


def test_an_exhausted_space_ends_the_search_early() -> None:
    assert len(search(lambda hp: build_at(hp, rate=0.1), trials=3).frame()) == 1


INTERRUPTED = """
import os, signal, sys
sys.path.insert(0, {here!r})
import keras
from test_tune import search

signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background of a shell ignores it
begun = 0

class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        global begun
        begun += 1
        if begun == {epoch}:
            os.kill(os.getpid(), signal.{signal})

search(directory={directory!r}, callbacks=[Interrupt()])
"""


@pytest.mark.parametrize(
    ("signal", "epoch", "finished"), [pytest.param("SIGINT", 2, 0, marks=pytest.mark.slow), ("SIGKILL", 5, 1)]
)
def test_an_interrupted_search_goes_on_where_it_stopped(
    signal: str, epoch: int, finished: int, tmp_path: Path, reference: TuningResult
) -> None:
    directory = tmp_path / "search"
    code = INTERRUPTED.format(here=str(Path(__file__).parent), signal=signal, epoch=epoch, directory=str(directory))
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert "KeyboardInterrupt" in process.stderr if signal == "SIGINT" else process.returncode == -9
    kept = {path: path.read_bytes() for path in sorted(directory.glob("trial_*/result.json"))}
    assert len(kept) == finished

    resumed = search(directory=directory)
    same(resumed, reference)
    assert {path: path.read_bytes() for path in kept} == kept
    assert [t.status for t in resumed.tuner.oracle.trials.values()] == ["COMPLETED"] * 3


def test_a_stop_between_two_files_loses_no_trial(tmp_path: Path, reference: TuningResult) -> None:
    search(trials=1, directory=tmp_path)
    before = (tmp_path / "oracle.json").read_bytes()
    search(trials=2, directory=tmp_path)
    trial = json.loads((tmp_path / "trial_1" / "trial.json").read_text())
    (tmp_path / "trial_1" / "trial.json").write_text(json.dumps({**trial, "status": "RUNNING"}))
    (tmp_path / "oracle.json").write_bytes(before)
    same(search(directory=tmp_path), reference)


def test_more_trials_add_to_a_finished_search(tmp_path: Path, reference: TuningResult) -> None:
    first = search(trials=2, directory=tmp_path)
    more = search(directory=tmp_path)
    same(more, reference)
    assert more.frame()["seconds"].tolist()[:2] == first.frame()["seconds"].tolist()
    assert more.directory == tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a search that has ended, and that other searches are refused to change."""
    directory = tmp_path_factory.mktemp("finished")
    search(trials=1, directory=directory)
    return directory


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"seed": 1}, r"differs from this one in seed\. Received: seed: there 0, here 1\."),
        ({"hypermodel": build_fixed}, "in hypermodel, space"),
        ({"epochs": 4}, "epochs: there 3, here 4"),
        ({"objective": "val_loss"}, "in objective"),
    ],
)
def test_the_directory_of_another_search_is_refused(changed: dict[str, Any], complaint: str, finished: Path) -> None:
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=complaint) as caught:
        search(**{"trials": 1, "directory": finished, **changed})
    assert "Expected the same arguments, to resume it, or another directory" in str(caught.value)
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


def test_other_data_are_another_search(finished: Path) -> None:
    with pytest.raises(ValueError, match="differs from this one in data"):
        tune(build, (X[:64], 1 - Y[:64]), VALIDATION, trials=1, epochs=3, batch_size=32, directory=finished)


def test_a_foreign_search_is_refused(tmp_path: Path) -> None:
    (tmp_path / "oracle.json").write_text("{}")
    with pytest.raises(ValueError, match=r"a KerasTuner search that kregtools\.tune did not start"):
        search(directory=tmp_path)


def test_an_unreported_objective_lists_what_there_is() -> None:
    with pytest.raises(
        ValueError, match=r"needs val_accuracy, which training does not report.*Available: loss, val_loss"
    ):
        search(lambda hp: compiled(build_fixed(hp), metrics=()), trials=1)


class Break(keras.callbacks.Callback):
    """Raises in one trial, told by its learning rate."""

    def __init__(self, error: Exception, rate: float | None) -> None:
        super().__init__()
        self.error, self.rate = error, rate

    def on_train_begin(self, logs: Any = None) -> None:
        if (self.rate is None) == (abs(float(self.model.optimizer.learning_rate) - 1e-2) > 1e-6):
            raise self.error


@pytest.mark.parametrize("error", [
    OSError(28, "No space left on device"),
    pytest.param(MemoryError("too large"), marks=pytest.mark.slow),
    pytest.param(ValueError("a pool of 7 on 4 rows"), marks=pytest.mark.slow),
])  # fmt: skip
def test_an_error_in_a_trial_is_put_down_and_the_search_goes_on(error: Exception, tmp_path: Path) -> None:
    result = search(directory=tmp_path, callbacks=[Break(error, None)])
    frame = result.frame()
    assert frame["status"].tolist()[0] == "completed"
    failed = frame[frame["status"] == "failed"]
    assert len(frame) == 3 and len(failed) >= 1
    assert failed["reason"].str.contains(str(error.args[-1])).all()
    assert result.best_hyperparameters.values["learning_rate"] == 1e-2
    assert len(search(directory=tmp_path, callbacks=[Break(error, None)]).frame()) == 3


def test_an_error_in_the_first_trial_is_one_of_the_code_and_is_raised(tmp_path: Path) -> None:
    broken = [Break(ValueError("shapes differ"), 1e-2)]
    with pytest.raises(keras_tuner.errors.FatalError, match=r"Trial 0 failed\. Received: ValueError: shapes differ"):
        search(directory=tmp_path, callbacks=broken)
    assert search(directory=tmp_path).frame()["status"].tolist() == ["completed"] * 3


def test_a_rejected_trial_is_passed_over() -> None:
    def picky(hp: keras_tuner.HyperParameters) -> keras.Model:
        if hp.Int("index", 0, 10**6, default=0) != 0 and hp.Boolean("strict", default=True):
            raise keras_tuner.errors.FailedTrialError("too large")
        return build_fixed(hp)

    result = search(picky, trials=6)
    assert set(result.frame()["status"]) == {"completed", "rejected"}
    assert len(result.frame()) == 6
    assert result.best_model() is not None


def test_memory_of_a_trial_is_released_before_the_next() -> None:
    models: list[weakref.ref[keras.Model]] = []
    alive: list[int] = []

    def watched(hp: keras_tuner.HyperParameters) -> keras.Model:
        alive.append(sum(ref() is not None for ref in models))
        model = build(hp)
        models.append(weakref.ref(model))
        return model

    search(watched)
    assert max(alive[2:]) <= 1


def test_the_dtype_policy_survives() -> None:
    policies: list[str] = []

    def watched(hp: keras_tuner.HyperParameters) -> keras.Model:
        policies.append(keras.config.dtype_policy().name)
        return build_fixed(hp)

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        search(watched, trials=1)
        assert set(policies) == {keras.config.dtype_policy().name} == {"mixed_bfloat16"}
    finally:
        keras.config.set_dtype_policy(before)


def test_each_trial_gets_its_own_copy_of_a_callback(tmp_path: Path) -> None:
    class Count(keras.callbacks.Callback):
        seen = 0

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.seen += 1
            with (tmp_path / "seen").open("a") as file:
                file.write(f"{self.seen} ")

    count = Count()
    search(build, trials=2, callbacks=[count])
    assert count.seen == 0
    assert (tmp_path / "seen").read_text() == "1 2 3 1 2 3 "


def test_datasets_of_keras_will_do() -> None:
    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> Any:
            return X[index * 32 : index * 32 + 32], Y[index * 32 : index * 32 + 32]

    result = tune(build, Batches(), VALIDATION, trials=1, epochs=2, verbose=0)
    assert result.frame()["status"].tolist() == ["completed"]


def test_an_unbuilt_model_is_loaded_back() -> None:
    result = search(lambda hp: compiled(keras.Sequential([keras.layers.Dense(1, "sigmoid")])), trials=1)
    scores = result.best_model().evaluate(*VALIDATION, verbose=0)
    assert scores[0] == pytest.approx(result.frame().loc[0, "val_loss"], rel=1e-5)


def test_verbose_prints_a_line_a_trial(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    search(trials=1, directory=tmp_path)
    search(oracle=keras_tuner.oracles.RandomSearchOracle("val_accuracy", 1))
    assert capsys.readouterr().out == ""
    search(directory=tmp_path, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["trial 1", "trial 2"]
    assert "val_accuracy 0." in lines[0] and "learning_rate=" in lines[0]


def test_the_table_ranks_the_trials(reference: TuningResult) -> None:
    console = Console(width=140)
    with console.capture() as captured:
        console.print(reference)
    below_the_rule = captured.get().split("─")[-1].splitlines()
    rows = [line.split()[0] for line in below_the_rule if line.strip()]
    ranked = reference.frame().sort_values("val_accuracy", ascending=False, kind="stable")["trial"]
    assert rows == [str(trial) for trial in ranked]
    assert repr(reference) == captured.get()


def test_a_temporary_search_goes_with_its_result() -> None:
    result = search(trials=1)
    directory = result.directory
    assert directory.exists()
    del result
    assert not directory.exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"trials": 0}, r"`trials` must be an integer from 1 on\. Received: trials=0"),
        ({"seed": -1}, r"`seed` must be an integer from 0 on\. Received: seed=-1"),
        ({"epochs": 1.5}, "`epochs` must be an integer"),
        ({"patience": 0}, "`patience` must be an integer"),
    ],
)
def test_arguments_out_of_range_are_named(arguments: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        search(**arguments)


def test_data_for_one_trial_only_are_refused() -> None:
    with pytest.raises(ValueError, match=r"`train` must hold data for every trial.*Received: train of type generator"):
        tune(build, ((X, Y) for _ in range(2)), VALIDATION)
    with pytest.raises(ValueError, match=r"`validation` must hold data.*Received: validation of type NoneType"):
        tune(build, TRAIN, None)
