"""The processes of jobs on this machine: supervisors, and what is left where one was killed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

MARK = "SOCM_JOB"
"""The variable by which every process of a job is known: the name of the job."""
SUPERVISOR = Path(__file__).with_name("supervisor.py")
PYTHON = [sys.executable, "-I", "-S", str(SUPERVISOR)]
"""The beginning of a supervisor's command line; its arguments follow."""
ARGUMENTS = 5
"""How many they are; the second is the name of the job."""


def supervised_job(command: Sequence[str]) -> str | None:
    """Return the name of the job that a process supervises; `None` if it is another process.

    Parameters
    ----------
    command
        The command line of any process.

    Examples
    --------
    >>> supervised_job([*PYTHON, "/runs/jobs/a/1", "maps-a-1", "../a.1.json", "60", "50"])
    'maps-a-1'
    >>> supervised_job(["vim", str(SUPERVISOR)]) is None
    True
    """
    python, arguments = command[: len(PYTHON)], command[len(PYTHON) :]
    # The same Python may have several names.
    return arguments[1] if python[1:] == PYTHON[1:] and len(arguments) == ARGUMENTS else None


def supervisors() -> dict[str, psutil.Process]:
    """Return the supervisors that are alive, by the name of their job."""
    found = {}
    for process in psutil.process_iter(["cmdline", "status"]):
        name = supervised_job(process.info["cmdline"] or [])
        if name is not None and process.info["status"] != psutil.STATUS_ZOMBIE:
            found[name] = process
    return found


def works_elsewhere(process: psutil.Process, folder: Path) -> bool:
    """Whether a process is alive and works in another folder, however that is called by now."""
    try:
        return not os.path.samefile(process.cwd(), folder)
    except psutil.NoSuchProcess:
        return False  # it has just ended
    except (OSError, psutil.Error):
        with suppress(psutil.NoSuchProcess):
            return process.status() != psutil.STATUS_ZOMBIE
        return False


def left_of(name: str) -> list[psutil.Process]:
    """Return what is left of a job: its processes, and those that these have started."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter(["environ", "status"]):
        marked = (process.info["environ"] or {}).get(MARK) == name
        if marked and process.info["status"] != psutil.STATUS_ZOMBIE:
            try:
                found |= {p.pid: p for p in (process, *process.children(recursive=True))}
            except psutil.Error:
                continue  # it has just ended
    ours = psutil.Process()  # may have been started from a terminal that a job has opened
    return [
        p for pid, p in found.items() if pid not in {ours.pid, *(o.pid for o in ours.parents())}
    ]
