"""The campaign: which faults are tried how often, by whom, and what has come of it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import shutil
import sys
import time
import traceback
from pathlib import Path

import torch

from ddopt.setup.plugins import manager
from tests.faults import (
    configs,
    corruptions,
    disk,
    kills,
    numerics,
    pickles,
    ranks,
    restarts,
    soak,
    variants,
)

KINDS = {
    "kills": kills, "corruptions": corruptions, "configs": configs, "numbers": numerics,
    "ranks": ranks, "restarts": restarts, "disk": disk, "pickles": pickles, "soak": soak,
}  # fmt: skip
BUDGETS = {
    "quick": {
        "kills": 12, "corruptions": 40, "configs": 400, "numbers": 60, "ranks": 6,
        "restarts": 2, "disk": 6, "pickles": 8, "soak": 4,
    },
    "full": {
        "kills": 240, "corruptions": 600, "configs": 10_000, "numbers": 1_200, "ranks": 60,
        "restarts": 20, "disk": 40, "pickles": 40, "soak": 4,
    },
}  # fmt: skip
TOGETHER = {"configs": 100, "numbers": 20}  # attempts of one process, where each is short
WAITING = 4  # times as many at once where they mostly wait for each other
SOAKED = {"quick": 200, "full": 10_000}  # iterations


class Campaign:
    """Attempts that are left to do, and the journal of those that are done."""

    def __init__(
        self, folder: Path, seed: int, counts: dict[str, int], jobs: int, soaked: int
    ) -> None:
        self.folder, self.seed, self.counts, self.jobs = folder, seed, counts, jobs
        self.soaked = soaked  # iterations of a long run
        folder.mkdir(parents=True, exist_ok=True)
        self.journal = folder / "results.jsonl"
        self.tested = _sources()
        self.references = folder / f"references-{self.tested}"

    def run(self) -> list[dict]:
        """Do what is left; returns the results of everything."""
        torch.set_num_threads(1)
        manager()
        self._prepare()
        known = self.results()
        if self.journal.exists() and not self.journal.read_bytes().endswith(b"\n"):
            with self.journal.open("a") as stream:
                stream.write("\n")  # the line that was torn off stays by itself
        for kind, count in self.counts.items():
            there = {one["number"] for one in known if one["kind"] == kind}
            left = [number for number in range(count) if number not in there]
            self._do(kind, left)
        chosen = [one for one in self.results() if one["number"] < self.counts.get(one["kind"], 0)]
        return sorted(chosen, key=lambda one: (one["kind"], one["number"]))

    def results(self) -> list[dict]:
        """What the journal says of this code; a line that was torn off is tried again."""
        found = {}
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        for line in lines:
            try:
                one = json.loads(line)
            except ValueError:
                continue
            if (one["seed"], one["tested"]) == (self.seed, self.tested):
                found[one["kind"], one["number"]] = one
        return list(found.values())

    def _prepare(self) -> None:
        """The runs that are left alone, in a process of its own."""
        self.references.mkdir(exist_ok=True)
        worker = self._fork(lambda: self._undisturbed())
        _, status = os.waitpid(worker, 0)
        if status:
            raise SystemExit("the undisturbed runs have failed; what they said is above")

    def _undisturbed(self) -> None:
        with open(self.folder / "references.log", "w") as log:
            os.dup2(log.fileno(), 1)
        variants.prepare(self.references)
        corruptions.prepare(self.references)

    def _do(self, kind: str, numbers: list[int]) -> None:
        size = TOGETHER.get(kind, 1)
        batches = [numbers[i : i + size] for i in range(0, len(numbers), size)]
        most = self.jobs * (WAITING if kind in ("ranks", "restarts") else 1)
        working: set[int] = set()
        began, total = time.monotonic(), len(numbers)
        for batch in batches:
            while len(working) >= most:
                working.discard(os.wait()[0])
            working.add(self._fork(lambda batch=batch: self._attempts(kind, batch)))
        while working:
            working.discard(os.wait()[0])
        if total:
            sys.stderr.write(f"{kind}: {total} in {time.monotonic() - began:.0f} s\n")

    def _fork(self, work) -> int:
        sys.stdout.flush()
        worker = os.fork()
        if worker:
            return worker
        code = 1
        try:
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def _attempts(self, kind: str, numbers: list[int]) -> None:
        """Try, in this process; each result is one line, written at once."""
        for number in numbers:
            place = self.folder / f"{kind}-{number}"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            failed = self._attempt(kind, number, place)
            own, others = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
            spent = sum(sum(resource.getrusage(who)[:2]) for who in (own, others))
            one = {"tested": self.tested, "seed": self.seed, "kind": kind, "number": number}
            last = number == numbers[-1]  # the time of all attempts of this process
            one |= {"failed": failed, "processor": round(spent, 3) if last else 0.0}
            line = json.dumps(one)
            with self.journal.open("a") as stream:
                stream.write(line + "\n")
            if not failed:
                shutil.rmtree(place)

    def _attempt(self, kind: str, number: int, place: Path) -> str | None:
        chance = random.Random(f"{self.seed} {kind} {number}")
        more = ()
        if kind == "soak":
            method = list(soak.METHODS)[number]
            more = (method, self.soaked)
        try:
            KINDS[kind].attempt(chance, place, self.references, *more)
        except AssertionError as error:
            return str(error) or traceback.format_exc()
        except Exception:
            return traceback.format_exc()
        return None


def _sources() -> str:
    """What is tested: results, and undisturbed runs, of other code do not count."""
    root, found = Path(__file__).parents[2], hashlib.sha256(str(torch.__version__).encode())
    for folder in ("ddopt", "plugins", "tests"):
        for path in sorted((root / folder).rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()[:12]


def table(results: list[dict], counts: dict[str, int]) -> str:
    """Tried and failed, a row for each class."""
    lines = ["| faults | tried | failed | processor, s |", "|---|---|---|---|"]
    rows = [(kind, [one for one in results if one["kind"] == kind]) for kind in counts]
    for kind, found in [*rows, ("all", results)]:
        failed = sum(one["failed"] is not None for one in found)
        spent = sum(one["processor"] for one in found)
        lines.append(f"| {kind} | {len(found)} | {failed} | {spent:.0f} |")
    return "\n".join(lines) + "\n"
