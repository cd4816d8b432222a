"""CIFAR-10 without convolutions.

Not measured on the test data yet.

python recipes/cifar_dense.py                                            train and diagnose
python recipes/cifar_dense.py --l2 0 --dropout 0 --normalization none    without what keeps it healthy
python recipes/cifar_dense.py --augment standard --epochs 60             shifted, mirrored images
"""

from __future__ import annotations

import sys

from recipe import main

from kregtools.models import CifarDense

if __name__ == "__main__":
    sys.exit(main(CifarDense))
