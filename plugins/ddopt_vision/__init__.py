"""Image classification: MNIST, Fashion-MNIST and CIFAR-10 through torchvision."""

from typing import Any

from ddopt.setup.hookspecs import hookimpl

TASKS = {
    "mnist": "ddopt_vision.datasets:MNIST",
    "fashion_mnist": "ddopt_vision.datasets:FashionMNIST",
    "cifar10": "ddopt_vision.datasets:CIFAR10",
}


@hookimpl
def ddopt_register(register: Any) -> None:
    """Register the tasks; each is imported when a run names it."""
    for name, where in TASKS.items():
        register(where, seam="problem", name=name)
