"""The script of a job: a success needs proof, whatever happens in it, to it or beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from shlex import quote
from typing import Any

import pytest
from test_executor import a, job_for

from socm.config.cluster import load_cluster
from socm.engine.backend import Job, JobUpdate
from socm.engine.events import JobState
from socm.executor import script
from socm.executor.folder import JobFolder, make_run_folder
from socm.executor.script import job_script
from socm.executor.slurm.executor import SlurmExecutor


def attempt(run: Path, job: Job, *, local: bool = True) -> JobFolder:
    """Write what the attempt consists of."""
    make_run_folder(run)
    place = JobFolder(run, job.workflow.name, job.attempt)
    place.make(job_script(job, place, local=local), {})
    return place


def carried_out(place: JobFolder, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", place.script],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


def judged(place: JobFolder, job: Job) -> JobUpdate:
    """Return what is made of the files of an attempt, where SLURM would say COMPLETED."""
    executor = SlurmExecutor(place.run, load_cluster("tiger3"), time.time())
    tracked = executor.track(job, "17")
    tracked.result = place.read_result()
    if tracked.result is None:
        return executor.end(tracked, JobState.FAILED, "no result")[-1]
    return (executor.end_well(tracked) or executor.end_badly(tracked))[-1]


BEFORE = (
    "exit 0",
    "exit",
    "return 0",
    "exec true",
    "exec sh -c 'exit 0'",
    ". ./leaves",
    "set -e; exit 0",
    "set -e; trap 'exit 0' ERR; false",
    "trap - EXIT; exit 0",
    "trap 'exit 0' EXIT; false",
    "set -u; trap 'exit 0' EXIT; echo $NOWHERE",
    "trap '' TERM; exit 0",
    "}; exit 0; {",
    "true; }; socm_job() { true",
    "socm_rank=(true)",
    "socm_folder=/nowhere; exit 0",
    "cd() { exit 0; }",
    "shopt -s extdebug; trap 'false' DEBUG",
    "exec < /dev/null; exit 0",
    "logout 2> /dev/null || exit 0",
)
"""Lines of a setup after which the script would end with 0, and its command has not run."""


@pytest.mark.parametrize("line", BEFORE)
def test_what_ends_before_its_command_has_not_completed(tmp_path: Path, line: str) -> None:
    (tmp_path / "leaves").write_text("exit 0\n")
    job = job_for(a("touch", f"{tmp_path}/ran", setup=(f"cd {tmp_path}", line)))
    place = attempt(tmp_path, job)
    carried_out(place)
    assert not (tmp_path / "ran").exists()
    update = judged(place, job)
    assert update.state is JobState.FAILED
    assert "its command did not run" in update.reason


@pytest.mark.parametrize(
    "line", ["echo 'no end", "cat << EOF", "if true", "echo )", "a ||", "echo \\"]
)
def test_a_line_of_the_setup_is_one_whatever_it_leaves_open(tmp_path: Path, line: str) -> None:
    """It neither takes the next one in nor keeps the command from its place."""
    job = job_for(a("touch", f"{tmp_path}/ran", setup=(line, f"touch {tmp_path}/next")))
    place = attempt(tmp_path, job)
    done = carried_out(place)
    result = place.read_result()
    assert result is not None
    both = {(tmp_path / name).exists() for name in ("next", "ran")}
    assert both == {done.returncode == 0}
    assert (judged(place, job).state is JobState.COMPLETED) == (done.returncode == 0)


@pytest.mark.parametrize(
    "line",
    [
        "set -f",
        "set -eu",
        "set -o noclobber",
        "set -o posix",
        "shopt -s failglob nullglob",
        "IFS=0123456789",
        "PATH=/nowhere",
        "cd /",
        "umask 077",
        "date() { echo; }; uname() { echo; }; mv() { :; }; printf() { :; }; read() { false; }",
        "exec > other",
        "trap 'echo bye' EXIT",
        "trap '' TERM INT HUP",
        "unset SLURM_PROCID; export OMPI_COMM_WORLD_RANK=0 PMIX_RANK=0 PMI_RANK=0",
    ],
)
def test_what_a_setup_changes_is_for_the_command_alone(tmp_path: Path, line: str) -> None:
    """How the job ended is found and written as without it."""
    job = job_for(a("/bin/true", setup=(f"cd {tmp_path}", line), request={"ranks": 2}))
    place = attempt(tmp_path, job)
    done = carried_out(place)
    assert done.returncode == 0, done.stderr
    assert judged(place, job).state is JobState.COMPLETED


@pytest.mark.parametrize("name", ["SHELLOPTS=noclobber:noglob", "BASHOPTS=failglob", "IFS=0123"])
def test_options_of_the_users_shell_change_nothing(tmp_path: Path, name: str) -> None:
    job = job_for(a("true"))
    place = attempt(tmp_path, job)
    variable, _, value = name.partition("=")
    done = carried_out(place, **{variable: value})
    assert done.returncode == 0, done.stderr
    assert judged(place, job).state is JobState.COMPLETED


def launched(tmp_path: Path, does: str, ranks: int, launcher: str = "srun") -> JobUpdate:
    """Return what becomes of a job whose launcher does something of its own."""
    fake = tmp_path / "bin" / launcher
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/bash\nwhile [[ $1 == -* || $1 =~ ^[0-9] ]]; do shift; done\n{does}\n")
    fake.chmod(0o755)
    job = job_for(a("true", request={"ranks": ranks}, launcher=launcher))
    place = attempt(tmp_path, job, local=False)
    carried_out(place, PATH=f"{fake.parent}:{os.environ['PATH']}", SLURM_CPUS_PER_TASK="1")
    return judged(place, job)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "PATIENCE", 0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("launcher", ["srun", "mpirun"])
@pytest.mark.parametrize(
    ("does", "words"),
    [
        ("exit 0", "its command did not run"),
        ('"$@"', "only 1 of 3 ranks ended well"),
        ('"$@"; "$@"; (export PATH=/nowhere; "$@"); exit 0', "only 2 of 3 ranks ended well"),
        ('"$@"; "$@"; "$@"; exit 5', "exit code 5"),
    ],
)
def test_a_launcher_that_ends_well_is_not_believed(
    tmp_path: Path, launcher: str, does: str, words: str
) -> None:
    """It may end with 0 where a node was lost, or where it has started nothing."""
    update = launched(tmp_path, does, 3, launcher)
    assert update.state is JobState.FAILED
    assert words in update.reason


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("note", ["", "\n", "0", "0 1", "0 1 2", "0 1 x\n", "-0 1 2\n", "0  1\n"])
def test_a_note_that_is_not_whole_is_none(tmp_path: Path, note: str) -> None:
    update = launched(tmp_path, f'"$@"; printf -- {quote(note)} > ranks/another', 2)
    assert update.state is JobState.FAILED
    assert "only 1 of 2 ranks ended well" in update.reason


def test_a_note_that_comes_late_from_another_node_is_waited_for(tmp_path: Path) -> None:
    update = launched(tmp_path, '"$@"; (sleep 1; "$@") > /dev/null 2>&1 &', 2)
    assert update.state is JobState.COMPLETED


def test_a_script_that_was_cut_does_nothing_and_has_not_completed(tmp_path: Path) -> None:
    """Wherever: at no length does it run a part of what it says."""
    job = job_for(a("touch", f"{tmp_path}/ran", setup=(f"touch {tmp_path}/setup",)))
    place = attempt(tmp_path, job)
    whole = place.script.read_text()
    for length in range(0, len(whole.rstrip()), 61):
        place.script.write_text(whole[:length])
        carried_out(place)
        assert not (tmp_path / "setup").exists()
        assert not (tmp_path / "ran").exists()
        assert judged(place, job).state is JobState.FAILED
    place.script.write_text(whole)
    assert carried_out(place).returncode == 0
    assert judged(place, job).state is JobState.COMPLETED


@pytest.mark.parametrize("rewritten", ["", "exit 0\n", "touch {folder}/second; exit 0\n" * 400])
def test_a_script_that_is_written_over_as_it_runs_runs_as_it_was(
    tmp_path: Path, rewritten: str
) -> None:
    """A shell reads a script as it goes; this one is read whole before its first act."""
    script = f"cat {tmp_path}/new > {tmp_path}/jobs/a/1/script.sh; touch {tmp_path}/ran"
    job = job_for(a("sh", "-c", script))
    (tmp_path / "new").write_text(rewritten.format(folder=tmp_path))
    place = attempt(tmp_path, job)
    done = carried_out(place)
    assert done.returncode == 0, done.stderr
    assert place.script.read_text() == (tmp_path / "new").read_text()
    assert (tmp_path / "ran").exists()
    assert not (tmp_path / "second").exists()
    assert judged(place, job).state is JobState.COMPLETED


def test_a_job_needs_no_file_but_its_script(tmp_path: Path) -> None:
    """So there is none that could be cut, or be of another version, as the job starts."""
    job = job_for(a("true"))
    place = attempt(tmp_path, job)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["script.sh"]
    assert carried_out(place).returncode == 0
    assert judged(place, job).state is JobState.COMPLETED


@pytest.mark.parametrize(
    "name",
    [
        "a 'b' \"c\"",
        "$HOME `id`",
        "new\nline",
        "back\\slash",
        "*?[x]{a,b}",
        "größe",
        "\udcff",
        "-a",
        "~",
    ],
)
def test_a_run_may_be_kept_in_any_folder(tmp_path: Path, name: str) -> None:
    run = tmp_path / name
    run.mkdir()
    job = job_for(a("sh", "-c", "touch ran", request={"ranks": 2}))
    place = attempt(run, job)
    done = carried_out(place)
    assert done.returncode == 0, done.stderr
    assert (place.path / "ran").exists()
    assert judged(place, job).state is JobState.COMPLETED
    assert place.origin() is None


@pytest.fixture(params=["python", "no python", "broken python", "python that cannot be run"])
def python(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the node of a rank has in the place of the Python that socm runs on."""
    if request.param == "python":
        return sys.executable
    path = tmp_path / "its-python"
    if request.param != "no python":
        path.write_text("#!/bin/sh\necho 'No module named encodings' >&2\nexit 1\n")
        path.chmod(0o755 if request.param == "broken python" else 0o644)
    monkeypatch.setattr(sys, "executable", str(path))
    return str(path)


@pytest.mark.parametrize(
    ("command", "code", "state"),
    [
        (("true",), 0, JobState.COMPLETED),
        (("sh", "-c", "exit 7"), 7, JobState.FAILED),
        (("sh", "-c", "kill -9 $$"), 137, JobState.FAILED),
        (("sh", "-c", "kill -TERM $$"), 143, JobState.FAILED),
        (("sh", "-c", "kill -TERM $PPID; sleep 0.2"), 0, JobState.COMPLETED),
        (("no-such-program",), 127, JobState.FAILED),
        (("/etc/passwd",), 126, JobState.FAILED),
        (("exit", "0"), 127, JobState.FAILED),
        ((":",), 127, JobState.FAILED),
    ],
)
def test_each_rank_notes_how_it_ended_whatever_its_node_has(
    tmp_path: Path, python: str, command: tuple[str, ...], code: int, state: JobState
) -> None:
    """A command is a program and no word of the shell; a signal is for the command alone."""
    job = job_for(a(*command, request={"ranks": 2}))
    place = attempt(tmp_path, job)
    assert carried_out(place).returncode == code
    result = place.read_result()
    assert result is not None
    assert (result.exit_code, result.ranks_begun) == (code, 2)
    assert result.ranks_well == (2 if code == 0 else 0)
    assert judged(place, job).state is state


def test_an_end_is_told_in_words(tmp_path: Path) -> None:
    def reason(*command: str, **more: Any) -> str:
        job = job_for(a(*command, **more))
        run = tmp_path / str(len([*tmp_path.iterdir()]))
        run.mkdir()
        place = attempt(run, job)
        carried_out(place)
        return judged(place, job).reason

    assert reason("sh", "-c", "exit 3") == "exit code 3"
    assert reason("true", setup=("false",)) == "exit code 1, and its command did not run"
    assert reason("true", setup=("exit 0",)) == "exit code 0, and its command did not run"
    assert reason("true", outputs=("map",)) == "exit code 0, but no map"
