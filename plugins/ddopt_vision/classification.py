"""Classification of images: what the tasks of this plugin have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from ddopt.dropout import dropping
from ddopt.evaluation.autograd import Named, TermSums
from ddopt.evaluation.layered import LayeredProblem
from ddopt.evaluation.outputs import Outputs, Scores
from ddopt.evaluation.problem import Samples
from ddopt.numerics.randomness import key
from ddopt.numerics.space import Parameters
from ddopt.pipeline import StagedProblem, cut
from ddopt.setup.component import Settings
from ddopt.setup.storage import alone, data_root, missing
from ddopt.task import Setting, Task, filled
from ddopt_vision import networks
from ddopt_vision.augmentation import augmented
from ddopt_vision.images import Images, Raw

if TYPE_CHECKING:
    from pathlib import Path

    from ddopt.executor import Executor
    from ddopt.pipeline.staged import Feed

CHUNKS = {"mlp": 65_536, "cnn": 4_096}  # samples of one pass; about a gigabyte of activations
DEEP = 256
STATISTICS = 10_000  # training images from which a batch norm's statistics are taken
VIEW = 1_000  # images of one pass of a measurement


class Classification(Task):
    """Cross entropy of a network on a labelled set of images, a mean over the training set.

    With batch normalisation every pass uses the statistics of its own samples, on copies of the
    buffers: f is one function of θ, but no longer a mean over samples (a chunk, a micro-batch and
    the whole have different statistics). The running statistics belong to the iterate that is
    measured: they are taken from training images at that θ (Wu and Johnson, arXiv 2105.07576,
    section 3), so no rejected trial has a part in them and no state is needed.
    """

    class Config(Settings):
        """Data, network and augmentation."""

        root: str | None = Field(
            None, description="folder of the data sets; else $DDOPT_DATA_ROOT, else a user cache"
        )
        network: Literal["mlp", "cnn", "resnet18", "resnet34", "resnet50"] = Field(
            "mlp", description="mlp: fully connected; cnn: small; resnets with a CIFAR stem"
        )
        hidden: list[int] = Field([512, 256], description="hidden layers of the mlp")
        channels: int = Field(
            16, ge=1, description="of the first convolution of the cnn; the others have twice that"
        )
        convolutions: int = Field(2, ge=2, le=100, description="of the cnn; two are pooled")
        norm: Literal["group", "batch"] = Field(
            "group", description="normalisation of the resnets; group keeps f a mean over samples"
        )
        dropout: float = Field(
            0.0, ge=0.0, lt=1.0, description="rate of the mlp and the cnn; masks drawn per batch"
        )
        augment: bool = Field(
            False, description="random crops (and reflections), drawn once per iteration's samples"
        )
        train_samples: int | None = Field(
            None, ge=1, description="use the first training images only"
        )
        test_samples: int | None = Field(None, ge=1, description="use the first test images only")
        chunk: int | None = Field(
            None, ge=1, description="images of one pass through the network; by default about 1 GB"
        )

    title: ClassVar[str]
    dataset: ClassVar[str]  # torchvision's name
    classes: ClassVar[tuple[str, ...]]
    mean: ClassVar[tuple[float, ...]]  # of the training set, per channel, pixels in [0, 1]
    std: ClassVar[tuple[float, ...]]
    padding: ClassVar[int]  # pixels that a random crop may move
    reflect: ClassVar[bool]  # whether a mirrored image is still of its class

    problem: LayeredProblem
    train: Images
    test: Images
    model: nn.Module

    def load(self, root: Path, download: bool) -> tuple[Raw, Raw]:
        """The training and the test set; torchvision checks what it downloads.

        Raises ``RuntimeError`` or ``OSError`` if they are not there.
        """
        from torchvision import datasets

        dataset = getattr(datasets, self.dataset)
        train = dataset(root, train=True, download=download)
        test = dataset(root, train=False, download=download)
        return Raw.of(train.data, train.targets), Raw.of(test.data, test.targets)

    def prepare(self, setting: Setting) -> None:
        """Load the images, build the network, and read its parameters."""
        train, test = self._loaded()
        self._setting = setting
        kind = (self.mean, self.std, setting.dtype, setting.device)
        self.train = Images(train.first(self.config.train_samples), *kind)
        self.test = Images(test.first(self.config.test_samples), *kind)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(key(setting.seed, "network"))
            self.model = self._network(self.train.shape)
        self.model.to(setting.device, setting.dtype)
        parameters = Parameters(self.model.named_parameters())
        self.initial = parameters.read()
        options = self.config
        self.problem = LayeredProblem(
            self.model,
            parameters.layout,
            self._sums(None),
            Samples.all(len(self.train)),
            chunk=options.chunk or CHUNKS.get(options.network, DEEP),
            redraw=self._sums if options.augment or options.dropout else None,
            outputs=self._outputs,
        )
        self.problem.located = lambda term: self.train.inputs(slice(None)).flatten(1)
        norms = nn.modules.batchnorm._BatchNorm  # each pass has the statistics of its own images
        self.problem.additive = not any(isinstance(m, norms) for m in self.model.modules())

    def staged(self, stages: int, chunks: int, executor: Executor) -> StagedProblem:
        """The network cut between its layers; measured where its stages are.

        Raises ``ValueError`` for more stages than layers, and for batch normalisation.
        """
        setting, options = self._setting, self.config
        self._cut = StagedProblem(
            cut(networks.in_line(self.model), stages),
            self._inputs(self.train, None),
            lambda scores, i: cross_entropy(
                scores, self.train.labels[i.to(setting.device)], reduction="sum"
            ),
            Samples.all(len(self.train)),
            executor,
            chunks=chunks,
            dtype=setting.dtype,
            device=setting.device,
            redraw=self._redrawn if options.augment or options.dropout else None,
        )
        return self._cut

    _cut: StagedProblem | None = None

    def _redrawn(self, draw: int) -> tuple[Feed, int]:
        number = key(self._setting.seed, "draw", draw)
        return self._inputs(self.train, number), number

    def _inputs(self, images: Images, number: int | None) -> Feed:
        """Sample indices to images; of a draw, augmented where that is wanted."""

        def feed(index: torch.Tensor) -> torch.Tensor:
            index = index.to(self._setting.device)
            found = images.inputs(index)
            if number is None or not self.config.augment:
                return found
            return augmented(found, index, number, self.padding, self.reflect)

        return feed

    def _loaded(self) -> tuple[Raw, Raw]:
        root = data_root(self.config.root)
        try:
            return self.load(root, download=False)
        except PermissionError as reason:  # it may be there, and a download would not help
            raise ValueError(f"{self.title} in {root} cannot be read: {reason}") from reason
        except (RuntimeError, OSError):
            pass  # it is not there, or not whole
        try:
            with alone(root):
                return self.load(root, download=True)
        except (RuntimeError, OSError) as reason:
            raise missing(self.title, root, str(reason).strip().splitlines()[-1]) from reason

    def _network(self, shape: networks.Shape) -> nn.Module:
        options, classes = self.config, len(self.classes)
        if options.network == "mlp":
            return networks.mlp(shape, classes, options.hidden, options.dropout)
        if options.network == "cnn":
            return networks.cnn(
                shape,
                classes,
                options.dropout,
                channels=options.channels,
                convolutions=options.convolutions,
            )
        if options.dropout:
            raise ValueError(f"{options.network} has no dropout; set problem.dropout=0")
        return networks.resnet(options.network, shape, classes, options.norm)

    def _sums(self, draw: int | None) -> TermSums:
        """The loss of a draw; without one, of the images as they are and with nothing dropped."""
        outputs = self._outputs(draw)

        def sums(named: Named, samples: Samples) -> tuple[torch.Tensor, ...]:
            labels = self.train.labels[samples.terms[0].to(self.train.labels.device)]
            return (cross_entropy(outputs(named, samples).rows, labels, reduction="sum"),)

        return sums

    def _outputs(self, draw: int | None) -> Outputs:
        """The scores of a draw; without one, as in ``_sums``."""
        number = None if draw is None else key(self._setting.seed, "draw", draw)

        def outputs(named: Named, samples: Samples) -> Scores:
            index = samples.terms[0].to(self.train.labels.device)
            images = self._inputs(self.train, number)(index)
            if number is None:
                return Scores(self._scores(named, images))
            with dropping(number, index):
                return Scores(self._scores(named, images))

        return outputs

    def _scores(self, named: Named, images: torch.Tensor) -> torch.Tensor:
        """The network at the given parameters; what it writes into its buffers is lost."""
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        scores: torch.Tensor = functional_call(self.model, {**named, **buffers}, (images,))
        return scores

    @torch.no_grad()
    def predict(self, theta: torch.Tensor, images: Images | None = None) -> torch.Tensor:
        """The scores of the test images, shape (images, classes)."""
        images = images or self.test
        named = self._at(theta)
        self.model.eval()
        try:
            passes = [
                functional_call(self.model, named, (images.inputs(slice(i, i + VIEW)),))
                for i in range(0, len(images), VIEW)
            ]
        finally:
            self.model.train()
        return torch.cat(passes)

    def module(self, theta: torch.Tensor) -> nn.Module:
        """The network, with the running statistics that belong to these parameters."""
        return filled(self.model, self._at(theta))

    def _at(self, theta: torch.Tensor) -> dict[str, torch.Tensor]:
        """The parameters by name, and the statistics that belong to them."""
        named = self.problem.named(theta.to(self._setting.device))
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        if buffers:  # cumulative averages: each pass adds to the copies
            for i in range(0, min(STATISTICS, len(self.train)), VIEW):
                images = self.train.inputs(slice(i, min(i + VIEW, STATISTICS)))
                functional_call(self.model, {**named, **buffers}, (images,))
        return {**named, **buffers}

    def measure(self, theta: torch.Tensor) -> dict[str, float]:
        """Accuracy and loss on the test set."""
        if self._cut is not None:
            return self._measure_stages(self._cut, theta)
        scores = self.predict(theta)
        right = (scores.argmax(1) == self.test.labels).double().mean()
        loss = cross_entropy(scores, self.test.labels)
        return {"accuracy": float(right), "test_loss": float(loss)}

    def _measure_stages(self, network: StagedProblem, theta: torch.Tensor) -> dict[str, float]:
        """The same, where ``theta`` holds this process's stages."""
        samples, feed = Samples.all(len(self.test)), self._inputs(self.test, None)

        def labels(i: torch.Tensor) -> torch.Tensor:
            return self.test.labels[i.to(self._setting.device)]

        right = network.scored(
            feed, lambda s, i: (s.argmax(1) == labels(i)).double().sum(), samples
        )
        loss = network.scored(
            feed, lambda s, i: cross_entropy(s, labels(i), reduction="sum"), samples
        )
        return {"accuracy": right.at(theta).value, "test_loss": loss.at(theta).value}

    def draw(self, theta: torch.Tensor, metrics: list[dict[str, Any]], folder: Path) -> list[Path]:
        """Predictions on test images, the confusion matrix, and the course of the run."""
        from ddopt_vision import figures

        scores = self.predict(theta).double().cpu()
        return figures.draw(self, scores, metrics, folder)
