"""Every symptom and every cause, on the records it carries."""

import pytest

from kregtools.causes import CAUSES
from kregtools.diagnosis import diagnose
from kregtools.record import Record, example
from kregtools.symptoms import SYMPTOMS
from kregtools.symptoms.evidence import data_loss

RULES = (*SYMPTOMS, *CAUSES)


def cases(kind: str, rules=RULES):
    return [
        pytest.param(rule, record, id=f"{rule.name}-{index}")
        for rule in rules
        for index, record in enumerate(getattr(rule, kind))
    ]


def found(record: Record) -> list[str]:
    diagnosis = diagnose(record)
    assert not [item.error for item in diagnosis.unchecked if item.error]
    assert all(cause.explains for cause in diagnosis.causes)
    return [item.name for item in (*diagnosis.symptoms, *diagnosis.causes)]


@pytest.mark.parametrize("rule, record", cases("SICK"))
def test_sick_records_are_found(rule, record):
    assert rule.name in found(record)


@pytest.mark.parametrize("rule, record", cases("HEALTHY"))
def test_healthy_records_are_not(rule, record):
    assert rule.name not in found(record)


@pytest.mark.parametrize("rule, record", cases("SICK"))
def test_the_diagnosis_from_disk_is_that_from_memory(rule, record, tmp_path):
    record.save(tmp_path)
    assert diagnose(Record.load(tmp_path)) == diagnose(record)


@pytest.mark.parametrize("rule, record", cases("SICK", CAUSES))
def test_a_cause_says_why_and_what_to_change(rule, record):
    cause = next(cause for cause in diagnose(record).causes if cause.name == rule.name)
    assert 0 < cause.confidence <= 1
    assert cause.reason.endswith(".") and cause.remedy.text.endswith(".")
    assert set(cause.explains) <= set(rule.explains)
    compile(cause.remedy.code.replace("[...]", "[]"), "remedy", "exec")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_documents_itself_and_carries_its_cases(rule):
    assert rule.SICK and rule.HEALTHY
    told = "How it is detected:" if rule in SYMPTOMS else "How it is told:"
    assert told in rule.__doc__ and "What to do:" in rule.__doc__


def test_names_are_unique():
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_a_cause_explains_symptoms_that_exist():
    known = {rule.name for rule in SYMPTOMS}
    assert all(set(rule.explains) <= known for rule in CAUSES)


def test_the_data_loss_is_what_is_left_when_the_penalty_is_taken_off():
    """Half of the loss is penalty at first, none at the end of the first epoch; few steps were sampled."""
    record = example(
        logs={"loss": [2.0, 1.0]},
        series={
            ("", "loss", "value"): [4.0] * 10,
            ("", "loss", "penalty"): [2.0 - index * 2 / 9 for index in range(10)],
        },
    )
    assert data_loss(record) == pytest.approx([2.0 * 0.75, 1.0])


def test_the_remedy_of_a_high_learning_rate_is_sized_by_the_first_large_step():
    """What comes after it measures the damage: 11 times the norm would ask for a factor of 1000."""
    facts = {"optimizer": {"class": "SGD", "learning_rate": 5.0}}
    series = {("dense", "kernel", "update_ratio"): [0.4, 3.0, 11.0], ("", "loss", "nonfinite"): [0, 0, 1]}
    (cause,) = diagnose(example(series=series, facts=facts)).causes
    assert cause.name == "lr_too_high" and "learning_rate=0.2" in cause.remedy.code


def test_the_data_loss_of_a_later_fit_begins_where_that_fit_begins():
    record = Record()
    for step in range(100, 110):
        record.add_sample(step, 0, {("", "loss", "value"): 4.0, ("", "loss", "penalty"): 2.0 - (step - 100) * 2 / 9})
    record.add_epoch(0, 109, {"loss": 2.0})
    assert data_loss(record) == pytest.approx([2.0 * 0.75])


# What the ends of epochs add to the record.
LAG = {("norm", "moving_variance", "lag"): 1.0, ("norm", "moving_mean", "lag"): 0.0}
# What `RecalibrateBatchNorm` adds to that of a monitor beside it.
MEASURED = {
    ("norm", "moving_variance", "variance_ratio"): 1.0,
    ("norm", "moving_variance", "recalibrated"): 1.0,
    ("norm", "moving_mean", "mean_shift"): 0.1,
}


OF_BATCHNORM = ("variance_shift", "dropout_before_batchnorm", "moving_average_lag", "slow_moving_average")
OTHERS = tuple(rule for rule in RULES if rule.name not in OF_BATCHNORM)


@pytest.mark.parametrize("values", [LAG, MEASURED], ids=["lag", "measured"])
@pytest.mark.parametrize("rule, record", [*cases("SICK", OTHERS), *cases("HEALTHY", OTHERS)])
def test_a_measurement_of_batchnorm_changes_nothing_that_is_found(rule, record, values):
    measured, keys = Record(record.facts), record._table.keys
    for index, sample in enumerate(record.samples):
        measured.add_sample(*sample, {key: record.series(*key)[index] for key in keys})
        if index % 10 == 9 or index == len(record.samples) - 1:
            measured.add_sample(*sample, values)
    for entry in record.logs:
        logs = {name: value for name, value in entry.items() if name not in ("epoch", "step")}
        measured.add_epoch(int(entry["epoch"]), int(entry["step"]), logs)
    assert diagnose(measured) == diagnose(record)
