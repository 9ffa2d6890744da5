"""Language modelling, character by character: TinyShakespeare, or any text file."""

from __future__ import annotations

import math
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import Field
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from ddopt.dropout import dropping
from ddopt.evaluation.autograd import AutogradProblem, Named, TermSums
from ddopt.evaluation.layered import LayeredProblem
from ddopt.evaluation.outputs import Outputs, Scores
from ddopt.evaluation.problem import Samples
from ddopt.numerics.randomness import generator, key
from ddopt.numerics.space import Parameters
from ddopt.pipeline import StagedProblem
from ddopt.setup.component import Settings
from ddopt.setup.storage import alone, data_root, fetch, missing
from ddopt.task import Setting, Task, filled
from ddopt_text.corpus import Corpus, Windows
from ddopt_text.gpt import GPT, Shape

if TYPE_CHECKING:
    from ddopt.executor import Executor
    from ddopt.pipeline.staged import Feed, Loss

FILE = "tinyshakespeare.txt"
URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
VIEW = 256  # sequences of one pass of a measurement


class LanguageSettings(Settings):
    """The network, and how the text is cut into samples."""

    layers: int = Field(4, ge=1, description="transformer blocks; 4 is nanoGPT's CPU setting")
    heads: int = Field(4, ge=1, description="attention heads of each block")
    width: int = Field(128, ge=1, description="numbers that stand for one character")
    context: int = Field(64, ge=1, description="characters of one sample")
    bias: bool = Field(False, description="biases in the linear layers and norms")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="rate; masks are drawn per iteration")
    tied: bool = Field(False, description="one matrix for the embedding and for the scores")
    stride: int | None = Field(
        None,
        ge=1,
        description="characters between the starts of two samples; by default the context, so "
        "that D is the text once",
    )
    chunk: int = Field(1_024, ge=1, description="sequences of one pass through the network")
    validation_samples: int | None = Field(
        None, ge=1, description="validate on the first sequences only; by default on all"
    )


class Language(Task):
    """Mean cross entropy of the next character, over a fixed set of sequences."""

    Config = LanguageSettings

    title: str
    problem: AutogradProblem
    corpus: Corpus
    model: GPT

    @abstractmethod
    def load(self) -> Corpus:
        """The text."""

    def prepare(self, setting: Setting) -> None:
        """Load the text, build the network, and read its parameters."""
        options = self.config
        self._setting = setting
        self.corpus = self.load()
        trained, held = (part.to(setting.device) for part in self.corpus.split())
        self.train = Windows(trained, options.context, options.stride or options.context)
        self.validation = Windows(held, options.context, options.context)
        names = ("layers", "heads", "width", "context", "bias", "dropout", "tied")
        shape = Shape(len(self.corpus.alphabet), **{name: getattr(options, name) for name in names})
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(key(setting.seed, "network"))
            self.model = GPT(shape)
        self.model.to(setting.device, setting.dtype)
        parameters = Parameters(self.model.named_parameters())
        self.initial = parameters.read()
        self.problem = LayeredProblem(
            self.model,
            parameters.layout,
            self._sums(None),
            Samples.all(len(self.train)),
            chunk=options.chunk,
            redraw=self._sums if options.dropout else None,
            outputs=self._outputs,
        )
        self.problem.located = self._frequencies

    def _frequencies(self, term: int) -> torch.Tensor:
        """How often each character is in each sequence, shape (sequences, characters)."""
        inputs, _ = self.train.pair(torch.arange(len(self.train), device=self._setting.device))
        counts = torch.zeros(len(inputs), len(self.corpus.alphabet), device=inputs.device)
        ones = torch.ones((), device=inputs.device).expand(inputs.shape)
        return counts.scatter_add_(1, inputs, ones) / inputs.shape[1]

    def _sums(self, draw: int | None) -> TermSums:
        """The loss of a draw; without one, with nothing dropped."""

        def sums(named: Named, samples: Samples) -> tuple[torch.Tensor, ...]:
            index = samples.terms[0].to(self._setting.device)
            inputs, targets = self.train.pair(index)
            if draw is None:
                return (self._loss(named, inputs, targets),)
            with dropping(key(self._setting.seed, "draw", draw), index):
                return (self._loss(named, inputs, targets),)

        return sums

    def _outputs(self, draw: int | None) -> Outputs:
        """The scores of all characters of the sequences, each of them weighed as in the loss."""

        def outputs(named: Named, samples: Samples) -> Scores:
            index = samples.terms[0].to(self._setting.device)
            inputs, _ = self.train.pair(index)
            weight = 1.0 / inputs.shape[1]
            if draw is None:
                return Scores(self._scores(named, inputs).flatten(0, 1), weight)
            with dropping(key(self._setting.seed, "draw", draw), index):
                return Scores(self._scores(named, inputs).flatten(0, 1), weight)

        return outputs

    def _scores(self, named: Named, inputs: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = functional_call(self.model, dict(named), (inputs,))
        return scores

    def _loss(self, named: Named, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The sum over sequences of the mean over their characters."""
        return sum_of_means(self._scores(named, inputs), targets)

    def staged(self, stages: int, chunks: int, executor: Executor) -> StagedProblem:
        """The network cut between its blocks; validated where its stages are.

        Raises ``ValueError`` for tied weights, and for more stages than blocks and their ends.
        """
        setting = self._setting
        self._cut = StagedProblem(
            list(self.model.stages(stages)),
            *self._halves(self.train),
            Samples.all(len(self.train)),
            executor,
            chunks=chunks,
            dtype=setting.dtype,
            device=setting.device,
            redraw=self._redrawn if self.config.dropout else None,
        )
        return self._cut

    _cut: StagedProblem | None = None

    def _redrawn(self, draw: int) -> tuple[Feed, int]:
        return self._halves(self.train)[0], key(self._setting.seed, "draw", draw)

    def _halves(self, windows: Windows) -> tuple[Feed, Loss]:
        """What the first stage is given, and what the last one makes of its scores."""

        def feed(index: torch.Tensor) -> torch.Tensor:
            return windows.pair(index.to(self._setting.device))[0]

        def loss(scores: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
            return sum_of_means(scores, windows.pair(index.to(self._setting.device))[1])

        return feed, loss

    def measure(self, theta: torch.Tensor) -> dict[str, float]:
        """Loss and perplexity on the part of the text that is not trained on."""
        if self._cut is None:
            return self.validate(theta)
        count = min(len(self.validation), self.config.validation_samples or len(self.validation))
        scored = self._cut.scored(*self._halves(self.validation), Samples.all(count))
        return found(scored.at(theta).value)

    @torch.no_grad()
    def validate(self, theta: torch.Tensor) -> dict[str, float]:
        """The same, where ``theta`` holds the whole network."""
        named = self.problem.named(theta.to(self._setting.device))
        count = min(len(self.validation), self.config.validation_samples or len(self.validation))
        index = torch.arange(count, device=self._setting.device)
        losses = [
            float(self._loss(named, *self.validation.pair(some))) for some in index.split(VIEW)
        ]
        return found(math.fsum(losses) / count)

    @torch.no_grad()
    def generate(
        self,
        theta: torch.Tensor,
        prompt: str,
        characters: int = 500,
        temperature: float = 0.8,
        seed: int = 0,
    ) -> str:
        """``prompt`` and what the network makes follow it; temperature 0 takes the likeliest."""
        named, random = self.problem.named(theta.to(self._setting.device)), generator(seed, "text")
        numbers = self.corpus.encode(prompt or "\n").to(self._setting.device)
        for _ in range(characters):
            seen = numbers[None, -self.config.context :]
            scores = functional_call(self.model, named, (seen,))[0, -1].double().cpu()
            if temperature > 0.0:
                chances = torch.softmax(scores / temperature, 0)
                chosen = torch.multinomial(chances, 1, generator=random)
            else:
                chosen = scores.argmax(0, keepdim=True)
            numbers = torch.cat([numbers, chosen.to(numbers.device)])
        return self.corpus.decode(numbers)

    def module(self, theta: torch.Tensor) -> torch.nn.Module:
        """The network, from character numbers (texts, length) to scores."""
        return filled(self.model, self.problem.named(theta))

    def draw(self, theta: torch.Tensor, metrics: list[dict[str, Any]], folder: Path) -> list[Path]:
        """The course of the run, and a sample of what the network writes."""
        from ddopt_text import figures

        return figures.draw(self, theta, metrics, folder)


def sum_of_means(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The sum over sequences of the mean over their characters, from (B, T, alphabet), (B, T)."""
    total = cross_entropy(scores.flatten(0, 1), targets.flatten(), reduction="sum")
    return total / targets.shape[1]


def found(loss: float) -> dict[str, float]:
    """A validation loss, and what it means."""
    return {"validation_loss": loss, "perplexity": math.exp(min(loss, 700.0))}


class Shakespeare(Language):
    """TinyShakespeare, 1,115,394 characters of the plays (Karpathy, char-rnn)."""

    name = "shakespeare"
    title = "TinyShakespeare"

    class Config(LanguageSettings):
        """Where the text is kept."""

        root: str | None = Field(
            None, description="folder of the data sets; else $DDOPT_DATA_ROOT, else a user cache"
        )

    def load(self) -> Corpus:
        """From the folder, or downloaded once."""
        root = data_root(self.config.root)
        path = root / FILE
        if not path.exists():
            try:
                with alone(root):
                    if not path.exists():
                        fetch(URL, path, SHA256)
            except OSError as reason:
                raise missing("TinyShakespeare", root, reason) from reason
        return Corpus.read(path)


class TextFile(Language):
    """Any text in UTF-8."""

    name = "text"

    class Config(LanguageSettings):
        """Which text."""

        file: Path = Field(description="the text file, in UTF-8")

    def load(self) -> Corpus:
        """From the file."""
        self.title = self.config.file.stem
        try:
            return Corpus.read(self.config.file)
        except (OSError, UnicodeDecodeError) as reason:
            raise ValueError(f"cannot read {self.config.file} as a text: {reason}") from reason
