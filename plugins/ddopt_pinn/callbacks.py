"""Callbacks for ``model.train`` in DeepXDE scripts."""

from __future__ import annotations

import sys
from typing import Any

from ddopt_pinn.library import load

Callback: Any = load().callbacks.Callback


class Converged(Callback):
    """End ``model.train`` when a ddopt optimizer has converged, and say so.

        model.train(iterations=10000, callbacks=[ddopt_pinn.Converged()])

    Other optimizers train on; without it, ddopt's rest until the iterations are over.
    """

    def on_epoch_end(self) -> None:
        """Called by DeepXDE after every iteration."""
        if getattr(self.model.opt, "converged", False):
            self.model.stop_training = True
            state = self.model.train_state
            at = state.iteration if hasattr(state, "iteration") else state.epoch  # as it was called
            sys.stdout.write(f"Iteration {at}: {type(self.model.opt).__name__} has converged\n")
