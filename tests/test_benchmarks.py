"""What the benchmarks measure with is what they say. Nothing here is timed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import compiled, peers
from benchmarks.instances import (
    KINDS,
    HeldOut,
    cluster_of,
    held_out,
    layered_campaign,
    whole_node_campaign,
)
from benchmarks.peers import Slot, faults
from benchmarks.planner import measure
from benchmarks.quality import plans
from benchmarks.table import MARKDOWN, Figure, show, summarize
from socm.errors import Infeasible
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.planner import Effort, plan_campaign
from socm.planner.schemes import SWITCH

SMALL = [*held_out(sizes=(12, 30), seeds=(1,))]


@pytest.mark.parametrize("held", SMALL, ids=lambda h: f"{h.kind} {len(h.campaign.workflows)}")
def test_held_out_instances_can_be_planned_and_are_tight(held: HeldOut) -> None:
    plan_campaign(held.campaign, held.cluster, effort=Effort(iterations=0))
    (partition,) = held.cluster.partitions
    requests = [w.request for w in held.campaign.workflows.values()]
    finish: dict[str, int] = {}
    for name in held.campaign.order:
        w = held.campaign.workflows[name]
        finish[name] = w.request.runtime + max((finish[d] for d in w.depends), default=0)
    area = max(
        sum(w.ranks * w.threads * w.runtime for w in requests) / partition.cores,
        sum(w.memory * w.runtime for w in requests) / partition.memory,
    )
    wanted = area / max(finish.values())  # nodes
    assert wanted <= partition.nodes + 0.5
    if wanted < partition.nodes - 0.5:  # as the widest needs them
        with pytest.raises(Infeasible):
            plan_campaign(held.campaign, cluster_of(partition.nodes - 1))


def test_held_out_instances_are_of_each_kind_and_the_same_each_time() -> None:
    assert {held.kind for held in SMALL} == {*KINDS}
    assert [*held_out(sizes=(12, 30), seeds=(1,))] == SMALL
    assert [*held_out(sizes=(12, 30), seeds=(2,))] != SMALL


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_makes_as_many_workflows_as_were_asked_for(kind: str) -> None:
    for n in (2, 13, 40):
        assert len(KINDS[kind](n, 1).workflows) == n


def test_of_whole_nodes_one_comes_first_and_one_last() -> None:
    campaign = whole_node_campaign(50, 1)
    awaited = {parent for w in campaign.workflows.values() for parent in w.depends}
    assert len(campaign.workflows) == 50
    assert [w.name for w in campaign.workflows.values() if not w.depends] == ["w00000"]
    assert [name for name in campaign.workflows if name not in awaited] == ["w00049"]


def _campaign(*requests: ResourceRequest) -> Campaign:
    return Campaign.of(
        "c", [Workflow(name=f"w{k}", request=request) for k, request in enumerate(requests)]
    )


WIDE = ResourceRequest(ranks=2, threads=6, memory=1_200, runtime=60)
NODES = cluster_of(2, cores=8, memory=1_000)


def test_a_peers_plan_is_judged_rank_by_rank() -> None:
    # Cores 6 to 11 are on two nodes.
    found = faults(_campaign(WIDE), NODES, [Slot("w0", 0, 60, 0)])
    assert found == ["workflows with a rank on two nodes: 1"]


def test_a_peers_plan_is_judged_at_all_times() -> None:
    whole = ResourceRequest(ranks=2, threads=8, memory=2_000, runtime=60)
    campaign, first = _campaign(whole, whole), Slot("w0", 0, 60, 0)
    assert faults(campaign, NODES, [first, Slot("w1", 60, 120, 0)]) == []
    overlapping = faults(campaign, NODES, [first, Slot("w1", 59, 119, 0)])
    assert overlapping == ["nodes short of cores: 2", "nodes short of memory: 2"]


def test_a_peers_plan_is_judged_by_the_memory_of_each_node() -> None:
    # All of it is there, but not on one node.
    half = ResourceRequest(ranks=1, threads=4, memory=600, runtime=60)
    side_by_side = [Slot("w0", 0, 60, 0), Slot("w1", 0, 60, 4)]
    apart = [Slot("w0", 0, 60, 0), Slot("w1", 0, 60, 8)]
    assert faults(_campaign(half, half), NODES, side_by_side) == ["nodes short of memory: 1"]
    assert faults(_campaign(half, half), NODES, apart) == []


def test_a_peers_plan_is_judged_by_dependencies() -> None:
    hour = ResourceRequest(threads=1, memory=1, runtime=60)
    campaign = Campaign.of(
        "c",
        [Workflow(name="w0", request=hour), Workflow(name="w1", request=hour, depends=("w0",))],
    )
    wrong = [Slot("w0", 0, 60, 0), Slot("w1", 59, 119, 1)]
    assert faults(campaign, NODES, wrong) == ["workflows before a dependency ends: 1"]


def test_without_peers_their_benchmark_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SOCM_PEERS_PYTHON", str(tmp_path / "python"))
    assert peers.main() == []
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.count("NOT measured: `make peers` installs it") == 2


def test_a_measurement_compares_with_heft() -> None:
    measured = measure(layered_campaign(20, seed=1))
    assert measured.over_heft == 1
    assert measured.over_bound >= 1
    assert 0 < measured.load <= 1


def test_quality_is_measured_for_each_effort() -> None:
    kind, campaign, cluster = SMALL[0]
    found = [plan for plan, _ in plans(campaign, cluster, [0.0])]
    assert len(found) == 4, kind
    assert max(plan.makespan for plan in found) == found[0].makespan


def test_plain_and_compiled_are_measured_in_processes_of_their_own() -> None:
    plain, users = (compiled.in_process(v, compiled_code_is_off, 1) for v in compiled.VARIANTS)
    assert (plain, users) == (1, 0)
    assert compiled.generated(0.0, 1) >= 1


def compiled_code_is_off(seed: int) -> float:
    return os.environ.get(SWITCH) == "0"


def test_tables_are_aligned_or_markdown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(MARKDOWN, raising=False)
    show("Title", ("what", "n"), [("a", 1.0), ("long", 22)])
    assert capsys.readouterr().out == "\nTitle\nwhat      n\na     1.000\nlong     22\n"
    monkeypatch.setenv(MARKDOWN, "markdown")
    show("Title", ("what", "n"), [("a", 1.0)])
    assert capsys.readouterr().out == "\nTitle\n\n| what | n |\n| --- | --: |\n| a | 1.000 |\n"


def test_a_summary_says_which_targets_are_missed(capsys: pytest.CaptureFixture[str]) -> None:
    summarize([Figure("a", "1", "", "2", met=True), Figure("b", "3", "", "2", met=False)])
    *_, a, b = capsys.readouterr().out.splitlines()
    assert a.endswith("yes")
    assert b.endswith("NO")
