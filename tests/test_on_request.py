"""What a plan uses only where it is asked for: tests, what SLURM may stop, GPUs that idle."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_clusters import imported, recorded

from socm.errors import Infeasible
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.qos import Qos
from socm.planner import plan_campaign
from socm.planner.whynot import why_not
from socm.planner.whynot.changes import NamedQos
from socm.report.cluster import cluster_tables
from socm.report.whynot import why_not_document

HOUR = 3600
CPU = Partition(name="cpu", nodes=2, cores=8, memory=1000)
SPARE = replace(CPU, name="spare", nodes=8, preemptible=True)
GPU = replace(CPU, name="gpu", nodes=8, gpus=4)
USUAL = Qos(name="usual", walltime=12 * HOUR)
LEFT = Qos(name="left", walltime=12 * HOUR, charge=0, preemptible=True)


def maps(**asked: object) -> Campaign:
    request = ResourceRequest(threads=8, runtime=HOUR, **asked)  # type: ignore[arg-type]
    return Campaign.of("maps", [Workflow(name=f"m{k}", request=request) for k in range(6)])


def places(cluster: Cluster, **asked: object) -> set[tuple[str, str | None]]:
    return {(w.partition, w.qos) for w in plan_campaign(maps(**asked), cluster).workflows}


@pytest.mark.parametrize("shy", [SPARE, replace(SPARE, preemptible=False, debug=True), GPU])
def test_a_partition_is_left_alone_until_it_is_named(shy: Partition) -> None:
    cluster = Cluster(name="two", partitions=(CPU, shy))
    assert places(cluster) == {("cpu", None)}
    assert places(cluster, partition=shy.name) == {(shy.name, None)}


def test_a_preemptible_qos_is_left_alone_until_it_is_named() -> None:
    cluster = Cluster(name="two", partitions=(CPU,), qos=(LEFT, USUAL))
    assert places(cluster) == {("cpu", "usual")}
    assert places(cluster, qos="left") == {("cpu", "left")}


def test_to_name_a_qos_that_leads_nowhere_else_is_to_ask_for_its_partition() -> None:
    only = replace(LEFT, partitions=("spare",))
    cluster = Cluster(name="two", partitions=(CPU, SPARE), qos=(only, USUAL))
    assert places(cluster, qos="left") == {("spare", "left")}
    assert places(cluster, qos="usual") == {("cpu", "usual")}


def test_work_with_gpus_goes_where_they_are_and_other_work_where_all_nodes_have_them() -> None:
    assert places(Cluster(name="two", partitions=(CPU, GPU)), gpus=1) == {("gpu", None)}
    assert places(Cluster(name="one", partitions=(GPU,))) == {("gpu", None)}


def test_the_risk_is_told_with_the_plan() -> None:
    cluster = Cluster(name="two", partitions=(CPU,), qos=(LEFT, USUAL))
    plan = plan_campaign(maps(qos="left"), cluster)
    assert plan.warnings == ("6 workflows in left: SLURM may stop their jobs for those of others",)
    assert plan_campaign(maps(), cluster).warnings == ()


def test_where_only_such_a_partition_holds_a_workflow_it_is_named_as_the_way_out() -> None:
    wide = Partition(name="wide", nodes=1, cores=64, memory=9000, gpus=4)
    with pytest.raises(Infeasible) as refused:
        plan_campaign(maps(memory=5000), Cluster(name="two", partitions=(CPU, wide)))
    assert "or partition wide" in " ".join(refused.value.remedies)
    one = Cluster(name="one", partitions=(SPARE,))
    _, reasons = one.admit(ResourceRequest(runtime=1))
    assert reasons == ("a partition of one must be named: spare",)


def test_why_not_offers_a_qos_on_request_with_the_partition_that_it_alone_leads_to() -> None:
    only = replace(LEFT, partitions=("spare",))
    cluster = Cluster(name="two", partitions=(CPU, SPARE), qos=(only, USUAL))
    plan = plan_campaign(replace(maps(), deadline=HOUR), cluster)
    why = why_not(plan, plan_campaign)
    named = [r.change for r in why.remedies if isinstance(r.change, NamedQos)]
    assert [{*change.qos.values()} for change in named] == [{"left"}]
    assert any("QOS left (preemptible) for" in r["text"] for r in why_not_document(why)["remedies"])


def test_they_are_marked_in_the_tables() -> None:
    cluster = Cluster(name="two", partitions=(CPU, SPARE), qos=(LEFT, USUAL))
    marked = [[*table.columns[-1].cells] for table in cluster_tables(cluster)]
    assert marked == [["", "preemptible"], ["preemptible", ""]]


def test_qos_that_others_preempt_or_that_cost_nothing_are_imported_as_such() -> None:
    config = "PreemptMode = REQUEUE\nPreemptType = preempt/qos\n"
    rows = recorded().qos or ""
    header = rows.splitlines()[0].split("|")
    preempt, factor = header.index("Preempt"), header.index("UsageFactor")
    changed = []
    for row in (line.split("|") for line in rows.splitlines()):
        row[preempt] = {"normal": "short,debug"}.get(row[0], row[preempt])
        row[factor] = {"long": "0.000000"}.get(row[0], row[factor])
        changed.append("|".join(row))
    answers = recorded(config=recorded().config + config, qos="\n".join(changed))
    cluster, _ = imported(answers)
    assert {q.name for q in cluster.qos if q.preemptible} == {"short", "debug"}
    assert "its charge is 0" in str(cluster.by_qos["long"].note)
    assert cluster.by_qos["long"].on_request
    cluster, _ = imported(replace(answers, config=answers.config.replace("REQUEUE", "OFF")))
    assert not any(q.preemptible for q in cluster.qos)
    off = [row.replace("|cluster|", "|OFF|") if "short" in row else row for row in changed]
    cluster, _ = imported(replace(answers, qos="\n".join(off)))
    assert {q.name for q in cluster.qos if q.preemptible} == {"debug"}


def test_partitions_below_the_tier_of_others_on_their_nodes_are_imported_as_preemptible() -> None:
    config = recorded().config + "PreemptMode = REQUEUE\nPreemptType = preempt/partition_prio\n"
    low = "PreemptMode=REQUEUE PriorityTier=1"
    lines = []
    for line in recorded().partitions.splitlines():
        line = line.replace("PreemptMode=OFF", "").replace("PriorityTier=1", "")
        name = line.split()[0]
        lines.append(line + (" PreemptMode=OFF PriorityTier=9" if "quick" in name else f" {low}"))
    cluster, _ = imported(recorded(config=config, partitions="\n".join(lines)))
    # gpu has no node in common with quick, cpu has.
    assert {p.name for p in cluster.partitions if p.preemptible} == {"cpu", "cpu-2"}
