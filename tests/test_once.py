"""Each attempt runs once on this machine, whatever is killed, moved, copied or full."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from test_executor import a, job_for
from test_local import socm, stage, start, until, wait_for, write

from socm.engine.events import JobState
from socm.engine.life import SILENCE
from socm.executor.folder import make_run_folder
from socm.executor.local import LocalExecutor
from socm.executor.processes import supervised_job, works_elsewhere
from socm.model.machine import this_machine


class Scene:
    """A run of one workflow, which goes on until it is told to end.

    It notes each of its begins and ends, and whether another one ran at the same time: the lock
    is held as long as its process lives.
    """

    def __init__(self, folder: Path, *, before: str = "true", run: Path | None = None) -> None:
        self.folder = folder
        self.run = run or folder / "run"
        self.go = folder / "go"
        self.process: subprocess.Popen[str] | None = None
        self.script = (
            f"cd {folder}; exec 9>> lock; flock -n 9 || echo TWICE >> proof; {before}; "
            f"echo begin >> proof; {until(self.go)}; echo end >> proof"
        )

    def start(self, head: str = "retries = 1") -> None:
        path = write(self.folder, stage("a", self.script), stage("b", "true", "a"), head=head)
        path.write_text(path.read_text().replace("5s", "20m"))
        self.process = start(self.folder, "run", path, "--yes", "--run-dir", self.run)
        self.wait_for_begin()

    def wait_for_begin(self, number: int = 1) -> None:
        wait_for(lambda: self.proof().count("begin") == number)

    def proof(self) -> list[str]:
        path = self.folder / "proof"
        return path.read_text().split() if path.exists() else []

    def supervisor(self) -> psutil.Process:
        [found] = [
            p
            for p in psutil.process_iter(["cmdline"])
            if supervised_job(words := p.info["cmdline"] or []) and str(self.run) in " ".join(words)
        ]
        return found

    def kill_socm(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def end(self) -> str:
        assert self.process is not None
        self.go.touch()
        return self.process.communicate(timeout=90)[0]

    def resume(self, run: Path | None = None, *options: str) -> subprocess.CompletedProcess[str]:
        return socm(self.folder, "resume", run or self.run, *options)

    def states(self, run: Path | None = None) -> dict[str, str]:
        done = socm(self.folder, "status", run or self.run, "--json")
        return {w["name"]: w["state"] for w in json.loads(done.stdout)["workflows"]}


COMPLETED = {"a": "completed", "b": "completed"}
TENACIOUS = [
    "true",
    'trap "" TERM HUP INT',
    "(exec 9>&-; setsid sleep 1000 &)",
]
"""What a command may do that makes it hard to end."""


@pytest.mark.parametrize("before", TENACIOUS)
@pytest.mark.parametrize("alone", [True, False])
def test_a_command_without_its_supervisor_is_ended_before_it_runs_again(
    tmp_path: Path, before: str, alone: bool
) -> None:
    """As by an administrator, or where memory runs out; with the process of socm or without."""
    scene = Scene(tmp_path, before=before)
    scene.start()
    if not alone:
        scene.kill_socm()
    supervisor = scene.supervisor()
    tree = supervisor.children(recursive=True)
    supervisor.kill()
    if not alone:
        scene.process = start(tmp_path, "resume", scene.run)
    scene.wait_for_begin(2)
    assert not [p for p in tree if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    out = scene.end()
    assert scene.states() == COMPLETED, out
    assert scene.proof() == ["begin", "begin", "end"]
    assert "next attempt: node failed" in out


def test_a_job_of_another_machine_is_not_started_here(tmp_path: Path) -> None:
    """The folder of a run may be on a disk that several login nodes share."""
    scene = Scene(tmp_path)
    scene.start()
    scene.kill_socm()
    # The supervisor first: it would note how the others end.
    for process in [s := scene.supervisor(), *s.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # one that sleeps for a moment
            process.kill()
    mark = scene.run / "results" / "a.1.started"
    written = mark.read_text().split()
    mark.write_text(f"{written[0]} {written[1]} login7\n")
    before = (scene.run / "journal.jsonl").read_text()
    for verb in ("resume", "cancel"):
        done = socm(tmp_path, verb, scene.run)
        assert done.returncode == 5
        assert f"a has started on login7, and this is {os.uname().nodename}" in done.stderr
        assert "resume on login7" in done.stderr
        assert str(mark) in "".join(done.stderr.split())
        assert "Traceback" not in done.stderr
    added = (scene.run / "journal.jsonl").read_text().removeprefix(before)
    assert "Submit" not in added
    mark.unlink()  # as it is told
    scene.go.touch()
    assert scene.resume().returncode == 0
    assert scene.states() == COMPLETED


def test_what_an_earlier_start_has_left_is_no_proof(tmp_path: Path) -> None:
    """The mark of one that had ended well was removed, as it is told; the next does nothing."""
    make_run_folder(tmp_path)
    job = job_for(a("true"), this_machine())
    executor = LocalExecutor(tmp_path, this_machine(), time.time())
    executor.submit(job)
    assert [u.state for _ in range(2) for u in executor.wait()][-1] is JobState.COMPLETED
    folder = executor.folder(job)
    assert [*(folder.path / "ranks").iterdir()]
    for path in (folder.started, folder.result):
        path.unlink()
    executor.submit(job)
    folder.script.write_text("")
    update = [u for _ in range(2) for u in executor.wait()][-1]
    assert update.state is JobState.FAILED
    assert update.reason == "its script left no result"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a machine within this one")
def test_a_job_that_lives_on_another_machine_is_not_started_here(tmp_path: Path) -> None:
    """A second machine: its own name, its own processes, the same disk."""
    scene = Scene(tmp_path)
    scene.start()
    scene.kill_socm()
    long_ago = time.time() - 2 * SILENCE
    os.utime(scene.run / "lock", (long_ago, long_ago))  # the process shows no sign of life
    there = ["unshare", "--uts", "--pid", "--fork", "--mount-proc", "sh", "-c"]
    line = f"hostname login2 && exec {sys.executable} -m socm resume {scene.run}"
    done = subprocess.run([*there, line], capture_output=True, text=True, timeout=90, check=False)
    if "unshare" in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 5, done.stdout + done.stderr
    assert "a has started on" in done.stderr
    assert scene.proof() == ["begin"]
    scene.go.touch()
    assert scene.resume().returncode == 0
    assert scene.states() == COMPLETED
    assert scene.proof() == ["begin", "end"]


def test_a_process_that_has_just_ended_works_nowhere(tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, cwd=here) as process:
        seen = psutil.Process(process.pid)
        assert not works_elsewhere(seen, here)
        assert works_elsewhere(seen, elsewhere)
        assert works_elsewhere(seen, tmp_path / "missing")
        assert process.stdin is not None
        process.stdin.close()
        wait_for(lambda: seen.status() == psutil.STATUS_ZOMBIE)
        assert not works_elsewhere(seen, elsewhere)
    assert not works_elsewhere(seen, elsewhere)


@pytest.mark.parametrize("ends", ["before", "while it is moved", "after"])
def test_a_run_that_is_renamed_goes_on_where_it_is(tmp_path: Path, ends: str) -> None:
    """Whenever its job ends, it has run once, and its result is found."""
    scene = Scene(tmp_path)
    scene.start()
    scene.kill_socm()
    supervisor = scene.supervisor()
    if ends == "before":
        scene.go.touch()
        wait_for((scene.run / "results/a.1.json").exists)
    there = tmp_path / "elsewhere"
    scene.run.rename(there)
    if ends == "while it is moved":
        scene.go.touch()
        wait_for(lambda: not supervisor.is_running() or supervisor.status() == "zombie")
    scene.process = start(tmp_path, "resume", there)
    out = scene.end()
    assert scene.states(there) == COMPLETED, out
    assert scene.proof() == ["begin", "end"]
    assert not scene.run.exists()


def test_a_copy_of_a_run_does_not_run_its_jobs_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.start()
    copy = tmp_path / "a copy"
    shutil.copytree(scene.run, copy)
    done = scene.resume(copy)
    assert done.returncode == 5, done.stdout + done.stderr
    assert f"a belongs to the run in {scene.run}, of which" in " ".join(done.stderr.split())
    assert f"`socm resume {scene.run}` continues it" in " ".join(done.stderr.split())
    scene.end()
    assert scene.resume(copy).returncode == 5
    assert scene.states() == COMPLETED
    assert scene.proof() == ["begin", "end"]


def test_a_run_that_is_moved_to_another_disk_waits_for_what_still_runs(tmp_path: Path) -> None:
    """That is a copy, and the removal of the first: what runs can no longer say how it ends."""
    scene = Scene(tmp_path)
    scene.start()
    scene.kill_socm()
    supervisor, there = scene.supervisor(), tmp_path / "there"
    shutil.copytree(scene.run, there)
    shutil.rmtree(scene.run)
    done = scene.resume(there)
    assert done.returncode == 5, done.stdout + done.stderr
    assert f"a is still running in another folder, process {supervisor.pid}" in done.stderr
    assert f"`kill {supervisor.pid}` ends it" in " ".join(done.stderr.split())
    scene.go.touch()
    wait_for(lambda: not supervisor.is_running() or supervisor.status() == "zombie")
    assert scene.resume(there).returncode == 0
    assert scene.states(there) == COMPLETED
    assert scene.proof() == ["begin", "end", "begin", "end"]


def fill(path: Path) -> None:
    """Write a file until its disk is full."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    for size in (4096, 1):
        with contextlib.suppress(OSError):
            while os.write(descriptor, b"x" * size):
                pass
    os.close(descriptor)


@pytest.fixture
def small(tmp_path: Path) -> Any:
    """A small disk."""
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(path)]
    if (
        sys.platform != "linux"
        or subprocess.run(mount, capture_output=True, check=False).returncode
    ):
        pytest.skip("only root may mount a file system")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.parametrize("alone", [True, False])
def test_the_end_of_a_job_is_not_lost_where_the_disk_is_full(
    tmp_path: Path, small: Path, alone: bool
) -> None:
    """It ends meanwhile, and is known to have completed once there is space again."""
    scene = Scene(tmp_path, run=small / "run")
    scene.start()
    if not alone:
        scene.kill_socm()
    supervisor = scene.supervisor()
    script = supervisor.children()
    fill(small / "filler")
    scene.go.touch()
    wait_for(lambda: "end" in scene.proof())
    psutil.wait_procs(script, timeout=60)
    wait_for(lambda: not supervisor.children() or not supervisor.is_running())
    (small / "filler").unlink()
    assert scene.process is not None
    if alone:
        scene.process.communicate(timeout=90)
    done = scene.resume()
    assert done.returncode == 0, done.stdout + done.stderr
    assert scene.states() == COMPLETED
    assert scene.proof() == ["begin", "end"]


def test_a_job_leaves_nothing_behind_where_its_run_was_removed(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.start()
    scene.kill_socm()
    supervisor = scene.supervisor()
    shutil.rmtree(scene.run)
    scene.go.touch()
    wait_for(lambda: not supervisor.is_running() or supervisor.status() == "zombie")
