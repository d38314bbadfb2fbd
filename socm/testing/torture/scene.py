"""The scene of a story: a small campaign on a small cluster, planned."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace

from socm.engine.edits import Edit
from socm.errors import ConfigError, Infeasible
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import plan_campaign
from socm.planner.effort import NONE
from socm.testing.torture.choices import Choices

MOST_WORKFLOWS = 8


def draw_plan(choices: Choices) -> Plan:
    """Return the plan of a random campaign on a random cluster.

    Runtimes are a minute at most: stories are told second by second where a user is present.
    """
    while True:
        cluster = _cluster(choices)
        budget = _budget(choices)
        limits = _limits(choices)
        names = [f"w{k}" for k in range(1 + choices.number(MOST_WORKFLOWS - 1))]
        workflows = [_workflow(choices, name, names[:k], limits) for k, name in enumerate(names)]
        campaign = Campaign.of(
            "torture", workflows, budget=budget, limits=limits, retries=choices.number(3)
        )
        hours = choices.pick([None, None, None, 0.1, 0.5])
        campaign = replace(campaign, budget=replace(budget, core_hours=hours))
        try:
            return plan_campaign(campaign, cluster, effort=NONE)
        except Infeasible:
            continue  # something in it fits nowhere


def draw_edit(choices: Choices, plan: Plan, names: list[str]) -> Edit:
    """Return an edit of a campaign.

    Parameters
    ----------
    names
        The workflows that can be edited: taken out, changed, or made to wait for others.
    """
    workflows, limits = dict(plan.campaign.workflows), plan.campaign.limits
    for name in names:
        others = [w for w in workflows if w < name]
        needed = any(name in w.depends for w in workflows.values())
        match choices.pick(["stays", "changes", "goes"]):
            case "changes":
                workflows[name] = _workflow(choices, name, others, limits)
            case "goes" if not needed and len(workflows) > 1:
                del workflows[name]
    if choices.chance(0.3):
        name = f"w{choices.number(2 * MOST_WORKFLOWS)}"  # new, or one that was taken out
        if name not in workflows:
            workflows[name] = _workflow(choices, name, [w for w in workflows if w < name], limits)
    budget = plan.campaign.budget
    if not choices.chance(0.7):
        budget = replace(_budget(choices), core_hours=budget.core_hours)
    campaign = replace(plan.campaign, workflows=workflows, budget=budget)
    if choices.chance(0.3):
        with contextlib.suppress(ConfigError):  # there are workflows that use more
            campaign = replace(campaign, limits=_limits(choices))
    before = plan.campaign.workflows
    changed = {n for n in before if workflows.get(n) != before[n]}
    return Edit(plan, campaign, frozenset(changed))


def _cluster(choices: Choices) -> Cluster:
    partitions = tuple(
        Partition(name=name, nodes=1 + choices.number(3), cores=8, memory=1000)
        for name in ("p", "q")[: 1 + choices.number(1)]
    )
    qos = (
        Qos(
            name="short",
            running_jobs=choices.pick([None, 1, 3]),
            cores=choices.pick([None, 12]),
            walltime=choices.pick([None, 120]),
        ),
        Qos(name="long"),
    )
    return Cluster(name="torture", partitions=partitions, qos=qos[choices.number(1) :])


def _budget(choices: Choices) -> Budget:
    return Budget(
        cores=choices.pick([None, 8, 12]),
        nodes=choices.pick([None, 1, 2]),
    )


def _limits(choices: Choices) -> dict[str, int]:
    return choices.pick([{}, {"io": 1}, {"io": 3}])


def _workflow(
    choices: Choices, name: str, others: list[str], limits: Mapping[str, int]
) -> Workflow:
    depends = {choices.pick(others) for _ in range(choices.number(2))} if others else set()
    request = ResourceRequest(
        ranks=1 + choices.number(7),
        threads=choices.pick([1, 2, 4]),
        memory=choices.pick([0, 100, 400, 900]),
        runtime=1 + choices.number(59),
        uses={name: 1 + choices.number(most - 1) for name, most in limits.items()}
        if choices.chance(0.7)
        else {},
    )
    outputs = ("map",) if choices.number(7) == 7 else ()
    return Workflow(
        name=name,
        depends=tuple(sorted(depends)),
        request=request,
        outputs=outputs,
        skip_if_outputs_exist=bool(outputs),
    )
