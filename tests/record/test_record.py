import json
import math

import numpy as np
import pytest

from kregtools.errors import KregtoolsWarning, RecordError
from kregtools.record import Journal, Record, example

KERNEL = ("dense", "kernel", "gradient_norm")


def small_record() -> Record:
    return example(
        logs={"loss": [0.7, 0.5], "val_loss": [0.8, math.nan]},
        series={KERNEL: [1.0, 2.0, math.inf], ("", "loss", "value"): [0.7, 0.6, 0.5]},
        facts={"model": {"name": "mlp"}},
    )


def same(a: Record, b: Record) -> bool:
    return a.facts == b.facts and a.frame().equals(b.frame()) and str([*a.logs]) == str([*b.logs])


def test_what_is_saved_is_what_is_loaded(tmp_path):
    record = small_record()
    record.save(tmp_path)
    assert same(Record.load(tmp_path), record)
    assert same(Record.load(tmp_path / "record.jsonl"), record)


def test_every_line_is_json_without_nan(tmp_path):
    small_record().save(tmp_path)
    for line in (tmp_path / "record.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda token: pytest.fail(f"{token} is not JSON"))


def test_frame_is_long_and_leaves_out_what_was_not_measured():
    frame = small_record().frame()
    assert list(frame.columns) == ["step", "epoch", "layer", "tensor", "statistic", "value"]
    kernel = frame[frame.tensor == "kernel"]
    assert kernel.value.tolist() == [1.0, 2.0]
    assert kernel.step.tolist() == [0, 1]


def test_a_statistic_that_appears_later_is_nan_before(tmp_path):
    record = Record()
    record.keep_in(Journal(tmp_path))
    record.add_sample(0, 0, {KERNEL: 1.0})
    record.add_sample(1, 0, {KERNEL: 2.0, ("late", "kernel", "gradient_norm"): 3.0})
    record.flush()
    for read in (record, Record.load(tmp_path)):
        layers, values = read.matrix("kernel", "gradient_norm")
        assert layers == ["dense", "late"]
        np.testing.assert_array_equal(values, [[1.0, np.nan], [2.0, 3.0]])


LATE = ("late", "kernel", "gradient_norm")


def alternating(samples: int = 40) -> tuple[Record, list[dict]]:
    """Every fifth sample measures more, and in another order."""
    rows = []
    for step in range(samples):
        row = {KERNEL: float(step), ("", "loss", "value"): -float(step)}
        rows.append({LATE: step / 2, **dict(reversed(row.items()))} if step % 5 == 4 else row)
    record = Record()
    for step, row in enumerate(rows):
        record.add_sample(10 * step, step // 8, row)
    return record, rows


def test_samples_that_measure_different_things_alternate(tmp_path):
    record, rows = alternating()
    record.save(tmp_path)
    for read in (record, Record.load(tmp_path)):
        layers, values = read.matrix("kernel", "gradient_norm")
        assert layers == ["dense", "late"]
        np.testing.assert_array_equal(values[:, 0], np.arange(40))
        np.testing.assert_array_equal(values[:, 1], [row.get(LATE, np.nan) for row in rows])
        np.testing.assert_array_equal(read.series("", "loss", "value"), -np.arange(40.0))
        assert read.series("no", "such", "thing").shape == (40,) and np.isnan(read.series("no", "such", "thing")).all()
        frame = read.frame()
        assert len(frame) == sum(len(row) for row in rows)
        assert frame[frame.step == 40].value.tolist() == [4.0, -4.0, 2.0]


def test_the_last_samples_alone_are_read():
    record, _ = alternating()
    start = int(np.searchsorted(record.sample_epochs, 4))
    assert start == 32 and record.samples[start].epoch == 4 and record.samples[-1].step == 390
    for begin in (0, start, 40, 50):
        np.testing.assert_array_equal(
            record.matrix("kernel", "gradient_norm", begin)[1], record.matrix("kernel", "gradient_norm")[1][begin:]
        )
        np.testing.assert_array_equal(record.series(*LATE, begin), record.series(*LATE)[begin:])


def test_samples_are_a_sequence():
    record, _ = alternating(3)
    assert len(record.samples) == 3 and bool(record.samples) and not Record().samples
    assert [sample.step for sample in record.samples] == [0, 10, 20] == record.steps.tolist()
    assert [sample.step for sample in record.samples[1:]] == [10, 20]


def test_what_was_not_measured_takes_no_room_on_disk(tmp_path):
    record, rows = alternating()
    record.save(tmp_path)
    entries = [json.loads(line) for line in (tmp_path / "record.jsonl").read_text().splitlines()]
    assert [len(entry["values"]) for entry in entries if "values" in entry] == [len(row) for row in rows]
    assert sum("layout" in entry and "values" not in entry for entry in entries) == 2


def test_blocks_are_filled_one_after_the_other(monkeypatch):
    monkeypatch.setattr("kregtools.record.table.BLOCK", 64)
    record = Record()
    for step in range(100):
        record.add_sample(step, 0, {("dense", "kernel", str(index)): 100.0 * step + index for index in range(5)})
    values = np.stack([record.series("dense", "kernel", str(index)) for index in range(5)], axis=1)
    np.testing.assert_array_equal(values, 100 * np.arange(100)[:, None] + np.arange(5))
    np.testing.assert_array_equal(record.series("dense", "kernel", "3", 57), values[57:, 3])


def test_a_sample_without_values_counts():
    record = Record()
    record.add_sample(0, 0, {})
    record.add_sample(1, 0, {KERNEL: 1.0})
    np.testing.assert_array_equal(record.series(*KERNEL), [np.nan, 1.0])


def test_numbers_of_numpy_are_numbers_in_json():
    facts = {"a": np.float32(0.5), "b": np.arange(2), "c": np.float64("nan"), "d": np.bool_(True), "e": object}
    assert Record(facts).facts == {"a": 0.5, "b": [0, 1], "c": None, "d": True, "e": "<class 'object'>"}


def test_what_is_flushed_can_be_read_while_the_run_goes_on(tmp_path):
    record = Record({"model": {"name": "mlp"}})
    record.keep_in(Journal(tmp_path))
    record.add_epoch(0, 9, {"loss": 0.7})
    record.flush()
    record.add_epoch(1, 19, {"loss": 0.6})
    assert Record.load(tmp_path).log("loss").tolist() == [0.7]


def test_the_last_of_several_fits_is_read(tmp_path):
    journal = Journal(tmp_path)
    for loss in (0.7, 0.3):
        record = Record()
        record.keep_in(journal)
        record.add_epoch(0, 9, {"loss": loss})
        record.flush()
    assert Record.load(tmp_path).log("loss").tolist() == [0.3]


def test_a_second_run_does_not_share_the_journal(tmp_path):
    small_record().save(tmp_path)
    with pytest.raises(FileExistsError):
        small_record().save(tmp_path)


def test_a_torn_last_line_is_dropped_with_a_warning(tmp_path):
    record = small_record()
    record.save(tmp_path)
    path = tmp_path / "record.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.warns(KregtoolsWarning, match="last line .* is incomplete and was dropped"):
        read = Record.load(tmp_path)
    assert read.log("loss").tolist() == [0.7]
    assert read.frame().equals(record.frame())


@pytest.mark.parametrize(
    "damage",
    [b"{broken\n", b'{"who": "knows"}\n', b'{"values": 3, "step": 0, "epoch": 0}\n', b"[]\n", b'{"layout": [7]}\n'],
)
def test_damage_in_the_middle_is_an_error_with_the_line(tmp_path, damage):
    small_record().save(tmp_path)
    path = tmp_path / "record.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], damage, *lines[3:]]))
    with pytest.raises(RecordError, match=r"is damaged: line 4 .* delete it from that line on"):
        Record.load(tmp_path)


def test_a_file_that_is_no_record_is_an_error(tmp_path):
    (tmp_path / "record.jsonl").write_text("hello\n")
    with pytest.raises(RecordError, match="line 1 of 1 cannot be read"):
        Record.load(tmp_path)


def test_an_unknown_schema_is_an_error(tmp_path):
    (tmp_path / "record.jsonl").write_text('{"schema": 99}\n')
    with pytest.raises(RecordError, match=r"Received: schema=99. Expected one of 1, 2. Read it with the version"):
        Record.load(tmp_path)


def test_no_record_is_an_error_that_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no record at .*record\.jsonl.*HealthMonitor\(directory"):
        Record.load(tmp_path / "nowhere")
