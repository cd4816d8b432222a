import math

import numpy as np
import pytest

from kregtools.record import constant_loss, example, perfect_loss


def targets(loss: str, **statistics: list[float]):
    return example(
        series={("", "target", name): values for name, values in statistics.items()},
        facts={"losses": [{"name": loss}], "outputs": [{"name": "out", "shape": [None, 4]}]},
    )


def test_crossentropy_is_the_entropy_of_the_labels_seen():
    record = targets("sparse_categorical_crossentropy", count_0=[30, 60], count_1=[10, 0], count_2=[0, 0])
    expected = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert constant_loss(record) == pytest.approx(expected)


def test_binary_crossentropy_is_the_entropy_of_the_mean():
    record = targets("binary_crossentropy", mean=[0.2, 0.3])
    assert constant_loss(record) == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))


def test_squared_error_is_the_variance_over_all_batches():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=(10, 100))
    record = targets("mean_squared_error", mean=values.mean(axis=1).tolist(), std=values.std(axis=1).tolist())
    assert constant_loss(record) == pytest.approx(values.var())


def test_without_targets_the_labels_are_taken_as_equally_frequent():
    facts = {"outputs": [{"name": "out", "shape": [None, 4]}]}
    assert constant_loss(example(facts={**facts, "losses": [{"name": "categorical_crossentropy"}]})) == math.log(4)
    assert constant_loss(example(facts={**facts, "losses": [{"name": "binary_crossentropy"}]})) == math.log(2)


@pytest.mark.parametrize("losses", [[], [{"name": "log_cosh"}], [{"name": "huber"}], [{"name": "kl_divergence"}]])
def test_what_cannot_be_told_is_none(losses):
    assert constant_loss(example(facts={"losses": losses})) is None


# ---- against the constant that a search finds

RNG = np.random.default_rng(1)


def statistics(y: np.ndarray, batch: int = 40) -> dict[str, list[float]]:
    """What is recorded of targets as wide as the output, `(rows, columns)`, batch by batch."""
    batches = [y[start : start + batch] for start in range(0, len(y), batch)]
    positive = [np.where(part > 0, part, 1.0) for part in batches]
    found = {
        "mean": [part.mean() for part in batches],
        "std": [part.std() for part in batches],
        "min": [part.min() for part in batches],
        "max": [part.max() for part in batches],
        "count": [part.size for part in batches],
    }
    if y.shape[1] == 1:
        distances = [np.abs(part - np.median(part)) for part in batches]
        found["deviation"] = [distance.mean() for distance in distances]
        found["huber"] = [huber(distance, 0.0, 1.0) for distance in distances]
        found["log_cosh"] = [log_cosh(distance, 0.0) for distance in distances]
        return found
    found["rows"] = [len(part) for part in batches]
    found["entropy"] = [-(part * np.log(part)).sum(axis=1).mean() for part in positive]
    return {**found, **{f"count_{k}": [part[:, k].sum() for part in batches] for k in range(y.shape[1])}}


def recorded(loss: str, y: np.ndarray, **settings):
    series = {("", "target", name): values for name, values in statistics(y).items()}
    return example(series=series, facts={"losses": [{"name": loss, **settings}]})


def lowest(cost, start: np.ndarray) -> float:
    """The least cost over constants, by coordinate search with ever smaller steps."""
    best, where, step = cost(start), start.astype(float), 1.0
    while step > 1e-5:
        moves = [where + step * sign * unit for unit in np.eye(len(where)) for sign in (1, -1)]
        costs = [cost(move) for move in moves]
        if min(costs) < best - 1e-12:
            best, where = min(costs), moves[int(np.argmin(costs))]
        else:
            step /= 2
    return best


def softmax(z):
    return np.exp(z - z.max()) / np.exp(z - z.max()).sum()


def sigmoid(z):
    return np.clip(1 / (1 + np.exp(-z)), 1e-12, 1 - 1e-12)


def smoothed(y, by, classes):
    return y * (1 - by) + by / classes


def crossentropy(y, z):
    return -(y * np.log(softmax(z))).sum(axis=1).mean()


def binary(y, z):
    return -(y * np.log(sigmoid(z)) + (1 - y) * np.log(1 - sigmoid(z))).mean()


def huber(y, c, delta):
    error = np.abs(y - c)
    return np.where(error <= delta, error**2 / 2, delta * error - delta**2 / 2).mean()


def log_cosh(y, c):
    return np.log(np.cosh(y - c)).mean()


ONE_HOT = np.eye(4)[RNG.choice(4, p=[0.6, 0.2, 0.15, 0.05], size=410)]
SOFT = RNG.dirichlet([3.0, 1.0, 0.5], size=410)
BITS = (RNG.random((410, 3)) < [0.1, 0.5, 0.8]).astype(float)
NUMBERS = RNG.normal([1.0, 5.0], [1.0, 2.0], size=(410, 2))
BIT, NUMBER, SIGNS = BITS[:, :1], NUMBERS[:, :1], 2 * BITS - 1
COUNTS = RNG.poisson([0.3, 1.5], size=(410, 2)).astype(float)
FOUND = {
    "one-hot": ("categorical_crossentropy", ONE_HOT, {}, crossentropy),
    "one-hot, smoothed": (
        "categorical_crossentropy",
        ONE_HOT,
        {"label_smoothing": 0.1},
        lambda y, z: crossentropy(smoothed(y, 0.1, 4), z),
    ),
    "soft": ("categorical_crossentropy", SOFT, {}, crossentropy),
    "soft, sums of 2": ("categorical_crossentropy", 2 * SOFT, {}, crossentropy),
    "binary": ("binary_crossentropy", BIT, {}, binary),
    "binary, smoothed": (
        "binary_crossentropy",
        BIT,
        {"label_smoothing": 0.2},
        lambda y, z: binary(smoothed(y, 0.2, 2), z),
    ),
    "several binary": ("binary_crossentropy", BITS, {}, binary),
    "soft binary": ("binary_crossentropy", SOFT, {}, binary),
    "squared": ("mean_squared_error", NUMBERS, {}, lambda y, c: ((y - c) ** 2).mean()),
    "squared, one column": ("mean_squared_error", NUMBER, {}, lambda y, c: ((y - c) ** 2).mean()),
    "absolute, two values": ("mean_absolute_error", 3 * BITS + 1, {}, lambda y, c: np.abs(y - c).mean()),
    "huber": ("huber", BITS, {}, lambda y, c: huber(y, c, 1.0)),
    "huber, wide": ("huber", NUMBERS, {"delta": 30.0}, lambda y, c: huber(y, c, 30.0)),
    "poisson": ("poisson", COUNTS, {}, lambda y, z: (np.exp(z) - y * z).mean()),
    "divergence": (
        "kl_divergence",
        SOFT,
        {},
        lambda y, z: (y * np.log(y / softmax(z))).sum(axis=1).mean(),
    ),
    "hinge": ("hinge", SIGNS, {}, lambda y, c: np.maximum(1 - y * c, 0).mean()),
    "hinge of 0 and 1": ("hinge", BITS, {}, lambda y, c: np.maximum(1 - (2 * y - 1) * c, 0).mean()),
    "squared hinge": ("squared_hinge", SIGNS, {}, lambda y, c: (np.maximum(1 - y * c, 0) ** 2).mean()),
}


@pytest.mark.parametrize("loss, y, settings, cost", FOUND.values(), ids=FOUND)
def test_no_constant_costs_less(loss, y, settings, cost):
    found = lowest(lambda constant: cost(y, constant), np.zeros(y.shape[1]))
    assert constant_loss(recorded(loss, y, **settings)) == pytest.approx(found, rel=1e-4)


@pytest.mark.parametrize("loss, cost", [("huber", lambda y, c: huber(y, c, 1.0)), ("log_cosh", log_cosh)])
def test_a_loss_between_squared_and_absolute_error_is_that_of_the_median(loss, cost):
    for y in (RNG.lognormal(size=(4000, 1)), NUMBER):
        least = lowest(lambda constant, y=y: cost(y, constant), np.array([np.median(y)]))
        assert constant_loss(recorded(loss, y)) == pytest.approx(least, rel=0.1)
    assert constant_loss(recorded(loss, NUMBERS)) is None


def test_far_from_the_median_huber_and_log_cosh_are_absolute_errors():
    y = 100 * RNG.normal(size=(400, 1))
    absolute = constant_loss(recorded("mean_absolute_error", y))
    assert constant_loss(recorded("huber", y)) == pytest.approx(absolute - 0.5, abs=0.02)
    assert constant_loss(recorded("log_cosh", y)) == pytest.approx(absolute - np.log(2), abs=0.02)


def test_absolute_error_of_numbers_is_that_from_the_median():
    y = RNG.lognormal(size=(4000, 1))
    exact = np.abs(y - np.median(y)).mean()
    assert constant_loss(recorded("mean_absolute_error", y)) == pytest.approx(exact, rel=0.05)
    assert constant_loss(recorded("mean_absolute_error", NUMBERS)) is None


@pytest.mark.parametrize(
    "loss, y, settings",
    [
        ("huber", NUMBERS, {}),
        ("hinge", NUMBERS, {}),
        ("binary_crossentropy", NUMBERS, {}),
        ("poisson", NUMBERS - 10, {}),
        ("poisson", NUMBERS + 10, {}),
        ("mean_squared_error", NUMBERS, {"reduction": "sum"}),
        ("mean_squared_error", NUMBERS, {"weight": None}),
        ("mean_squared_error", np.ones((80, 1)), {}),
    ],
)
def test_where_it_is_not_exact_it_is_none(loss, y, settings):
    assert constant_loss(recorded(loss, y, **settings)) is None


@pytest.mark.parametrize("named", [("a", "b"), ("0", "1")])
def test_several_outputs_are_summed_by_their_weights(named):
    losses = [
        {"name": "mean_squared_error", "weight": 2.0, "output": "a", "target": f"target:{named[0]}"},
        {"name": "binary_crossentropy", "weight": 0.5, "output": "b", "target": f"target:{named[1]}"},
    ]
    series = {
        ("", f"target:{name}", statistic): values
        for name, y in zip(named, (NUMBERS, BIT), strict=True)
        for statistic, values in statistics(y).items()
    }
    expected = 2 * constant_loss(recorded("mean_squared_error", NUMBERS))
    expected += 0.5 * constant_loss(recorded("binary_crossentropy", BIT))
    assert constant_loss(example(series=series, facts={"losses": losses})) == pytest.approx(expected)
    bare = [{"name": loss["name"], "weight": loss["weight"]} for loss in losses]
    assert constant_loss(example(series=series, facts={"losses": bare})) == pytest.approx(expected)
    assert constant_loss(example(series=series, facts={"losses": [losses[0], {"name": "own"}]})) is None


def test_one_loss_for_several_outputs_is_taken_of_each():
    series = {
        ("", f"target:{name}", statistic): values for name in "ab" for statistic, values in statistics(NUMBER).items()
    }
    facts = {"losses": [{"name": "mean_squared_error"}]}
    assert constant_loss(example(series=series, facts=facts)) == pytest.approx(2 * NUMBER.var())


def test_of_few_labels_the_entropy_is_not_trusted():
    """A batch of 16 labels holds at most 16 of 1,000 classes: its entropy would be 2.8 instead of 6.9."""
    counts = {f"count_{label}": [float(label < 16)] for label in range(1000)}
    record = targets("sparse_categorical_crossentropy", **counts)
    record.facts["outputs"] = [{"name": "out", "shape": [None, 1000]}]
    assert constant_loss(record) == pytest.approx(math.log(1000))


def test_labels_that_are_ignored_do_not_count():
    record = targets("sparse_categorical_crossentropy", count_0=[500.0], count_1=[10.0], count_2=[30.0])
    record.facts["losses"][0]["ignore_class"] = 0
    assert constant_loss(record) == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))


def test_a_perfect_prediction_costs_what_the_targets_leave_open():
    assert perfect_loss(recorded("mean_squared_error", NUMBERS)) == 0
    assert perfect_loss(recorded("categorical_crossentropy", ONE_HOT)) == 0
    soft = -(SOFT * np.log(SOFT)).sum(axis=1).mean()
    assert perfect_loss(recorded("categorical_crossentropy", SOFT)) == pytest.approx(soft)
    y = smoothed(np.eye(4), 0.1, 4)[0]
    hard = perfect_loss(recorded("categorical_crossentropy", ONE_HOT, label_smoothing=0.1))
    assert hard == pytest.approx(-(y * np.log(y)).sum())
    assert perfect_loss(recorded("binary_crossentropy", BIT)) == 0
    expected = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert perfect_loss(recorded("binary_crossentropy", BITS, label_smoothing=0.2)) == pytest.approx(expected)
    assert perfect_loss(recorded("poisson", COUNTS)) is None
