"""Telling never kills doing: a run goes on to its end, whatever becomes of what it prints."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_local import ROOT, SOCM, stage, status, until, wait_for, write

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """Two stages, of which the first waits for the file ``go``; the second fails."""
    waiting = stage("a", until(tmp_path / "go"))
    return write(tmp_path, waiting, stage("b", "exit 3", "a"))


@pytest.fixture
def command(campaign: Path) -> list[str]:
    return [*SOCM, "run", str(campaign), "--yes", "--run-dir", "run"]


def ended(folder: Path) -> dict[str, str]:
    """Return the states in which a run has ended, of which nobody carries anything on."""
    document = status(folder, "run")
    assert document["end"] is not None
    assert document["process"] is None
    return {w["name"]: w["state"] for w in document["workflows"]}


def started(folder: Path) -> bool:
    journal = folder / "run" / "journal.jsonl"
    return journal.exists() and '"Started"' in journal.read_text()


@pytest.mark.parametrize("lines", [1, 20])
def test_a_reader_that_has_seen_enough_ends_no_run(
    tmp_path: Path, command: list[str], lines: int
) -> None:
    process = subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    for _ in range(lines):
        process.stdout.readline()
    process.stdout.close()
    wait_for(lambda: started(tmp_path))
    (tmp_path / "go").touch()
    assert process.wait() == 1
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == b""
    assert ended(tmp_path) == {"a": "completed", "b": "failed"}
    assert "b: failed" in (tmp_path / "run" / "log.txt").read_text()


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_for_what_is_printed_ends_no_run(
    tmp_path: Path, command: list[str], options: list[str]
) -> None:
    (tmp_path / "go").touch()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, *options],
            cwd=tmp_path,
            env=ENVIRONMENT,
            stdout=full,
            stderr=full,
            check=False,
        )
    assert done.returncode == 1
    assert ended(tmp_path) == {"a": "completed", "b": "failed"}


@pytest.mark.parametrize("closed", ["1", "2", "0 1 2"])
def test_without_standard_streams_nothing_is_written_in_their_place(
    tmp_path: Path, command: list[str], closed: str
) -> None:
    (tmp_path / "go").touch()
    closing = " ".join(f"{number}>&-" for number in closed.split())
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closing}', "sh", *command],
        cwd=tmp_path, env=ENVIRONMENT, check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert ended(tmp_path) == {"a": "completed", "b": "failed"}


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Return the two ends of a terminal."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    for end in (ours, theirs):
        with contextlib.suppress(OSError):
            os.close(end)


@pytest.mark.parametrize("hangs_up", [True, False])
def test_a_terminal_that_is_gone_ends_no_run(
    tmp_path: Path, command: list[str], terminal: tuple[int, int], hangs_up: bool
) -> None:
    ours, theirs = terminal
    process = subprocess.Popen(
        command, cwd=tmp_path, env=ENVIRONMENT, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    os.set_blocking(ours, False)

    def seen() -> bool:
        with contextlib.suppress(BlockingIOError):
            os.read(ours, 65536)
        return started(tmp_path)

    wait_for(seen)
    os.close(ours)
    if hangs_up:
        process.send_signal(signal.SIGHUP)
        log = tmp_path / "run" / "log.txt"
        wait_for(lambda: "the terminal is gone: the run goes on" in log.read_text())
    (tmp_path / "go").touch()
    assert process.wait() == 1
    assert ended(tmp_path) == {"a": "completed", "b": "failed"}


def test_a_log_that_cannot_be_written_ends_no_run(tmp_path: Path, command: list[str]) -> None:
    """Of the run itself; the journal is what counts."""
    code = (
        "import sys; from pathlib import Path; from socm.engine.run import Run\n"
        "create = Run.create\n"
        "def make(*a, **k): run = create(*a, **k); (run.path / 'log.txt').mkdir(); return run\n"
        "Run.create = make; sys.argv[0] = 'socm'; from socm.cli import main; main()"
    )
    (tmp_path / "go").touch()
    done = subprocess.run(
        [sys.executable, "-c", code, *command[len(SOCM) :]],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert ended(tmp_path) == {"a": "completed", "b": "failed"}


def test_what_is_in_the_log_is_printable(tmp_path: Path) -> None:
    path = write(tmp_path, stage("a", "printf '\\\\033[31mred\\\\n' >&2; exit 3"))
    done = subprocess.run(
        [*SOCM, "run", str(path), "--yes", "--run-dir", "run"],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "\x1b" not in done.stdout + (tmp_path / "run" / "log.txt").read_text()
