"""Where a loss is below what its formula allows."""

import pytest
from symptom_records import NAN, REGULARIZED, by_epoch, refusal, seen, shown

from kregtools.record import example

PLAIN = {"losses": [{"name": "binary_crossentropy"}], "model": {"class": "Sequential"}}
OWN = {"losses": [{"name": "binary_crossentropy"}], "model": {"class": "Gan"}}


def sampled(values: list[float], penalties: list[float]):
    return {("", "loss", "value"): values, ("", "loss", "penalty"): penalties}


def test_what_is_said_of_an_epoch():
    symptom = shown("negative_loss", example(logs={"loss": [0.5, -3.0, -40.25, -1.0]}, facts=PLAIN))
    assert symptom.severity == "critical"
    assert symptom.message == "The loss is -40.2 at its lowest; binary_crossentropy cannot be below 0."
    assert symptom.layers == () and symptom.first_step == 19
    assert symptom.evidence == {"loss": -40.25, "threshold": -1e-3}


def test_what_is_said_of_a_sampled_step():
    series = sampled([0.5, NAN, 0.1, -0.1, 0.2], [0.0, 0.0, 0.25, 0.0, 0.0])
    symptom = shown("negative_loss", example(logs={"loss": [-9.0]}, series=series, facts=OWN))
    assert symptom.message == "The loss is -0.15 at its lowest; binary_crossentropy cannot be below 0."
    assert symptom.first_step == 2 and symptom.evidence["loss"] == pytest.approx(-0.15)


@pytest.mark.parametrize("loss, found", [(-0.0009, False), (-0.0011, True), (0.0, False)])
def test_less_than_rounding_can_do(loss, found):
    assert bool(seen("negative_loss", example(logs={"loss": [0.1, loss]}, facts=PLAIN))) == found
    assert bool(seen("negative_loss", example(series=sampled([0.1, loss], [0.0, 0.0]), facts=PLAIN))) == found


@pytest.mark.parametrize(
    "name",
    [
        *("binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"),
        *("binary_focal_crossentropy", "categorical_focal_crossentropy"),
        *("mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error"),
        *("mean_squared_logarithmic_error", "huber", "log_cosh", "hinge", "squared_hinge", "categorical_hinge"),
    ],
)
def test_losses_that_are_never_negative(name):
    losses = [{"name": "mean_squared_error", "weight": 0.0}, {"name": name, "weight": 2.0}]
    for number in (1, 2):
        facts = {**PLAIN, "losses": losses[-number:]}
        assert (
            f"{facts['losses'][0]['name']} cannot"
            in shown("negative_loss", example(logs={"loss": [-1.0]}, facts=facts)).message
        )


@pytest.mark.parametrize(
    "losses",
    [
        *([], None),
        *([{"name": name}] for name in ("cosine_similarity", "poisson", "kl_divergence", "my_own", None)),
        *([{"name": "huber", "weight": weight}] for weight in (-1.0, None)),
        [{"name": "huber"}, {"name": "my_own"}],
    ],
)
def test_others_may_be_negative(losses):
    facts = {**PLAIN, "losses": losses}
    assert refusal("negative_loss", example(logs={"loss": [-1.0]}, facts=facts)) == (
        "the loss is negative, and whether it may be is not known of a loss of this name"
    )
    assert seen("negative_loss", example(logs={"loss": [1.0]}, facts=facts)) is None


@pytest.mark.parametrize("kind, found", [("Sequential", True), ("Functional", True), ("Gan", False), (None, False)])
def test_what_a_train_step_of_ones_own_reports_is_not_judged(kind, found):
    assert (
        bool(seen("negative_loss", example(logs={"loss": [-1.0]}, facts={**PLAIN, "model": {"class": kind}}))) == found
    )
    assert seen("negative_loss", example(logs={"loss": [-1.0]}, facts={**PLAIN, "model": None})) is None


def test_what_penalties_are_part_of_is_not_judged():
    assert seen("negative_loss", example(logs={"loss": [-1.0]}, facts={**PLAIN, **REGULARIZED})) is None
    series = sampled([-0.3] * 2, [-0.5] * 2)
    assert seen("negative_loss", example(logs={"loss": [-1.0]}, series=series, facts=PLAIN)) is None


def test_samples_without_a_loss_are_none():
    series = sampled([NAN, NAN], [NAN, 0.0])
    assert shown("negative_loss", example(logs={"loss": [-1.0]}, series=series, facts=PLAIN)).first_step == 9


def test_the_epoch_of_a_negative_validation_loss():
    record = by_epoch(range(2, 5), loss=[0.1] * 3, val_loss=[0.1, NAN, -0.5])
    record.add_facts(PLAIN)
    assert shown("negative_loss", record).first_step == 49


def test_a_run_without_an_epoch_has_no_loss():
    assert seen("negative_loss", example(facts=PLAIN)) is None
