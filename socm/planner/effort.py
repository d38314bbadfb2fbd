"""How long a planner may look for a better plan."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

PACE = 4_000_000
"""Nodes looked at in a second, roughly: by this, work is put into seconds."""
USUAL_WORK = PACE // 2
"""The work of a search where nothing is said: half a second, more or less."""
USUAL_TRIES = 40
"""The most tries for each workflow then: a small campaign has few plans worth a look."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What a search for a better plan may spend.

    Where nothing is said, it is a fixed amount of work, less than a second. Work is counted in
    nodes that were looked at, a clock that ticks alike on every machine: so the same campaign
    gets the same plan everywhere, unless seconds are what limits it.

    Parameters
    ----------
    seconds
        To search for; 0 is one pass.
    iterations
        How many times to try to improve what was found; 0 is one pass.
    part
        Of the usual work, where neither is given.
    seed
        Of what is tried by chance.
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
        """Whether nothing but a first plan is asked for."""
        return self.seconds == 0 or self.iterations == 0

    def tries(self, workflows: int) -> float:
        """How often to try to improve a plan of so many workflows."""
        if self.iterations is not None:
            return self.iterations
        return USUAL_TRIES * workflows if self.seconds is None else math.inf


class Meter:
    """What has been spent of an effort.

    Parameters
    ----------
    pace
        Nodes looked at in a second.

    Examples
    --------
    >>> meter = Meter(Effort(part=0.5))
    >>> meter.allows(USUAL_WORK // 2)
    True
    >>> meter.spend(USUAL_WORK // 2)
    >>> meter.allows(1)
    False
    """

    def __init__(self, effort: Effort, pace: int = PACE) -> None:
        self._effort, self._pace = effort, pace
        self._work = 0
        self._begun = time.perf_counter()

    def spend(self, work: int) -> None:
        """Note work that was done."""
        self._work += work

    def allows(self, work: int) -> bool:
        """Whether so much more work is within the effort."""
        seconds, iterations = self._effort.seconds, self._effort.iterations
        if seconds is not None:
            return time.perf_counter() - self._begun + work / self._pace <= seconds
        return iterations is not None or self._work + work <= USUAL_WORK * self._effort.part


USUAL = Effort()
LITTLE = Effort(part=0.1)
"""For plans of which many are made, to compare them."""
NONE = Effort(iterations=0)
"""One pass."""
