"""Schedule-free AdamW: an average in place of a schedule.

Source: Defazio et al., The road less scheduled, NeurIPS 2024, whose advice is followed: β₁ = 0.9, a
linear warm-up, and the averaged point x as the answer. From the package pytorch-optimizer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from ddopt.compare.baseline import Baseline
from ddopt.setup.component import Settings
from ddopt_rivals.packages import needed
from ddopt_rivals.published import PACKAGE
from ddopt_rivals.shaped import Shaped

if TYPE_CHECKING:
    from ddopt.compare.objective import Objective


class ScheduleFree(Baseline):
    """Gradients at y; the answer is x, which is told whenever it is measured."""

    name = "schedule_free"
    tuned, mini = True, True

    class Config(Settings):
        """The authors' defaults."""

        rate: float = Field(2.5e-3, gt=0.0, description="learning rate")
        weight_decay: float = Field(0.0, ge=0.0, description="decay of the weights")
        warm_up: int = Field(20, ge=0, description="steps until the whole rate is reached")

    def check(self) -> None:
        """Import pytorch-optimizer."""
        needed(PACKAGE, self.name)

    def minimise(self, f: Objective) -> str:
        """Step until the budget is spent."""
        shaped, c = Shaped(f.start, f.task.problem.layout), self.config
        optimizer: Any = needed(PACKAGE, self.name).ScheduleFreeAdamW(
            shaped.parts, lr=c.rate, weight_decay=c.weight_decay, warmup_steps=c.warm_up
        )
        while True:
            value, gradient = f.at(shaped.theta)
            shaped.give(gradient)
            if f.due:
                optimizer.eval()
                answer = shaped.theta
                optimizer.train()
                f.iterate(answer, f.look(answer))
            else:
                f.skip(value)
            optimizer.step()
