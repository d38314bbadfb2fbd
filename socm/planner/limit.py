"""A limit over time, as a step function."""

from __future__ import annotations

from bisect import bisect_left, bisect_right


class Limit:
    """A count over time that may not exceed a limit: jobs, cores, busy nodes, or uses."""

    def __init__(self, limit: int, start: int) -> None:
        self._limit = limit
        self._times = [start]
        self._used = [0]

    def earliest(self, amount: int, duration: int, ready: int) -> int:
        """Return the first start, at `ready` or later, that leaves room for `amount` throughout."""
        times, used = self._times, self._used
        most = self._limit - amount
        start = ready
        segment = max(0, bisect_right(times, start) - 1)
        while segment < len(times) and times[segment] < start + duration:
            if used[segment] > most:
                if segment + 1 == len(times):
                    return start  # the amount alone exceeds the limit, which is refused elsewhere
                start = times[segment + 1]
            segment += 1
        return start

    def used(self, time: int) -> int:
        """How much is in use at a time."""
        return self._used[max(0, bisect_right(self._times, time) - 1)]

    def exceeded(self, amount: int, time: int) -> bool:
        """Whether `amount` more at a time would exceed the limit."""
        return self.used(time) + amount > self._limit

    def next_change(self, time: int) -> int | None:
        """The next time at which the count changes; `None` if there is none."""
        segment = bisect_right(self._times, time)
        return self._times[segment] if segment < len(self._times) else None

    def allocate(self, amount: int, start: int, finish: int) -> None:
        """Add an amount from start to finish."""
        for segment in range(self._cut(start), self._cut(finish)):
            self._used[segment] += amount

    def _cut(self, time: int) -> int:
        segment = bisect_left(self._times, time)
        if segment == len(self._times) or self._times[segment] != time:
            if segment == 0:
                return 0
            self._times.insert(segment, time)
            self._used.insert(segment, self._used[segment - 1])
        return segment
