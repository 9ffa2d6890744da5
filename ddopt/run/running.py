"""The run loop: outer iterations until there is a reason to stop, and the lines about them."""

from __future__ import annotations

from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, cast

import torch

from ddopt.executor import shared
from ddopt.method import contract
from ddopt.method.engine import Engine
from ddopt.run import bundle, chance, record
from ddopt.run.interrupt import Interrupt
from ddopt.run.stopping import StopReason, resumed, seen, why
from ddopt.run.tally import Tally
from ddopt.setup.plugins import manager
from ddopt.task import Setting, Status, Task, figures, prepare

if TYPE_CHECKING:
    from ddopt.evaluation.problem import Problem
    from ddopt.executor import Executor
    from ddopt.method.parts import StepReport
    from ddopt.method.strategy import Strategy
    from ddopt.run.folder import Folder
    from ddopt.sampling import Sampling
    from ddopt.setup.config import RunConfig

CHECKPOINT_EVERY = 50  # iterations, where the run file says nothing,
LONGEST = 60.0  # or seconds, whichever is first,
ENDS = (StopReason.LOSS, StopReason.STATIONARY, StopReason.RADIUS_TOO_SMALL)  # of one problem
WRITING = 0.05  # and of the time, at most, goes into checkpoints then


class Run:
    """One run; plugins see it in their hooks.

    ``config`` is what was asked for, ``task`` what is trained, ``engine`` the method with its
    ``point``, ``tally`` what has been spent, ``folder`` where it is written (on rank 0 only):
    ``folder.path`` is a ``Path`` in which a hook may write files of its own.
    """

    def __init__(self, config: RunConfig, executor: Executor, folder: Folder | None) -> None:
        self.config, self.executor, self.folder = config, executor, folder
        chance.seed(config.seed)
        self.task = cast("Task", config.problem.build())
        prepare(self.task, setting(config))
        self.strategy = strategy = cast("Strategy", config.strategy.build())
        self._shares = strategy.shares
        self.sampling = cast("Sampling", config.sampling.build())
        self.sampling.prepare(config.seed)
        self.whole, self.initial = strategy.place(self.task, executor)
        first = self.sampling.problem(self.whole, 0)
        self.problem, shares = shared(first, strategy.shares, executor)
        self.engine = self._method(shares)
        self.tally = Tally()
        # Bytes, collectives, processor seconds of the sessions that this one continues.
        self._before = (0, 0, 0.0)
        self.measured: dict[str, float] = {}  # figures of merit, as last measured
        self.best: dict[str, Any] = {}
        self._interrupt = Interrupt()
        self._requested = False
        self._saving = self._saved = 0.0  # seconds of checkpoints: own ones, rank 0's as all know
        self.rested = False  # whether this session resumed a run and found nothing to do
        self._newest = 0.0  # seconds of the run at its last checkpoint
        self._origin, self._clock = perf_counter(), process_time()

    def _method(self, shares: int) -> Engine:
        """The method of the run, which has seen no problem yet."""
        with contract.blamed(self.strategy, "parts()"):
            parts = self.strategy.parts(self.config.solver)
        parts = contract.parts(self.strategy, parts)
        if parts.preconditioner is not None:
            parts.preconditioner.decomposition.prepare(self.config.seed)
        return Engine(parts, self.executor, shares)

    @property
    def subdomains(self) -> int:
        """N: what the decomposition has given, or what the strategy says before that."""
        return self.engine.subdomains or self.strategy.subdomains

    def request_stop(self) -> None:
        """Let the run end after this iteration; for plugins."""
        self._requested = True

    def train(self, state: dict[str, Any] | None = None) -> StopReason:
        """Iterate from the first parameters, or from a checkpoint, until there is a reason."""
        manager().call("ddopt_before_run", run=self)
        self._agree()
        with self._interrupt:
            reason = self._begin() if state is None else self._continue(state)
            if state is None and reason is not None and self._keeps:
                bundle.save(self, reason)
            while reason is None:
                reason = self._iterate()
        return reason

    def _agree(self) -> None:
        """Every process was given the same settings; plugin files may lie elsewhere on each."""
        if self.executor.size > 1:
            settings = self.config.model_dump(exclude={"plugins"})
            self.executor.agree({f"setting {key!r}": str(value) for key, value in settings.items()})

    def _begin(self) -> StopReason | None:
        self._origin, self._clock = perf_counter(), process_time()
        self.engine.start(self.problem, self.initial)
        spent = self.engine.meter
        self.tally.parallel, self.tally.total = spent.parallel, spent.total
        self.tally.loss = self.theta_value
        self._note_best()
        self._measure()
        if self.config.stop.error is not None and "error" not in self.measured:
            raise ValueError(
                f"stop.error is set, but problem {self.task.name!r} has no reference to measure an "
                f"error with; it measures: {', '.join(self.measured) or 'nothing'}"
            )
        self._write(None)
        return why(self.config.stop, self.tally, None, self._due_error())

    def _iterate(self) -> StopReason | None:
        """One outer iteration, and everything that is written about it."""
        self._renew()
        self._sample()
        report = self.engine.step(self.problem)
        self.tally.count(report)
        with contract.blamed(self.sampling, "observe()"):
            self.sampling.observe(report)
        self._note_best()
        outside = self._listen()
        due = self._due()
        if due:
            self._measure()
        reason = why(self.config.stop, self.tally, report, self._due_error())
        assert self.engine.point is not None
        reason = seen(reason, self.engine.point, self.problem.geometry) or outside
        if reason is not None and not due:
            self._measure()
        # An interruption is no iteration's property: a resumed run has the same lines without it.
        self._write(report, measured=due or reason not in (None, StopReason.INTERRUPTED))
        manager().call("ddopt_after_step", run=self, report=report)
        if reason in ENDS and self._proceed():
            reason = why(self.config.stop, self.tally, None, None)
        if self._keeps and (reason is not None or self._due_checkpoint()):
            began = perf_counter()
            bundle.save(self, reason)
            self._saving += perf_counter() - began
            self._newest = self.tally.seconds
        return reason

    @property
    def _keeps(self) -> bool:
        return self.config.output.checkpoint_every != "none"

    def _due_checkpoint(self) -> bool:
        """Whether it is time for a checkpoint; every process finds the same."""
        every, tally = self.config.output.checkpoint_every, self.tally
        if isinstance(every, int):
            return bool(every) and tally.iterations % every == 0
        late = tally.seconds - self._newest >= LONGEST
        return (late or tally.iterations % CHECKPOINT_EVERY == 0) and (
            self._saved <= WRITING * tally.seconds
        )

    def _renew(self) -> None:
        """Let the task change f (new points): nothing of the old f is compared with the new one."""
        tally = self.tally
        status = Status(tally.parallel, tally.loss, tally.stalled)
        cost = self.task.renew(self.theta, status)
        if cost is None:
            return
        self._take(self.task.problem)
        if self.task.keeps_curvature:
            self.engine.renew()
        else:
            self.engine.reset()
        self._begin_anew(self.theta, cost)

    def _proceed(self) -> bool:
        """Let the task set its next problem, which is solved by the method as if it were new."""
        start = self.task.proceed(self.theta)
        if start is None:
            return False
        before = self.engine
        self.engine = self._method(before.shares)
        self.engine.iteration = before.iteration
        self._take(self.task.problem)
        self._begin_anew(start)
        return True

    def _begin_anew(self, theta: torch.Tensor, cost: float = 0.0) -> None:
        """Evaluate another f where the run goes on with it; ``cost``: what the change has taken."""
        tally, spent = self.tally, self.engine.meter
        self.engine.start(self.problem, theta)
        tally.parallel += cost + spent.parallel
        tally.total += cost + spent.total
        tally.loss, tally.idle, tally.stalled = self.theta_value, 0, 0
        self.best = {}
        self._note_best()

    def _take(self, whole: Problem) -> None:
        """Go on with another problem."""
        self.whole = whole
        problem = self.sampling.problem(whole, self.tally.iterations)
        self.problem, _ = shared(problem, self._shares, self.executor)

    def _sample(self) -> None:
        """Take the samples of this iteration, where they are not those of the last one."""
        problem = self.sampling.problem(self.whole, self.tally.iterations)
        if problem.draw != self.problem.draw:
            self.problem, _ = shared(problem, self._shares, self.executor)

    @property
    def theta(self) -> torch.Tensor:
        """A copy of the current parameters, shape (n,): what is written into it moves nothing."""
        assert self.engine.point is not None, "the run has not begun"
        return self.engine.point.theta.clone()

    @property
    def parameters(self) -> int:
        """The number of parameters of the whole model, of the problem that it is the turn of."""
        lengths, point = getattr(self.whole, "lengths", None), self.engine.point
        own = self.initial if point is None else point.theta
        return sum(lengths) if lengths else own.numel()

    @property
    def follows(self) -> bool:
        """Whether later problems may follow the first, with parameters of their own."""
        return type(self.task).proceed is not Task.proceed

    @property
    def theta_value(self) -> float:
        """f at the current parameters."""
        assert self.engine.point is not None, "the run has not begun"
        return self.engine.point.value

    def _listen(self) -> StopReason | None:
        """What came from outside this iteration: the time, a signal, a plugin's request.

        Rank 0 tells the time, and what one process is asked to do all of them do. The traffic of
        all processes until now, and their work, are added up on the way.
        """
        executor, elapsed = self.executor, perf_counter() - self._origin
        asked, worked = (self._interrupt.asked, self._requested), process_time() - self._clock
        own = [elapsed, *asked, executor.bytes_sent, self._saving, worked]
        rows = [own]
        self.tally.collectives = self._before[1] + executor.collectives
        if executor.size > 1:
            rows = executor.numbers({executor.rank: [float(x) for x in own]}, executor.size)
        self.tally.seconds, self._saved = float(rows[0][0]), float(rows[0][4])
        self.tally.bytes_sent = self._before[0] + int(sum(row[3] for row in rows))
        self.tally.processor_seconds = self._before[2] + float(sum(row[5] for row in rows))
        if any(row[1] for row in rows):
            return StopReason.INTERRUPTED
        return StopReason.REQUESTED if any(row[2] for row in rows) else None

    def _measure(self) -> None:
        """Measure on every process; rank 0's numbers count where they decide something."""
        self.measured = figures(self.task, self.theta)
        if self.executor.size > 1 and self.measured:
            executor, keys = self.executor, list(self.measured)
            row = [float(self.measured[key]) for key in keys]
            first = executor.numbers({executor.rank: row}, executor.size)[0]
            self.measured = dict(zip(keys, first, strict=True))

    def _due(self) -> bool:
        return self.tally.iterations % self.config.output.measure_every == 0

    def _due_error(self) -> float | None:
        """The error, in the iterations in which every run measures it."""
        return self.measured.get("error") if self._due() else None

    def _note_best(self) -> None:
        if self.config.output.keep_best and not self.tally.loss >= self.best.get("loss", torch.inf):
            iteration = self.tally.iterations
            self.best = {"loss": self.tally.loss, "iteration": iteration, "theta": self.theta}

    def _write(self, report: StepReport | None, *, measured: bool = True) -> None:
        if self.folder is not None:
            shown = self.measured if measured else {}
            self.folder.write(record.line(self.tally, report, shown))

    def _continue(self, saved: dict[str, Any]) -> StopReason | None:
        before = getattr(self.task, "problem", None)
        bundle.give(self, saved)
        tally = self.tally
        self._before = (tally.bytes_sent, tally.collectives, tally.processor_seconds)
        if self.task.problem is not before:
            self._take(self.task.problem)
        self._measure()
        bundle.told(self, restored=True)
        chance.restore(saved["random"])
        self._newest = self.tally.seconds
        self._origin, self._clock = perf_counter() - self._newest, process_time()
        reason = resumed(self.config.stop, self.tally, saved.get("ended"), self._due_error())
        self.rested = reason is not None
        if self.folder is not None and not self._due():
            self.folder.settle(self.measured if self.rested else {})
        return reason


def setting(config: RunConfig) -> Setting:
    """What a config decides for its task."""
    return Setting(config.seed, getattr(torch, config.dtype), device_of(config))


def device_of(config: RunConfig) -> torch.device:
    """Where the tensors of a run live; raises ``ValueError`` if that is not here."""
    there = torch.cuda.is_available()
    if config.device == "cuda" and not there:
        raise ValueError(
            "device = 'cuda', but torch finds no GPU here; use device = 'cpu' or 'auto', and see "
            "ddopt doctor"
        )
    return torch.device("cuda" if there and config.device != "cpu" else "cpu")
