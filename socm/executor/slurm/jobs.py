"""What is asked of SLURM about jobs, by sbatch, squeue, sacct, scancel and sinfo."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from datetime import datetime

from socm.errors import BackendUnavailable, SubmitError
from socm.executor.slurm.answers import Seen, is_id, named_ids, parse_sacct, parse_squeue
from socm.executor.slurm.client import Client
from socm.executor.slurm.refusals import TRIES, Refusal, refusal

SECOND_LOOK = 3.0
"""Seconds until a job that is not there is looked for again: it may have been on its way."""

_OVER = ("invalid job id", "already completing or completed")


class Slurm:
    """The jobs of this user, as SLURM knows them.

    `accounting` turns false once sacct says that there is none.
    """

    def __init__(self) -> None:
        self.client = Client()
        self.accounting = True
        self._denied = Counter[tuple[str, ...]]()

    def sbatch(self, *arguments: str) -> str:
        """Submit a job; return what sbatch prints.

        Raises
        ------
        BackendUnavailable
            If there was no answer, or none that is understood: SLURM may have accepted the job.
        SubmitError
            If it was refused, in SLURM's own words.
        """
        answer = self.client.run("sbatch", *arguments)
        if answer.code == 0:
            return answer.out
        lines = answer.err.splitlines()
        words = [line.removeprefix("sbatch: ").removeprefix("error: ") for line in lines]
        message = "; ".join(line for line in words if line.strip())
        message = message or f"sbatch ended with exit code {answer.code}"
        kind = refusal(answer.err)
        if kind is Refusal.UNKNOWN:
            raise BackendUnavailable(message)
        self._denied[arguments] += kind is Refusal.DENIED
        again = kind is Refusal.DENIED and self._denied[arguments] < TRIES
        raise SubmitError(message, transient=again or kind is Refusal.LATER)

    def cancel(self, native_id: str) -> None:
        """Ask for the end of a job; one that is over or unknown is left alone.

        Raises
        ------
        BackendUnavailable
            If SLURM did not take the order.
        """
        if not is_id(native_id):
            return
        answer = self.client.run("scancel", native_id)
        if answer.code and not any(mark in answer.err.lower() for mark in _OVER):
            raise BackendUnavailable(f"`scancel {native_id}` failed: {answer.last_line}")

    def listed(self) -> dict[str, Seen]:
        """Return what squeue knows of this user's jobs; those that are over stay for a while."""
        return parse_squeue(self.client.ask("squeue", "--me", "-h", "-t", "all", "-o", "%A|%T|%r"))

    def partitions(self) -> set[str]:
        """Return the names of the partitions that exist."""
        return set(self.client.ask("sinfo", "-h", "-o", "%R").split())

    def accounted(self, ids: Collection[str]) -> dict[str, Seen]:
        """Return what sacct knows of jobs; nothing where there is no accounting."""
        wanted = ",".join(sorted(filter(is_id, ids)))
        columns = "JobIDRaw,State,ExitCode,MaxRSS,End"
        return parse_sacct(self._sacct("-o", columns, "-j", wanted)) if wanted else {}

    def find(self, name: str, since: float) -> str | None:
        """Return the id of the job of this name; `None` if it proves not to be there.

        Looks twice: what was on its way at the first look has arrived by the second.

        Parameters
        ----------
        since
            When the campaign began, in seconds of the epoch.
        """
        day = datetime.fromtimestamp(since - 86400).astimezone().strftime("%Y-%m-%d")
        for look in range(2):
            if look:
                time.sleep(SECOND_LOOK)
            out = self.client.ask("squeue", "--me", "-h", "-t", "all", "-n", name, "-o", "%A|%j")
            ids = named_ids(out, name) or named_ids(
                self._sacct("-X", "--name", name, "-S", day, "-o", "JobIDRaw,JobName"), name
            )
            if ids:
                return ids[0]
        return None

    def _sacct(self, *arguments: str) -> str:
        """Return what sacct prints; nothing where there is no accounting."""
        if not self.accounting:
            return ""
        answer = self.client.run("sacct", "-n", "-P", *arguments)
        if "accounting storage is disabled" in (answer.err + answer.out).lower():
            self.accounting = False
            return ""
        if answer.code:
            raise BackendUnavailable(f"`sacct` failed: {answer.last_line}")
        return answer.out
