"""Policies: the baselines are what they say, a stranger's is used and tested like ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given
from hypothesis import strategies as st
from strategies import SHORT, Seconds, faults, pairs, share
from test_cli import socm as socm_here
from test_plugins import install, socm

from socm.errors import InvalidPlan
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.placement import PlannedWorkflow
from socm.planner import POLICIES, Effort, plan_campaign
from socm.planner.heft import heft
from socm.planner.improve import shortest
from socm.planner.instance import Instance
from socm.planner.policies import Policy, fifo, lpt
from socm.planner.schedule import Schedule
from socm.testing import check_policy

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "how-to-policy.md"
PISO = str(ROOT / "examples" / "piso.yaml")


@pytest.mark.parametrize("name", ["time", "heft", "fifo", "lpt"])
def test_every_policy_of_ours_passes_the_checks_for_strangers(name: str) -> None:
    check_policy(POLICIES[name], examples=share(0.4).max_examples)


@share(0.5)
@given(pairs(SHORT, most=12))
def test_a_policy_is_named_by_the_campaign_or_given(pair: tuple[Campaign, Cluster]) -> None:
    campaign, cluster = pair
    for name, policy in (("time", shortest), ("heft", heft), ("fifo", fifo), ("lpt", lpt)):
        named = plan_campaign(replace(campaign, policy=name), cluster)
        assert faults(named) == []
        assert named.workflows == plan_campaign(campaign, cluster, policy=policy).workflows


# Who comes first

ONE_CORE = Cluster(name="core", partitions=(Partition(name="cpu", nodes=1, cores=1, memory=100),))


def order_on_one_core(policy: str, *what: tuple[str, int, str]) -> list[str]:
    """Plan workflows of one core: name, minutes, and the names of those they wait for."""
    workflows = [
        Workflow(
            name=name,
            request=ResourceRequest(runtime=60 * minutes),
            depends=tuple(depends.split()),
        )
        for name, minutes, depends in what
    ]
    campaign = replace(Campaign.of("order", workflows), policy=policy)
    return [w.name for w in plan_campaign(campaign, ONE_CORE).workflows]


@pytest.mark.parametrize(("policy", "order"), [("fifo", "abcde"), ("lpt", "bcdae")])
def test_on_one_core_each_baseline_has_its_order(policy: str, order: str) -> None:
    what = [("a", 1, ""), ("d", 5, "c"), ("b", 3, ""), ("c", 2, ""), ("e", 4, "a")]
    assert "".join(order_on_one_core(policy, *what)) == order


def test_equal_ones_go_as_declared() -> None:
    assert order_on_one_core("lpt", ("b", 1, ""), ("a", 1, ""), ("c", 1, "")) == ["b", "a", "c"]


@share(0.3)
@given(pairs(SHORT, most=8, budget=st.builds(Budget, cores=st.none() | st.integers(2, 16))))
def test_first_come_first_served_gives_each_the_best_place_that_those_before_it_leave(
    pair: tuple[Campaign, Cluster],
) -> None:
    """And so none is delayed by one that is declared after it, unless it depends on it."""
    campaign, cluster = pair
    plan = plan_campaign(campaign, cluster, policy=fifo)
    before: list[PlannedWorkflow] = []
    for name in campaign.workflows:  # the strategy declares dependencies first
        w, workflow = plan.by_name[name], campaign.workflows[name]
        seconds = Seconds(campaign, cluster, before)
        ready = max((plan.by_name[parent].finish for parent in workflow.depends), default=0)
        for mode in cluster.admit(workflow.request, campaign.budget)[0]:
            for start in range(ready, w.finish - mode.duration):
                assert not seconds.admits(mode, workflow.request, start), (name, start)
        before.append(w)


# The checks for strangers find what is wrong


def forgetful(instance: Instance, effort: Effort) -> Schedule:
    schedule = heft(instance, effort)
    return replace(schedule, modes=schedule.modes[:-1])


def hasty(instance: Instance, effort: Effort) -> Schedule:
    schedule = heft(instance, effort)
    return replace(schedule, start=[0] * len(instance))


def stubborn(instance: Instance, effort: Effort) -> Schedule:
    """Take nothing for what has begun: plan on what that has."""
    return heft(replace(instance, fixed=(), release=[instance.start] * len(instance)), effort)


def moody() -> Policy:
    calls = count()

    def policy(instance: Instance, effort: Effort) -> Schedule:
        call = next(calls)
        schedule = heft(instance, effort)
        return replace(schedule, start=[start + call for start in schedule.start])

    return policy


@pytest.mark.parametrize(
    ("policy", "error"),
    [
        (forgetful, InvalidPlan),
        (hasty, InvalidPlan),
        (stubborn, InvalidPlan),
        (moody(), AssertionError),
    ],
    ids=["forgetful", "hasty", "stubborn", "moody"],
)
def test_a_policy_that_is_wrong_does_not_pass(
    policy: Any, error: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socm.testing.policy.PHASES", (Phase.generate,))  # found is enough
    with pytest.raises(error):
        check_policy(policy)


# By name, on the command line


def test_a_plan_by_another_policy_is_that_policys() -> None:
    first = json.loads(socm_here("plan", PISO, "--policy", "fifo", "--json").stdout)
    assert first["policy"] == first["campaign"]["policy"] == "fifo"
    usual = json.loads(socm_here("plan", PISO, "--json").stdout)
    assert usual["policy"] == "time"
    assert first["workflows"] != usual["workflows"]


@pytest.mark.parametrize(
    ("name", "hint"), [("fito", "did you mean 'fifo'?"), ("x", "known are fifo, heft, lpt, time")]
)
def test_an_unknown_policy_is_refused_wherever_it_is_named(
    name: str, hint: str, tmp_path: Path
) -> None:
    done = socm_here("plan", PISO, "--policy", name)
    assert done.returncode == 2
    assert f"unknown policy {name!r}" in done.stderr
    assert hint in done.stderr
    file = tmp_path / "campaign.yaml"
    file.write_text(f"campaign:\n  policy: {name}\nstages:\n  a: {{executable: x}}\n")
    done = socm_here("validate", str(file))
    assert f"campaign.yaml:2:3: error: unknown policy {name!r}" in done.stderr
    assert hint in done.stderr
    assert "lacks 'resources'" in done.stderr  # every problem at once


# A stranger's


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the how-to, and a broken one, installed in a folder."""
    folder = tmp_path_factory.mktemp("policy")
    files = install(PAGE, folder, "[socm.planners]\nbroken-policy = nowhere:policy\n")
    assert files == {
        "pyproject.toml",
        "largest_first.py",
        "test_largest_first.py",
        "campaign.yaml",
    }
    return folder


def test_the_page_policy_passes_its_own_test(site: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_largest_first.py"],
        capture_output=True, text=True, cwd=site, check=False,
        env={**os.environ, "PYTHONPATH": str(site / "site"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_page_policy_plans_by_name(site: Path) -> None:
    def order(policy: str) -> list[str]:
        done = socm(site, "plan", "campaign.yaml", "--policy", policy, "--json")
        assert done.returncode == 0, done.stderr
        return [w["name"] for w in json.loads(done.stdout)["workflows"]]

    assert order("largest-first") == ["large", "small", "spectrum"]
    assert order("fifo") == ["small", "large", "spectrum"]


def test_a_broken_policy_fails_only_when_named(site: Path) -> None:
    done = socm(site, "plan", "campaign.yaml", "--policy", "broken-policy")
    assert done.returncode == 2
    assert "No module named 'nowhere'" in done.stderr
    done = socm(site, "plan", "campaign.yaml", "--policy", "largest-frist")
    assert "did you mean 'largest-first'?" in done.stderr
