"""What a run has trained: its task and its parameters, for whoever wants to use them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import torch

    from ddopt.setup.config import RunConfig


def trained(
    folder: str | Path, plugin_files: Sequence[str | Path] = (), config: RunConfig | None = None
) -> tuple[Any, torch.Tensor]:
    """The prepared task of a run, and the parameters of its last checkpoint, on the CPU.

    ``config`` stands for the one in the folder, which names classes that may not be registered.
    Raises ``ValueError`` if there is no run, or no checkpoint yet.
    """
    from pathlib import Path

    import torch

    from ddopt.run import checkpoint, shards
    from ddopt.run.folder import load_again
    from ddopt.task import Setting, prepare

    folder = Path(folder)
    config = load_again(folder, (), plugin_files) if config is None else config
    state = checkpoint.load(folder)
    if state is None:
        raise ValueError(f"{folder} has no checkpoint yet; let the run end, or save more often")
    task: Any = config.problem.build()
    prepare(task, Setting(config.seed, getattr(torch, config.dtype)))
    task.load_state_dict(state["components"]["task"])
    return task, shards.parameters(folder, state)
