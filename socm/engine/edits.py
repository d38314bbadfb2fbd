"""An edit of a campaign that is being carried out: what of it is possible, and how it takes effect.

What has no job and has not completed can be edited. A job that waits is withdrawn first. A workflow
whose job has begun, or which has completed, stays as it is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace

from socm.engine.backend import Backend
from socm.engine.events import Event
from socm.engine.journal import Journal
from socm.engine.reporter import Reporter
from socm.engine.requests import Poll
from socm.engine.state import CampaignState
from socm.engine.withdrawals import withdraw
from socm.model.campaign import Campaign
from socm.model.placement import PlannedWorkflow
from socm.model.plan import Plan


@dataclass(frozen=True)
class Edit:
    """An edit of the campaign of a plan.

    Parameters
    ----------
    plan
        By which the campaign is carried out.
    campaign
        The campaign as it is to be.
    changed
        Workflows of the plan that differ in it, or that it does not have.
    """

    plan: Plan
    campaign: Campaign
    changed: frozenset[str]

    def too_late(self, state: CampaignState) -> frozenset[str]:
        """Return the changed workflows that stay as they are: begun, or completed."""
        status = {name: state.workflows[name].status for name in self.changed}
        return frozenset(
            n for n, s in status.items() if not (s.can_be_edited or s.can_be_withdrawn)
        )

    def waiting(self, state: CampaignState) -> list[str]:
        """Return the changed workflows whose jobs have to be withdrawn, in order."""
        return sorted(n for n in self.changed if state.workflows[n].status.can_be_withdrawn)

    def without(self, names: Collection[str]) -> Edit:
        """Return the edit with some workflows as they were."""
        before = self.plan.campaign.workflows
        workflows = {**self.campaign.workflows, **{name: before[name] for name in sorted(names)}}
        campaign = replace(self.campaign, workflows=workflows)
        return Edit(self.plan, campaign, self.changed.difference(names))


@dataclass(frozen=True, kw_only=True)
class NewPlan:
    """What has become of an edit.

    Parameters
    ----------
    edit
        What of it is possible.
    plan
        By which the run is to go on; `None` if nothing was changed.
    time
        From when on, in seconds since the campaign's start.
    begun
        The changed workflows whose jobs began, and which stay as they are.
    """

    edit: Edit
    plan: Plan | None
    time: int
    begun: frozenset[str] = frozenset()


MakePlan = Callable[[Campaign, int, list[PlannedWorkflow]], Plan]
"""Plans a campaign from a time on, around what is fixed."""


def prepare(
    edit: Edit,
    backend: Backend,
    journal: Journal,
    make_plan: MakePlan,
    *,
    events: Iterable[Event],
    job_prefix: str,
    requests: Poll | None = None,
    reporter: Reporter | None = None,
) -> NewPlan:
    """Withdraw the jobs that wait of what was edited, and plan the rest of the campaign anew.

    The run goes on by its old plan until the new one is in its journal, wherever this ends: what
    was withdrawn is pending in either.

    Parameters
    ----------
    edit
        Nothing in it is too late by `events`.
    make_plan
        Raises whatever makes the edit impossible; it is called before anything is withdrawn.
    events, job_prefix, requests, reporter
        As for `socm.engine.driver.run_plan`.
    """
    state = CampaignState.of(edit.plan, events)

    def planned(edit: Edit, begun: Collection[str] = (), gone: Collection[str] = ()) -> NewPlan:
        now = math.ceil(backend.now())
        plan = make_plan(edit.campaign, now, state.kept(edit.plan, now, gone))
        return NewPlan(plan=plan, edit=edit, time=now, begun=frozenset(begun))

    waiting = edit.waiting(state)
    new = planned(edit, gone=waiting)
    if not waiting:
        return new
    if not withdraw(
        edit.plan,
        waiting,
        state,
        backend,
        journal,
        job_prefix=job_prefix,
        requests=requests,
        reporter=reporter,
    ):
        return replace(new, plan=None)
    begun = edit.too_late(state)
    if begun.issuperset(waiting):
        return replace(new, plan=None, begun=begun)
    return planned(edit.without(begun), begun)
