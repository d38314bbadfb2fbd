"""Runs one job on this machine, within its walltime. Uses only the standard library.

Called as ``supervisor.py FOLDER RESULT WALLTIME``: runs FOLDER/script.sh in a session of its own
and writes RESULT once no process of it is left. It outlives the process that started it.
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


def main() -> None:
    """Run the job."""
    folder, result, walltime = sys.argv[1], sys.argv[2], float(sys.argv[3])
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    out = os.open(os.path.join(folder, "stdout"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    err = os.open(os.path.join(folder, "stderr"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for number, descriptor in enumerate((null, out, err)):
        os.dup2(descriptor, number)
    with contextlib.suppress(OSError, AttributeError):
        # An orphan of the job becomes a child of this process, and can be ended.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    reasons: list[str] = []
    signal.signal(signal.SIGTERM, lambda *_: reasons.append("cancelled"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    began = time.time()
    deadline = time.monotonic() + walltime
    script = subprocess.Popen(["/bin/bash", os.path.join(folder, "script.sh")])
    while script.poll() is None and not reasons:
        if time.monotonic() >= deadline:
            reasons.append("timeout")
            sys.stderr.write(f"socm: the walltime of {walltime:g} s is over\n")
            sys.stderr.flush()
        reap(script)
        time.sleep(0.02)
    end_tree(script)
    said: dict[str, Any] = {
        "exit_code": 128 - script.returncode if script.returncode < 0 else script.returncode
    }
    with contextlib.suppress(OSError, ValueError), open(os.path.join(folder, "end.json")) as file:
        said |= json.load(file)
    said |= {"start": said.get("start", began), "end": time.time()}
    if reasons:
        said["state"] = reasons[0]
    elif "node" not in said:
        said["reason"] = "it was killed"  # and could not say how it ended
    with open(result + ".new", "w") as file:
        json.dump(said, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(result + ".new", result)


if __name__ == "__main__":
    main()
