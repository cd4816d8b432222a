"""The record of a run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from kregtools.errors import RecordError
from kregtools.record.journal import Journal, journal_path, jsonable, read

Key = tuple[str, str, str]


class Sample(NamedTuple):
    """One sampled training step; `values` is aligned with the columns the record knew at that time."""

    step: int
    epoch: int
    values: np.ndarray


class Record:
    """What one `fit` showed: facts, series and logs.

    - `facts`: known once: the model's layers, optimizer, loss, versions.
    - series: statistics of tensors at sampled steps. Each is named by a layer, a tensor of it (`"activation"`, or a
      variable's name such as `"kernel"`) and a statistic (`"std"`, `"gradient_norm"`). What belongs to the model as
      a whole (`"loss"`, `"target"`, `"output"`) has the layer `""`.
    - `logs`: what Keras reported, one dict an epoch, with `"epoch"` and `"step"`.

    Steps and epochs count from 0, as in Keras' callbacks. A value that was not finite reads as NaN.

    Example:
    >>> record = Record({"model": {"name": "mlp"}})
    >>> record.add_sample(step=0, epoch=0, values={("dense", "kernel", "gradient_norm"): 0.5})
    >>> record.add_epoch(epoch=0, step=9, logs={"loss": 0.7})
    >>> float(record.log("loss")[0])
    0.7
    """

    def __init__(self, facts: Mapping[str, Any] | None = None) -> None:
        self.facts: dict[str, Any] = dict(jsonable(dict(facts or {})))
        self.logs: list[dict[str, float]] = []
        self.samples: list[Sample] = []
        self._columns: dict[Key, int] = {}
        self._journal: Journal | None = None
        self._unsaved: list[dict[str, Any]] = []

    # ---- writing

    def add_facts(self, facts: Mapping[str, Any]) -> None:
        """Adds facts that became known, or replaces them."""
        facts = jsonable(dict(facts))
        self.facts.update(facts)
        self._note({"facts": facts})

    def add_sample(self, step: int, epoch: int, values: Mapping[Key, float]) -> None:
        """Adds the statistics of one training step."""
        new = [key for key in values if key not in self._columns]
        if new:
            for key in new:
                self._columns[key] = len(self._columns)
            self._note({"columns": [list(key) for key in new]})
        row = np.full(len(self._columns), np.nan)
        for key, value in values.items():
            row[self._columns[key]] = value
        row[~np.isfinite(row)] = np.nan
        self.samples.append(Sample(step, epoch, row))
        self._note({"step": step, "epoch": epoch, "values": row.tolist()})

    def add_epoch(self, epoch: int, step: int, logs: Mapping[str, float]) -> None:
        """Adds what Keras reported at the end of an epoch whose last training step was `step`."""
        finite = {name: _finite(value) for name, value in logs.items()}
        self.logs.append({**finite, "epoch": epoch, "step": step})
        self._note({"epoch": epoch, "step": step, "logs": finite})

    def keep_in(self, journal: Journal | None) -> None:
        """Writes the record to `journal` at every `flush`; `None` goes on in memory alone."""
        self._journal = journal
        self._unsaved = [] if journal is None else list(self._entries())

    def save(self, directory: str | Path) -> None:
        """Writes the record to a new file in `directory`.

        Raises:
            FileExistsError: If `directory` holds a record already.
        """
        Journal(directory).append(self._entries())

    def flush(self) -> None:
        """Brings what was added since the last call to disk, if there is a directory."""
        if self._journal is not None:
            self._journal.append(self._unsaved)
            self._unsaved = []

    # ---- reading

    @classmethod
    def load(cls, directory: str | Path) -> Record:
        """Reads a record back from its directory, or from the file itself; of several fits in it, the last one.

        Raises:
            FileNotFoundError: If there is none.
            RecordError: If it is damaged or of an unknown schema.
        """
        path = journal_path(directory)
        record = cls()
        for number, entry in enumerate(read(path), start=1):
            try:
                record = cls() if "fit" in entry else record
                record._apply(entry)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise RecordError(
                    f"The record '{path}' is damaged: line {number} is no entry of a record ({error!r}). "
                    "Restore the file from a copy, or delete it from that line on to keep what comes before."
                ) from error
        return record

    @property
    def steps(self) -> np.ndarray:
        """The sampled steps, shape `(samples,)`."""
        return np.array([sample.step for sample in self.samples], dtype=int)

    @property
    def epochs(self) -> np.ndarray:
        """The finished epochs, shape `(epochs,)`."""
        return np.array([entry["epoch"] for entry in self.logs], dtype=int)

    def log(self, name: str) -> np.ndarray:
        """One log by epoch, shape `(epochs,)`; NaN where it was absent or not finite."""
        return np.array([entry.get(name, np.nan) for entry in self.logs], dtype=float)

    def series(self, layer: str, tensor: str, statistic: str) -> np.ndarray:
        """One statistic at the sampled steps, shape `(samples,)`; NaN where it was not measured."""
        return self._take([(layer, tensor, statistic)])[:, 0]

    def matrix(self, tensor: str, statistic: str) -> tuple[list[str], np.ndarray]:
        """One statistic of every layer that has it: the layers in forward order, values `(samples, layers)`."""
        keys = [key for key in self._columns if key[1:] == (tensor, statistic)]
        return [key[0] for key in keys], self._take(keys)

    def tensors(self, statistic: str) -> list[tuple[str, str]]:
        """The layer and tensor of everything that has this statistic, in forward order."""
        return [key[:2] for key in self._columns if key[2] == statistic]

    def statistics(self, layer: str, tensor: str) -> list[str]:
        """The names of the statistics that were recorded of a tensor."""
        return [key[2] for key in self._columns if key[:2] == (layer, tensor)]

    def frame(self) -> pd.DataFrame:
        """The series in long form: step, epoch, layer, tensor, statistic, value; what was not measured is absent."""
        keys = list(self._columns)
        values = self._take(keys)
        rows, columns = np.nonzero(~np.isnan(values))
        names = np.array(keys, dtype=object).reshape(-1, 3)[columns]
        return pd.DataFrame(
            {
                "step": self.steps[rows],
                "epoch": np.array([sample.epoch for sample in self.samples], dtype=int)[rows],
                "layer": names[:, 0],
                "tensor": names[:, 1],
                "statistic": names[:, 2],
                "value": values[rows, columns],
            }
        )

    def __repr__(self) -> str:
        return (
            f"<Record of {len(self.logs)} epochs, {len(self.samples)} sampled steps, {len(self._columns)} statistics>"
        )

    # ---- private

    def _take(self, keys: Sequence[Key]) -> np.ndarray:
        taken = np.full((len(self.samples), len(keys)), np.nan)
        columns = np.array([self._columns.get(key, len(self._columns)) for key in keys], dtype=int)
        for row, sample in enumerate(self.samples):
            known = columns < len(sample.values)
            taken[row, known] = sample.values[columns[known]]
        return taken

    def _note(self, entry: dict[str, Any]) -> None:
        if self._journal is not None:
            self._unsaved.append(entry)

    def _entries(self) -> Iterator[dict[str, Any]]:
        yield {"fit": self.facts.get("model", {})}
        yield {"facts": self.facts}
        yield {"columns": [list(key) for key in self._columns]}
        for sample in self.samples:
            yield {"step": sample.step, "epoch": sample.epoch, "values": sample.values.tolist()}
        for entry in self.logs:
            logs = {name: value for name, value in entry.items() if name not in ("epoch", "step")}
            yield {"epoch": entry["epoch"], "step": entry["step"], "logs": logs}

    def _apply(self, entry: dict[str, Any]) -> None:
        if "facts" in entry:
            self.facts.update(entry["facts"])
        elif "columns" in entry:
            for layer, tensor, statistic in entry["columns"]:
                self._columns.setdefault((layer, tensor, statistic), len(self._columns))
        elif "values" in entry:
            self.samples.append(Sample(int(entry["step"]), int(entry["epoch"]), _floats(entry["values"])))
        elif "logs" in entry:
            logs = {name: _finite(value) for name, value in entry["logs"].items()}
            self.logs.append({**logs, "epoch": int(entry["epoch"]), "step": int(entry["step"])})
        elif "schema" not in entry and "fit" not in entry:
            raise ValueError(f"unknown entry with the keys {sorted(entry)}")


def _finite(value: float | None) -> float:
    number = np.nan if value is None else float(value)
    return number if np.isfinite(number) else np.nan


def _floats(values: Iterable[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
