"""Runs one job on this machine, within its walltime. Uses only the standard library.

Called as ``supervisor.py FOLDER JOB RESULT WALLTIME MEMORY``: runs the script in FOLDER in a
session of its own, for WALLTIME seconds and with MEMORY MB at the most (0: no limit), and writes
RESULT, seen from FOLDER, once no process of it is left. It outlives the process that started it,
and works on if the folder is renamed.
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
from collections.abc import Iterator
from typing import Any

GRACE = 5.0
PAUSE = 1.0
"""Seconds before something is tried again that the machine refused: a process, space on a disk."""
SAMPLE = 0.5
"""Seconds between two looks at the memory in use."""
PAGE = os.sysconf("SC_PAGE_SIZE")
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


def children(pid: int) -> Iterator[int]:
    """Yield a process and all that it has started: quickly, and perhaps not those just coming."""
    yield pid
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                started = file.read().split()
            for child in started:
                yield from children(int(child))


def memory_in_use(limit: float) -> float:
    """Return the MB that all processes of the job use together; 0 if within a limit.

    What they share is counted once, and files that they have mapped are not: the system may take
    that memory back. To find that out takes a while, and only happens if a rough sum exceeds the
    limit.
    """
    rough, exact = 0, 0
    pids = [*children(os.getpid())][1:]
    for pid in pids:
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/statm") as file:
            rough += int(file.read().split()[1]) * PAGE
    if rough <= limit * 2**20:
        return 0.0
    for pid in pids:
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                    exact += int(line.split()[1])
    return exact / 1024


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


def started(job: str, note: str, reasons: list[str]) -> subprocess.Popen[bytes] | None:
    """Start the script, as soon as the machine allows it; `None` if that is no longer wanted.

    A note says why it does not begin, as long as that is so.
    """
    told = False
    try:
        while not reasons:
            try:
                return subprocess.Popen(["/bin/bash", "script.sh"])
            except OSError as error:  # too many processes
                why = f"no process can be started: {(error.strerror or str(error)).lower()}"
            if not told:
                say(why)
                told = True
            with contextlib.suppress(OSError), open(note, "w") as file:
                file.write(f"{job} {why}\n")
            time.sleep(PAUSE)
        return None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(note)


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
    folder, job, result = sys.argv[1:4]
    walltime, memory = map(float, sys.argv[4:6])
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
    with contextlib.suppress(OSError):
        os.unlink("end.json")  # of a script that was started earlier and given up
    said: dict[str, Any] = {"exit_code": 143, "start": time.time()}
    script = started(job, os.path.splitext(result)[0] + ".waits", reasons)
    if script is not None:
        deadline, next_sample = time.monotonic() + walltime, 0.0
        while script.poll() is None and not reasons:
            now = time.monotonic()
            if now >= deadline:
                reasons.append("timeout")
                say(f"the walltime of {walltime:g} s is over")
            elif memory and now >= next_sample:
                if (used := memory_in_use(memory)) > memory:
                    reasons.append("out of memory")
                    say(f"it uses {used:.0f} MB, more than it asked for")
                took = time.monotonic() - now
                next_sample = now + max(SAMPLE, 20 * took)
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
