"""MirroredStrategy on two logical devices, which have to be set up before TensorFlow starts: a process of its own."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CASES = [
    "dense",
    "partial last batch",
    "residual",
    "batchnorm",
    "embedding",
    "own step",
    "mixed_float16",
]


@functools.cache
def results() -> dict[str, dict]:
    done = subprocess.run(
        [sys.executable, str(HERE / "replicas.py")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


pytestmark = pytest.mark.xdist_group("replicas")


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_replicas_are_trained_as_if_unwatched(case):
    found = results()[case]
    assert "failed" not in found, found
    for every in ("1", "3"):
        assert found[every] == {"differences": {}, "gaps": [], "as before": True}, found.get("of the unmonitored twin")


@pytest.mark.slow
@pytest.mark.parametrize(("samples", "least"), [("merged", 50), ("merged, at the least cost", 25)])
def test_what_two_replicas_saw_is_merged_exactly(samples, least):
    found = results()[samples]
    assert found.get("compared", 0) > least, found
    assert not found["apart"] and not found["missing"]
