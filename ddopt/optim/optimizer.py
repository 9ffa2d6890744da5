"""The engine as a ``torch.optim.Optimizer``; this module holds no mathematics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch

from ddopt.evaluation.closure import Closure, ClosureProblem, Stillness, refuse_other_arguments
from ddopt.evaluation.probe import first_look, look_again
from ddopt.evaluation.problem import Problem
from ddopt.evaluation.residual_closure import ResidualProblem, Way
from ddopt.evaluation.witness import Witness
from ddopt.executor import Executor, Serial, Split, shared
from ddopt.executor.replicas import Replicas
from ddopt.method.engine import Engine
from ddopt.method.parts import Parts, StepReport
from ddopt.numerics.space import Parameters
from ddopt.optim import groups, saved
from ddopt.optim.changes import SELDOM, Changes
from ddopt.optim.idleness import Idleness
from ddopt.optim.state import pack, unpack
from ddopt.setup.notice import warn

if TYPE_CHECKING:
    from ddopt.numerics.space import Indices

Source = Callable[[Parameters], Problem]

_COPIED = {
    *("_parameters", "_buffers", "_engine", "_source", "evaluations", "report"),
    *("_changes", "_steps", "_told", "_asked", "_held", "_idle"),
    "_replicas",
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
            evaluates anew, ``None`` does so only where something asks for it. The curvature is
            kept where f changes (docs/design/resampling.md); ``reset`` forgets it.
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
        self._changes = Changes(stochastic)
        self._steps = 0
        self._source: Source | None = None
        self._made: Problem | None = None  # by the source, for the last step
        self._witness = Witness()
        self._way = Way()  # how the Jacobian of closures that return residuals is computed
        self._idle = Idleness()
        self._asked = False  # whether f is the same at a second call
        self._told = False  # that a scheduler has no effect
        self.evaluations = 0.0  # closure calls, as multiples of one over the whole batch
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
        self._source = source

    @property
    def converged(self) -> bool:
        """Whether no step brings anything any more: the point is stationary, or as good as it gets.

        ``step`` then calls the closure only to see whether f has become another function, after 1,
        2, 4, ... steps, or not at all with ``stochastic=False``. Never where each step has a batch.
        """
        return self._idle.long

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
            problem, anew = self._begin(closure, batch, still)
            point = self._engine.point
            assert point is not None
            loss = torch.tensor(point.value, dtype=point.theta.dtype, device=point.theta.device)
            if self.converged:
                self._idle.rested()
                return loss
            try:
                report = self._engine.step(problem)
            finally:
                kept = self._engine.point
                self._parameters.write((kept or point).theta)
        finally:
            still.finish(self._engine.point)
        self.report = report
        self.evaluations += report.total
        self._steps += 1
        watched = self._source is None and self._changes.stochastic is None and batch is None
        seen = watched and self._steps < SELDOM and not self._engine.blind
        self._changes.stepped(report.step_norm, *((point, self._engine.point) if seen else ()))
        if not (anew or self._changes.stochastic):  # what holds of one batch holds of no other
            self._idle.stepped(report, self._engine.current_radius)
        self._publish()
        return loss

    def _begin(self, closure: Closure, batch: Any, still: Stillness) -> tuple[Problem, bool]:
        """The problem of this step, evaluated where it starts, and whether f is another one now."""
        if self._source is not None:
            problem, anew = self._minimised()
            self._start(problem, anew=anew, look=self._engine.iteration > 0 and self._made is None)
            self._made = problem
            return problem, anew
        refuse_other_arguments(closure, batch)
        known = [tensor for group in self.param_groups for tensor in group["params"]]
        heard = self._witness.hears(closure, known)
        problem, _ = shared(
            self._called(heard, batch, still), self._engine.shares, self._engine.executor
        )
        anew = batch is not None or self._changes.stochastic is True
        self._start(problem, anew=anew, look=not anew and self._witness.captured(closure))
        if anew and self._steps == 0:
            assert self._engine.point is not None
            parts = self._engine.parts.preconditioner is not None
            self.evaluations += first_look(problem, self._engine.point, parts=parts)
        return problem, anew

    def _called(self, closure: Closure, batch: Any, still: Stillness) -> Problem:
        """f as the closure gives it: by its residuals, where a solver works on them."""
        if self._engine.parts.least_squares:
            closure = self._replicas.refused(closure)
            return ResidualProblem.over(batch, self._parameters, closure, still, self._way)
        averaged = self._replicas.averaged(closure)
        return ClosureProblem.over(batch, self._parameters, averaged, still)

    def _minimised(self) -> tuple[Problem, bool]:
        """The source's problem, and whether it is another one than in the last step."""
        assert self._source is not None
        engine, made = self._engine, self._source(self._parameters)
        last = self._made.problem if isinstance(self._made, Split) else self._made
        if made is last and self._made is not None:
            return self._made, False
        if last is not None:
            self._engine.renew()
        problem, _ = shared(made, engine.shares, engine.executor)
        return problem, last is not None

    def _start(self, problem: Problem, *, anew: bool, look: bool) -> None:
        """Evaluate where the step begins, unless the last step has done it.

        ``anew``: f is another function now. ``look``: it may be one; compare the values.
        """
        engine, before = self._engine, self._engine.point
        theta = self._parameters.read(None if before is None else before.theta)
        moved = before is None or theta is not before.theta
        size = len(problem.samples) if problem.samples is not None else 0
        moved, look = self._replicas.any(
            moved, look, steps=self._steps, evaluations=self.evaluations, samples=size
        )
        if moved or anew:
            self._idle.over()
        compare = not (moved or anew)
        due = self._source is None and self._due()
        if compare and not look and not due:
            return
        self.evaluations += engine.start(problem, theta)
        assert engine.point is not None
        value = engine.point.value
        if not engine.begins(problem):
            engine.point = before  # nothing is known of this one that a later step could use
            if compare and self._changes.lost():
                return
            raise ValueError(
                f"the loss, or its gradient, is not finite where this step begins ({value}); a "
                "trust region can only start where both are: look at the parameters and the data"
            )
        if moved or before is None:
            return
        if anew:
            self._changes.evaluated_anew()
            return
        unknown = self._changes.stochastic is None and not self._changes.lately
        if self._changes.compared(before.value, value, engine.point.epsilon):
            engine.point = before  # its bits may depend on who evaluated it
            if look:
                self._witness.false_alarm()
            return
        self._idle.over()
        if unknown and not self._asked:
            self._asked = True
            self.evaluations += look_again(problem, theta, value)
        if not self._changes.stochastic:  # mini-batches are what acceptance windows are for
            engine.renew()

    def _due(self) -> bool:
        """Whether to see if f is still the same function."""
        if self.converged:
            return self._changes.stochastic is not False and self._idle.due
        return self._changes.due(self._steps)

    def reset(self) -> None:
        """Forget the curvature: the loss has nothing to do with the last one's."""
        self._engine.reset()
        self._idle.over()

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
            **self._changes.state_dict(),
            "evaluations": self.evaluations,
            "idle": self._idle.state_dict(),
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
        self._changes.load_state_dict(tree)
        self._idle.load_state_dict(tree["idle"])
        self.evaluations = tree["evaluations"]
        self._steps = self.param_groups[0]["steps"]
        self._made = None  # the points may be others than when the state was saved

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: torch keeps its own attributes only.

        What was seen of closures stays behind: a copied array is not the one that a closure holds.
        """
        own = {key: value for key, value in self.__dict__.items() if key in _COPIED}
        return {
            **super().__getstate__(),
            **own,
            "_made": None,
            "_witness": Witness(),
            "_way": Way(),
        }

    def _index_sets(self) -> dict[str, Indices]:
        return {f"/engine/solvers/{d}/": c for d, c in self._engine.index_sets.items()}
