"""The data sets: MNIST, Fashion-MNIST and CIFAR-10, as torchvision keeps them."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ddopt_vision.classification import Classification


class MNIST(Classification):
    """Handwritten digits, 60,000 and 10,000 images of 28x28 (LeCun, Cortes and Burges)."""

    name = "mnist"
    title = "MNIST"
    dataset = "MNIST"
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")
    mean = (0.1307,)
    std = (0.3081,)
    padding = 2
    reflect = False


class FashionMNIST(Classification):
    """Articles of clothing in MNIST's format (Xiao, Rasul and Vollgraf, arXiv 1708.07747)."""

    name = "fashion_mnist"
    title = "Fashion-MNIST"
    dataset = "FashionMNIST"
    classes = (
        "T-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "boot",
    )
    mean = (0.2860,)
    std = (0.3530,)
    padding = 2
    reflect = True


class CIFAR10(Classification):
    """Colour photographs, 50,000 and 10,000 images of 32x32 (Krizhevsky 2009)."""

    name = "cifar10"

    class Config(Classification.Config):
        """The paper's network for CIFAR-10 has 1,841,162 parameters."""

        hidden: list[int] = Field([512, 512], description="hidden layers of the mlp")

    title = "CIFAR-10"
    dataset = "CIFAR10"
    classes = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    mean = (0.4914, 0.4822, 0.4465)
    std = (0.2470, 0.2435, 0.2616)
    padding = 4
    reflect = True
