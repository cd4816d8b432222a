"""What watching costs: time per step, start-up, the end of an epoch and memory, against the same fit without it.

    python benchmarks/overhead.py [--quick] [--cases dense cnn text xla] [--scaling] [--no-memory]

Every variant is a model of its own, built from the same seed and trained by its own `fit` in its own thread. Only one
runs at a time: they take turns of ten steps, so that whatever else the machine does falls on all of them. The first 20
steps, where functions are traced, are left out of the steps' times and shown as the start-up.

- median: each turn's median step over that of `no callback` in the same round; the median and quartiles over rounds.
- amortised: the mean step over that of `no callback`, each kind of step (plain, sampled, with details) counted as often
  as it occurs, at its median.
- start-up: what the first 20 steps take beyond 20 usual ones, less the same without a callback.
- epoch's end: what lies between two epochs, less the same without a callback.
- memory: peak of a process that does nothing else, over that without a callback.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import functools
import importlib.util
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")

import keras
import numpy as np
from overhead_cases import CASES, SCALING, Case, compiled, train

from kregtools.callbacks import HealthMonitor

TURN, WARM_UP = 10, 20
BASELINE, TWIN = "no callback", "no callback (A/A)"
DETAIL = "magnitude"  # statistics that only a step with details has begin like this


class Fit(NamedTuple):
    """What the clock of one fit read: seconds a step, seconds between epochs, and the kind of every step."""

    steps: np.ndarray
    epoch_ends: np.ndarray
    kinds: np.ndarray


# ---- variants


class NaiveTape(keras.callbacks.Callback):
    """Norms of all gradients on a batch that it keeps, by an eager tape."""

    def __init__(self, x: np.ndarray, y: np.ndarray, every_batch: bool) -> None:
        super().__init__()
        self.x, self.y, self.every_batch = x, y, every_batch
        self.norms: list[list[float]] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self.every_batch:
            self._measure()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not self.every_batch:
            self._measure()

    def _measure(self) -> None:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = self.model.compute_loss(self.x, self.y, self.model(self.x, training=True))
        gradients = tape.gradient(loss, [variable.value for variable in self.model.trainable_variables])
        self.norms.append([float(tf.norm(tf.convert_to_tensor(gradient))) for gradient in gradients])


def variants(batch: tuple[np.ndarray, np.ndarray], directory: Path) -> dict[str, Callable[[], list[Any]]]:
    """What to give `fit` as callbacks, by name; what cannot run here is left out, and said."""
    found: dict[str, Callable[[], list[Any]]] = {
        BASELINE: list,
        TWIN: list,
        "HealthMonitor()": lambda: [HealthMonitor(verbose=0)],
        "HealthMonitor(sample_every=1)": lambda: [HealthMonitor(sample_every=1, verbose=0)],
        "HealthMonitor(sample_every=1, details=False)": lambda: [
            HealthMonitor(sample_every=1, details=False, verbose=0)
        ],
    }
    if importlib.util.find_spec("tensorflow"):
        logs = str(directory / "tensorboard")
        found["TensorBoard(histogram_freq=1)"] = lambda: [keras.callbacks.TensorBoard(logs, histogram_freq=1)]
    if keras.backend.backend() == "tensorflow":
        found["GradientTape each epoch"] = lambda: [NaiveTape(*batch, every_batch=False)]
        found["GradientTape each batch"] = lambda: [NaiveTape(*batch, every_batch=True)]
    if importlib.util.find_spec("wandb"):
        found['WandbMetricsLogger("batch"), offline'] = functools.partial(_wandb, directory)
    return found


def _wandb(directory: Path) -> list[Any]:
    import wandb
    from wandb.integration.keras import WandbMetricsLogger

    wandb.init(project="overhead", mode="offline", dir=directory, settings=wandb.Settings(console="off"))
    return [WandbMetricsLogger(log_freq="batch")]


# ---- taking turns


class Turns:
    """Lets threads run one at a time, each in its turn."""

    def __init__(self, count: int) -> None:
        self._waiting = list(range(count))
        self._condition = threading.Condition()

    def wait(self, me: int) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._waiting[0] == me)

    def next(self, me: int) -> None:
        with self._condition:
            self._waiting.append(self._waiting.pop(0))
            self._condition.notify_all()
        self.wait(me)

    def leave(self, me: int) -> None:
        with self._condition:
            self._waiting.remove(me)
            self._condition.notify_all()


class Clock(keras.callbacks.Callback):
    """Times every step from begin to begin, gives way after each turn. Has no batch end: Keras would wait for it."""

    def __init__(self, give_way: Callable[[], None]) -> None:
        super().__init__()
        self.steps: list[float] = []
        self.epoch_ends: list[float] = []
        self._give_way = give_way
        self._began: float | None = None
        self._ended: float | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._ended is not None:
            self.epoch_ends.append(time.perf_counter() - self._ended)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._end_step()
        if self.steps and len(self.steps) % TURN == 0:
            self._give_way()
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._end_step()
        self._ended = time.perf_counter()

    def _end_step(self) -> None:
        if self._began is not None:
            self.steps.append(time.perf_counter() - self._began)
            self._began = None


class WaitingClock(Clock):
    """Waits for every step: JAX goes on with one while the next fit has its turn already."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        float(logs["loss"])


def take_turns(case: Case, callbacks: dict[str, Callable[[], list[Any]]], seed: int = 0) -> dict[str, Fit]:
    """Fits one model for each variant, all of them interleaved."""
    turns = Turns(len(callbacks))
    jobs = []
    for me, make in enumerate(callbacks.values()):
        model, x, y = compiled(case, seed)
        jobs.append((me, model, x, y, make()))

    def fit(me: int, model: keras.Model, x: np.ndarray, y: np.ndarray, watching: list[Any]) -> Fit:
        kind = WaitingClock if keras.backend.backend() == "jax" else Clock
        clock = kind(functools.partial(turns.next, me))
        turns.wait(me)
        try:
            train(case, model, x, y, [clock, *watching])
        finally:
            turns.leave(me)
        return Fit(np.array(clock.steps), np.array(clock.epoch_ends), _kinds(len(clock.steps), watching))

    with ThreadPoolExecutor(len(jobs)) as pool:
        futures = [pool.submit(fit, *job) for job in jobs]
        return {name: future.result() for name, future in zip(callbacks, futures, strict=True)}


def _kinds(steps: int, callbacks: list[Any]) -> np.ndarray:
    """0 a plain step, 1 one that was sampled, 2 one that was sampled with details."""
    kinds = np.zeros(steps, int)
    for monitor in callbacks:
        if isinstance(monitor, HealthMonitor):
            frame = monitor.record.frame()
            detailed = frame[frame["statistic"].str.startswith(DETAIL) & frame["value"].notna()]
            kinds[monitor.record.steps] = 1
            kinds[detailed["step"].unique()] = 2
    return kinds


# ---- numbers


def step_ratios(fit: Fit, baseline: Fit) -> np.ndarray:
    """A fit's median step over the baseline's, turn by turn."""
    own, other = (np.median(seconds.steps[WARM_UP:].reshape(-1, TURN), axis=1) for seconds in (fit, baseline))
    return own / other


def amortised(fit: Fit) -> float:
    """Seconds of a mean step, each kind at its median."""
    steps, kinds = fit.steps[WARM_UP:], fit.kinds[WARM_UP:]
    return float(sum(np.median(steps[kinds == kind]) * np.mean(kinds == kind) for kind in np.unique(kinds)))


def start_up(fit: Fit) -> float:
    """Seconds of the first steps beyond as many usual ones."""
    return float(np.sum(fit.steps[:WARM_UP]) - WARM_UP * np.median(fit.steps[WARM_UP:]))


def peak_memory(case: str, variant: str) -> float:
    """Bytes that a process of its own held at most."""
    command = [sys.executable, __file__, "--peak-of", case, variant]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return float(out.split()[-1])


def print_peak(case: Case, variant: str) -> None:
    model, x, y = compiled(case)
    with tempfile.TemporaryDirectory() as directory:
        callbacks = variants((x[: case.batch], y[: case.batch]), Path(directory))[variant]()
        train(case, model, x, y, callbacks)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))


# ---- tables


def table(name: str, case: Case, memory: bool) -> None:
    _, x, y = compiled(case)
    with tempfile.TemporaryDirectory() as directory:
        callbacks = variants((x[: case.batch], y[: case.batch]), Path(directory))
        fits = take_turns(case, callbacks)
    baseline = fits[BASELINE]
    usual = np.median(baseline.steps[WARM_UP:])
    print(f"\n**{case.title}**: {usual * 1e3:.1f} ms a step, n = {len(baseline.steps) - WARM_UP} steps each\n")
    print("| callback | median (quartiles) | amortised | start-up | epoch's end | memory |\n|---|---|---|---|---|---|")
    peaks = {variant: peak_memory(name, variant) if memory else np.nan for variant in callbacks}
    for variant, fit in fits.items():
        if variant == BASELINE:
            continue
        low, median, high = np.percentile(step_ratios(fit, baseline), (25, 50, 75))
        cells = (
            f"{median:.3f} ({low:.3f}-{high:.3f})",
            f"{amortised(fit) / amortised(baseline):.3f}",
            f"{start_up(fit) - start_up(baseline):+.2f} s",
            f"{(np.median(fit.epoch_ends) - np.median(baseline.epoch_ends)) * 1e3:+.0f} ms",
            f"{peaks[variant] / peaks[BASELINE]:.2f}" if memory else "",
        )
        print(f"| {variant} | {' | '.join(cells)} |", flush=True)


def scaling_table() -> None:
    print("\n| model | watching | a step | extra a sampled step | start-up |\n|---|---|---|---|---|")
    for case in SCALING.values():
        with tempfile.TemporaryDirectory() as directory:
            offered = variants((np.empty(0), np.empty(0)), Path(directory))
            watched = [name for name in offered if name.startswith("HealthMonitor")]
            fits = take_turns(case, {name: offered[name] for name in (BASELINE, *watched)})
        baseline = fits[BASELINE]
        for name in watched:
            extra = amortised(fits[name]) - amortised(baseline)
            cells = (
                f"{amortised(baseline) * 1e3:.1f} ms",
                f"{extra * 1e3:+.2f} ms ({amortised(fits[name]) / amortised(baseline):.3f})",
                f"{start_up(fits[name]) - start_up(baseline):+.1f} s",
            )
            print(f"| {case.title} | {name} | {' | '.join(cells)} |", flush=True)


def heading() -> str:
    backend = keras.backend.backend()
    version = importlib.import_module(backend).__version__
    parts = (
        f"{_processor()}, {os.cpu_count()} cores",
        f"Python {platform.python_version()}, Keras {keras.__version__}, {backend} {version}",
        f"{datetime.date.today():%Y-%m-%d}",
    )
    return "; ".join(parts)


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor() or platform.machine()


def chosen(names: Sequence[str], quick: bool) -> dict[str, Case]:
    cases = {name: CASES[name] for name in names if name != "xla" or keras.backend.backend() == "tensorflow"}
    return {name: case._replace(epochs=2) for name, case in cases.items()} if quick else cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--quick", action="store_true", help="two epochs each")
    parser.add_argument("--scaling", action="store_true", help="cost by layer and by parameter instead")
    parser.add_argument("--no-memory", dest="memory", action="store_false")
    parser.add_argument("--peak-of", nargs=2, metavar=("CASE", "VARIANT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak_of:
        case, variant = options.peak_of
        print_peak(CASES[case]._replace(epochs=1), variant)
        return
    print(heading())
    if not importlib.util.find_spec("wandb"):
        print("WandbMetricsLogger is left out: wandb is not installed.")
    if options.scaling:
        scaling_table()
        return
    for name, case in chosen(options.cases, options.quick).items():
        table(name, case, options.memory)


if __name__ == "__main__":
    main()
