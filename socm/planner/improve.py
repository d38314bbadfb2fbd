"""Better than one pass: several priorities, forward-backward improvement, and a search."""

from __future__ import annotations

import math

import numpy as np

from socm.planner.effort import PACE, Effort, Meter
from socm.planner.instance import Instance
from socm.planner.ranking import PRIORITIES, Priority, by_rank, by_rank_and_width
from socm.planner.schedule import Schedule
from socm.planner.schemes import LOADER, parallel, serial

SMALL = 400_000
"""Workflows times nodes up to which the serial scheme is used: it is the better one, and slower."""
WORK_OF_LARGE = 16
"""What the serial scheme takes beyond that, for each workflow and node."""
SHORTEST_WINDOW = 0.05
"""Of the makespan: how much of a schedule is shuffled at the least."""
SLACK = 0.01
"""How much longer than the best a schedule may be for the search to go on from it."""


def shortest(instance: Instance, effort: Effort) -> Schedule:
    """Find a schedule with a short makespan.

    It begins with HEFT's, by upward rank and with insertion; then come other priorities, each
    improved forward and backward; then a search around the best of them. It ends when the effort
    is spent, or when nothing can be shorter. A very large campaign begins with the parallel
    scheme, and comes to HEFT's only if the effort allows that.

    References
    ----------
    Priorities and schemes: R. Kolisch, S. Hartmann, Eur. J. Oper. Res. 174 (2006) 23,
    https://doi.org/10.1016/j.ejor.2005.01.065
    """
    return _Search(instance, effort).run()


class _Search:
    """What was found so far, and whether to go on."""

    def __init__(self, instance: Instance, effort: Effort) -> None:
        self._instance, self._effort = instance, effort
        # If the seconds are many enough for compiled code to pay, it is loaded before they count.
        LOADER.compiled(round((effort.seconds or 0) * PACE))
        self._meter = Meter(effort)
        nodes = sum(p.nodes for p in instance.cluster.distinct)
        if instance.campaign.budget.nodes is not None:
            nodes = min(nodes, instance.campaign.budget.nodes)
        self._size = len(instance) * nodes
        # What is reserved for later, the parallel scheme does not see.
        small = self._size <= SMALL or bool(instance.reservations)
        small = small or instance.cluster.overlapping
        self._scheme = serial if small else parallel
        self._best: Schedule | None = None

    @property
    def best(self) -> Schedule:
        assert self._best is not None
        return self._best

    def run(self) -> Schedule:
        self._schedule(by_rank(self._instance))
        if not self._effort.is_none:
            self._try_priorities()
            self._search()
        return self.best

    def _note(self, schedule: Schedule) -> Schedule:
        self._meter.spend(schedule.work)
        if self._best is None or schedule.makespan < self._best.makespan:
            self._best = schedule
        return schedule

    def _schedule(self, priority: Priority) -> Schedule:
        return self._note(self._scheme(self._instance, priority))

    def _goes_on(self, work: int | None = None) -> bool:
        """Whether anything shorter is possible, and the effort allows to look for it."""
        if self.best.makespan <= self._instance.bound:
            return False
        return self._meter.allows(self.best.work if work is None else work)

    def _try_priorities(self) -> None:
        """Try what may be planned first, and how: none is best for all campaigns."""
        self._improve(self.best)
        for priority in PRIORITIES[1:]:
            if self._goes_on():
                self._improve(self._schedule(priority(self._instance)))
        if self._scheme is parallel:
            if self._goes_on(self._size * WORK_OF_LARGE):
                self._note(serial(self._instance, by_rank(self._instance)))
        elif not self._instance.reservations:
            # The parallel scheme puts them into another order.
            for priority in (by_rank, by_rank_and_width):
                if self._goes_on():
                    other = parallel(self._instance, priority(self._instance))
                    self._improve(self._schedule([(start,) for start in other.start]))

    def _improve(self, schedule: Schedule) -> None:
        """Schedule backward from the end and forward again, as long as that is shorter.

        Forward-backward improvement, or double justification: going back, what ends last comes
        first and ends as late as it can; then what began first begins as early as it can.

        References
        ----------
        V. Valls, F. Ballestín, S. Quintanilla, Eur. J. Oper. Res. 165 (2005) 375,
        https://doi.org/10.1016/j.ejor.2004.04.008
        """
        while self._goes_on():
            better = self._justified(schedule)
            if better.makespan >= schedule.makespan:
                return
            schedule = better

    def _justified(self, schedule: Schedule) -> Schedule:
        backward = self._scheme(self._instance.mirrored, [(-f,) for f in schedule.finish])
        self._meter.spend(backward.work)
        return self._schedule([(-f,) for f in backward.finish])

    def _search(self) -> None:
        """Shuffle a part of a schedule, and go on from what becomes of it if it is good enough.

        An iterated local search: what begins within a window of random place and length is put
        into an order by chance that is more or less the old one, and the schedule made from that
        order is justified. What is hardly longer than the best is gone on from, too: the search
        would else be caught where no single shuffle helps.

        References
        ----------
        H. R. Lourenço, O. C. Martin, T. Stützle, Handbook of Metaheuristics (2019) 129,
        https://doi.org/10.1007/978-3-319-91086-4_5
        """
        rng = np.random.default_rng(self._effort.seed)
        current = self.best
        tried, most = 0, self._effort.tries(len(self._instance))
        while tried < most and self._goes_on():
            tried += 1
            shuffled = self._schedule(_shuffled(self._instance, current, rng))
            found = min(shuffled, self._justified(shuffled), key=lambda s: s.makespan)
            limit = self.best.makespan * (1 + SLACK * rng.random() ** 2)
            if found.makespan <= max(current.makespan, limit):
                current = found


def _shuffled(instance: Instance, schedule: Schedule, rng: np.random.Generator) -> Priority:
    """Return the order of a schedule, shuffled more or less within a window of time."""
    start = np.array(schedule.start, dtype=float) - instance.start
    makespan = schedule.makespan - instance.start
    length = makespan * math.exp(rng.uniform(math.log(SHORTEST_WINDOW), 0))
    begin = rng.uniform(-length / 2, makespan - length / 2)
    reach = length * rng.choice([0.3, 1.0])
    inside = (begin <= start) & (start <= begin + length)
    start += np.where(inside, rng.uniform(-reach, reach, len(start)), 0.0)
    return [*zip(start.tolist(), rng.random(len(start)).tolist(), strict=True)]
