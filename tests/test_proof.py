"""What CP-SAT proves holds for every plan, and the plans that it points to are plans."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SHORT, clusters, faults, pairs, reservations
from test_bounds import admitted, best_of_all_orders, job
from test_cli import socm

from benchmarks.instances import Instance, quality_instances
from socm.errors import ConfigError
from socm.model.allocation import of_jobs
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.check import check_plan
from socm.model.cluster import Cluster
from socm.model.document import plan_document, read_plan
from socm.model.partition import Partition
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import plan_campaign
from socm.planner.bounds import lower_bound, proof
from socm.planner.bounds.proof import prove
from socm.planner.bounds.relaxation import Relaxation
from socm.planner.sizing.allocation import plan_allocation
from socm.report.verdict import plan_verdict, proof_verdict

NEVER = 10**7


def proved(plan: Plan, *, seconds: float = 20.0) -> proof.Proof:
    """A proof by one thread: many small ones are sooner done that way."""
    return prove(plan, seconds=seconds, workers=1)


@given(pairs(SHORT, most=4, cluster=clusters(most_partitions=2, most_qos=2)))
def test_no_order_and_no_choice_of_options_beats_what_is_proved(
    pair: tuple[Campaign, Cluster],
) -> None:
    """Nor does CP-SAT find the best of all these plans impossible, however good it is."""
    plan = plan_campaign(*pair)
    best = best_of_all_orders(*pair)
    result = proved(plan)
    assert result.bound <= best
    assert result.plan.makespan <= plan.makespan
    assert faults(result.plan) == []
    if result.optimal:
        assert result.plan.makespan == result.bound <= best


@given(pairs(most=9), st.data())
def test_our_bounds_are_none_that_the_relaxation_beats(
    pair: tuple[Campaign, Cluster], data: st.DataObject
) -> None:
    """All that they know is in it; CP-SAT, which is not told of them, must come to as much."""
    windows = data.draw(reservations(pair[1]))
    before = plan_campaign(*pair, reservations=windows)
    now = data.draw(st.sampled_from([0, before.makespan // 3]))
    begun = data.draw(st.integers(0, before.makespan))
    fixed = [w for w in before.workflows if w.start < begun]
    plan = plan_campaign(*pair, start=now, reservations=windows, fixed=fixed)
    options = admitted(*pair)
    own = lower_bound(*pair, options, start=now, fixed=fixed, known=NEVER)
    naive = replace(plan, lower_bound=now)
    found = Relaxation(naive, options).solve(
        seconds=20, workers=1, seed=0, found=lambda order: None
    )
    assert found.bound == found.makespan, "20 s are enough for nine workflows"
    assert own <= found.bound <= plan.makespan
    result = proved(plan)
    assert max(own, found.bound) <= result.bound <= result.plan.makespan <= plan.makespan
    assert faults(result.plan) == []


SMALL = [i for i in quality_instances() if i.name in ("montage-2mass-01d", "random-50")]


@pytest.mark.parametrize("instance", SMALL, ids=lambda instance: instance.name)
def test_known_optima_are_not_beaten(instance: Instance) -> None:
    plan = plan_campaign(instance.campaign, instance.cluster)
    result = prove(plan, seconds=5)
    assert result.bound <= instance.best
    assert instance.bound <= result.plan.makespan <= plan.makespan
    assert result.optimal == (result.status == "optimal")
    check_plan(result.plan)


def one_node(*workflows: Any) -> Plan:
    cpu = Partition(name="cpu", nodes=1, cores=8, memory=800)
    return plan_campaign(Campaign.of("c", workflows), Cluster(name="one", partitions=(cpu,)))


def trap() -> Plan:
    """HEFT begins with the long one, and the chain waits for it."""
    return one_node(
        job("long", threads=7, runtime=100),
        job("first", runtime=30),
        job("short", "first", threads=7, runtime=20),
        job("last", "short", runtime=80),
    )


def test_a_shorter_plan_is_found_and_proved_optimal() -> None:
    plan = trap()
    assert plan.makespan == 200
    result = proved(plan)
    assert result.status == "optimal"
    assert result.plan.makespan == result.bound == 150
    assert result.plan.optimal
    assert "optimal" in proof_verdict(result)


def halves() -> Plan:
    """Two at a time; the six last 64 s together, but there are no three of 32 s."""
    runtimes = [7, 5, 11, 6, 18, 17]
    return one_node(*(job(f"w{k}", threads=4, runtime=t) for k, t in enumerate(runtimes)))


def test_where_only_cp_sat_proves_it_the_certificate_says_so(tmp_path: Path) -> None:
    plan = halves()
    assert (plan.lower_bound, plan.makespan, plan.proved_by) == (32, 33, "bounds")
    result = proved(plan)
    assert result.optimal
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan_document(result.plan)))
    certificate = json.loads(file.read_text())["certificate"]
    assert certificate == {"bound_s": 33, "by": "CP-SAT", "optimal": True}
    assert read_plan(file) == result.plan


def test_without_time_our_own_bound_remains() -> None:
    result = proved(halves(), seconds=0)
    assert (result.status, result.bound) == ("bounded", 32)
    assert "no plan ends before 32 s (gap 3.1%)" in proof_verdict(result)


def test_what_is_proved_already_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "Relaxation", None)
    result = prove(one_node(job("a"), job("b", "a")))
    assert result.status == "optimal"
    assert result.plan.proved_by == "bounds"


def test_a_campaign_that_is_too_large_keeps_our_own_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "MOST", 3)
    plan = trap()
    result = prove(plan)
    assert result.status == "too large"
    assert result.plan == plan
    assert "Too large for CP-SAT" in proof_verdict(result)


def test_limits_of_qos_are_part_of_what_is_proved() -> None:
    cpu = Partition(name="cpu", nodes=9, cores=8, memory=800)
    qos = (Qos(name="one", running_jobs=1), Qos(name="two", running_jobs=2))
    cluster = Cluster(name="limited", partitions=(cpu,), qos=qos)
    campaign = Campaign.of("c", [job(f"w{k}", runtime=60 + 10 * k) for k in range(5)])
    result = proved(plan_campaign(campaign, cluster))
    assert result.optimal
    assert result.bound == 150  # 60 + 90, 70 + 80 and 100 beside each other


# Without OR-Tools, and on the command line


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "trap.json"
    path.write_text(json.dumps(plan_document(trap())))
    return path


def test_without_or_tools_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ortools", None)
    with pytest.raises(ConfigError) as caught:
        prove(trap())
    [problem] = caught.value.problems
    assert problem.hint is not None
    assert "socm[prove]" in problem.hint


def test_the_command_line_prints_the_better_plan(file: Path) -> None:
    before, after = (
        json.loads(socm("plan", file, *asked, "--json").stdout)
        for asked in ((), ("--prove", "--time-limit", "20"))
    )
    assert before["certificate"]["optimal"] is False
    assert after["certificate"] == {"bound_s": 150, "by": "bounds", "optimal": True}
    assert (after["makespan_s"], after["lower_bound_s"], after["gap"]) == (150, 150, 0.0)


def test_the_command_line_says_what_is_proved(file: Path) -> None:
    done = socm("plan", file, "--prove", "--time-limit", "20")
    assert done.returncode == 0
    assert "Proved optimal" in done.stdout
    assert "lower bound  2 min 30 s (proved optimal)" in done.stdout


def test_the_command_line_says_what_is_missing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ortools", None)
    done = socm("plan", file, "--prove", "--time-limit", "1")
    assert done.returncode == 2
    assert "pip install 'socm[prove]'" in done.stderr


def test_steps_in_allocations_are_not_proved_by_the_limits_of_jobs() -> None:
    """They need not keep to these, so that a bound of theirs would be none."""
    minute = ResourceRequest(runtime=60)
    campaign = Campaign.of("steps", [Workflow(name=f"w{k}", request=minute) for k in range(4)])
    node = Partition(name="p", nodes=1, cores=4, memory=1)
    one_at_a_time = Qos(name="q", running_jobs=1)
    cluster = Cluster(name="one", partitions=(node,), qos=(one_at_a_time,))
    plan = plan_allocation(campaign, cluster, plan_campaign)
    assert plan.makespan == plan.lower_bound == 60
    assert not plan.optimal
    with pytest.raises(ConfigError, match="--shape jobs"):
        of_jobs(plan)


def test_a_late_allocation_does_not_say_that_no_plan_can_meet_the_deadline() -> None:
    """Its bound is that of its nodes; each workflow a job, all of this would be in time."""
    hour = ResourceRequest(threads=4, runtime=3600)
    work = [Workflow(name=f"w{k}", request=hour) for k in range(4)]
    campaign = Campaign.of("late", work, deadline=3600)
    node = Partition(name="p", nodes=4, cores=4, memory=1)
    cluster = Cluster(name="c", partitions=(node,), qos=(Qos(name="q", nodes_per_job=2),))
    plan = plan_allocation(campaign, cluster, plan_campaign)
    assert plan_campaign(campaign, cluster).feasible
    assert plan.lower_bound > 3600
    assert "no plan can" not in plan_verdict(plan)
