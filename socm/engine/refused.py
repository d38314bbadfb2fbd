"""Workflows whose submission was refused for now, and how they are tried again."""

from __future__ import annotations

import math
from collections import Counter, defaultdict, deque

PAUSE, LONG_PAUSE, MANY = 60.0, 300.0, 10
"""Seconds between two tries at a place, and after that many refusals in a row there."""

Place = tuple[str, str | None]
"""A partition and a QOS."""


class Refused:
    """Tries one workflow at a time at each place that refuses them, in turn.

    What the cluster refuses to one it would most likely refuse to all others like it: a thousand
    wait, one is tried. Each has its turn, for it may be one alone that is refused.

    Examples
    --------
    >>> refused, place = Refused(), ("cpu", "short")
    >>> refused.add("a", place, now=0.0)
    >>> refused.is_closed(place, now=59.0), refused.next_time
    (True, 60.0)
    >>> refused.pop(now=60.0)
    'a'
    """

    def __init__(self) -> None:
        self._names = defaultdict[Place, deque[str]](deque)
        self._until: dict[Place, float] = {}
        self._in_a_row = Counter[Place]()

    def add(self, name: str, place: Place, now: float, *, first_pause: float = PAUSE) -> None:
        """Count a workflow as refused: it is the last whose turn comes."""
        self._names[place].append(name)
        self._in_a_row[place] += 1
        times = self._in_a_row[place]
        pause = first_pause if times == 1 else PAUSE if times <= MANY else LONG_PAUSE
        self._until[place] = now + pause

    def accept(self, place: Place) -> None:
        """Note that a workflow was submitted: it may go on at once."""
        del self._in_a_row[place]

    def open(self, place: Place) -> None:
        """Note that a job is over: there may be room for another one."""
        self._until.pop(place, None)

    def is_closed(self, place: Place, now: float) -> bool:
        """Whether nothing is submitted there just now."""
        return self._until.get(place, -math.inf) > now

    @property
    def next_time(self) -> float:
        """When the next one is tried; infinite if none waits."""
        times = (self._until.get(place, 0.0) for place, names in self._names.items() if names)
        return min(times, default=math.inf)

    def pop(self, now: float) -> str | None:
        """Return the one whose turn it is, which waits here no longer; `None` if none is."""
        for place, names in self._names.items():
            if names and not self.is_closed(place, now):
                return names.popleft()
        return None
