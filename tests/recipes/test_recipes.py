import re
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from kregtools.models import RECIPES
from kregtools.symptoms import SYMPTOMS

RECIPE_FOLDER = Path(__file__).parents[2] / "recipes"


class Ended(NamedTuple):
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(tmp_path, monkeypatch, capsys) -> Callable[..., Ended]:
    """Runs a script's command line in an empty directory; in this process, which has TensorFlow already."""
    monkeypatch.syspath_prepend(str(RECIPE_FOLDER))
    monkeypatch.chdir(tmp_path)

    def run(recipe: str, *arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", [f"{recipe}.py", *arguments])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(RECIPE_FOLDER / f"{recipe}.py"), run_name="__main__")
        return Ended(end.value.code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def reviews(tmp_path) -> Path:
    """A file of the form of IMDB's with reviews of which the first word tells the label."""
    rng, arrays = np.random.default_rng(0), {}
    for part, count in (("train", 6000), ("test", 300)):
        labels = rng.integers(0, 2, size=count)
        words = rng.integers(10, 400, size=(count, 12))
        words[:, 0] = labels + 1
        arrays |= {
            f"x_{part}": words.ravel().astype("int32"),
            f"x_{part}_offsets": np.arange(count + 1) * 12,
            f"y_{part}": labels.astype("uint8"),
        }
    (tmp_path / "data").mkdir(exist_ok=True)
    np.savez(tmp_path / "data" / "imdb.npz", **arrays)
    return tmp_path / "data"


@pytest.fixture
def images(tmp_path) -> Path:
    """Files of the form of CIFAR-10's and Fashion-MNIST's with images of which the mean tells the label."""
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir(exist_ok=True)
    for name, shape in (("cifar10", (32, 32, 3)), ("fashion_mnist", (28, 28))):
        arrays = {}
        for part, count in (("train", 100), ("test", 40)):
            labels = rng.integers(0, 10, size=count)
            noise = rng.integers(0, 20, size=(count, *shape))
            arrays[f"x_{part}"] = (noise + 20 * labels.reshape(-1, *(1 for _ in shape))).astype("uint8")
            arrays[f"y_{part}"] = labels.astype("uint8")
        np.savez(tmp_path / "data" / f"{name}.npz", **arrays)
    return tmp_path / "data"


LONG = ("imdb_bilstm", "imdb_transformer", "cifar_resnet20", "cifar_resnet9")
SMALL = {"filters": "8", "units": "16", "blocks": "1", "embedding": "8"}


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=[pytest.mark.slow] if name in LONG else []) for name in RECIPES
])  # fmt: skip
def test_every_recipe_trains_diagnoses_and_reports(name, run, reviews, images):
    small = [f"--{key}={value}" for key, value in SMALL.items() if key in RECIPES[name].hyperparameters]
    result = run(name, "--smoke", "--save=model.keras", f"--data-dir={reviews}", *small)
    assert result.returncode == 0, result.stderr
    assert "kregtools: " in result.stdout and "test: " in result.stdout
    assert Path("report.html").exists() and Path("model.keras").exists()


def test_every_recipe_is_a_script_that_says_how_to_use_it():
    scripts = {path.stem for path in RECIPE_FOLDER.glob("*.py")} - {"recipe"}
    assert scripts == set(RECIPES)
    for name in scripts:
        text = (RECIPE_FOLDER / f"{name}.py").read_text()
        assert text.count(f"python recipes/{name}.py") >= 3


def test_help_lists_every_hyperparameter(run):
    result = run("cifar_vgg", "--help")
    flags = {f"--{name.replace('_', '-')}" for name in RECIPES["cifar_vgg"].hyperparameters}
    assert result.returncode == 0
    assert flags <= set(re.findall(r"--[a-z0-9-]+", result.stdout))


@pytest.mark.slow
def test_digits_trains_and_writes_the_report(tmp_path):
    command = [sys.executable, str(RECIPE_FOLDER / "digits_dense.py"), "--smoke"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "kregtools: undetermined" in result.stdout and "test: accuracy" in result.stdout
    assert f"report: {tmp_path / 'report.html'}" in result.stdout
    assert (tmp_path / "report.html").exists()


@pytest.mark.slow
def test_digits_with_a_wild_learning_rate_is_sick_and_the_cause_is_named(tmp_path, run):
    result = run("digits_dense", "--learning-rate", "3", "--epochs", "6", "--report", "")
    assert "kregtools: sick" in result.stdout
    assert result.stdout.index("cause: lr_too_high") < result.stdout.index("remedy: Lower the learning rate from 3")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_digits_as_it_is_meant_is_healthy(run):
    result = run("digits_dense", "--report", "")
    assert f"kregtools: healthy (nothing found; {len(SYMPTOMS)} of {len(SYMPTOMS)} checks ran)" in result.stdout


@pytest.mark.filterwarnings("ignore:The test data were used already")
def test_a_search_prints_its_trials_and_goes_on_where_it_was(run):
    first = run("digits_dense", "--smoke", "--tune", "--trials", "2")
    assert first.returncode == 0, first.stderr
    assert "2 trials by val_accuracy" in first.stdout and "FAILED" not in first.stdout + first.stderr
    assert first.stdout.count("test: ") == 1
    second = run("digits_dense", "--smoke", "--tune", "--trials", "3")
    assert "3 trials by val_accuracy" in second.stdout
    assert "trial 2" in second.stdout and "trial 1 " not in second.stdout


@pytest.mark.slow
def test_imdb_reads_the_file_it_is_given(run, reviews):
    result = run("imdb_bow", "--epochs", "5", "--data-dir", str(reviews), "--learning-rate", "0.03", "--report", "")
    assert result.returncode == 0, result.stderr
    assert float(re.search(r"test: accuracy ([\d.]+)", result.stdout)[1]) > 0.95


def test_imdb_reads_the_directory_of_the_environment(run, reviews, monkeypatch):
    monkeypatch.setenv("KREGTOOLS_DATA", str(reviews))
    result = run("imdb_bow", "--smoke", "--report", "")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("arguments, message", [
    (["--l2", "-1"], "Invalid value for `l2`. Received: l2=-1.0. Expected a number of at least 0"),
    (["--epochs", "0"], "0 is not a positive number"),
    (["--smoke", "--dropout", "1"], "Received: dropout=1.0. Expected a number from 0 to below 1"),
    (["--smoke", "--report", "nowhere/report.html"], "there is no directory 'nowhere'"),
    (["--smoke", "--schedule", "linear"], "Received: schedule='linear'. Expected one of 'constant', 'cosine',"),
    (["--optimizer", "adamx"], "Received: optimizer='adamx'. Expected one of 'adam', 'adamw', 'rmsprop', 'sgd'"),
    (["--smoke", "--tune", "--search", "heads"], "invalid choice: 'heads'"),
])  # fmt: skip
def test_bad_arguments_are_one_clear_line(run, arguments, message):
    result = run("digits_dense", *arguments)
    assert result.returncode == 2
    assert message in result.stderr.splitlines()[-1]


def test_a_damaged_data_file_is_one_clear_line(run, reviews):
    file = reviews / "imdb.npz"
    file.write_bytes(file.read_bytes()[:1000])
    result = run("imdb_bow", "--data-dir", str(reviews))
    assert result.returncode == 2
    assert "imdb.npz is no usable 'imdb' file" in result.stderr.splitlines()[-1]
