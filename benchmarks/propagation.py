"""How the std of a signal fares over 30 relu layers with dropout, by initializer.

    python benchmarks/propagation.py [--draws 40] [--width 256]

Prints, for each initializer and keep rate, the std of the last layer's pre-activations over that of the first: the
median over the draws, their 5th and 95th percentile, and the share of draws outside a factor of 1.4.
"""

from __future__ import annotations

import argparse

import keras
import numpy as np

from kregtools.initializers import DropoutAware

DEPTH, ROWS, FACTOR = 30, 256, 1.4
KEEP = (1.0, 0.7, 0.5)


def initializers(rate: float) -> dict[str, keras.initializers.Initializer]:
    return {
        "GlorotUniform": keras.initializers.GlorotUniform(),
        "HeNormal": keras.initializers.HeNormal(),
        **{
            f"DropoutAware, {distribution}": DropoutAware("relu", rate, distribution=distribution)
            for distribution in ("orthogonal", "hypersphere", "truncated_normal", "uniform")
        },
        "DropoutAware, sum": DropoutAware("relu", rate, mode="sum"),
    }


def ratio(name: str, keep: float, width: int, seed: int) -> float:
    """The ratio for one draw of all weights and masks, in training mode."""
    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    h, stds = rng.normal(size=(ROWS, width)), []
    for _ in range(DEPTH):
        kernel = initializers(1 - keep)[name]((width, width))
        z = h @ keras.ops.convert_to_numpy(kernel)
        stds.append(z.std())
        h = np.maximum(z, 0) * (rng.random(z.shape) < keep) / keep
    return stds[-1] / stds[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--width", type=int, default=256)
    options = parser.parse_args()
    print(f"{DEPTH} relu layers, width {options.width}, {options.draws} draws\n")
    print("| initializer | keep | median | 5 % | 95 % | outside 1.4 |\n|---|---|---|---|---|---|")
    for name in initializers(0.0):
        for keep in KEEP:
            ratios = np.array([ratio(name, keep, options.width, seed) for seed in range(options.draws)])
            low, median, high = np.percentile(ratios, (5, 50, 95))
            outside = np.mean((ratios < 1 / FACTOR) | (ratios > FACTOR))
            print(f"| {name} | {keep:g} | {median:.3g} | {low:.3g} | {high:.3g} | {outside:.0%} |", flush=True)


if __name__ == "__main__":
    main()
