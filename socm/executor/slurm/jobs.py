"""What is asked of SLURM about jobs, by sbatch, squeue, sacct, scancel and sinfo."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection
from datetime import datetime

from socm.errors import BackendUnavailable, SubmitError
from socm.executor.slurm.answers import (
    SACCT_COLUMNS,
    SEPARATOR,
    SQUEUE_COLUMNS,
    Seen,
    parse_sacct,
    parse_squeue,
)
from socm.executor.slurm.client import Answer, Client
from socm.executor.slurm.refusals import TESTED, TRIES, Refusal, refusal, refusal_when_tested
from socm.units import DAY, HOUR

SECOND_LOOK = 3.0
"""Seconds until a job that is not there is looked for again: it may have been on its way."""

_OVER = ("invalid job id", "already completing or completed")


class Slurm:
    """The jobs of this user, as SLURM knows them.

    Two know of them, each by itself: the controller, which squeue asks, and the accounting, which
    sacct asks. `accounting` turns false once sacct says that there is none. `silent` has what there
    was instead of an answer, by command, until there is one.
    """

    def __init__(self) -> None:
        self.client = Client()
        self.accounting = True
        self.silent: dict[str, str] = {}
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
        message, kind = _words(answer), refusal(answer.err)
        if kind is Refusal.UNKNOWN:
            raise BackendUnavailable(message)
        self._denied[arguments] += kind is Refusal.DENIED
        again = kind is Refusal.DENIED and self._denied[arguments] < TRIES
        raise SubmitError(message, transient=again or kind is Refusal.LATER)

    def refusal_of(self, *options: str) -> str | None:
        """Ask whether a job with these options would be refused at any time; submit nothing.

        Returns
        -------
        str or None
            SLURM's own words; `None` if it would take the job now, or may take it later.

        Raises
        ------
        BackendUnavailable
            If there was no answer, or none that is understood.
        """
        answer = self.client.run("sbatch", "--test-only", *options, "--wrap=true")
        kind = refusal_when_tested(answer.err) if answer.code else Refusal.LATER
        if kind is Refusal.UNKNOWN:
            raise BackendUnavailable(f"`sbatch --test-only` failed: {_words(answer)}")
        return None if kind is Refusal.LATER else _words(answer)

    def cancel(self, ids: Collection[str], *filters: str) -> None:
        """Ask for the end of jobs; those that are over or unknown are left alone.

        Parameters
        ----------
        filters
            Options of scancel that say which of them.

        Raises
        ------
        BackendUnavailable
            If SLURM did not take the order.
        """
        if not ids:
            return
        answer = self.client.run("scancel", *filters, *ids)
        if answer.code and not any(mark in answer.err.lower() for mark in _OVER):
            raise BackendUnavailable(f"`scancel` failed: {answer.last_line}")

    def partitions(self) -> set[str]:
        """Return the names of the partitions that exist.

        Raises
        ------
        BackendUnavailable
            If there was no answer, or an empty one: every SLURM has a partition.
        """
        if names := set(self.client.ask("sinfo", "-h", "-o", "%R").split()):
            return names
        raise BackendUnavailable("`sinfo` lists no partition")

    def listed(self, *filters: str) -> dict[str, Seen]:
        """Return what squeue knows of this user's jobs; those that are over stay for a while.

        Raises
        ------
        BackendUnavailable
            If the controller gave no answer.
        """
        options = ("--me", "-h", "-t", "all", "-o", SQUEUE_COLUMNS)
        return parse_squeue(self._ask("squeue", *options, *filters))

    def accounted(self, *filters: str) -> dict[str, list[Seen]]:
        """Return what sacct knows of jobs; nothing where there is no accounting.

        Raises
        ------
        BackendUnavailable
            If the accounting gave no answer.
        """
        if not self.accounting:
            return {}
        # Of an id that was used again, there is more than the last record.
        options = ("-n", "-P", "-D", "--delimiter", SEPARATOR, "-o", SACCT_COLUMNS)
        try:
            return parse_sacct(self._ask("sacct", *options, *filters))
        except BackendUnavailable as error:
            if "accounting storage is disabled" not in error.message.lower():
                raise
            self.silent.pop("sacct")
            self.accounting = False
            return {}

    def _ask(self, *command: str) -> str:
        try:
            out = self.client.ask(*command)
        except BackendUnavailable as error:
            self.silent[command[0]] = error.message
            raise
        self.silent.pop(command[0], None)
        return out

    def find(self, name: str, submitted: float) -> str | None:
        """Return the id of the job of this name; `None` if it proves not to be there.

        Looks twice: what was on its way at the first look has arrived by the second. Only the
        controller can say that there is no job: where sacct does not answer, one may have ended
        without a start, such as a job that was cancelled while it waited.

        Parameters
        ----------
        submitted
            About when, in seconds of the epoch.

        Raises
        ------
        BackendUnavailable
            If the controller gave no answer.
        """
        for look in range(2):
            if look:
                time.sleep(SECOND_LOOK)
            silence = None
            try:
                listed = self.listed("-n", name)
            except BackendUnavailable as error:
                silence, listed = error, {}
            ids = [i for i, seen in listed.items() if seen.name == name]
            if ids:
                return min(ids, key=lambda i: (listed[i].state.final, int(i)))
            if ids := self._recorded(name, submitted):
                return ids[-1]
            if silence is not None:
                raise silence
        return None

    def _recorded(self, name: str, submitted: float) -> list[str]:
        """Return the ids of the jobs of a name by sacct, of the days that it may be asked about."""
        begin, end = (
            datetime.fromtimestamp(submitted + seconds).astimezone().strftime("%Y-%m-%dT%H:%M:%S")
            for seconds in (-HOUR, DAY)
        )
        span = ("-S", begin, "-E", end) if submitted + DAY < time.time() else ("-S", begin)
        try:
            found = self.accounted("--name", name, *span)
        except BackendUnavailable:
            return []
        records = [(r.submitted, i) for i, rs in found.items() for r in rs if r.name == name]
        return [native_id for _, native_id in sorted(records)]


def _words(answer: Answer) -> str:
    """Return what sbatch said when it submitted nothing, without what it says each time."""
    lines = [
        line.removeprefix("sbatch: ").removeprefix("error: ") for line in answer.err.splitlines()
    ]
    said = "; ".join(line.removeprefix(f"{TESTED}: ") for line in lines if line.strip())
    return said or f"sbatch ended with exit code {answer.code}"
