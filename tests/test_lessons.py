"""Lessons: that each runs on the data it names, and that those on embedded data show what they say."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from kregtools.cli import main
from kregtools.lessons import LESSONS
from kregtools.lessons.lesson import with_wrong_labels


def outcomes(name, capsys, *arguments):
    assert main(["lesson", name, "--json", *arguments]) == 0
    return {outcome["variant"]: outcome for outcome in json.loads(capsys.readouterr().out)}


def lesson(name):
    return importlib.import_module(f"kregtools.lessons.{name}")


def test_every_lesson_is_one_file_and_one_line():
    folder = Path(lesson("lesson").__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - {"__init__", "lesson"} == set(LESSONS)


def test_without_a_name_all_are_listed(capsys):
    assert main(["lesson"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(LESSONS)


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_says_what_to_see(name):
    assert "What to see:" in lesson(name).__doc__
    assert len(lesson(name).LESSON.variants) >= 2


def test_text_has_a_row_for_each_variant(capsys):
    assert main(["lesson", "bias_variance", "--smoke"]) == 0
    printed = capsys.readouterr().out
    assert "What to see" in printed
    assert all(variant in printed for variant in lesson("bias_variance").LESSON.variants)


@pytest.mark.slow
def test_units_that_start_equal_are_seen(capsys):
    found = outcomes("symmetry", capsys)
    assert found["random"]["validation"] > 0.9 > 0.6 > found["constant 0.05"]["validation"]
    assert found["zeros"]["validation"] < 0.2
    assert "symmetric_units" in found["constant 0.05"]["findings"]
    assert found["random"]["verdict"] != "sick"
    assert {found[start]["causes"][0] for start in ("zeros", "constant 0.05")} == {"bad_init"}


@pytest.mark.slow
def test_deep_sigmoid_networks_do_not_learn(capsys):
    found = outcomes("vanishing_gradient", capsys)
    assert found["sigmoid"]["validation"] < 0.3 and found["relu"]["validation"] > 0.9
    assert "vanishing_gradient" in found["sigmoid"]["findings"]
    assert found["sigmoid"]["causes"][0] == "wrong_hidden_activation"


@pytest.mark.parametrize("name, data", [
    ("capacity_fashion", "fashion_mnist"), ("learning_rate_decay", "cifar10"), ("regularization_imdb", "imdb"),
])  # fmt: skip
def test_damaged_data_are_an_error_and_never_silent_garbage(name, data, tmp_path, capsys):
    (tmp_path / f"{data}.npz").write_bytes(b"no archive")
    assert main(["lesson", name, "--data-dir", str(tmp_path)]) == 2
    assert f"{data}.npz is no usable '{data}' file" in capsys.readouterr().err


def test_wrong_labels_are_as_many_as_asked_for_and_never_right():
    y = np.random.default_rng(0).integers(0, 10, size=(10_000, 1))
    noisy = with_wrong_labels(y, 0.3, seed=1)
    assert noisy.shape == y.shape and set(np.unique(noisy)) == set(range(10))
    assert np.mean(noisy != y) == pytest.approx(0.3, abs=0.02)
    assert with_wrong_labels(y, 0.0, seed=1) is y
