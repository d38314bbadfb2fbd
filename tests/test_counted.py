"""Counted resources of a campaign's own: at most so many in use at once, wherever that matters."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from builders import job
from strategies import exact, excesses, simulate

from socm.config.campaign import load_campaign
from socm.engine.release import Release, eager, hand_over_or_due
from socm.errors import ConfigError, InvalidPlan
from socm.exchange.campaign_file import campaign_file
from socm.model.allocation import AllocationPlan
from socm.model.campaign import Budget, Campaign, Workflow
from socm.model.check import check_plan
from socm.model.cluster import Cluster
from socm.model.document import plan_document, read_plan
from socm.model.partition import Partition
from socm.model.plan import Plan
from socm.planner import plan_campaign
from socm.planner.bounds import lower_bound
from socm.planner.instance import Instance, instance_of, modes_of
from socm.planner.ranking import Priority, by_rank
from socm.planner.schedule import Schedule
from socm.planner.schemes import parallel, serial
from socm.planner.sizing.allocation import plan_allocation
from socm.planner.whynot import why_not
from socm.planner.whynot.bottlenecks import CountedWork
from socm.planner.whynot.changes import MoreUses
from socm.report.whynot import why_not_document

CLUSTER = Cluster(name="c", partitions=(Partition(name="cpu", nodes=4, cores=8, memory=1000),))


def reading(*amounts: int, limit: int = 4, **more: object) -> Campaign:
    """A campaign of jobs of ten minutes, each of which uses so much of io."""
    jobs = [job(f"w{k}", uses={"io": n} if n else {}) for k, n in enumerate(amounts)]
    return Campaign.of("io", jobs, limits={"io": limit}, **more)


def planned(campaign: Campaign) -> Plan:
    plan = plan_campaign(campaign, CLUSTER)
    check_plan(plan)
    return plan


def test_no_more_of_it_is_used_at_once_than_there_is() -> None:
    plan = planned(reading(*[1] * 10))
    assert plan.makespan == 30 * 60
    assert plan.optimal


def test_a_workflow_that_uses_none_does_not_wait_for_it() -> None:
    plan = planned(reading(4, 4, 0, 0))
    assert [plan.by_name[f"w{k}"].start for k in (2, 3)] == [0, 0]
    assert plan.makespan == 20 * 60


@pytest.mark.parametrize("scheme", [serial, parallel])
def test_both_schemes_keep_it(scheme: Callable[[Instance, Priority], Schedule]) -> None:
    campaign = reading(3, 2, 2, 1, 1, 4, 0)
    instance = instance_of(campaign, CLUSTER, modes_of(campaign, CLUSTER))
    schedule = scheme(instance, by_rank(instance))
    workflows = schedule.planned(instance, [0.0] * len(instance))
    workflows.sort(key=lambda w: w.start)
    plan = replace(planned(campaign), workflows=tuple(workflows), lower_bound=0)
    check_plan(plan)


def test_the_check_finds_too_much_of_it_in_use() -> None:
    plan = planned(reading(3, 2))
    early = tuple(replace(w, start=0, finish=600) for w in plan.workflows)
    with pytest.raises(InvalidPlan) as caught:
        check_plan(replace(plan, workflows=early, lower_bound=0))
    assert caught.value.violations == ("limits: 5 of io in use at once, the limit is 4",)


def test_what_was_over_when_the_plan_was_made_may_have_had_more() -> None:
    before = planned(reading(4, 4))
    kept = [replace(before.by_name["w0"], fixed=True)]
    campaign = replace(
        before.campaign,
        limits={"io": 2},
        workflows={n: job(n, uses={"io": 2}) for n in ("w0", "w1")},
    )
    plan = plan_campaign(campaign, CLUSTER, start=600, fixed=kept)
    assert plan.by_name["w1"].start == 600


def test_its_bound_is_that_of_the_work_for_it() -> None:
    campaign = reading(3, 3, 3, 1)
    assert lower_bound(campaign, CLUSTER, modes_of(campaign, CLUSTER)) == 30 * 60


@pytest.mark.parametrize("release", [eager, hand_over_or_due])
def test_a_run_never_has_more_in_the_queue(release: Release) -> None:
    plan = planned(reading(3, 2, 2, 1, 1, 4, 0, 0))
    world = simulate(plan, exact(plan), release)
    assert not [*excesses(world)]
    assert len(world.ran) == 8


def test_what_waits_for_one_delays_only_those_that_use_it() -> None:
    plan = planned(reading(4, 4, 0))
    by_start = tuple(plan.by_name[name] for name in ("w0", "w1"))
    last = replace(plan.by_name["w2"], start=1200, finish=1800)
    world = simulate(replace(plan, workflows=(*by_start, last)), exact(plan), eager)
    assert world.first_start == {"w0": 0, "w1": 600, "w2": 0}


def test_in_allocations_it_is_kept_within_each() -> None:
    plan = plan_allocation(reading(2, 2, 2, deadline=6 * 3600), CLUSTER, plan_campaign)
    assert isinstance(plan, AllocationPlan)
    check_plan(plan)
    assert plan.makespan == 20 * 60


def test_a_late_campaign_is_told_of_it() -> None:
    late = planned(reading(2, 2, 2, 2, limit=2, deadline=20 * 60))
    why = why_not(late, plan_campaign)
    [proven] = [b for b in why.bottlenecks if isinstance(b, CountedWork)]
    assert (proven.name, proven.available, proven.at_least) == ("io", 2, 40 * 60)
    assert MoreUses("io", 4) in [r.change for r in why.remedies]
    told = why_not_document(why)
    assert "limits.io 4 instead of 2" in [r["text"] for r in told["remedies"]]


def test_all_that_is_wrong_with_uses_is_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Campaign.of(
            "c",
            [job("a", uses={"licence": 1}), job("b", uses={"licences": 3})],
            limits={"licences": 2},
        )
    assert [(p.message, p.hint) for p in caught.value.problems] == [
        (
            "'a' uses 'licence', which is not in the limits of the campaign",
            "did you mean 'licences'?",
        ),
        ("'b' uses 3 of 'licences', the limit is 2", None),
    ]


TOML = """
[campaign]
resource = "tiger3"
[campaign.limits]
licences = 2
[campaign.power-spectra]
script = "spectra.py"
resources = {threads = 4, memory = "4G", runtime = "1h", uses = {USES}}
"""
YAML = """
campaign: {resource: tiger3, limits: {licences: 2}}
stages:
  spectra:
    executable: spectra
    resources: {threads: 4, memory: 4G, runtime: 1h, uses: {USES}}
"""


@pytest.mark.parametrize(("suffix", "text"), [("toml", TOML), ("yaml", YAML)])
@pytest.mark.parametrize(
    ("uses", "message", "hint"),
    [
        ("licence 1", "uses 'licence', which is not in the limits", "did you mean 'licences'?"),
        ("licences 3", "uses 3 of 'licences', the limit is 2", None),
    ],
)
def test_a_file_is_told_where_its_uses_are_wrong(
    suffix: str, text: str, uses: str, message: str, hint: str | None, tmp_path: Path
) -> None:
    file = tmp_path / f"c.{suffix}"
    file.write_text(text.replace("USES", uses.replace(" ", " = " if suffix == "toml" else ": ")))
    with pytest.raises(ConfigError) as caught:
        load_campaign(file)
    [problem] = caught.value.problems
    assert message in problem.message
    assert problem.hint == hint
    assert problem.line == [*file.read_text().splitlines()].index(problem.text or "") + 1
    assert "uses" in (problem.text or "")


@pytest.mark.parametrize("bad", ["licences: 0", "licences: true", "licences: 1.5", "'': 1"])
def test_an_amount_is_a_whole_number_and_a_name_is_a_word(bad: str, tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(YAML.replace("licences: 2", bad).replace("USES", "licences: 1"))
    with pytest.raises(ConfigError):
        load_campaign(file)


def test_a_file_and_a_plan_keep_them(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(YAML.replace("USES", "licences: 1"))
    loaded = load_campaign(file)
    assert loaded.campaign.limits == {"licences": 2}
    written = tmp_path / "again.yaml"
    written.write_text(campaign_file(loaded.campaign).text)
    again = load_campaign(written).campaign
    assert again.limits == loaded.campaign.limits
    assert again.workflows["spectra"].request == loaded.campaign.workflows["spectra"].request


def test_a_plan_in_a_file_is_held_to_them(tmp_path: Path) -> None:
    plan, path = planned(reading(3, 2)), tmp_path / "plan.json"
    document = plan_document(plan)
    path.write_text(json.dumps(document))
    assert read_plan(path) == plan
    for w in document["workflows"]:
        w["start_s"], w["finish_s"] = 0, 600
    document["lower_bound_s"] = 0
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidPlan, match="5 of io in use at once"):
        read_plan(path)


def test_a_campaign_without_any_has_the_fingerprint_of_before() -> None:
    plain = Campaign.of("plain", [job("a")], budget=Budget(nodes=1))
    assert plain.fingerprint == PLAIN
    assert replace(plain, limits={"io": 1}).fingerprint != plain.fingerprint
    using = {"a": Workflow(name="a", request=replace(job("a").request, uses={"io": 1}))}
    with_limit = replace(plain, limits={"io": 1})
    assert replace(with_limit, workflows=using).fingerprint != with_limit.fingerprint


PLAIN = "79b2a2807dc432b4"
