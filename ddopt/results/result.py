"""What a run came to: its numbers, its network, its figures."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ddopt.results.columns import columns, rows_html
from ddopt.results.pictures import Pictures, embedded
from ddopt.run import record
from ddopt.run.trained import trained

if TYPE_CHECKING:
    import numpy as np
    import torch

    from ddopt.setup.config import RunConfig

HEADLINE = (
    *("loss", "error", "accuracy", "validation_loss", "outer_iterations", "seconds"),
    "stop_reason",
)


class Result:
    """A run and its folder; everything is read from there when it is first asked for.

    ``ddopt.train`` returns one, ``ddopt.load`` opens one.
    """

    def __init__(self, folder: str | Path, config: RunConfig | None = None) -> None:
        """``config`` is what was trained; it may hold classes that no plugin has registered."""
        self.folder = Path(folder)
        self._given = config

    @cached_property
    def config(self) -> RunConfig:
        """The settings of the run, with all defaults."""
        if self._given is not None:
            return self._given
        from ddopt.run.folder import load_again

        return load_again(self.folder)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """How the run ended: ``summary.json``.

        Raises ``ValueError`` for a run that has not come to its end.
        """
        path = self.folder / record.SUMMARY
        if not path.exists():
            raise ValueError(
                f"{self.folder} has no {record.SUMMARY} yet: the run goes on, or was cut off"
            )
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found

    @cached_property
    def metrics(self) -> Any:
        """One row for each outer iteration.

        A pandas ``DataFrame`` where pandas is installed, otherwise a table with
        ``metrics["loss"]`` and ``metrics.columns``.
        """
        return columns(record.read(self.folder))

    @cached_property
    def _trained(self) -> tuple[Any, torch.Tensor]:
        return trained(self.folder, config=self._given)

    @property
    def task(self) -> Any:
        """The problem, prepared as the run prepared it."""
        return self._trained[0]

    @property
    def theta(self) -> torch.Tensor:
        """The parameters at the end, shape (n,)."""
        return self._trained[1]

    @cached_property
    def model(self) -> torch.nn.Module:
        """The trained network, a module of its own.

        Raises ``ValueError`` for a problem without one.
        """
        found: torch.nn.Module | None = self.task.module(self.theta)
        if found is None:
            raise ValueError(
                f"problem {self.task.name!r} gives no network: it has no method 'module'; its "
                "parameters are in result.theta, by name in result.task.problem.named(result.theta)"
            )
        return found.eval()

    def predict(self, points: Any) -> np.ndarray:
        """The trained network at points (points, inputs), as an array (points, outputs)."""
        import numpy as np
        import torch

        if hasattr(self.task, "solution"):  # of a differential equation, which knows its parts
            found: np.ndarray = self.task.predict(self.theta, np.asarray(points, dtype=float))
            return found
        model = self.model
        x = torch.as_tensor(points, dtype=next(model.parameters()).dtype)
        with torch.no_grad():
            return np.asarray(model(x).double().cpu().numpy())

    def plot(self, format: str = "png") -> Pictures:
        """Draw the figures of the run into its folder, as png, svg or pdf; returns their paths.

        In a notebook the value is shown. A run that was cut off is drawn as far as it came.
        """
        from ddopt.figures import written_as

        with written_as(format):
            return Pictures(self.task.draw(self.theta, record.read(self.folder), self.folder))

    def resume(self, **changes: Any) -> Result:
        """Go on from the last checkpoint: ``result.resume(**{"stop.iterations": 500})``.

        Only ``stop`` and ``output`` can be changed. Raises ``ValueError`` otherwise.
        """
        from ddopt.results.resuming import carry_on

        return Result(self.folder, carry_on(self.folder, self.config, changes))

    def __repr__(self) -> str:
        """Name the problem, the method and what they came to."""
        try:
            summary = self.summary
        except ValueError:
            return f"Result({str(self.folder)!r}, not finished)"
        merits = (
            f"{key} {summary[key]:.3g}" for key in HEADLINE[:4] if summary.get(key) is not None
        )
        return f"Result({summary['problem']} with {summary['strategy']}: {', '.join(merits)})"

    def _repr_html_(self) -> str:
        text = f"<p><b>{self!r}</b></p>".replace("<Result", "Result")
        if not (self.folder / record.SUMMARY).exists():
            return text
        there = [key for key in HEADLINE if self.summary.get(key) is not None]
        figures = sorted(self.folder.glob("figure*.png"))
        return text + rows_html([self.summary], there) + "".join(map(embedded, figures))
