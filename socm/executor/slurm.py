"""What SLURM says of jobs: by sbatch, squeue, sacct and scancel."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from socm.engine.events import JobState
from socm.errors import BackendUnavailable, SubmitError

PATIENCE = 60.0
"""Seconds that a command of SLURM may take; its own patience with its controller is shorter."""
SECOND_LOOK = 3.0
"""Seconds until a job that is not there is looked for once more: it may have been on its way."""

_NO_ANSWER = (
    "unable to contact",
    "socket timed out",
    "connection refused",
    "zero bytes were transmitted",
    "transport endpoint",
    "unexpected message received",
    "slurm_persist_conn",
    "problem talking to the database",
    "unable to establish controller machine",
)
_LATER = (
    "submitjob",  # QOSMaxSubmitJobPerUserLimit, AssocMaxSubmitJobLimit and their kin
    "temporarily unable to accept job",
    "resource temporarily unavailable",
    "job/step submission currently disabled",
)
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
        Where it is.
    reason
        Why it waits, or how it ended, in SLURM's words.
    exit_code
        Of its script; `None` where it was killed, or where it is not told.
    peak_memory
        MB: the most of any step, as far as SLURM has sampled it.
    end
        When it ended, in seconds of the epoch.
    """

    state: JobState
    reason: str = ""
    exit_code: int | None = None
    peak_memory: int | None = None
    end: float | None = None


@dataclass
class Slurm:
    """The commands of the SLURM that this machine belongs to.

    `asked` counts them; `accounting` turns false once sacct says that there is none.
    """

    asked: Counter[str] = field(default_factory=Counter)
    accounting: bool = True

    def sbatch(self, *arguments: str) -> str:
        """Submit a job; return what sbatch prints.

        Raises
        ------
        BackendUnavailable
            If the controller gave no answer: the job may have been taken.
        SubmitError
            If it was refused, in SLURM's own words.
        """
        code, out, err = self._run("sbatch", *arguments)
        if code == 0:
            return out
        words = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in err.splitlines()]
        message = "; ".join(line for line in words if line.strip()) or f"sbatch ended with {code}"
        raise SubmitError(message, transient=any(mark in err.lower() for mark in _LATER))

    def cancel(self, native_id: str) -> None:
        """End a job; one that is over is left alone."""
        self._run("scancel", "--quiet", native_id)

    def listed(self) -> dict[str, Seen]:
        """Return what squeue knows of this user's jobs; those that are over stay there a while."""
        code, out, err = self._run("squeue", "--me", "-h", "-t", "all", "-o", "%A|%T|%r")
        if code:
            raise BackendUnavailable(f"squeue: {err.strip()}")
        return parse_squeue(out)

    def partitions(self) -> set[str]:
        """Return the names of the partitions that there are."""
        code, out, err = self._run("sinfo", "-h", "-o", "%R")
        if code:
            raise BackendUnavailable(f"sinfo: {err.strip()}")
        return set(out.split())

    def accounted(self, ids: Collection[str]) -> dict[str, Seen]:
        """Return what sacct knows of jobs; nothing where there is no accounting."""
        if not ids or not self.accounting:
            return {}
        columns = "JobIDRaw,State,ExitCode,MaxRSS,End"
        code, out, err = self._run("sacct", "-n", "-P", "-o", columns, "-j", ",".join(sorted(ids)))
        if "accounting storage is disabled" in (err + out).lower():
            self.accounting = False
            return {}
        if code:
            raise BackendUnavailable(f"sacct: {err.strip()}")
        return parse_sacct(out)

    def find(self, name: str, since: float) -> str | None:
        """Return the id of the job of this name; `None` if it proves not to be there.

        Looks twice: what was on its way at the first look has arrived by the second.
        """
        for look in range(2):
            if look:
                time.sleep(SECOND_LOOK)
            code, out, err = self._run("squeue", "--me", "-h", "-t", "all", "-n", name, "-o", "%A")
            if code:
                raise BackendUnavailable(f"squeue: {err.strip()}")
            ids = out.split()
            if not ids and self.accounting:
                day = datetime.fromtimestamp(since - 86400).astimezone().strftime("%Y-%m-%d")
                code, out, err = self._run(
                    "sacct", "-n", "-X", "-P", "--name", name, "-S", day, "-o", "JobIDRaw"
                )
                if "accounting storage is disabled" in (err + out).lower():
                    self.accounting = False
                elif code:
                    raise BackendUnavailable(f"sacct: {err.strip()}")
                else:
                    ids = out.split()
            if ids:
                return ids[0]
        return None

    def _run(self, *command: str) -> tuple[int, str, str]:
        """Run a command; raise if it is plain that nobody answered."""
        self.asked[command[0]] += 1
        try:
            done = subprocess.run(
                command,
                env=slurm_environment(os.environ),
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE,
                check=False,
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a Ctrl-C is for socm, which knows what to do with it
            )
        except subprocess.TimeoutExpired as error:
            message = f"{command[0]} gave no answer in {PATIENCE:g} s"
            raise BackendUnavailable(message) from error
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise BackendUnavailable(
                f"{command[0]} cannot be run: {reason}",
                hint="run this on a login node of the cluster, or use --executor local",
            ) from error
        if done.returncode and any(mark in done.stderr.lower() for mark in _NO_ANSWER):
            raise BackendUnavailable(f"{command[0]}: {done.stderr.strip()}")
        return done.returncode, done.stdout, done.stderr


def slurm_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what SLURM has put there for a job, or a user for sbatch.

    Within a job it would be taken for options of the next one.

    Examples
    --------
    >>> slurm_environment({"SLURM_JOB_ID": "7", "SLURM_CONF": "/etc/slurm.conf", "HOME": "/root"})
    {'SLURM_CONF': '/etc/slurm.conf', 'HOME': '/root'}
    """
    keep = ("SLURM_CONF", "SLURM_JWT", "SLURM_CONF_SERVER")
    prefixes = ("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_", "SACCT_", "SCANCEL_", "SALLOC_")
    return {k: v for k, v in environment.items() if k in keep or not k.startswith(prefixes)}


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
        if len(parts) == 3 and parts[0].isdigit():
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
        if not step and native_id.isdigit():
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
    """Return what a state of SLURM means; one that is not known is none that ends a job."""
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


def digits(text: str) -> str:
    """Return the id in what ``sbatch --parsable`` prints: digits, and maybe a cluster's name.

    Raises
    ------
    BackendUnavailable
        If there is none: whether there is a job has to be looked up.
    """
    lines: Sequence[str] = text.strip().splitlines() or [""]
    native_id = lines[-1].partition(";")[0]
    if not native_id.isdigit():
        raise BackendUnavailable(f"sbatch printed {text.strip()[:80]!r} instead of a job's id")
    return native_id
