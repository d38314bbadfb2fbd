"""The campaign as CP-SAT sees it: all rules for a plan, except that a rank stays on one node.

Every plan is a solution of this model, so what CP-SAT proves of the makespan holds for every plan.
A solution may need a rank on two nodes; it is an order to plan by, not a plan.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from socm.model.charge import charge_of
from socm.model.demand import Amounts
from socm.model.mode import Mode
from socm.model.plan import Plan
from socm.planner.bounds import heads_and_tails, left_to_do, time_step
from socm.planner.bounds.resources import Share, distinct_modes, resources
from socm.planner.instance import Modes
from socm.units import HOUR

if TYPE_CHECKING:
    from ortools.sat.python.cp_model import CpModel, IntervalVar, IntVar

_FINEST = 10**8
"""Shares with a larger common denominator are rounded down to parts of this."""


class Found(NamedTuple):
    """The result of CP-SAT.

    Parameters
    ----------
    bound
        No plan ends before, in seconds since the campaign's start.
    makespan
        That of its best schedule, in which a rank may be on two nodes; `None` if it found none.
    """

    bound: int
    makespan: int | None


@dataclass(frozen=True)
class _Job:
    """A workflow's variables: its start, and for each mode whether it is taken, and when."""

    start: IntVar
    taken: Sequence[Any]
    intervals: Sequence[IntervalVar]
    duration: Any


class Relaxation:
    """A constraint model of every plan that is at most as long as a given one.

    Time counts in steps from the start of the plan (`socm.planner.bounds.time_step`).

    Parameters
    ----------
    plan
        The plan to improve on, down to its lower bound. It also says what is fixed and reserved,
        and is the first hint.
    modes
        For each workflow the partitions and QOS that admit it.
    """

    def __init__(self, plan: Plan, modes: Modes) -> None:
        from ortools.sat.python.cp_model import CpModel

        self._plan = plan
        places = {w.name: w for w in plan.workflows if w.fixed}
        self._step = time_step(modes, plan.start, places)
        self._modes, begins = left_to_do(plan.campaign, modes, plan.start, places)
        self.model: CpModel = CpModel()
        horizon = (plan.makespan - plan.start) // self._step
        least = -(-(plan.lower_bound - plan.start) // self._step)
        self._makespan = self.model.new_int_var(min(least, horizon), horizon, "makespan")
        self.model.minimize(self._makespan)
        self._jobs = self._add_jobs(begins, horizon)
        self._add_resources()
        self._add_charge(begins)
        self._add_reservations(horizon)
        self._hint(begins)

    def __len__(self) -> int:
        """Count the intervals."""
        return sum(len(job.intervals) for job in self._jobs.values())

    def _add_jobs(self, begins: Mapping[str, int], horizon: int) -> dict[str, _Job]:
        shortest = {name: min(m.duration for m in modes) for name, modes in self._modes.items()}
        head, tail = heads_and_tails(self._plan.campaign, shortest, begins)
        jobs: dict[str, _Job] = {}
        for name, modes in self._modes.items():
            earliest = head[name] // self._step
            latest = horizon - (tail[name] + shortest[name]) // self._step
            if name in begins:
                latest = earliest
            job = jobs[name] = self._job(name, modes, earliest, latest)
            self.model.add(job.start + job.duration <= self._makespan)
            if name in begins:
                continue
            for parent in self._plan.campaign.workflows[name].depends:
                if parent in jobs:
                    before = jobs[parent]
                    self.model.add(before.start + before.duration <= job.start)
        return jobs

    def _job(self, name: str, modes: Sequence[Mode], earliest: int, latest: int) -> _Job:
        model = self.model
        start = model.new_int_var(earliest, latest, name)
        steps = [m.duration // self._step for m in modes]
        if len(modes) == 1:
            interval = model.new_fixed_size_interval_var(start, steps[0], name)
            return _Job(start, [1], [interval], steps[0])
        taken = [model.new_bool_var(f"{name} by {k}") for k in range(len(modes))]
        model.add_exactly_one(taken)
        intervals = [
            model.new_optional_fixed_size_interval_var(start, size, chosen, f"{name} {k}")
            for k, (size, chosen) in enumerate(zip(steps, taken, strict=True))
        ]
        duration = sum(size * chosen for size, chosen in zip(steps, taken, strict=True))
        return _Job(start, taken, intervals, duration)

    def _add_resources(self) -> None:
        """Limit the use of each resource to what there is (`socm.planner.bounds.resources`)."""
        campaign, cluster = self._plan.campaign, self._plan.cluster
        distinct, of_workflow = distinct_modes(self._modes)
        for shares in resources(campaign, cluster, distinct):
            whole, amounts = _on_one_denominator(shares)
            used = [
                (interval, amounts[number])
                for name, job in self._jobs.items()
                for interval, number in zip(job.intervals, of_workflow[name], strict=True)
                if amounts[number]
            ]
            self.model.add_cumulative([i for i, _ in used], [a for _, a in used], whole)

    def _add_charge(self, begins: Mapping[str, int]) -> None:
        """Limit what is charged to the budget of hours, in whole seconds, rounded down."""
        budget, cluster = self._plan.campaign.budget, self._plan.cluster
        if budget.hours is None:
            return

        def charged(mode: Mode) -> int:
            partition, qos = mode.partition.name, mode.qos.name
            charge = charge_of(cluster, partition, qos, mode.cores, mode.duration)
            return int(charge.of(budget) * HOUR)

        self.model.add(
            sum(
                charged(mode) * taken
                for name, modes in self._modes.items()
                if name not in begins
                for mode, taken in zip(modes, self._jobs[name].taken, strict=True)
            )
            <= math.ceil(budget.hours * HOUR)
        )

    def _add_reservations(self, horizon: int) -> None:
        """Where something is reserved, count cores, memory and GPUs of its partition with it."""
        for partition in self._plan.cluster.partitions:
            mine = [r for r in self._plan.reservations if r.partition == partition.name]
            if not mine:
                continue
            loads: dict[int, list[tuple[int, int, Amounts]]] = defaultdict(list)
            for r in mine:
                for node, load in r.loads(partition):
                    loads[node].append((r.start, r.finish, load))
            for resource, of_node in enumerate(partition.node):
                intervals, amounts = [], []
                for name, job in self._jobs.items():
                    for mode, interval in zip(self._modes[name], job.intervals, strict=True):
                        if mode.partition.name == partition.name:
                            intervals.append(interval)
                            amounts.append(mode.amounts[resource])
                for begin, end, amount in _reserved(loads, resource, of_node):
                    # Whole steps within the window, so that not more than the window is reserved.
                    first = max(0, -(-(begin - self._plan.start) // self._step))
                    last = min(horizon, (end - self._plan.start) // self._step)
                    if first < last:
                        intervals.append(
                            self.model.new_fixed_size_interval_var(first, last - first, "reserved")
                        )
                        amounts.append(amount)
                if intervals:
                    have_all = partition.nodes * of_node
                    unit = -(-have_all // _FINEST) or 1
                    self.model.add_cumulative(
                        intervals, [a // unit for a in amounts], -(-have_all // unit)
                    )

    def _hint(self, begins: Mapping[str, int]) -> None:
        """Let the search begin at the plan."""
        for name, job in self._jobs.items():
            if name in begins:
                continue
            planned = self._plan.by_name[name]
            self.model.add_hint(job.start, (planned.start - self._plan.start) // self._step)
            if len(job.taken) > 1:
                for mode, chosen in zip(self._modes[name], job.taken, strict=True):
                    where = (mode.partition.name, mode.qos.name)
                    self.model.add_hint(chosen, where == (planned.partition, planned.qos or ""))

    def solve(
        self, *, seconds: float, workers: int, seed: int, found: Callable[[list[str]], None]
    ) -> Found:
        """Look for a better schedule, and for the proof that none exists.

        Parameters
        ----------
        seconds, workers, seed
            Time limit, number of threads, and random seed.
        found
            Called for each better schedule with the workflows in the order of their starts; of
            equal ones the largest upward rank comes first.
        """
        from ortools.sat.python import cp_model

        jobs = self._jobs
        rank = {w.name: w.upward_rank for w in self._plan.workflows}

        class Listener(cp_model.CpSolverSolutionCallback):
            def on_solution_callback(self) -> None:
                starts = {name: self.value(job.start) for name, job in jobs.items()}
                found(sorted(starts, key=lambda name: (starts[name], -rank[name])))

        solver = cp_model.CpSolver()
        solver.parameters.max_time_in_seconds = seconds
        solver.parameters.num_workers = workers
        solver.parameters.random_seed = seed
        # CP-SAT would take an interrupt for the end of its time, so it does not hear of one: it
        # works in a thread, and this one listens.
        solver.parameters.catch_sigint_signal = False
        with ThreadPoolExecutor(1) as thread:
            search = thread.submit(solver.solve, self.model, Listener())
            try:
                status = search.result()
            except KeyboardInterrupt:
                while not search.done():
                    solver.stop_search()
                    wait([search], timeout=0.1)
                raise
        if status == cp_model.MODEL_INVALID:  # sums beyond 64 bits: years in seconds
            return Found(self._plan.lower_bound, None)
        if status == cp_model.INFEASIBLE:
            raise AssertionError("a plan that was checked is not in its own relaxation")
        start, step = self._plan.start, self._step
        bound = start + math.ceil(solver.best_objective_bound - 1e-6) * step
        solved = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
        return Found(bound, start + round(solver.objective_value) * step if solved else None)


def _on_one_denominator(shares: Sequence[Share]) -> tuple[int, list[int]]:
    """Return the whole and each share as whole numbers, exact or rounded down."""
    whole = 1
    for share in shares:
        whole = math.lcm(whole, share.of // math.gcd(share.amount, share.of))
        if whole > _FINEST:
            whole = _FINEST
            break
    return whole, [share.amount * whole // share.of for share in shares]


def _reserved(
    loads: Mapping[int, Sequence[tuple[int, int, Amounts]]],
    resource: int,
    of_node: int,
) -> Iterator[tuple[int, int, int]]:
    """Yield begin, end and amount of what is reserved, at most what each node has."""
    for windows in loads.values():
        times = sorted({time for begin, end, _ in windows for time in (begin, end)})
        for begin, end in pairwise(times):
            amount = sum(load[resource] for a, b, load in windows if a <= begin and end <= b)
            if amount:
                yield begin, end, min(amount, of_node)
