"""What the curves of a trial tell of the next one."""

from __future__ import annotations

import math

import pytest

from kregtools.tuning.reading import Reading, read


def reading(val_loss: list[float], gap: float = 0.0, longest: int = 19, loss: list[float] | None = None) -> Reading:
    metrics = {
        "val_loss": val_loss,
        "loss": loss or val_loss,
        "accuracy": [0.8] * len(val_loss),
        "val_accuracy": [0.8 - gap] * len(val_loss),
    }
    return read({n: dict(enumerate(v)) for n, v in metrics.items()}, "val_accuracy", longest)


FLAT = [0.7, 0.5, 0.4, 0.35, 0.32, 0.31, 0.305, 0.302, 0.301, 0.300, 0.2999, 0.2998, 0.2998, 0.2999, 0.3]


@pytest.mark.parametrize(
    ("found", "verdict", "speed", "regularization"),
    [
        (reading([0.69 - 0.005 * k for k in range(20)]), "slow", 3, 0),
        (reading([0.3 + 0.4 * 0.9**k for k in range(20)]), "slow", 1, 0),
        (reading(FLAT), "balanced", 0, 0),
        (reading(FLAT, gap=0.08), "overfit", 0, 1),
        (reading(FLAT, gap=-0.07), "overregularized", 0, -1),
        (reading(FLAT, gap=-0.2), "overregularized", 0, -2),
        (reading([0.3, 0.5, 0.7, 0.9]), "hasty", -2, 0),
        (reading([0.4, 0.3, 0.5, 0.7], gap=0.1), "hasty", -2, 1),
        (reading([0.6932, 0.6930, 0.6934, 0.6931]), "stuck", 0, -2),
        (reading([0.7, math.nan, math.nan]), "diverged", -2, 0),
        # Heavy dropout raises the training loss above that of the best constant: no divergence.
        (reading([0.69 - 0.005 * k for k in range(20)], gap=-0.2, loss=[1.2] * 20), "slow", 3, -2),
    ],
)
def test_what_held_a_trial_back(found: Reading, verdict: str, speed: float, regularization: float) -> None:
    assert (found.verdict, found.speed, found.regularization) == (verdict, speed, regularization)
    assert found.reason


def test_what_overfits_from_the_first_epoch_on_is_not_stuck() -> None:
    found = reading([0.36, 0.37, 0.39, 0.42], gap=0.145, loss=[0.30, 0.12, 0.06, 0.03])
    assert (found.verdict, found.speed, found.regularization) == ("hasty", -2, 1)
    assert found.reason.startswith("the training loss falls and the validation loss does not; validation is 0.145")
    slight = reading([0.36, 0.37, 0.39, 0.42], gap=0.03, loss=[0.37, 0.36, 0.36, 0.35])
    assert (slight.speed, slight.regularization) == (-1, 1)


@pytest.mark.parametrize(("name", "scale"), [("val_mae", 1.0), ("val_mae", 40.0), ("val_loss", 1.0)])
def test_an_error_that_is_higher_in_validation_is_overfitting(name: str, scale: float) -> None:
    train = [scale * v for v in (0.5, 0.3, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)]
    validation = [scale * v for v in (0.5, 0.4, 0.33, 0.3, 0.29, 0.31, 0.33, 0.36)]
    metrics = {"loss": train, "val_loss": validation, name.removeprefix("val_"): train, name: validation}
    found = read({n: dict(enumerate(v)) for n, v in metrics.items()}, name, 7, "min")
    assert (found.verdict, found.regularization) == ("overfit", 1)


def test_what_a_trial_says_of_itself_is_taken() -> None:
    metrics = {"val_accuracy": {4: 0.8}, "diag/speed": {4: -2.0}, "diag/regularization": {4: 1.0}}
    assert read(metrics, "val_accuracy", 4).speed == -2
    assert read(metrics, "val_accuracy", 4).regularization == 1
