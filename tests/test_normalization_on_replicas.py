"""MirroredStrategy on two logical devices, which have to be set up before TensorFlow starts: a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_on_two_replicas_as_on_one():
    script = Path(__file__).parent / "replicas_batchnorm.py"
    around = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=around, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) == 6
    # What is followed in training is that of the rows of the first replica, as for BatchNormalization itself.
    assert max(found.values()) < 1e-4, found
