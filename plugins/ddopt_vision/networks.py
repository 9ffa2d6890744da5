"""The networks: the fully connected ones of the paper, a small CNN, and torchvision's ResNets."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn

from ddopt.dropout import Dropout

if TYPE_CHECKING:
    from collections.abc import Callable

Shape = tuple[int, int, int]  # channels, height, width of one image
GROUPS = 32  # of the group normalisation; Wu and He, arXiv 1803.08494, section 4.1


def mlp(shape: Shape, classes: int, hidden: list[int], dropout: float = 0.0) -> nn.Sequential:
    """Fully connected, with rectifiers: 784-512-256-10 and 3072-512-512-10 in the paper."""
    sizes = [shape[0] * shape[1] * shape[2], *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()] + ([Dropout(dropout)] if dropout else [])
    return nn.Sequential(*layers, nn.Linear(sizes[-1], classes))


def cnn(
    shape: Shape, classes: int, dropout: float = 0.0, *, channels: int = 16, convolutions: int = 2
) -> nn.Sequential:
    """Convolutions, of which the first two are pooled, and two fully connected layers.

    The first has ``channels`` channels, the others twice as many. The fully connected layers are
    the same for every number of ``convolutions``, which is 2 at least.
    """
    colours, height, width = shape
    wide = 2 * channels
    layers: list[nn.Module] = []
    for i in range(convolutions):
        a, b = (colours if i == 0 else channels if i == 1 else wide), (wide if i else channels)
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.ReLU()] + ([nn.MaxPool2d(2)] if i < 2 else [])
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(wide * (height // 4) * (width // 4), 128),
        nn.ReLU(),
        *([Dropout(dropout)] if dropout else []),
        nn.Linear(128, classes),
    )


def in_line(network: nn.Module) -> nn.Sequential:
    """The network as a sequence of layers, which can be cut into stages; names and order stay."""
    if isinstance(network, nn.Sequential):
        return network
    layers = OrderedDict(network.named_children())
    head = layers.pop("fc")  # torchvision flattens in front of it
    return nn.Sequential(OrderedDict([*layers.items(), ("flatten", nn.Flatten(1)), ("fc", head)]))


def resnet(name: str, shape: Shape, classes: int, norm: str) -> nn.Module:
    """A torchvision ResNet with a stem for small images: one 3x3 convolution, no pooling.

    The batch norms keep cumulative averages, so that statistics can be collected over any number of
    batches at one θ.
    """
    from torchvision import models

    layers: dict[str, Callable[..., nn.Module]] = {
        "group": partial(nn.GroupNorm, GROUPS),
        "batch": partial(nn.BatchNorm2d, momentum=None),
    }
    network: nn.Module = getattr(models, name)(num_classes=classes, norm_layer=layers[norm])
    network.conv1 = nn.Conv2d(shape[0], 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network
