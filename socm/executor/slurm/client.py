"""The only module that runs SLURM's commands."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from socm.errors import BackendUnavailable
from socm.words import reason_of

PATIENCE = 60.0
"""Seconds that a command may take; its own patience with its controller is shorter."""

_KEPT = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")
_COMMANDS = (
    *("slurm", "sacct", "sacctmgr", "salloc", "sattach", "sbatch", "sbcast", "scancel"),
    *("scontrol", "scrontab", "scrun", "sdiag", "sinfo", "sprio", "squeue", "sreport", "srun"),
    *("sshare", "sstat", "strigger"),
)
_PREFIXES = tuple(f"{command.upper()}_" for command in _COMMANDS)


@dataclass(frozen=True)
class Answer:
    """What a command answered: its exit code, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """The last line that it printed, of its complaints if it had any."""
        lines = (self.err.strip() or self.out.strip()).splitlines()
        return lines[-1] if lines else f"exit code {self.code}"


class Client:
    """Runs the commands of the SLURM that this machine belongs to.

    Each runs without a terminal, without variables that a job or a user has set for another
    command, and for a limited time. `asked` counts them.
    """

    def __init__(self) -> None:
        self.asked = Counter[str]()

    def run(self, *command: str) -> Answer:
        """Run a command, and return its answer whatever its exit code.

        Raises
        ------
        BackendUnavailable
            If there was no answer: the command is not here, was killed, or took too long.
        """
        self.asked[command[0]] += 1
        try:
            answer = execute(command, slurm_environment(os.environ, command[0]))
        except FileNotFoundError as error:
            hint = "SLURM's commands are on the login nodes of a cluster"
            raise BackendUnavailable(f"there is no {command[0]} here", hint=hint) from error
        except subprocess.TimeoutExpired as error:
            raise _unavailable(command, f"gave no answer in {PATIENCE:g} s") from error
        except OSError as error:
            raise _unavailable(command, f"cannot be run: {reason_of(error)}") from error
        if answer.code < 0:
            raise _unavailable(command, f"was killed by signal {-answer.code}")
        return answer

    def ask(self, *command: str) -> str:
        """Run a command that only asks; return what it prints.

        Raises
        ------
        BackendUnavailable
            If there was no answer, or the command failed.
        """
        answer = self.run(*command)
        if answer.code:
            raise _unavailable(command, f"failed: {answer.last_line}")
        return answer.out


def execute(command: Sequence[str], environment: Mapping[str, str]) -> Answer:
    """Run a command in a session of its own, which ends with it if it takes too long."""
    with subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # a Ctrl-C is for socm, which knows what to do with it
    ) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what a wrapper has started, too
            raise
    return Answer(process.returncode, out, err)


def sbatch_at_work(script: Path) -> int | None:
    """Return the id of a process that is submitting a script; `None` if there is none here.

    It outlives a socm that was killed, and SLURM may take the job any time.
    """
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        names = [os.path.basename(word) for word in words[:3]]  # a wrapper's shell comes first
        if "sbatch" in names and str(script) in words:
            return int(process.pid)
    return None


def _unavailable(command: Sequence[str], what: str) -> BackendUnavailable:
    said = " ".join(word for word in command[:4] if not word.startswith("-"))
    return BackendUnavailable(f"`{said}` {what}")


def slurm_environment(environment: Mapping[str, str], command: str) -> dict[str, str]:
    """Return the environment without the variables that SLURM's commands read as options.

    SLURM sets some of them within a job, where they would become options of the next one. Messages
    are wanted in English; but the environment of sbatch becomes that of the job.

    Examples
    --------
    >>> ours = {"SLURM_JOB_ID": "7", "SLURM_CONF": "/etc/slurm.conf", "LANG": "de_DE.UTF-8"}
    >>> slurm_environment(ours, "sbatch")
    {'SLURM_CONF': '/etc/slurm.conf', 'LANG': 'de_DE.UTF-8'}
    >>> slurm_environment(ours, "squeue")["LC_ALL"]
    'C'
    """
    kept = {k: v for k, v in environment.items() if k in _KEPT or not k.startswith(_PREFIXES)}
    return kept if command == "sbatch" else {**kept, "LC_ALL": "C"}
