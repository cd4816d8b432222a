"""What the lectures teach, each as a small experiment: `kregtools lesson NAME`."""

from __future__ import annotations

# A lesson is a module of this name in this package, and a line here.
LESSONS = {
    "symmetry": "why weights must not start equal",
    "saturation": "weights that start too large or too small, with tanh",
    "vanishing_gradient": "why deep sigmoid networks do not learn",
    "exploding_gradient": "weights too large in a deep relu network",
    "xavier_and_he": "which initializer goes with which activation",
    "learning_rate": "too low, about right, too high",
    "learning_rate_decay": "what a falling learning rate is worth",
    "capacity_fashion": "underfit and overfit by width, on Fashion-MNIST",
    "capacity_cifar": "underfit and overfit by width, on CIFAR-10",
    "bias_variance": "polynomials of degree 1, 5 and 25",
    "regularization_imdb": "L2, L1, dropout and early stopping, on IMDB",
    "batchnorm_dropout": "BatchNorm behind dropout, and its statistics taken again",
    "label_noise": "what wrong labels do, and how it looks",
}
