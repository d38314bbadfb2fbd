"""Check that no job could still run when maintenance begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from socm.model.placement import PlannedWorkflow
from socm.model.plan import Plan


def into_maintenance(plan: Plan, workflows: Sequence[PlannedWorkflow]) -> Iterator[str]:
    """Yield the workflows whose walltime reaches into maintenance of their nodes."""
    for r in plan.reservations:
        under = plan.cluster.by_partition[r.partition]
        closed = under.numbers if r.node is None else [r.node]
        for w in workflows if r.maintenance else ():
            mine = any(home == under.home and node in closed for home, node in w.nodes)
            if mine and not w.fixed and w.start < r.finish and r.start < w.start + w.walltime:
                yield (
                    f"{w.name}: may run until {w.start + w.walltime} s, and its nodes are under "
                    f"maintenance from {r.start} s to {r.finish} s"
                )
