"""Why a plan misses its deadline, and the smallest changes that meet it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from socm.model.campaign import MOST_HOURS
from socm.model.charge import Charge
from socm.model.plan import Plan
from socm.planner.policies import Planner
from socm.planner.whynot.bottlenecks import Lifted, Proven, proven
from socm.planner.whynot.changes import (
    Change,
    Deadline,
    Dropped,
    MoreHours,
    NamedQos,
    OpenQos,
    applied,
)
from socm.planner.whynot.levers import Lever, both_budgets, budget_levers, limit_levers, more_nodes
from socm.planner.whynot.trials import Less, Trials


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A change after which the campaign was planned, and meets the deadline.

    Parameters
    ----------
    change
        What changes.
    makespan
        Of the plan with it, in seconds.
    less
        What is known of a smaller change of the kind.
    """

    change: Change
    makespan: int
    less: Less


@dataclass(frozen=True, kw_only=True)
class Futile:
    """A change that does not meet the deadline.

    Parameters
    ----------
    change
        What changes.
    makespan
        Of the plan with it, in seconds; `None` if none was made.
    at_least
        Seconds before which no plan with it ends; `None` if that was not used.
    """

    change: Change
    makespan: int | None = None
    at_least: int | None = None


@dataclass(frozen=True, kw_only=True)
class WhyNot:
    """Why a deadline is missed, and what would meet it.

    Parameters
    ----------
    late
        The plan that misses it.
    bottlenecks
        First what is proved, then limits without which a plan ended sooner.
    remedies
        Of each kind the smallest that was found.
    futile
        What was tried and does not help.
    plans
        Number of plans that were made.
    complete
        Whether the search limit was not reached.
    """

    late: Plan
    bottlenecks: tuple[Proven | Lifted, ...]
    remedies: tuple[Remedy, ...]
    futile: tuple[Futile, ...]
    plans: int
    complete: bool


def why_not(plan: Plan, planner: Planner) -> WhyNot:
    """Find why a plan is late, and what would make it be in time.

    Parameters
    ----------
    plan
        A plan that misses its deadline.
    planner
        Plans variants of it, with the same start, reservations and fixed workflows.

    Raises
    ------
    ValueError
        If the plan is in time.

    Examples
    --------
    >>> from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
    >>> from socm.model.cluster import Cluster
    >>> from socm.model.partition import Partition
    >>> from socm.planner import plan_campaign
    >>> hour = ResourceRequest(threads=8, runtime=3600)
    >>> maps = [Workflow(name=band, request=hour) for band in ("f090", "f150", "f220")]
    >>> campaign = Campaign.of("maps", maps, deadline=7200, budget=Budget(nodes=1))
    >>> cpu = Partition(name="cpu", nodes=4, cores=8, memory=1000)
    >>> late = plan_campaign(campaign, Cluster(name="small", partitions=(cpu,)))
    >>> why = why_not(late, plan_campaign)
    >>> why.bottlenecks[0].needed, why.bottlenecks[0].available
    (12.0, 8)
    >>> for remedy in why.remedies:
    ...     print(remedy.change)
    Deadline(seconds=10800)
    RaisedBudget(budget=Budget(cores=None, nodes=2, core_hours=None, node_hours=None))
    Dropped(workflows=('f220',))
    """
    if plan.feasible:
        raise ValueError("the plan is in time")
    search = _Search(plan, Trials(plan, planner))
    remedies = [*search.later(), *search.larger(), *search.other_qos(), *search.dropping()]
    return WhyNot(
        late=plan,
        bottlenecks=(*proven(plan), *search.lifted),
        remedies=tuple(remedies),
        futile=tuple(search.futile),
        plans=search.trials.made,
        complete=search.trials.left > 0,
    )


@dataclass
class _Search:
    """Looks for remedies of each kind, and notes what it finds on the way."""

    late: Plan
    trials: Trials
    lifted: list[Lifted] = field(default_factory=list)
    futile: list[Futile] = field(default_factory=list)

    def later(self) -> Iterator[Remedy]:
        """Yield the deadline that the plan at hand meets."""
        makespan = self.late.makespan
        less = Less.EXCLUDED if makespan <= self.late.lower_bound else Less.UNTRIED
        yield Remedy(change=Deadline(makespan), makespan=makespan, less=less)

    def larger(self) -> Iterator[Remedy]:
        """Raise the budget, or the nodes if no budget can be raised; and other limits."""
        budget = [*budget_levers(self.late)]
        found = [remedy for lever in budget for remedy in self._raised(lever)]
        if len(budget) > 1 and not found:
            found = [*self._raised(both_budgets(self.late))]
        if not budget:
            found = [*self._raised(more_nodes(self.late))]
        yield from found
        for lever in limit_levers(self.late):
            yield from self._raised(lever)
        yield from self._more_hours()

    def _more_hours(self) -> Iterator[Remedy]:
        """Plan without a budget of hours: what that plan is charged would do."""
        budget = self.late.campaign.budget
        plan = None if budget.hours is None else self.trials.plan(MoreHours(MOST_HOURS))
        if plan is None or plan.makespan >= self.late.makespan:
            return
        charge = Charge(plan.charged_core_hours, plan.charged_node_hours).of(budget)
        enough = MoreHours(math.ceil(charge))
        self.lifted.append(Lifted(change=enough, without=plan.makespan))
        makespan = self.trials.makespan(enough) if plan.feasible else None
        if makespan is not None and makespan <= (self.late.campaign.deadline or 0):
            yield Remedy(change=enough, makespan=makespan, less=Less.UNTRIED)

    def _raised(self, lever: Lever) -> Iterator[Remedy]:
        """Yield the smallest raise that meets the deadline; note bottlenecks and futile raises."""
        if lever.most < 1:
            return
        whole = lever.change(lever.most)
        bound = self.trials.excluded(whole)
        if bound is not None:
            self.futile.append(Futile(change=whole, at_least=bound))
            return
        makespan = self.trials.makespan(whole)
        if makespan is None:
            return
        if makespan < self.late.makespan:
            self.lifted.append(Lifted(change=whole, without=makespan))
        found = self.trials.smallest(lever.most, lever.change, makespan)
        if found is None:
            self.futile.append(Futile(change=whole, makespan=makespan))
            return
        yield Remedy(change=lever.change(found.amount), makespan=found.makespan, less=found.less)

    def other_qos(self) -> Iterator[Remedy]:
        """Free workflows from the QOS that they name, and let others use a QOS on request."""
        named = {w.name: self._named(w.name) for w in self.late.workflows if not w.fixed}
        chosen = [name for name, qos in named.items() if qos is not None]
        if chosen:
            yield from self._naming(NamedQos(dict.fromkeys(chosen)), chosen, None)
        others = [name for name, qos in named.items() if qos is None]
        for qos in self.late.cluster.qos_by_size:
            if not qos.on_request:
                continue
            free = OpenQos(qos.name)
            bound = self.trials.excluded(free)
            if bound is not None:
                self.futile.append(Futile(change=free, at_least=bound))
            else:
                yield from self._naming(free, others, qos.name)

    def _named(self, name: str) -> str | None:
        return self.late.campaign.workflows[name].request.qos

    def _naming(self, free: Change, names: Sequence[str], qos: str | None) -> Iterator[Remedy]:
        """Yield the fewest workflows that have to name the QOS that a free choice gives them.

        Parameters
        ----------
        free
            The variant in which they choose freely.
        names
            Workflows that may name another QOS.
        qos
            Which one; `None` is any but the one that they name now.
        """
        plan = self.trials.plan(free)
        if plan is None:
            return
        by_name, deadline = plan.by_name, self.late.campaign.deadline or 0
        if plan.makespan > deadline:
            self.futile.append(Futile(change=free, makespan=plan.makespan))
            return
        # Those that gain most time come first.
        moving = [
            name
            for name in names
            if by_name[name].qos == qos or (not qos and by_name[name].qos != self._named(name))
        ]
        moving.sort(key=lambda name: by_name[name].finish - self.late.by_name[name].finish)

        def change(k: int) -> NamedQos:
            return NamedQos({name: by_name[name].qos for name in moving[:k]})

        found = self.trials.smallest(len(moving), change)
        if found is not None:
            yield Remedy(change=change(found.amount), makespan=found.makespan, less=found.less)

    def dropping(self) -> Iterator[Remedy]:
        """Drop what is least important, with everything that depends on it.

        A workflow is as important as the most important one that depends on it. Of equally
        important ones those that end last go first, and so children before their parents.
        """
        campaign = self.late.campaign
        weight: dict[str, int] = {}
        for name in reversed(campaign.order):
            after = [weight[child] for child in campaign.children[name]]
            weight[name] = max([campaign.workflows[name].priority, *after])
        finish = {w.name: w.finish for w in self.late.workflows if not w.fixed}
        order = sorted(finish, key=lambda name: (weight[name], -finish[name]))
        all_but_one = min(len(order), len(campaign.workflows) - 1)
        first = self.trials.smallest(all_but_one, lambda k: Dropped(order[:k]))
        if first is None:
            return
        # Dropping the least important of these may not have helped.
        names = order[: first.amount]
        fewer = self.trials.smallest(len(names) - 1, lambda k: Dropped(names[len(names) - k :]))
        found = fewer or first
        last = Dropped(names[len(names) - found.amount :])
        rest, _ = applied(last, campaign, self.late.cluster)
        gone = tuple(name for name in campaign.workflows if name not in rest.workflows)
        yield Remedy(change=Dropped(gone), makespan=found.makespan, less=found.less)
