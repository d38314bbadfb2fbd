"""The smallest budget is the smallest: nothing below it was overlooked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SHORT, clusters, faults, pairs, share
from test_cli import socm

from socm.errors import ConfigError, Infeasible
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import plan_campaign
from socm.planner.sizing import Objective, size_campaign

Planner = Callable[[Campaign, Cluster], Plan]


def every_budget(campaign: Campaign, cluster: Cluster, planner: Planner) -> dict[int, Plan]:
    """Plan with each budget that there is, one after the other."""
    plans = {}
    for nodes in range(1, sum(p.nodes for p in cluster.partitions) + 1):
        try:
            plans[nodes] = planner(replace(campaign, budget=Budget(nodes=nodes)), cluster)
        except Infeasible:
            continue
    return plans


def delayed(delays: list[int]) -> Planner:
    """A planner that wastes time, with each budget another: no makespan can be foreseen."""

    def planner(campaign: Campaign, cluster: Cluster) -> Plan:
        plan = plan_campaign(campaign, cluster)
        by = delays[(campaign.budget.nodes or 0) % len(delays)]
        later = [replace(w, start=w.start + by, finish=w.finish + by) for w in plan.workflows]
        return replace(plan, workflows=tuple(later))

    return planner


DELAYS = st.lists(st.sampled_from([0, 0, 1, 5, 40]), min_size=1, max_size=7)


@share(0.6)
@given(pairs(SHORT, most=8), DELAYS, st.data())
def test_no_smaller_budget_has_a_plan_that_makes_the_deadline(
    pair: tuple[Campaign, Cluster], delays: list[int], data: st.DataObject
) -> None:
    campaign, cluster = pair
    planner = delayed(delays)
    plans = every_budget(campaign, cluster, planner)
    makespans = sorted(plan.makespan for plan in plans.values())
    campaign = replace(campaign, deadline=data.draw(st.integers(1, makespans[-1] + 1)))
    sizing = size_campaign(campaign, cluster, planner)
    in_time = [n for n, plan in plans.items() if plan.makespan <= (campaign.deadline or 0)]
    untried = {n for first, last in sizing.untried for n in range(first, last + 1)}
    if sizing.chosen is None:
        assert set(in_time) <= untried
    else:
        assert sizing.chosen.nodes == min(set(in_time) - untried)
        assert not untried
    for size in sizing.rows:
        assert size.plan.makespan == plans[size.nodes].makespan
        assert size.plan.peak_nodes <= size.nodes
        assert faults(size.plan) == []


@share(0.5)
@given(pairs(SHORT, most=8), DELAYS, st.integers(1, 3), st.data())
def test_what_was_not_tried_for_want_of_plans_is_told(
    pair: tuple[Campaign, Cluster], delays: list[int], most: int, data: st.DataObject
) -> None:
    campaign, cluster = pair
    planner = delayed(delays)
    plans = every_budget(campaign, cluster, planner)
    campaign = replace(campaign, deadline=data.draw(st.integers(1, 80)))
    sizing = size_campaign(campaign, cluster, planner, most_plans=most)
    untried = {n for first, last in sizing.untried for n in range(first, last + 1)}
    end = sizing.chosen.nodes if sizing.chosen else len(plans) + 1
    for nodes, plan in plans.items():
        if nodes < end and plan.makespan <= (campaign.deadline or 0):
            assert nodes in untried
    assert not untried.intersection(size.nodes for size in sizing.rows)


@share(0.5)
@given(pairs(SHORT, most=8))
def test_without_a_deadline_there_are_plans_to_look_at_and_none_is_chosen(
    pair: tuple[Campaign, Cluster],
) -> None:
    sizing = size_campaign(*pair, plan_campaign)
    assert sizing.chosen is None
    assert sizing.rows
    free = replace(pair[0], budget=Budget())
    assert sizing.best.plan.makespan <= plan_campaign(free, pair[1]).makespan
    with pytest.raises(ConfigError, match="no deadline"):
        size_campaign(*pair, plan_campaign, minimize="charge")


def rigid(name: str, nodes: int, runtime: int, *depends: str) -> Workflow:
    return Workflow(
        name=name, request=ResourceRequest(ranks=nodes, runtime=runtime), depends=depends
    )


SIX = Cluster(name="six", partitions=(Partition(name="cpu", nodes=6, cores=1, memory=1),))
FIVE = [
    rigid("a", 2, 4),
    rigid("b", 3, 1),
    rigid("c", 2, 4, "b"),
    rigid("d", 3, 2, "a", "c"),
    rigid("e", 3, 6),
]
ANOMALY = replace(Campaign.of("anomaly", FIVE, deadline=10), policy="heft")


def test_with_one_node_more_a_plan_may_be_late() -> None:
    """One of Graham's anomalies, of plain HEFT; halving would end with nothing.

    With six nodes e begins at once, beside b, and a has to wait.
    """
    plans = every_budget(ANOMALY, SIX, plan_campaign)
    assert {nodes: plan.makespan for nodes, plan in plans.items()} == {3: 17, 4: 13, 5: 10, 6: 11}
    sizing = size_campaign(ANOMALY, SIX, plan_campaign)
    assert sizing.chosen is not None
    assert sizing.chosen.nodes == 5
    assert size_campaign(replace(ANOMALY, deadline=9), SIX, plan_campaign).chosen is None


def test_where_some_workflow_fits_nowhere_the_reasons_are_the_planners() -> None:
    campaign = Campaign.of("large", [rigid("a", 7, 1)], deadline=10)
    for minimize in ("nodes", "charge"):
        with pytest.raises(Infeasible) as caught:
            size_campaign(campaign, SIX, plan_campaign, minimize=minimize)
        assert "needs 7 nodes" in caught.value.reasons[0]


def test_a_deadline_that_no_plan_can_meet_is_not_planned_for_with_each_budget() -> None:
    made = []

    def planner(campaign: Campaign, cluster: Cluster) -> Plan:
        made.append(campaign.budget.nodes)
        return plan_campaign(campaign, cluster)

    wide = Cluster(name="wide", partitions=(Partition(name="cpu", nodes=90, cores=1, memory=1),))
    many = [rigid(f"w{k}", 1, 5) for k in range(80)]
    sizing = size_campaign(Campaign.of("many", many, deadline=4), wide, planner)
    assert sizing.chosen is None
    assert (sizing.floor, sizing.bound) == (91, 5)
    assert len(made) < 12


def test_where_there_are_too_many_budgets_halving_comes_first() -> None:
    """Between two steps, 55 and 71 nodes, there are more budgets than may be tried."""
    wide = Cluster(name="wide", partitions=(Partition(name="cpu", nodes=90, cores=1, memory=1),))
    many = [rigid(f"w{k}", 1, 5) for k in range(80)]

    def planner(campaign: Campaign, cluster: Cluster) -> Plan:
        slow = [0, 100][(campaign.budget.nodes or 0) < 67]
        return delayed([slow])(campaign, cluster)

    campaign = Campaign.of("many", many, deadline=10)
    sizing = size_campaign(campaign, wide, planner, most_plans=10)
    assert sizing.chosen is not None
    assert sizing.floor == 40
    assert sizing.chosen.nodes == 67
    assert sizing.untried
    assert size_campaign(campaign, wide, planner, most_plans=40).untried == ()


# What is cheap


@st.composite
def charging(draw: st.DrawFn) -> Cluster:
    """A cluster whose QOS cost different amounts."""
    cluster = draw(clusters())
    charges = st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0])
    return replace(cluster, qos=tuple(replace(q, charge=draw(charges)) for q in cluster.qos))


def cost(plan: Plan, minimize: Objective) -> float:
    return plan.charged_core_hours if minimize == "charge" else plan.core_hours


@share(0.6)
@given(
    pairs(SHORT, most=6, cluster=charging()),
    st.sampled_from(["core-hours", "charge"]),
    st.data(),
)
def test_the_cheapest_plan_is_in_time_and_no_dearer_than_where_time_alone_counts(
    pair: tuple[Campaign, Cluster], minimize: Objective, data: st.DataObject
) -> None:
    campaign, cluster = pair
    plans = every_budget(campaign, cluster, plan_campaign)
    campaign = replace(campaign, deadline=data.draw(st.integers(1, 60)))
    sizing = size_campaign(campaign, cluster, plan_campaign, minimize=minimize)
    in_time = {n: p for n, p in plans.items() if p.makespan <= (campaign.deadline or 0)}
    if sizing.chosen is None:
        assert not in_time
        return
    plan = sizing.chosen.plan
    assert faults(plan) == []
    assert plan.feasible
    assert plan.peak_nodes <= sizing.chosen.nodes
    assert sizing.least is not None
    assert cost(plan, minimize) >= sizing.least - 1e-9
    assert all(cost(p, minimize) >= sizing.least - 1e-9 for p in plans.values())
    if (same := in_time.get(sizing.chosen.nodes)) is not None:
        assert cost(plan, minimize) <= cost(same, minimize) + 1e-9
    if sizing.usual is not None:
        assert cost(plan, minimize) <= cost(sizing.usual.plan, minimize) + 1e-9 or (
            not sizing.usual.in_time
        )
    # What is named is all that was changed, and within what the campaign admits.
    for name, workflow in plan.campaign.workflows.items():
        request = campaign.workflows[name].request
        partition, qos = sizing.named.get(name, (request.partition, request.qos))
        assert workflow.request == replace(request, partition=partition, qos=qos)


BY_CHARGE = Cluster(
    name="qos",
    partitions=(Partition(name="cpu", nodes=4, cores=4, memory=1000),),
    qos=(
        Qos(name="cheap", running_jobs=1, walltime=86400),
        Qos(name="dear", charge=3.0),
    ),
)


def hours(count: int, deadline: int) -> Campaign:
    work = [
        Workflow(name=f"w{k}", request=ResourceRequest(ranks=4, runtime=3600)) for k in range(count)
    ]
    return Campaign.of("hours", work, deadline=deadline * 3600)


def test_only_what_must_be_fast_moves_to_the_dearer_qos() -> None:
    """The cheap QOS runs one job at a time: of six, three are done by then."""
    sizing = size_campaign(hours(6, 3), BY_CHARGE, plan_campaign, minimize="charge")
    assert sizing.chosen is not None
    plan = sizing.chosen.plan
    assert sorted(w.qos or "" for w in plan.workflows) == ["cheap"] * 3 + ["dear"] * 3
    assert plan.charged_core_hours == pytest.approx(3 * 4 + 3 * 4 * 3)
    assert sizing.chosen.nodes == 2
    assert sizing.least == pytest.approx(6 * 4)
    assert sizing.usual is None or sizing.usual.plan.charged_core_hours > plan.charged_core_hours


def test_with_time_enough_nothing_is_dear() -> None:
    sizing = size_campaign(hours(6, 6), BY_CHARGE, plan_campaign, minimize="charge")
    assert sizing.chosen is not None
    assert sizing.chosen.nodes == 1
    assert {w.qos for w in sizing.chosen.plan.workflows} == {"cheap"}
    assert sizing.chosen.plan.charged_core_hours == pytest.approx(sizing.least)


def test_whole_nodes_are_left_to_those_that_fill_them() -> None:
    """By time alone all would get nodes of their own."""
    cluster = Cluster(
        name="shares",
        partitions=(Partition(name="cpu", nodes=4, cores=4, memory=1000),),
        qos=(
            Qos(name="whole", exclusive=True, walltime=7200),
            Qos(name="shared", walltime=86400),
        ),
    )
    work = [Workflow(name=f"w{k}", request=ResourceRequest(runtime=3600)) for k in range(4)]
    campaign = Campaign.of("small", work, deadline=3600)
    sizing = size_campaign(campaign, cluster, plan_campaign, minimize="core-hours")
    assert sizing.chosen is not None
    assert sizing.chosen.nodes == 1
    assert sizing.chosen.plan.core_hours == pytest.approx(4)
    assert set(sizing.named.values()) == {(None, "shared")}


# As a user meets it

CLUSTER_FILE = """\
name = "bench"
[[partitions]]
name = "cpu"
nodes = 28
cores-per-node = 8
memory-per-node = 1000
[[qos]]
name = "cheap"
running-jobs = 1
walltime = "2d"
[[qos]]
name = "dear"
charge = 3.0
"""
TOML = """\
[campaign]
deadline = "DEADLINE"
resource = "bench.toml"
requested_resources = 50
[[campaign.power-spectra]]
script = "x"
resources = { threads = 8, runtime = "1h" }
[[campaign.power-spectra]]
script = "x"
resources = { threads = 8, runtime = "1h" }
[[campaign.power-spectra]]
script = "x"
resources = { threads = 8, runtime = "1h" }
"""
YAML = """\
campaign:
  deadline: DEADLINE
  resource: bench.toml
stages:
  a: {executable: "true", resources: {threads: 8, runtime: 1h}}
  b: {executable: "true", resources: {threads: 8, runtime: 1h}}
  c: {executable: "true", resources: {threads: 8, runtime: 1h}}
"""


def campaign_file(folder: Path, name: str, deadline: str) -> Path:
    (folder / "bench.toml").write_text(CLUSTER_FILE, encoding="utf-8")
    text = TOML if name.endswith("toml") else YAML
    (folder / name).write_text(text.replace("DEADLINE", deadline), encoding="utf-8")
    return folder / name


@pytest.mark.parametrize("name", ["c.toml", "c.yaml"])
def test_what_is_said_to_be_written_does_what_was_said(name: str, tmp_path: Path) -> None:
    file = campaign_file(tmp_path, name, "2h")
    done = socm("plan", file, "--minimize", "nodes")
    assert done.returncode == 0, done.stderr
    assert "2 nodes will do: done after 2 h, just at the deadline of 2 h." in done.stdout
    assert "with 1 node no plan ends before 3 h (lower bound)" in done.stdout
    text = file.read_text(encoding="utf-8")
    if name.endswith("toml"):
        assert "in place of requested_resources = 50" in done.stdout
        assert "  [campaign.resources]\n  nodes = 2\n" in done.stdout
        text = text.replace("requested_resources = 50\n", "")
        text += "[campaign.resources]\nnodes = 2\n"
    else:
        assert "  campaign:\n    resources: {nodes: 2}\n" in done.stdout
        text = text.replace("campaign:\n", "campaign:\n  resources: {nodes: 2}\n")
    file.write_text(text, encoding="utf-8")
    plan = json.loads(socm("plan", file, "--json").stdout)
    assert (plan["makespan_s"], plan["feasible"], plan["nodes"]) == (7200, True, 2)


def test_the_qos_that_is_said_to_be_named_is(tmp_path: Path) -> None:
    file = campaign_file(tmp_path, "c.yaml", "2h")
    cluster = tmp_path / "bench.toml"
    cluster.write_text(CLUSTER_FILE.replace('"cheap"\n', '"whole"\nexclusive = true\n'))
    file.write_text(file.read_text(encoding="utf-8").replace("threads: 8", "threads: 2"))
    cluster.write_text(cluster.read_text(encoding="utf-8").replace("3.0", "1.5"))
    done = socm("plan", file, "--minimize", "charge")
    assert 'and qos = "dear" into the resources of a, b, c' in done.stdout
    assert "9.0 core-hours charged: no plan takes less" in done.stdout
    assert "where time alone counts, the same nodes take" in done.stdout


def test_the_document_is_the_plan_with_a_row_for_each_budget(tmp_path: Path) -> None:
    file = campaign_file(tmp_path, "c.toml", "2h")
    output = tmp_path / "plan.json"
    done = socm("plan", file, "--minimize", "nodes", "--json", "--output", output)
    document = json.loads(done.stdout)
    assert document == json.loads(output.read_text(encoding="utf-8"))
    assert document["minimize"] == "nodes"
    assert {k: v for k, v in document["campaign"]["budget"].items() if v} == {"nodes": 2}
    rows = [(r["nodes"], r["makespan_s"], r["chosen"]) for r in document["sizing"]]
    assert rows == [(2, 7200, True), (3, 3600, False)]
    assert document["sizing"][1] == {
        "nodes": 3,
        "makespan_s": 3600,
        "lower_bound_s": 3600,
        "core_hours": pytest.approx(24),
        "charged_core_hours": pytest.approx(56),
        "margin_s": 3600,
        "feasible": True,
        "chosen": False,
    }
    assert socm("simulate", output, "-n", "0").returncode == 0


def test_no_budget_is_exit_code_3_with_reasons(tmp_path: Path) -> None:
    file = campaign_file(tmp_path, "c.toml", "30m")
    done = socm("plan", file, "--minimize", "nodes")
    assert done.returncode == 3
    assert "No budget meets the deadline of 30 min" in done.stdout
    assert "with all 28 nodes of bench no plan ends before 1 h (lower bound)" in done.stdout
    assert "write into" not in done.stdout
    assert not json.loads(socm("plan", file, "--minimize", "nodes", "--json").stdout)["feasible"]


def test_without_a_deadline_the_table_is_all(tmp_path: Path) -> None:
    file = campaign_file(tmp_path, "c.yaml", "2h")
    file.write_text(file.read_text(encoding="utf-8").replace("  deadline: 2h\n", ""))
    done = socm("plan", file, "--minimize", "nodes")
    assert done.returncode == 0
    assert "No deadline is given" in done.stdout
    assert re.search(r"^ +3 +1:00:00", done.stdout, re.MULTILINE)
    done = socm("plan", file, "--minimize", "core-hours")
    assert done.returncode == 2
    assert 'say deadline = "3d" in [campaign]' in done.stderr


def test_a_picture_shows_what_the_table_says(tmp_path: Path) -> None:
    file = campaign_file(tmp_path, "c.toml", "2h")
    picture = tmp_path / "nodes.svg"
    done = socm("plan", file, "--minimize", "nodes", "--plot", picture)
    assert done.returncode == 0, done.stderr
    text = picture.read_text(encoding="utf-8")
    for words in ("2 nodes will do", "deadline 2 h", "2 nodes: 2 h", "no plan ends here", "margin"):
        assert words in text
    socm("plan", file, "--minimize", "nodes", "--plot", picture)
    assert picture.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("deadline", ["1m", "4d"])
def test_pictures_without_a_deadline_in_sight(deadline: str, tmp_path: Path) -> None:
    file = campaign_file(tmp_path, "c.toml", deadline)
    for minimize in ("nodes", "charge"):
        picture = tmp_path / f"{minimize}.png"
        socm("plan", file, "--minimize", minimize, "--plot", picture)
        assert picture.stat().st_size > 10_000
    file.write_text(file.read_text(encoding="utf-8").replace(f'deadline = "{deadline}"\n', ""))
    socm("plan", file, "--minimize", "nodes", "--plot", tmp_path / "none.pdf")
    assert (tmp_path / "none.pdf").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--minimize", "nodes", "--plot", "x.html"], "a sizing is not drawn as HTML"),
        (["--minimize", "nodes", "--plot", "x.gif"], "does not end in a format of pictures"),
        (["--plot", "x.svg"], "--plot draws what --minimize finds"),
        (["--minimize", "money"], "money"),
    ],
)
def test_what_cannot_be_drawn_or_made_small_is_told(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    done = socm("plan", campaign_file(tmp_path, "c.toml", "2h"), *arguments)
    assert done.returncode == 2
    assert said in done.stderr
