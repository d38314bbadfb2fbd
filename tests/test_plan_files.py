"""A plan file that was changed by hand is a sound plan, or refused in words: never a traceback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from test_cli import socm

from sim.montecarlo import simulate
from socm.errors import ConfigError, InvalidPlan, Stalled
from socm.model.allocation import AnyPlan
from socm.model.document import plan_document, read_plan
from socm.model.entries import PlanFile
from socm.model.names import checked_name
from socm.model.plan import Plan

DOCUMENTS = Path(__file__).parent / "data" / "documents" / "0.1.0"
FILES = ("plan.json", "plan-of-allocations.json", "runs/completed/plan.json")
ODD: list[Any] = [
    None, True, False, -1, 0, 1, 0.5, 10**12, 10**30, 10**300, 1e308, 1e-300, "", "0", "cpu", "\0",
    "../../x", "a b", "é", "\ud800", "\x1b[31m", "x" * 300, [], {}, [None], [[]], {"a": 1},
]  # fmt: skip
"""What may stand where something else should."""


@cache
def written(name: str) -> Any:
    return json.loads((DOCUMENTS / name).read_text())


def places(data: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to each value in JSON data."""
    parts = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in parts:
        yield (*at, key)
        if isinstance(value, dict | list):
            yield from places(value, (*at, key))


def at(data: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        data = data[key]
    return data


def mutate(data: Any, random: Random) -> None:
    """Change one value of a document: anywhere, but the outer ones as often as all others."""
    everywhere = [*places(data)]
    some = random.choice([everywhere, [p for p in everywhere if len(p) <= 3]])
    place = random.choice(some)
    within, key = at(data, place[:-1]), place[-1]
    match random.choice(["drop", "rename", "double", "shift", "copy", "odd", "odd"]):
        case "drop":
            del within[key]
        case "rename" if isinstance(within, dict):
            within[random.choice(["../x", "\0", "", "a"])] = within.pop(key)
        case "double" if isinstance(within, list):
            within.append(deepcopy(within[key]))
        case "shift" if isinstance(within[key], int | float):
            within[key] += random.choice([-100, -1, 1, 100])
        case "copy":
            within[key] = deepcopy(at(data, random.choice(everywhere)))
        case _:
            within[key] = deepcopy(random.choice(ODD))


def signed(data: Any) -> Any:
    """Give a document the fingerprint of its campaign, if it has a campaign."""
    with suppress(ConfigError, ValidationError):
        data["fingerprint"] = PlanFile.model_validate(data).campaign.fingerprint
    return data


@given(st.sampled_from(FILES), st.integers(1, 3), st.randoms(use_true_random=False))
def test_a_file_with_changes_anywhere_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, changes: int, random: Random
) -> None:
    data = deepcopy(written(name))
    for _ in range(changes):
        mutate(data, random)
    path = tmp_path_factory.mktemp("plans") / "plan.json"
    path.write_text(json.dumps(signed(data)))
    try:
        plan = read_plan(path)
    except (ConfigError, InvalidPlan) as error:
        told = str(error)
    else:
        told = ""
        _holds_together(plan, path)
    assert not told or str(path) in told


def _holds_together(plan: AnyPlan, path: Path) -> None:
    """A plan that was read can be written, read again and simulated."""
    for workflow in plan.workflows:
        assert checked_name(workflow.name) == workflow.name
    document = plan_document(plan)
    path.write_text(json.dumps(document))
    assert plan_document(read_plan(path)) == document
    if isinstance(plan, Plan):
        with suppress(ConfigError, Stalled):
            assert simulate(plan, replications=0).exact.workflows


@pytest.mark.parametrize(
    "name", ["../../../x", "/x", "..", "a/b", "a\0b", "", "-a", "é", "a" * 201]
)
def test_names_that_a_campaign_file_may_not_give_are_refused(tmp_path: Path, name: str) -> None:
    """They become folders: one of them might be outside of the run."""
    data = deepcopy(written("runs/completed/plan.json"))
    old = data["workflows"][0]["name"]
    text = json.dumps(data).replace(json.dumps(old), json.dumps(name))
    path = tmp_path / "in" / "plan.json"
    path.parent.mkdir()
    path.write_text(json.dumps(signed(json.loads(text))))
    for verb in (
        ["plan"],
        ["simulate"],
        ["run", "--dry-run", "--run-dir", tmp_path / "in" / "run"],
    ):
        done = socm(verb[0], path, *verb[1:])
        assert done.returncode == 2
        assert "is not a valid name" in done.stderr
    assert [*tmp_path.rglob("*")] == [path.parent, path]


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (("campaign", "workflows", "spectrum", "name"), "map", "is called 'map'"),
        (("campaign", "retries"), -1, "retries lie between 0 and 20"),
        (("campaign", "deadline"), 0, "the deadline is at least 1 second"),
        (("campaign", "budget", "cores"), 0, "the budget is at least 1"),
        (("campaign", "workflows", "spectrum", "request", "runtime"), 10**40, "is too large"),
        (("cluster", "partitions"), [], "the cluster has no partitions"),
        (("cluster", "qos"), [{"name": ""}], "a QOS has no name"),
        (("cluster", "qos"), [{"name": "q", "partitions": ["zz"]}], "no partition 'zz'"),
        (("workflows", 0, "placements", 0, "node"), "a", "workflows.0.placements.0.node: should"),
        (("schema",), "socm.plan/2", "its schema is 'socm.plan/2', not 'socm.plan/1'"),
    ],
)
def test_what_campaign_and_cluster_files_may_not_say_is_named(
    tmp_path: Path, place: tuple[Any, ...], value: Any, complaint: str
) -> None:
    data = deepcopy(written("runs/completed/plan.json"))
    at(data, place[:-1])[place[-1]] = value
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(signed(data)))
    with pytest.raises(ConfigError, match=r"plan\.json") as caught:
        read_plan(path)
    assert complaint in str(caught.value)
