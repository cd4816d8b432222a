"""A record as event files, for TensorBoard; neither TensorFlow nor another backend is needed."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram import metadata as histogram
from tensorboard.plugins.scalar import metadata as scalar
from tensorboard.plugins.text import metadata as text
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

from kregtools.diagnosis import Diagnosis
from kregtools.record import Record
from kregtools.report.plots.distributions import BELOW, DECADE
from kregtools.report.summary import sentence

# The run that TensorBoard shows beside Keras' own `train` and `validation`.
RUN = "kregtools"
ENDING = ".kregtools"
STATISTICS = ("mean", "std", "zero_fraction", "saturated_fraction", "gradient_norm", "weight_norm", "update_ratio")
STATISTICS += ("variance_ratio", "value", "penalty")
SKETCH = "log10 of the magnitudes: the share, in percent, of values in each decade; those below 1e-9 are at -10 to -9."
BY_STEP = "By training step."
BY_EPOCH = "By epoch, as Keras' own `epoch_` curves."


class EventFiles:
    """Writes what a record holds as event files, a little at a time as it grows.

    They go into the run `kregtools` below the log directory, beside `train` and `validation` of Keras' own
    `TensorBoard` callback: what was logged by epoch under Keras' names (`epoch_loss`), and by training step the
    statistics of layers, the magnitudes of activations and gradients as histograms. The diagnosis is text.

    Args:
        log_dir: The log directory.
    """

    def __init__(self, log_dir: str | Path) -> None:
        self.directory = Path(log_dir) / RUN
        self._path: Path | None = None
        self._samples, self._epochs, self._said = 0, 0, ""
        self._known: set[str] = set()

    def add(self, record: Record, diagnosis: Diagnosis) -> Path:
        """Writes what is new since the last call; the file is closed between calls. Returns the run's directory."""
        events = [*self._of_samples(record), *self._of_epochs(record), *self._of_diagnosis(record, diagnosis)]
        with self._file().open("ab") as file:
            writer = RecordWriter(file)
            for event in events:
                writer.write(event.SerializeToString())
            writer.flush()
        return self.directory

    def _file(self) -> Path:
        if self._path is None:
            self.directory.mkdir(parents=True, exist_ok=True)
            unique = f"{time.time_ns() // 1000}.{socket.gethostname()}.{os.getpid()}"
            self._path = self.directory / f"events.out.tfevents.{unique}{ENDING}"
            with self._path.open("xb") as file:
                header = Event(wall_time=time.time(), file_version="brain.Event:2")
                RecordWriter(file).write(header.SerializeToString())
        return self._path

    # ---- events

    def _of_samples(self, record: Record) -> Iterator[Event]:
        start, self._samples = self._samples, len(record.samples)
        steps = record.steps[start:]
        series = {tag: record.series(*key, start) for tag, key in _scalars(record).items()}
        for layer, tensor, dead, units in _dead_units(record, start):
            series[f"{tensor} dead_fraction/{layer}"] = dead / units
        sketches = {tag: _sketch(record, *place, start) for tag, place in _sketched(record).items()}
        for index, step in enumerate(steps):
            summary = Summary()
            for tag, values in series.items():
                if math.isfinite(values[index]):
                    self._put(summary, tag, np.float32(values[index]), scalar, BY_STEP)
            for tag, buckets in sketches.items():
                if np.isfinite(buckets[index]).all():
                    self._put(summary, tag, buckets[index], histogram, SKETCH)
            if summary.value:
                yield Event(wall_time=time.time(), step=int(step), summary=summary)

    def _of_epochs(self, record: Record) -> Iterator[Event]:
        start, self._epochs = self._epochs, len(record.logs)
        for entry in record.logs[start:]:
            summary = Summary()
            for name, value in entry.items():
                if name not in ("epoch", "step") and math.isfinite(value):
                    self._put(summary, f"epoch_{name}", np.float32(value), scalar, BY_EPOCH)
            yield Event(wall_time=time.time(), step=int(entry["epoch"]), summary=summary)

    def _of_diagnosis(self, record: Record, diagnosis: Diagnosis) -> Iterator[Event]:
        said = as_markdown(diagnosis)
        if said != self._said:
            self._said, summary = said, Summary()
            self._put(summary, "diagnosis", np.array(said.encode(), dtype=object), text, "By epoch, where it changed.")
            step = int(record.epochs[-1]) if record.logs else 0
            yield Event(wall_time=time.time(), step=step, summary=summary)

    def _put(self, summary: Summary, tag: str, value: Any, plugin: Any, description: str) -> None:
        # A file says once what a tag is.
        new = tag not in self._known
        self._known.add(tag)
        about = plugin.create_summary_metadata(display_name=None, description=description) if new else None
        summary.value.add(tag=tag, metadata=about, tensor=tensor_util.make_tensor_proto(value))


def write_events(log_dir: str | Path, record: Record, diagnosis: Diagnosis) -> Path:
    """Writes event files of a whole run; those that an earlier call left there are replaced.

    Args:
        log_dir: The log directory, such as that of Keras' `TensorBoard` callback.
        record: The record of the run.
        diagnosis: Its diagnosis.

    Returns:
        The directory of the event files, `kregtools` below the log directory.

    Example:

    >>> kregtools.report.write_events("logs/a", monitor.record, monitor.diagnosis)
    """
    earlier = list((Path(log_dir) / RUN).glob(f"events.out.tfevents.*{ENDING}"))
    directory = EventFiles(log_dir).add(record, diagnosis)
    for path in earlier:
        path.unlink()
    return directory


def as_markdown(diagnosis: Diagnosis) -> str:
    """The diagnosis as Markdown."""
    ran, of = diagnosis.coverage
    lines = [f"**{_plain(sentence(diagnosis))}** {ran} of {of} checks ran."]
    for symptom in diagnosis.symptoms:
        lines += [f"### {_plain(symptom.name)} ({symptom.severity})", _plain(symptom.message)]
        for cause in diagnosis.causes:
            if cause.explains[:1] == (symptom.name,):
                lines += [f"Probable cause: **{_plain(cause.name)}** ({cause.confidence:.2f}). {_plain(cause.reason)}"]
                lines += [f"Remedy: {_plain(cause.remedy.text)}", _indented(cause.remedy.code)]
    if diagnosis.unchecked:
        lines += ["### Not checked", *(f"* {_plain(item.name)}: {_plain(item.reason)}" for item in diagnosis.unchecked)]
    return "\n\n".join(lines)


# ---- private


def _scalars(record: Record) -> dict[str, tuple[str, str, str]]:
    """The series that are written, by tag: TensorBoard groups by what comes before the slash."""
    return {
        f"{tensor} {statistic}/{layer or 'model'}": (layer, tensor, statistic)
        for statistic in STATISTICS
        for layer, tensor in record.tensors(statistic)
    }


def _dead_units(record: Record, start: int) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    for layer, tensor in record.tensors("dead_units"):
        yield (
            layer,
            tensor,
            record.series(layer, tensor, "dead_units", start),
            record.series(layer, tensor, "units", start),
        )


def _sketched(record: Record) -> dict[str, tuple[str, str]]:
    return {
        f"{tensor} magnitudes/{layer}" if tensor == "activation" else f"{tensor} gradient magnitudes/{layer}": (
            layer,
            tensor,
        )
        for layer, tensor in record.tensors(BELOW)
    }


def _sketch(record: Record, layer: str, tensor: str, start: int) -> np.ndarray:
    """The buckets of each sample: left end, right end and percent, shape `(samples, decades, 3)`."""
    names = {name: -10.0 if name == BELOW else float(name.removeprefix(DECADE))
             for name in record.statistics(layer, tensor) if name.startswith((BELOW, DECADE))}  # fmt: skip
    ordered = sorted(names, key=lambda name: names[name])
    left = np.array([names[name] for name in ordered])
    shares = np.array([record.series(layer, tensor, name, start) for name in ordered]).T
    edges = np.broadcast_to(left, shares.shape)
    return np.stack([edges, edges + 1.0, 100.0 * shares], axis=-1)


def _plain(said: str) -> str:
    """Text that Markdown leaves as it is."""
    for character in "\\`*_[]#|":
        said = said.replace(character, f"\\{character}")
    return said.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _indented(code: str) -> str:
    return "\n".join(f"    {line}" for line in code.splitlines())
