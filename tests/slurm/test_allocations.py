"""A campaign in allocations on a real SLURM: an outer run submits them, an inner one is in them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from allocating import SMALL, Inside
from carrying import ROOT, SOCM, kill

from socm.engine.events import Ended, JobState, Submitted
from socm.engine.journal import read_journal
from socm.engine.run import Run

pytestmark = pytest.mark.slurm

CLUSTER = """
name = "pair"
[[partitions]]
name = "cpu"
nodes = 2
cores-per-node = 16
memory-per-node = 60000
walltime = "%s"
"""


def batch(inside: Inside, stages: str, walltime: str = "30m", **campaign: object) -> Path:
    """Write a campaign that runs in allocations of these two nodes."""
    (inside.folder / "pair.toml").write_text(CLUSTER % walltime)
    return inside.write(stages, execution_schema="batch", resource="pair.toml", **campaign)


def start(inside: Inside, *command: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*SOCM, *map(str, command)],
        cwd=inside.folder,
        env={**inside.slurm.env, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@contextmanager
def started(inside: Inside, *command: object) -> Iterator[subprocess.Popen[str]]:
    """Start socm; end it if what is done meanwhile fails."""
    process = start(inside, *command)
    try:
        yield process
    except BaseException:
        kill(process)
        raise


def socm(inside: Inside, *command: object) -> tuple[int, str]:
    process = start(inside, *command)
    out, _ = process.communicate(timeout=300)
    return process.returncode, out


RUN = ("--yes", "--run-dir", "run", "--poll-interval", "1")


def outer_ends(inside: Inside) -> list[JobState]:
    events = read_journal(inside.folder / "run" / "journal.jsonl")
    return [e.state for e in events if isinstance(e, Ended)]


def completed_once(inside: Inside, number: int) -> bool:
    """Whether so many workflows were completed in the inner run, and none of them twice."""
    events = read_journal(inside.folder / "run/inside/journal.jsonl")
    done = Counter(
        e.workflow for e in events if isinstance(e, Ended) and e.state is JobState.COMPLETED
    )
    return len(done) == number and set(done.values()) == {1}


def many(inside: Inside, number: int) -> str:
    """Workflows of half a second that note that they ran."""
    script = inside.folder / "once.sh"
    script.write_text(f"echo $1 >> {inside.folder}/runs\nsleep 0.5\n")
    return "".join(
        f"  w{k:03}: {{executable: sh {script} w{k:03}, depends: null, "
        "resources: {memory: 1G, runtime: 20s}}\n"
        for k in range(number)
    )


def test_two_hundred_workflows_run_in_one_job_each_once(inside: Inside) -> None:
    campaign = batch(inside, many(inside, 200))
    began = time.monotonic()
    code, out = socm(inside, "run", campaign, *RUN)
    print(f"200 workflows in one allocation: {time.monotonic() - began:.1f} s")
    assert code == 0, out
    assert outer_ends(inside) == [JobState.COMPLETED]
    assert completed_once(inside, 200)
    lines = (inside.folder / "runs").read_text().split()
    assert Counter(lines) == Counter(f"w{k:03}" for k in range(200))
    events = read_journal(inside.folder / "run/inside/journal.jsonl")
    print(f"  in it: {max(e.time for e in events):.1f} s")


def test_what_fails_in_an_allocation_fails_the_run_and_can_be_retried(inside: Inside) -> None:
    gate = inside.folder / "mended"
    campaign = batch(
        inside,
        f"""
  good: {{executable: "true", depends: null, {SMALL}}}
  bad: {{executable: test -e {gate}, depends: null, {SMALL}}}
  after: {{executable: "true", depends: [bad], {SMALL}}}
""",
    )
    code, out = socm(inside, "run", campaign, *RUN)
    assert code == 1, out
    assert "bad failed" in out
    assert inside.states("run/inside") == {
        "good": "completed", "bad": "failed", "after": "skipped",
    }  # fmt: skip
    assert outer_ends(inside) == [JobState.FAILED]
    gate.touch()
    code, out = socm(inside, "resume", "run", "--retry-failed", "--poll-interval", "1")
    assert code == 0, out
    assert completed_once(inside, 3)


def test_an_allocation_that_ends_at_half_is_followed_by_another(inside: Inside) -> None:
    """Its end cuts what runs; the next one does the rest, and nothing is done twice."""
    gate = inside.folder / "go"
    wait = f"sh -c 'until test -e {gate}; do sleep 0.1; done'"
    campaign = batch(
        inside,
        f"""
  first: {{executable: "true", depends: null, {SMALL}}}
  held: {{executable: "{wait}", depends: [first], {SMALL}}}
  last: {{executable: "true", depends: [held], {SMALL}}}
""",
        retries=0,
    )
    with started(inside, "run", campaign, *RUN) as process:
        inside.wait_for(lambda: state_of(inside, "held") == "running")
        job = Run(inside.folder / "run").state().workflows["allocation"].native_id
        inside.slurm.run("scontrol", "update", f"jobid={job}", "EndTime=now")
        inside.wait_for(lambda: outer_ends(inside) != [])
        gate.touch()
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    assert outer_ends(inside) == [JobState.TIMEOUT, JobState.COMPLETED]
    assert completed_once(inside, 3)


def state_of(inside: Inside, workflow: str) -> str:
    if not (inside.folder / "run/inside/journal.jsonl").exists():
        return ""
    return inside.states("run/inside")[workflow]


@pytest.mark.parametrize("lines", [1, 2, 3, 4])
def test_killed_outside_the_allocation_is_found_again(inside: Inside, lines: int) -> None:
    campaign = batch(inside, many(inside, 6))
    process = start(inside, "run", campaign, *RUN)
    inside.wait_for(lambda: inside.lines() >= lines or process.poll() is not None)
    kill(process)
    code, out = socm(inside, "resume", "run", "--poll-interval", "1")
    assert code == 0, out
    assert completed_once(inside, 6)
    events = read_journal(inside.folder / "run/journal.jsonl")
    assert sum(isinstance(e, Submitted) for e in events) == 1
    assert Counter((inside.folder / "runs").read_text().split()) == Counter(
        f"w{k:03}" for k in range(6)
    )


def test_killed_inside_the_next_allocation_carries_on(inside: Inside) -> None:
    """The first one ends with its process; what ran in it runs again."""
    gate = inside.folder / "go"
    wait = f"sh -c 'until test -e {gate}; do sleep 0.1; done'"
    campaign = batch(
        inside,
        f"""
  first: {{executable: "true", depends: null, {SMALL}}}
  held: {{executable: "{wait}", depends: [first], {SMALL}}}
""",
    )
    with started(inside, "run", campaign, *RUN) as process:
        inside.wait_for(lambda: state_of(inside, "held") == "running")
        life = Run(inside.folder / "run/inside").life()
        assert life is not None
        os.kill(int(life.owner.split()[1]), signal.SIGKILL)
        inside.wait_for(lambda: outer_ends(inside) != [])
        gate.touch()
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    assert outer_ends(inside) == [JobState.FAILED, JobState.COMPLETED]
    assert completed_once(inside, 2)


def test_status_logs_and_cancel_reach_the_workflows_inside(inside: Inside) -> None:
    campaign = batch(
        inside,
        f"""
  one: {{executable: "sh -c 'echo hello; sleep 300'", depends: null, {SMALL}}}
  two: {{executable: "sleep 300", depends: null, {SMALL}}}
  three: {{executable: "true", depends: [one, two], {SMALL}}}
""",
    )
    with started(inside, "run", campaign, *RUN) as process:
        inside.wait_for(lambda: state_of(inside, "one") == state_of(inside, "two") == "running")
        _, out = socm(inside, "status", "run", "--json")
        said = json.loads(out)
        assert [w["name"] for w in said["workflows"]] == ["allocation"]
        states = {w["name"]: w["state"] for w in said["inside"]["workflows"]}
        assert states == {"one": "running", "two": "running", "three": "pending"}
        inside.wait_for(lambda: socm(inside, "logs", "one", "--run", "run")[1] == "hello\n")
        code, out = socm(inside, "cancel", "run", "two")
        assert code == 0, out
        assert state_of(inside, "two") == "cancelled"
        assert state_of(inside, "one") == "running"
        code, out = socm(inside, "cancel", "run")
        assert code == 0, out
    out, _ = process.communicate(timeout=300)
    assert outer_ends(inside) == [JobState.CANCELLED]
    assert inside.states("run/inside") == {
        "one": "cancelled", "two": "cancelled", "three": "skipped",
    }  # fmt: skip
    assert inside.slurm.run("squeue", "-h").strip() == ""
