"""A budget of nodes on a cluster that would rather start each job on another node."""

from __future__ import annotations

from pathlib import Path

import pytest
from carrying import World, plain_plan, shell, statuses, world_on
from mini_slurm import MiniSlurm

from socm.engine.events import Ended, JobState, Started
from socm.engine.retry import RetryPolicy

pytestmark = pytest.mark.slurm


@pytest.fixture
def world(spreading_slurm: MiniSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return world_on(spreading_slurm, tmp_path, monkeypatch)


def most_nodes(world: World) -> int:
    """Return the most nodes that jobs of a run had at once, as its journal tells."""
    running: dict[str, set[str]] = {}
    most = 0
    for event in world.events:
        if isinstance(event, Started):
            assert event.nodes, "SLURM says where a job runs"
            running[event.workflow] = {*event.nodes}
        elif isinstance(event, Ended):
            running.pop(event.workflow)
        most = max(most, len({node for nodes in running.values() for node in nodes}))
    return most


@pytest.mark.parametrize(("budget", "most"), [(None, 4), (2, 2)])
def test_jobs_are_on_no_more_nodes_than_the_budget(
    world: World, budget: int | None, most: int
) -> None:
    gate = world.folder.parent / "go"
    wait = f"echo begun; until test -e {gate}; do sleep 0.1; done"
    small = [shell(f"w{k}", wait, request={"threads": 4}) for k in range(8)]
    wide = [
        shell(f"wide{k}", "true", "w0", request={"ranks": 20, "memory": 2000}) for k in range(2)
    ]
    with world.meanwhile(lambda: (world.running("w7"), gate.touch())):
        state = world.carry_out(plan=plain_plan(*small, *wide, nodes=budget))
    assert {*statuses(state).values()} == {"completed"}
    assert most_nodes(world) == most


def test_who_was_to_share_a_node_that_is_drained_is_tried_again_on_another(world: World) -> None:
    slurm, gate = world.slurm, world.folder.parent / "go"
    first = shell(
        "first", f"echo begun; until test -e {gate}; do sleep 0.1; done", request={"threads": 8}
    )
    plan = plain_plan(first, shell("second", "true", request={"threads": 8}), nodes=1)
    node = ""

    def drain() -> None:
        nonlocal node
        job = world.running("first")
        node = slurm.run("squeue", "-h", "-j", job, "-o", "%N").strip()
        slurm.run("scontrol", "update", f"nodename={node}", "state=drain", "reason=disk")
        world.job_of("second")
        gate.touch()

    # What is submitted to the node once it is drained waits for it; `second` may come before that.
    try:
        with world.meanwhile(drain):
            state = world.carry_out(plan=plan, retry=RetryPolicy(attempts=2))
    finally:
        slurm.run("scontrol", "update", f"nodename={node}", "state=resume")
    assert {*statuses(state).values()} == {"completed"}
    ends = [e.state for e in world.events if isinstance(e, Ended) and e.workflow == "second"]
    assert ends in ([JobState.COMPLETED], [JobState.NODE_FAILED, JobState.COMPLETED])
