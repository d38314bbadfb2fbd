"""What the planner makes is a plan, is HEFT's, and keeps to what was given."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import builders
import pytest
from builders import job
from hypothesis import given
from hypothesis import strategies as st
from strategies import (
    LONG,
    SHORT,
    Seconds,
    budgets,
    campaigns,
    clusters,
    depends,
    faults,
    pairs,
    reservations,
    share,
)

from socm.errors import ConfigError, Infeasible
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.check import check_plan
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.placement import PlannedWorkflow, Reservation
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import admitted, plan_campaign
from socm.planner.instance import instance_of
from socm.planner.ranking import upward_rank

# Any plan


@given(pairs(SHORT, most=15))
def test_a_plan_is_sound_in_every_second_and_ends_no_sooner_than_its_bound(
    pair: tuple[Campaign, Cluster],
) -> None:
    plan = plan_campaign(*pair)
    assert faults(plan) == []
    assert plan.makespan >= plan.lower_bound > 0


@share(0.5)
@given(pairs(LONG))
def test_a_plan_over_minutes_is_proven_by_its_check(pair: tuple[Campaign, Cluster]) -> None:
    check_plan(plan_campaign(*pair))


@share(0.6)
@given(clusters().flatmap(lambda c: st.tuples(campaigns(c), st.just(c))))
def test_a_plan_is_infeasible_exactly_if_a_workflow_has_no_option(
    pair: tuple[Campaign, Cluster],
) -> None:
    campaign, cluster = pair
    homeless = {
        name
        for name, workflow in campaign.workflows.items()
        if not cluster.admit(workflow.request, campaign.budget)[0]
    }
    if not homeless:
        plan_campaign(campaign, cluster)
        return
    with pytest.raises(Infeasible) as caught:
        plan_campaign(campaign, cluster)
    assert {reason.partition(": ")[0] for reason in caught.value.reasons} == homeless
    assert all(reason.partition(": ")[2] for reason in caught.value.reasons)
    assert f"{len(homeless)} of {len(campaign.workflows)} workflows" in caught.value.message


@share(0.5)
@given(pairs())
def test_the_same_campaign_gets_the_same_plan(pair: tuple[Campaign, Cluster]) -> None:
    campaign, cluster = pair
    again = Campaign.of(
        "random", campaign.workflows.values(), budget=campaign.budget, limits=campaign.limits
    )
    assert plan_campaign(campaign, cluster) == plan_campaign(again, replace(cluster))


@share(0.5)
@given(pairs())
def test_a_plan_lists_its_workflows_by_start_then_by_falling_rank(
    pair: tuple[Campaign, Cluster],
) -> None:
    plan = plan_campaign(*pair)
    keys = [(w.start, -w.upward_rank) for w in plan.workflows]
    assert keys == sorted(keys)


@share(0.5)
@given(
    st.one_of(
        pairs(SHORT, most=8, budget=st.builds(Budget, cores=st.none() | st.integers(2, 16))),
        pairs(SHORT, most=8, cluster=clusters(most_partitions=1)),
    )
)
def test_no_workflow_could_end_sooner_anywhere_while_the_others_stay(
    pair: tuple[Campaign, Cluster],
) -> None:
    """So no machine is ever idle that somebody waits for.

    When a workflow was planned no more was taken than at the end, and the earliest finish was
    looked for over all options: what is free around the others at the end was free then.
    """
    campaign, cluster = pair
    plan = plan_campaign(campaign, cluster)
    for w in plan.workflows:
        workflow = campaign.workflows[w.name]
        others = Seconds(campaign, cluster, [o for o in plan.workflows if o is not w])
        ready = max((plan.by_name[parent].finish for parent in workflow.depends), default=0)
        for option in cluster.admit(workflow.request, campaign.budget)[0]:
            for start in range(ready, w.finish - option.duration):
                assert not others.admits(option, workflow.request, start), (w.name, start)


@share(0.5)
@given(pairs(SHORT, most=10, budget=st.just(Budget())))
def test_of_equal_finishes_the_smallest_qos_is_taken(pair: tuple[Campaign, Cluster]) -> None:
    """A smaller QOS on the same nodes could not have ended as soon, the others being there."""
    campaign, cluster = pair
    plan = plan_campaign(campaign, cluster)
    sizes = {qos.name: k for k, qos in enumerate(cluster.qos_by_size)}
    for w in plan.workflows:
        request = campaign.workflows[w.name].request
        others = Seconds(campaign, cluster, [o for o in plan.workflows if o is not w])
        for option in cluster.admit(request)[0]:
            start = w.finish - option.duration
            parents = campaign.workflows[w.name].depends
            ready = max((plan.by_name[parent].finish for parent in parents), default=0)
            if sizes[option.qos.name] < sizes[w.qos or ""] and start >= ready:
                assert not others.admits(option, request, start)


# Start, reservations, and what already runs


@share(0.5)
@given(pairs(SHORT, most=10, cluster=clusters()), st.integers(1, 1000))
def test_a_plan_that_begins_later_is_the_same_plan_later(
    pair: tuple[Campaign, Cluster], begin: int
) -> None:
    now, later = plan_campaign(*pair), plan_campaign(*pair, start=begin)
    assert later.start == begin
    assert later.lower_bound == now.lower_bound + begin
    moved = [replace(w, start=w.start + begin, finish=w.finish + begin) for w in now.workflows]
    assert list(later.workflows) == moved


@share(0.6)
@given(
    pairs(SHORT, most=10, budget=st.builds(Budget, cores=st.none() | st.integers(2, 16))),
    st.data(),
)
def test_nothing_is_planned_on_what_is_reserved(
    pair: tuple[Campaign, Cluster], data: st.DataObject
) -> None:
    windows = data.draw(reservations(pair[1], latest=20))
    plan = plan_campaign(*pair, reservations=windows)
    assert plan.reservations == windows
    assert faults(plan) == []


@share(0.6)
@given(pairs(SHORT, most=12), st.data())
def test_what_has_begun_keeps_its_place_and_the_rest_begins_later(
    pair: tuple[Campaign, Cluster], data: st.DataObject
) -> None:
    before = plan_campaign(*pair)
    now = data.draw(st.integers(0, before.makespan))
    begun = [w for w in before.workflows if w.start < now]
    plan = plan_campaign(*pair, start=now, fixed=begun)
    assert faults(plan) == []
    assert {replace(w, fixed=True) for w in begun} == {w for w in plan.workflows if w.fixed}
    rest = {w.name for w in plan.workflows} - {w.name for w in begun}
    assert all(plan.by_name[name].start >= now for name in rest)
    assert plan.lower_bound <= plan.makespan


NODE = Partition(name="cpu", nodes=1, cores=1, memory=100)
ONE_CORE = Cluster(name="core", partitions=(NODE,))
PAIR = Campaign.of(
    "pair",
    [
        Workflow(name="first", request=ResourceRequest(runtime=100)),
        Workflow(name="second", request=ResourceRequest(runtime=100), depends=("first",)),
    ],
)


@pytest.mark.parametrize("finish", [80, 130, 250])
def test_what_ran_shorter_or_longer_than_planned_is_taken_as_it_was(finish: int) -> None:
    """The rest of the campaign is planned around it."""
    first = replace(plan_campaign(PAIR, ONE_CORE).by_name["first"], finish=finish)
    plan = plan_campaign(PAIR, ONE_CORE, start=finish, fixed=[first])
    assert plan.by_name["first"] == replace(first, fixed=True)
    assert plan.by_name["second"].start == finish


def test_what_runs_under_a_longer_limit_than_planned_is_taken_as_it_is() -> None:
    first = replace(plan_campaign(PAIR, ONE_CORE).by_name["first"], walltime=600)
    plan = plan_campaign(PAIR, ONE_CORE, start=50, fixed=[first])
    assert plan.by_name["second"].start == 100


def test_windows_that_overlap_reserve_no_more_than_there_is() -> None:
    """Maintenance of all nodes, while another campaign has booked a part of one."""
    windows = [
        Reservation(partition="cpu", start=0, finish=100),
        Reservation(partition="cpu", node=0, start=50, finish=150, cores=1, memory=0, gpus=0),
    ]
    plan = plan_campaign(PAIR, ONE_CORE, reservations=windows)
    assert plan.by_name["first"].start == 150


@pytest.mark.parametrize("compiled", ["0", "1"])
@pytest.mark.parametrize("what", [{"memory": 60}, {"memory": 0, "gpus": 1}])
def test_windows_that_reserve_too_much_of_what_a_workflow_does_not_use_are_none_of_its(
    what: dict[str, int], compiled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOCM_COMPILED", compiled)
    part = {"cores": 0, "memory": 0, "gpus": 0} | what
    windows = [
        Reservation(partition="cpu", node=0, start=start, finish=500, **part) for start in (0, 10)
    ]
    plan = plan_campaign(PAIR, ONE_CORE, reservations=windows)
    assert [w.start for w in plan.workflows] == [0, 100]


def test_a_window_is_waited_for_or_used_before_it_begins() -> None:
    window = Reservation(partition="cpu", start=150, finish=400)
    plan = plan_campaign(PAIR, ONE_CORE, reservations=[window])
    assert [w.start for w in plan.workflows] == [0, 400]
    window = replace(window, start=200)
    plan = plan_campaign(PAIR, ONE_CORE, reservations=[window])
    assert [w.start for w in plan.workflows] == [0, 100]


def test_an_unknown_policy_is_refused_with_a_hint() -> None:
    with pytest.raises(ConfigError, match="did you mean 'time'"):
        plan_campaign(replace(PAIR, policy="tim"), ONE_CORE)


# HEFT


def textbook_heft(durations: list[list[int]], depends: list[list[int]]) -> list[tuple[int, int]]:
    """HEFT with insertion after Topcuoglu, without communication: (machine, start) of each task."""
    machines = range(len(durations[0]))
    mean = [sum(row) / len(row) for row in durations]
    children: list[list[int]] = [[] for _ in mean]
    for task, parents in enumerate(depends):
        for parent in parents:
            children[parent].append(task)
    rank = [0.0] * len(mean)
    for task in reversed(range(len(mean))):
        rank[task] = mean[task] + max((rank[c] for c in children[task]), default=0.0)
    busy: list[list[tuple[int, int]]] = [[] for _ in machines]
    found: dict[int, tuple[int, int]] = {}
    for task in sorted(range(len(mean)), key=lambda k: (-rank[k], -mean[k], k)):
        ready = max((found[p][1] + durations[p][found[p][0]] for p in depends[task]), default=0)
        best: tuple[int, int, int] | None = None
        for machine in machines:
            start, length = ready, durations[task][machine]
            for begin, end in sorted(busy[machine]):
                if start + length <= begin:
                    break
                start = max(start, end)
            if best is None or start + length < best[0]:
                best = (start + length, machine, start)
        assert best is not None
        finish, machine, start = best
        found[task] = (machine, start)
        busy[machine].append((start, finish))
    return [found[task] for task in range(len(mean))]


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=20),
    st.lists(st.sampled_from([1.0, 0.5, 0.8, 2.0]), min_size=1, max_size=4),
    st.data(),
)
def test_sequential_workflows_on_single_cores_are_planned_as_the_textbook_says(
    runtimes: list[int], speeds: list[float], data: st.DataObject
) -> None:
    """Each machine is a partition of its own: a node of one core, at its own speed."""
    parents = [data.draw(depends(k)) for k in range(len(runtimes))]
    campaign = Campaign.of(
        "sequential",
        [
            Workflow(name=f"w{k}", request=ResourceRequest(runtime=runtime), depends=parents[k])
            for k, runtime in enumerate(runtimes)
        ],
    )
    cluster = Cluster(
        name="machines",
        partitions=tuple(replace(NODE, name=str(m), speed=s) for m, s in enumerate(speeds)),
    )
    durations = [[math.ceil(r / s) for s in speeds] for r in runtimes]
    right = textbook_heft(durations, [[int(p[1:]) for p in names] for names in parents])
    plan = plan_campaign(replace(campaign, policy="heft"), cluster)
    planned = [plan.by_name[f"w{k}"] for k in range(len(runtimes))]
    assert [(int(w.partition), w.start) for w in planned] == right


@given(st.lists(st.integers(1, 60), min_size=1, max_size=20), st.integers(1, 4), st.data())
def test_equal_machines_may_be_the_nodes_of_one_partition(
    runtimes: list[int], nodes: int, data: st.DataObject
) -> None:
    parents = [data.draw(depends(k)) for k in range(len(runtimes))]
    campaign = Campaign.of(
        "sequential",
        [
            Workflow(name=f"w{k}", request=ResourceRequest(runtime=runtime), depends=parents[k])
            for k, runtime in enumerate(runtimes)
        ],
    )
    right = textbook_heft(
        [[r] * nodes for r in runtimes], [[int(p[1:]) for p in names] for names in parents]
    )
    cluster = Cluster(name="nodes", partitions=(replace(NODE, nodes=nodes),))
    plan = plan_campaign(replace(campaign, policy="heft"), cluster)
    planned = [plan.by_name[f"w{k}"] for k in range(len(runtimes))]
    assert [(w.placements[0].node, w.start) for w in planned] == right


@share(0.5)
@given(pairs(most=12))
def test_the_upward_rank_is_the_longest_chain_to_the_end(pair: tuple[Campaign, Cluster]) -> None:
    """Against all chains, one by one; and a parent outranks all its children."""
    instance = instance_of(*pair, {n: o for n, (o, _) in admitted(*pair).items()})

    def longest(k: int) -> float:
        return instance.duration[k] + max(map(longest, instance.children[k]), default=0)

    rank = upward_rank(instance)
    assert rank == [longest(k) for k in range(len(instance))]
    assert all(rank[p] > rank[k] for k, parents in enumerate(instance.parents) for p in parents)


# Cases whose best plan is known


plan_of = partial(builders.plan_of, cores=8, memory=800)


def starts(plan: Plan) -> dict[str, float]:
    """Minutes, by name."""
    return {w.name: w.start / 60 for w in plan.workflows}


def only(plan: Plan) -> PlannedWorkflow:
    [w] = plan.workflows
    return w


def test_the_short_head_of_a_long_chain_goes_before_the_long_fillers() -> None:
    plan = plan_of(
        [
            *(job(f"filler{k}", minutes=60) for k in range(4)),
            job("head", minutes=1),
            job("tail", "head", minutes=239),
        ],
        nodes=2,
        cores=1,
    )
    assert starts(plan)["head"] == 0
    assert plan.makespan == plan.lower_bound == 240 * 60


def test_three_and_two_and_two_cores_share_a_node_of_seven() -> None:
    workflows = [job(f"w{k}", threads=threads) for k, threads in enumerate((3, 2, 2))]
    plan = plan_of(workflows, cores=7)
    assert plan.makespan == plan.lower_bound == 600
    assert plan.peak_nodes == 1


def test_ranks_fill_what_is_left_of_nodes_but_are_not_split() -> None:
    """Two ranks of three cores leave one core on each node: no room for one of two."""
    workflows = [job("wide", ranks=2, threads=3), job("two", threads=2), job("one", ranks=2)]
    plan = plan_of(workflows, nodes=2, cores=4)
    assert starts(plan) == {"wide": 0, "one": 0, "two": 10}


def test_the_larger_of_equal_rank_goes_first() -> None:
    plan = plan_of([job("small"), job("large", threads=8)])
    assert starts(plan) == {"large": 0, "small": 10}


def test_memory_may_be_what_binds() -> None:
    plan = plan_of([job(f"w{k}", memory=300) for k in range(4)])
    assert sorted(starts(plan).values()) == [0, 0, 10, 10]


@pytest.mark.parametrize(("memory", "together"), [(1200, True), (1201, False)])
def test_the_memory_of_some_ranks_is_their_part_rounded_up(memory: int, together: bool) -> None:
    """Two of three ranks with 1201 MB need 801 MB: more than a node of 800 has."""
    plan = plan_of([job("w", ranks=3, memory=memory)], nodes=3)
    assert len(only(plan).placements) == (2 if together else 3)


def test_gpus_may_be_what_binds() -> None:
    plan = plan_of([job(f"w{k}", ranks=2, gpus=1) for k in range(3)], gpus=4)
    assert sorted(starts(plan).values()) == [0, 0, 10]


def test_a_qos_of_one_running_job_makes_a_campaign_serial() -> None:
    plan = plan_of([job(f"w{k}") for k in range(3)], Qos(name="one", running_jobs=1))
    assert sorted(starts(plan).values()) == [0, 10, 20]


def test_a_qos_of_four_cores_runs_two_jobs_of_two() -> None:
    plan = plan_of([job(f"w{k}", threads=2) for k in range(3)], Qos(name="narrow", cores=4))
    assert sorted(starts(plan).values()) == [0, 0, 10]


def test_equal_finishes_go_to_the_smallest_qos() -> None:
    short, long = Qos(name="short", walltime=3600), Qos(name="long", walltime=7200)
    assert only(plan_of([job("w")], long, short)).qos == "short"


def test_a_full_qos_gives_way_to_the_next() -> None:
    short = Qos(name="short", walltime=3600, running_jobs=1)
    plan = plan_of([job("a"), job("b")], short, Qos(name="long", walltime=7200))
    assert starts(plan) == {"a": 0, "b": 0}
    assert {w.qos for w in plan.workflows} == {"short", "long"}


def test_a_debug_qos_is_left_alone_even_if_the_campaign_waits() -> None:
    test = Qos(name="test", debug=True)
    plan = plan_of([job("a"), job("b")], test, Qos(name="one", running_jobs=1))
    assert sorted(starts(plan).values()) == [0, 10]
    assert only(plan_of([job("a", qos="test")], test, Qos(name="one"))).qos == "test"


def test_a_faster_partition_is_worth_waiting_for_only_if_it_ends_sooner() -> None:
    slow = Partition(name="slow", nodes=1, cores=1, memory=1)
    fast = Partition(name="fast", nodes=1, cores=1, memory=1, speed=3.0)
    plan = plan_of([job(f"w{k}", minutes=30) for k in range(4)], partitions=(slow, fast))
    by_partition = sorted((w.partition, w.start / 60) for w in plan.workflows)
    assert by_partition == [("fast", 0), ("fast", 10), ("fast", 20), ("slow", 0)]


def test_whole_nodes_are_not_shared() -> None:
    plan = plan_of([job("a"), job("b")], exclusive=True)
    assert sorted(starts(plan).values()) == [0, 10]
    assert {w.cores for w in plan.workflows} == {8}


def test_a_qos_of_whole_nodes_is_not_shared_with_jobs_of_another() -> None:
    plan = plan_of(
        [job("a", qos="whole"), job("b", qos="shared")],
        Qos(name="whole", exclusive=True),
        Qos(name="shared"),
    )
    assert sorted(starts(plan).values()) == [0, 10]


def test_logical_cpus_fit_twice_where_a_core_has_two() -> None:
    logical = [job(f"w{k}", threads=8, cpus="logical") for k in range(2)]
    assert sorted(starts(plan_of(logical, threads_per_core=2)).values()) == [0, 0]
    assert sorted(starts(plan_of(logical)).values()) == [0, 10]


def test_a_budget_of_cores_is_the_most_in_use() -> None:
    plan = plan_of([job(f"w{k}", threads=2) for k in range(4)], budget=Budget(cores=5))
    assert sorted(starts(plan).values()) == [0, 0, 10, 10]


def test_a_budget_of_nodes_is_the_most_in_use() -> None:
    whole = [job(f"w{k}", threads=8) for k in range(3)]
    plan = plan_of(whole, nodes=4, budget=Budget(nodes=2))
    assert sorted(starts(plan).values()) == [0, 0, 10]
    assert plan.peak_nodes == 2


def test_a_budget_of_nodes_counts_those_of_all_partitions() -> None:
    partitions = tuple(Partition(name=n, nodes=1, cores=1, memory=1) for n in ("p", "q"))
    plan = plan_of([job("a"), job("b")], partitions=partitions, budget=Budget(nodes=1))
    assert sorted(starts(plan).values()) == [0, 10]


def test_a_capped_walltime_is_a_warning_that_names_the_workflow_and_the_qos() -> None:
    plan = plan_of([job("long", minutes=50), job("brief")], Qos(name="hour", walltime=3600))
    [warning] = plan.warnings
    assert "long" in warning
    assert "1:00:00" in warning
    assert "hour" in warning
    assert plan.by_name["long"].walltime == 3600


def test_a_name_with_a_colon_is_counted_once() -> None:
    with pytest.raises(Infeasible, match="2 of 2 workflows"):
        plan_of([job("map:1", threads=9), job("map:2", threads=9)])


@share(0.3)
@given(pairs(LONG, budget=budgets()))
def test_only_capped_walltimes_are_warned_about(pair: tuple[Campaign, Cluster]) -> None:
    plan = plan_campaign(*pair)
    asked = {w.name: plan.campaign.workflows[w.name].request.walltime for w in plan.workflows}
    cut = {
        w.name for w in plan.workflows if asked[w.name] is None and 2 * w.walltime < 3 * w.duration
    }
    assert {warning.partition(":")[0] for warning in plan.warnings} >= cut
    assert len(plan.warnings) == len({*plan.warnings})
