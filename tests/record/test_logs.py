import numpy as np
import pytest

from kregtools.record import Record


def logged(*epochs):
    record = Record()
    for epoch, logs in enumerate(epochs):
        record.add_epoch(epoch, 10 * epoch + 9, logs)
    return record


def test_epochs_read_as_the_dicts_that_were_added():
    given = [{"loss": 1.5}, {"loss": 0.5, "val_loss": 0.25}, {"val_loss": 2.0, "loss": 0.125}]
    record = logged(*given)
    expected = [{**logs, "epoch": epoch, "step": 10 * epoch + 9} for epoch, logs in enumerate(given)]
    assert [*record.logs] == expected and record.logs[1:] == expected[1:] and record.logs[-1] == expected[-1]
    assert [[*logs] for logs in record.logs] == [[*logs] for logs in expected]  # in their order
    assert isinstance(record.logs[0]["step"], int)
    with pytest.raises(IndexError):
        record.logs[3]


def test_a_log_by_epoch_is_nan_where_it_was_absent_or_not_finite():
    record = logged({"loss": np.inf}, {"loss": 1, "val_loss": 2.0}, {"loss": None})
    np.testing.assert_array_equal(record.log("loss"), [np.nan, 1.0, np.nan])
    np.testing.assert_array_equal(record.log("val_loss"), [np.nan, 2.0, np.nan])
    np.testing.assert_array_equal(record.log("accuracy"), [np.nan] * 3)
    assert "val_loss" not in record.logs[0] and np.isnan(record.logs[0]["loss"])


def test_what_is_no_number_adds_nothing():
    record = logged({"loss": 1.0})
    with pytest.raises((TypeError, ValueError)):
        record.add_epoch(1, 19, {"loss": 0.5, "accuracy": "high"})
    assert len(record.logs) == len(record.log("loss")) == 1 and record.log("accuracy").size == 1
    record.add_epoch(1, 19, {"loss": 0.5})
    assert record.log("loss").tolist() == [1.0, 0.5]
