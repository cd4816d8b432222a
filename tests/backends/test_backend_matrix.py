"""With the same seed, a run ends in the same bits with and without the monitor, on JAX and PyTorch as on TensorFlow."""

import cases_feeds
import cases_sequences
import cases_settings
import cases_structure
import cases_vision
import keras
import pytest
from twins import matrix, watched_as_plain
from watched import Case, X, Y, differences, run

from kregtools.callbacks import HealthMonitor

# What Keras itself cannot do on a backend, watched or not; `torch.compile` takes minutes, and has a test of its own.
NOT_THERE = {
    "jax": {"settings: a callback that recompiles"},
    "torch": {
        "settings: xla",
        "settings: steps_per_execution",
        "settings: steps_per_execution, xla",
        "settings: steps_per_execution, eager",
        "vision: convolutional, xla",
        "vision: convolutional, steps_per_execution",
        "vision: linear, then relu, NaN",
        "vision: squeeze-excite resnet, xla",
        "sequences: transformer on time series, xla",
        "feed: generator, steps_per_execution",
    },
}
TABLES = {
    "settings": cases_settings.CASES,
    "structure": cases_structure.CASES,
    "vision": cases_vision.CASES,
    "sequences": cases_sequences.CASES,
    "feed": cases_feeds.CASES,
}
CASES = {f"{table}: {name}": case for table, cases in TABLES.items() for name, case in cases.items()}
THERE = {name: case for name, case in CASES.items() if name not in NOT_THERE[keras.backend.backend()]}
if keras.backend.backend() == "torch":  # where loops and branches are those of Python
    THERE["structure: loop and branch"] = Case(THERE["structure: loop and branch"].build)
CORE = [
    "settings: dense",
    "vision: convolutional",
    "settings: mixed_float16",
    "settings: eager",
    "settings: no xla",
    "settings: mixed_bfloat16",
    "settings: gradient accumulation, clip, ema",
    "settings: class_weight",
    "settings: sample_weight",
    "settings: frozen layer",
    "settings: callbacks that predict and evaluate",
    "settings: three fits",
    "structure: branches",
    "structure: subclassed twice",
    "structure: variational, add_loss",
    "structure: noise",
    "structure: tensors handed on",
    "structure: own compute_loss",
    "structure: loop and branch",
    "structure: vectorized map",
    "sequences: lstm and gru, mask",
    "sequences: attention, mask",
    "sequences: transformer on time series",
    "vision: frozen sub-model",
    "vision: spectral normalization",
    "feed: generator",
    "feed: PyDataset",
    "feed: dicts, sample_weight",
]


@pytest.mark.parametrize(("case", "every"), matrix(THERE, CORE))
def test_a_watched_run_is_bit_identical_and_fully_recorded(case, every):
    watched_as_plain(case, every, run(case))


def test_two_monitors_watch_one_fit():
    case = CASES["settings: dense"]
    monitors = [HealthMonitor(sample_every=1, verbose=0), HealthMonitor(sample_every=3, verbose=0)]
    watched = run(case, monitors)
    watched.said = [message for message in watched.said if "The logs have kreg/" not in message]
    assert not differences(watched, run(case))
    one, other = (set(monitor.record.frame().step) for monitor in monitors)
    assert other < one and one == set(range(15))


class GoesOn(keras.callbacks.Callback):
    """Interrupts the first fit of each run, and lets the others be."""

    def __init__(self, fits):
        super().__init__()
        self.fits = fits

    def on_train_begin(self, logs=None):
        self.fits.append(1)

    def on_train_batch_end(self, batch, logs=None):
        if len(self.fits) == 1 and batch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("every", [1, 3])
def test_an_interrupted_fit_goes_on_as_if_unwatched(every):
    def twice(monitors):
        keras.backend.clear_session()
        keras.utils.set_random_seed(7)
        model, fits = cases_settings.dense(), []
        for _ in range(3):
            try:
                model.fit(X, Y, batch_size=20, epochs=2, verbose=0, callbacks=[*monitors, GoesOn(fits)])
            except KeyboardInterrupt:
                assert len(fits) == 1
        return [keras.ops.convert_to_numpy(v.value).tobytes() for v in [*model.variables, *model.optimizer.variables]]

    monitor = HealthMonitor(sample_every=every, verbose=0)
    assert twice([monitor]) == twice([])
    assert monitor.record.samples


def test_steps_are_counted_on_over_fits():
    monitor = HealthMonitor(sample_every=1, verbose=0)
    run(Case(cases_settings.dense, fits=3), [monitor])
    assert sorted(set(monitor.record.frame().step)) == list(range(30, 45))
