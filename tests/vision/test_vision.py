"""Image classification on tiny made-up data: sizes, one function per iteration, measures."""

import os
import struct
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from ddopt.evaluation.problem import Samples
from ddopt.executor import Serial
from ddopt.method.engine import Engine
from ddopt.sampling.batches import Batches
from ddopt.sampling.full import Full
from ddopt.solver.trust_region import TrustRegion
from ddopt.task import Setting
from ddopt.testing.ranks import run_ranks
from ddopt_sapts.data import SaptsD
from ddopt_sapts.micro import SaptsM
from ddopt_vision import networks
from ddopt_vision.augmentation import augmented
from ddopt_vision.datasets import CIFAR10, MNIST, FashionMNIST
from ddopt_vision.images import Images, Raw

pytestmark = pytest.mark.skipif(find_spec("torchvision") is None, reason="needs torchvision")


def made_up(count, shape, seed):
    """Images with a bright square at the place of their class."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 120, (count, *shape), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 10, (count,), generator=generator)
    for image, label in zip(pixels, labels.tolist(), strict=True):
        row, column = 3 + 12 * (label // 5), 1 + 5 * (label % 5)
        image[row : row + 5, column : column + 5] = 255
    return Raw.of(pixels, labels)


class TinyMNIST(MNIST):
    name = "tiny_mnist"

    def load(self, root, download):
        return made_up(120, (28, 28), 0), made_up(60, (28, 28), 1)


class TinyCIFAR(CIFAR10):
    name = "tiny_cifar"

    def load(self, root, download):
        return made_up(40, (32, 32, 3), 0), made_up(20, (32, 32, 3), 1)


def prepared(cls, dtype=torch.float64, seed=0, **options):
    task = cls(**options)
    task.prepare(Setting(seed, dtype))
    return task


def small(**options):
    return prepared(TinyMNIST, hidden=[12], **options)


@pytest.mark.parametrize(("cls", "count"), [(TinyMNIST, 535_818), (TinyCIFAR, 1_841_162)])
def test_the_papers_networks_have_the_papers_sizes(cls, count):
    task = prepared(cls, torch.float32)
    assert task.problem.layout.size == count
    assert len(task.initial) == count


@pytest.mark.parametrize("norm", ["group", "batch"])
def test_resnet18_has_its_known_size_and_keeps_small_images_large(norm):
    network = networks.resnet("resnet18", (3, 32, 32), 10, norm)
    assert sum(p.numel() for p in network.parameters()) == 11_173_962
    seen = []
    network.layer1.register_forward_hook(lambda *call: seen.append(call[2].shape))
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert seen[0][2:] == (32, 32)
    kind = nn.GroupNorm if norm == "group" else nn.BatchNorm2d
    assert sum(isinstance(module, kind) for module in network.modules()) == 20


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_the_small_cnn_takes_both_formats(shape):
    assert networks.cnn(shape, 10)(torch.zeros(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize(("channels", "convolutions"), [(16, 2), (3, 2), (4, 5)])
def test_the_width_and_the_depth_of_the_cnn_can_be_chosen(channels, convolutions):
    network = networks.cnn((1, 28, 28), 10, channels=channels, convolutions=convolutions)
    made = [module for module in network if isinstance(module, nn.Conv2d)]
    assert [one.out_channels for one in made] == [channels] + (convolutions - 1) * [2 * channels]
    wide = 2 * channels
    sizes = [9 * channels + channels, 9 * channels * wide + wide]
    sizes += (convolutions - 2) * [9 * wide * wide + wide]
    sizes += [49 * wide * 128 + 128, 128 * 10 + 10]
    assert sum(p.numel() for p in network.parameters()) == sum(sizes)
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_chunks_change_nothing_but_round_off(network):
    whole = small(network=network, dropout=0.3, augment=True)
    chunked = small(network=network, dropout=0.3, augment=True, chunk=17)
    a = whole.problem.drawn(4).at(whole.initial)
    b = chunked.problem.drawn(4).at(chunked.initial)
    assert torch.equal(whole.initial, chunked.initial)
    assert b.value == pytest.approx(a.value, rel=1e-13)
    assert torch.allclose(a.gradient, b.gradient, rtol=1e-9, atol=1e-13)


def test_images_kept_as_bytes_are_the_same_images(monkeypatch):
    whole = small()
    monkeypatch.setattr("ddopt_vision.images.ROOM", 0)
    bytes_only = small()
    assert bytes_only.train._pixels.dtype == torch.uint8
    index = torch.tensor([3, 1, 4])
    assert torch.equal(bytes_only.train.inputs(index), whole.train.inputs(index))
    assert torch.equal(bytes_only.train.inputs(slice(2, 5)), whole.train.inputs(slice(2, 5)))


def test_normalised_images_come_back_as_they_were():
    raw = made_up(3, (32, 32, 3), 0)
    images = Images(raw, CIFAR10.mean, CIFAR10.std, torch.float32, torch.device("cpu"))
    shown = images.shown(torch.tensor([0, 2]))
    assert torch.allclose(shown * 255, raw.pixels[[0, 2]].float(), atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.5},
        {"augment": True},
        {"network": "resnet18", "norm": "batch", "cls": TinyCIFAR},
    ],
    ids=["dropout", "augmentation", "batch-norm"],
)
def test_f_is_one_function_within_an_iteration(options):
    options = dict(options)
    cls = options.pop("cls", TinyMNIST)
    task = prepared(cls, torch.float32, **options, hidden=[12])
    before = {name: buffer.clone() for name, buffer in task.model.named_buffers()}
    f = Batches(size=4, overlap=0.0).problem(task.problem, 1)
    theta = task.initial
    first = f.at(theta)
    first.gradient  # noqa: B018
    f.at(theta + 0.1).gradient  # noqa: B018
    torch.rand(3)
    again = f.at(theta)
    assert first.value == again.value
    assert torch.equal(first.gradient, again.gradient)
    for name, buffer in task.model.named_buffers():
        assert torch.equal(buffer, before[name])


@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"augment": True}])
def test_iterations_draw_anew_and_parts_agree_with_the_whole(options):
    task = small(**options)
    one, two = Full().problem(task.problem, 0), Full().problem(task.problem, 1)
    assert (task.problem.draw, one.draw, two.draw) == (0, 1, 2)
    values = {f.at(task.initial).value for f in (task.problem, one, two)}
    assert len(values) == 3
    halves = [one.share(Samples((torch.arange(i, 120, 2),))) for i in range(2)]
    total = sum(half.at(task.initial).value for half in halves)
    assert total == pytest.approx(one.at(task.initial).value, rel=1e-13)


def test_an_image_is_cropped_alike_in_every_batch():
    images = torch.arange(6 * 2 * 8 * 8, dtype=torch.float64).view(6, 2, 8, 8)
    samples = torch.tensor([5, 9, 2, 7, 11, 30])
    whole = augmented(images, samples, 3, padding=2, reflect=True)
    assert whole.shape == images.shape
    assert torch.equal(whole[2:4], augmented(images[2:4], samples[2:4], 3, 2, True))
    assert not torch.equal(whole, augmented(images, samples, 4, 2, True))


def test_crops_and_reflections_are_uniform():
    image = torch.zeros(1, 1, 5, 7)
    image[0, 0, 2, 1] = 1.0  # off the middle, so that reflections show
    many = augmented(image.expand(9_000, 1, 5, 7), torch.arange(9_000), 0, 1, True)
    where = many.mean(0)[0]
    assert where.sum() == pytest.approx(1.0)
    hit = where[where > 0]
    assert len(hit) == 18  # nine crops, two sides
    assert hit.max() < 1.25 * hit.min()


def test_batch_norm_is_measured_with_the_statistics_of_its_own_parameters():
    task = prepared(TinyCIFAR, network="resnet18", norm="batch", dtype=torch.float32)
    theta = task.initial
    measured = task.measure(theta)
    task.problem.at(theta + 1.0).gradient  # noqa: B018
    task.measure(theta + 0.5)
    assert task.measure(theta) == measured
    named = task._at(theta)
    images = task.train.inputs(slice(0, 40))
    first = torch.nn.functional.conv2d(images, named["conv1.weight"], padding=1)
    expected = first.mean((0, 2, 3))
    assert torch.allclose(named["bn1.running_mean"], expected, atol=1e-5)


def test_accuracy_is_the_share_of_right_answers():
    task = small()
    measured = task.measure(task.initial)
    with torch.no_grad():
        scores = task.model(task.test.inputs(torch.arange(60)))
    assert measured["accuracy"] == float((scores.argmax(1) == task.test.labels).double().mean())
    expected = nn.functional.cross_entropy(scores, task.test.labels)
    assert measured["test_loss"] == pytest.approx(float(expected))


def test_everything_is_that_of_the_seed_and_no_global_state():
    torch.manual_seed(5)
    one = small(dropout=0.2, augment=True)
    state = torch.get_rng_state()
    two = small(dropout=0.2, augment=True)
    assert torch.equal(torch.get_rng_state(), state)
    other = small(dropout=0.2, augment=True, seed=1)
    assert torch.equal(one.initial, two.initial)
    assert not torch.equal(one.initial, other.initial)
    values = [t.problem.drawn(2).at(one.initial).value for t in (one, two, other)]
    assert values[0] == values[1] != values[2]


def test_mini_batches_train_a_classifier():
    task = small(augment=False)
    sampling = Batches(size=40, overlap=0.05)
    engine = Engine(SaptsD(subdomains=2).parts(TrustRegion.Config()), Serial())
    engine.start(sampling.problem(task.problem, 0), task.initial)
    for k in range(12):
        engine.step(sampling.problem(task.problem, k))
    assert task.measure(engine.point.theta)["accuracy"] > 0.9


def test_first_samples_only():
    task = small(train_samples=30, test_samples=7)
    assert task.problem.samples.counts == (30,)
    assert len(task.predict(task.initial)) == 7


def test_a_missing_data_set_says_what_to_do(tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(ValueError, match=r"Fashion-MNIST is not in .*DDOPT_DATA_ROOT"):
        prepared(FashionMNIST, root=str(tmp_path))


@pytest.mark.parametrize("dataset", [MNIST, FashionMNIST])
def test_torchvisions_files_are_read_from_a_local_root(tmp_path, dataset):
    raw = tmp_path / dataset.dataset / "raw"
    raw.mkdir(parents=True)
    for prefix, count in (("train", 9), ("t10k", 4)):
        pixels, labels = bytes(range(count)) * 784, bytes(i % 10 for i in range(count))
        header = struct.pack(">IIII", 0x803, count, 28, 28)
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(header + pixels)
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + labels)
    task = prepared(dataset, root=str(tmp_path), hidden=[4])
    assert (len(task.train), len(task.test)) == (9, 4)
    assert task.train.shape == (1, 28, 28)


def test_figures_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    task = small()
    metrics = [{"loss": 2.0, "evaluations": 1.0}]
    metrics += [
        {"loss": 1.0 / k, "test_loss": 1.0, "accuracy": 0.1 * k, "evaluations": k + 1.0}
        for k in range(1, 5)
    ]
    paths = task.draw(task.initial, metrics, tmp_path)
    assert [path.name for path in paths] == ["predictions.png", "confusion.png", "course.png"]
    assert all(path.stat().st_size > 10_000 for path in paths)


@pytest.mark.data
@pytest.mark.skipif("DDOPT_DATA_ROOT" not in os.environ, reason="DDOPT_DATA_ROOT is not set")
@pytest.mark.parametrize(
    ("cls", "steps", "least"), [(MNIST, 10, 0.85), (CIFAR10, 3, 0.3)], ids=["mnist", "cifar"]
)
def test_real_images_are_learned(cls, steps, least):
    task = prepared(cls, torch.float32, train_samples=2_000, test_samples=2_000, hidden=[64])
    engine = Engine(SaptsD(subdomains=2).parts(TrustRegion.Config()), Serial())
    engine.start(task.problem, task.initial)
    for _ in range(steps):
        engine.step(task.problem)
    assert task.measure(engine.point.theta)["accuracy"] >= least


def walked(executor):
    """Four walks on MNIST; the parameters where they ended, and what they cost."""
    task = prepared(MNIST, torch.float32, train_samples=2_000, test_samples=100, hidden=[32])
    strategy = SaptsM(subdomains=4)
    engine = Engine(strategy.parts(TrustRegion.Config()), executor, 4)
    sampling = Batches(size=500)
    engine.start(sampling.problem(task.problem, 0), task.initial)
    reports = [engine.step(sampling.problem(task.problem, k)) for k in range(6)]
    return engine.point.theta, sum(report.total for report in reports)


@pytest.mark.data
@pytest.mark.ranks
@pytest.mark.skipif("DDOPT_DATA_ROOT" not in os.environ, reason="DDOPT_DATA_ROOT is not set")
def test_walks_on_real_images_have_the_same_bits_again_and_on_two_processes():
    first, cost = walked(Serial())
    again, _ = walked(Serial())
    assert torch.equal(first, again)
    for theta, spent in run_ranks(walked, 2):
        assert torch.equal(theta, first)
        assert spent == cost


@pytest.mark.data
@pytest.mark.skipif("DDOPT_DATA_ROOT" not in os.environ, reason="DDOPT_DATA_ROOT is not set")
def test_real_images_are_normalised():
    for cls in (MNIST, CIFAR10):
        task = prepared(cls, torch.float32, hidden=[4])
        pixels = task.train.inputs(slice(None))
        assert pixels.mean((0, 2, 3)).abs().max() < 1e-3
        assert (pixels.std((0, 2, 3)) - 1.0).abs().max() < 2e-3


def without_padding(problem, vector):
    return torch.cat([piece.flatten() for piece in problem.named(vector).values()])


@pytest.mark.parametrize(
    ("options", "stages"),
    [
        ({"hidden": [12, 9], "dropout": 0.3, "augment": True}, 3),
        ({"network": "cnn", "dropout": 0.3}, 2),
    ],
)
def test_a_network_in_stages_is_the_same_function(options, stages):
    task = prepared(TinyMNIST, **options)
    cut = task.staged(stages, 2, Serial())
    theta = cut.initial()
    assert torch.equal(without_padding(cut, theta), task.initial)
    for number in (None, 3):  # as it is, and with images and masks of a draw
        whole, pieces = (p if number is None else p.drawn(number) for p in (task.problem, cut))
        assert pieces.draw == whole.draw
        a, b = whole.at(task.initial), pieces.at(theta)
        assert b.value == pytest.approx(a.value, rel=1e-12)
        torch.testing.assert_close(without_padding(cut, b.gradient), a.gradient)
    found = task.measure(theta)
    task._cut = None
    assert found == pytest.approx(task.measure(task.initial), rel=1e-12)


def test_a_residual_network_is_cut_at_its_layers_and_batch_norm_is_refused():
    task = prepared(TinyCIFAR, torch.float32, network="resnet18", train_samples=2, test_samples=2)
    cut = task.staged(2, 1, Serial())
    value = cut.at(cut.initial()).value
    assert value == pytest.approx(task.problem.at(task.initial).value, rel=1e-5)
    batch = prepared(TinyCIFAR, torch.float32, network="resnet18", norm="batch")
    with pytest.raises(ValueError, match="GroupNorm"):
        batch.staged(2, 1, Serial())
