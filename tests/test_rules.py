"""Every symptom and every cause, on the records it carries."""

import pytest

from kregtools.causes import CAUSES
from kregtools.diagnosis import diagnose
from kregtools.record import Record
from kregtools.symptoms import SYMPTOMS

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
