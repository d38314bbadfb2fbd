"""Executors by name: the built-in ones, those of PSI/J, and one of another package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from test_plugins import ROOT, install, socm

from socm.errors import ConfigError
from socm.executor import EXECUTORS, choose_executor, default_schema, executor_type
from socm.model.cluster import Cluster
from socm.model.partition import Partition

PAGE = ROOT / "docs" / "how-to-executor.md"
ONE_NODE = Cluster(name="mine", partitions=(Partition(name="a", nodes=1, cores=1, memory=10),))


def test_ours_are_in_the_registry_and_those_of_psij_are_known_by_name() -> None:
    assert {"local", "slurm"} <= {*EXECUTORS}
    assert executor_type("slurm").__name__ == "SlurmExecutor"
    assert executor_type("local").__name__ == "LocalExecutor"
    assert executor_type("flux").__name__ != executor_type("local").__name__


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("slrum", "did you mean 'slurm'?"),
        ("fluxx", "did you mean 'flux'?"),
        ("x", "known are cobalt, flux, local, lsf"),
    ],
)
def test_an_unknown_name_says_what_is_known(name: str, hint: str) -> None:
    with pytest.raises(ConfigError) as raised:
        executor_type(name)
    [problem] = raised.value.problems
    assert problem.message == f"unknown executor '{name}'"
    assert hint in (problem.hint or "")


def test_without_a_name_campaign_cluster_and_machine_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert default_schema() == "local"
    assert choose_executor(None, "tiger3") == ("local", "there is no sbatch here")
    assert choose_executor(None, "local") == ("local", "for which it was planned")
    assert choose_executor("local", "tiger3") == ("local", "as the campaign says")
    assert choose_executor("remote", "tiger3") == ("slurm", "as the campaign says")
    assert choose_executor("batch", "tiger3") == ("slurm", "in allocations, as the campaign says")
    assert choose_executor("batch", "local") == ("local", "as the campaign says")
    (tmp_path / "sbatch").touch(mode=0o755)
    assert default_schema() is None
    assert choose_executor(None, "tiger3") == ("slurm", "sbatch is here")


def test_each_knows_the_clusters_that_it_runs_on() -> None:
    local, slurm, flux = (executor_type(name) for name in ("local", "slurm", "flux"))
    here = Cluster(name="local", partitions=ONE_NODE.partitions)
    larger = Cluster(
        name="local", partitions=(Partition(name="a", nodes=1, cores=10**6, memory=1),)
    )
    several = Cluster(name="c", partitions=(Partition(name="a", nodes=2, cores=1, memory=1),))
    assert [local.why_not(c) for c in (here, ONE_NODE, larger, several)] == [
        None,
        None,
        "for a larger machine than this one",
        "not for this machine",
    ]
    assert [slurm.why_not(c) for c in (here, several)] == ["not for a cluster", None]
    assert flux.why_not(several) is None
    assert [local.cluster_for(c) for c in (None, "tiger3", "my.toml")] == [
        "local",
        "local",
        "my.toml",
    ]
    assert slurm.cluster_for("tiger3") == "tiger3"


# One of another package


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the how-to, and a broken one, installed in a folder."""
    folder = tmp_path_factory.mktemp("executor")
    files = install(PAGE, folder, "[socm.executors]\nbroken-executor = nowhere:Executor\n")
    assert files == {
        "pyproject.toml",
        "background_executor.py",
        "test_background_executor.py",
        "campaign.yaml",
    }
    return folder


def test_inside_of_an_allocation_it_is_the_cluster_unless_the_campaign_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch = tmp_path / "sbatch"
    sbatch.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert default_schema() == "batch"
    assert choose_executor(None, "allocation") == ("steps", "inside of job 7")
    assert choose_executor("batch", "allocation") == ("steps", "inside of job 7")
    assert choose_executor("remote", "tiger3") == ("slurm", "as the campaign says")


def test_the_page_executor_passes_its_own_test(site: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
         "test_background_executor.py"],
        capture_output=True, text=True, cwd=site, check=False,
        env={**os.environ, "PYTHONPATH": str(site / "site"), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


def test_the_page_executor_runs_a_campaign_by_name(site: Path) -> None:
    done = socm(site, "run", "campaign.yaml", "--executor", "background", "--yes", "--json")
    assert done.returncode == 1, done.stderr
    states = {w["name"]: w["state"] for w in json.loads(done.stdout)["workflows"]}
    assert states == {"hello": "completed", "fails": "failed"}
    assert socm(site, "logs", "hello").stdout == "hello\n"
    assert socm(site, "status").returncode == 0
    done = socm(site, "run", "campaign.yaml", "--executor", "background", "--dry-run")
    assert "2 job scripts written to" in done.stdout


def test_a_broken_executor_fails_only_when_named(site: Path) -> None:
    done = socm(site, "run", "campaign.yaml", "--executor", "broken-executor", "--yes")
    assert done.returncode == 2
    assert "No module named 'nowhere'" in done.stderr
    done = socm(site, "run", "campaign.yaml", "--executor", "backgruond", "--yes")
    assert "did you mean 'background'?" in done.stderr


def test_the_state_of_a_run_is_shown_where_its_executor_is_not_installed(
    site: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    socm(site, "run", "campaign.yaml", "--executor", "local", "--yes", "--run-dir", str(run))
    identity = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(identity | {"executor": "gone"}))
    lines = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    submitted = next(k for k, line in enumerate(lines) if '"Submitted"' in line)
    (run / "journal.jsonl").write_text("".join(lines[: submitted + 1]))
    done = socm(site, "status", str(run))
    assert done.returncode == 0, done.stderr
    assert "queued" in done.stdout
