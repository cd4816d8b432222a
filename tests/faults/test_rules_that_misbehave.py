"""A symptom of the user's own, or of ours, that goes wrong costs its own finding and nothing else."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from kregtools import causes, diagnosis, symptoms
from kregtools.causes import Cause, Remedy
from kregtools.diagnosis import diagnose
from kregtools.record import example
from kregtools.symptoms import SYMPTOMS, Symptom, SymptomRule

RECORD = example(logs={"loss": [0.7, 0.5, 0.4], "val_loss": [0.7, 0.6, 0.5]})


class Rule(SymptomRule):
    name = "mine"

    def __init__(self, check):
        self._check = check

    def check(self, record):
        return self._check()


def judged(monkeypatch, check):
    monkeypatch.setattr(symptoms, "SYMPTOMS", (Rule(check), *SYMPTOMS))
    found = diagnose(RECORD)
    unchecked = {item.name: item for item in found.unchecked}
    others = [name for name in (*found.passed, *unchecked, *(s.name for s in found.symptoms)) if name != "mine"]
    assert sorted(others) == sorted(rule.name for rule in SYMPTOMS)
    assert found.verdict != "healthy"
    assert str(found) and repr(found) and len(found.frame())
    return unchecked["mine"]


def endless():
    while True:
        try:
            time.sleep(0.01)
        except Exception:  # as careless code does
            continue


NONSENSE = {
    "a text": ("vanishing", "the rule returned 'vanishing', not a Symptom or None"),
    "a cause": (Cause("mine", 1.0, (), "why", Remedy("do", "code")), "the rule returned Cause"),
    "a severity that is none": (Symptom("mine", "awful", "text"), "its severity is 'awful', not one of critical"),
    "a message that is none": (Symptom("mine", "info", None), "holds None where a text or a number"),
    "a layer that is none": (Symptom("mine", "info", "text", layers=(3,)), "holds 3 where a text"),
    "a number that is none": (Symptom("mine", "info", "text", evidence={"loss": "high"}), "holds 'high' where"),
    "a step that is none": (Symptom("mine", "info", "text", first_step="early"), "holds 'early' where"),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_symptom_that_returns_nonsense_is_unchecked_with_the_reason(what, monkeypatch):
    result, message = NONSENSE[what]
    item = judged(monkeypatch, lambda: result)
    assert message in item.reason and "please report this" in item.reason and item.error


@pytest.mark.parametrize("error", [ZeroDivisionError("oh"), RecursionError("deep"), MemoryError("much")])
def test_a_symptom_that_raises_is_unchecked_with_its_traceback(error, monkeypatch):
    def check():
        raise error

    item = judged(monkeypatch, check)
    assert f"its rule failed ({type(error).__name__}: {error})" in item.reason
    assert "in check" in item.error


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs an alarm")
def test_a_symptom_that_loops_for_ever_is_ended_and_not_tried_again(monkeypatch):
    monkeypatch.setattr(diagnosis, "PATIENCE_S", 0.2)
    monkeypatch.setattr(diagnosis, "_ENDLESS", set())
    rule = Rule(endless)
    monkeypatch.setattr(symptoms, "SYMPTOMS", (rule,))
    began = time.perf_counter()
    first = diagnose(RECORD).unchecked[0]
    second = diagnose(RECORD).unchecked[0]
    assert time.perf_counter() - began < 2
    assert "not ended after 0.2 s" in first.reason and "is not tried again" in second.reason
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_the_users_own_alarm_is_left_alone(monkeypatch):
    mine = lambda *_: None  # noqa: E731
    before = signal.signal(signal.SIGALRM, mine)
    try:
        judged(monkeypatch, lambda: "nonsense")
        assert signal.getsignal(signal.SIGALRM) is mine
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_diagnosis_in_another_thread_needs_no_alarm():
    found = []
    thread = threading.Thread(target=lambda: found.append(diagnose(RECORD)))
    thread.start()
    thread.join()
    assert found == [diagnose(RECORD)]


def test_a_cause_that_returns_nonsense_is_unchecked(monkeypatch):
    class Blame(causes.CauseRule):
        name = "blame"
        explains = ("overfit",)

        def check(self, record, symptoms):
            return Cause("blame", "very", (), "why", Remedy("do", "code"))

    monkeypatch.setattr(causes, "CAUSES", (Blame(),))
    record = example(logs={"loss": [0.7, 0.3, 0.1, 0.02, 0.01, 0.01], "val_loss": [0.7, 0.5, 0.6, 0.9, 1.2, 1.6]})
    found = diagnose(record)
    assert found.verdict == "overfit" and found.causes == ()
    assert "holds 'very' where" in next(item for item in found.unchecked if item.name == "blame").reason
