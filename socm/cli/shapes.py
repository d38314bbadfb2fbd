"""``socm plan --shape``: each workflow as a job of its own, or all of them in allocations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from socm.cli.sizing import telling
from socm.errors import Infeasible

if TYPE_CHECKING:
    from socm.config import LoadedCampaign
    from socm.model.allocation import AnyPlan
    from socm.planner.policies import Planner
    from socm.report.shapes import Shapes


def plan_shapes(
    loaded: LoadedCampaign, planner: Planner, clear: Planner, shape: str
) -> tuple[AnyPlan, Shapes]:
    """Plan a campaign in both shapes.

    Parameters
    ----------
    planner
        Plans the inside of allocations.
    clear
        Plans jobs, clear of maintenance.

    Returns
    -------
    plan
        That of the requested shape, with the warnings of the campaign.
    shapes
        What both shapes come to.

    Raises
    ------
    Infeasible
        If the requested shape has no plan.
    """
    from dataclasses import replace
    from functools import partial

    from socm.planner.sizing.allocation import plan_allocation

    shapes: dict[str, AnyPlan | Infeasible] = {}
    with telling(planner, loaded.campaign.name) as counted:
        in_allocations = partial(plan_allocation, planner=counted)
        for name, make in (("jobs", clear), ("allocation", in_allocations)):
            try:
                shapes[name] = make(loaded.campaign, loaded.cluster)
            except Infeasible as error:
                shapes[name] = error
    plan = shapes[shape]
    if isinstance(plan, Infeasible):
        raise plan
    warnings = (*loaded.warnings, *plan.warnings)
    if shape == "allocation" and loaded.cluster.maintenance:
        warnings += ("allocations are not planned around maintenance",)
    return replace(plan, warnings=warnings), shapes
