from __future__ import annotations

import copy
import io
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from keras_tuner import Objective
from rich.console import Console
from small_search import FIT, X, Y, build

import kregtools
from kregtools.cli import main
from kregtools.errors import KregtoolsWarning
from kregtools.tuning import TuningResult
from kregtools.tuning.display import Display, gap
from kregtools.tuning.report import parallel_coordinates

TEST = (X[:32], Y[:32])


def search(directory: Path, **arguments: Any) -> TuningResult:
    return kregtools.tune(
        build, (FIT["x"], FIT["y"]), FIT["validation_data"], epochs=2, directory=directory, verbose=0, **arguments
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> TuningResult:
    return search(tmp_path_factory.mktemp("exports") / "search", trials=5, test=TEST, keep=2)


def test_the_best_model_stands_alone(result: TuningResult) -> None:
    model = keras.models.load_model(result.directory / "best_model.keras")
    config = json.loads((result.directory / "best_config.json").read_text())
    scores = model.evaluate(*FIT["validation_data"], verbose=0, return_dict=True)
    assert scores["accuracy"] == pytest.approx(config["score"])
    assert config["hyperparameters"] == result.best_hyperparameters.values
    assert config["test"] == {"trial": config["trial"], "scores": result.test}
    assert result.test == pytest.approx(model.evaluate(*TEST, verbose=0, return_dict=True))


def test_the_test_data_are_used_once(result: TuningResult, recwarn: pytest.WarningsRecorder) -> None:
    before = (result.directory / "test.json").read_bytes()
    again = search(result.directory, trials=5, test=(X[:8], 1 - Y[:8]), keep=2)
    assert (result.directory / "test.json").read_bytes() == before
    assert again.test == result.test
    assert "The test data differ from those of the first call. The scores are those on the first." in told(recwarn)


def test_test_data_may_have_weights_and_what_fails_costs_no_result(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    weighted = (*TEST, np.linspace(0, 1, 32).astype("float32"))
    found = search(tmp_path / "weighted", trials=1, test=weighted)
    scores = found.best_model().evaluate(*TEST, sample_weight=weighted[2], verbose=0, return_dict=True)
    assert found.test == pytest.approx(scores)
    assert search(tmp_path / "wrong", trials=1, test=(X[:, :2], Y)).test is None
    assert "test.json could not be written (" in told(recwarn)
    assert (tmp_path / "wrong" / "best_model.keras").exists()


def told(caught: pytest.WarningsRecorder) -> str:
    # `pytest.warns` hands on the deprecations that KerasTuner meets, and they are errors here.
    return " ".join(str(w.message) for w in caught if w.category is KregtoolsWarning)


def test_another_best_trial_is_not_tested_on_the_same_data(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    first = search(tmp_path, trials=1, test=TEST)
    kept = json.loads((tmp_path / "test.json").read_text())
    (tmp_path / "test.json").write_text(json.dumps({**kept, "hyperparameters": {"l2": 1}}))
    assert search(tmp_path, trials=1, test=TEST).test == first.test
    assert json.loads((tmp_path / "best_config.json").read_text())["test"]["trial"] == kept["trial"]
    assert "The test data were used already, on trial 0; the best trial is now 0." in told(recwarn)


def test_only_the_best_trials_keep_their_weights(result: TuningResult) -> None:
    kept = {path.parent.name for path in result.directory.glob("trial_*/checkpoint.weights.h5")}
    assert kept == {f"trial_{t.trial_id}" for t in result.tuner.oracle.get_best_trials(2)}
    assert len(list(result.directory.glob("trial_*/result.json"))) == 5


def test_every_trial_keeps_its_record_and_its_times(result: TuningResult) -> None:
    for directory in result.directory.glob("trial_*"):
        found = json.loads((directory / "result.json").read_text())
        assert found["seconds"] > found["seconds_building"] > 0 and found["parameters"] == 49
        run = kregtools.load(directory / "record")
        assert run.record.log("val_loss").tolist() == pytest.approx(found["history"]["val_loss"])
        assert run.diagnosis.verdict == found["diagnosis"]


def test_the_report_is_one_page_that_says_why(result: TuningResult) -> None:
    text = (result.directory / "report.html").read_text()
    assert not re.search(r"(src|href)=[\"']?https?:", text)
    assert text.count("<svg") == 4
    for row in result.frame().to_dict("records"):
        assert row["why"].split(":")[0] in text and row["verdict"] in text
    assert "trials.csv" not in text and f"{result.test['accuracy']:.4f}" in text  # pyright: ignore


def test_what_a_trial_did_not_ask_for_has_no_place_in_the_drawing() -> None:
    done = pd.DataFrame(
        {"lr": [0.1, 0.01, 0.001], "units": [8, None, 32], "kind": ["a", None, "b"], "score": [1, 2, 3]}
    )
    lines = parallel_coordinates(done, ["lr", "units", "kind"], "score").lines
    assert [list(line.get_xdata()) for line in lines] == [[0, 1, 2, 3], [0, 3], [0, 1, 2, 3]]
    assert [line.get_ydata()[1] for line in (lines[0], lines[2])] == [0, 1]


def test_curves_importance_and_csv(result: TuningResult) -> None:
    curves, frame = result.curves(), result.frame()
    assert curves.groupby("trial").size().tolist() == frame["epochs"].tolist()
    assert set(result.importance()) <= {"l2", "learning_rate"}
    assert all(0 <= value <= 1 for value in result.importance().values())
    assert len((result.directory / "trials.csv").read_text().splitlines()) == 6


def test_a_disk_that_is_full_at_the_end_costs_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pandas.DataFrame.to_csv", full)
    found = search(tmp_path, trials=1)
    assert "trials.csv could not be written (OSError: [Errno 28] No space left on device)" in told(recwarn)
    assert found.best_model() is not None and (tmp_path / "best_model.keras").exists()


def test_the_terminal_shows_a_table_of_trials(result: TuningResult) -> None:
    console = Console(force_terminal=True, width=120, file=io.StringIO())
    assert gap({"accuracy": 0.75, "val_accuracy": 0.5}, Objective("val_accuracy", "max")) == 0.25
    assert gap({"accuracy": 0.5, "val_accuracy": 0.75}, Objective("val_accuracy", "max")) == -0.25
    assert gap({"mae": 0.5, "val_mae": 0.75}, Objective("val_mae", "min")) == 0.25
    with Display(result.tuner, live=True, console=console) as display:
        for trial in result.tuner.oracle.trials.values():
            display.begin(trial)
            display.epoch(trial.trial_id, 1, {"val_accuracy": 0.5, "accuracy": 0.75})
        with console.capture() as captured:
            console.print(display)
        assert "0.25" in captured.get() and "running" in captured.get()
        for trial in result.tuner.oracle.trials.values():
            display.end(trial)
        with console.capture() as captured:
            console.print(display)
    shown = captured.get()
    assert "5 trials ended, 0 running" in shown
    assert all(f"{row['verdict']}" in shown for row in result.frame().to_dict("records"))


def test_factories_make_callbacks_that_cannot_be_copied(tmp_path: Path) -> None:
    class Locked(keras.callbacks.Callback):
        made = 0

        def __init__(self) -> None:
            super().__init__()
            Locked.made += 1
            self.lock = threading.Lock()

    with pytest.raises(Exception, match=r"one cannot be copied.*callbacks=\[lambda: MyCallback"):
        search(tmp_path / "copied", trials=1, callbacks=[Locked()])
    search(tmp_path / "made", trials=2, callbacks=[Locked])
    assert Locked.made == 3


def test_two_searches_in_one_directory_are_refused(tmp_path: Path) -> None:
    with FileLock(tmp_path / "search.lock"), pytest.raises(RuntimeError, match="Another process searches in"):
        search(tmp_path, trials=1)
    assert len(search(tmp_path, trials=1).frame()) == 1


def test_budgets_end_a_search_and_more_goes_on(tmp_path: Path) -> None:
    assert len(search(tmp_path, trials=9, total_epochs=3).frame()) == 2
    assert len(search(tmp_path, trials=9, minutes=1e-9).frame()) == 2
    assert len(search(tmp_path, trials=3).frame()) == 3
    with pytest.raises(ValueError, match=r"`minutes` must be a positive number or None\. Received: minutes=0"):
        search(tmp_path, minutes=0)


def test_data_that_cannot_be_sent_to_workers_are_named(tmp_path: Path) -> None:
    class Open(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()

        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Any:
            return X, Y

    with pytest.raises(ValueError, match=r"Workers are other processes, and 'x' cannot be sent.*Received: Open"):
        kregtools.tune(build, Open(), (X, Y), workers=2, trials=1, directory=tmp_path / "search")


@pytest.mark.slow
def test_the_command_leaves_a_program_that_trains_the_best_model_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "search"
    words = ["tune", "digits_dense", "--trials", "2", "--epochs", "2", "--directory", str(place), "--rows", "400"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["trials"]) == 2 and set(found["best"]) >= {"l2", "dropout", "learning_rate"}
    assert 0 <= found["test"]["accuracy"] <= 1
    # The program trains on all rows; what it must do is run.
    done = subprocess.run([sys.executable, str(place / "best_recipe.py")], capture_output=True, text=True)
    assert done.returncode == 0 and "validation:" in done.stdout, done.stderr
    assert main(["tune", "nothing"]) == 2
    assert "Known are: digits_dense" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.zeros(3), np.ones(3)),
        ({"a": np.zeros(3)}, {"a": np.ones(3)}),
        ([0.0, 1.0], [0.0, 2.0]),
        ([np.zeros(3)], [np.ones(3)]),
        (np.array(["a", "b"], dtype=object), np.array(["a", "c"], dtype=object)),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [2]})),
        (keras.ops.zeros(3), keras.ops.ones(3)),
        (range(3), range(4)),
    ],
)
def test_data_are_told_apart_by_their_values(one: Any, other: Any) -> None:
    from kregtools.tuning.files import fingerprint

    assert fingerprint(one) != fingerprint(other)
    assert json.loads(json.dumps(fingerprint(one))) == fingerprint(copy.deepcopy(one))
