"""After a late plan: bottlenecks, remedies, and the next command."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from socm.cli.common import waiting

if TYPE_CHECKING:
    from rich.console import Console

    from socm.model.campaign import Campaign
    from socm.model.cluster import Cluster
    from socm.model.plan import Plan
    from socm.planner.whynot import WhyNot


def explain(plan: Plan) -> WhyNot | None:
    """Find why a plan is late and what would fix it; `None` if it is in time."""
    from socm.planner import plan_campaign
    from socm.planner.effort import LITTLE, NONE
    from socm.planner.whynot import why_not

    if plan.feasible:
        return None
    again = partial(
        plan_campaign,
        start=plan.start,
        reservations=plan.reservations,
        fixed=tuple(w for w in plan.workflows if w.fixed),
    )

    def planner(campaign: Campaign, cluster: Cluster) -> Plan:
        """Plan in one pass, and search for a better plan only if that is late."""
        first = again(campaign, cluster, effort=NONE)
        return first if first.feasible else again(campaign, cluster, effort=LITTLE)

    with waiting("late; searching for remedies"):
        return why_not(plan, planner)


def document_of(why: WhyNot | None) -> dict[str, Any] | None:
    """Return it as JSON data; `None` for a plan in time."""
    from socm.report.whynot import why_not_document

    return why_not_document(why) if why is not None else None


def tell(out: Console, why: WhyNot | None, file: Path) -> None:
    """Print it, and the command that tries a remedy at once."""
    from socm.report.whynot import next_command, why_not_table

    if why is None:
        return
    out.print()
    out.print(why_not_table(why))
    command = next_command(why, ["socm", *sys.argv[1:]])
    # A plan file has its deadline and budget in it; only a campaign can be planned with others.
    if command is not None and file.suffix != ".json":
        out.print(f"next: {command}", style="dim", soft_wrap=True)
