"""What SLURM would refuse is said before anything is submitted."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import TIGER
from carrying import World

pytestmark = pytest.mark.slurm

CAMPAIGN = """
campaign: { resource: TIGER3 }
stages:
  good: { executable: "true", resources: { runtime: 1m, memory: 1G } }
  paid: { executable: "true", resources: { runtime: 1m, memory: 1G, account: nobody } }
  rare: { executable: "true", resources: { runtime: 1m, memory: 1G, constraint: quantum } }
""".replace("TIGER3", TIGER)


def test_all_refusals_are_told_and_nothing_is_submitted(world: World) -> None:
    file = world.folder.parent / "c.yaml"
    file.write_text(CAMPAIGN)
    before = world.slurm.run("sacct", "-nX", "-S", "now-1day", "-o", "JobID")
    for command in (["validate", "--live"], ["run", "--yes", "--executor", "slurm"]):
        done = world.socm(*command, file)
        assert done.returncode == 2, done.stderr
        assert "paid: Invalid account" in done.stderr
        assert "rare: Invalid feature specification" in done.stderr
        assert "good" not in done.stderr
    assert world.slurm.run("sacct", "-nX", "-S", "now-1day", "-o", "JobID") == before
    assert not Path(world.folder.parent, "socm-runs").exists()
    file.write_text(CAMPAIGN.partition("  paid:")[0])
    done = world.socm("validate", "--live", file)
    assert done.returncode == 0, done.stderr
    assert "Valid, and SLURM would take each job." in done.stdout
