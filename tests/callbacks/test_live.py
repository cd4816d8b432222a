"""What shows a run while it goes on."""

import copy
import pickle
import re
import shutil

import keras
import numpy as np
import pytest

from kregtools.callbacks import FitDiagnosis, HealthMonitor
from kregtools.errors import KregtoolsWarning

RNG = np.random.default_rng(0)
X = RNG.normal(size=(128, 8)).astype("float32")
Y = (X[:, :4].sum(axis=1) > 0).astype("float32")


def fit(*callbacks, epochs=3, verbose=0, learning_rate=0.01):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.SGD(learning_rate), "binary_crossentropy")
    model.fit(X, Y, validation_split=0.25, epochs=epochs, verbose=verbose, callbacks=list(callbacks))
    return model


class Each(keras.callbacks.Callback):
    """Notes something after every epoch."""

    def __init__(self, look):
        super().__init__()
        self.look, self.seen = look, []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.look())


def ours(warned):
    return [str(warning.message) for warning in warned if issubclass(warning.category, KregtoolsWarning)]


# ---- a line an epoch


def test_a_line_an_epoch_stands_between_those_of_keras_progress_bar(capsys):
    fit(HealthMonitor(verbose=2, sample_every=1), verbose=1)
    lines = capsys.readouterr().out.split("\n")
    told = [index for index, line in enumerate(lines) if "kregtools " in line and "/3" in line]
    assert [lines[index][:13] for index in told] == ["kregtools 1/3", "kregtools 2/3", "kregtools 3/3"]
    assert all(re.search(r"gradient \S+  update \S+e-\d+ .* gap [+-]\S+  \| ", lines[index]) for index in told)
    assert [line for line in lines if line.startswith("Epoch ")] == ["Epoch 1/3", "Epoch 2/3", "Epoch 3/3"]
    assert [lines[index + 1] for index in told[:-1]] == ["Epoch 2/3", "Epoch 3/3"]
    assert all("val_loss" in lines[index - 1] for index in told)


def test_a_new_finding_is_told_once(capsys):
    fit(HealthMonitor(verbose=2, sample_every=1), learning_rate=100.0, epochs=4)
    told = capsys.readouterr().out.split("kregtools: sick")[0]
    names = re.findall(r"  new: (\w+): .*\.", told)
    assert names and len(set(names)) == len(names)


def test_that_training_is_stopped_is_told_after_the_epoch(capsys):
    x = np.full_like(X, np.nan)
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    monitor = FitDiagnosis(stop_on=("nonfinite",), verbose=1)
    model.fit(x, Y, epochs=3, verbose=1, callbacks=[monitor])
    lines = capsys.readouterr().out.split("\n")
    (told,) = [index for index, line in enumerate(lines) if "training is stopped, as asked, on nonfinite" in line]
    assert "loss: nan" in lines[told - 1] and lines[told].startswith("kregtools: ")


# ---- a page


def test_the_live_report_is_written_anew_every_epoch(tmp_path):
    monitor, path = FitDiagnosis(verbose=0), tmp_path / "run.html"
    assert monitor.report(path, live=True) == path and "training, epoch 0" in path.read_text()
    pages = Each(path.read_text)
    fit(monitor, pages)
    assert [re.search(r"training, epoch (\d of \d)", page)[1] for page in pages.seen] == ["1 of 3", "2 of 3", "3 of 3"]
    assert "location.reload()" not in path.read_text() and "3 of 3" in path.read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["run.html"]


def test_a_report_is_written_once_where_live_is_not_asked_for(tmp_path):
    monitor, path = FitDiagnosis(verbose=0), tmp_path / "run.html"
    monitor.report(path)
    before = path.read_text()
    fit(monitor)
    assert path.read_text() == before


def test_without_a_path_the_report_is_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    FitDiagnosis(verbose=0).report(live=True)
    assert (tmp_path / "report.html").exists()


def test_a_directory_that_vanishes_is_one_warning_and_training_goes_on(tmp_path):
    monitor, place = FitDiagnosis(verbose=0), tmp_path / "place"
    place.mkdir()
    monitor.report(place / "run.html", live=True)
    shutil.rmtree(place)
    epochs = Each(lambda: 1)
    with pytest.warns(
        KregtoolsWarning, match=r"The live report cannot be written any more \(FileNotFoundError"
    ) as seen:
        fit(monitor, epochs)
    assert len(ours(seen)) == 1 and len(epochs.seen) == 3 and len(monitor.record.logs) == 3


# ---- TensorBoard


def test_tensorboard_grows_every_epoch_next_to_keras_own(tmp_path):
    monitor = HealthMonitor(verbose=0, tensorboard=tmp_path)
    sizes = Each(lambda: sum(file.stat().st_size for file in (tmp_path / "kregtools").iterdir()))
    fit(monitor, keras.callbacks.TensorBoard(tmp_path), sizes)
    assert sizes.seen[0] < sizes.seen[1] < sizes.seen[2]
    assert {"kregtools", "train", "validation"} <= {path.name for path in tmp_path.iterdir()}


def test_a_log_directory_that_cannot_be_written_is_one_warning_and_training_goes_on(tmp_path):
    (tmp_path / "file").write_text("")
    monitor = FitDiagnosis(verbose=0, tensorboard=tmp_path / "file")
    with pytest.warns(KregtoolsWarning, match="The TensorBoard log cannot be written any more") as seen:
        fit(monitor)
    assert len(ours(seen)) == 1 and len(monitor.record.logs) == 3


def test_a_monitor_with_all_of_them_copies_and_pickles(tmp_path):
    monitor = FitDiagnosis(verbose=2, tensorboard=tmp_path / "logs")
    monitor.report(tmp_path / "run.html", live=True)
    for twin in (copy.deepcopy(monitor), pickle.loads(pickle.dumps(monitor))):
        fit(twin, epochs=1)
        assert pickle.loads(pickle.dumps(twin)).diagnosis == twin.diagnosis
    assert len(list((tmp_path / "logs" / "kregtools").iterdir())) == 2


# ---- facts


def test_seed_and_cost_are_among_the_facts(tmp_path):
    monitor = FitDiagnosis(verbose=0, directory=tmp_path / "run")
    fit(monitor)
    facts = monitor.record.facts
    assert facts["seed"] == 0 and facts["cost"]["watching"] / facts["cost"]["training"] == pytest.approx(
        monitor.overhead
    )
    assert type(monitor.record).load(tmp_path / "run").facts["cost"] == facts["cost"]
