"""How fast Sun and Moon, and null tests, are: ``python -m benchmarks.sky``."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.table import show
from socm.config import load_campaign
from socm.workflows.null_tests.smart import SmartOptions, smart_split
from socm.workflows.obsdb import Observations, read_observations
from socm.workflows.sky import SITES, horizon, separation

EXAMPLES = Path(__file__).parent.parent / "examples"
OBSERVATIONS = 10_000
REPETITIONS = 3


def main() -> None:
    """Print the best of some repetitions of each."""
    observed = many(OBSERVATIONS)
    example = EXAMPLES / "lat_null_tests.toml"
    options = SmartOptions(context="/c", area="/a", output_dir="/o")
    rows = [
        row("both altitudes, both separations", "1.5", lambda: geometry(observed)),
        row("a smart split", "", lambda: smart_split(observed, options)),
        row("expanding the example", "2", lambda: load_campaign(example)),
    ]
    show(f"{OBSERVATIONS:,} observations", ("what", "target, s", "s"), rows)


def row(what: str, target: str, work: Callable[[], object]) -> tuple[str, str, str]:
    return what, target, f"{min(seconds(work) for _ in range(REPETITIONS)):.2f}"


def seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def geometry(observations: Observations) -> None:
    """Compute all that the null tests of Sun and Moon are made from, at one time of each."""
    for body in ("sun", "moon"):
        azimuth, altitude = horizon(body, observations.middle, SITES["so_lat"])
        separation(observations.azimuth, observations.elevation, azimuth, altitude)


def many(count: int) -> Observations:
    """Repeat the observations of the example until they are so many, each time an hour later."""
    read = read_observations(EXAMPLES / "so" / "context.yaml", "type='obs'")
    index = np.arange(count) % len(read)
    later = 3600.0 * (np.arange(count) // len(read))
    some = read[index]
    some = replace(some, start=some.start + later, stop=some.stop + later)
    return some[np.argsort(some.start, kind="stable")]


if __name__ == "__main__":
    main()
