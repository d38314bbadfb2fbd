"""Runs one job on this machine, within its walltime. Uses only the standard library.

Called as ``supervisor.py JOB FOLDER RESULT WALLTIME``: runs the script in FOLDER in a session of
its own, and writes RESULT, seen from FOLDER, once no process of it is left. It outlives the process
that started it, and works on if the folder is renamed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

GRACE = 5.0
PAUSE = 1.0
"""Seconds before something is tried again that the machine refused: a process, space on a disk."""
PR_SET_CHILD_SUBREAPER = 36


def descendants() -> set[int]:
    """Return the pids of all processes that this one has started, directly or not."""
    parents = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{entry}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
                if fields[0] != "Z":
                    parents[int(entry)] = int(fields[1])
    found: set[int] = set()
    front = {os.getpid()}
    while front:
        front = {pid for pid, parent in parents.items() if parent in front} - found
        found |= front
    return found


def send(number: int, script: subprocess.Popen[bytes]) -> None:
    """Send a signal to the script and all processes that it started."""
    for pid in descendants() or {script.pid}:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def end_tree(script: subprocess.Popen[bytes]) -> None:
    """End the script and all processes that it started: by SIGTERM first, then by SIGKILL."""
    send(signal.SIGTERM, script)
    until = time.monotonic() + GRACE
    while time.monotonic() < until and (script.poll() is None or descendants()):
        reap(script)
        time.sleep(0.02)
    while script.poll() is None or descendants():
        send(signal.SIGKILL, script)
        reap(script)
        time.sleep(0.02)


def reap(script: subprocess.Popen[bytes]) -> None:
    """Reap processes whose parents are gone; the script itself is reaped by its `Popen`."""
    for pid in children_that_ended():
        if pid != script.pid:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
    script.poll()


def children_that_ended() -> list[int]:
    """Return a child that has ended and is still to be reaped."""
    with contextlib.suppress(ChildProcessError):
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return [found.si_pid] if found else []
    return []


def started(reasons: list[str]) -> subprocess.Popen[bytes] | None:
    """Start the script, as soon as the machine allows it; `None` if that is no longer wanted."""
    while not reasons:
        try:
            return subprocess.Popen(["/bin/bash", "script.sh"])
        except OSError:  # too many processes
            time.sleep(PAUSE)
    return None


def say(text: str) -> None:
    """Write a line to the job's stderr, if there is space on the disk."""
    with contextlib.suppress(OSError):
        os.write(2, f"socm: {text}\n".encode())


def write(path: str, text: str) -> None:
    """Write a file whole, as soon as there is space on its disk; not if its folder was removed."""
    while os.stat(".").st_nlink:
        with contextlib.suppress(OSError):
            with open(path + ".new", "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(path + ".new", path)
            return
        time.sleep(PAUSE)


def main() -> None:
    """Run the job."""
    folder, result, walltime = sys.argv[2], sys.argv[3], float(sys.argv[4])
    os.setsid()
    os.chdir(folder)
    null = os.open(os.devnull, os.O_RDWR)
    out = os.open("stdout", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    err = os.open("stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for number, descriptor in enumerate((null, out, err)):
        os.dup2(descriptor, number)
    with contextlib.suppress(OSError, AttributeError):
        # An orphan of the job becomes a child of this process, and can be ended.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    reasons: list[str] = []
    signal.signal(signal.SIGTERM, lambda *_: reasons.append("cancelled"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    said: dict[str, Any] = {"exit_code": 143, "start": time.time()}
    script = started(reasons)
    if script is not None:
        deadline = time.monotonic() + walltime
        while script.poll() is None and not reasons:
            if time.monotonic() >= deadline:
                reasons.append("timeout")
                say(f"the walltime of {walltime:g} s is over")
            reap(script)
            time.sleep(0.02)
        end_tree(script)
        code = script.returncode
        said["exit_code"] = code if code >= 0 else 128 - code
        with contextlib.suppress(OSError, ValueError), open("end.json") as file:
            said |= json.load(file)
    said["end"] = time.time()
    if reasons:
        said["state"] = reasons[0]
    elif "node" not in said:
        # The script could not say how it ended.
        killed = script is not None and script.returncode < 0
        said["reason"] = "it was killed" if killed else "its script left no result"
    write(result, json.dumps(said))


if __name__ == "__main__":
    main()
