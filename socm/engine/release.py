"""When a workflow whose dependencies have completed may be submitted.

A plan gives the second at which each workflow starts, and no run keeps to the second. A release
rule makes a *gate* for each workflow of a plan, which holds however long the others take.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from socm.model.demand import Amounts
from socm.model.limits import Limited, counted, limits_of
from socm.model.placement import PlannedWorkflow
from socm.model.plan import Plan


@dataclass(frozen=True, slots=True)
class Gate:
    """What must have happened before a workflow whose dependencies have completed is submitted.

    Times are seconds since the campaign's start.

    Parameters
    ----------
    after
        The workflows that must be over, whether they completed or not.
    due
        The time from which on `after` no longer counts.
    not_before
        The earliest time in any case.
    """

    after: frozenset[str] = frozenset()
    due: float = math.inf
    not_before: float = 0.0


Release = Callable[[Plan], Mapping[str, Gate]]


def eager(plan: Plan) -> dict[str, Gate]:
    """Submit at once; the queue of the cluster, in the order of the plan, does the rest."""
    return {w.name: Gate() for w in plan.workflows}


def timed(plan: Plan) -> dict[str, Gate]:
    """Submit at the planned start, and never before."""
    return {w.name: Gate(not_before=w.start) for w in plan.workflows}


def hand_over(plan: Plan) -> dict[str, Gate]:
    """Submit when the workflows are over whose nodes or limits this one takes over."""
    gates = {}
    for w, owners in _takeovers(plan):
        after = frozenset(owner for owner in owners if isinstance(owner, str))
        windows = [owner for owner in owners if isinstance(owner, int)]
        not_before = max(windows, default=plan.start)
        gates[w.name] = Gate(after=after, not_before=not_before)
    return gates


def hand_over_or_due(plan: Plan) -> dict[str, Gate]:
    """Submit at hand-over, or at the planned start if that comes first.

    Where a workflow ends early the next follows at once, as under `hand_over`; where one is late,
    the next does not wait for its nodes if others are free.
    """
    start = {w.name: w.start for w in plan.workflows}
    return {
        name: Gate(after=gate.after, due=start[name], not_before=gate.not_before)
        for name, gate in hand_over(plan).items()
    }


RELEASES: Mapping[str, Release] = {
    "eager": eager,
    "timed": timed,
    "hand-over": hand_over,
    "hand-over-or-due": hand_over_or_due,
}
"""Release rules by name."""

Owner = str | int | None
"""Who had a share: a workflow, a reservation (by its finish), or nobody yet."""


class _Ledger:
    """The last owners of the shares of one resource; what is free longest is passed on first."""

    def __init__(self, amount: int) -> None:
        # (free from, entry number, amount, last owner); the number keeps the order of equals.
        self._shares: list[tuple[int, int, int, Owner]] = [(0, 0, amount, None)] if amount else []
        self._entries = 0

    def pass_on(self, amount: int, owner: Owner, finish: int) -> Iterator[Owner]:
        """Pass an amount on to a new owner until `finish`; yield its last owners."""
        passed_on = amount
        while amount > 0 and self._shares:
            free, entry, share, last = self._shares.pop(0)
            if share > amount:
                insort(self._shares, (free, entry, share - amount, last))
            amount -= share
            yield last
        if passed_on:
            self._entries += 1
            insort(self._shares, (finish, self._entries, passed_on, owner))


def _takeovers(plan: Plan) -> Iterator[tuple[PlannedWorkflow, set[Owner]]]:
    """Yield each workflow, by start, with those whose nodes or limits it takes over."""
    ledgers: dict[Hashable, _Ledger] = {}

    def pass_on(
        uses: Iterable[tuple[Hashable, int, int]], owner: Owner, finish: int
    ) -> Iterator[Owner]:
        for resource, amount, limit in uses:
            if resource not in ledgers:
                ledgers[resource] = _Ledger(limit)
            yield from ledgers[resource].pass_on(amount, owner, finish)

    reservations = sorted(plan.reservations, key=lambda r: r.start)
    groups, limits = _node_groups(plan), limits_of(plan.campaign, plan.cluster)
    for w in plan.workflows:
        while reservations and reservations[0].start <= w.start:
            r = reservations.pop(0)
            partition = plan.cluster.by_partition[r.partition]
            for node, load in r.loads(partition):
                uses = _on_node(partition.home, node, load, partition.node)
                list(pass_on(uses, r.finish, r.finish))
        before = set(pass_on(_uses(plan, w, limits), w.name, w.finish)) | groups.get(w.name, set())
        yield w, before - {w.name, None}


def _on_node(
    partition: str, node: int, load: Amounts, have: Amounts
) -> Iterator[tuple[Hashable, int, int]]:
    for resource, amount, limit in zip(("cores", "memory", "gpus"), load, have, strict=True):
        if amount:
            yield (partition, node, resource), amount, limit


def _uses(
    plan: Plan, w: PlannedWorkflow, limits: Mapping[Limited, int]
) -> Iterator[tuple[Hashable, int, int]]:
    """Yield each resource that a workflow uses, how much of it, and how much there is."""
    partition = plan.cluster.by_partition[w.partition]
    demand = plan.demand(w)
    for p in w.placements:
        load = demand.load(p.ranks, partition.node)
        yield from _on_node(p.partition, p.node, load, partition.node)
    uses = plan.campaign.workflows[w.name].request.uses
    for limited, amount in counted(plan.cluster, w.partition, w.qos, w.cores, uses):
        if limited in limits:
            yield limited, amount, limits[limited]


def _node_groups(plan: Plan) -> dict[str, set[Owner]]:
    """Return for each workflow those that must be over for its node to be within the budget.

    A node counts against a budget of nodes while it is busy without a pause. All workflows that ran
    on it in that time must be over before another node may take its place in the budget. That is
    needed only on several partitions: on one, a plan has no more nodes than the budget.
    """
    if plan.campaign.budget.nodes is None or len(plan.cluster.partitions) == 1:
        return {}
    spells: list[tuple[int, int, list[str]]] = []  # start, finish, who
    latest: dict[tuple[str, int], int] = {}
    for w in plan.workflows:
        if w.fixed and w.finish <= plan.start:
            continue  # it is over, and the budget may have been another one
        for node in w.nodes:
            spell = latest.get(node)
            if spell is not None and spells[spell][1] > w.start:
                start, finish, names = spells[spell]
                spells[spell] = (start, max(finish, w.finish), [*names, w.name])
            else:
                latest[node] = len(spells)
                spells.append((w.start, w.finish, [w.name]))
    before: dict[str, set[Owner]] = {}
    places: list[tuple[int, list[str]]] = [(0, [])] * plan.campaign.budget.nodes
    for start, finish, names in sorted(spells):
        place = min(range(len(places)), key=lambda k: places[k][0])
        assert places[place][0] <= start
        for name in names:
            before.setdefault(name, set()).update(places[place][1])
        places[place] = (finish, names)
    return before
