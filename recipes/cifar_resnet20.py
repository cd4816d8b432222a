"""CIFAR-10 through the residual network of twenty layers.

Unverified: it wants a GPU. On 2 CPU cores `--epochs 2` took 7 minutes to a test accuracy of .7292 (seed 0, 2026-11-22).

python recipes/cifar_resnet20.py                             train and diagnose
python recipes/cifar_resnet20.py --epochs 150                longer
python recipes/cifar_resnet20.py --dropout 0.3 --blocks 9    56 layers, with stochastic depth
"""

from __future__ import annotations

import sys

from recipe import main

from kregtools.models import CifarResnet20

if __name__ == "__main__":
    sys.exit(main(CifarResnet20))
