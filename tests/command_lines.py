"""Command lines one after the other in each process that torchrun, or a test, has started.

``python -m tests.command_lines FILE``: FILE holds a JSON list of argument lists. Importing torch
and DeepXDE takes longer than the runs do, so they share their processes. Prints a JSON list of what
became of each: ``"ok"`` or the error.
"""

import json
import os
import sys
from pathlib import Path

import torch.distributed as dist
from click import ClickException

from ddopt.cli import cli


def main() -> None:
    outcomes = []
    for arguments in json.loads(Path(sys.argv[1]).read_text()):
        try:
            cli(arguments, prog_name="ddopt", standalone_mode=False)
            outcomes.append("ok")
        except (ClickException, SystemExit) as error:
            outcomes.append(str(getattr(error, "message", error)))
            if dist.is_initialized():  # left as it was, for the processes usually end here
                dist.destroy_process_group()
    if int(os.environ.get("RANK", "0")) == 0:
        sys.stdout.write(json.dumps(outcomes) + "\n")


if __name__ == "__main__":
    main()
