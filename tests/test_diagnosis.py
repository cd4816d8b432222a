import subprocess
import sys

import pytest

from kregtools import symptoms
from kregtools.diagnosis import diagnose
from kregtools.record import Record, example
from kregtools.symptoms import SYMPTOMS, SymptomRule

STEPS = 24


def watched(**changed: float) -> dict[tuple[str, str, str], list[float]]:
    """What `HealthMonitor` records of a small network, the same at every step."""
    kernel = {
        "gradient_rms": 1e-2,
        "gradient_norm": 1e-1,
        "update_ratio": 1e-3,
        "weight_norm": 4.0,
        "unit_spread": 1.0,
    }
    values = {
        **{(layer, "kernel", name): value for layer in ("hidden", "output") for name, value in kernel.items()},
        ("hidden", "activation", "dead_units"): changed.get("dead_units", 0.0),
        ("hidden", "activation", "units"): 8.0,
        ("", "output", "row_std"): 0.3,
        ("", "output", "rows"): 32.0,
        ("", "target", "mean"): 0.5,
        ("", "target", "std"): 0.5,
        ("", "target", "min"): 0.0,
        ("", "target", "max"): 1.0,
    }
    return {key: [value] * STEPS for key, value in values.items()}


WATCHED = watched()
GOOD = {
    "loss": [0.6, 0.4, 0.3, 0.25, 0.2],
    "val_loss": [0.5, 0.4, 0.33, 0.3, 0.28],
    "accuracy": [0.7, 0.8, 0.85, 0.88, 0.9],
}
BINARY = {
    "losses": [{"name": "binary_crossentropy"}],
    "layers": [
        {"name": "hidden", "class": "Dense", "units": 8, "activation": "relu", "weights": ["bias", "kernel"]},
        {"name": "output", "class": "Dense", "units": 1, "activation": "sigmoid", "weights": ["bias", "kernel"]},
    ],
}


class Broken(SymptomRule):
    name = "broken"

    def check(self, record):
        raise ZeroDivisionError("oh")


class Nonsense(SymptomRule):
    name = "nonsense"

    def check(self, record):
        return "sick, I think"


def test_healthy_means_that_every_check_ran_and_passed():
    diagnosis = diagnose(example(logs=GOOD, series=WATCHED, facts=BINARY))
    assert diagnosis.verdict == "healthy"
    assert set(diagnosis.passed) == {rule.name for rule in SYMPTOMS}
    count = len(SYMPTOMS)
    assert str(diagnosis).splitlines()[0] == f"kregtools: healthy (nothing found; {count} of {count} checks ran)"


def test_what_could_not_be_checked_is_never_healthy():
    alone = {name: values for name, values in GOOD.items() if name != "val_loss"}
    diagnosis = diagnose(example(logs=alone, series=WATCHED, facts=BINARY))
    assert diagnosis.verdict == "undetermined"
    unchecked = {item.name: item.reason for item in diagnosis.unchecked}
    assert unchecked.keys() == {"overfit", "no_generalization", "train_val_mismatch", "noisy_validation"}
    assert all("pass `validation_data` or `validation_split` to `fit`" in reason for reason in unchecked.values())


def test_logs_alone_leave_the_steps_unchecked():
    diagnosis = diagnose(example(logs=GOOD, facts=BINARY))
    unchecked = {item.name: item.reason for item in diagnosis.unchecked}
    assert {"vanishing_gradient", "exploding_gradient", "dead_relu", "symmetric_units"} <= unchecked.keys()
    assert not {"overfit", "underfit", "no_learning", "diverging_loss"} & unchecked.keys()
    assert all("use HealthMonitor" in reason for reason in unchecked.values())


@pytest.mark.parametrize("ignore", [(), ("overfit",), ("dead_relu", "underfit")])
@pytest.mark.parametrize(
    "logs", [GOOD, {"loss": [0.7]}, {"loss": [0.9, 0.5, 0.3, 0.1], "val_loss": [0.5, 0.6, 0.7, 0.8]}]
)
def test_every_check_is_in_exactly_one_state(logs, ignore):
    diagnosis = diagnose(example(logs=logs, facts=BINARY), ignore)
    frame = diagnosis.frame()
    names = frame[frame.kind == "symptom"].name.tolist()
    assert sorted(names) == sorted(rule.name for rule in SYMPTOMS)
    assert set(diagnosis.ignored) == set(ignore)


@pytest.mark.parametrize("rule", [Broken(), Nonsense()], ids=lambda rule: rule.name)
def test_a_rule_that_fails_is_listed_with_its_traceback(monkeypatch, rule):
    monkeypatch.setattr(symptoms, "SYMPTOMS", (*SYMPTOMS, rule))
    diagnosis = diagnose(example(logs=GOOD, series=WATCHED, facts=BINARY))
    assert diagnosis.verdict == "undetermined"
    (failed,) = diagnosis.unchecked
    assert failed.name == rule.name and "its rule failed" in failed.reason
    assert "Traceback" in failed.error


def test_the_verdict_names_the_worst():
    overfit = {"loss": [0.66, 0.6, 0.5, 0.42, 0.4], "val_loss": [0.6, 0.5, 0.52, 0.65, 0.7]}
    same = {**WATCHED, ("hidden", "kernel", "unit_spread"): [0.0] * STEPS}
    assert diagnose(example(logs=overfit, series=WATCHED, facts=BINARY)).verdict == "overfit"
    assert diagnose(example(logs=overfit, series=same, facts=BINARY)).verdict == "sick"


def test_a_network_that_learns_nothing_in_a_sound_run_is_an_underfit():
    stuck = {"loss": [0.7, 0.694, 0.693, 0.693, 0.693], "val_loss": [0.7, 0.694, 0.693, 0.693, 0.693]}
    diagnosis = diagnose(example(logs=stuck, series=WATCHED, facts=BINARY))
    assert {symptom.name for symptom in diagnosis.symptoms} == {"no_learning", "underfit"}
    assert diagnosis.verdict == "underfit"
    assert diagnose(example(logs=stuck, series=watched(dead_units=8.0), facts=BINARY)).verdict == "sick"


@pytest.mark.parametrize("end, verdict", [(1.09, "underfit"), (1.11, "sick")])
def test_a_network_that_ends_far_above_a_constants_loss_is_sick(end, verdict):
    stuck = {"loss": [0.7, 0.694, 0.693, 0.693, 0.6931 * end], "val_loss": [0.7, 0.694, 0.693, 0.693, 0.693]}
    assert diagnose(example(logs=stuck, series=WATCHED, facts=BINARY)).verdict == verdict


@pytest.mark.parametrize(
    "facts, cause, verdict",
    [
        ({"optimizer": {"class": "Adam", "learning_rate": -1e-3}}, "negative_lr", "sick"),
        ({"layers": [*BINARY["layers"], {"name": "d", "class": "Dropout", "rate": 0.9}]}, "over_regul", "underfit"),
    ],
)
def test_a_network_that_learns_nothing_for_a_mistake_is_sick(facts, cause, verdict):
    stuck = {"loss": [0.7, 0.694, 0.693, 0.693, 0.693], "val_loss": [0.7, 0.694, 0.693, 0.693, 0.693]}
    diagnosis = diagnose(example(logs=stuck, series=WATCHED, facts={**BINARY, **facts}))
    assert diagnosis.causes[0].name.startswith(cause) and diagnosis.verdict == verdict


def test_an_unknown_name_to_ignore_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match=r"Received: ignore=\('overfitting',\). Expected names out of: .*overfit"):
        diagnose(example(), ignore=("overfitting",))
    with pytest.raises(ValueError, match="Expected a tuple of names"):
        diagnose(example(), ignore="overfit")


def test_it_shows_in_terminal_and_notebook():
    overfit = next(rule for rule in SYMPTOMS if rule.name == "overfit")
    diagnosis = diagnose(overfit.SICK[0])
    assert "overfit  warning" in str(diagnosis)
    assert repr(diagnosis) == "<Diagnosis: overfit; overfit>"
    assert "overfit" in diagnosis._repr_html_() and "<pre" in diagnosis._repr_html_()


@pytest.mark.parametrize(
    "module", ["kregtools", "kregtools.diagnosis", "kregtools.record", "kregtools.run", "kregtools.report"]
)
def test_judging_needs_no_backend(module):
    code = f"import sys, {module}; print([m for m in ('keras', 'tensorflow', 'jax', 'torch') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


FALLING = [2.0, 1.6, 1.4, 1.25, 1.15]


TEN_CLASSES = {"losses": [{"name": "sparse_categorical_crossentropy"}], "outputs": [{"shape": [None, 10]}]}


@pytest.mark.parametrize(
    "logs, said",
    [
        ({"loss": [2.1, 1.5, 1.2, 1.0, 0.9], "val_loss": FALLING}, "The validation loss still falls by 8% an epoch"),
        ({"loss": FALLING}, "The training loss still falls by 8% an epoch: train longer, and pass validation data"),
        ({"loss": [2.0, 1.0, 0.2]}, "The training loss still falls by 80% an epoch"),
        ({"loss": FALLING, "val_loss": [2.0, 1.6, 1.45, 1.44, 1.435]}, ""),
        ({"loss": FALLING, "val_loss": [2.0, 1.6, 1.32, 1.37, 1.3]}, ""),
        ({"loss": FALLING, "val_loss": [2.0, 1.6, 1.4, 1.3, 1.31]}, ""),
        ({"loss": [1.0, 0.4, 0.2, 0.1, 0.05]}, ""),
        ({"loss": [2.0, 1.0, 0.2, -0.5, -0.9]}, ""),
        ({"loss": [2.0, 1.6]}, ""),
        ({"loss": FALLING, "accuracy": [0.4, 0.6, 0.7, 0.75, 1.0]}, ""),
        ({"loss": FALLING, "val_accuracy": [0.4, 0.5, 0.55, 0.58, 0.6]}, ""),
    ],
)
def test_a_run_that_still_improves_is_told_to_go_on(logs, said):
    found = diagnose(example(logs=logs, facts=TEN_CLASSES))
    assert not found.symptoms
    assert found.outlook.startswith(said) and bool(found.outlook) == bool(said)
    assert (found.outlook[:40] in str(found)) and ("train longer" in found._repr_html_()) == bool(said)


def test_of_what_is_sick_or_ignored_or_not_to_be_judged_no_outlook_is_told():
    bad, silent = {"loss": [*FALLING, float("nan")]}, {"loss": [0.0, 0.0, 0.0]}
    assert diagnose(example(logs=bad, facts=TEN_CLASSES)).outlook == ""
    assert diagnose(example(logs={"loss": FALLING}, facts=TEN_CLASSES), ignore=("dead_relu",)).outlook == ""
    assert diagnose(example(logs=silent, series={("", "loss", "value"): [1.0, 0.9, 0.8]})).outlook == ""


def test_the_pace_is_that_of_an_epoch_where_only_some_are_validated():
    record = Record(TEN_CLASSES)
    for epoch, loss in enumerate([2.0, 1.8, 1.7, 1.6, 1.5, 1.4]):
        record.add_epoch(epoch, 10 * epoch + 9, {"loss": loss, **({"val_loss": loss + 0.1} if epoch % 2 else {})})
    assert diagnose(record).outlook.startswith("The validation loss still falls by 6% an epoch")
