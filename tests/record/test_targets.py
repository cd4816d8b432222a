"""The targets of a run, put together from its samples."""

import numpy as np
import pytest

from kregtools.record import Record, example
from kregtools.record.targets import Targets, targets_of

NAN = float("nan")


def seen(name: str = "target", **statistics: list[float]) -> Targets:
    return Targets(example(series={("", name, key): row for key, row in statistics.items()}), name)


def test_samples_of_different_sizes_make_one_mean_and_one_variance():
    parts = np.split(np.random.default_rng(0).normal(3.0, 2.0, 90), [10, 40])
    statistics = {"mean": np.mean, "std": np.std, "min": np.min, "max": np.max, "count": np.size}
    found = seen(**{name: [float(how(part)) for part in parts] for name, how in statistics.items()})
    whole = np.concatenate(parts)
    assert found.mean == pytest.approx(whole.mean()) and found.variance == pytest.approx(whole.var())
    assert (found.low, found.high) == (whole.min(), whole.max())


def test_where_a_size_is_not_known_all_samples_weigh_the_same():
    assert seen(mean=[1.0, 4.0], count=[1.0, NAN]).mean == 2.5
    assert seen(mean=[1.0, 4.0, NAN], count=[3.0, 1.0, NAN]).mean == 1.75
    assert seen(mean=[1.0, 4.0]).mean == 2.5


def test_samples_that_did_not_look_are_left_out():
    found = seen(
        mean=[NAN, 2.0], std=[NAN, 1.0], min=[NAN, 0.0], max=[NAN, 5.0], entropy=[0.5, NAN], deviation=[NAN, 0.8]
    )
    assert (found.mean, found.variance, found.low, found.high) == (2.0, 1.0, 0.0, 5.0)
    assert (found.entropy, found.deviation) == (0.5, 0.8)


def test_what_was_not_recorded_is_nan():
    found = Targets(example(), "target")
    assert not found.known
    for value in (found.mean, found.variance, found.low, found.high, found.entropy, found.deviation):
        assert np.isnan(value)
    assert found.counts.shape == (0,) and np.isnan(found.columns).all() and found.columns.shape == (1,)
    assert found.shares is None and not found.as_wide_as_output


def test_targets_are_those_of_their_name():
    record = example(
        series={("", "target:a", "mean"): [1.0], ("", "target:b", "mean"): [2.0], ("a", "target:b", "mean"): [3.0]}
    )
    assert Targets(record, "target:b").mean == 2.0 and Targets(record, "target:b").known
    assert not Targets(record, "target:c").known


def test_counts_of_labels_are_in_the_order_of_the_labels():
    counts = {f"count_{label}": [float(label), 1.0] for label in reversed(range(12))}
    assert seen(**counts).counts.tolist() == [label + 1.0 for label in range(12)]
    assert seen(count_0=[1.0, NAN], count_1=[NAN, 5.0], count=[9.0, 9.0]).counts.tolist() == [1.0, 5.0]


def wide(**changed: list[float]) -> Targets:
    """Two samples of 10 and 30 rows, three columns each."""
    columns = {"count_0": [10.0, 10.0], "count_1": [0.0, 30.0], "count_2": [0.0, 4.0]}
    sizes = {"rows": [10.0, 30.0], "count": [30.0, 90.0], "mean": [1 / 3, 44 / 90]}
    return seen(**{**columns, **sizes, **changed})


def test_the_columns_of_targets_as_wide_as_the_output():
    assert wide().columns == pytest.approx([0.5, 0.75, 0.1]) and wide().as_wide_as_output


@pytest.mark.parametrize(
    "changed", [{"count": [10.0, 30.0]}, {"count": [20.0, 60.0]}, {"rows": [0.0, 0.0]}, {"rows": [NAN, NAN]}]
)
def test_labels_are_one_column(changed):
    found = wide(**changed)
    assert found.columns.tolist() == [found.mean] and not found.as_wide_as_output


@pytest.mark.parametrize(
    "low, high, mean, share",
    [(0.0, 1.0, 0.2, 0.2), (-1.0, 1.0, 0.0, 0.5), (3.0, 7.0, 6.0, 0.75), (0.0, 1.0, 1e-3, 1e-3)],
)
def test_the_shares_of_two_values(low, high, mean, share):
    std = (high - low) * (share * (1 - share)) ** 0.5
    assert seen(mean=[mean], std=[std], min=[low], max=[high]).shares == pytest.approx([share])
    assert seen(mean=[mean], std=[0.99 * std], min=[low], max=[high]).shares is None
    assert seen(mean=[mean], std=[0.9999 * std], min=[low], max=[high]).shares is not None


def test_a_single_value_has_no_shares():
    assert seen(mean=[2.0], std=[0.0], min=[2.0], max=[2.0]).shares is None


def test_the_shares_of_columns():
    std = [(mean * (1 - mean)) ** 0.5 for mean in (1 / 3, 44 / 90)]
    found = wide(std=std, min=[0.0] * 2, max=[1.0] * 2)
    assert found.shares == pytest.approx([0.5, 0.75, 0.1])


# ---- which targets are those of a loss


def recorded(*names: str) -> Record:
    return example(series={("", name, "mean"): [float(index)] for index, name in enumerate(names)})


def found(record: Record, *losses: dict) -> list[float] | None:
    """The means of the targets of each loss, by which the records here tell them apart."""
    paired = targets_of(record, list(losses))
    return None if paired is None else [targets.mean for _, targets in paired]


@pytest.mark.parametrize(
    "losses, means",
    [
        ([{"target": "target:b"}, {"target": "target:a"}], [1, 0]),
        ([{"output": "b"}, {"output": "a"}], [1, 0]),
        ([{}, {}], [0, 1]),
        ([{"target": "target:b"}, {"target": "target:b"}], [1, 1]),
        ([{"target": "target:b"}], [1]),
        ([{}], [0, 1]),
        ([{}, {}, {}], None),
        ([{"target": "target:c"}], None),
        ([{"target": "target:a"}, {}, {}], None),
    ],
)
def test_each_loss_has_the_targets_that_it_names_or_that_are_in_its_place(losses, means):
    assert found(recorded("target:a", "target:b"), *losses) == means


def test_targets_may_be_named_by_their_place():
    assert found(recorded("target:1", "target:0"), {}, {}) == [1, 0]


def test_losses_come_with_their_targets():
    losses = [{"name": "huber"}, {"name": "hinge"}]
    assert [loss for loss, _ in targets_of(recorded("target:a", "target:b"), losses)] == losses
    assert [loss for loss, _ in targets_of(recorded("target:a", "target:b"), losses[:1])] == losses[:1] * 2


def test_the_only_targets_are_those_of_the_only_loss():
    assert found(recorded("target"), {}) == [0]
    assert found(recorded("target:a"), {"output": "b"}) == [0]
    assert found(recorded("target"), {}, {}) == [0, 0]
    assert found(recorded("target:a"), {}, {}) is None
    assert found(recorded("output", "a"), {"target": "target:b"}) == pytest.approx([NAN], nan_ok=True)


def test_labels_that_were_only_counted_are_targets():
    record = example(series={("", "target:b", "count_0"): [3.0], ("", "output", "count_0"): [3.0]})
    ((_, targets),) = targets_of(record, [{}])
    assert targets.counts.tolist() == [3.0]


def test_targets_that_were_not_recorded_are_not_known():
    ((_, targets),) = targets_of(example(), [{}])
    assert not targets.known
    assert [targets.known for _, targets in targets_of(example(), [{"output": "a"}, {"output": "b"}])] == [False, False]
    assert targets_of(example(), []) == []
