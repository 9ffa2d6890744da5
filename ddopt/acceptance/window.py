"""Windowed non-monotone acceptance: compare with the worst of the last W accepted values."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from ddopt.acceptance.acceptance import Acceptance


class Window(Acceptance):
    """f_ref = max of the last W accepted values (Grippo, Lampariello and Lucidi 1986; NAPTS).

    W = 1 is monotone. Across mini-batches the window compares losses of different samples: the
    reference is then the worst recent batch loss, a tolerance for the noise of sampling.
    """

    name = "window"

    class Config(Acceptance.Config):
        """Options of the window."""

        length: int = Field(5, ge=1, description="accepted values W, the current one included")

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        self._earlier: list[float] = []  # accepted values before the current one, oldest first

    def ratio(self, value: float, trial: float, predicted: float) -> float:
        """ρ = (max of the window − f⁺) / pred."""
        return (max([value, *self._earlier]) - trial) / predicted

    def remember(self, value: float, trial: float, predicted: float) -> None:
        """The value that is left behind joins the window."""
        keep = self.config.length - 1
        self._earlier = [*self._earlier, value][-keep:] if keep else []

    def state_dict(self) -> dict[str, Any]:
        """The window's values."""
        return {"earlier": list(self._earlier)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the window's values."""
        self._earlier = [float(value) for value in state["earlier"]]
