"""A record that is gone on with: after an interruption, in the same process or in another."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from kregtools.errors import RecordError
from kregtools.record import Journal, Record

KEY = ("dense", "kernel", "gradient_norm")
LATE = ("late", "kernel", "gradient_norm")


def add(record: Record, *epochs: int, loss: float) -> None:
    for epoch in epochs:
        keys = (KEY,) if epoch == 0 else (KEY, LATE)
        record.add_sample(10 * epoch, epoch, dict.fromkeys(keys, loss))
        record.add_epoch(epoch, 10 * epoch + 9, {"loss": loss})
        record.flush()


def begun(directory: Path, *epochs: int) -> Record:
    record = Record({"seed": 1, "run": "first"})
    record.keep_in(Journal(directory))
    add(record, *epochs, loss=0.7)
    return record


def resumed(directory: Path, epoch: int) -> Record:
    journal = Journal(directory, resume=True)
    record = Record.load(directory).resumed(epoch, journal)
    record.add_facts({"run": "second"})
    record.flush()
    return record


@pytest.mark.parametrize("elsewhere", [False, True])
def test_of_an_epoch_trained_twice_the_later_one_counts(tmp_path, elsewhere):
    first = begun(tmp_path, 0, 1, 2)
    record = resumed(tmp_path, 1) if elsewhere else first.resumed(1)
    add(record, 1, 2, 3, loss=0.3)
    for read in (record, Record.load(tmp_path)):
        assert read.epochs.tolist() == [0, 1, 2, 3]
        assert read.log("loss").tolist() == [0.7, 0.3, 0.3, 0.3]
        assert read.steps.tolist() == [0, 10, 20, 30]
        np.testing.assert_array_equal(read.matrix("kernel", "gradient_norm")[1],
                                      [[0.7, np.nan], [0.3, 0.3], [0.3, 0.3], [0.3, 0.3]])  # fmt: skip
        assert read.facts["seed"] == 1 and read.facts["run"] == ("second" if elsewhere else "first")


def test_epochs_that_nobody_saw_are_a_gap(tmp_path):
    begun(tmp_path, 0, 1)
    add(resumed(tmp_path, 4), 4, loss=0.3)
    assert Record.load(tmp_path).epochs.tolist() == [0, 1, 4]


def test_from_epoch_0_it_starts_anew(tmp_path):
    begun(tmp_path, 0, 1)
    add(resumed(tmp_path, 0), 0, loss=0.3)
    assert Record.load(tmp_path).log("loss").tolist() == [0.3]


def test_nothing_is_taken_from_the_file_but_a_torn_last_line(tmp_path):
    begun(tmp_path, 0, 1)
    path = tmp_path / "record.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"epoch": 2, "step": 2')
    add(resumed(tmp_path, 2), 2, loss=0.3)
    assert path.read_bytes().startswith(whole)
    assert Record.load(tmp_path).log("loss").tolist() == [0.7, 0.7, 0.3]


@pytest.mark.parametrize("left", [b"", b'{"sch'])
def test_a_file_whose_first_line_was_cut_short_is_begun_anew(tmp_path, left):
    (tmp_path / "record.jsonl").write_bytes(left)
    add(resumed(tmp_path, 0), 0, loss=0.3)
    assert Record.load(tmp_path).log("loss").tolist() == [0.3]


def test_where_there_is_nothing_to_resume_a_record_begins(tmp_path):
    add(resumed(tmp_path / "new", 0), 0, loss=0.3)
    assert Record.load(tmp_path / "new").log("loss").tolist() == [0.3]


def test_damage_is_told_and_the_file_left_alone(tmp_path):
    begun(tmp_path, 0)
    path = tmp_path / "record.jsonl"
    path.write_bytes(path.read_bytes() + b"garbage\n" + b'{"epoch": 1, "step": 9, "logs": {}}\n')
    before = path.read_bytes()
    with pytest.raises(RecordError, match=r"is damaged: line \d+ of \d+ cannot be read"):
        resumed(tmp_path, 1)
    assert path.read_bytes() == before


def test_two_writers_in_one_file_are_an_error_for_the_later_one(tmp_path):
    first = begun(tmp_path, 0)
    add(resumed(tmp_path, 1), 1, loss=0.3)
    first.add_epoch(1, 19, {"loss": 0.9})
    with pytest.raises(OSError, match=r"the file has \d+ bytes where \d+ were left: another process writes to it"):
        first.flush()
    assert Record.load(tmp_path).log("loss").tolist() == [0.7, 0.3]


def test_a_record_of_the_first_schema_is_read():
    record = Record.load(Path(__file__).parent / "schema_1.jsonl")
    assert record.facts == {"model": {"name": "mlp"}, "optimizer": {"learning_rate": 0.01}}
    assert record.steps.tolist() == [0, 3, 13]
    np.testing.assert_array_equal(record.series(*KEY), [1.0, np.nan, 2.5])
    np.testing.assert_array_equal(record.series(*LATE), [np.nan, np.nan, 3.0])
    np.testing.assert_array_equal(record.log("val_loss"), [0.8, np.nan])


def test_the_journal_grows_by_what_is_added_and_no_more(tmp_path):
    record = begun(tmp_path, 0, 1)
    path = tmp_path / "record.jsonl"
    sizes = []
    for epoch in range(2, 40):
        add(record, epoch, loss=0.5)
        sizes.append(path.stat().st_size)
    growth = np.diff(sizes)
    assert growth.max() <= growth.min() + 8  # a digit more in steps and epochs
    lines = path.read_text().splitlines()
    assert len(lines) == len({json.dumps(json.loads(line)) for line in lines})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_an_error_of_the_system(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        Journal(tmp_path / "run")
