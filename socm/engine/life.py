"""Which process carries a run on: each is a *life* of the run, and holds the run's lock."""

from __future__ import annotations

import errno
import fcntl
import math
import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from socm.errors import ActiveRun, RunError
from socm.files import open_regular
from socm.units import format_duration
from socm.words import reason_of

SIGN = 20.0
"""Seconds between two signs of life."""
SILENCE = 120.0
"""Seconds without a sign of life after which a process on another machine counts as gone."""


@dataclass(frozen=True)
class Life:
    """A process that carries a run on.

    Parameters
    ----------
    id
        What no other life of the run has; empty while the process is starting.
    owner
        The process in words.
    doubt
        Why it cannot be verified from here that the process is alive; `None` if it is.
    """

    id: str
    owner: str
    doubt: str | None = None


@contextmanager
def lock(path: Path, run: str) -> Iterator[str]:
    """Be the only process that carries a run on.

    Parameters
    ----------
    path
        Path of the lock.
    run
        Name of the run.

    Yields
    ------
    str
        The id of this life.

    Raises
    ------
    ActiveRun
        If another process carries the run on.
    RunError
        If the lock cannot be written.
    """
    try:
        file = open(path, "a+", encoding="utf-8", errors="replace")  # noqa: SIM115 - closed below
    except OSError as error:
        raise RunError(f"{path} cannot be written: {reason_of(error)}") from error
    with file:
        file.seek(0)
        owner = _owner(file.readline(_LONGEST))
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                hint = "--run-dir names a folder for a new run; locks of files have to work there"
                raise RunError(f"{path} cannot be locked: {reason_of(error)}", hint=hint) from error
            message = f"{run} is active: {owner} carries it on"
            raise ActiveRun(message, hint=f"`socm status {run}` shows its progress") from error
        if (silent := _silent_for(path, owner)) is not None:
            raise ActiveRun(
                f"{run} may be active: {owner} showed a sign of life {_ago(silent)}, "
                "and cannot be asked from here",
                hint=f"if it has ended, the run can be resumed here in {_still(silent)}, "
                f"{format_duration(SILENCE)} after its last sign",
            )
        life = secrets.token_hex(8)
        file.truncate(0)
        file.write(f"{_this_process()}\n{life}\n")
        file.flush()
        try:
            yield life
        finally:
            file.truncate(0)  # it is known to have ended, however it did


def show_sign(path: Path) -> None:
    """Show a sign of life, for those who cannot see from where they are whether this lives."""
    with suppress(OSError):
        os.utime(path)


def life_at(path: Path) -> Life | None:
    """Return the process that carries a run on; `None` if there is none.

    Nothing is written, and a disk that is read-only will do. From another machine a lock may not
    be seen; then the signs of life count.

    Parameters
    ----------
    path
        Path of the lock.
    """
    try:
        file = open_regular(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return Life("", "a process", f"{path} cannot be read: {reason_of(error)}")
    with file:
        written = file.read(_LONGEST).decode(errors="replace")
        owner, _, life = written.partition("\n")
        owner, life = _owner(owner), life.partition("\n")[0]
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return Life(life, owner)
    silent = _silent_for(path, owner)
    if silent is None:
        return None
    doubt = f"it showed a sign of life {_ago(silent)}, on another machine"
    return Life(
        life, owner, f"{doubt}; without another one, the run can be resumed in {_still(silent)}"
    )


_LONGEST = 1000


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


def _owner(line: str) -> str:
    return line.strip() or "another process"


def _silent_for(path: Path, owner: str) -> float | None:
    """Return the age of the last sign of life, if that could be of a process somewhere else."""
    _, there, host = owner.rpartition(" on ")
    if not there or host == socket.gethostname():
        return None
    try:
        silent = time.time() - os.stat(path).st_mtime
    except OSError:
        return None
    return silent if abs(silent) < SILENCE else None


def _still(silent: float) -> str:
    """Return how long a process still counts as alive if it shows no further sign."""
    return format_duration(math.ceil(SILENCE - silent))


def _ago(seconds: float) -> str:
    return f"{format_duration(max(0.0, seconds))} ago"
