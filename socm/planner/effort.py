"""How long a planner may look for a better plan."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field

PACE = 4_000_000
"""Nodes looked at in a second, roughly: what a piece of work is expected to take."""
USUAL_WORK = PACE // 2
"""The work of a search where nothing is said: half a second, more or less."""
USUAL_TRIES = 40
"""The most tries for each workflow then: a small campaign has few plans worth a look."""


@dataclass(kw_only=True)
class Effort:
    """What a search may spend, and what it has spent.

    Work is counted in nodes that were looked at: a clock that ticks alike on every machine. So
    the same campaign gets the same plan everywhere, unless seconds are what limits it.

    Parameters
    ----------
    seconds
        To search for, from now on; `None` is no limit.
    iterations
        How many times to try to improve what was found; `None` is no limit.
    seed
        Of what is tried by chance.

    Examples
    --------
    >>> usual = Effort()
    >>> usual.allows(USUAL_WORK)
    True
    >>> usual.spend(USUAL_WORK)
    >>> usual.allows(1)
    False
    """

    seconds: float | None = None
    iterations: int | None = None
    seed: int = 0
    _work: int = field(default=0, init=False)
    _begun: float = field(default_factory=time.perf_counter, init=False)

    def spend(self, work: int) -> None:
        """Note work that was done."""
        self._work += work

    def allows(self, work: int) -> bool:
        """Whether so much more work is within the limits."""
        if self.seconds is not None:
            spent = time.perf_counter() - self._begun
            return spent + work / PACE <= self.seconds
        return self.iterations is not None or self._work + work <= USUAL_WORK

    def tries(self, workflows: int) -> float:
        """How often to try to improve a plan of so many workflows."""
        if self.iterations is not None:
            return self.iterations
        return USUAL_TRIES * workflows if self.seconds is None else math.inf

    @property
    def is_none(self) -> bool:
        """Whether nothing but a first plan is asked for."""
        return self.seconds == 0 or self.iterations == 0
