"""``python -m benchmarks.fuzz [COUNT] [--kind KIND] [--seed SEED]``."""

from __future__ import annotations

import argparse
import multiprocessing
import sys

from benchmarks.fuzz.answers import run
from benchmarks.fuzz.kinds import KINDS


def main() -> None:
    """Run, and print what came of it; exit with 1 if a file was not answered as it should be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=20_000, help="files of all kinds")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    kinds = options.kind or [*KINDS]
    good = True
    print("| kind | files | read | refused | slowest | memory |\n|---|---|---|---|---|---|")
    for kind in kinds:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            outcome = pool.apply(run, (kind, options.count // len(kinds), options.seed))
        counts = outcome.counts
        print(
            f"| {kind} | {counts.total()} | {counts['read']} | {counts['refused']} | "
            f"{outcome.slowest:.2f} s | {outcome.memory:.0f} MB |",
            flush=True,
        )
        for fault in outcome.faults.values():
            print(fault, file=sys.stderr)
        good = good and not outcome.faults
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
