"""A campaign that is edited while its job waits in the queue of a real SLURM."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from carrying import World
from mini_slurm import MiniSlurm

pytestmark = pytest.mark.slurm

CLUSTER = """
name = "mini"
[[partitions]]
name = "closed"
nodes = 2
cores-per-node = 16
memory-per-node = 60000
[[partitions]]
name = "cpu"
nodes = 2
cores-per-node = 16
memory-per-node = 60000
"""
CAMPAIGN = """
campaign: {name: edited, resource: cluster.toml, execution_schema: remote}
stages:
  a:
    executable: sh
    script-args: ["-c", "echo %s >> %s/ledger"]
    resources: {memory: 100M, runtime: 1m, partition: %s}
  b: {executable: "true", depends: [a], resources: {memory: 100M, runtime: 1m, partition: cpu}}
"""


@pytest.mark.parametrize("killed", [False, True], ids=["", "killed once the job was withdrawn"])
def test_a_job_that_waits_is_withdrawn_and_submitted_as_edited(
    killed: bool, slurm: MiniSlurm, tmp_path: Path
) -> None:
    """Its partition is down, and the user asks for another one."""
    folder, path = tmp_path / "run", tmp_path / "edited.yaml"
    world = World(slurm, folder, "edited")
    (tmp_path / "cluster.toml").write_text(CLUSTER)
    path.write_text(CAMPAIGN % ("before", tmp_path, "closed"))
    often = ("--poll-interval", "1")
    process = world.start_socm("run", path, "--yes", "--run-dir", folder, *often)
    journal = folder / "journal.jsonl"

    def has_written(event: str) -> bool:
        return journal.exists() and event in journal.read_text()

    slurm.wait_for(lambda: has_written('"Submitted"'), "the submission")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    [waiting] = slurm.run("squeue", "-h", "-t", "PENDING", "-o", "%A").split()
    path.write_text(CAMPAIGN % ("after", tmp_path, "cpu"))
    if killed:
        process = world.start_socm("resume", folder, "--accept-changes", *often)
        slurm.wait_for(lambda: has_written('"Withdrawing"'), "the withdrawal")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    done = world.socm("resume", folder, "--accept-changes", *often)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(world.socm("status", folder, "--json").stdout)["workflows"]
    assert {w["name"]: w["state"] for w in found} == {"a": "completed", "b": "completed"}
    assert (tmp_path / "ledger").read_text() == "after\n"
    assert slurm.run("squeue", "-h", "-j", waiting, "-t", "all", "-o", "%T").strip() == "CANCELLED"
