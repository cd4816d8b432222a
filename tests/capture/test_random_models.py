"""Models of every build that nobody thought of: what is watched ends in the same bits, and nothing is said."""

import os
import re
import secrets

import pytest
from random_models import case
from watched import Run, differences, gaps, is_as_before, run, without_retracing

from kregtools.callbacks import HealthMonitor

FEW = (1001, 1003, 1004, 1010)
MORE = (1000, 1002, 1014, 1028)
CHUNKS, CHUNK = 25, 20
GIVEN = os.environ.get("KREGTOOLS_FUZZ_SEED")
BASE = int(os.environ.get("KREGTOOLS_FUZZ_BASE") or secrets.randbelow(10**9))
SAMPLED = (1, 1, 2, 3, 5, "auto")
# Attention under a mask does without the layers that it holds for it; a layer for each step is called past `__call__`.
NOT_CALLED = re.compile(r"(.*/)?(softmax|dropout|each_step)(_\d+)?: .* not watched \(it is not called in .*\)")
OF_DETAILS = [f"no {statistic} at all" for statistic in ("weight_norm", "update_norm", "update_ratio")]
VERDICTS = ("healthy", "overfit", "underfit", "sick", "undetermined")


def trained(seed: int, *monitors: HealthMonitor) -> Run | str:
    """The run of a seed, or what Keras says against it."""
    try:
        return run(case(seed), monitors)
    except Exception as error:
        return type(error).__name__


def complaints(seed: int) -> list[str] | None:
    """What watching did to the training of a model that it may not do, `None` if Keras does not train it."""
    plain, details = trained(seed), seed % 4 > 0
    monitor = HealthMonitor(sample_every=SAMPLED[seed % len(SAMPLED)], details=details, verbose=0)
    watched = trained(seed, monitor)
    if isinstance(plain, str) or isinstance(watched, str):
        return None if plain == watched else [f"ends with {watched}, unmonitored with {plain}"]
    without_retracing(plain, watched)
    found = [f"{name}: {how}" for name, how in differences(watched, plain).items()]
    if found and differences(run(case(seed)), plain):
        found.append("the unmonitored twin does not repeat itself")
    if not is_as_before(watched.model):
        found.append("the model is not left as it was")
    if monitor.diagnosis.verdict not in VERDICTS or not str(monitor.diagnosis):
        found.append(f"verdict: {monitor.diagnosis.verdict}")
    unseen = gaps(watched.model, monitor, details=details)
    return found + [gap for gap in unseen if not NOT_CALLED.fullmatch(gap) and (details or gap not in OF_DETAILS)]


def explained(seed: int, found: list[str]) -> str:
    summary: list[str] = []
    case(seed).build().summary(expand_nested=True, print_fn=summary.append)
    return "\n".join([f"KREGTOOLS_FUZZ_SEED={seed}", *found, *summary])


@pytest.mark.parametrize(
    "seed", [int(GIVEN)] if GIVEN else [*FEW, *(pytest.param(each, marks=pytest.mark.slow) for each in MORE)]
)
def test_watching_changes_nothing_of_a_model_drawn_at_random(seed):
    found = complaints(seed)
    assert found is not None, "Keras does not train it"
    assert not found, explained(seed, found)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_watching_changes_nothing_of_many_models(chunk):
    print(f"KREGTOOLS_FUZZ_BASE={BASE}")
    seeds = range(BASE + CHUNK * chunk, BASE + CHUNK * (chunk + 1))
    found = {seed: complaints(seed) for seed in seeds}
    assert list(found.values()).count(None) <= CHUNK // 4, "Keras trains too few of them"
    assert not any(found.values()), "\n\n".join(explained(seed, each) for seed, each in found.items() if each)
