"""The engine as a ``torch.optim.Optimizer``; this module holds no mathematics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from ddopt.evaluation.batch import Closure, refuse_other_arguments
from ddopt.evaluation.probe import first_look
from ddopt.evaluation.problem import Problem
from ddopt.evaluation.stillness import Stillness
from ddopt.executor import Executor, Serial
from ddopt.executor.replicas import Replicas
from ddopt.method.engine import Engine
from ddopt.method.parts import Parts, StepReport
from ddopt.numerics.space import Parameters
from ddopt.optim import groups, saved
from ddopt.optim.objective import Objective, Source
from ddopt.optim.start import News, Start
from ddopt.optim.state import pack, unpack
from ddopt.setup.notice import warn

if TYPE_CHECKING:
    from ddopt.numerics.space import Indices

_COPIED = {
    *("_parameters", "_buffers", "_engine", "_objective", "_start", "_replicas"),
    *("_steps", "_told", "_held", "report"),
}


class EngineOptimizer(torch.optim.Optimizer):
    """An optimizer whose ``step`` is one outer iteration of a method.

    The closure is torch's: zero the gradients, compute the loss, call backward, return the loss.
    The gradients are cleared before every call, so that a closure which forgets it is right, too.
    Where a solver works on residuals (``hessian="gauss_newton"``, ``LevenbergMarquardt``) the
    closure returns the vector of residuals, without backward, and f is the mean of their squares.
    ``lr``, ``momentum`` and ``weight_decay`` stand in every group so that schedulers run, but have
    no effect, and a warning says so once: lengths are the trust region's business. A group whose
    ``lr`` is 0 where others have another one is held still.

    Inside ``DistributedDataParallel`` the loss is averaged over the processes, as the gradient is,
    and ``step`` returns that mean; every process takes the same steps.

    Args:
        params: tensors, named tensors (their names define the layers), or groups of either.
            Of tensors without names, each of two or more dimensions begins a layer.
        parts: the method.
        shares: in how many shares a batch is evaluated.
        executor: who runs what; one process where none is given.
        buffers: tensors that the forward pass changes (``model.buffers()``); they are restored
            around trial evaluations, as the random state is.
        stochastic: whether the closure may be another function at the next step (mini-batches).
            ``False`` reuses the accepted trial's gradient as the next step's first one, ``True``
            evaluates anew, ``None`` looks twice where something asks for it. The curvature is kept
            where f changes (docs/design/resampling.md); ``reset`` forgets it.
    """

    def __init__(
        self,
        params: Iterable[Any],
        parts: Parts,
        *,
        lr: float = 1.0,
        shares: int = 1,
        executor: Executor | None = None,
        buffers: Iterable[torch.Tensor] = (),
        stochastic: bool | None = None,
    ) -> None:
        if isinstance(params, torch.nn.Module):
            name = type(params).__name__
            raise TypeError(
                f"params are tensors, and this is a module: give {name}'s parameters, for example "
                f"{type(self).__name__}(model.parameters())"
            )
        blank = {"radius": None, "ratio": None, "accepted": None, "steps": 0, "engine": ""}
        super().__init__(params, {**groups.INERT, "lr": lr, **blank})
        self._buffers = list(buffers)
        self._settle(Engine(parts, executor or Serial(), shares))
        if self._engine.memory is not None and self._engine.executor.size > 1:
            raise ValueError(
                "an optimizer's state is made of whole tensors, and of a memory in pieces every "
                "process holds its own; set memory_pieces = 1, or train from a run file"
            )
        self._objective, self._start, self._steps = Objective(), Start(stochastic), 0
        self._told = False  # that a scheduler has no effect
        self.report: StepReport | None = None  # of the last step: ratio, radius, accepted, ...
        self._publish()
        self.state_dict()  # fills self.state, so that a checkpoint can be loaded in place

    def _settle(self, engine: Engine) -> None:
        """Take the parameters of the groups of now, and an engine that has not begun for them."""
        self._held = groups.held(self.param_groups)
        self._parameters = Parameters(groups.moving(self.param_groups, self._held))
        engine.prepare(self._parameters.layout)
        self._engine = engine
        self._replicas = Replicas(self._parameters, engine.executor.size == 1)

    def __repr__(self) -> str:
        """The class and what happened last, without the state that the groups carry."""
        seen = {key: self.param_groups[0][key] for key in ("steps", "radius", "ratio", "accepted")}
        shown = ", ".join(f"{key}={value}" for key, value in seen.items())
        return f"{type(self).__name__}(parameters={self._parameters.layout.size}, {shown})"

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, before the first step only: the trust region is one ball in one space.

        Libraries add the unknown coefficients of an inverse problem so.
        """
        made = hasattr(self, "_engine")  # torch's own constructor adds the first groups
        if made and (self._steps or self._engine.point is not None):
            raise ValueError(
                "parameters cannot be added to a trust region that has taken a step: its radius "
                "and its curvature belong to the parameters it began with; add them before the "
                "first step, or make a new optimizer"
            )
        super().add_param_group(param_group)
        if made:
            engine = self._engine
            self._settle(Engine(engine.parts, engine.executor, engine.shares))
            self.state_dict()

    def minimise(self, source: Source) -> None:
        """Evaluate f by the problem that ``source(parameters)`` gives, and not by the closure.

        For losses that can do more than a closure: be evaluated on parts of their points, give
        residuals, give values without gradients. The source is asked at the start of every step; a
        problem that is another object than the last one is another f (resampled points): no value
        of the old one is compared with one of the new.
        """
        self._objective.source = source

    @property
    def evaluations(self) -> float:
        """Closure calls until now, as multiples of one over the whole batch."""
        return self._start.evaluations

    @property
    def converged(self) -> bool:
        """Whether no step brings anything any more: the point is stationary, or as good as it gets.

        ``step`` then calls the closure only to see whether f has become another function, after 1,
        2, 4, ... steps, or not at all with ``stochastic=False``. Never where each step has a batch.
        """
        return self._start.idle.long

    def step(self, closure: Closure, batch: Any = None) -> torch.Tensor:  # type: ignore[override]
        """One outer iteration; returns the loss where it began, detached.

        Args:
            closure: evaluates the loss and its gradient; with a ``batch`` it is called as
                ``closure(part)`` and returns the mean loss over the part. It has no default, as in
                ``torch.optim.LBFGS``: libraries tell by that whether an optimizer needs one.
            batch: tensors whose first dimension is the samples: one, or a tuple, list or dict.

        Raises:
            ValueError: no closure, a loss or a gradient that is not finite at the start, a batch
                where the method needs none or none where it needs one, a parameter that was frozen
                since, or a sum over samples where parts of a batch are compared.
        """
        if closure is None:
            raise ValueError(
                "step() needs a closure that computes the loss, calls backward and returns the "
                "loss: a trust region compares losses at several points"
            )
        groups.refuse_changed(self.param_groups, self._held, self._parameters.tensors)
        still = Stillness(self._buffers, self._parameters.layout.device)
        try:
            problem, news = self._begin(closure, batch, still)
            point = self._engine.point
            assert point is not None
            loss = torch.tensor(point.value, dtype=point.theta.dtype, device=point.theta.device)
            if self.converged:
                self._start.idle.rested()
                return loss
            try:
                report = self._engine.step(problem)
            finally:
                kept = self._engine.point
                self._parameters.write((kept or point).theta)
        finally:
            still.finish(self._engine.point)
        self.report = report
        self._steps += 1
        self._start.evaluations += report.total
        self._start.stepped(report, self._engine, point, self._steps, news)
        self._publish()
        return loss

    def _begin(self, closure: Closure, batch: Any, still: Stillness) -> tuple[Problem, News]:
        """The problem of this step, evaluated where it starts, and what was said of it."""
        engine, objective, start = self._engine, self._objective, self._start
        if objective.source is not None:
            first = objective.made is None and engine.iteration > 0
            problem, anew = objective.minimised(self._parameters, engine)
            news = News(anew, look=first, silent=False)
            start.evaluate(problem, engine, self._replicas, self._steps, news)
            objective.made = problem
            return problem, news
        refuse_other_arguments(closure, batch)
        known = [tensor for group in self.param_groups for tensor in group["params"]]
        heard = start.witness.hears(closure, known)
        problem = objective.called(heard, batch, still, engine, self._replicas)
        anew = batch is not None or start.changes.stochastic is True
        news = News(anew, look=not anew and start.witness.captured(closure), silent=True)
        start.evaluate(problem, engine, self._replicas, self._steps, news)
        if anew and self._steps == 0:
            assert engine.point is not None
            parts = engine.parts.preconditioner is not None
            start.evaluations += first_look(problem, engine.point, parts=parts)
        return problem, news

    def reset(self) -> None:
        """Forget the curvature: the loss has nothing to do with the last one's."""
        self._engine.reset()
        self._start.idle.over()

    def _publish(self) -> None:
        """Show the numbers of the last step in every group, and say once which do nothing."""
        report = self.report
        shown = {
            "radius": self._engine.current_radius,
            "ratio": report.ratio if report else None,
            "accepted": report.accepted if report else None,
            "steps": self._steps,
        }
        for group in self.param_groups:
            group.update(shown)
        self._told = self._told or groups.warned_of_inert(self.param_groups, self._held)

    def state_dict(self) -> dict[str, Any]:
        """The state, tensors by parameter; plain containers that ``weights_only`` loading reads."""
        tree = {
            "engine": self._engine.state_dict(),
            **self._start.state_dict(),
        }
        text, pieces = pack(tree, self._parameters.layout, self._index_sets())
        for group in self.param_groups:
            group["engine"] = text
        for i, tensor in enumerate(self._parameters.tensors):
            self.state[tensor] = pieces[i]
        return super().state_dict()

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state; the next step is bit-identical to the one that would have followed.

        A state that another optimizer has saved holds no curvature: a warning says that it begins
        anew, from the parameters as they are. Scripts restore a model together with its optimizer.

        Raises:
            ValueError: the state is another method's, or of other parameters.
        """
        if saved.foreign(state_dict):
            warn(
                f"this state was not saved by {type(self).__name__}, but by another optimizer: it "
                "is left out, and the curvature begins anew from the parameters as they are"
            )
            self.reset()
            return
        super().load_state_dict(state_dict)
        pieces = saved.uncast(state_dict, [t.device for t in self._parameters.tensors])
        saved.refuse_other_shapes(pieces, self._parameters.layout)
        text = self.param_groups[0]["engine"]
        try:
            tree = unpack(text, pieces, self._parameters.layout, self._index_sets())
            self._engine.load_state_dict(tree["engine"])
        except KeyError as error:
            raise ValueError(
                f"this state was saved by another method (it has no {error}); make the optimizer "
                "with the options of the one that was saved"
            ) from error
        self._start.load_state_dict(tree)
        self._steps = self.param_groups[0]["steps"]
        self._objective.made = None  # the points may be others than when the state was saved

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: torch keeps its own attributes only."""
        own = {key: value for key, value in self.__dict__.items() if key in _COPIED}
        return {**super().__getstate__(), **own}

    def _index_sets(self) -> dict[str, Indices]:
        return {f"/engine/solvers/{d}/": c for d, c in self._engine.index_sets.items()}
