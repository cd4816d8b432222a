"""The tables of cases and the comparison of runs are those of tests/capture; the files run where their backend does."""

import sys
from pathlib import Path

import keras
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "capture"))

pytest.register_assert_rewrite("twins")

BACKEND = keras.backend.backend()
collect_ignore_glob = [f"test_{other}_*.py" for other in ("jax", "torch") if other != BACKEND]
if BACKEND not in ("jax", "torch"):
    collect_ignore_glob.append("test_*.py")
