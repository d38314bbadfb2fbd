"""Counted resources and a budget of hours on a real SLURM, and its reservations."""

from __future__ import annotations

from pathlib import Path

import pytest
from carrying import PLAIN, World, shell, statuses, world_on
from mini_slurm import MiniSlurm

from socm.engine.events import Ended, Submitted
from socm.exchange.slurm import ask, imported_cluster
from socm.model.campaign import Budget, Campaign
from socm.planner import plan_campaign

pytestmark = pytest.mark.slurm


@pytest.fixture
def world(plain_slurm: MiniSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return world_on(plain_slurm, tmp_path, monkeypatch)


def test_no_more_jobs_that_use_it_are_in_the_queue_than_there_may_be(world: World) -> None:
    readers = [shell(f"r{k}", "true", request={"uses": {"io": 1}}) for k in range(4)]
    plan = plan_campaign(Campaign.of("io", [*readers, shell("w", "true")], limits={"io": 1}), PLAIN)
    state = world.carry_out(plan=plan)
    assert {*statuses(state).values()} == {"completed"}
    in_queue, most = 0, 0
    for event in world.events:
        if isinstance(event, Submitted) and event.workflow != "w":
            in_queue += 1
        elif isinstance(event, Ended) and event.workflow != "w":
            in_queue -= 1
        most = max(most, in_queue)
    assert most == 1


def test_what_the_budget_of_hours_has_no_room_for_is_left_out(world: World) -> None:
    """A minute is charged as planned; in fact the jobs take a second."""
    short = [shell(f"s{k}", "true", request={"walltime": 120}) for k in range(2)]
    long = shell("long", "true", request={"walltime": 7200})
    campaign = Campaign.of("hours", [*short, long], budget=Budget(core_hours=1))
    state = world.carry_out(plan=plan_campaign(campaign, PLAIN))
    assert statuses(state) == {"s0": "completed", "s1": "completed", "long": "skipped"}
    assert 0 < state.charge.core_hours < 0.1


def test_maintenance_is_imported_from_slurm(world: World) -> None:
    slurm = world.slurm
    slurm.run(
        "scontrol", "create", "reservation", "reservationname=upgrade", "starttime=now+2hours",
        "duration=60", "flags=maint,ignore_jobs", "nodes=ALL", "users=root",
    )  # fmt: skip
    try:
        cluster, _ = imported_cluster(ask(), checked="2026-11-22")
    finally:
        slurm.run("scontrol", "delete", "reservationname=upgrade")
    [window] = cluster.maintenance
    assert window.note == "upgrade in SLURM"
    assert window.partitions == tuple(p.name for p in cluster.partitions)
    assert window.nodes is None
    assert imported_cluster(ask(), checked="2026-11-22")[0].maintenance == ()
