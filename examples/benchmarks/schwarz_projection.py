"""Schwarz on many processes, projected from counted work and bytes.

    OMP_NUM_THREADS=1 python examples/benchmarks/schwarz_projection.py

The regions of W processes are made one after the other in one process, so all that they compute and
send is counted and not estimated. The seconds of W processes, one region each, are

    T = max_d (w_d / s + I w'_d / s') + v / t + I v' / t' + (b + I b') / 1e9 + (q + I q') 1e-5

with w_d the multiplications of region d before the iterations and w'_d those of an iteration, v and
v' what every process computes alike (the coarse factor, the coarse solve), I iterations, b and b'
the bytes that a process sends and receives, q and q' its messages one after the other. The four
speeds s, t, s', t' are those of the run on one process and one region, by processor time.
"""

import argparse
import math
import time
from itertools import pairwise

import torch
from schwarz import system

from ddopt.executor import Serial
from ddopt_patches.block import Block
from ddopt_patches.coarse import Polynomials
from ddopt_patches.problem import PatchProblem
from ddopt_patches.regions import Border
from ddopt_patches.schwarz import Options, Schwarz

BANDWIDTH, LATENCY = 1e9, 1e-5  # bytes a second, seconds a message
TOLERANCE = 1e-5


class Counted(Schwarz):
    """Knows what of its time every process would spend alike."""

    def _replicated(self, *arguments):
        start = time.process_time()
        factor = super()._replicated(*arguments)
        self.alike = time.process_time() - start
        self.alike_each, solve = 0.0, factor.solve

        def timed(b):
            start = time.process_time()
            found = solve(b)
            self.alike_each += time.process_time() - start
            return found

        factor.solve = timed
        return factor


def factorised(factor):
    """Multiplications of a block-tridiagonal factor, and of a solve with it."""
    m = [len(L) for L in factor._L]
    made = sum(n**3 / 3 for n in m) + sum(a * a * b + a * b * b for a, b in pairwise(m))
    return made, sum(2 * n * n for n in m) + 2 * sum(a * b for a, b in pairwise(m))


def work(step, d):
    """The multiplications of region ``d``: before the iterations, and in one of them."""
    corners = step._patches.grid.corners
    B, p = step.basis[d].shape[-1], step._coarse[d].shape[2]
    numbers = sum(block.by_corner.numel() for block in step._blocks[d])
    tiles = [factorised(tile.factor) for tile in step._tiles[d]]
    held = sum(len(tile.patches) for tile in step._tiles[d]) / len(step.basis[d])
    before = numbers * (2 * B + corners * p)  # triangles, new basis; coarse vectors
    before += held * numbers * corners * B / 2 + sum(made for made, _ in tiles)
    return before, 2 * numbers + sum(each for _, each in tiles) + 2 * step._coarse[d].numel()


def traffic(step, border, d):
    """Bytes and messages of region ``d``, sent and received: before, and in an iteration."""
    region, everyone, hops = border.regions[d], len(border.regions), 0
    shared = sum(len(places) for places in region.meeting.values())
    B, p = step.basis[d].shape[-1], step._coarse[d].shape[2]
    C, grid = step._patches.grid.corners, step._patches.grid
    hops = math.ceil(math.log2(everyone))
    triangles = 2 * shared * B * B * 8
    grams = 2 * shared * 2 * (C // 2 * B) ** 2 * 8 / 2  # of the cells along a border, at most
    coarse = grid.cells * (C * p) ** 2 * 8 if everyone > 1 else 0
    vectors = 2 * shared * B * (6 + 4)
    residual = grid.patches * p * 4 if everyone > 1 else 0
    before = (triangles + grams + coarse, 2 * len(region.meeting) + hops)
    return before, (vectors + residual, 3 * len(region.meeting) + 3 * hops)


def measured(nodes, regions, degree, seed=0):
    """The step on so many regions in one process, with its seconds."""
    made = system(nodes, seed)
    problem = PatchProblem(made)
    border = Border(problem.own_share(0, regions).regions, Serial())
    theta = torch.zeros(problem.layout.size, dtype=torch.float64)
    start = time.process_time()
    rows, cells = {}, {}
    for d in border.owned:
        piece = problem.own_share(d.index, regions)
        residuals, blocks = piece.by_cells(theta)
        rows[d.index] = residuals, [Block(d.local(b.patches), b.by_corner) for b in blocks]
        cells[d.index] = [one.points.cells for one in piece.system.rows]
    step = Counted(made.patches, border, rows, cells, Options(coarse=Polynomials(degree=degree)))
    made_in = time.process_time() - start
    start = time.process_time()
    step.solve(TOLERANCE)
    return step, border, made_in, time.process_time() - start


def speeds(nodes, degree):
    """Multiplications a second: before, in iterations; and of what is alike, before and in them."""
    step, _, made_in, solved_in = measured(nodes, 1, degree)
    before, each = work(step, 0)
    alike, alike_each = factorised(step._coarse_factor)
    count = step.iterations + 1
    return (
        before / (made_in - step.alike),
        count * each / (solved_in - step.alike_each),
        alike / step.alike,
        count * alike_each / step.alike_each,
    )


def projected(step, border, fast):
    """Seconds of as many processes as there are regions: working, alike, bytes, messages."""
    s, s_each, t, t_each = fast
    count = step.iterations + 1
    busiest = max(
        before / s + count * each / s_each
        for before, each in (work(step, d.index) for d in border.owned)
    )
    alike, alike_each = factorised(step._coarse_factor)
    sent = [traffic(step, border, d.index) for d in border.owned]
    volume = max(a[0] + count * b[0] for a, b in sent) / BANDWIDTH
    waiting = max(a[1] + count * b[1] for a, b in sent) * LATENCY
    return busiest, alike / t + count * alike_each / t_each, volume, waiting


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, nargs="+", default=[17, 33])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4, 16, 64])
    parser.add_argument("--degree", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| patches | processes | iterations | own work, s | alike, s | bytes, s | messages, s |",
        end="",
    )
    print(" in all, s | efficiency |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for nodes in options.nodes:
        fast, alone = speeds(nodes, options.degree), None
        for count in options.processes:
            step, border, *_ = measured(nodes, count, options.degree)
            parts = projected(step, border, fast)
            alone = alone or sum(parts)
            cells = " | ".join(f"{part:.2g}" for part in parts)
            share = alone / (count * sum(parts))
            print(
                f"| {nodes**2} | {count} | {step.iterations} | {cells} | {sum(parts):.2f} | "
                f"{100 * share:.0f} % |",
                flush=True,
            )


if __name__ == "__main__":
    main()
