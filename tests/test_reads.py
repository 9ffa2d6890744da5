"""How often the host waits for a number from the device: what is read together is read once.

On the CPU nothing has to be waited for, so numbers are read one by one. Here they are read as those
of a device are: a mode watches every call of torch, follows which tensors would lie on the device
and counts what brings one to the host.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ddopt.evaluation.point import Point
from ddopt.evaluation.question import Value
from ddopt.executor import Serial
from ddopt.hessian.ssbroyden import SSBroyden
from ddopt.numerics import reading
from ddopt.numerics.reading import Later
from ddopt.numerics.vectors import LOCAL, dot
from ddopt.run.running import Run
from ddopt.setup.config import RunConfig, Stop
from tests.golden import Fit


@pytest.fixture
def device(monkeypatch):
    """The host waits for every number, as it does for those of a device."""
    monkeypatch.setattr(reading, "waits", lambda entries: True)


READS = {
    *(Tensor.item, Tensor.tolist, Tensor.cpu, Tensor.numpy, Tensor.__array__),
    *(Tensor.__bool__, Tensor.__float__, Tensor.__int__, Tensor.__index__, Tensor.__contains__),
    *(Tensor.nonzero, Tensor.equal, Tensor.allclose, Tensor.is_nonzero),
    *(torch.nonzero, torch.equal, torch.allclose, torch.is_nonzero),
}
MOST = 3  # readings for each point where f is evaluated


def tensors(tree):
    """All tensors in nested lists and mappings."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, (list, tuple)):
        for branch in tree:
            yield from tensors(branch)
    elif isinstance(tree, dict):
        yield from tensors(list(tree.values()))


class Readings(TorchFunctionMode):
    """Counts readings of the tensors it was given, and of everything that is made from them."""

    def __init__(self, *device):
        super().__init__()
        self.count = 0
        self._device = {}  # storages by their address, kept so that no address is used twice
        self._place(device)

    def _place(self, tree):
        for tensor in tensors(tree):
            storage = tensor.untyped_storage()
            self._device[storage._cdata] = storage

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [t for t in tensors([args, kwargs]) if t.untyped_storage()._cdata in self._device]
        found = func(*args, **kwargs)
        away = func is Tensor.to and ("cpu" in args or kwargs.get("device") == "cpu")
        if given and (func in READS or away):
            self.count += 1
            return found.clone() if isinstance(found, Tensor) else found  # it is the host's now
        if given:
            self._place([found, args[0]] if func is Tensor.__setitem__ else found)
        return found


class Visits(Serial):
    """One process that counts the points where f is evaluated."""

    points = 0

    def carry_out(self, askings):
        return super().carry_out({d: self._noted(asking) for d, asking in askings.items()})

    def _noted(self, asking):
        told = None
        while True:
            try:
                question = asking.send(told)
            except StopIteration as end:
                return end.value
            self.points += isinstance(question, Value)
            told = yield question


def test_the_mode_counts_what_comes_to_the_host_and_nothing_else():
    x, host = torch.ones(3), torch.ones(3)
    with Readings(x) as readings:
        float(x.sum()), bool((x > 0).all()), x.tolist(), (2 * x).cpu(), x.to("cpu"), x[0].item()
        torch.equal(x, x)
        assert readings.count == 7
        total = torch.zeros(1)
        total[0] += x[0]  # a tensor of the host would have to wait
        float(total)
        assert readings.count == 8
        float(host.sum()), x.cpu().sum().item()  # the copy is on the host
        assert readings.count == 9


@pytest.mark.usefixtures("device")
def test_numbers_that_wait_are_read_together():
    x = torch.arange(4.0)
    with Readings(x) as readings:
        first, second = Later(x[1]), Later((x > 1.0).all())
        rows, gone = Later(x.view(2, 2), sum), Later(x[2] / 0.0)
        del gone
        assert second() == 0.0
        assert (first(), rows(), first()) == (1.0, 6.0, 1.0)
    assert readings.count == 1


@pytest.mark.parametrize("away", [False, True], ids=["host", "device"])
def test_a_number_that_waits_is_the_one_that_is_read_at_once(away, monkeypatch):
    monkeypatch.setattr(reading, "waits", lambda entries: away)
    a, b = torch.randn(2, 200_001)  # several chunks
    huge = torch.tensor([1e300, 1e300], dtype=torch.float64)
    later, length = LOCAL.dot_later(a, b), LOCAL.length_later(a)
    assert (later(), length()) == (dot(a, b), LOCAL.norm(a))
    assert LOCAL.length_later(a, "inf")() == LOCAL.length(a, "inf")
    assert LOCAL.length_later(huge)() == pytest.approx(math.sqrt(2.0) * 1e300)
    assert math.isnan(LOCAL.length_later(torch.tensor([math.nan, 1.0]), "inf")())


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("same", [False, True])
def test_a_dense_model_at_another_vector_reads_once_and_keeps_what_it_knows(same):
    n, hessian = 6, SSBroyden()
    curvatures = torch.arange(1.0, 1.0 + n, dtype=torch.float64)
    theta = torch.ones(n, dtype=torch.float64)
    first = Point(theta, 0.0, curvatures * theta)
    s = torch.full_like(theta, 0.1)
    hessian.update(s, curvatures * s)
    known = hessian.model(None, first).direction
    other = first.gradient.clone() if same else 2.0 * first.gradient
    with Readings(other, known) as readings:
        found = hessian.model(None, Point(theta, 0.0, other)).direction
    assert readings.count == 1  # the slope and the length of the step
    assert torch.equal(found, known) if same else torch.allclose(found, 2.0 * known)


PAIRS = {"name": "trust_region", "hessian": "lsr1"}
DENSE = {"name": "trust_region", "hessian": "ssbroyden"}


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize(
    ("strategy", "solver"),
    [
        ({"name": "trust_region"}, DENSE),
        ({"name": "trust_region"}, PAIRS),
        ({"name": "sapts_p", "subdomains": 2}, PAIRS),
        ({"name": "sapts_d", "subdomains": 2}, DENSE),
        ({"name": "sapts_m", "subdomains": 3, "local_solver": {"name": "prodigy", "batch": 4}}, {}),
    ],
    ids=["dense", "pairs", "sapts_p", "sapts_d", "sapts_m"],
)
def test_a_step_reads_at_most_three_times(strategy, solver):
    given = {
        "strategy": strategy,
        "stop": Stop(iterations=8),
        **({"solver": solver} if solver else {}),
    }
    run = Run(RunConfig(problem=Fit.Config(), **given), Visits(), None)
    engine = run.engine
    engine.start(run.problem, run.initial)
    for _ in range(2):  # the first steps look at the unit of f, and at what subdomains cover
        engine.step(run.problem)
    engine.executor.points = 0
    with Readings(engine.point.theta, engine.point._gradient) as readings:
        for _ in range(6):
            engine.step(run.problem)
    assert engine.executor.points >= 6
    assert readings.count <= MOST * engine.executor.points
