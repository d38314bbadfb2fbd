"""Jobs on this machine that use more memory than they asked for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from test_local import socm, stage, states, status, write

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="the system does not say what is in use"
)
HOLD = """
import mmap, os, sys, time

MB = 2**20
kind, folder = sys.argv[1:]


def hold(size):
    return bytearray(b"x") * (size * MB)


def fork(count):
    for _ in range(count):
        if os.fork() == 0:
            return True
    return False


if kind == "one process":
    held = hold(150)
elif kind == "several":
    fork(3)
    held = hold(50)
elif kind == "an orphan in a session of its own":
    if fork(1):
        os.setsid()
        if fork(1):
            held = hold(150)
        else:
            os._exit(0)
elif kind == "memory that they share":
    shared = mmap.mmap(-1, 150 * MB)
    shared.write(hold(10) * 15)
    fork(3)
    held = shared[:: 4096]
elif kind == "what each has of its parent":
    held = hold(25)
    fork(4)
elif kind == "a file":
    with open(f"{folder}/big", "wb") as file:
        file.truncate(150 * MB)
    with open(f"{folder}/big", "rb") as file:
        held = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    sum(held[::4096])
time.sleep(float(os.environ["SECONDS"]))
"""


def run(tmp_path: Path, kind: str, seconds: float, head: str = "") -> str:
    """Run a job that asks for 50 MB, the first attempt at which holds memory."""
    (tmp_path / "hold.py").write_text(HOLD)
    line = f'{sys.executable} {tmp_path}/hold.py "{kind}" {tmp_path}'
    script = f"case $PWD in */1) export SECONDS={seconds}; {line};; esac"
    done = socm(tmp_path, "run", write(tmp_path, stage("a", script), head=head), "--yes")
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "kind",
    ["one process", "several", "an orphan in a session of its own", "memory that they share"],
)
def test_a_job_that_uses_more_than_it_asked_for_is_ended_and_gets_more(
    tmp_path: Path, kind: str
) -> None:
    """However its processes are related: what they use together counts."""
    out = run(tmp_path, kind, 1000)
    assert "next attempt: out of memory" in out
    assert states(tmp_path) == {"a": "completed"}
    [workflow] = status(tmp_path)["workflows"]
    assert workflow["attempt"] == 2
    stderr = (tmp_path / "socm-runs/campaign-1/jobs/a/1/stderr").read_text()
    assert "more than it asked for" in stderr


@pytest.mark.parametrize("kind", ["what each has of its parent", "a file"])
def test_what_is_counted_twice_or_may_be_taken_back_is_not_too_much(
    tmp_path: Path, kind: str
) -> None:
    """Held for several looks at what is in use."""
    out = run(tmp_path, kind, 2.5)
    assert states(tmp_path) == {"a": "completed"}, out
    assert [w["attempt"] for w in status(tmp_path)["workflows"]] == [1]


def test_a_job_that_has_no_more_attempts_has_run_out_of_memory(tmp_path: Path) -> None:
    out = run(tmp_path, "one process", 1000, head="retries = 0")
    assert "a failed: out of memory" in out
    assert "more than it asked for" in out
