"""What a search keeps, learns and says, on made outcomes or on trials of one epoch."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
from small_search import FIT, X, Y

from kregtools.tuning import GuidedOracle, Tuner, TuningResult, training, tune
from kregtools.tuning import tuner as tuner_module

TRAIN, VALIDATION = (FIT["x"], FIT["y"]), FIT["validation_data"]


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    return compiled(hp.Float("learning_rate", 1e-3, 1e-1, sampling="log", default=1e-2))


def compiled(rate: float) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.SGD(rate), "binary_crossentropy", metrics=["accuracy"], run_eagerly=True)
    return model


def search(hypermodel: Any = build, **arguments: Any) -> TuningResult:
    return tune(hypermodel, TRAIN, VALIDATION, **{"epochs": 1, "trials": 1, "verbose": 0, **arguments})


# ---- what is kept


class AtRandom(GuidedOracle):
    def _guided(self, number: int, known: list[Any]) -> None:
        return None

    def _sampled(self, number: int, known: list[Any]) -> None:
        return None


def scored(monkeypatch: pytest.MonkeyPatch, scores: Iterable[float]) -> None:
    """Trials that end at once with these scores."""
    left = iter(scores)

    def run(task: training.Trial, directory: Path, fit: Any, progress: Any) -> dict[str, Any]:
        score = next(left)
        (directory / training.WEIGHTS).write_bytes(b"weights")
        return {
            "diverged": False, "epochs": 1, "best_epoch": 1, "verdict": "balanced", "reason": "made", "speed": 0.0,
            "regularization": 0.0, "hyperparameters": task.hyperparameters,
            "metrics": {"val_accuracy": score, "val_loss": 1 - score},
            "history": {"val_accuracy": [score], "val_loss": [1 - score]}, "seconds": 0.0,
        }  # fmt: skip

    monkeypatch.setattr(training, "run", run)
    monkeypatch.setattr(Tuner, "load_model", lambda self, trial: trial.trial_id)


FIRST = [0.5, 0.6, 0.55, 0.95, 0.945, 0.94, 0.52, 0.51, 0.53]


def ended(directory: Path, trials: int = 12, **arguments: Any) -> TuningResult:
    tuner = Tuner(AtRandom(max_trials=trials), build, directory, **arguments)
    tuner.search(*TRAIN, validation_data=VALIDATION, epochs=1)
    return TuningResult(tuner)


@pytest.mark.parametrize(
    ("keep", "scores", "best", "kept"),
    [
        (1, [*FIRST, 0.93, 0.944, 0.90], "04", {"04"}),  # the second overtakes the first when both are repeated
        (3, [*FIRST, 0.90, 0.90, 0.939], "05", {"05", "11", "03"}),
        # All that were repeated fall behind what was not.
        (1, [0.5, 0.6, 0.949, 0.95, 0.95, 0.95, 0.5, 0.5, 0.5, 0.9, 0.9, 0.9], "02", {"02"}),
    ],
)
def test_the_best_by_its_repeats_has_kept_its_weights(
    keep: int, scores: list[float], best: str, kept: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, scores)
    result = ended(tmp_path, keep=keep)
    assert result.found and result.best_id == best
    assert {path.parent.name.removeprefix("trial_") for path in tmp_path.glob("trial_*/*.h5")} == kept
    assert result.tuner.get_best_models(2)[0] == best


def test_more_trials_can_beat_what_was_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored(monkeypatch, [*FIRST, 0.93, 0.93, 0.93, 0.7, 0.99, 0.71])
    ended(tmp_path)
    result = ended(tmp_path, trials=30, total_epochs=15)
    assert result.best_row()["val_accuracy"] == 0.99 and len(result.frame()) == 15


def test_a_new_tuner_knows_what_its_directory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scored(monkeypatch, FIRST)
    first = ended(tmp_path, trials=4)
    again = Tuner(AtRandom(max_trials=4), build, tmp_path)
    assert again.get_best_hyperparameters()[0].values == first.best_hyperparameters.values
    assert again.get_best_models() == [first.best_id]
    assert Tuner(AtRandom(max_trials=4), build, tmp_path, seed=1).oracle.trials == {}


# ---- the disk


def test_a_disk_full_of_outcomes_stops_the_search_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, FIRST)
    write, results = tuner_module.write_json, []

    def full(path: Path, content: Any) -> None:
        results.extend([path] if path.name == "result.json" else [])
        if len(results) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    monkeypatch.setattr(tuner_module, "write_json", full)
    with pytest.raises(
        OSError, match=r"The disk is full, and the search stops\. Received: .*No space left on device.*"
    ):
        ended(tmp_path, trials=3)
    monkeypatch.setattr(tuner_module, "write_json", write)
    assert ended(tmp_path, trials=3).frame()["val_accuracy"].tolist() == [0.5, 0.55, 0.95]


def test_weights_are_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, path = compiled(0.1), tmp_path / training.WEIGHTS
    model(X[:1])
    training._save_weights(model, path)
    kept = path.read_bytes()
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(OSError, match=r"No space left on device for weights of 0\.0 MB"):
        training._save_weights(model, path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    def partly(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", partly)
    with pytest.raises(OSError, match="No space left on device"):
        training._save_weights(model, path)
    assert path.read_bytes() == kept and [p.name for p in tmp_path.iterdir()] == [path.name]


# ---- what a trial asks for and reports


def test_hyperparameters_found_on_the_way_are_searched(tmp_path: Path) -> None:
    def found(hp: keras_tuner.HyperParameters) -> keras.Model:
        rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log", default=1e-2)
        if hp.Boolean("deep", default=True):
            hp.Int("second_units", 4, 64, default=8)
        return compiled(rate)

    class Batches(keras_tuner.HyperModel):
        def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
            return found(hp)

        def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
            return model.fit(*args, batch_size=hp.Choice("batch", [16, 32, 64], default=32), **kwargs)

    frame = search(Batches(), trials=5, directory=tmp_path).frame()
    assert frame.loc[0, ["second_units", "batch"]].tolist() == [8, 32]
    assert frame["second_units"].nunique() > 1 or frame["batch"].nunique() > 1
    more = search(Batches(), trials=8, directory=tmp_path)
    assert more.frame()["batch"].nunique() > 1 and len(more.frame()) == 8
    assert set(more.best_hyperparameters.values) >= {"batch", "learning_rate"}
    # KerasTuner's own loop, as in its workers.
    tuner = Tuner(GuidedOracle(max_trials=1), Batches(), tmp_path / "loop")
    trial = tuner.oracle.create_trial("tuner0")
    tuner.run_trial(trial, *TRAIN, validation_data=VALIDATION, epochs=1)
    assert trial.hyperparameters.values["batch"] == 32


class EverySecond(keras.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch % 2:
            logs["extra"] = float(epoch)


def test_logs_that_are_not_in_every_epoch_keep_their_place() -> None:
    result = search(epochs=4, callbacks=[EverySecond()])
    kept = result.tuner.result_of("0")
    assert kept["history"]["extra"] == [None, 1.0, None, 3.0]
    assert kept["metrics"]["extra"] == 3.0 if kept["best_epoch"] == 4 else True
    assert result.frame()["status"].tolist() == ["completed"]


@pytest.mark.filterwarnings("ignore:Early stopping conditioned on metric")
def test_validation_need_not_be_in_every_epoch(tmp_path: Path) -> None:
    tuner = Tuner(GuidedOracle(max_trials=1), build, tmp_path)
    tuner.search(*TRAIN, validation_data=VALIDATION, epochs=4, validation_freq=2, callbacks=None)
    kept = tuner.result_of("0")
    assert not kept["diverged"] and kept["best_epoch"] in (2, 4)
    assert [value is None for value in kept["history"]["val_loss"]] == [True, False, True, False]


def test_several_objectives_are_one_sum() -> None:
    objective = [keras_tuner.Objective("val_loss", "min"), "val_accuracy"]
    row = search(objective=objective, trials=2).frame().iloc[0]
    assert row["multi_objective"] == pytest.approx(row["val_loss"] - row["val_accuracy"])
    with pytest.raises(ValueError, match=r"The search needs val_auc, which training does not report\. Available: "):
        search(objective=["val_accuracy", keras_tuner.Objective("val_auc", "max")])


def test_a_fit_that_returns_no_history_is_told() -> None:
    class Scores(keras_tuner.HyperModel):
        def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
            return build(hp)

        def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
            return {"val_accuracy": 0.5}

    with pytest.raises(ValueError, match=r"`Scores.fit` must return what `model.fit` returns\. Received: \{'val_acc"):
        search(Scores())


class OutOfMemoryError(RuntimeError):
    """As PyTorch calls its own."""


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("CUDA: tried to allocate 20 GiB"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
)
def test_a_first_trial_that_is_too_large_ends_no_search(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(*_: Any) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(training, "run", too_large)
    assert search(trials=2).frame()["status"].tolist() == ["failed"] * 2


def test_hyperband_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Hyperband goes on with trials.*Received: oracle=HyperbandOracle"):
        Tuner(keras_tuner.oracles.HyperbandOracle("val_accuracy"), build, tmp_path)


def test_tensorboard_has_a_directory_for_each_trial(tmp_path: Path) -> None:
    made = training.own_callbacks([keras.callbacks.TensorBoard(str(tmp_path))], "trial_3")
    assert made[0].log_dir == str(tmp_path / "trial_3")


def test_hyperparameters_called_like_a_column_have_columns_of_their_own() -> None:
    def odd(hp: keras_tuner.HyperParameters) -> keras.Model:
        hp.Int("epochs", 7, 9, default=7)
        hp.Choice("loss", ["a", "b"])
        return build(hp)

    result = search(odd, trials=2)
    assert result.frame().loc[0, ["hp/epochs", "hp/loss", "epochs"]].tolist() == [7, "a", 1]
    assert np.isfinite(result.frame()["loss"]).all() and "hp/epochs" in repr(result)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [({"class_weight": {0: 1.0, 1: 9.0}}, "in fit"), ({"steps_per_epoch": 1}, "in fit")],
)
def test_other_arguments_of_fit_are_another_search(
    changed: dict[str, Any], complaint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored(monkeypatch, FIRST)
    ended(tmp_path, trials=1)
    with pytest.raises(ValueError, match=f"differs from this one {complaint}"):
        Tuner(AtRandom(max_trials=1), build, tmp_path).search(
            X[:64], Y[:64], validation_data=VALIDATION, epochs=1, **changed
        )
