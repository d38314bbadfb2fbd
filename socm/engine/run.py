"""A run on the disk: the folder that holds everything that is needed to resume it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from socm.engine.events import Event, Replanned
from socm.engine.journal import FileJournal, read_journal
from socm.engine.state import CampaignState
from socm.errors import ConfigError, Problem, RunError, did_you_mean
from socm.files import write_whole
from socm.model.allocation import of_jobs
from socm.model.document import plan_document, read_plan
from socm.model.plan import Plan
from socm.words import reason_of

RUNS = "socm-runs"
PLAN = "plan.json"
"""The first plan of a run; those that replace it after an edit have numbers."""
RUN_SCHEMA = "socm.run/1"


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What is set when a run is started, and holds whenever it is resumed.

    Parameters
    ----------
    executor
        Name of the executor, such as ``"slurm"`` or ``"local"``.
    file
        Path of the campaign or the plan that was started.
    poll_interval
        Seconds between two queries to the cluster; `None` is the executor's default.
    fail_fast
        Whether the first permanent failure skips whatever is not submitted.
    """

    executor: str
    file: str
    poll_interval: float | None = None
    fail_fast: bool = False


@dataclass(frozen=True)
class Run:
    """The folder of a run: its plan, settings and journal, and a folder for each attempt.

    Parameters
    ----------
    path
        Path of the folder.
    """

    path: Path

    @classmethod
    def create(cls, plan: Plan, settings: RunSettings, path: Path | None = None) -> Run:
        """Make the folder of a new run.

        Parameters
        ----------
        path
            Path of the folder (default: ``socm-runs/NAME-N`` with the first N that is free).

        Raises
        ------
        RunError
            If the folder cannot be made.
        ConfigError
            If it is the folder of a run already, or is not empty.
        """
        try:
            folder = _numbered(plan.campaign.name) if path is None else path.absolute()
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                begun = (folder / "run.json").exists()
                message = "is a run already" if begun else "is not empty"
                hint = f"`socm resume {path}` continues it" if begun else "name another folder"
                raise ConfigError(Problem(file=str(path), message=message, hint=hint))
            run = cls(folder)
            _write(folder / PLAN, plan_document(plan))
            identity = {
                "schema": RUN_SCHEMA,
                "id": f"{slug(plan.campaign.name)[:40]}-{secrets.token_hex(4)}",
                "epoch": time.time(),
                **asdict(settings),
            }
            _write(folder / "run.json", identity)
        except OSError as error:
            raise RunError(
                f"{path or Path(RUNS)} cannot be written: {reason_of(error)}",
                hint="--run-dir names another folder for the run",
            ) from error
        return run

    @classmethod
    def find(cls, name: str | None, runs: Path = Path(RUNS)) -> Run:
        """Return a run by its folder or its name, or else the run that was started last.

        Raises
        ------
        ConfigError
            If there is none.
        """
        known = {p.parent.name: p.parent.absolute() for p in runs.glob("*/run.json")}
        if name is not None:
            for path in (Path(name), runs / name):
                if (path / "run.json").exists():
                    return cls(path.absolute())
            hint = did_you_mean(name, known) or (
                f"known are {', '.join(sorted(known))}" if known else "`socm run FILE` starts one"
            )
            raise ConfigError(Problem(message=f"there is no run {name!r}", hint=hint))
        if not known:
            hint = "name its folder, or start one with `socm run FILE`"
            raise ConfigError(Problem(message=f"there is no run in {runs}", hint=hint))
        return max((cls(path) for path in known.values()), key=lambda run: run.epoch)

    @cached_property
    def _identity(self) -> dict[str, Any]:
        path = self.path / "run.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        if not isinstance(data, dict) or data.get("schema") != RUN_SCHEMA:
            raise RunError(f"{path} does not belong to a run of this version of socm")
        return data

    @property
    def id(self) -> str:
        """The prefix of the names of its jobs, unique to this run."""
        return str(self._identity["id"])

    @property
    def epoch(self) -> float:
        """When its campaign started, in seconds since 1970 (UTC)."""
        return float(self._identity["epoch"])

    @property
    def name(self) -> str:
        """Its name on the command line."""
        inside = self.path.parent == Path(RUNS).absolute()
        return self.path.name if inside else os.path.relpath(self.path)

    @cached_property
    def settings(self) -> RunSettings:
        """What was set when it was started."""
        return RunSettings(**{f.name: self._identity[f.name] for f in fields(RunSettings)})

    @cached_property
    def plan(self) -> Plan:
        """The plan that is carried out: its first, or the last that its journal names."""
        return of_jobs(read_plan(self.path / self._plan_name()))

    def _plan_name(self) -> str:
        replanned = [e for e in self.events() if isinstance(e, Replanned)]
        return replanned[-1].plan if replanned else PLAN

    @property
    def journal(self) -> Path:
        """Path of its journal."""
        return self.path / "journal.jsonl"

    def events(self) -> list[Event]:
        """Return what has happened so far."""
        return read_journal(self.journal)

    def state(self) -> CampaignState:
        """Return the state that its events amount to."""
        return CampaignState.of(self.plan, self.events())

    def replan(self, plan: Plan, journal: FileJournal, edited: Iterable[str], time: float) -> None:
        """Carry the run on by another plan: from the line in the journal on, and not before.

        Parameters
        ----------
        edited
            Names of the workflows that differ from those of the plan before.
        time
            Now, in seconds since the campaign's start.
        """
        number = 2
        while (self.path / f"plan-{number}.json").exists():
            number += 1
        name = f"plan-{number}.json"
        try:
            _write(self.path / name, plan_document(plan))
        except OSError as error:
            raise RunError(f"{self.path / name} cannot be written: {reason_of(error)}") from error
        fingerprint = plan.campaign.fingerprint
        journal.write(
            Replanned(time=time, fingerprint=fingerprint, plan=name, edited=tuple(sorted(edited)))
        )
        self.__dict__.pop("plan", None)

    @contextmanager
    def lock(self) -> Iterator[str]:
        """Be the only process that carries this run on: a new *life* of the run.

        Yields
        ------
        str
            What no other life of the run has.

        Raises
        ------
        RunError
            If another process carries it on, or the folder cannot be written.
        """
        path = self._lock_path
        try:
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - closed with the lock
        except OSError as error:
            raise RunError(f"{path} cannot be written: {reason_of(error)}") from error
        with file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                owner = file.readline().strip() or "another process"
                raise RunError(
                    f"{self.name} is active: {owner} carries it on",
                    hint=f"`socm status {self.name}` shows its progress",
                ) from error
            life = secrets.token_hex(8)
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n{life}\n")
            file.flush()
            yield life
            file.truncate(0)

    def life(self) -> str | None:
        """Return the life of the process that carries this run on; `None` if there is none.

        Empty while that process is starting.
        """
        try:
            with open(self._lock_path, encoding="utf-8") as file:
                try:
                    fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return "".join(file.read().split("\n")[1:2])
        except OSError:
            return None
        return None

    def is_running(self) -> bool:
        """Whether a process carries it on just now."""
        return self.life() is not None

    @property
    def _lock_path(self) -> Path:
        return self.path / "lock"


def slug(name: str) -> str:
    """Return a name without the characters that names of files and jobs may not have.

    Examples
    --------
    >>> slug("maps & spectra, 2026")
    'maps-spectra-2026'
    """
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.") or "campaign"


def _numbered(name: str) -> Path:
    """Make a new folder for a run of a campaign."""
    number = 1
    while True:
        folder = Path(RUNS).absolute() / f"{slug(name)}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def _write(path: Path, data: dict[str, Any]) -> None:
    """Write JSON to a file, so that it survives a loss of power."""
    write_whole(path, json.dumps(data, indent=1, allow_nan=False) + "\n", durable=True)
