"""What SLURM's commands print about jobs, read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from socm.engine.events import JobState
from socm.errors import BackendUnavailable

_STATES = {
    "COMPLETED": JobState.COMPLETED,
    "FAILED": JobState.FAILED,
    "TIMEOUT": JobState.TIMEOUT,
    "DEADLINE": JobState.TIMEOUT,
    "OUT_OF_MEMORY": JobState.OUT_OF_MEMORY,
    "NODE_FAIL": JobState.NODE_FAILED,
    "BOOT_FAIL": JobState.NODE_FAILED,
    "PREEMPTED": JobState.PREEMPTED,
    "CANCELLED": JobState.CANCELLED,
    "PENDING": JobState.QUEUED,
    "CONFIGURING": JobState.QUEUED,
    "REQUEUED": JobState.QUEUED,
    "REQUEUE_FED": JobState.QUEUED,
    "REQUEUE_HOLD": JobState.QUEUED,
    "RESV_DEL_HOLD": JobState.QUEUED,
    "SPECIAL_EXIT": JobState.QUEUED,
}
_SUFFIXES = {"K": 2**-10, "M": 1.0, "G": 2.0**10, "T": 2.0**20}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What SLURM says of one job.

    Parameters
    ----------
    state
        Its state.
    reason
        Why it waits, or how it ended, in SLURM's words.
    exit_code
        Exit code of its script; `None` if it was killed or the exit code is not known.
    peak_memory
        The most MB of any step, as far as SLURM has sampled it.
    end
        When it ended, in seconds of the epoch.
    """

    state: JobState
    reason: str = ""
    exit_code: int | None = None
    peak_memory: int | None = None
    end: float | None = None


def is_id(text: str) -> bool:
    """Whether this is a job's id: a banner of a site's wrapper is not.

    Examples
    --------
    >>> is_id("4711"), is_id("Welcome"), is_id("")
    (True, False, False)
    """
    return text.isascii() and text.isdigit()


def parse_squeue(text: str) -> dict[str, Seen]:
    """Read lines of id, state and reason; a reason may hold anything.

    Examples
    --------
    >>> parse_squeue("7|PENDING|ReqNodeNotAvail, UnavailableNodes:n[1-2]")["7"].reason
    'ReqNodeNotAvail, UnavailableNodes:n[1-2]'
    """
    found = {}
    for line in text.splitlines():
        parts = line.split("|", 2)
        if len(parts) == 3 and is_id(parts[0]):
            native_id, state, reason = parts
            known = _state(state)
            words = "" if reason == "None" else reason
            found[native_id] = Seen(state=known, reason=words or (state if known.final else ""))
    return found


def parse_sacct(text: str) -> dict[str, Seen]:
    r"""Read lines of id, state, exit code, peak memory and end; steps have a dot in their id.

    A job of which a step ran out of memory has run out of memory, whatever its script made of it.

    Examples
    --------
    >>> parse_sacct("7|COMPLETED|0:0||Unknown\n7.0|OUT_OF_MEMORY|0:125|2048K|Unknown")["7"].state
    <JobState.OUT_OF_MEMORY: 'out of memory'>
    """
    jobs: dict[str, Seen] = {}
    short: set[str] = set()
    peaks: dict[str, int] = {}
    for line in text.splitlines():
        parts = line.split("|")
        if len(parts) != 5:
            continue
        native_id, _, step = parts[0].partition(".")
        if parts[1].startswith("OUT_OF_MEMORY"):
            short.add(native_id)
        if match := re.fullmatch(r"([\d.]+)([KMGT])", parts[3]):
            mb = round(float(match[1]) * _SUFFIXES[match[2]])
            peaks[native_id] = max(peaks.get(native_id, 0), mb)
        if not step and is_id(native_id):
            state = _state(parts[1])
            code, _, signal = parts[2].partition(":")
            killed = signal not in ("", "0") or state in (JobState.TIMEOUT, JobState.CANCELLED)
            jobs[native_id] = Seen(
                state=state,
                reason=_in_words(parts[1]) if state.final else "",
                exit_code=int(code) if code.isdigit() and not killed else None,
                end=_epoch(parts[4]),
            )
    for native_id, seen in jobs.items():
        oom = native_id in short and seen.state.final
        jobs[native_id] = Seen(
            state=JobState.OUT_OF_MEMORY if oom else seen.state,
            reason="OUT_OF_MEMORY" if oom else seen.reason,
            exit_code=seen.exit_code,
            peak_memory=peaks.get(native_id),
            end=seen.end,
        )
    return jobs


def _state(word: str) -> JobState:
    """Return what a state of SLURM means; an unknown one does not end a job."""
    first = word.split()[0] if word.split() else ""
    return _STATES.get(first.rstrip("+"), JobState.RUNNING)


def _in_words(state: str) -> str:
    """Say by whom, not by which number, a job was cancelled."""
    import pwd

    if match := re.fullmatch(r"CANCELLED by (\d+)", state):
        try:
            return f"CANCELLED by {pwd.getpwuid(int(match[1])).pw_name}"
        except (KeyError, OverflowError):
            return state
    return state


def _epoch(text: str) -> float | None:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def submitted_id(text: str) -> str:
    """Return the id in what ``sbatch --parsable`` prints: digits, and maybe a cluster's name.

    Raises
    ------
    BackendUnavailable
        If there is not exactly one: whether there is a job has to be looked up.
    """
    ids = [line.partition(";")[0].strip() for line in text.splitlines()]
    ids = [native_id for native_id in ids if is_id(native_id)]
    if len(ids) != 1:
        raise BackendUnavailable(f"sbatch printed {text.strip()[:80]!r} instead of a job's id")
    return ids[0]


def named_ids(text: str, name: str) -> list[str]:
    r"""Return the ids in lines of id and name.

    Examples
    --------
    >>> named_ids("Welcome | to tiger3\n17|maps-f090-1\n18|maps-f150-1", "maps-f090-1")
    ['17']
    """
    rows = (line.strip().partition("|") for line in text.splitlines())
    return [native_id for native_id, _, known in rows if known == name and is_id(native_id)]
