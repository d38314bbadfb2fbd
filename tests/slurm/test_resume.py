"""A run on a real SLURM that dies, at any line of its journal, and goes on."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from builders import TIGER
from carrying import World, kill

from socm.engine.journal import read_journal
from socm.engine.run import Run
from socm.engine.state import CampaignState

pytestmark = pytest.mark.slurm

CAMPAIGN = """
campaign: {name: five, resource: TIGER3, retries: 0}
stages:
  a: {executable: "sleep 0.5", depends: null, resources: &r {memory: 100M, runtime: 1m}}
  b: {executable: "sleep 0.5", depends: [a], resources: *r}
  c: {executable: "sh -c 'exit 3'", depends: [a], resources: *r}
  d: {executable: "sleep 0.5", depends: [c], resources: *r}
  e: {executable: "sleep 0.5", depends: null, resources: *r}
""".replace("TIGER3", TIGER)
WANTED = {"a": "completed", "b": "completed", "c": "failed", "d": "skipped", "e": "completed"}


@pytest.fixture
def campaign(world: World) -> Path:
    world.folder.mkdir()
    path = world.folder / "five.yaml"
    path.write_text(CAMPAIGN)
    return path


def lines(run: Path) -> int:
    journal = run / "journal.jsonl"
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def names_in_sacct(world: World, run: Run, count: int) -> Counter[str]:
    found: Counter[str] = Counter()

    def told() -> bool:
        out = world.slurm.run("sacct", "-nPX", "-D", "-S", "now-1day", "-o", "JobName").split()
        found.clear()
        found.update(n.removeprefix(f"{run.id}-") for n in out if n.startswith(f"{run.id}-"))
        return found.total() >= count

    world.slurm.wait_for(told, "sacct")
    time.sleep(0.5)  # one more would come now
    told()
    return found


def test_killed_at_every_line_of_its_journal_none_is_lost_and_none_is_twice(
    world: World, campaign: Path
) -> None:
    """One run is killed again and again, each time a line further; then another one, and so on."""
    whole = world.folder / "whole"
    done = world.socm("run", campaign, "--yes", "--run-dir", whole, "--poll-interval", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    total = lines(whole)
    assert total > 15
    for line in range(1, total):
        folder = world.folder / f"run-{line}"
        process = world.start_socm(
            "run", campaign, "--yes", "--run-dir", folder, "--poll-interval", "1"
        )
        while lines(folder) < line and process.poll() is None:
            time.sleep(0.002)
        kill(process)
        done = world.socm("resume", folder, "--poll-interval", "1")
        run = Run(folder)
        state = CampaignState.of(run.plan, read_journal(run.journal))
        found = {name: p.status.value for name, p in state.workflows.items()}
        assert found == WANTED, done.stdout + done.stderr
        jobs = names_in_sacct(world, run, 4)
        assert jobs == Counter(["a-1", "b-1", "c-1", "e-1"]), line


def test_a_plan_for_another_cluster_is_refused(world: World, campaign: Path) -> None:
    plan, cluster = world.folder / "plan.json", world.folder / "other.toml"
    cluster.write_text(
        'name = "other"\n[[partitions]]\nname = "elsewhere"\nnodes = 2\n'
        "cores-per-node = 8\nmemory-per-node = 8000\n"
    )
    world.socm("plan", campaign, "--cluster", cluster, "-o", plan, check=True)
    done = world.socm("run", plan, "--yes")
    assert done.returncode == 2
    assert "was planned for other, but the SLURM here has no partition 'elsewhere'" in (
        " ".join(done.stderr.split())
    )
    assert "plans it again" in done.stderr


def test_of_two_on_one_folder_the_second_is_refused(world: World, campaign: Path) -> None:
    folder = world.folder / "run"
    go = world.folder / "go"
    waits = f"sh -c 'until test -e {go}; do sleep 0.1; done'"
    campaign.write_text(CAMPAIGN.replace("sleep 0.5", waits, 1))
    process = world.start_socm("run", campaign, "--yes", "--run-dir", folder)
    world.slurm.wait_for(lambda: lines(folder) > 2, "the journal")
    again = world.socm("run", campaign, "--yes", "--run-dir", folder)
    assert again.returncode == 2
    assert "is a run already" in again.stderr
    resumed = world.socm("resume", folder)
    assert resumed.returncode == 5
    assert "is active: process" in resumed.stderr
    go.touch()
    process.communicate(timeout=100)
    assert process.returncode == 1


def test_status_tells_why_a_job_waits_and_cancel_ends_only_this_run(
    world: World, campaign: Path
) -> None:
    """More nodes than are free: SLURM says so."""
    bystander = world.slurm.run(
        "sbatch", "--parsable", "--output=/dev/null", "--qos=vshort", "--time=5", "--nodes=4",
        "--exclusive", "--wrap=sleep 100",
    ).strip()  # fmt: skip
    try:
        world.slurm.wait_for(
            lambda: (
                world.slurm.run("squeue", "-h", "-j", bystander, "-o", "%T").strip() == "RUNNING"
            )
        )
        folder = world.folder / "run"
        process = world.start_socm("run", campaign, "--yes", "--run-dir", folder)
        reasons = ("Resources", "Priority", "Nodes required for job")
        found = ""

        def told() -> bool:
            nonlocal found
            if not (folder / "journal.jsonl").exists():
                return False
            document = json.loads(world.socm("status", folder, "--json").stdout)
            found = next(w["reason"] or "" for w in document["workflows"] if w["name"] == "a")
            return found.startswith(reasons)

        world.slurm.wait_for(told, "the reason")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        done = world.socm("cancel", folder)
        assert done.returncode == 0, done.stderr
        document = json.loads(world.socm("status", folder, "--json").stdout)
        assert {w["state"] for w in document["workflows"]} == {"cancelled", "skipped"}
        left = world.slurm.run("squeue", "-h", "-o", "%A").split()
        assert left == [bystander]
    finally:
        world.slurm.run("scancel", bystander)


def test_a_folder_that_becomes_read_only_is_told(world: World, campaign: Path) -> None:
    folder = world.folder / "run"
    process = world.start_socm("run", campaign, "--yes", "--run-dir", folder)
    world.slurm.wait_for(lambda: lines(folder) > 2, "the journal")
    immutable = ["chattr", "+i", str(folder / "journal.jsonl")]
    try:
        world.slurm.run(*immutable)
    except RuntimeError:
        pytest.skip("this file system has no immutable files")
    finally:
        out, _ = process.communicate(timeout=100)
        world.slurm.run("chattr", "-i", str(folder / "journal.jsonl"), check=False)
    assert process.returncode in (1, 5), out  # what is open may go on
    assert "Traceback" not in out
    assert world.socm("resume", folder).returncode == 1
    assert Counter(names_in_sacct(world, Run(folder), 4)) == Counter(["a-1", "b-1", "c-1", "e-1"])
