"""Check that no job could still run when maintenance begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from socm.model.placement import PlannedWorkflow
from socm.model.plan import Plan


def into_maintenance(plan: Plan, workflows: Sequence[PlannedWorkflow]) -> Iterator[str]:
    """Yield the workflows whose walltime reaches into maintenance of their nodes."""
    for r in plan.reservations:
        for w in workflows if r.maintenance else ():
            mine = r.partition == w.partition and any(r.node in (None, n) for _, n in w.nodes)
            if mine and not w.fixed and w.start < r.finish and r.start < w.start + w.walltime:
                yield (
                    f"{w.name}: may run until {w.start + w.walltime} s, and its nodes are under "
                    f"maintenance from {r.start} s to {r.finish} s"
                )
