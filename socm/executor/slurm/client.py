"""The only module that runs SLURM's commands."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
        except FileNotFoundError as error:
            hint = "SLURM's commands are on the login nodes of a cluster"
            raise BackendUnavailable(f"there is no {command[0]} here", hint=hint) from error
        except subprocess.TimeoutExpired as error:
            raise _unavailable(command, f"gave no answer in {PATIENCE:g} s") from error
        except OSError as error:
            raise _unavailable(command, f"cannot be run: {reason_of(error)}") from error
        answer = Answer(done.returncode, done.stdout, done.stderr)
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


def _unavailable(command: Sequence[str], what: str) -> BackendUnavailable:
    said = " ".join(word for word in command[:4] if not word.startswith("-"))
    return BackendUnavailable(f"`{said}` {what}")


def slurm_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without the variables that SLURM's commands read as options.

    SLURM sets some of them within a job, where they would become options of the next one.

    Examples
    --------
    >>> slurm_environment({"SLURM_JOB_ID": "7", "SLURM_CONF": "/etc/slurm.conf", "HOME": "/root"})
    {'SLURM_CONF': '/etc/slurm.conf', 'HOME': '/root'}
    """
    return {k: v for k, v in environment.items() if k in _KEPT or not k.startswith(_PREFIXES)}
