"""Where the yardsticks of a loss begin to be known, and where they are not."""

import math

import pytest

from kregtools.record import constant_loss, example, perfect_loss


def entropy(*shares: float) -> float:
    return -sum(share * math.log(share) for share in shares if share)


def seen(name: str, outputs=None, settings=None, **targets: float):
    series = {("", "target", statistic): [value] for statistic, value in targets.items()}
    return example(series=series, facts={"losses": [{"name": name, **(settings or {})}], "outputs": outputs})


def classes(*counts: float, outputs=({"shape": [None, 3]},), **settings):
    known = {f"count_{label}": count for label, count in enumerate(counts)}
    return seen("sparse_categorical_crossentropy", list(outputs), settings, **known)


# ---- classes


@pytest.mark.parametrize("counts, known", [((7, 4, 4), True), ((6, 4, 4), False), ((14, 1, 0), True)])
def test_five_labels_a_class_are_needed(counts, known):
    shares = [count / sum(counts) for count in counts]
    assert constant_loss(classes(*counts)) == pytest.approx(entropy(*shares) if known else math.log(3))


def test_one_class_alone_tells_nothing_of_the_others():
    assert constant_loss(classes(300, 0, 0)) == pytest.approx(math.log(3))
    assert constant_loss(classes(299, 1, 0)) == pytest.approx(entropy(299 / 300, 1 / 300))


@pytest.mark.parametrize("ignored, shares", [(0, (0.5, 0.5)), (2, (0.5, 0.5)), (-1, None), (3, None), (None, None)])
def test_a_class_that_is_ignored_has_no_share(ignored, shares):
    counts = (100, 100, 100)
    found = constant_loss(classes(*counts, ignore_class=ignored))
    assert found == pytest.approx(entropy(*(shares or (1 / 3, 1 / 3, 1 / 3))))


@pytest.mark.parametrize(
    "outputs, loss",
    [
        ([{"shape": [None, 2]}], math.log(2)),
        ([{"shape": [None, 5, 7]}], math.log(7)),
        ([{"shape": [None, 1]}], None),
        ([{"shape": [None, None]}], None),
        ([{"shape": None}], None),
        ([{}], None),
        ([], None),
        ([{"name": "a", "output": "a", "shape": [None, 2]}, {"name": "b", "output": "b", "shape": [None, 2]}], None),
    ],
)
def test_classes_that_were_not_counted_are_as_many_as_the_outputs_units(outputs, loss):
    assert constant_loss(classes(outputs=outputs)) == (pytest.approx(loss) if loss else None)


@pytest.mark.parametrize("named, loss", [("left", math.log(2)), ("right", math.log(9)), ("other", None)])
@pytest.mark.parametrize("key", ["output", "name"])
def test_the_units_are_those_of_the_losss_own_output(key, named, loss):
    outputs = [{key: "left", "shape": [None, 2]}, {key: "right", "shape": [None, 9]}]
    assert constant_loss(classes(outputs=outputs, output=named)) == (pytest.approx(loss) if loss else None)


# ---- two values


@pytest.mark.parametrize(
    "targets, known",
    [
        ({"mean": 0.2, "min": 0.0, "max": 1.0}, True),
        ({"mean": 0.2}, True),
        ({"mean": 0.2, "min": -0.1, "max": 1.0}, False),
        ({"mean": 0.2, "min": 0.0, "max": 1.1}, False),
        ({"mean": -0.2}, False),
        ({"mean": 1.2}, False),
        ({"mean": 0.0}, False),
        ({"mean": 1.0}, False),
    ],
)
@pytest.mark.parametrize("smoothing", [None, 0.2])
def test_a_binary_crossentropy_needs_targets_from_zero_to_one_that_are_not_all_the_same(targets, known, smoothing):
    found = constant_loss(seen("binary_crossentropy", settings={"label_smoothing": smoothing}, **targets))
    share = 0.2 if smoothing is None else 0.26
    assert found == (pytest.approx(entropy(share, 1 - share)) if known else None)


@pytest.mark.parametrize("column", [-20, 120])
def test_a_column_whose_mean_is_no_share_has_no_entropy(column):
    columns = {"count": 200, "rows": 100, "count_0": 20, "count_1": column}
    assert constant_loss(seen("binary_crossentropy", mean=0.4, **columns)) is None


@pytest.mark.parametrize("column", [-20, 0])
def test_a_poisson_loss_is_the_mean_of_its_columns(column):
    """None of which has a negative mean."""
    columns = {"count": 200, "rows": 100, "count_0": 50, "count_1": column}
    expected = (0.5 + 0.5 * math.log(2)) / 2
    assert constant_loss(seen("poisson", mean=0.2, **columns)) == (pytest.approx(expected) if column == 0 else None)


def test_a_column_that_is_always_the_same_costs_nothing():
    columns = {"count": 300, "rows": 100, "count_0": 0, "count_1": 50, "count_2": 100}
    record = seen("binary_crossentropy", mean=0.5, min=0.0, max=1.0, **columns)
    assert constant_loss(record) == pytest.approx(math.log(2) / 3)
    columns = {"count": 300, "rows": 100, "count_0": 0, "count_1": 100, "count_2": 100}
    assert constant_loss(seen("binary_crossentropy", mean=2 / 3, min=0.0, max=1.0, **columns)) is None


# ---- numbers


@pytest.mark.parametrize(
    "low, high, delta, known",
    [(-0.5, 0.5, None, True), (-0.6, 0.5, None, False), (5.0, 7.0, 2.0, True), (5.0, 7.1, 2.0, False)],
)
def test_a_huber_loss_is_known_where_no_targets_are_further_apart_than_its_delta(low, high, delta, known):
    record = seen("huber", settings={"delta": delta}, mean=low, std=0.4, min=low, max=high)
    assert constant_loss(record) == (pytest.approx(0.08) if known else None)


def test_the_distance_of_numbers_from_their_median_has_to_be_recorded():
    numbers = {"mean": 0.0, "std": 1.0, "min": -3.0, "max": 3.0}
    assert constant_loss(seen("mean_absolute_error", **numbers, deviation=0.8)) == 0.8
    assert constant_loss(seen("mean_absolute_error", **numbers)) is None


@pytest.mark.parametrize(
    "low, high, hinge, squared",
    [(0.0, 1.0, 0.4, 0.64), (-1.0, 1.0, 0.4, 0.64), (0.0, 2.0, None, None), (-1.0, 0.0, None, None)],
)
def test_a_hinge_needs_two_values_that_it_takes_for_signs(low, high, hinge, squared):
    two = {"mean": low + 0.2 * (high - low), "std": 0.4 * (high - low), "min": low, "max": high}
    assert constant_loss(seen("hinge", **two)) == (pytest.approx(hinge) if hinge else None)
    assert constant_loss(seen("squared_hinge", **two)) == (pytest.approx(squared) if squared else None)


@pytest.mark.parametrize(
    "mean, loss", [(0.5, 0.5 + 0.5 * math.log(2)), (1.0, 1.0), (3.0, None), (0.0, None), (-0.1, None)]
)
def test_a_poisson_loss_is_a_yardstick_where_it_is_positive(mean, loss):
    assert constant_loss(seen("poisson", mean=mean)) == (pytest.approx(loss) if loss else None)


def test_a_divergence_needs_columns_and_their_entropy():
    columns = {"mean": 0.5, "count": 200, "rows": 100, "count_0": 50, "count_1": 50}
    assert constant_loss(seen("kl_divergence", **columns, entropy=0.3)) == pytest.approx(math.log(2) - 0.3)
    assert constant_loss(seen("kl_divergence", **columns)) is None
    assert constant_loss(seen("kl_divergence", mean=0.5, entropy=0.3)) is None
    doubled = {**columns, "count_0": 100, "count_1": 100}
    assert constant_loss(seen("kl_divergence", **doubled, entropy=0.3)) == pytest.approx(2 * math.log(2) - 0.3)


# ---- several losses, and what is made of them


NUMBERS = {"mean": 0.0, "std": 1.0}


@pytest.mark.parametrize(
    "reduction, known", [("mean", True), ("sum_over_batch_size", True), ("sum", False), ("none", False), (None, False)]
)
def test_a_loss_is_comparable_where_it_is_a_mean(reduction, known):
    record = seen("mean_squared_error", settings={"reduction": reduction}, **NUMBERS)
    assert constant_loss(record) == (1.0 if known else None)


@pytest.mark.parametrize("weight, loss", [(3.0, 3.0), (1.0, 1.0), (0.0, None), (-1.0, None), (None, None)])
def test_a_loss_counts_by_its_weight(weight, loss):
    assert constant_loss(seen("mean_squared_error", settings={"weight": weight}, **NUMBERS)) == loss


@pytest.mark.parametrize("losses", [None, [], [{"name": None}], [{"name": "my_own"}], [{}]])
def test_other_losses_have_no_yardstick(losses):
    record = example(
        series={("", "target", name): [value] for name, value in NUMBERS.items()}, facts={"losses": losses}
    )
    assert constant_loss(record) is None and perfect_loss(record) is None


def test_all_losses_have_to_be_known():
    series = {("", "target", name): [value] for name, value in NUMBERS.items()}
    known = {"name": "mean_squared_error"}
    assert constant_loss(example(series=series, facts={"losses": [known, known]})) == 2.0
    assert constant_loss(example(series=series, facts={"losses": [known, {"name": "my_own"}]})) is None
    assert constant_loss(example(facts={"losses": [known]})) is None
    named = [{**known, "target": "target:a"}, {**known, "target": "target:b"}]
    other = {("", "target:a", name): [value] for name, value in NUMBERS.items()}
    assert (
        constant_loss(example(series={**other, ("", "target:c", "mean"): [0.0]}, facts={"losses": [*named, known]}))
        is None
    )


# ---- a perfect prediction


@pytest.mark.parametrize(
    "name", ["mean_squared_error", "mean_absolute_error", "huber", "hinge", "squared_hinge", "kl_divergence"]
)
def test_nothing_is_left_by_a_perfect_prediction(name):
    assert perfect_loss(seen(name, **NUMBERS)) == 0.0
    assert perfect_loss(seen("poisson", mean=0.5)) is None


def test_smoothed_labels_leave_their_entropy():
    smoothed = entropy(0.925, 0.025, 0.025, 0.025)
    four = [{"shape": [None, 4]}]
    sparse = classes(10, 10, 10, 10, outputs=four, label_smoothing=0.1)
    assert perfect_loss(sparse) == pytest.approx(smoothed)
    assert perfect_loss(classes(10, 10, 10, 10, outputs=[], label_smoothing=0.1)) == pytest.approx(smoothed)
    assert perfect_loss(classes(outputs=[], label_smoothing=0.1)) is None
    assert perfect_loss(classes(10, 10)) == 0.0
    one_hot = seen("categorical_crossentropy", four, {"label_smoothing": 0.1}, entropy=0.0)
    assert perfect_loss(one_hot) == pytest.approx(smoothed)


def test_soft_targets_leave_their_entropy_where_it_was_recorded():
    assert perfect_loss(seen("categorical_crossentropy", entropy=0.3)) == 0.3
    assert perfect_loss(seen("categorical_crossentropy", mean=0.3)) is None
    both = seen("categorical_crossentropy", [{"shape": [None, 4]}], {"label_smoothing": 0.1}, entropy=0.3)
    assert perfect_loss(both) is None


def test_two_values_leave_nothing_but_what_smoothing_leaves():
    two = {"mean": 0.2, "std": 0.4, "min": 0.0, "max": 1.0}
    assert perfect_loss(seen("binary_crossentropy", **two)) == 0.0
    smoothed = seen("binary_crossentropy", settings={"label_smoothing": 0.2}, **two)
    assert perfect_loss(smoothed) == pytest.approx(entropy(0.1, 0.9))


def test_soft_targets_of_two_values_leave_their_entropy_where_it_was_recorded():
    soft = {"mean": 0.2, "std": 0.1, "min": 0.0, "max": 1.0}
    assert perfect_loss(seen("binary_crossentropy", **soft, entropy=0.4)) == 0.4
    assert perfect_loss(seen("binary_crossentropy", **soft)) is None
    assert perfect_loss(seen("binary_crossentropy", settings={"label_smoothing": 0.1}, **soft, entropy=0.4)) is None
    signs = {"mean": 0.0, "std": 1.0, "min": -1.0, "max": 1.0}
    assert perfect_loss(seen("binary_crossentropy", **signs)) is None
    columns = {"count": 200, "rows": 100, "count_0": 20, "count_1": 20}
    wide = {**soft, **columns, "entropy": 0.4}
    assert perfect_loss(seen("binary_crossentropy", **wide)) is None
    assert perfect_loss(seen("binary_crossentropy", **wide, binary_entropy=0.3)) == 0.3
    # Of more columns than are counted, the sum over them is no entropy of one value.
    assert perfect_loss(seen("binary_crossentropy", **soft, entropy=40.0, binary_entropy=0.3)) == 0.3
