"""Success needs proof, and each attempt runs once, whatever happens to the folder of the run."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from builders import TIGER
from carrying import MPIRUN, World, kill, shell, statuses

from socm.engine.retry import RetryPolicy

pytestmark = pytest.mark.slurm

CAMPAIGN = """
campaign: {{name: two, resource: {tiger}, retries: 1}}
stages:
  a:
    executable: "sh -c 'echo a >> {folder}/ran; until test -e {folder}/go; do sleep 0.1; done'"
    depends: null
    resources: {{memory: 100M, runtime: 10m}}
  b:
    executable: "sh -c 'echo b >> {folder}/ran'"
    depends: [a]
    resources: {{memory: 100M, runtime: 1m}}
"""


def test_what_ends_with_0_before_its_command_has_not_completed(world: World) -> None:
    """SLURM says COMPLETED of a script that ends with 0; ours does not, and is not believed."""
    ends = {"leaves": "exit 0", "replaced": "exec true", "hides": "srun() { :; }"}
    state = world.carry_out(
        *(shell(name, "echo ran > ran", setup=(line,)) for name, line in ends.items()),
        retry=RetryPolicy(attempts=1),
    )
    assert statuses(state) == dict.fromkeys(ends, "failed")
    reasons = {progress.reason for progress in state.workflows.values()}
    assert reasons == {"exit code 0, and its command did not run"}
    assert not [*world.folder.rglob("ran")]
    assert {said[0] for said in world.sacct().values()} == {"FAILED"}


def test_nodes_without_the_python_of_the_login_node_are_enough(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rank says how it ended all the same, on each node, by whatever it is started."""
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    more = {"ranks": 3, "threads": 100}
    well = shell("well", "echo $SLURMD_NODENAME", request=more)
    badly = shell("badly", 'test "$SLURM_PROCID" != 1', request=more)
    launched = replace(well, name="launched", launcher="mpirun", environment=MPIRUN)
    work = [well, badly, *([launched] if shutil.which("mpirun") else [])]
    state = world.carry_out(*work, retry=RetryPolicy(attempts=1))
    found = statuses(state)
    assert found.pop("launched", "completed") == "completed"
    assert found == {"well": "completed", "badly": "failed"}
    assert len({*(world.folder / "jobs/well/1/stdout").read_text().split()}) == 3
    assert len([*(world.folder / "jobs/well/1/ranks").iterdir()]) == 3


@pytest.fixture
def begun(world: World) -> Path:
    """A campaign whose first workflow goes on until it is told to end."""
    world.folder.mkdir()
    path = world.folder / "two.yaml"
    path.write_text(CAMPAIGN.format(folder=world.folder, tiger=TIGER))
    return path


def ran(world: World) -> list[str]:
    path = world.folder / "ran"
    return path.read_text().split() if path.exists() else []


def ends_well(world: World, run: Path) -> bool:
    (world.folder / "go").touch()
    done = world.socm("resume", run, "--poll-interval", "1")
    document = json.loads(world.socm("status", run, "--json").stdout)
    found = {w["name"]: w["state"] for w in document["workflows"]}
    assert found == {"a": "completed", "b": "completed"}, done.stdout + done.stderr
    return ran(world) == ["a", "b"]


def test_a_run_whose_folder_is_renamed_while_a_job_runs_goes_on(world: World, begun: Path) -> None:
    run, there = world.folder / "run", world.folder / "elsewhere"
    process = world.start_socm("run", begun, "--yes", "--run-dir", run, "--poll-interval", "1")
    world.slurm.wait_for(lambda: ran(world), "the first job")
    kill(process)
    run.rename(there)
    assert ends_well(world, there)


def test_a_copy_of_a_run_does_not_run_its_jobs(world: World, begun: Path) -> None:
    run, copy = world.folder / "run", world.folder / "copy"
    process = world.start_socm("run", begun, "--yes", "--run-dir", run, "--poll-interval", "1")
    world.slurm.wait_for(lambda: ran(world), "the first job")
    shutil.copytree(run, copy)
    done = world.socm("resume", copy, "--poll-interval", "1")
    assert done.returncode == 5, done.stdout + done.stderr
    assert f"a belongs to the run in {run}, of which" in " ".join(done.stderr.split())
    kill(process)
    assert ends_well(world, run)


@pytest.fixture
def full(world: World) -> Iterator[World]:
    """A cluster on which nothing starts."""
    nodes = ("scontrol", "update", f"nodename={','.join(world.slurm.node_names)}")
    world.slurm.run(*nodes, "state=drain", "reason=full")
    yield world
    world.slurm.run(*nodes, "state=resume", check=False)


def test_a_run_whose_folder_is_renamed_while_a_job_waits_is_refused(
    full: World, begun: Path
) -> None:
    """The job has the former name; a link by that name leads it here."""
    world, run, there = full, full.folder / "run", full.folder / "elsewhere"
    process = world.start_socm("run", begun, "--yes", "--run-dir", run, "--poll-interval", "1")
    journal = run / "journal.jsonl"
    world.slurm.wait_for(
        lambda: journal.exists() and '"Submitted"' in journal.read_text(), "the submission"
    )
    kill(process)
    run.rename(there)
    done = world.socm("resume", there, "--poll-interval", "1")
    assert done.returncode == 5, done.stdout + done.stderr
    said = " ".join(done.stderr.split())
    assert f"will need the folder of the run, {there}, under its former name {run}" in said
    assert f"`ln -s {there} {run}`" in said
    run.symlink_to(there)
    nodes = ",".join(world.slurm.node_names)
    world.slurm.run("scontrol", "update", f"nodename={nodes}", "state=resume")
    assert ends_well(world, there)
