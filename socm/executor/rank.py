"""Runs the command of one rank and notes how it ended. Uses only the standard library.

Called as ``rank.py COMMAND...`` by rank.sh, which has opened the note. It gets one line: the exit
code, the peak memory in kB, and the number of processes killed for memory.
"""

from __future__ import annotations

import os
import resource
import signal
import sys

NOTE = 3
"""The descriptor of the note."""
COUNTERS = (
    ("/sys/fs/cgroup/memory{}/memory.oom_control", ":memory:"),
    ("/sys/fs/cgroup{}/memory.events", "0::"),
)


def memory_kills() -> int:
    """Return the number of processes of this job's cgroup killed for memory, 0 if unknown."""
    if "SLURM_JOB_ID" not in os.environ:
        return 0  # elsewhere the cgroup is not the job's own
    try:
        with open("/proc/self/cgroup") as file:
            groups = file.read().splitlines()
        for pattern, mark in COUNTERS:
            for group in groups:
                path = pattern.format(group.rpartition(":")[2])
                if mark in group and os.path.exists(path):
                    with open(path) as file:
                        counts = dict(line.split() for line in file if line.count(" ") == 1)
                    return int(counts.get("oom_kill", 0))
    except (OSError, ValueError):
        pass
    return 0


def main() -> None:
    """Run the rank."""
    command = sys.argv[1:]
    before = memory_kills()
    # A signal is for the command, which decides what to do with it.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda *_: None)
    try:
        pid = os.posix_spawnp(
            command[0],
            command,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_CLOSE, NOTE)],
            setsigdef=[*signal.valid_signals() - {9, 19}],
        )
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        sys.stderr.write(f"socm: {command[0]} cannot be run: {reason}\n")
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)
    _, status = os.waitpid(pid, 0)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if sys.platform == "darwin":
        peak //= 1024
    code = os.waitstatus_to_exitcode(status)
    code = code if code >= 0 else 128 - code
    try:
        os.write(NOTE, f"{code} {peak} {memory_kills() - before}\n".encode())
        os.close(NOTE)
    except OSError as error:
        sys.stderr.write(f"socm: the note of how this rank ended cannot be written: {error}\n")
    sys.exit(code)


if __name__ == "__main__":
    main()
