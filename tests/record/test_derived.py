import contextlib

import pytest

from kregtools.causes import CAUSES
from kregtools.diagnosis import diagnose
from kregtools.record import Record, derived, example
from kregtools.symptoms import SYMPTOMS


def counted():
    calls = []

    @derived
    def last_loss(record):
        """What it says."""
        calls.append(record)
        return record.log("loss")[-1:]

    return last_loss, calls


def test_it_is_computed_once_while_the_record_is_settled_and_anew_afterwards():
    last_loss, calls = counted()
    record, other = example(logs={"loss": [2.0, 1.0]}), example(logs={"loss": [3.0]})
    assert last_loss.__doc__ == "What it says."
    with record.settled():
        assert last_loss(record) == last_loss(record) == 1.0 and calls == [record]
        assert last_loss(other) == 3.0
        with pytest.raises(ValueError, match="read-only"):
            last_loss(record)[0] = 5.0
    record.add_epoch(2, 29, {"loss": 0.5})
    assert last_loss(record) == last_loss(record) == 0.5 and len(calls) == 4


def test_nothing_is_kept_of_a_judgement_that_fails():
    record = example(logs={"loss": [2.0]})
    with pytest.raises(ZeroDivisionError), record.settled():
        raise ZeroDivisionError
    assert record.known is None


def test_a_diagnosis_is_that_of_rules_that_compute_everything_themselves(monkeypatch):
    records = [record for rule in (*SYMPTOMS, *CAUSES) for record in (*rule.SICK, *rule.HEALTHY)]
    shared = [diagnose(record) for record in records]
    assert all(record.known is None for record in records)
    monkeypatch.setattr(Record, "settled", contextlib.nullcontext)
    assert [diagnose(record) for record in records] == shared
