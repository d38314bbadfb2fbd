"""All benchmarks, and their figures in one table: ``python -m benchmarks``."""

from __future__ import annotations

import argparse
import os
import platform
from importlib.metadata import version

from benchmarks import bounds, peers, planner, quality, simulate, sky
from benchmarks.table import summarize


def main() -> None:
    """Run one after the other; those of peers only where these are installed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--effort", help="plans after a search of so many seconds, too")
    parser.add_argument("--large", action="store_true", help="100,000 workflows, too: minutes")
    given = parser.parse_args()
    # The plain path is what stands alone; the planner's table has the compiled one beside it.
    os.environ.setdefault("SOCM_COMPILED", "0")
    load = os.getloadavg()[0]  # more than one for each benchmark makes times doubtful
    figures = [
        *planner.main(["--large"] if given.large else []),  # first, while this process is small
        *peers.main(),
        *quality.main(["--effort", given.effort] if given.effort else []),
        *bounds.main(),
        *simulate.main(),
        *sky.main(),
    ]
    summarize(figures)
    print(
        f"\n{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()},"
        f" NumPy {version('numpy')}, socm {version('socm')};"
        f" load {load:.1f} before, {os.getloadavg()[0]:.1f} after"
    )


if __name__ == "__main__":
    main()
