"""Why a deadline is missed is so, and what is said to help does: each is tried by hand."""

from __future__ import annotations

import io
import json
import math
import random
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from rich.console import Console
from strategies import SHORT, budgets, clusters, pairs, reservations, share
from test_cli import socm

from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.mode import Mode
from socm.model.partition import Partition
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import plan_campaign
from socm.planner.bounds import lower_bound
from socm.planner.whynot import WhyNot, why_not
from socm.planner.whynot.fitting import fitting
from socm.planner.whynot.trials import MOST_PLANS
from socm.report.whynot import next_command, why_not_document, why_not_table
from socm.units import parse_duration

ROOT = Path(__file__).parent.parent


@st.composite
def late_plans(draw: st.DrawFn, *, begun: bool = True) -> Plan:
    """A plan that misses its deadline; workflows of it may have begun, and some have priorities."""
    campaign, cluster = draw(pairs(SHORT, most=10))
    alone = draw(st.booleans())  # else it is mostly a chain that binds
    workflows = {
        name: replace(w, priority=draw(st.integers(-1, 2)), depends=() if alone else w.depends)
        for name, w in campaign.workflows.items()
    }
    campaign = replace(campaign, workflows=workflows)
    plan = plan_campaign(campaign, cluster)
    assume(plan.makespan > 1)
    if begun and draw(st.booleans()):
        now = draw(st.integers(0, plan.makespan - 1))
        plan = plan_campaign(
            campaign, cluster, start=now, fixed=[w for w in plan.workflows if w.start < now]
        )
    deadline = draw(st.integers(max(1, plan.makespan // 2), plan.makespan - 1))
    return replace(plan, campaign=replace(campaign, deadline=deadline))


def planner_of(plan: Plan) -> Any:
    return partial(
        plan_campaign,
        start=plan.start,
        reservations=plan.reservations,
        fixed=[w for w in plan.workflows if w.fixed],
    )


def explained(plan: Plan) -> WhyNot:
    return why_not(plan, planner_of(plan))


def document(plan: Plan) -> dict[str, Any]:
    return why_not_document(explained(plan))


def applied(change: Mapping[str, Any], campaign: Campaign, cluster: Cluster) -> Any:
    """Make a change by hand."""
    [(what, value)] = change.items()
    if what == "deadline_s":
        campaign = replace(campaign, deadline=value)
    elif what == "budget":
        campaign = replace(campaign, budget=replace(campaign.budget, **value))
    elif what == "partition":
        cluster = replace(
            cluster,
            partitions=tuple(
                replace(p, nodes=value["nodes"]) if p.name == value["name"] else p
                for p in cluster.partitions
            ),
        )
    elif what == "limit":
        name, raised = value["qos"], {k: v for k, v in value.items() if k != "qos"}
        qos = tuple(replace(q, **raised) if q.name == name else q for q in cluster.qos)
        cluster = replace(cluster, qos=qos)
    elif what == "limits":
        campaign = replace(campaign, limits={**campaign.limits, **value})
    else:
        workflows = dict(campaign.workflows)
        for name in value:
            if what == "drop":
                del workflows[name]
            else:
                request = replace(workflows[name].request, qos=value[name])
                workflows[name] = replace(workflows[name], request=request)
        campaign = replace(campaign, workflows=workflows)
    return campaign, cluster


@given(late_plans())
def test_each_remedy_makes_the_deadline(plan: Plan) -> None:
    for remedy in document(plan)["remedies"]:
        changed = planner_of(plan)(*applied(remedy["change"], plan.campaign, plan.cluster))
        assert changed.feasible, remedy
        assert changed.makespan == remedy["makespan_s"]


@given(late_plans())
def test_a_remedy_is_the_smallest_as_far_as_it_says(plan: Plan) -> None:
    for remedy in document(plan)["remedies"]:
        less = one_step_less(remedy["change"], plan)
        if remedy["checked"] == "one step less was planned and is late":
            assert less is not None
            assert not planner_of(plan)(*less).feasible
        elif remedy["checked"] == "no plan with less meets the deadline":
            assert less is not None
            assert bound_of(plan, *less) > (plan.campaign.deadline or 0)
        elif remedy["checked"] == "the smallest step":
            assert less is None
        else:
            assert (
                remedy["kind"] in ("deadline", "drop") or remedy["checked"] == "less was not tried"
            )


def one_step_less(change: Mapping[str, Any], plan: Plan) -> tuple[Campaign, Cluster] | None:
    """The same change by one step less; `None` if that is not a change."""
    [(what, value)] = change.items()
    node = max(p.cores for p in plan.cluster.partitions)
    if what == "budget":
        now = plan.campaign.budget
        lower = {}
        for key, amount in value.items():
            step = 1 if key == "nodes" else node
            # The last step may be a smaller one, up to all there is.
            steps = math.ceil((amount - getattr(now, key)) / step)
            lower[key] = getattr(now, key) + (steps - 1) * step
        change = {"budget": lower}
        none = all(getattr(now, key) == amount for key, amount in lower.items())
    elif what == "partition":
        lower = {**value, "nodes": value["nodes"] - 1}
        none = lower["nodes"] == plan.cluster.by_partition[value["name"]].nodes
        change = {"partition": lower}
    elif what == "limit":
        [(key, amount)] = [(k, v) for k, v in value.items() if k != "qos"]
        lower = {"qos": value["qos"], key: amount - (node if key == "cores" else 1)}
        none = lower[key] == getattr(plan.cluster.by_qos[value["qos"]], key)
        change = {"limit": lower}
    elif what == "limits":
        lower = {name: amount - 1 for name, amount in value.items()}
        none = lower.items() <= plan.campaign.limits.items()
        change = {"limits": lower}
    elif what == "qos":
        change = {"qos": dict([*value.items()][:-1])}
        none = len(value) == 1
    else:
        return None
    return None if none else applied(change, plan.campaign, plan.cluster)


def bound_of(plan: Plan, campaign: Campaign, cluster: Cluster) -> int:
    return lower_bound(
        campaign,
        cluster,
        {n: cluster.admit(w.request, campaign.budget)[0] for n, w in campaign.workflows.items()},
        start=plan.start,
        fixed=[w for w in plan.workflows if w.fixed],
    )


@given(late_plans())
def test_what_is_said_to_bind_does(plan: Plan) -> None:
    deadline = plan.campaign.deadline or 0
    binding = document(plan)["binding"]
    for b in binding:
        if b["without_s"] is not None:
            assert b["without_s"] < plan.makespan
            assert b["at_least_s"] is None
        else:
            assert deadline < b["at_least_s"] <= plan.makespan
            if b["kind"] in ("critical-path", "cores", "memory", "gpus"):
                assert b["at_least_s"] == by_hand(b["kind"], plan)
    proved = [b for b in binding if b["at_least_s"] is not None]
    assert bool(proved) == (plan.lower_bound > deadline)


def test_what_nobody_asks_for_binds_nothing() -> None:
    """Nor does it where the deadline has passed when the rest is planned."""
    minute = ResourceRequest(runtime=60)
    chain = [Workflow(name="a", request=minute), Workflow(name="b", request=minute, depends=("a",))]
    campaign = Campaign.of("c", chain, deadline=60)
    node = Partition(name="p", nodes=1, cores=1, memory=100)
    cluster = Cluster(name="c", partitions=(node,))
    begun = [w for w in plan_campaign(campaign, cluster).workflows if w.name == "a"]
    plan = plan_campaign(campaign, cluster, start=90, fixed=begun)
    assert {b["kind"] for b in document(plan)["binding"]} == {"critical-path", "cores"}


def by_hand(kind: str, plan: Plan) -> int:
    """How long the longest chain takes, or all work on all that there is."""
    campaign, cluster = plan.campaign, plan.cluster
    options = {
        w.name: cluster.admit(campaign.workflows[w.name].request, campaign.budget)[0]
        for w in plan.workflows
        if not w.fixed
    }
    if kind == "critical-path":
        graph = nx.DiGraph()
        for name, ways in options.items():
            graph.add_edge(name, f"{name} is over", length=min(o.duration for o in ways))
            for parent in campaign.workflows[name].depends:
                if parent in options:
                    graph.add_edge(f"{parent} is over", name, length=0)
        return plan.start + nx.dag_longest_path_length(graph, weight="length")
    nodes = sorted(
        (getattr(p, kind) for p in cluster.partitions for _ in range(p.nodes)), reverse=True
    )
    have = sum(nodes[: campaign.budget.nodes])
    if kind == "cores":
        have = min(have, campaign.budget.cores or have)
    work = sum(
        min(amount(kind, campaign.workflows[name].request, o) * o.duration for o in ways)
        for name, ways in options.items()
    )
    return plan.start + math.ceil(work / have)


def amount(kind: str, request: ResourceRequest, option: Mode) -> int:
    if kind == "cores":
        return option.cores
    if kind == "gpus":
        return request.ranks * request.gpus
    whole = option.partition.memory * option.fewest_nodes if option.exclusive else 0
    return max(whole, request.memory)


@share(0.5)
@given(late_plans())
def test_whatever_is_dropped_takes_what_depends_on_it_along(plan: Plan) -> None:
    for remedy in document(plan)["remedies"]:
        if remedy["kind"] == "drop":
            gone = set(remedy["change"]["drop"])
            left = plan.campaign.workflows.keys() - gone
            assert left
            assert not any(set(plan.campaign.workflows[name].depends) & gone for name in left)
            assert not any(plan.by_name[name].fixed for name in gone)


@share(0.5)
@given(late_plans())
def test_there_is_always_a_deadline_that_does(plan: Plan) -> None:
    [remedy] = [r for r in document(plan)["remedies"] if r["kind"] == "deadline"]
    assert remedy["change"] == {"deadline_s": plan.makespan}


@share(0.3)
@given(late_plans(begun=False), st.data())
def test_reservations_are_kept_in_all_that_is_tried(plan: Plan, data: st.DataObject) -> None:
    windows = data.draw(reservations(plan.cluster, latest=20))
    with_windows = plan_campaign(plan.campaign, plan.cluster, reservations=windows)
    assume(not with_windows.feasible)
    planner = planner_of(with_windows)
    for remedy in document(with_windows)["remedies"]:
        changed = planner(*applied(remedy["change"], plan.campaign, plan.cluster))
        assert changed.feasible
        assert changed.reservations == windows


def test_a_plan_in_time_has_no_why() -> None:
    plan = plan_campaign(campaign_of(job("a")), NODES_2)
    with pytest.raises(ValueError, match="in time"):
        explained(plan)


# Cases to read

NODE = Partition(name="cpu", nodes=1, cores=8, memory=800)
NODES_2 = Cluster(name="two", partitions=(replace(NODE, nodes=2),))
HOUR = 3600


def job(name: str, *depends: str, hours: float = 1, priority: int = 0, **request: Any) -> Workflow:
    return Workflow(
        name=name,
        request=ResourceRequest(**{"threads": 8, "runtime": round(HOUR * hours), **request}),
        depends=depends,
        priority=priority,
    )


def campaign_of(*workflows: Workflow, hours: float | None = None, **budget: int) -> Campaign:
    deadline = None if hours is None else round(hours * HOUR)
    return Campaign.of("case", workflows, deadline=deadline, budget=Budget(**budget))


def why(campaign: Campaign, cluster: Cluster) -> dict[str, Any]:
    return document(plan_campaign(campaign, cluster))


def changes(told: dict[str, Any], kind: str) -> list[Mapping[str, Any]]:
    return [r["change"] for r in told["remedies"] if r["kind"] == kind]


def kinds(told: dict[str, Any], what: str) -> list[str]:
    return [each["kind"] for each in told[what]]


def test_a_chain_is_not_helped_by_nodes() -> None:
    chain = [job("a"), job("b", "a"), job("c", "b")]
    told = why(campaign_of(*chain, hours=2, nodes=1), NODES_2)
    assert kinds(told, "binding") == ["critical-path", "cores"]
    assert told["binding"][0]["text"] == "a → b → c take 3 h, one after the other"
    assert told["futile"] == ["all 2 nodes of two: no plan ends before 3 h"]
    assert changes(told, "deadline") == [{"deadline_s": 3 * HOUR}]
    assert changes(told, "drop") == [{"drop": ["c"]}]


def test_a_budget_of_nodes_is_raised_by_as_few_as_will_do() -> None:
    cluster = Cluster(name="ten", partitions=(replace(NODE, nodes=10),))
    told = why(campaign_of(*(job(f"w{k}") for k in range(12)), hours=4, nodes=2), cluster)
    assert changes(told, "nodes") == [{"budget": {"nodes": 3}}]
    assert "the budget of 2 nodes has 16" in told["binding"][0]["text"]


def test_a_budget_of_cores_is_raised_by_those_of_whole_nodes() -> None:
    cluster = Cluster(name="ten", partitions=(replace(NODE, nodes=10),))
    small = (job(f"w{k}", threads=4) for k in range(12))
    told = why(campaign_of(*small, hours=2, cores=10), cluster)
    assert changes(told, "cores") == [{"budget": {"cores": 26}}]
    assert kinds(told, "binding") == ["cores", "budget"]


def test_two_budgets_are_raised_together_where_neither_alone_does() -> None:
    cluster = Cluster(name="ten", partitions=(replace(NODE, nodes=10),))
    told = why(campaign_of(*(job(f"w{k}") for k in range(4)), hours=2, nodes=1, cores=8), cluster)
    assert changes(told, "nodes") == [{"budget": {"nodes": 2, "cores": 16}}]


def test_without_a_budget_a_larger_cluster_is_thought_of() -> None:
    told = why(campaign_of(*(job(f"w{k}") for k in range(6)), hours=2), NODES_2)
    assert changes(told, "nodes") == [{"partition": {"name": "cpu", "nodes": 3}}]


def test_memory_may_be_what_binds() -> None:
    large = (job(f"w{k}", threads=1, memory=800) for k in range(6))
    told = why(campaign_of(*large, hours=2), NODES_2)
    assert kinds(told, "binding") == ["memory", "nodes"]
    assert told["binding"][0]["text"].startswith("an average of 2.34 GB of memory is needed")


def test_a_qos_that_lets_one_job_run_is_what_binds() -> None:
    short = Qos(name="short", walltime=2 * HOUR, running_jobs=1)
    cluster = Cluster(name="two", partitions=(replace(NODE, nodes=4),), qos=(short,))
    told = why(campaign_of(*(job(f"w{k}") for k in range(4)), hours=2), cluster)
    assert kinds(told, "binding") == ["qos", "qos"]
    assert told["binding"][0]["text"] == (
        "an average of 2.0 running jobs is needed until the deadline; QOS short, the only one that "
        "admits w0, w1, w2 and w3, allows 1"
    )
    assert changes(told, "qos") == [{"limit": {"qos": "short", "running_jobs": 2}}]


def test_a_qos_of_few_cores_is_what_binds() -> None:
    short = Qos(name="short", walltime=2 * HOUR, cores=8)
    cluster = Cluster(name="two", partitions=(replace(NODE, nodes=4),), qos=(short,))
    told = why(campaign_of(*(job(f"w{k}") for k in range(4)), hours=2), cluster)
    assert changes(told, "qos") == [{"limit": {"qos": "short", "cores": 16}}]


BY_WALLTIME = Cluster(
    name="qos",
    partitions=(replace(NODE, nodes=4),),
    qos=(
        Qos(name="test", walltime=2 * HOUR, debug=True),
        Qos(name="short", walltime=3 * HOUR, running_jobs=1),
        Qos(name="long", walltime=24 * HOUR),
    ),
)


def test_who_names_a_small_qos_is_told_a_larger_one() -> None:
    named = (job(f"w{k}", qos="short") for k in range(4))
    told = why(campaign_of(*named, hours=3), BY_WALLTIME)
    [remedy] = [r for r in told["remedies"] if "qos" in r["change"]]
    assert remedy["change"] == {"qos": {"w3": "long"}}
    assert remedy["text"] == "QOS long for w3"  # it ends last, and gains most


def test_a_qos_for_tests_is_thought_of_where_it_would_do() -> None:
    cluster = replace(BY_WALLTIME, qos=BY_WALLTIME.qos[:2])
    told = why(campaign_of(*(job(f"w{k}") for k in range(3)), hours=2), cluster)
    assert {"qos": {"w2": "test"}} in changes(told, "qos")


def test_the_least_important_is_dropped_first() -> None:
    work = [job("a", priority=1), job("b"), job("c", priority=2), job("d", "b", priority=3)]
    told = why(campaign_of(*work, hours=3), Cluster(name="one", partitions=(NODE,)))
    # b is needed by d, and so as important.
    assert changes(told, "drop") == [{"drop": ["a"]}]
    told = why(campaign_of(*work, hours=2), Cluster(name="one", partitions=(NODE,)))
    assert changes(told, "drop") == [{"drop": ["a", "c"]}]


def test_what_is_dropped_in_vain_is_kept() -> None:
    """The least important has a node of its own: to drop it gains nothing."""
    gpu = Partition(name="gpu", nodes=1, cores=8, memory=800, gpus=1)
    cluster = Cluster(name="two", partitions=(NODE, gpu))
    work = [
        job("in-vain", partition="gpu"),
        job("a", priority=1, partition="cpu"),
        job("b", priority=2, partition="cpu"),
    ]
    assert changes(why(campaign_of(*work, hours=1), cluster), "drop") == [{"drop": ["a"]}]


def test_the_only_workflow_is_not_dropped() -> None:
    told = why(campaign_of(job("a", hours=2), hours=1), NODES_2)
    assert kinds(told, "remedies") == ["deadline"]
    assert told["binding"][0]["text"] == "a alone takes 2 h"


def test_what_has_begun_is_told_and_stays() -> None:
    work = [job("long", hours=5), job("next", hours=1)]
    before = plan_campaign(campaign_of(*work, hours=2), NODES_2)
    plan = plan_campaign(before.campaign, NODES_2, start=HOUR, fixed=[before.by_name["long"]])
    told = document(plan)
    assert kinds(told, "binding") == ["begun"]
    assert kinds(told, "remedies") == ["deadline"]


def test_plans_are_few_whatever_the_campaign() -> None:
    made = 0

    def planner(campaign: Campaign, cluster: Cluster) -> Plan:
        nonlocal made
        made += 1
        return plan_campaign(campaign, cluster)

    chance = random.Random(1)
    work = [job(f"w{k}", hours=chance.uniform(0.1, 3), threads=chance.randint(1, 8))
            for k in range(120)]  # fmt: skip
    cluster = Cluster(name="many", partitions=(replace(NODE, nodes=200),))
    campaign = campaign_of(*work, hours=20, nodes=4)
    told = why_not(plan_campaign(campaign, cluster), planner)
    assert told.plans == made <= MOST_PLANS
    assert told.complete


@pytest.mark.parametrize(("most", "plans"), [(40, 3), (11, 0)])
def test_a_huge_campaign_is_told_what_needs_few_plans(
    most: int, plans: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socm.planner.whynot.trials.MOST_WORKFLOWS", most)
    work = (job(f"w{k}") for k in range(12))
    found = explained(plan_campaign(campaign_of(*work, hours=4, nodes=1), NODES_2))
    console = Console(width=200, file=io.StringIO())
    console.print(why_not_table(found))
    assert f"({plans} plans tried; search limit reached)" in console.file.getvalue()
    told = why_not_document(found)
    assert told["plans"] == plans
    assert not told["complete"]
    assert told["binding"][0]["kind"] == "cores"
    assert changes(told, "deadline") == [{"deadline_s": 12 * HOUR}]


def test_limits_and_changes_are_written_as_they_are() -> None:
    """One sentence for each kind of bottleneck and change that the other cases do not show."""
    four = [job(f"w{k}") for k in range(4)]
    ten = Cluster(name="ten", partitions=(replace(NODE, nodes=10),))
    gpu = Partition(name="gpu", nodes=1, cores=8, memory=800, gpus=1)
    cases: list[tuple[Campaign, Cluster, str, str]] = [
        (
            campaign_of(*four, hours=2, nodes=1, cores=8),
            ten,
            "the budget of 1 node and 8 cores: done after 1 h with all 10 nodes of ten",
            "nodes 2 and requested_resources 16 instead of 1 and 8",
        ),
        (
            campaign_of(*four, hours=1),
            NODES_2,
            "the 2 nodes of cpu: done after 1 h with 6 nodes in cpu",
            "4 nodes in cpu instead of 2",
        ),
        (
            campaign_of(*four, hours=2),
            replace(ten, qos=(Qos(name="short", cores=8),)),
            "the limit of 8 cores of QOS short: done after 1 h with any number of cores in QOS "
            "short",
            "cores 16 in QOS short instead of 8",
        ),
        (
            campaign_of(*four, hours=2),
            replace(ten, qos=(Qos(name="short", running_jobs=1),)),
            "the limit of 1 running job of QOS short: done after 1 h with any number of running "
            "jobs in QOS short",
            "running-jobs 2 in QOS short instead of 1",
        ),
        (
            campaign_of(*(job(f"w{k}", gpus=1) for k in range(2)), hours=1),
            Cluster(name="one", partitions=(gpu,)),
            "an average of 2 GPUs is needed until the deadline; the cluster has 1",
            "2 nodes in gpu instead of 1",
        ),
        (
            campaign_of(*four, hours=1),
            replace(ten, qos=(Qos(name="short", cores=8),)),
            "an average of 32 cores is needed until the deadline; QOS short, the only one that "
            "admits w0, w1, w2 and w3, allows 8",
            "cores 32 in QOS short instead of 8",
        ),
        (
            campaign_of(job("a"), *(job(f"w{k}", "a") for k in range(4)), hours=2.75),
            NODES_2,
            "dependencies and resources together: no plan ends before 3 h",
            "deadline 3h instead of 2h45m",
        ),
    ]
    for campaign, cluster, bottleneck, remedy in cases:
        told = why(campaign, cluster)
        assert bottleneck in [b["text"] for b in told["binding"]], told
        assert remedy in [r["text"] for r in told["remedies"]], told


def test_what_does_not_help_is_written_with_the_reason() -> None:
    on_request = (Qos(name="dev", debug=True), Qos(name="test", debug=True))
    cluster = replace(NODES_2, qos=(Qos(name="short", running_jobs=1), *on_request))
    told = why(campaign_of(job("long", hours=3), job("next", "long"), hours=2), cluster)
    assert told["futile"] == [
        "4 nodes in cpu: no plan ends before 4 h",
        "any number of running jobs in QOS short: no plan ends before 4 h",
        "QOS dev and test: no plan ends before 4 h",
    ]
    named = why(campaign_of(*(job(f"w{k}", qos="short") for k in range(6)), hours=2), cluster)
    assert (
        "any QOS instead of those that are named: done after 6 h, which is late"
        in (named["futile"])
    )


def test_the_command_to_try_next_sets_what_one_variable_can() -> None:
    ten = Cluster(name="ten", partitions=(replace(NODE, nodes=10),))
    work = [job(f"w{k}") for k in range(4)]
    for budget, command in (
        ({"cores": 8}, "SOCM_REQUESTED_RESOURCES=16 socm plan 'a b'"),
        ({"nodes": 1}, "SOCM_DEADLINE=4h socm plan 'a b'"),
        ({"nodes": 1, "cores": 8}, "SOCM_DEADLINE=4h socm plan 'a b'"),
    ):
        told = explained(plan_campaign(campaign_of(*work, hours=2, **budget), ten))
        assert next_command(told, ["socm", "plan", "a b"]) == command


# What fits nowhere

_TEXT = {
    "memory": r"at most ([\d ]+) MB of memory",
    "ranks": r"(?:^|or )([\d ]+) ranks of [\d ]+ MB each",
    "threads": r"at most ([\d ]+) threads",
    "gpus": r"at most ([\d ]+) GPUs for each rank",
    "nodes": r"a budget of at least ([\d ]+) nodes",
    "cores": r"requested_resources of at least ([\d ]+) cores",
}


@st.composite
def homeless(draw: st.DrawFn) -> tuple[Campaign, Cluster]:
    """A workflow that fits nowhere."""
    cluster, budget = draw(clusters()), draw(budgets())
    request = ResourceRequest(
        ranks=draw(st.integers(1, 12)),
        threads=draw(st.integers(1, 12)),
        memory=draw(st.integers(0, 3000)),
        gpus=draw(st.sampled_from([0, 0, 0, 1, 5])),
        runtime=draw(st.integers(1, 900)),
        walltime=draw(st.none() | st.integers(900, 2000)),
        qos=draw(st.none() | st.sampled_from([q.name or None for q in cluster.qos_by_size])),
    )
    assume(not cluster.admit(request, budget)[0])
    return Campaign.of("homeless", [Workflow(name="w", request=request)], budget=budget), cluster


@given(homeless())
def test_each_change_of_a_number_makes_it_fit_and_is_the_smallest(
    pair: tuple[Campaign, Cluster],
) -> None:
    campaign, cluster = pair
    request, budget = campaign.workflows["w"].request, campaign.budget

    def fits(what: str, value: int) -> bool:
        if what in ("nodes", "cores"):
            return bool(cluster.admit(request, replace(budget, **{what: value}))[0])
        return bool(cluster.admit(replace(request, **{what: value}), budget)[0])

    [text] = fitting(campaign, cluster, ["w"]) or [""]
    for what, pattern in _TEXT.items():
        match = re.search(pattern, text)
        value = int(match[1].replace(" ", "")) if match else None
        now = getattr(budget if what in ("nodes", "cores") else request, what)
        if what in ("nodes", "cores"):
            smaller = range(now or 0, value or 40)
            assert value is None or fits(what, value)
            assert now is None or not any(fits(what, x) for x in smaller)
        elif what == "ranks":
            assert value is None or (value > now and fits(what, value))
        else:
            least = 0 if what == "gpus" else 1
            assert value is None or (value < now and fits(what, value))
            over = range(least if value is None else value + 1, now)
            assert not any(fits(what, x) for x in [*over][:50])


@given(homeless())
def test_each_shorter_time_and_other_qos_makes_it_fit(pair: tuple[Campaign, Cluster]) -> None:
    campaign, cluster = pair
    request = campaign.workflows["w"].request
    [text] = fitting(campaign, cluster, ["w"]) or [""]
    if match := re.search(r"a (walltime|runtime) of at most ([^\s,]+)", text):
        changed = replace(request, **{match[1]: parse_duration(match[2])})  # type: ignore[arg-type]
        assert cluster.admit(changed, campaign.budget)[0]
    told = re.search(r"QOS ([\w ]+)$", text)
    proposed = told[1].split(" or ") if told else []
    for qos in cluster.qos:
        if qos.name != request.qos:
            admitted = cluster.admit(replace(request, qos=qos.name), campaign.budget)[0]
            assert bool(admitted) == (qos.name in proposed)


def test_what_fits_nowhere_is_told_with_the_smallest_change(tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(
        "campaign: {resource: tiger3}\n"
        "stages:\n"
        "  map: {executable: x, resources: {memory: 1.2T, runtime: 1h}}\n"
    )
    done = socm("plan", file)
    assert done.returncode == 3
    assert (
        "  would fit: map with at most 1 000 000 MB of memory, or 2 ranks of 629 146 MB each\n"
        in done.stderr
    )
    document = json.loads(socm("plan", file, "--json").stdout)
    assert document["remedies"] == [
        "map with at most 1 000 000 MB of memory, or 2 ranks of 629 146 MB each"
    ]


# On the command line

PISO = ROOT / "examples" / "piso.yaml"


@pytest.mark.parametrize("verb", ["plan", "simulate"])
def test_a_late_campaign_is_told_why_and_what_next(
    verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOCM_DEADLINE", "2h")
    done = socm(verb, PISO)
    assert done.returncode == 3
    text = " ".join(done.stdout.split())
    assert "bottleneck get_xtra_mask → get_windows → … → get_xarrays_covmat (8 workflows)" in text
    assert (
        "would fix it deadline 2h30m instead of 2h: done after 2 h 30 min; no plan ends sooner"
        in text
    )
    assert f"next: SOCM_DEADLINE=2h30m socm {verb} {PISO}" in text
    monkeypatch.setenv("SOCM_DEADLINE", "2h30m")
    assert socm(verb, PISO).returncode == 0


@pytest.mark.parametrize("command", ["plan", "simulate -n 5"])
def test_the_documents_say_why_not(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(socm(*command.split(), PISO, "--json").stdout)["why_not"] is None
    monkeypatch.setenv("SOCM_DEADLINE", "2h")
    told = json.loads(socm(*command.split(), PISO, "--json").stdout)["why_not"]
    assert set(told) == {"binding", "remedies", "futile", "plans", "complete"}
    assert told["binding"][0]["kind"] == "critical-path"
    assert told["binding"][0]["at_least_s"] == 9000
    assert told["remedies"][0] == {
        "kind": "deadline",
        "text": "deadline 2h30m instead of 2h",
        "change": {"deadline_s": 9000},
        "makespan_s": 9000,
        "checked": "no plan ends sooner",
    }


def test_a_plan_in_allocations_is_not_explained_as_one_of_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOCM_DEADLINE", "2h")
    done = socm("plan", PISO, "--shape", "allocation")
    assert done.returncode == 3
    assert "bottleneck" not in done.stdout


def test_a_plan_that_was_written_is_told_why_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOCM_DEADLINE", "2h")
    socm("plan", PISO, "--output", tmp_path / "plan.json")
    monkeypatch.delenv("SOCM_DEADLINE")
    done = socm("simulate", tmp_path / "plan.json", "-n", "0")
    assert "bottleneck" in done.stdout
    assert "next:" not in done.stdout  # the deadline is in the plan
