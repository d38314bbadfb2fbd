"""``socm plan --shape``: each workflow a job, or all of them in allocations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socm.cli.sizing import telling
from socm.errors import Infeasible

if TYPE_CHECKING:
    from socm.config import LoadedCampaign
    from socm.model.allocation import AnyPlan
    from socm.planner.policies import Planner
    from socm.report.shapes import Shapes


def plan_shapes(loaded: LoadedCampaign, planner: Planner, shape: str) -> tuple[AnyPlan, Shapes]:
    """Plan a campaign in both shapes; return the plan in the one that was asked for, and both."""
    from dataclasses import replace
    from functools import partial

    from socm.planner.sizing.allocation import plan_allocation

    shapes: dict[str, AnyPlan | Infeasible] = {}
    with telling(planner, loaded.campaign.name) as told:
        in_allocations = partial(plan_allocation, planner=told)
        for name, make in (("jobs", told), ("allocation", in_allocations)):
            try:
                shapes[name] = make(loaded.campaign, loaded.cluster)
            except Infeasible as error:
                shapes[name] = error
    asked = shapes[shape]
    if isinstance(asked, Infeasible):
        raise asked
    return replace(asked, warnings=(*loaded.warnings, *asked.warnings)), shapes
