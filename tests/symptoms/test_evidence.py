"""What several symptoms need to know of a record."""

import numpy as np
import pytest
from symptom_records import NAN, SQUARED, targets

from kregtools.record import Record, example
from kregtools.symptoms import CannotCheckError
from kregtools.symptoms.evidence import (
    consumers,
    data_loss,
    first_step,
    initial_loss,
    intact,
    kernel_gradients,
    layer_facts,
    output_layers,
    require_details,
    require_epochs,
    require_samples,
    sources,
    still_learning,
    validation_loss,
)

GRADIENTS = {("dense", "kernel", "gradient_rms"): [0.1, 0.2]}


def refused(check, *arguments) -> str:
    with pytest.raises(CannotCheckError) as error:
        check(*arguments)
    return str(error.value)


def test_samples_are_required():
    assert require_samples(example(series=GRADIENTS), 2) is None
    assert refused(require_samples, example(series=GRADIENTS), 3) == (
        "2 training steps were sampled and 3 are needed: train longer, or lower `sample_every`"
    )
    assert refused(require_samples, example()) == (
        "the training steps were not looked into: use HealthMonitor in place of FitDiagnosis"
    )
    assert refused(require_samples, Record()) == refused(require_samples, example())
    assert refused(require_samples, example(facts={"watching": {"taps": True}})).startswith("0 training steps were")


def test_the_reason_why_no_step_was_looked_into_is_told():
    watching = {"watching": {"taps": False, "reason": "the model has a train step of its own"}}
    assert refused(require_samples, example(series=GRADIENTS, facts=watching)) == (
        "the training steps were not looked into: the model has a train step of its own"
    )


def test_a_measurement_of_batch_normalization_is_no_sampled_step():
    gradients = {("dense", "kernel", "gradient_rms"): [0.1, NAN, NAN]}
    beside = {(name, "moving_variance", "recalibrated"): [NAN, 1.0, 0.0] for name in ("bn", "bn_1")}
    assert refused(require_samples, example(series={**gradients, **beside}), 2).startswith("1 training steps were")
    assert require_samples(example(series={**gradients, **beside}), 1) is None


def test_epochs_are_required():
    assert require_epochs(example(logs={"loss": [0.5] * 3})) is None
    assert require_epochs(example(logs={"loss": [0.5]}), 1) is None
    assert refused(require_epochs, example(logs={"loss": [0.5] * 2})) == (
        "2 epochs were run and 3 are needed: raise `epochs`"
    )


def test_weights_are_intact_until_the_first_nan_and_never_again():
    broken = {
        ("first", "kernel", "weight_nonfinite"): [0, NAN, 0, NAN, 0],
        ("second", "kernel", "weight_nonfinite"): [0, 0, 0, 3, 0],
    }
    assert list(intact(example(series=broken))) == [True, True, True, False, False]
    assert (
        list(intact(example(series={**broken, ("second", "bias", "weight_nonfinite"): [0, 1, 0, 0, 0]})))
        == [True] + [False] * 4
    )
    later = {**broken, ("second", "bias", "weight_nonfinite"): [0, 0, 0, 0, 1]}
    assert list(intact(example(series=later))) == [True, True, True, False, False]
    assert list(intact(example(series=GRADIENTS))) == [True, True]
    assert intact(example()).shape == (0,)


def test_a_validation_loss_is_required():
    losses = validation_loss(example(logs={"loss": [0.5, 0.5], "val_loss": [NAN, 0.6]}))
    assert np.isnan(losses[0]) and losses[1] == 0.6
    missing = "there is no validation loss: pass `validation_data` or `validation_split` to `fit`"
    assert refused(validation_loss, example(logs={"loss": [0.5]})) == missing
    assert refused(validation_loss, example()) == missing
    assert refused(validation_loss, example(logs={"val_loss": [NAN, NAN]})) == (
        "the validation loss is NaN or infinite in every epoch"
    )


def test_the_gradients_of_kernels():
    names, values = kernel_gradients(
        example(
            series={**GRADIENTS, ("last", "kernel", "gradient_rms"): [3, 4], ("last", "bias", "gradient_rms"): [5, 6]}
        )
    )
    assert names == ["dense", "last"] and values.tolist() == [[0.1, 3], [0.2, 4]]


def penalized(values: list[float], penalties: list[float], losses: list[float]):
    series = {("", "loss", "value"): values, ("", "loss", "penalty"): penalties}
    return example(logs={"loss": losses}, series=series)


def test_the_data_loss_is_without_penalties():
    assert data_loss(penalized([2.0] * 20, [0.5] * 20, [2.0, 4.0])) == pytest.approx([1.5, 3.0])
    assert data_loss(example(logs={"loss": [2.0, NAN]})) == pytest.approx([2.0, NAN], nan_ok=True)


def test_penalties_between_the_samples_are_interpolated():
    """The share falls from one half at step 0 to nothing at step 19: 0.38 and 0.12 in the two epochs."""
    assert data_loss(penalized([1.0] + [NAN] * 18 + [1.0], [0.5] + [NAN] * 18 + [0.0], [1.0, 1.0])) == pytest.approx(
        [1 - 0.5 * (1 - 4.5 / 19), 1 - 0.5 * (1 - 14.5 / 19)]
    )


@pytest.mark.parametrize(
    "value, penalty, left", [(1.0, 3.0, 0.0), (1.0, -0.5, 1.0), (0.0, 0.5, 1.0), (-1.0, 0.5, 1.0), (1.0, NAN, 1.0)]
)
def test_a_share_of_penalties_is_between_nothing_and_all(value, penalty, left):
    assert data_loss(penalized([value], [penalty], [1.0])) == pytest.approx([left])


def test_two_epochs_that_end_in_the_same_step():
    """As after an epoch in which the data ran out at once."""
    record = Record()
    for step, penalty in ((0, 0.5), (10, 0.5), (11, 0.0)):
        record.add_sample(step, step // 10, {("", "loss", "value"): 1.0, ("", "loss", "penalty"): penalty})
    for epoch, step in enumerate((9, 9, 19)):
        record.add_epoch(epoch, step, {"loss": 1.0})
    assert data_loss(record) == pytest.approx([0.5, 0.5, 0.95])


def test_a_run_begins_at_the_loss_of_the_best_constant():
    sampled = {("", "loss", "value"): [7.0, 6.0]}
    assert initial_loss(example(logs={"loss": [5.0]}, facts=SQUARED, series={**targets(2), **sampled})) == 1.0
    assert initial_loss(example(logs={"loss": [5.0]}, series=sampled)) == 7.0
    assert initial_loss(example(logs={"loss": [NAN, 5.0]}, series={("", "loss", "value"): [NAN, 6.0]})) == 5.0
    assert initial_loss(example(logs={"loss": [5.0, 4.0]})) == 5.0
    assert np.isnan(initial_loss(example()))


@pytest.mark.parametrize("last, learning", [(0.51, True), (0.49, False)])
def test_a_run_goes_on_learning_until_half_of_the_loss_is_left(last, learning):
    assert still_learning(example(logs={"loss": [0.1, last, NAN]}, facts=SQUARED, series=targets())) is learning
    large = {"loss": [10.0, 100 * last]}
    assert still_learning(example(logs=large, facts=SQUARED, series=targets(mean=0.0, std=10.0))) is learning
    sampled = {("", "loss", "value"): [1.0, 0.1, last, NAN]}
    assert still_learning(example(series=sampled)) is learning


def test_a_run_of_which_no_loss_is_known_may_be_learning():
    assert still_learning(example()) is True
    assert still_learning(example(logs={"loss": [NAN]}, facts=SQUARED, series=targets())) is True


def test_the_first_step_that_shows_something():
    record = Record()
    for step in (0, 5, 30):
        record.add_sample(step, 0, {})
    assert first_step(record, np.array([False, True, True])) == 5


def test_details_are_required_of_kernels_whose_gradients_are_known():
    assert refused(require_details, example(series=GRADIENTS)) == (
        "the weights were not measured: leave `details` of HealthMonitor on"
    )
    for statistic in ("weight_norm", "update_ratio", "unit_spread"):
        assert require_details(example(series={**GRADIENTS, ("dense", "kernel", statistic): [1, 1]})) is None
    assert require_details(example()) is None
    assert require_details(example(series={("dense", "bias", "gradient_rms"): [1, 1]})) is None


def layers(*named: tuple, outputs=None):
    """Layers of a name, a class and, where it is known, those that feed them."""
    known = [dict(zip(("name", "class", "inbound"), layer, strict=False)) for layer in named]
    weights = {"Dense": ["kernel"]}
    facts = [{**layer, "weights": weights.get(layer["class"], [])} for layer in known]
    return example(facts={"layers": facts, **({"outputs": [{"layer": name} for name in outputs]} if outputs else {})})


def test_a_model_within_the_model_is_no_layer():
    record = layers(("inner", "Sequential"), ("dense", "Dense"), ("outer", "Functional"), (None, "Dense"))
    assert list(layer_facts(record)) == ["dense"]
    assert layer_facts(record)["dense"]["class"] == "Dense"
    assert layer_facts(example()) == {} and layer_facts(example(facts={"layers": None})) == {}


def test_a_layer_is_fed_by_what_the_graph_says_or_the_one_before_it():
    record = layers(("a", "Dense"), ("b", "Dense"), ("c", "Dense", ["a"]), ("d", "Dense"), ("e", "Dense", []))
    assert sources(record) == {"a": [], "b": ["a"], "c": ["a"], "d": ["c"], "e": []}


@pytest.mark.parametrize("passing", ["Dropout", "Flatten", "Reshape", "Permute"])
def test_what_only_hands_on_is_no_consumer(passing):
    record = layers(("a", "Dense"), ("hand_on", passing), ("b", "Dense"), ("c", "Dense", ["hand_on", "a"]))
    found = {name: sorted(fed) for name, fed in consumers(record).items()}
    assert found == {"a": ["b", "c", "c"], "hand_on": ["b", "c"], "b": [], "c": []}


def test_an_activation_is_a_consumer():
    record = layers(("a", "Dense"), ("relu", "Activation"), ("b", "Dense", ["relu", "unknown"]))
    assert consumers(record) == {"a": ["relu"], "relu": ["b"], "b": [], "unknown": ["b"]}


def test_the_output_layer_is_the_one_named():
    record = layers(("a", "Dense"), ("b", "Dense"), ("c", "Dense"), outputs=["b"])
    assert output_layers(record) == {"b"}
    assert output_layers(layers(("a", "Dense"), ("b", "Dense"), outputs=["unknown"])) == {"b"}
    assert output_layers(layers(("a", "Dense"), ("b", "Dense"))) == {"b"}
    assert output_layers(example()) == set()


def test_what_shapes_an_output_belongs_to_it():
    record = layers(("a", "Dense"), ("b", "Dense"), ("r", "Reshape"), ("s", "Softmax"))
    assert output_layers(record) == {"b", "r", "s"}
    branches = layers(("a", "Dense"), ("l", "Dense", ["a"]), ("r", "Dense", ["a"]), ("sum", "Add", ["l", "r"]))
    assert output_layers(branches) == {"sum", "l", "r"}
    two = layers(("a", "Dense"), ("l", "Dense", ["a"]), ("r", "Dense", ["a"]), outputs=["l", "r"])
    assert output_layers(two) == {"l", "r"}


def test_a_graph_that_comes_round_is_walked_once():
    assert output_layers(layers(("a", "Add", ["b"]), ("b", "Add", ["a"]))) == {"a", "b"}


def test_a_logged_loss_that_the_train_step_never_sets_is_not_judged():
    """Keras logs a loss tracker that nothing was given to as 0."""
    series = {("", "loss", "value"): [1.7, 1.6], ("", "loss", "penalty"): [0.0, 0.0]}
    record = example(logs={"loss": [0.0] * 3, "accuracy": [0.1] * 3}, series=series)
    with pytest.raises(CannotCheckError) as refused:
        data_loss(record)
    assert str(refused.value) == (
        "the logged loss is 0 throughout, and that of the sampled steps 1.6: return it from `train_step`, or call "
        "`self._loss_tracker.update_state(loss)` there"
    )
    assert data_loss(example(logs={"loss": [0.0, 0.1]}, series=series)).tolist() == [0.0, 0.1]
