"""The record of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kregtools.errors import RecordError
from kregtools.record.journal import Journal, journal_path, jsonable, read
from kregtools.record.logs import WHEN, Logs
from kregtools.record.table import Key, Samples, Table


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
        self.logs = Logs()
        self._table = Table()
        self._journal: Journal | None = None
        # A sample is noted by its number: its values are in the table already.
        self._unsaved: list[dict[str, Any] | int] = []
        self.known: dict[Any, Any] | None = None

    # ---- writing

    def add_facts(self, facts: Mapping[str, Any]) -> None:
        """Adds facts that became known, or replaces them."""
        facts = jsonable(dict(facts))
        self.facts.update(facts)
        self._note({"facts": facts})

    def add_sample(self, step: int, epoch: int, values: Mapping[Key, float]) -> None:
        """Adds the statistics of one training step."""
        layout = self._table.layout_of(values)
        layout = self._add_layout(list(values)) if layout is None else layout
        numbers = np.fromiter(values.values(), dtype=float, count=len(values))
        self._table.add_sample(step, epoch, layout, numbers)
        self._note(len(self.samples) - 1)

    def add_epoch(self, epoch: int, step: int, logs: Mapping[str, float]) -> None:
        """Adds what Keras reported at the end of an epoch whose last training step was `step`."""
        self.logs.append({**logs, "epoch": epoch, "step": step})
        self._note(_epoch_entry(self.logs[-1]))

    def keep_in(self, journal: Journal | None) -> None:
        """Writes the record to `journal` at every `flush`; `None` goes on in memory alone."""
        self._journal = journal
        self._unsaved = [] if journal is None else list(self._entries())

    def resumed(self, epoch: int, journal: Journal | None = None) -> Record:
        """The record of a fit that goes on from `epoch`: what was seen before it.

        What was seen of that epoch and of later ones is left out: they are trained again. Their entries stay in the
        journal, where an entry says that they no longer count.

        Args:
            epoch: The first epoch to come.
            journal: The journal this record was read from, to go on in. Defaults to `None`: its own, if it has one.
        """
        record = Record(self.facts)
        record._table = self._table.until(epoch)
        for logs in self.logs:
            if logs["epoch"] < epoch:
                record.logs.append(logs)
        record._journal = journal or self._journal
        record._unsaved = [*self._unsaved]
        record._note({"resumed": epoch})
        return record

    def save(self, directory: str | Path) -> None:
        """Writes the record to a new file in `directory`.

        Raises:
            FileExistsError: If `directory` holds a record already.
        """
        Journal(directory).append(self._written(self._entries()))

    def flush(self) -> None:
        """Brings what was added since the last call to disk, if there is a directory."""
        if self._journal is not None:
            self._journal.append(self._written(self._unsaved))
            self._unsaved = []

    # ---- reading

    @contextlib.contextmanager
    def settled(self) -> Iterator[None]:
        """A block in which the record does not change: what is `derived` from it is kept in `known`."""
        self.known = {}
        try:
            yield
        finally:
            self.known = None

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
                if "fit" in entry:
                    record = cls()
                elif "resumed" in entry:
                    record = record.resumed(int(entry["resumed"]))
                record._apply(entry)
            except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
                raise RecordError(
                    f"The record '{path}' is damaged: line {number} is no entry of a record ({error!r}). "
                    "Restore the file from a copy, or delete it from that line on to keep what comes before."
                ) from error
        return record

    @property
    def samples(self) -> Samples:
        """The sampled steps, each with `step` and `epoch`."""
        return self._table.samples

    @property
    def steps(self) -> np.ndarray:
        """The sampled steps, shape `(samples,)`."""
        return np.array(self.samples.steps, dtype=int)

    @property
    def sample_epochs(self) -> np.ndarray:
        """The epochs of the sampled steps, in rising order, shape `(samples,)`."""
        return np.array(self.samples.epochs, dtype=int)

    @property
    def epochs(self) -> np.ndarray:
        """The finished epochs, shape `(epochs,)`."""
        return self.logs.column("epoch").astype(int)

    def log(self, name: str) -> np.ndarray:
        """One log by epoch, shape `(epochs,)`; NaN where it was absent or not finite."""
        return self.logs.column(name)

    def series(self, layer: str, tensor: str, statistic: str, start: int = 0) -> np.ndarray:
        """One statistic at the sampled steps from the sample `start` on, shape `(samples,)`; NaN where not measured."""
        return self._table.take([(layer, tensor, statistic)], start)[:, 0]

    def matrix(self, tensor: str, statistic: str, start: int = 0) -> tuple[list[str], np.ndarray]:
        """One statistic of every layer that has it: the layers in forward order, values `(samples, layers)`.

        Args:
            tensor: The tensor's name.
            statistic: The statistic's name.
            start: The first sample that is wanted.
        """
        keys = self._table.of_all_layers(tensor, statistic)
        return [key[0] for key in keys], self._table.take(keys, start)

    def tensors(self, statistic: str) -> list[tuple[str, str]]:
        """The layer and tensor of everything that has this statistic, in forward order."""
        return [key[:2] for key in self._table.with_statistic(statistic)]

    def statistics(self, layer: str, tensor: str) -> list[str]:
        """The names of the statistics that were recorded of a tensor."""
        return [key[2] for key in self._table.of_tensor(layer, tensor)]

    def frame(self) -> pd.DataFrame:
        """The series in long form: step, epoch, layer, tensor, statistic, value; what was not measured is absent."""
        samples, columns, values = self._table.measured()
        names = np.array(self._table.keys, dtype=object).reshape(-1, 3)[columns]
        return pd.DataFrame(
            {
                "step": self.steps[samples],
                "epoch": self.sample_epochs[samples],
                "layer": names[:, 0],
                "tensor": names[:, 1],
                "statistic": names[:, 2],
                "value": values,
            }
        )

    def __repr__(self) -> str:
        columns = len(self._table.keys)
        return f"<Record of {len(self.logs)} epochs, {len(self.samples)} sampled steps, {columns} statistics>"

    # ---- private

    def _add_layout(self, keys: list[Key]) -> int:
        new = [key for key in keys if self._table.column(key) is None]
        if new:
            self._table.add_columns(new)
            self._note({"columns": [list(key) for key in new]})
        columns = [column for key in keys if (column := self._table.column(key)) is not None]
        self._note({"layout": columns})
        return self._table.add_layout(columns)

    def _note(self, entry: dict[str, Any] | int) -> None:
        if self._journal is not None:
            self._unsaved.append(entry)

    def _entries(self) -> Iterator[dict[str, Any] | int]:
        yield {"fit": self.facts.get("model", {})}
        yield {"facts": self.facts}
        yield {"columns": [list(key) for key in self._table.keys]}
        for layout in self._table.layouts:
            yield {"layout": layout.columns.tolist()}
        yield from range(len(self.samples))
        yield from map(_epoch_entry, self.logs)

    def _written(self, entries: Iterable[dict[str, Any] | int]) -> Iterator[dict[str, Any]]:
        for entry in entries:
            yield self._sample_entry(entry) if isinstance(entry, int) else entry

    def _sample_entry(self, index: int) -> dict[str, Any]:
        layout, values = self._table.sample(index)
        return {**self.samples[index]._asdict(), "layout": layout, "values": values.tolist()}

    def _apply(self, entry: dict[str, Any]) -> None:
        if "facts" in entry:
            self.facts.update(entry["facts"])
        elif "columns" in entry:
            self._table.add_columns([(layer, tensor, statistic) for layer, tensor, statistic in entry["columns"]])
        elif "values" in entry:
            values = np.array(entry["values"], dtype=float)
            layout = int(entry["layout"]) if "layout" in entry else self._layout_of_first(len(values))
            if layout < 0:
                raise IndexError(f"a sample of the layout {layout}")
            self._table.add_sample(int(entry["step"]), int(entry["epoch"]), layout, values)
        elif "layout" in entry:
            self._table.add_layout([int(column) for column in entry["layout"]])
        elif "logs" in entry:
            self.add_epoch(int(entry["epoch"]), int(entry["step"]), entry["logs"])
        elif not entry.keys() & {"schema", "fit", "resumed"}:
            raise ValueError(f"unknown entry with the keys {sorted(entry)}")

    def _layout_of_first(self, columns: int) -> int:
        """The layout of the first columns: that of a sample of schema 1."""
        keys = self._table.keys[:columns]
        known = self._table.layout_of(dict.fromkeys(keys, 0.0))
        return self._table.add_layout(range(columns)) if known is None else known


def _epoch_entry(logs: Mapping[str, float]) -> dict[str, Any]:
    reported = {name: value for name, value in logs.items() if name not in WHEN}
    return {"epoch": logs["epoch"], "step": logs["step"], "logs": reported}
