"""``python -m tests.faults``: run the campaign, print its table, fail where anything has failed."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.faults import campaign


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", choices=[*campaign.BUDGETS], default="quick")
    parser.add_argument("--only", default="", help="classes of faults, separated by commas")
    parser.add_argument("--jobs", type=int, default=2, help="attempts at the same time")
    parser.add_argument("--out", type=Path, help="where results are kept, and found again")
    given = parser.parse_args()
    counts = dict(campaign.BUDGETS[given.budget])
    if given.only:
        unknown = set(given.only.split(",")) - set(counts)
        if unknown:
            parser.error(f"there are no faults {sorted(unknown)}; there are {', '.join(counts)}")
        counts = {kind: counts[kind] for kind in given.only.split(",")}
    folder = given.out or Path("runs") / f"faults-{given.budget}-{given.seed}"
    began = time.monotonic()
    soaked = campaign.SOAKED[given.budget]
    results = campaign.Campaign(folder, given.seed, counts, given.jobs, soaked).run()
    sys.stdout.write(campaign.table(results, counts))
    for one in results:
        if one["failed"]:
            sys.stdout.write(f"\n{one['kind']} {one['number']}: {one['failed']}\n")
    minutes = (time.monotonic() - began) / 60.0
    sys.stdout.write(f"\n{minutes:.1f} minutes; the results are in {folder}\n")
    return int(any(one["failed"] for one in results))


if __name__ == "__main__":
    sys.exit(main())
