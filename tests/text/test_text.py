"""Language modelling on a made-up text: sizes, windows, one function, generation, stages."""

import os

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import ddopt_text.sample
from ddopt.executor import Serial
from ddopt.method.engine import Engine
from ddopt.sampling.batches import Batches
from ddopt.setup.storage import fetch
from ddopt.solver.trust_region import TrustRegion
from ddopt.task import Setting
from ddopt_sapts.data import SaptsD
from ddopt_text.corpus import Corpus, Windows
from ddopt_text.gpt import GPT, Shape
from ddopt_text.language import Shakespeare, TextFile

RHYME = "the quick brown fox jumps over the lazy dog.\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "rhyme.txt"
    path.write_text(RHYME * 40, encoding="utf-8")
    return path


def prepared(file, dtype=torch.float64, seed=0, **options):
    small = {"layers": 2, "heads": 2, "width": 16, "context": 16}
    task = TextFile(file=file, **{**small, **options})
    task.prepare(Setting(seed, dtype))
    return task


@pytest.mark.parametrize(
    ("shape", "count"),
    [
        (Shape(65), 812_416),
        (Shape(65, tied=True), 804_096),  # 0.80 million, as nanoGPT counts, with 8,192 for places
        (Shape(65, layers=6, heads=6, width=192), 2_693_952),
    ],
)
def test_the_networks_have_their_sizes(shape, count):
    assert sum(p.numel() for p in GPT(shape).parameters()) == count


def test_a_character_does_not_see_what_comes_after_it():
    torch.manual_seed(0)
    model = GPT(Shape(10, layers=2, heads=2, width=8, context=12)).double()
    numbers = torch.randint(0, 10, (1, 12))
    changed = numbers.clone()
    changed[0, 7:] = (changed[0, 7:] + 1) % 10
    before, after = model(numbers), model(changed)
    assert torch.equal(before[0, :7], after[0, :7])
    assert not torch.allclose(before[0, 7:], after[0, 7:])


def test_an_untrained_network_knows_nothing(file):
    task = prepared(file)
    assert task.problem.at(task.initial).value == pytest.approx(
        torch.log(torch.tensor(float(len(task.corpus.alphabet)))).item(), abs=0.05
    )
    measured = task.measure(task.initial)
    assert measured["perplexity"] == pytest.approx(len(task.corpus.alphabet), rel=0.05)


@pytest.mark.parametrize("stride", [4, 5])
def test_windows_cover_the_text_and_know_what_follows(stride):
    numbers = torch.arange(4 * 7 + 1)
    windows = Windows(numbers, 4, stride)
    inputs, targets = windows.pair(torch.arange(len(windows)))
    assert torch.equal(targets, inputs + 1)
    assert int(targets.max()) <= 28
    if stride == 4:
        assert torch.equal(inputs.flatten(), numbers[:-1])


def test_text_and_numbers_are_the_same():
    corpus = Corpus("ein Ährchen")
    assert corpus.decode(corpus.encode("nein")) == "nein"
    with pytest.raises(ValueError, match="never seen 'q', 'z'"):
        corpus.encode("zq")
    trained, held = corpus.split()
    assert corpus.decode(torch.cat([trained, held])) == corpus.text


def test_chunks_change_nothing_but_round_off(file):
    whole, chunked = prepared(file, dropout=0.2), prepared(file, dropout=0.2, chunk=7)
    a, b = (t.problem.drawn(3).at(whole.initial) for t in (whole, chunked))
    assert b.value == pytest.approx(a.value, rel=1e-13)
    assert torch.allclose(a.gradient, b.gradient, rtol=1e-9, atol=1e-13)


def test_dropout_leaves_f_one_function_within_an_iteration(file):
    task = prepared(file, dropout=0.3)
    one = Batches(size=20).problem(task.problem, 4)
    first = one.at(task.initial)
    torch.rand(5)
    again = one.at(task.initial)
    assert first.value == again.value
    assert torch.equal(first.gradient, again.gradient)
    assert first.value != task.problem.part(one.samples).at(task.initial).value
    other = task.problem.drawn(5).part(one.samples)
    assert first.value != other.at(task.initial).value


def test_everything_is_that_of_the_seed_and_no_global_state(file):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one, two, other = prepared(file), prepared(file), prepared(file, seed=1)
    assert torch.equal(one.initial, two.initial)
    assert not torch.equal(one.initial, other.initial)
    assert one.generate(one.initial, "the", 20) == two.generate(one.initial, "the", 20)
    assert torch.equal(torch.get_rng_state(), state)


def test_exact_curvature_goes_through_attention(file):
    task = prepared(file)
    f = task.problem.part(Batches(size=10).samples(task.problem.samples, 0))
    v = torch.ones_like(task.initial)
    h = 1e-6
    ahead, behind = (f.at(task.initial + sign * h * v).gradient for sign in (1, -1))
    product = f.curvature(task.initial)(v)
    assert torch.allclose(product, (ahead - behind) / (2 * h), rtol=1e-4, atol=1e-6)


def test_tied_weights_are_one_parameter(file):
    task = prepared(file, tied=True)
    assert "head.scores.weight" not in task.problem.layout.names
    slopes = task.problem.at(task.initial).gradient
    reference = task.model(task.train.pair(torch.arange(len(task.train)))[0])
    targets = task.train.pair(torch.arange(len(task.train)))[1]
    nn.functional.cross_entropy(reference.flatten(0, 1), targets.flatten()).backward()
    expected = torch.cat([p.grad.flatten() for p in task.model.parameters()])
    assert torch.allclose(slopes, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("count", [1, 2, 4])
def test_stages_in_a_row_are_the_network(file, count):
    model = prepared(file).model
    stages = model.stages(count)
    assert len(stages) == count
    x = numbers = torch.randint(0, 5, (3, 16))
    for stage in stages:
        x = stage(x)
    assert torch.equal(x, model(numbers))
    parameters = [id(p) for stage in stages for p in stage.parameters()]
    assert sorted(parameters) == sorted(id(p) for p in model.parameters())


def test_stages_that_cannot_be(file):
    with pytest.raises(ValueError, match="use 4"):
        prepared(file).model.stages(5)
    with pytest.raises(ValueError, match="tied"):
        prepared(file, tied=True).model.stages(2)
    with pytest.raises(ValueError, match="multiple of the heads"):
        prepared(file, heads=3)


def test_a_text_is_learned_and_written(file):
    task = prepared(file, width=32)
    sampling = Batches(size=25)
    solver = TrustRegion.Config(hessian={"name": "lsr1", "memory": 20})
    engine = Engine(SaptsD(subdomains=2).parts(solver), Serial())
    engine.start(sampling.problem(task.problem, 0), task.initial)
    for k in range(40):
        engine.step(sampling.problem(task.problem, k))
    theta = engine.point.theta
    measured = task.measure(theta)
    assert measured["validation_loss"] < 0.5
    assert "quick brown fox" in task.generate(theta, "the ", 200, temperature=0.0)


def test_a_missing_text_says_what_to_do(tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.raises(ValueError, match=r"TinyShakespeare is not in .*DDOPT_DATA_ROOT"):
        Shakespeare(root=str(tmp_path)).prepare(Setting())
    with pytest.raises(ValueError, match="cannot read"):
        TextFile(file=tmp_path / "nothing.txt").prepare(Setting())


def test_a_download_with_another_checksum_is_refused(tmp_path):
    source = tmp_path / "source.txt"
    source.write_text("abc")
    target = tmp_path / "target.txt"
    with pytest.raises(ValueError, match="checksum"):
        fetch(source.as_uri(), target, "0" * 64)
    assert not target.exists()
    fetch(
        source.as_uri(), target, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    assert target.read_text() == "abc"


def test_too_short_a_text_is_an_error(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("hello world, hello")
    with pytest.raises(ValueError, match="choose a longer text"):
        prepared(path)


def test_figures_are_drawn(file, tmp_path):
    pytest.importorskip("matplotlib")
    task = prepared(file)
    metrics = [{"loss": 3.0, "evaluations": 1.0}]
    metrics += [
        {"loss": 3.0 / k, "validation_loss": 3.1 / k, "perplexity": 20.0 / k, "evaluations": 1 + k}
        for k in range(1, 4)
    ]
    paths = task.draw(task.initial, metrics, tmp_path)
    assert [path.name for path in paths] == ["sample.png", "course.png"]
    assert all(path.stat().st_size > 10_000 for path in paths)


def test_the_command_prints_the_prompt_and_more(file, tmp_path, monkeypatch):
    task = prepared(file)
    monkeypatch.setattr("ddopt.run.trained.trained", lambda *_: (task, task.initial))
    arguments = [str(tmp_path), "--prompt", "the fox", "--characters", "30"]
    result = CliRunner().invoke(ddopt_text.sample.command, arguments)
    assert result.exit_code == 0
    assert result.output.startswith("the fox")
    assert len(result.output) == len("the fox") + 31
    result = CliRunner().invoke(ddopt_text.sample.command, [str(tmp_path), "--prompt", "É"])
    assert result.exit_code != 0
    assert "never seen 'É'" in result.output


@pytest.mark.data
@pytest.mark.skipif("DDOPT_DATA_ROOT" not in os.environ, reason="DDOPT_DATA_ROOT is not set")
def test_shakespeare_is_cut_as_nanogpt_cuts_it():
    task = Shakespeare(width=16, heads=2, layers=1, validation_samples=64)
    task.prepare(Setting(0, torch.float32))
    assert len(task.corpus.alphabet) == 65
    assert (len(task.train.numbers), len(task.validation.numbers)) == (1_003_854, 111_540)
    assert len(task.train) == 15_685
    sampling = Batches(size=500)
    engine = Engine(SaptsD(subdomains=2).parts(TrustRegion.Config()), Serial())
    engine.start(sampling.problem(task.problem, 0), task.initial)
    for k in range(4):
        engine.step(sampling.problem(task.problem, k))
    assert task.measure(engine.point.theta)["validation_loss"] < 3.0


def test_a_network_in_stages_is_the_same_function(file):
    task = prepared(file, dropout=0.2)
    cut = task.staged(3, 2, Serial())
    theta = cut.initial()
    for number in (None, 5):
        whole, pieces = (p if number is None else p.drawn(number) for p in (task.problem, cut))
        a, b = whole.at(task.initial), pieces.at(theta)
        assert b.value == pytest.approx(a.value, rel=1e-12)
        gradient = torch.cat([piece.flatten() for piece in cut.named(b.gradient).values()])
        torch.testing.assert_close(gradient, a.gradient)
    assert task.measure(theta) == pytest.approx(task.validate(task.initial), rel=1e-12)
