"""Documents that earlier versions wrote are read by this one, or refused with the way out."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from test_cli import EXAMPLES, Done, socm, socm_process

from socm.model.document import plan_document, read_plan

VERSIONS = sorted((Path(__file__).parent / "data" / "documents").iterdir())
RUNS = {
    "completed": {"completed": 3},
    "failed": {"completed": 2, "failed": 1, "skipped": 1},
    "interrupted": {"running": 1, "pending": 1},
}
"""In what states the workflows of each run are."""
PRINTED = {"completed": ("spectrum", ""), "failed": ("bad", "bad\n"), "interrupted": ("first", "")}
"""A workflow of each run, and what it wrote to stderr."""


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def documents(request: pytest.FixtureRequest) -> Path:
    """The documents of a version."""
    assert isinstance(request.param, Path)
    return request.param


@pytest.fixture
def runs(documents: Path, tmp_path: Path) -> Path:
    """A copy of the runs of a version, begun an hour ago whatever the clock says."""
    copy = Path(shutil.copytree(documents / "runs", tmp_path / "runs"))
    for run in copy.iterdir():
        options = json.loads((run / "run.json").read_text())
        later = time.time() - 3600 - options["epoch"]
        for path in (run / "run.json", *run.glob("results/*.json")):
            values = json.loads(path.read_text())
            moved = {key: values[key] + later for key in ("epoch", "start", "end") if key in values}
            path.write_text(json.dumps(values | moved))
    return copy


def _values(document: Any, at: str = "") -> dict[str, Any]:
    """Map each place in a document to the value there."""
    if isinstance(document, dict):
        parts = document.items()
    elif isinstance(document, list):
        parts = dict(enumerate(document)).items()
    else:
        return {at: document}
    found: dict[str, Any] = {}
    for key, value in parts:
        found |= _values(value, f"{at}.{key}")
    return found


@pytest.mark.parametrize("name", ["plan", "plan-of-allocations"])
def test_a_plan_says_the_same_when_it_is_written_again(documents: Path, name: str) -> None:
    """Keys may have come, none has gone or means something else."""
    path = documents / f"{name}.json"
    before, after = json.loads(path.read_text()), plan_document(read_plan(path))
    for key in ("why_not", "shapes"):  # of the command that made the plan
        before.pop(key, None)
    old, new = _values(before), _values(json.loads(json.dumps(after)))
    said = {place: new.get(place, "nothing") for place in old}
    assert said == {
        place: pytest.approx(value, rel=1e-12) if isinstance(value, float) else value
        for place, value in old.items()
    }


def test_a_simulation_has_the_same_keys_today(documents: Path) -> None:
    before = json.loads((documents / "simulation.json").read_text())
    done = socm("simulate", EXAMPLES / "piso.yaml", "--json", "-n", "5")
    after = json.loads(done.stdout)
    assert before["schema"] == after["schema"]
    assert {*_values(before)} - {*_values(after)} <= {
        place for place in _values(before) if place.startswith((".warnings", ".critical_path"))
    }


def test_a_plan_can_be_simulated_and_run(documents: Path, tmp_path: Path) -> None:
    plan = documents / "plan.json"
    done = socm("simulate", plan, "-n", "5")
    assert done.returncode == 0, done.stderr
    assert "In time" in done.stdout
    done = socm("run", plan, "--executor", "slurm", "--dry-run", "--run-dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert len([*tmp_path.rglob("script.sh")]) == 15


def test_so_can_a_plan_of_allocations(documents: Path, tmp_path: Path) -> None:
    plan = documents / "plan-of-allocations.json"
    done = socm("simulate", plan, "-n", "5")
    assert done.returncode == 0, done.stderr
    assert "In time" in done.stdout
    done = socm("run", plan, "--executor", "slurm", "--dry-run", "--run-dir", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "1 job script written" in done.stdout


def test_plans_can_be_compared(documents: Path) -> None:
    plan, allocations = documents / "plan.json", documents / "plan-of-allocations.json"
    done = socm("diff", plan, allocations, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["a"]["makespan_s"], document["b"]["makespan_s"]) == (9000, 10800)
    assert document["changed"] == []
    assert "Nothing differs." in socm("diff", allocations, allocations).stdout


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_shown(runs: Path, name: str) -> None:
    done = socm("status", runs / name, "--json")
    assert done.returncode == 0, done.stderr
    states = Counter(w["state"] for w in json.loads(done.stdout)["workflows"])
    assert states == RUNS[name]
    workflow, printed = PRINTED[name]
    done = socm("logs", workflow, "--run", runs / name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(printed)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_resumed(runs: Path, name: str) -> None:
    """What is over stays as it was; what was interrupted comes to its end."""
    before = _states(runs / name)
    done = socm_process("resume", runs / name)
    assert done.returncode == (1 if name == "failed" else 0), done.stderr
    after = _states(runs / name)
    assert after == (dict.fromkeys(before, "completed") if name == "interrupted" else before)


def test_a_failed_run_is_tried_again(runs: Path) -> None:
    """What failed fails again, at its second attempt; what completed is left alone."""
    done = socm_process("resume", runs / "failed", "--retry-failed")
    assert done.returncode == 1, done.stderr
    status = json.loads(socm("status", runs / "failed", "--json").stdout)
    attempts = {w["name"]: w["attempt"] for w in status["workflows"]}
    assert (attempts["bad"], attempts["good"], attempts["after"]) == (2, 1, 1)


def _states(run: Path) -> dict[str, str]:
    done: Done = socm("status", run, "--json")
    return {w["name"]: w["state"] for w in json.loads(done.stdout)["workflows"]}
