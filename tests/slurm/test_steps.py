"""A campaign inside of an allocation on a real SLURM: its workflows are steps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections import Counter

import pytest
from allocating import SMALL, Inside
from carrying import MPIRUN, SOCM

from socm.engine.events import JobState, Submitted
from socm.engine.journal import read_journal

pytestmark = pytest.mark.slurm


SHOW = "echo $SLURM_PROCID $SLURMD_NODENAME $SLURM_JOB_ID\n"


def test_workflows_of_every_kind_run_as_steps(inside: Inside) -> None:
    """One rank, or several on both nodes, evenly or not; by srun, or by themselves."""
    (inside.folder / "show.sh").write_text(SHOW)
    show = f"sh {inside.folder}/show.sh"
    campaign = inside.write(f"""
  one: {{executable: {show}, depends: null, {SMALL}}}
  odd:
    executable: {show}
    depends: null
    resources: {{ranks: 3, threads: 8, memory: 3G, runtime: 1m}}
  all:
    executable: {show}
    depends: [odd]
    resources: {{ranks: 32, memory: 120000M, runtime: 1m}}
  fails: {{executable: sh -c 'exit 3', depends: [one], {SMALL}}}
  after: {{executable: "true", depends: [fails], {SMALL}}}
  itself:
    executable: srun {show}
    launcher: none
    depends: null
    resources: {{ranks: 2, memory: 1G, runtime: 1m}}
""")
    out = inside.wait(inside.allocate("run", campaign, "--yes", "--run-dir", "run"))
    assert "code 1" in out, out
    assert inside.states() == {
        "one": "completed", "odd": "completed", "all": "completed", "itself": "completed",
        "fails": "failed", "after": "skipped",
    }, out  # fmt: skip
    said = {
        name: [line.split() for line in inside.stdout(name).splitlines()]
        for name in ("one", "odd", "all", "itself")
    }
    assert {name: len(lines) for name, lines in said.items()} == {
        "one": 1, "odd": 3, "all": 32, "itself": 2,
    }  # fmt: skip
    for lines in said.values():
        assert sorted(int(line[0]) for line in lines) == [*range(len(lines))]
        assert {line[2] for line in lines} == {inside.jobs[0]}
    assert Counter(node for _, node, _ in said["all"]) == {"n1": 16, "n2": 16}
    assert sorted(Counter(node for _, node, _ in said["odd"]).values()) == [1, 2]


def test_mpirun_starts_its_ranks_on_the_nodes_of_its_step(inside: Inside) -> None:
    if shutil.which("mpirun") is None:
        assert os.environ.get("SOCM_REQUIRE_SLURM") != "1", ".ci/slurm installs mpirun"
        pytest.skip("there is no mpirun (.ci/slurm installs it)")
    campaign = inside.write(f"""
  ranks:
    executable: sh -c 'sleep 1'
    launcher: mpirun
    depends: null
    environment: {json.dumps(MPIRUN)}
    resources: {{ranks: 20, memory: 1G, runtime: 1m}}
  beside: {{executable: "true", depends: null, {SMALL}}}
""")
    out = inside.wait(inside.allocate("run", campaign, "--yes", "--run-dir", "run"))
    assert inside.states() == {"ranks": "completed", "beside": "completed"}, out
    assert "code 0" in out


def test_what_an_allocation_does_not_do_the_next_one_does(inside: Inside) -> None:
    """Nothing starts that is expected to last longer than it; nobody has failed by its end."""
    campaign = inside.write(
        f"""
  early: {{executable: "true", depends: null, {SMALL}}}
  late: {{executable: "true", depends: null, resources: {{memory: 1G, runtime: 20m}}}}
  after: {{executable: "true", depends: [late], {SMALL}}}
""",
        retries=0,
    )
    out = inside.wait(inside.allocate("run", campaign, "--yes", "--run-dir", "run", minutes=5))
    assert "code 4" in out, out
    assert inside.states() == {"early": "completed", "late": "pending", "after": "pending"}
    out = inside.wait(inside.allocate("resume", "run", minutes=60))
    assert "code 0" in out, out
    assert set(inside.ends().values()) == {1}
    assert len(inside.ends()) == 3


def test_a_step_that_the_end_of_its_allocation_cuts_has_not_failed(inside: Inside) -> None:
    """It runs again in the next one, though none may be retried."""
    gate = inside.folder / "go"
    wait = f"sh -c 'echo begun; until test -e {gate}; do sleep 0.1; done'"
    campaign = inside.write(
        f"""
  done: {{executable: "true", depends: null, {SMALL}}}
  cut: {{executable: "{wait}", depends: null, resources: {{ranks: 32, memory: 1G, runtime: 1m}}}}
  waits: {{executable: "true", depends: [cut], {SMALL}}}
""",
        retries=0,
    )
    job = inside.allocate("run", campaign, "--yes", "--run-dir", "run")
    inside.wait_for(lambda: "begun" in inside.stdout("cut"))
    inside.slurm.run("scancel", "--full", job)
    inside.wait(job)
    gate.touch()
    out = inside.wait(inside.allocate("resume", "run"))
    assert "code 0" in out, out
    assert set(inside.states().values()) == {"completed"}
    assert inside.ends() == {
        ("done", JobState.COMPLETED): 1,
        ("cut", JobState.ALLOCATION_ENDED): 1,
        ("cut", JobState.COMPLETED): 1,
        ("waits", JobState.COMPLETED): 1,
    }


@pytest.mark.parametrize("lines", range(3, 19, 3))
def test_killed_within_its_allocation_nothing_is_lost_and_nothing_is_twice(
    inside: Inside, lines: int
) -> None:
    """The allocation goes on; another process in it follows what still runs."""
    once = f"sh -c 'echo x >> {inside.folder}/runs; sleep 0.5'"
    stages = "".join(
        f'  w{k}: {{executable: "{once}", depends: {depends}, {SMALL}}}\n'
        for k, depends in enumerate(["null", "null", "[w0]", "[w1]", "[w2]"])
    )
    campaign = inside.write(stages)
    hold = inside.hold()
    first = inside.start_in(hold, "run", campaign, "--yes", "--run-dir", "run")
    inside.wait_for(lambda: inside.lines() >= lines or first.poll() is not None)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    second = inside.start_in(hold, "resume", "run")
    out, _ = second.communicate(timeout=120)
    assert second.returncode == 0, out
    assert set(inside.states().values()) == {"completed"}
    assert (inside.folder / "runs").read_text() == "x\n" * 5
    events = read_journal(inside.folder / "run" / "journal.jsonl")
    assert Counter(e.workflow for e in events if isinstance(e, Submitted)).total() == 5


def test_outside_of_an_allocation_there_are_no_steps(inside: Inside) -> None:
    campaign = inside.write(f'  a: {{executable: "true", depends: null, {SMALL}}}\n')
    arguments = [*SOCM, "run", str(campaign), "--executor", "steps", "--yes"]
    done = subprocess.run(
        arguments, cwd=inside.folder, env=inside.slurm.env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 5
    assert "not inside of an allocation" in done.stderr
    assert "salloc" in done.stderr
