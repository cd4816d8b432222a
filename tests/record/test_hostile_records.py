"""Files that somebody else made: they are read, or refused with an error of ours, and nothing of them is run."""

from __future__ import annotations

import ast
import json
import math
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kregtools
from kregtools.diagnosis import diagnose
from kregtools.errors import RecordError
from kregtools.record import Record, example
from kregtools.symptoms import SYMPTOMS

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def sick_record() -> Record:
    return next(rule for rule in SYMPTOMS if rule.name == "vanishing_gradient").SICK[0]


def lines() -> list[str]:
    record = example(
        logs={"loss": [0.7, 0.5], "val_loss": [0.8, math.nan], "accuracy": [0.5, 0.6]},
        series={("dense", "kernel", "gradient_rms"): [1.0, 2.0], ("", "loss", "value"): [0.7, 0.6]},
        facts={**sick_record().facts, "optimizer": {"class": "Adam", "learning_rate": 0.01}},
    )
    return [json.dumps(entry) for entry in [{"schema": 2}, *record._written(record._entries())]]


def read_or_refused(text: str, directory: Path) -> Record | None:
    path = directory / "record.jsonl"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Record.load(path)
    except RecordError as error:
        assert str(path) in str(error)
        return None


def replaced(value: Any, path: list[int], junk: Any) -> Any:
    """`value` with one of its parts, the one that `path` leads to, replaced."""
    if not path or not isinstance(value, (dict, list)) or not value:
        return junk
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[path[0] % len(keys)]
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = replaced(value[key], path[1:], junk)
    return copy


@settings(max_examples=300, deadline=None)
@given(line=st.integers(0, 30), path=st.lists(st.integers(0, 30), max_size=6), junk=JUNK)
def test_whatever_stands_in_a_line_it_is_read_or_refused(line, path, junk, tmp_path_factory):
    entries = [json.loads(text) for text in lines()]
    entries[line % len(entries)] = replaced(entries[line % len(entries)], path, junk)
    record = read_or_refused("\n".join(map(json.dumps, entries)) + "\n", tmp_path_factory.mktemp("hostile"))
    if record is not None:
        found = diagnose(record)
        assert found.verdict in ("healthy", "overfit", "underfit", "sick", "undetermined")
        record.frame()
        assert str(found)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=200), at=st.integers(0, 10**6))
def test_whatever_bytes_stand_in_the_file_it_is_read_or_refused(data, at, tmp_path_factory):
    directory = tmp_path_factory.mktemp("bytes")
    whole = ("\n".join(lines()) + "\n").encode()
    at %= len(whole)
    (directory / "record.jsonl").write_bytes(whole[:at] + data + whole[at + len(data) :])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            diagnose(Record.load(directory))
    except RecordError:
        pass


@pytest.mark.parametrize(
    "entry",
    [
        "[" * 100_000 + "]" * 100_000,
        '{"facts": ' * 50_000 + "1" + "}" * 50_000,
        '{"step": 1e400, "epoch": 0, "layout": 0, "values": []}',
        '{"step": 0, "epoch": 99999999999999999999, "layout": 0, "values": [1, 2]}',
        '{"layout": [-1]}',
        '{"step": 0, "epoch": 0, "layout": -1, "values": [1]}',
        '{"layout": [0, 0]}',
        '{"columns": [["a", "b"]]}',
        '{"columns": [[["deep"], "b", "c"]]}',
        '{"resumed": "now"}',
        '{"epoch": 0, "step": 0, "logs": {"loss": "low"}}',
        "NaN",
        "1" * 10_000,
    ],
    ids=lambda entry: entry[:40],
)
def test_what_is_deep_huge_or_of_the_wrong_kind_is_refused_with_its_line(entry, tmp_path):
    text = lines()
    path = tmp_path / "record.jsonl"
    path.write_text("\n".join([*text, entry, text[-1]]) + "\n")
    with pytest.raises(RecordError, match=f"is damaged: line {len(text) + 1} "):
        Record.load(path)


def test_a_long_record_is_read(tmp_path):
    entries = [*lines(), *(json.dumps({"epoch": k, "step": k, "logs": {"loss": 0.5}}) for k in range(2, 20_000))]
    record = read_or_refused("\n".join(entries) + "\n", tmp_path)
    assert record is not None and len(record.logs) == 20_000
    assert diagnose(record).verdict


def test_nothing_that_is_read_is_run():
    """No module of ours unpickles, evaluates or executes anything, or asks a network but for the data."""
    forbidden = {"eval", "exec", "compile", "__import__"}
    modules = {"pickle", "shelve", "marshal", "dill", "joblib", "cloudpickle"}
    network = {"urllib", "http", "requests"}
    root = Path(kregtools.__file__).parent
    for path in root.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        imported = {alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import)
                    for alias in node.names}  # fmt: skip
        imported |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
                     if not node.level}  # fmt: skip
        assert not names & forbidden, path
        # A trial travels to a worker of the user's own cluster as Dask sends it.
        assert not imported & modules or path.name == "workers.py", path
        assert not imported & network or path.name == "datasets.py", path
