"""Why a plan misses its deadline, and the smallest changes that would do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from socm.model.campaign import Campaign
from socm.model.plan import Plan
from socm.planner.policies import Planner
from socm.planner.whynot.bottlenecks import Binding, proven
from socm.planner.whynot.candidates import (
    Case,
    Lever,
    both_budgets,
    budget_levers,
    limit_levers,
    more_nodes,
    with_qos,
)
from socm.planner.whynot.trials import UNTRIED, Trials
from socm.planner.whynot.words import names_in_words
from socm.units import HOUR, duration_text, format_core_hours, format_duration


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """A change that makes the deadline: the campaign with it was planned, and is in time.

    Parameters
    ----------
    kind
        ``"deadline"``, ``"nodes"``, ``"cores"``, ``"qos"`` or ``"drop"``.
    text
        What to change, in words.
    change
        The same as data: ``deadline_s``; ``budget`` with ``nodes`` or ``cores``; ``partition``
        with its ``nodes``; ``limit`` of a QOS; ``qos`` of each of some workflows; or names to
        ``drop``.
    makespan
        Of the plan that was made with it.
    checked
        What is known of smaller changes of the kind.
    """

    kind: str
    text: str
    change: Mapping[str, Any]
    makespan: int
    checked: str


@dataclass(frozen=True, kw_only=True)
class WhyNot:
    """Why a deadline is missed, and what would do.

    Parameters
    ----------
    binding
        What binds: first what is proved, then what was seen from a plan without it.
    remedies
        Of each kind the smallest that was found.
    futile
        What was looked at and does not do, one sentence each.
    plans
        How many plans were made for it.
    complete
        Whether all was looked at that could be.
    """

    binding: tuple[Binding, ...]
    remedies: tuple[Remedy, ...]
    futile: tuple[str, ...]
    plans: int
    complete: bool


def why_not(plan: Plan, planner: Planner) -> WhyNot:
    """Say why a plan is late, and what would make it be in time.

    Parameters
    ----------
    plan
        One that misses its deadline.
    planner
        Plans variants of it, with the same start and reservations and what has begun.

    Raises
    ------
    ValueError
        If the plan is in time.

    Examples
    --------
    >>> from socm.model.campaign import Budget, ResourceRequest, Workflow
    >>> from socm.model.cluster import Cluster, Partition
    >>> from socm.planner import plan_campaign
    >>> hour = ResourceRequest(threads=8, runtime=3600)
    >>> maps = [Workflow(name=band, request=hour) for band in ("f090", "f150", "f220")]
    >>> campaign = Campaign.of("maps", maps, deadline=7200, budget=Budget(nodes=1))
    >>> cpu = Partition(name="cpu", nodes=4, cores=8, memory=1000)
    >>> late = plan_campaign(campaign, Cluster(name="small", partitions=(cpu,)))
    >>> why = why_not(late, plan_campaign)
    >>> why.binding[0].text
    '12 cores would have to be in use at all times until the deadline; the budget of 1 node has 8'
    >>> for remedy in why.remedies:
    ...     print(remedy.text)
    deadline 3h instead of 2h
    nodes 2 instead of 1
    without f220 (8.0 core-hours)
    """
    if plan.feasible:
        raise ValueError("the plan is in time")
    search = _Search(plan, Trials(plan, planner))
    remedies = [*search.later(), *search.larger(), *search.other_qos(), *search.dropping()]
    return WhyNot(
        binding=(*proven(plan), *search.binding),
        remedies=tuple(remedies),
        futile=tuple(search.futile),
        plans=search.trials.made,
        complete=search.trials.left > 0,
    )


@dataclass
class _Search:
    """Looks for remedies of each kind, and notes what it learns on the way."""

    late: Plan
    trials: Trials
    binding: list[Binding] = field(default_factory=list)
    futile: list[str] = field(default_factory=list)

    def later(self) -> Iterator[Remedy]:
        """Give it the time that it takes: the plan at hand is the proof."""
        deadline = self.late.makespan
        least = self.late.lower_bound
        yield Remedy(
            kind="deadline",
            text=f"deadline {duration_text(deadline)} instead of "
            f"{duration_text(self.late.campaign.deadline or 0)}",
            change={"deadline_s": deadline},
            makespan=deadline,
            checked="no plan can do with less"
            if deadline <= least
            else f"no plan can do with less than {format_duration(least)}",
        )

    def larger(self) -> Iterator[Remedy]:
        """Let it have more nodes or cores, and let QOS limit it less."""
        budget = [*budget_levers(self.late)]
        found = [remedy for lever in budget for remedy in self._pulled(lever)]
        if len(budget) > 1 and not found:
            found = [*self._pulled(both_budgets(self.late))]
        if not budget:
            found = [*self._pulled(more_nodes(self.late))]
        yield from found
        for lever in limit_levers(self.late):
            yield from self._pulled(lever)

    def _pulled(self, lever: Lever) -> Iterator[Remedy]:
        """Yield the smallest raise that does; note whether it binds, or does not help."""
        if lever.most < 1:
            return
        bound = self.trials.excluded(lever.case(lever.most))
        if bound is not None:
            self.futile.append(f"{lever.whole}: no plan ends before {format_duration(bound)}")
            return
        makespan = self.trials.makespan(lever.case(lever.most))
        if makespan is None:
            return
        done = f"done after {format_duration(makespan)}"
        if makespan < self.late.makespan:
            text = f"{lever.binds}; with {lever.whole} it would be {done}"
            self.binding.append(Binding(kind=lever.limit, text=text, without=makespan))
        found = self.trials.smallest(lever.most, lever.case, makespan)
        if found is None:
            self.futile.append(f"{lever.whole}: {done}, which is late")
            return
        yield Remedy(
            kind=lever.kind,
            text=lever.text(found.amount),
            change=lever.change(found.amount),
            makespan=found.makespan,
            checked=found.checked,
        )

    def other_qos(self) -> Iterator[Remedy]:
        """Let those choose freely that name a QOS, and others use those that must be named."""
        named = {w.name: self._named(w.name) for w in self.late.workflows if not w.fixed}
        chosen = [name for name, qos in named.items() if qos is not None]
        if chosen:
            unnamed = naming(self.late.campaign, dict.fromkeys(chosen))
            yield from self._naming(
                (unnamed, self.late.cluster),
                chosen,
                None,
                "any QOS instead of those that are named",
            )
        hopeless: dict[int, list[str]] = {}
        for qos in self.late.cluster.qos_by_size:
            if not qos.debug:
                continue
            case = self.late.campaign, with_qos(self.late.cluster, replace(qos, debug=False))
            bound = self.trials.excluded(case)
            if bound is not None:
                hopeless.setdefault(bound, []).append(qos.name)
                continue
            others = [name for name, its_own in named.items() if its_own is None]
            yield from self._naming(case, others, qos.name, f"QOS {qos.name} for all")
        for bound, qos_names in hopeless.items():
            self.futile.append(
                f"QOS {names_in_words(qos_names)}: no plan ends before {format_duration(bound)}"
            )

    def _named(self, name: str) -> str | None:
        return self.late.campaign.workflows[name].request.qos

    def _naming(
        self,
        free: Case,
        names: Sequence[str],
        qos: str | None,
        what: str,
    ) -> Iterator[Remedy]:
        """Yield the fewest workflows that do if they name the QOS that a free choice gives them.

        Parameters
        ----------
        free
            The variant in which they choose freely.
        names
            Who may be told to name another QOS.
        qos
            Which one; `None` is any but the one that they name now.
        what
            The free choice in words.
        """
        plan = self.trials.plan(free)
        if plan is None:
            return
        by_name, deadline = plan.by_name, self.late.campaign.deadline or 0
        if plan.makespan > deadline:
            done = format_duration(plan.makespan)
            self.futile.append(f"{what}: done after {done}, which is late")
            return
        # Those first that gain most time by it.
        moving = [
            name
            for name in names
            if by_name[name].qos == qos or (not qos and by_name[name].qos != self._named(name))
        ]
        moving.sort(key=lambda name: by_name[name].finish - self.late.by_name[name].finish)

        def case(k: int) -> Case:
            named_qos = {name: by_name[name].qos for name in moving[:k]}
            return naming(self.late.campaign, named_qos), self.late.cluster

        found = self.trials.smallest(len(moving), case)
        if found is None:
            return
        named_qos = {name: by_name[name].qos for name in moving[: found.amount]}
        by_qos = {qos: [n for n in named_qos if named_qos[n] == qos] for qos in named_qos.values()}
        yield Remedy(
            kind="qos",
            text=" and ".join(f"QOS {q} for {names_in_words(n)}" for q, n in by_qos.items()),
            change={"qos": named_qos},
            makespan=found.makespan,
            checked=found.checked,
        )

    def dropping(self) -> Iterator[Remedy]:
        """Leave out what is least important, with all that depends on it.

        A workflow is as important as the most important one that depends on it. Of equally
        important ones those that end last go first, and so what depends on others before them.
        """
        campaign, cluster = self.late.campaign, self.late.cluster
        weight: dict[str, int] = {}
        for name in reversed(campaign.order):
            after = [weight[child] for child in campaign.children[name]]
            weight[name] = max([campaign.workflows[name].priority, *after])
        finish = {w.name: w.finish for w in self.late.workflows if not w.fixed}
        order = sorted(finish, key=lambda name: (weight[name], -finish[name]))

        def without(names: Sequence[str]) -> Case:
            return dropped(campaign, names), cluster

        all_but_one = min(len(order), len(campaign.workflows) - 1)
        first = self.trials.smallest(all_but_one, lambda k: without(order[:k]))
        if first is None:
            return
        # Of these the least important may have been dropped in vain.
        names = order[: first.amount]
        fewer = self.trials.smallest(len(names) - 1, lambda k: without(names[len(names) - k :]))
        found = fewer or first
        rest = without(names[len(names) - found.amount :])[0].workflows
        gone = [name for name in campaign.workflows if name not in rest]
        hours = sum(w.cores * w.duration for w in self.late.workflows if w.name not in rest) / HOUR
        yield Remedy(
            kind="drop",
            text=f"without {names_in_words(gone)} ({format_core_hours(hours)} core-hours)",
            change={"drop": gone},
            makespan=found.makespan,
            checked="by priority, the lowest first, with all that depends on it"
            + (f"; {found.checked}" if found.checked == UNTRIED else ""),
        )


def naming(campaign: Campaign, named_qos: Mapping[str, str | None]) -> Campaign:
    """Return a campaign in which some workflows name a QOS, or none."""
    workflows = dict(campaign.workflows)
    for name, qos in named_qos.items():
        workflow = workflows[name]
        workflows[name] = replace(workflow, request=replace(workflow.request, qos=qos))
    return replace(campaign, workflows=workflows)


def dropped(campaign: Campaign, names: Sequence[str]) -> Campaign:
    """Return a campaign without some workflows, and without all that depend on them."""
    gone, ahead = set(names), [*names]
    while ahead:
        children = [c for c in campaign.children[ahead.pop()] if c not in gone]
        gone.update(children)
        ahead += children
    rest = {name: w for name, w in campaign.workflows.items() if name not in gone}
    return replace(campaign, workflows=rest)
