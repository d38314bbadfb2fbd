"""What is asked of SLURM's commands about jobs, and what they print, read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product

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
_WORDS = {
    "JobHeldAdmin": "held by an administrator (JobHeldAdmin)",
    "JobHeldUser": "held by its user (JobHeldUser)",
    "SUSPENDED": "suspended",
    "STOPPED": "stopped",
}
_PART = r"[\w.-]+|\[\d{1,6}(?:-\d{1,6})?(?:,\d{1,6}(?:-\d{1,6})?)*\]"
_ITEM = rf"(?:{_PART})+"
_NODES = rf"{_ITEM}(?:,{_ITEM})*"
_SUFFIXES = {"K": 2**-10, "M": 1.0, "G": 2.0**10, "T": 2.0**20}


SEPARATOR = "\x1f"
"""Between the columns of what is asked for: names, paths and reasons may hold anything else."""
SQUEUE_COLUMNS = SEPARATOR.join(("%A", "%T", "%V", "%j", "%o", "%N", "%r"))
SACCT_COLUMNS = "JobIDRaw,State,ExitCode,MaxRSS,End,Submit,JobName"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What SLURM says of one job.

    Parameters
    ----------
    state
        Its state.
    name, script
        What it is called, and the path of its script.
    submitted
        When it was submitted, as SLURM writes it.
    reason
        Why it waits, or how it ended, in SLURM's words.
    exit_code
        Exit code of its script; `None` if it was killed or the exit code is not known.
    peak_memory
        The most MB of any step, as far as SLURM has sampled it.
    end
        When it ended, in seconds of the epoch.
    nodes
        Names of its nodes.
    """

    state: JobState
    name: str = ""
    script: str = ""
    submitted: str = ""
    reason: str = ""
    exit_code: int | None = None
    peak_memory: int | None = None
    end: float | None = None
    nodes: tuple[str, ...] = ()


def is_id(text: str) -> bool:
    """Whether this is a job's id: a banner of a site's wrapper is not.

    Examples
    --------
    >>> is_id("4711"), is_id("Welcome"), is_id("")
    (True, False, False)
    """
    return text.isascii() and text.isdigit()


def node_names(text: str) -> tuple[str, ...]:
    """Return the names in a list of nodes as SLURM writes it; none if it is not a list.

    Examples
    --------
    >>> node_names("cn[08-10,12],gpu1"), node_names("n/a")
    (('cn08', 'cn09', 'cn10', 'cn12', 'gpu1'), ())
    """
    if not re.fullmatch(_NODES, text, re.ASCII):
        return ()
    names: list[str] = []
    for item in re.findall(_ITEM, text, re.ASCII):
        parts = [_in_brackets(p[1:-1]) if p[0] == "[" else [p] for p in re.findall(_PART, item)]
        names += ("".join(name) for name in product(*parts))
    return tuple(names)


def _in_brackets(text: str) -> Iterator[str]:
    for numbers in text.split(","):
        first, _, last = numbers.partition("-")
        for number in range(int(first), int(last or first) + 1):
            yield f"{number:0{len(first)}}"


def parse_squeue(text: str) -> dict[str, Seen]:
    r"""Read lines of `SQUEUE_COLUMNS`; whatever else is printed is no job.

    Examples
    --------
    >>> line = SEPARATOR.join(("7", "PENDING", "2026-11-24T12:00:00", "a", "/a.sh", "", "Priority"))
    >>> [*parse_squeue(f"Welcome | to tiger3\n{line}")]
    ['7']
    """
    found = {}
    for line in text.splitlines():
        parts = line.split(SEPARATOR)
        if len(parts) == 7 and is_id(parts[0]):
            native_id, word, submitted, name, script, nodes, reason = parts
            state = _state(word)
            if reason == "None":
                reason = word if state.final else _WORDS.get(word, "")
            found[native_id] = Seen(
                state=state,
                name=name,
                script=script,
                submitted=submitted,
                reason=_WORDS.get(reason, reason),
                nodes=node_names(nodes),
            )
    return found


def parse_sacct(text: str) -> dict[str, list[Seen]]:
    r"""Read lines of `SACCT_COLUMNS`: of each id its records, the last submitted one last.

    An id has several records if its job was requeued, or if SLURM has used it again. Those of
    steps, which have a dot in their id, follow that of their job. A job of which a step ran out of
    memory has run out of memory, whatever its script made of it.

    Examples
    --------
    >>> lines = "7|COMPLETED|0:0||||a\n7.0|OUT_OF_MEMORY|0:125|2048K|||sh"
    >>> parse_sacct(lines.replace("|", SEPARATOR))["7"][0].state
    <JobState.OUT_OF_MEMORY: 'out of memory'>
    """
    found: dict[str, list[Seen]] = {}
    for line in text.splitlines():
        parts = line.split(SEPARATOR)
        native_id, _, step = parts[0].partition(".")
        if len(parts) != 7 or not is_id(native_id):
            continue
        records = found.setdefault(native_id, [])
        if not step:
            records.append(_record(*parts[1:]))
        elif records:
            records[-1] = _with_step(records[-1], parts[1], parts[3])
    for records in found.values():
        records.sort(key=lambda record: record.submitted)
    return found


def _record(state: str, code: str, peak: str, end: str, submitted: str, name: str) -> Seen:
    known = _state(state)
    number, _, by_signal = code.partition(":")
    killed = by_signal not in ("", "0") or known in (JobState.TIMEOUT, JobState.CANCELLED)
    return Seen(
        state=known,
        name=name,
        submitted=submitted,
        reason=_in_words(state) if known.final else "",
        exit_code=int(number) if re.fullmatch(r"[0-9]{1,3}", number) and not killed else None,
        peak_memory=_megabytes(peak),
        end=epoch(end),
    )


def _with_step(job: Seen, state: str, peak: str) -> Seen:
    most = max(job.peak_memory or 0, _megabytes(peak) or 0) or None
    if job.state.final and state.startswith("OUT_OF_MEMORY"):
        job = replace(job, state=JobState.OUT_OF_MEMORY, reason="OUT_OF_MEMORY")
    return replace(job, peak_memory=most)


def _megabytes(text: str) -> int | None:
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?)([KMGT])", text, re.ASCII)
    return round(float(match[1]) * _SUFFIXES[match[2]]) if match else None


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


def epoch(text: str) -> float | None:
    """Return a time as SLURM writes it in seconds of the epoch; `None` if it is none."""
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
