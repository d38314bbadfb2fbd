"""Any value in any key of a campaign or cluster file: it is read, or refused in words."""

from __future__ import annotations

import copy
import datetime as dt
import json
import math
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from test_cli import socm

from socm.config import load_campaign, load_cluster
from socm.config.reading import read_section
from socm.config.schema import (
    BudgetSection,
    CampaignSection,
    ClusterFile,
    PartitionSection,
    QosSection,
    ResourcesSection,
    WorkflowSection,
)
from socm.config.settings import variables
from socm.config.source import parse
from socm.config.writing import quoted
from socm.errors import Problem, SocmError
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.document import plan_document, read_plan
from socm.planner import plan_campaign
from socm.planner.effort import NONE
from socm.spelling import kebab
from socm.workflows import WORKFLOW_TYPES

VALUES: dict[str, Any] = {
    "zero": 0,
    "one": 1,
    "minus one": -1,
    "a fraction": 0.5,
    "a billion": 10**9,
    "more than 32 bits": 2**33,
    "the largest of 64 bits": 2**63 - 1,
    "a large float": 1e300,
    "infinity": math.inf,
    "not a number": math.nan,
    "true": True,
    "nothing": "",
    "a word": "word",
    "a null character": "a\x00b",
    "a long text": "x" * 5000,
    "a terabyte too many": "1000T",
    "much memory": "999P",
    "the most memory": "1024P",
    "a long time": "9999y",
    "many weeks": "99999w",
    "a time without end": "9" * 400 + "s",
    "an exponent": "1e400",
    "an endless list": [0] * 1000,
    "an empty list": [],
    "a list of lists": [[1]],
    "a table": {"a": 1},
    "an empty table": {},
    "a date": dt.date(2026, 11, 27),
    "a time of day": dt.time(12, 0),
    "a moment": dt.datetime(1, 1, 1, tzinfo=dt.UTC),
}

CLUSTER: dict[str, Any] = {
    "name": "own",
    "partitions": [{"name": "cpu", "nodes": 4, "cores-per-node": 8, "memory-per-node": "16G"}],
    "qos": [{"name": "usual", "walltime": "1d"}],
}
WORK = {"executable": "true", "resources": {"runtime": "1h", "memory": "1G"}}
CAMPAIGN: dict[str, Any] = {
    "campaign": {
        "resource": "own.toml",
        "power-spectra": [{"name": "a", **WORK}, {"name": "b", "depends": ["a"], **WORK}],
    }
}
SECTION = ("campaign", "power-spectra", 0)


TYPE_THEORY = re.compile(
    r"\b(tuple|dict|dictionary|union|instance|parse|float|str|int|bool)\b|\[str"
)
"""Words of Python and pydantic for what a person has to write."""


def _places() -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """Give every key of the models, as which of the files it is in and where."""
    for where, key, model in (
        ("campaign", ("campaign",), CampaignSection),
        ("campaign", ("campaign", "resources"), BudgetSection),
        ("campaign", SECTION, WorkflowSection),
        ("campaign", SECTION, WORKFLOW_TYPES["power-spectra"].options),
        ("campaign", (*SECTION, "resources"), ResourcesSection),
        ("cluster", (), ClusterFile),
        ("cluster", ("partitions", 0), PartitionSection),
        ("cluster", ("qos", 0), QosSection),
    ):
        for name in model.model_fields:
            yield where, (*key, kebab(name))
    yield "campaign", ("campaign", "deadline")
    yield "campaign", ("campaign", "power-spectra")
    yield "campaign", ("campaign",)


def _toml(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{quoted(k)} = {_toml(v)}" for k, v in value.items()) + "}"
        case list():
            return f"[{', '.join(map(_toml, value))}]"
        case str():
            return quoted(value)
        case float() if not math.isfinite(value):
            return str(value)
        case bool() | int() | float():
            return json.dumps(value)
        case _:
            return str(value.isoformat())


@pytest.mark.parametrize(
    ("where", "key"), [pytest.param(*p, id=f"{p[0]} {p[1]}") for p in _places()]
)
def test_any_value_of_a_key_is_read_or_refused(
    tmp_path: Path, where: str, key: tuple[str | int, ...]
) -> None:
    answers, failures = set(), {}
    for what, value in VALUES.items():
        files = {"cluster": copy.deepcopy(CLUSTER), "campaign": copy.deepcopy(CAMPAIGN)}
        at: Any = files[where]
        for part in key[:-1]:
            at = at.setdefault(part, {}) if isinstance(at, dict) else at[part]
        at[key[-1]] = value
        for name, content in (("own", files["cluster"]), ("campaign", files["campaign"])):
            text = "".join(f"{k} = {_toml(v)}\n" for k, v in content.items())
            (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
        try:
            loaded = load_campaign(tmp_path / "campaign.toml")
            plan_campaign(loaded.campaign, loaded.cluster, effort=NONE)
        except SocmError as error:
            answers.add("refused")
            if found := TYPE_THEORY.search(str(error)):
                failures[what] = f"{found[0]!r} is no word for people: {error}"
        except Exception as error:
            failures[what] = repr(error)
        else:
            answers.add("planned")
    assert not failures
    assert answers


@pytest.mark.parametrize("kind", [*WORKFLOW_TYPES])
def test_what_an_option_should_be_is_said_in_words_for_people(kind: str) -> None:
    source, model = parse(Path("c.toml"), "a = 1"), WORKFLOW_TYPES[kind].options
    said = []
    for name, value in product(model.model_fields, VALUES.values()):
        problems: list[Problem] = []
        read_section(model, {kebab(name): value}, source, ("a",), problems)
        said += [problem.message for problem in problems]
    assert [message for message in said if TYPE_THEORY.search(message)] == []


@pytest.mark.parametrize(
    ("kind", "values", "told"),
    [
        ("ml-null-tests.elevation-tests", {"elevation-threshold": "half"},
         "elevation-threshold: should be a number or 'median', not 'half'"),
        ("ml-null-tests.elevation-tests", {"elevation-threshold": [45]},
         "elevation-threshold: should be a number or 'median'"),
        ("stage", {"executable": "x", "script-args": [["a"]]},
         "script-args[0]: should be text or a number"),
        ("stage", {"executable": "x", "script-kwargs": {"a": {"b": 1}}},
         "script-kwargs.a: should be text or a number or a list"),
        ("stage", {"executable": "x", "script-kwargs": {"a": [{}]}},
         "script-kwargs.a[0]: should be text or a number"),
        ("ml-mapmaking", {"context": "c", "area": "a", "output_dir": "o", "tiled": 2},
         "tiled: should be 0 or 1, not 2"),
    ],
)  # fmt: skip
def test_what_may_be_of_several_types_is_told_once_with_all_of_them(
    kind: str, values: dict[str, Any], told: str
) -> None:
    needed = {"context": "c", "area": "a", "output_dir": "o"} if "null" in kind else {}
    problems: list[Problem] = []
    source = parse(Path("c.toml"), "a = 1")
    read_section(WORKFLOW_TYPES[kind].options, {**needed, **values}, source, ("a",), problems)
    assert [problem.message for problem in problems] == [f"a.{told}"]


def _leaves(data: Any, key: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    if key:
        yield key
    entries = data.items() if isinstance(data, dict) else enumerate(data[:1])
    for name, inner in entries:
        if isinstance(inner, dict | list):
            yield from _leaves(inner, (*key, name))
        else:
            yield (*key, name)


def test_any_value_in_a_plan_is_read_or_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    workflows = [Workflow(name="a", request=ResourceRequest(runtime=60), command=("true",))]
    campaign = Campaign.of("one", workflows, deadline=3600)
    document = json.dumps(plan_document(plan_campaign(campaign, load_cluster("perlmutter"))))
    said: set[str] = set()
    for key in _leaves(json.loads(document)):
        for value in ("word", [], {}, 1.5, None, True, ["a", 1], -1):
            data = at = json.loads(document)
            for part in key[:-1]:
                at = at[part]
            at[key[-1]] = value
            path.write_text(json.dumps(data))
            try:
                read_plan(path)
            except SocmError as error:
                said.add(str(error))
    assert said
    assert [message for message in said if TYPE_THEORY.search(message)] == []


@pytest.mark.parametrize("name", sorted(variables()))
def test_any_value_of_a_variable_is_read_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "c.yaml").write_text(json.dumps({"campaign": {}, "stages": {"a": WORK}}))
    failures = {}
    for what, value in VALUES.items():
        text = value if isinstance(value, str) else _toml(value)
        if "\0" in text:
            continue  # no process has such a variable
        monkeypatch.setenv(name, text)
        try:
            loaded = load_campaign(tmp_path / "c.yaml")
            plan_campaign(loaded.campaign, loaded.cluster, effort=NONE)
        except SocmError:
            pass
        except Exception as error:
            failures[what] = repr(error)
    assert not failures


@pytest.mark.parametrize(
    "options",
    [
        ("init", "new.toml", "--deadline"),
        ("init", "new.toml", "--resource"),
        ("init", "new.toml", "--name"),
        ("import", "flow.yml", "--runtime"),
        ("import", "flow.yml", "--deadline"),
        ("import", "flow.yml", "--resource"),
        ("import", "flow.yml", "--from"),
        ("plan", "c.yaml", "--effort"),
        ("plan", "c.yaml", "--policy"),
        ("simulate", "c.yaml", "-n"),
        ("simulate", "c.yaml", "--seed"),
        ("validate", "c.yaml", "--cluster"),
        ("clusters", "match", "c.yaml", "--cluster"),
        ("workflows", "show"),
    ],
)
def test_any_value_of_an_option_is_taken_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(json.dumps({"campaign": {}, "stages": {"a": WORK}}))
    Path("flow.yml").write_text("stages: {a: {exec: python, script: a.py}}")
    for value in VALUES.values():
        text = value if isinstance(value, str) else _toml(value)
        if "\0" not in text and not text.isdigit():
            Path("new.toml").unlink(missing_ok=True)
            assert socm(*options, text).returncode in (0, 2, 3)
