"""How much work a planner may spend on a better plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import perf_counter

PACE = 4_000_000
"""Nodes looked at in a second by the plain schemes, roughly; converts work to seconds."""
WORK_OF_PLACING = 24
"""Work of the serial scheme for each workflow, beside the nodes looked at."""
WORK_OF_STARTING = 1000
"""Work of the parallel scheme for each workflow."""
USUAL_WORK = PACE // 2
"""Work of a search by default: about half a second."""
USUAL_TRIES = 40
"""Most attempts for each workflow by default: a small campaign has few plans worth a look."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much work a search for a better plan may spend.

    By default this is a fixed amount of work, less than a second. Work is counted in nodes looked
    at, not in seconds, so that the same campaign gets the same plan on every machine. With
    `seconds` it does not.

    Parameters
    ----------
    seconds
        Time limit of the search; 0 is one pass.
    iterations
        Number of attempts to improve the plan; 0 is one pass.
    part
        Share of the default work, where neither of these is given.
    seed
        Seed of the random search.

    Raises
    ------
    ValueError
        If one of them is negative.
    """

    seconds: float | None = None
    iterations: int | None = None
    part: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.seconds or 0, self.iterations or 0, self.part, self.seed) < 0:
            raise ValueError("an effort is at least 0")

    @property
    def is_none(self) -> bool:
        """Whether the effort is one pass, without a search."""
        return self.seconds == 0 or self.iterations == 0

    def tries(self, workflows: int) -> float:
        """The most attempts to improve a plan of a number of workflows."""
        if self.iterations is not None:
            return self.iterations
        return USUAL_TRIES * workflows if self.seconds is None else math.inf


class Meter:
    """The work that was spent of an effort.

    Examples
    --------
    >>> meter = Meter(Effort(part=0.5))
    >>> meter.allows(USUAL_WORK // 2)
    True
    >>> meter.spend(USUAL_WORK // 2)
    >>> meter.allows(1)
    False
    """

    def __init__(self, effort: Effort) -> None:
        self._effort = effort
        self._work = 0
        self._begun = perf_counter()

    def spend(self, work: int) -> None:
        """Count work that was done."""
        self._work += work

    def allows(self, work: int) -> bool:
        """Whether `work` more is within the effort, at the pace so far."""
        seconds, iterations = self._effort.seconds, self._effort.iterations
        if seconds is not None:
            elapsed = perf_counter() - self._begun
            return elapsed + work * elapsed / max(self._work, 1) <= seconds
        return iterations is not None or self._work + work <= USUAL_WORK * self._effort.part


USUAL = Effort()
LITTLE = Effort(part=0.1)
"""A tenth of the default, for many plans that are compared."""
NONE = Effort(iterations=0)
"""One pass."""
