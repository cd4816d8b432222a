"""Runs that are ended by a signal, at a moment nobody chose."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

import kregtools
from kregtools.errors import KregtoolsWarning

SCRIPT = Path(__file__).parent / "watched_run.py"
EPOCHS = 100_000


def ended_by(which: signal.Signals, directory: Path, after_s: float) -> tuple[int, str]:
    """Starts the run, sends the signal so long after its first epoch; the epochs it told of, and its last words."""
    command = [sys.executable, str(SCRIPT), str(directory), str(EPOCHS)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout is not None
    first = run.stdout.readline()
    assert first, run.communicate()[1]
    time.sleep(after_s)
    run.send_signal(which)
    rest, errors = run.communicate(timeout=120)
    told = [int(line) for line in (first + rest).splitlines(keepends=True) if line.endswith("\n")]
    return told[-1] + 1, errors


def check(directory: Path, told: int) -> None:
    """All epochs that were told of are there, and one more at most: its line can have been written already."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", KregtoolsWarning)
        run = kregtools.load(directory)
    assert told <= len(run.record.logs) <= told + 1
    assert run.record.epochs.tolist() == list(range(len(run.record.logs)))
    assert len(run.record.steps) >= 4 * told
    assert run.diagnosis.verdict in ("healthy", "undetermined", "underfit", "overfit")


@pytest.mark.parametrize("which", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_keeps_every_finished_epoch(which, tmp_path):
    told, errors = ended_by(which, tmp_path, after_s=0.5)
    check(tmp_path, told)
    assert ("KeyboardInterrupt" in errors) == (which is signal.SIGINT)


@pytest.mark.slow
def test_a_hundred_kills_at_random_moments_lose_no_finished_epoch(tmp_path):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    for k in range(100):
        told, _ = ended_by(signal.SIGKILL, tmp_path / str(k), moments.uniform(0, 0.5))
        check(tmp_path / str(k), told)


def test_wherever_a_write_was_cut_off_the_lines_before_it_are_read(tmp_path):
    """Every prefix of a journal reads as the record of the lines that are whole."""
    record = kregtools.record.Record({"model": {"name": "mlp"}})
    record.keep_in(kregtools.record.Journal(tmp_path))
    for epoch in range(3):
        record.add_sample(epoch, epoch, {("dense", "kernel", "gradient_norm"): 0.5})
        record.add_epoch(epoch, epoch, {"loss": 0.5, "naïve λ": 1.0})
    record.flush()
    whole = (tmp_path / "record.jsonl").read_bytes()
    header = whole.index(b"\n") + 1
    for end in range(header, len(whole)):
        (tmp_path / "record.jsonl").write_bytes(whole[:end])
        lines = whole[:end].count(b"\n")
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            read = kregtools.record.Record.load(tmp_path)
        epochs = [json.loads(line) for line in whole[:end].splitlines()[:lines] if b'"logs"' in line]
        # A line that lacks nothing but its end is whole, too.
        assert len(epochs) <= len(read.logs) <= len(epochs) + 1
        assert len(warned) <= 1
