"""Requests refuse numbers that make no sense; campaigns refuse names and edges that do not."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from strategies import campaigns, clusters, share

from socm.errors import ConfigError
from socm.model.campaign import Budget, Campaign, ResourceRequest, Workflow

MINUTE = ResourceRequest(runtime=60)


def workflow(name: str, *depends: str) -> Workflow:
    return Workflow(name=name, request=MINUTE, depends=depends)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ranks": 0},
        {"threads": 0},
        {"runtime": 0},
        {"memory": -1},
        {"gpus": -1},
        {"spread": -0.1},
        {"spread": 3.1},
        {"spread": float("nan")},
        {"walltime": 0},
    ],
)
def test_a_request_refuses_a_number_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"at least|between"):
        ResourceRequest(**{"runtime": 60, **wrong})


@pytest.mark.parametrize(
    ("cpus", "threads_per_core", "cores"),
    [("physical", 1, 5), ("physical", 2, 5), ("logical", 1, 5), ("logical", 2, 3)],
)
def test_logical_cpus_share_cores_and_physical_ones_do_not(
    cpus: Any, threads_per_core: int, cores: int
) -> None:
    assert ResourceRequest(threads=5, cpus=cpus, runtime=1).cores(threads_per_core) == cores


def test_a_name_used_twice_is_named_and_refused() -> None:
    with pytest.raises(ConfigError, match="two workflows are called 'map'"):
        Campaign.of("c", [workflow("map"), workflow("map")])


def test_every_unknown_dependency_is_named_with_what_was_probably_meant() -> None:
    with pytest.raises(ConfigError) as caught:
        Campaign.of("c", [workflow("filter"), workflow("map", "filtr"), workflow("plot", "xyz")])
    first, second = caught.value.problems
    assert "'filtr'" in first.message
    assert first.hint == "did you mean 'filter'?"
    assert "'xyz'" in second.message


@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_cycle_is_named_in_order(length: int) -> None:
    ring = [workflow(f"w{k}", f"w{(k - 1) % length}") for k in range(length)]
    with pytest.raises(ConfigError) as caught:
        Campaign.of("c", [workflow("before"), *ring, workflow("after", "w0")])
    [problem] = caught.value.problems
    path = problem.message.partition(": ")[2].split(" → ")
    assert path[0] == path[-1]
    assert len(path) == length + 1
    steps = {(int(a[1:]), int(b[1:])) for a, b in pairwise(path)}
    assert all(parent == (child - 1) % length for child, parent in steps)


@share(0.3)
@given(clusters().flatmap(campaigns))
def test_the_order_has_each_workflow_once_after_all_its_dependencies(campaign: Campaign) -> None:
    place = {name: k for k, name in enumerate(campaign.order)}
    assert sorted(place) == sorted(campaign.workflows)
    for w in campaign.workflows.values():
        assert all(place[parent] < place[w.name] for parent in w.depends)


@share(0.3)
@given(clusters().flatmap(campaigns))
def test_children_are_dependencies_turned_round(campaign: Campaign) -> None:
    forth = {(p, w.name) for w in campaign.workflows.values() for p in w.depends}
    assert {(p, c) for p, children in campaign.children.items() for c in children} == forth


BASE = Campaign.of("base", [workflow("a"), workflow("b", "a")], deadline=600)


def with_a(**changes: Any) -> Campaign:
    workflows = dict(BASE.workflows)
    workflows["a"] = replace(workflows["a"], **changes)
    return replace(BASE, workflows=workflows)


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, name="other"),
        replace(BASE, deadline=None),
        replace(BASE, budget=Budget(cores=8)),
        replace(BASE, policy="cost"),
        with_a(command=("true",)),
        with_a(environment={"A": "1"}),
        with_a(request=replace(MINUTE, memory=1)),
        replace(BASE, workflows={k: BASE.workflows[k] for k in ("b", "a")}),
    ],
    ids=["name", "deadline", "budget", "policy", "command", "environment", "request", "order"],
)
def test_the_fingerprint_changes_with_anything(other: Campaign) -> None:
    """The order of declaration is part of it: it breaks ties, and says who draws which luck."""
    assert other.fingerprint != BASE.fingerprint


def test_the_fingerprint_of_an_equal_campaign_is_equal() -> None:
    again = Campaign.of("base", [workflow("a"), workflow("b", "a")], deadline=600)
    assert again.fingerprint == BASE.fingerprint
    assert len(BASE.fingerprint) == 16
