"""Whatever is put into a record, what is written is what is read: any names, any numbers, in any order."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kregtools.record import Journal, Record

# Control characters, quotes, separators of lines that are none in JSON, halves of surrogates, and long ones.
AWKWARD = ["", "\n", "\r\n", "\u2028", "\x00", '"', "\\", "\ud800", "\U0001f9e0", "é" * 3000, "values", "layout", "NaN"]
NAMES = st.sampled_from(AWKWARD) | st.text(st.characters(), max_size=8)
NUMBERS = st.floats() | st.sampled_from([-0.0, 5e-324, -2.2e-308, 1.8e308, math.pi, 0.1]) | st.integers(-9, 9)
KEYS = st.tuples(NAMES, NAMES, NAMES)
SAMPLES = st.tuples(
    st.just("sample"), st.integers(0, 2**40), st.integers(0, 2**31), st.dictionaries(KEYS, NUMBERS, max_size=6)
)
LOGS = st.dictionaries(NAMES.filter(lambda name: name not in ("epoch", "step")), NUMBERS, max_size=5)
EPOCHS = st.tuples(st.just("epoch"), st.integers(0, 2**31), st.integers(0, 2**40), LOGS)
FACTS = st.dictionaries(
    NAMES,
    st.recursive(
        NUMBERS | NAMES | st.none() | st.booleans(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)
WHAT = st.lists(SAMPLES | EPOCHS | st.tuples(st.just("facts"), FACTS) | st.just(("flush",)), max_size=12)


def put(record: Record, event: tuple) -> None:
    if event[0] == "sample":
        record.add_sample(*event[1:])
    elif event[0] == "epoch":
        record.add_epoch(*event[1:])
    elif event[0] == "facts":
        record.add_facts(event[1])
    else:
        record.flush()


def exactly(number: float) -> str:
    """Its bits: 0.0 is not -0.0; what is not finite is one and the same."""
    return float(number).hex() if math.isfinite(number) else "not finite"


def content(record: Record) -> tuple:
    """All that can be asked of a record, in a form that compares."""
    samples = [tuple(sample) for sample in record.samples]
    keys = list(record._table.keys)
    series = {key: [exactly(value) for value in record.series(*key)] for key in keys}
    logs = [{name: exactly(value) for name, value in entry.items()} for entry in record.logs]
    return repr(record.facts), samples, keys, series, logs


def expected(events: list[tuple]) -> tuple:
    """The samples and logs that went in."""
    samples = [event[1:] for event in events if event[0] == "sample"]
    logs = [(event[1], event[2], event[3]) for event in events if event[0] == "epoch"]
    return (
        [(step, epoch, {key: exactly(value) for key, value in values.items()}) for step, epoch, values in samples],
        [{**{name: exactly(value) for name, value in each.items()}, "epoch": exactly(epoch), "step": exactly(step)}
         for epoch, step, each in logs],
    )  # fmt: skip


def check(record: Record, events: list[tuple]) -> None:
    samples, logs = expected(events)
    _, taken, _, series, reported = content(record)
    assert taken == [(step, epoch) for step, epoch, _ in samples]
    for index, (_, _, values) in enumerate(samples):
        for key, numbers in series.items():
            assert numbers[index] == values.get(key, "not finite")
    assert reported == logs


@settings(max_examples=200, deadline=None, derandomize=True)
@given(facts=FACTS, events=WHAT)
def test_what_is_written_is_what_is_read(facts, events, tmp_path_factory):
    directory = tmp_path_factory.mktemp("round")
    record = Record(facts)
    record.keep_in(Journal(directory / "as it goes"))
    for event in events:
        put(record, event)
    record.flush()
    record.save(directory / "at once")
    check(record, events)
    for place in ("as it goes", "at once"):
        read = Record.load(directory / place)
        assert content(read) == content(record)
        assert read.frame().equals(record.frame())
        text = (directory / place / "record.jsonl").read_bytes()
        assert text.isascii() and text.endswith(b"\n")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(events=WHAT, more=WHAT, epoch=st.integers(0, 40))
def test_what_is_gone_on_with_is_what_was_kept_and_what_came(events, more, epoch, tmp_path_factory):
    directory = tmp_path_factory.mktemp("resumed")
    record = Record()
    record.keep_in(Journal(directory))
    for event in events:
        put(record, event)
    record.flush()
    again = Record.load(directory).resumed(epoch, Journal(directory, resume=True))
    for event in more:
        put(again, event)
    again.flush()
    kept = [event for event in events if (event[0] == "sample" and event[2] < epoch) or
            (event[0] == "epoch" and event[1] < epoch)]  # fmt: skip
    for one in (again, Record.load(directory)):
        check(one, kept + more)
        assert len(one.frame()) == np.sum([math.isfinite(value) for event in kept + more if event[0] == "sample"
                                           for value in event[3].values()])  # fmt: skip


def test_a_journal_in_a_directory_of_any_name(tmp_path: Path):
    record = Record()
    record.add_epoch(0, 9, {"loss": 0.5})
    for name in ("with space", "ünï", "a'b\"c", "[x]*?", "line\nbreak"):
        record.save(tmp_path / name)
        assert Record.load(tmp_path / name).log("loss").tolist() == [0.5]
