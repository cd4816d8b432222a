"""CIFAR-10 through the residual network of nine layers that trains fast on a GPU.

Unverified: it wants a GPU. On a CPU it was tried with `--smoke` alone.

python recipes/cifar_resnet9.py                       train and diagnose
python recipes/cifar_resnet9.py --filters 16          a small one, on a CPU
python recipes/cifar_resnet9.py --tune --trials 20    search L2, dropout and learning rate
"""

from __future__ import annotations

import sys

from recipe import main

from kregtools.models import CifarResnet9

if __name__ == "__main__":
    sys.exit(main(CifarResnet9))
