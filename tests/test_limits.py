"""What the machine refuses is told in one sentence, and nothing is half done."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_local import ROOT, SOCM, socm, stage, start, states, status, wait_for, write

REFUSED = "clone,clone3,fork,vfork"
"""The system calls by which processes and threads are started."""


def refusing(calls: str) -> list[str]:
    """Return the beginning of a command line under which the system refuses some calls."""
    if shutil.which("strace") is None:
        pytest.skip("strace makes the system refuse what it would allow")
    command = ["strace", "-f", "--seccomp-bpf", "-o", os.devnull, "-e", f"trace={REFUSED}"]
    command += ["-e", f"inject={REFUSED}:error=EAGAIN:{calls}"]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    return command


def run(
    folder: Path,
    path: Path,
    *before: str,
    limit: Callable[[], object] | None = None,
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *SOCM, "run", str(path), "--yes", "--run-dir", str(folder / "run")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        preexec_fn=limit,
        timeout=120,
        check=False,
    )


def campaign(folder: Path) -> Path:
    line = f"echo $SOCM_WORKFLOW >> {folder}/ran"
    return write(folder, stage("a", line), stage("b", line, "a"))


def ran_once_in_the_end(folder: Path) -> bool:
    """Resume what was begun, if it was."""
    if (folder / "run" / "run.json").exists():
        done = socm(folder, "resume", folder / "run")
        assert done.returncode == 0, done.stdout + done.stderr
        return (folder / "ran").read_text().split() == ["a", "b"]
    return not (folder / "ran").exists()


def test_a_machine_that_allows_no_more_processes_is_told(tmp_path: Path) -> None:
    """Nor threads: none is started that is not needed, and what cannot be started is waited for."""
    done = run(tmp_path, campaign(tmp_path), *refusing("when=1+"))
    assert done.returncode == 5, done.stdout + done.stderr
    assert "no process can be started on this machine: resource temporarily" in done.stderr
    assert "`ulimit -u`" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (tmp_path / "ran").exists()
    assert ran_once_in_the_end(tmp_path)


@pytest.mark.parametrize("number", range(1, 9))
def test_a_process_that_cannot_be_started_once_is_started_later(
    tmp_path: Path, number: int
) -> None:
    """Whichever it is: of socm, of a supervisor, of a script or of a rank."""
    done = run(tmp_path, campaign(tmp_path), *refusing(f"when={number}"))
    out = done.stdout + done.stderr
    assert "Traceback" not in out
    assert done.returncode in (0, 1), out
    if done.returncode == 1:  # a shell may give up, and says so
        assert "a failed" in out or "b failed" in out
        assert socm(tmp_path, "resume", tmp_path / "run", "--retry-failed").returncode == 0
    assert (tmp_path / "ran").read_text().split() == ["a", "b"]


def test_what_cannot_be_started_says_why_it_waits(tmp_path: Path) -> None:
    """Here the supervisor of a job is there, and may not start the job's script."""
    process = start(tmp_path, "run", campaign(tmp_path), "--yes", before=refusing("when=1..60"))
    run = tmp_path / "socm-runs" / "campaign-1"
    why = "no process can be started: resource temporarily unavailable"
    said = run / "jobs" / "a" / "1" / "stderr"
    wait_for(lambda: said.exists() and why in said.read_text())
    wait_for(lambda: status(tmp_path)["workflows"][0]["reason"] == why)
    line = f"this machine starts no more jobs just now ({why})"
    wait_for(lambda: line in (run / "log.txt").read_text())
    assert socm(tmp_path, "cancel").returncode == 0
    out, _ = process.communicate(timeout=60)
    assert line in out
    assert "the cluster" not in out
    assert states(tmp_path)["a"] == "cancelled"


@pytest.mark.parametrize("files", range(6, 20, 2))
def test_a_machine_that_allows_few_open_files_is_told(tmp_path: Path, files: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    done = run(tmp_path, campaign(tmp_path), limit=limit)
    out = done.stdout + done.stderr
    assert "Traceback" not in out
    assert done.returncode in (0, 1, 5), out
    if done.returncode == 5:
        assert "too many open files" in out or "no more open files" in out
        assert ran_once_in_the_end(tmp_path)
        return
    if done.returncode == 1:
        done = socm(tmp_path, "resume", tmp_path / "run", "--retry-failed")
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "ran").read_text().split() == ["a", "b"]


@pytest.mark.parametrize("folder", ["missing", "not a folder", "read-only"])
@pytest.mark.parametrize("variable", ["HOME", "TMPDIR"])
def test_home_and_the_folder_for_temporary_files_are_not_needed(
    tmp_path: Path, variable: str, folder: str
) -> None:
    place = tmp_path / folder
    if folder == "not a folder":
        place.touch()
    elif folder == "read-only":
        place.mkdir(mode=0o500)
    line = f"echo $SOCM_WORKFLOW >> {tmp_path}/ran"
    path = write(tmp_path, stage("a", line), stage("b", line, "a"))
    done = socm(tmp_path, "run", path, "--yes", **{variable: str(place)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert states(tmp_path) == {"a": "completed", "b": "completed"}


def test_threads_that_socm_does_without_are_not_taken_from_its_jobs(tmp_path: Path) -> None:
    """It has one thread, whatever the cores; the environment of a job is the user's."""
    path = write(tmp_path, stage("a", f"env | grep OPENBLAS > {tmp_path}/seen; true"))
    environment = {k: v for k, v in os.environ.items() if k != "OPENBLAS_NUM_THREADS"}
    code = (
        "import os, subprocess, sys; from socm.threads import *; do_without(); import numpy; "
        "print(len(os.listdir('/proc/self/task'))); restore_environment(); sys.stdout.flush(); "
        "subprocess.run(['sh', '-c', 'echo ${OPENBLAS_NUM_THREADS-as it was}'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["1", "as it was"]
    done = socm(tmp_path, "run", path, "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("OPENBLAS" in (tmp_path / "seen").read_text()) == ("OPENBLAS_NUM_THREADS" in os.environ)


NO_MEMORY = {
    "an allocation": "MemoryError",
    "a library": "ImportError('libz.so.1: failed to map segment from shared object')",
}


@pytest.mark.parametrize("error", NO_MEMORY.values(), ids=[*NO_MEMORY])
@pytest.mark.parametrize("also", ["only once", "to tell it, too"])
def test_a_machine_that_allows_no_more_memory_is_told(
    tmp_path: Path, error: str, also: str
) -> None:
    """What fails for it is whatever comes next: here NumPy, and what makes an error look well."""
    modules = ["numpy"] if also == "only once" else ["numpy", "socm.report.problem"]
    code = (
        "import sys\n"
        "class Full:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name in {modules}:\n"
        f"            raise {error}\n"
        "sys.meta_path.insert(0, Full())\n"
        "from socm.cli import main\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, "plan", str(campaign(tmp_path))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert "error: this machine allows no more memory" in done.stderr
    assert "`ulimit -v` says how much is allowed" in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert (done.returncode, done.stdout) == (5, "")
