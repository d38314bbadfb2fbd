"""How fast Sun and Moon, and null tests, are: ``python -m benchmarks.sky``."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.table import Figure, show, summarize
from socm.config import load_campaign
from socm.workflows.null_tests.smart import SmartOptions, smart_split
from socm.workflows.obsdb import read_observations
from socm.workflows.observations import Observations
from socm.workflows.sky import SITES, horizon, separation

EXAMPLES = Path(__file__).parent.parent / "examples"
OBSERVATIONS = 10_000
REPETITIONS = 3


def main(arguments: Sequence[str] = ()) -> list[Figure]:
    """Print the best of some repetitions of each."""
    observed = many(OBSERVATIONS)
    example = EXAMPLES / "lat_null_tests.toml"
    options = SmartOptions(context="/c", area="/a", output_dir="/o")
    figures = [
        figure("both altitudes, both separations", 1.5, lambda: geometry(observed)),
        figure("a smart split", None, lambda: smart_split(observed, options)),
        figure("expanding the example", 2.0, lambda: load_campaign(example)),
    ]
    rows = [(f.what, f.target, f.ours) for f in figures]
    show(f"{OBSERVATIONS:,} observations", ("what", "target, s", "s"), rows)
    return [f._replace(what=f"{f.what}, s") for f in figures]


def figure(what: str, target: float | None, work: Callable[[], object]) -> Figure:
    best = min(seconds(work) for _ in range(REPETITIONS))
    if target is None:
        return Figure(what, f"{best:.2f}")
    return Figure(what, f"{best:.2f}", "", f"{target:g}", best <= target)


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
    summarize(main(sys.argv[1:]))
