"""The engine as a ``torch.optim.Optimizer``; this module holds no mathematics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch

from ddopt.closure import Closure, ClosureProblem, Stillness, batch_size, refuse_other_arguments
from ddopt.engine import Engine
from ddopt.executor import Executor, Serial, Split, shared
from ddopt.notice import warn
from ddopt.optim.changes import Changes
from ddopt.parts import Parts, StepReport
from ddopt.problem import Problem, Samples
from ddopt.space import Parameters
from ddopt.state import Pieces, pack, unpack
from ddopt.witness import Witness

if TYPE_CHECKING:
    from ddopt.space import Indices

Source = Callable[[Parameters], Problem]

# What schedulers and recipes look for in a group, and the value at which nobody has asked for it.
INERT = {"lr": 1.0, "momentum": 0.0, "weight_decay": 0.0}

_COPIED = {
    *("_parameters", "_buffers", "_engine", "_source", "evaluations", "report"),
    *("_changes", "_steps", "_told"),
}


class EngineOptimizer(torch.optim.Optimizer):
    """An optimizer whose ``step`` is one outer iteration of a method.

    The closure is torch's: zero the gradients, compute the loss, call backward, return the loss.
    The gradients are cleared before every call, so that a closure which forgets it is right, too.
    ``lr``, ``momentum`` and ``weight_decay`` stand in every group so that schedulers run, but have
    no effect, and a warning says so once: lengths are the trust region's business.

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
            evaluates anew, ``None`` finds out by looking twice now and then. The curvature is kept
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
        super().__init__(params, {**INERT, "lr": lr, **blank})
        self._parameters = Parameters(self._named())
        self._buffers = list(buffers)
        self._engine = Engine(parts, executor or Serial(), shares)
        self._engine.prepare(self._parameters.layout)
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
        self._told = False  # that a scheduler has no effect
        self.evaluations = 0.0  # closure calls, as multiples of one over the whole batch
        self.report: StepReport | None = None  # of the last step: ratio, radius, accepted, ...
        self._publish()
        self.state_dict()  # fills self.state, so that a checkpoint can be loaded in place

    def _named(self) -> Iterable[tuple[str, torch.Tensor]]:
        for number, group in enumerate(self.param_groups):
            names = group.get("param_names", _names(number, group["params"]))
            for name, tensor in zip(names, group["params"], strict=True):
                if tensor.requires_grad:
                    yield name, tensor

    def __repr__(self) -> str:
        """The class and what happened last, without the state that the groups carry."""
        seen = {key: self.param_groups[0][key] for key in ("steps", "radius", "ratio", "accepted")}
        shown = ", ".join(f"{key}={value}" for key, value in seen.items())
        return f"{type(self).__name__}(parameters={self._parameters.layout.size}, {shown})"

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, before the first step only: the trust region is one ball in one space."""
        if hasattr(self, "_engine"):
            raise ValueError(
                "parameters cannot be added to a trust region that exists: its radius and its "
                "curvature belong to the parameters it began with; make a new optimizer"
            )
        super().add_param_group(param_group)

    def minimise(self, source: Source) -> None:
        """Evaluate f by the problem that ``source(parameters)`` gives, and not by the closure.

        For losses that can do more than a closure: be evaluated on parts of their points, give
        residuals, give values without gradients. The source is asked at the start of every step; a
        problem that is another object than the last one is another f (resampled points): no value
        of the old one is compared with one of the new.
        """
        self._source = source

    def step(self, closure: Closure | None = None, batch: Any = None) -> torch.Tensor:  # type: ignore[override]
        """One outer iteration; returns the loss where it began, detached.

        Args:
            closure: evaluates the loss and its gradient; with a ``batch`` it is called as
                ``closure(part)`` and returns the mean loss over the part.
            batch: tensors whose first dimension is the samples: one, or a tuple, list or dict.

        Raises:
            ValueError: no closure, a loss or a gradient that is not finite at the start, a batch
                where the method needs none or none where it needs one, or a parameter that was
                frozen since.
        """
        if closure is None:
            raise ValueError(
                "step() needs a closure that computes the loss, calls backward and returns the "
                "loss: a trust region compares losses at several points"
            )
        self._refuse_frozen()
        still = Stillness(self._buffers, self._parameters.layout.device)
        try:
            problem = self._begin(closure, batch, still)
            point = self._engine.point
            assert point is not None
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
        self._changes.stepped(report.step_norm)
        self._publish()
        return torch.tensor(point.value, dtype=point.theta.dtype, device=point.theta.device)

    def _begin(self, closure: Closure, batch: Any, still: Stillness) -> Problem:
        """What this step minimises, evaluated where it begins."""
        if self._source is None:
            refuse_other_arguments(closure, batch)
            problem = self._problem(self._witness.hears(closure, self._parameters), batch, still)
            anew = batch is not None or self._changes.stochastic is True
            self._start(problem, anew=anew, look=not anew and self._witness.captured(closure))
            return problem
        problem, other = self._minimised()
        self._start(problem, anew=other, look=self._engine.iteration > 0 and self._made is None)
        self._made = problem
        return problem

    def _refuse_frozen(self) -> None:
        """The space is that of the parameters that had ``requires_grad`` at the beginning."""
        moving = [t for group in self.param_groups for t in group["params"] if t.requires_grad]
        known = self._parameters.tensors
        if len(moving) != len(known) or any(a is not b for a, b in zip(moving, known, strict=True)):
            raise ValueError(
                f"the {len(moving)} parameters that have requires_grad are not the {len(known)} "
                "that had it when the optimizer was made, to which its radius and its curvature "
                "belong; make a new optimizer after freezing or unfreezing. Where a library "
                "unfreezes them on its own (DeepXDE does whenever it shows a loss), give the "
                "optimizer only the parameters that shall move"
            )

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

    def _problem(self, closure: Closure, batch: Any, still: Stillness) -> Problem:
        if batch is None:
            return ClosureProblem(self._parameters, closure, still)
        size = batch_size(batch)
        if not size:
            raise ValueError(
                "the batch is empty: the first dimension of its tensors is 0, and f is a mean over "
                "samples; leave this step out"
            )
        samples = Samples.all(size)
        problem = ClosureProblem(self._parameters, closure, still, batch, samples)
        return shared(problem, self._engine.shares, self._engine.executor)[0]

    def _start(self, problem: Problem, *, anew: bool, look: bool) -> None:
        """Evaluate where the step begins, unless the last step has done it.

        ``anew``: f is another function now. ``look``: it may be one; compare the values.
        """
        engine = self._engine
        before = engine.point
        theta = self._parameters.read(None if before is None else before.theta)
        moved = before is None or theta is not before.theta
        compare = not (moved or anew)
        due = self._source is None and self._changes.due(self._steps)
        if compare and not look and not due:
            return
        self.evaluations += engine.start(problem, theta)
        assert engine.point is not None
        value = engine.point.value
        if not engine.begins(problem):
            engine.point = before  # nothing is known of this one that a later step could use
            raise ValueError(
                f"the loss, or its gradient, is not finite where this step begins ({value}); a "
                "trust region can only start where both are: look at the parameters and the data"
            )
        if moved or before is None:
            return
        if anew:
            self._changes.evaluated_anew()
            return
        if self._changes.compared(before.value, value, engine.point.epsilon):
            engine.point = before  # its bits may depend on who evaluated it
            if look:
                self._witness.false_alarm()
        elif not self._changes.stochastic:  # mini-batches are what acceptance windows are for
            engine.renew()

    def reset(self) -> None:
        """Forget the curvature: the loss has nothing to do with the last one's."""
        self._engine.reset()

    def _publish(self) -> None:
        """Show the numbers of the last step in every group."""
        report = self.report
        shown = {
            "radius": self._engine.current_radius,
            "ratio": report.ratio if report else None,
            "accepted": report.accepted if report else None,
            "steps": self._steps,
        }
        for group in self.param_groups:
            group.update(shown)
        self._tell_of_inert_options()

    def _tell_of_inert_options(self) -> None:
        """Say once that a number in the groups does nothing; a scheduler may have put it there."""
        found = {
            f"{key} = {float(group[key]):g}"
            for group in self.param_groups
            for key, idle in INERT.items()
            if group.get(key, idle) != idle
        }
        if found and not self._told:
            self._told = True
            warn(
                f"{', '.join(sorted(found))} in the parameter groups has no effect: a trust region "
                "finds its own step lengths, so a scheduler can go; weight decay belongs in the "
                "loss. This is said once"
            )

    def state_dict(self) -> dict[str, Any]:
        """The state, tensors by parameter; plain containers that ``weights_only`` loading reads."""
        tree = {
            "engine": self._engine.state_dict(),
            **self._changes.state_dict(),
            "evaluations": self.evaluations,
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

        Raises:
            ValueError: the state is another optimizer's or method's, or of other parameters.
        """
        if any("engine" not in group for group in state_dict["param_groups"]):
            raise ValueError(
                f"this state was not saved by {type(self).__name__}, but by another optimizer; "
                "load one that a ddopt optimizer has saved, or begin without"
            )
        super().load_state_dict(state_dict)
        pieces = _uncast(state_dict, [t.device for t in self._parameters.tensors])
        self._refuse_other_shapes(pieces)
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
        self.evaluations = tree["evaluations"]
        self._steps = self.param_groups[0]["steps"]
        self._made = None  # the points may be others than when the state was saved

    def _refuse_other_shapes(self, pieces: Pieces) -> None:
        """θ is in every state, in the shapes of the parameters that it was saved with."""
        layout = self._parameters.layout
        for i, (name, shape) in enumerate(zip(layout.names, layout.shapes, strict=True)):
            saved = pieces[i].get("/engine/point/theta")
            if saved is not None and saved.shape != shape:
                raise ValueError(
                    f"parameter {name!r} has the shape {tuple(shape)}, and {tuple(saved.shape)} in "
                    "this state: it was saved with another model"
                )

    def __getstate__(self) -> dict[str, Any]:
        """For copies and pickles: torch keeps its own attributes only.

        What was seen of closures stays behind: a copied array is not the one that a closure holds.
        """
        own = {key: value for key, value in self.__dict__.items() if key in _COPIED}
        return {**super().__getstate__(), **own, "_made": None, "_witness": Witness()}

    def _index_sets(self) -> dict[str, Indices]:
        return {f"/engine/solvers/{d}/": c for d, c in self._engine.index_sets.items()}


def _uncast(state_dict: dict[str, Any], devices: list[torch.device]) -> Pieces:
    """The saved tensors on their parameters' devices, in their own dtype.

    torch casts every state tensor to its parameter's dtype, which would cut float64 Gram matrices
    of a float32 model.
    """
    order = [number for group in state_dict["param_groups"] for number in group["params"]]
    saved = state_dict["state"]
    present = [saved[number] for number in order if number in saved]
    if len(present) != len(devices):
        raise ValueError(
            f"{len(present)} parameters had requires_grad when this state was saved, and now "
            f"{len(devices)} have it; freeze the same ones before the optimizer is made"
        )
    return {
        i: {key: tensor.to(device) for key, tensor in entry.items()}
        for i, (entry, device) in enumerate(zip(present, devices, strict=True))
    }


def _names(number: int, tensors: list[torch.Tensor]) -> list[str]:
    """Names of tensors without any: a matrix begins a layer, the vectors after it belong to it."""
    layers = accumulate(tensor.dim() > 1 for tensor in tensors)
    return [f"{number}.{layer:d}.{i}" for i, layer in enumerate(layers)]
