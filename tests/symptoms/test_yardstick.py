"""What a loss is judged by, where a perfect prediction costs something and where the loss is weighted."""

import math

import numpy as np
import pytest
from symptom_records import SQUARED, refusal, seen, shown, targets, two_values

from kregtools.causes.label_noise import LabelNoise
from kregtools.diagnosis import diagnose
from kregtools.record import example
from kregtools.symptoms import CannotCheckError, Symptom
from kregtools.symptoms.evidence import still_learning
from kregtools.symptoms.yardstick import Yardstick, require_yardstick, yardstick

BINARY = {"losses": [{"name": "binary_crossentropy"}]}
LN2 = math.log(2)
# Probabilities around one half: of the constant's 0.69 a perfect prediction cannot do without 0.5.
SOFT = targets(4, mean=0.5, std=0.3, min=0.01, max=0.99, entropy=0.5)
UNKNOWN = targets(4, mean=0.5, std=0.3, min=0.01, max=0.99)
WEIGHTED = {**BINARY, "weighted": True}
UNJUDGED = (
    "the loss is weighted by `class_weight` or `sample_weight`, so that it cannot be compared with that of the best "
    "constant prediction: fit without weights to have it judged"
)


def at(share: float) -> float:
    """The loss at a share of the way from perfect to constant for the soft targets."""
    return 0.5 + share * (LN2 - 0.5)


def run(losses, series=SOFT, facts=BINARY, **logs):
    return example(logs={"loss": list(losses), **logs}, facts=facts, series=series)


def not_known(loss: float) -> str:
    return (
        "what a perfect prediction costs is not known, or hardly less than what the best constant one does (0.693), as "
        f"with soft targets and counts: a loss of {loss:.3g} may be high or low; judge the predictions by a metric"
    )


def test_a_loss_is_judged_on_the_way_from_perfect_to_constant():
    soft = Yardstick(0.7, 0.5)
    assert soft.share(0.6) == pytest.approx(0.5) and soft.at(0.5) == pytest.approx(0.6)
    assert soft.above(0.61, 0.5) and not soft.above(0.59, 0.5)
    assert soft.told(0.6) == "50% of the way from a perfect prediction (0.5) to the best constant one"
    assert Yardstick(0.7, 0.0).told(0.35) == "50% of what the best constant prediction costs"


def test_of_a_perfect_loss_that_is_not_known_only_what_holds_for_all_is_said():
    unknown = Yardstick(0.7, None)
    assert not unknown.above(0.34, 0.5) and unknown.above(0.71, 0.5) and unknown.above(math.nan, 0.5)
    with pytest.raises(
        CannotCheckError, match=r"\(0.7\), as with soft targets and counts: a loss of 0.36 may be high or low"
    ):
        unknown.above(0.36, 0.5)


@pytest.mark.parametrize("entropy, perfect", [(0.62, 0.62), (0.63, None)])
def test_too_little_room_is_as_good_as_none_known(entropy, perfect):
    series = targets(mean=0.5, std=0.3, min=0.01, max=0.99, entropy=entropy)
    assert yardstick(example(facts=BINARY, series=series)) == (pytest.approx(LN2), perfect)


def test_without_recorded_targets_they_are_taken_for_labels():
    assert yardstick(example(facts=BINARY)) == (LN2, 0.0)
    assert yardstick(example(facts=BINARY, series=UNKNOWN)) == (pytest.approx(LN2), None)
    assert yardstick(example()) is None and yardstick(example(facts=WEIGHTED)) is None


def test_what_is_needed():
    assert require_yardstick(example(facts=SQUARED, series=targets(std=3.0, mean=1.0))).constant == pytest.approx(9.0)
    with pytest.raises(CannotCheckError) as refused:
        require_yardstick(example(facts=SQUARED))
    assert str(refused.value) == (
        "the loss of the best constant prediction is not known: it takes HealthMonitor, which sees the targets, and a "
        "crossentropy, a squared error or the like that these targets suit"
    )


def test_what_a_model_computes_itself_has_none():
    own = {**SQUARED, "own_loss": True}
    assert yardstick(example(facts=own, series=targets())) is None
    with pytest.raises(CannotCheckError) as refused:
        require_yardstick(example(facts=own, series=targets()))
    assert str(refused.value) == (
        "the loss of the best constant prediction is not known: the model computes its loss by a `compute_loss` of "
        "its own; log what can be judged as a metric"
    )


def test_soft_targets_that_are_fitted_are_no_underfit():
    fitted = run([0.6, 0.52, 0.505, 0.502, 0.502, 0.502])
    assert seen("underfit", fitted) is None and seen("no_learning", fitted) is None
    symptom = shown("underfit", run([0.69, *[at(0.97)] * 5]))
    assert symptom.message.startswith(
        "The training loss ends at 0.687, 97% of the way from a perfect prediction (0.5) to the best constant one "
        "(0.693);"
    )
    assert symptom.evidence["ratio"] == pytest.approx(0.97) and symptom.evidence["perfect_loss"] == 0.5


@pytest.mark.parametrize("share, found", [(0.94, False), (0.96, True)])
def test_no_learning_on_soft_targets(share, found):
    assert bool(seen("no_learning", run([0.70, at(share), 0.70]))) == found


def test_slow_convergence_on_soft_targets():
    assert seen("slow_convergence", run(np.linspace(0.69, at(0.45), 20))) is None
    assert "of the way from a perfect prediction" in shown("slow_convergence", run(np.linspace(0.69, 0.66, 20))).message


def test_no_generalization_on_soft_targets():
    learned = run([0.69, *[at(0.3)] * 3], val_loss=[at(0.96)] * 4)
    assert "96% of the way from a perfect prediction (0.5)" in shown("no_generalization", learned).message
    assert seen("no_generalization", run([0.69, *[at(0.3)] * 3], val_loss=[at(0.9)] * 4)) is None
    assert seen("no_generalization", run([0.69, *[at(0.75)] * 3], val_loss=[at(0.96)] * 4)) is None


def test_a_fit_of_soft_targets_is_not_still_learning():
    assert not still_learning(run([0.69, at(0.4)])) and still_learning(run([0.69, at(0.6)]))


def test_half_of_the_loss_on_soft_targets_is_compared_with_the_accuracy():
    labelled = {**targets(4, mean=0.5, std=0.5, min=0.0, max=1.0)}
    smooth = {"losses": [{"name": "binary_crossentropy", "label_smoothing": 0.2}]}
    perfect = -0.1 * math.log(0.1) - 0.9 * math.log(0.9)
    chance = {"accuracy": [0.5] * 4}
    low = run([0.69, *[perfect + 0.4 * (LN2 - perfect)] * 3], labelled, smooth, **chance)
    assert "40% of the way from a perfect prediction (0.325)" in shown("loss_metric_mismatch", low).message
    high = run([0.69, *[perfect + 0.6 * (LN2 - perfect)] * 3], labelled, smooth, **chance)
    assert seen("loss_metric_mismatch", high) is None


def test_overfit_and_noise_of_a_fit_as_good_as_perfect_do_no_harm():
    falling = [0.55 - 0.004 * epoch for epoch in range(10)]
    rising = [0.45, 0.44, *[0.44 + 0.008 * epoch for epoch in range(1, 9)]]
    learned = [value - 0.2 for value in falling]
    assert seen("overfit", run(learned, SOFT, val_loss=rising)) is None
    assert shown("overfit", run(learned, two_values(0.5, 4), val_loss=rising))
    jumps = [0.40, 0.52, 0.38, 0.505, 0.39, 0.50, 0.37, 0.505, 0.38, 0.50]
    assert seen("noisy_validation", run(falling, SOFT, val_loss=jumps)) is None
    assert shown("noisy_validation", run(falling, two_values(0.5, 4), val_loss=jumps))


def test_a_loss_that_may_be_perfect_is_not_judged():
    """As that of an autoencoder of images under binary crossentropy: 81 % of the constant's at best."""
    stands = run([0.65, *[0.56] * 5], UNKNOWN, val_loss=[0.56] * 6, accuracy=[0.5] * 6)
    assert refusal("underfit", stands) == not_known(0.56)
    assert seen("no_learning", stands) is None and seen("no_generalization", stands) is None
    assert refusal("slow_convergence", run(np.linspace(0.69, 0.60, 20), UNKNOWN)) == not_known(0.60)
    assert refusal("no_learning", run([0.68] * 4, UNKNOWN)) == not_known(0.68)
    assert shown("no_learning", run([0.70] * 5, UNKNOWN)) and shown("underfit", run([0.70] * 5, UNKNOWN))
    assert seen("underfit", run([0.6, *[0.4] * 5], UNKNOWN)) is None


def test_probabilities_are_no_classes_to_compare_an_accuracy_with():
    for series in (SOFT, UNKNOWN):
        assert seen("loss_metric_mismatch", run([0.6, at(0.1), at(0.1)], series, accuracy=[0.1] * 3)) is None
        assert seen("loss_metric_mismatch", run([0.6, at(0.1), at(0.1)], series)) is None


def test_label_noise_leaves_out_what_soft_targets_cost():
    def cause(best, series):
        numbers = {"lowest_val_loss": best, "final_val_loss": 0.8}
        overfit = Symptom("overfit", "warning", "", (), 0, numbers)
        return LabelNoise().check(run([0.6] * 4, series), {"overfit": overfit})

    assert cause(at(0.4), SOFT) is None
    assert "was at best 60% of the way from a perfect prediction (0.5)" in cause(at(0.6), SOFT).reason
    with pytest.raises(CannotCheckError, match="may be high or low"):
        cause(0.6, UNKNOWN)


@pytest.mark.parametrize("name", ["no_learning", "underfit", "no_generalization", "slow_convergence"])
def test_a_weighted_loss_is_not_judged(name):
    record = run([0.8, *[0.7] * 5], {}, WEIGHTED, val_loss=[0.8] * 6)
    assert refusal(name, record) == UNJUDGED
    record.add_facts({"weighted": False})
    assert seen(name, record) or name in ("no_generalization", "slow_convergence")


def test_a_weighted_loss_is_not_compared_with_accuracy_or_validation():
    record = run([1e-3, 5e-4, 1e-4, 1e-5], two_values(0.1, 4), WEIGHTED, val_loss=[0.4] * 4)
    assert refusal("loss_metric_mismatch", record) == UNJUDGED
    assert refusal("train_val_mismatch", record) == (
        "the training loss is weighted by `class_weight` or `sample_weight`, and there is no accuracy to compare "
        'instead: compile with `metrics=["accuracy"]`'
    )
    assert diagnose(record).verdict == "undetermined" and not diagnose(record).symptoms
    record.add_facts({"weighted": False})
    assert shown("train_val_mismatch", record)


def test_an_accuracy_tells_where_a_weighted_loss_does_not():
    better = {"accuracy": [0.7] * 4, "val_accuracy": [0.7] * 4}
    record = run([0.8] * 4, two_values(0.5, 4), WEIGHTED, val_loss=[0.8] * 4, **better)
    assert seen("no_learning", record) is None and seen("no_generalization", record) is None
    assert seen("train_val_mismatch", record) is None


def test_weights_leave_overfit_to_be_seen_and_what_is_still_learning_to_the_first_loss():
    rising = {"val_loss": [1.0, 0.8, 0.9, 1.0, 1.1, 1.2]}
    overfit = run([9.0, 5.0, 3.0, 2.0, 1.0, 0.8], two_values(0.5, 4), WEIGHTED, **rising)
    assert shown("overfit", overfit)
    rare = two_values(0.03, 4)
    assert not still_learning(run([0.7, 0.3], rare, WEIGHTED)) and still_learning(run([0.7, 0.3], rare))
