"""The statistics of a tensor written out in NumPy, in float64."""

import numpy as np


def activation(x) -> dict[str, float]:
    a = np.asarray(x, "float64")
    return {
        "mean": a.mean(),
        "std": a.std(),
        "rms": np.sqrt((a**2).mean()),
        "min": a.min(),
        "max": a.max(),
        "zero_fraction": (a == 0).mean(),
        "nonfinite": np.sum(~np.isfinite(a)),
        "count": a.size,
    }


def gradient(g) -> dict[str, float]:
    a = np.asarray(g, "float64")
    return {
        "gradient_norm": np.sqrt((a**2).sum()),
        "gradient_rms": np.sqrt((a**2).mean()),
        "gradient_zero_fraction": (a == 0).mean(),
        "gradient_nonfinite": np.sum(~np.isfinite(a)),
    }
