"""CIFAR-10 through the residual network of twenty layers.

Unverified: it wants a GPU.

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
