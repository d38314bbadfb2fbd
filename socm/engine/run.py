"""A run on the disk: the folder that holds all that is needed to carry it on."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from socm.engine.events import Event
from socm.engine.journal import read_journal
from socm.engine.state import CampaignState
from socm.errors import ConfigError, Problem, RunError, did_you_mean
from socm.model.allocation import of_jobs
from socm.model.document import plan_document, read_plan
from socm.model.plan import Plan

RUNS = "socm-runs"
RUN_SCHEMA = "socm.run/1"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was decided when a run began, and holds for all its lives.

    Parameters
    ----------
    executor
        ``"slurm"``, ``"local"``, or another executor of PSI/J.
    file
        The campaign or the plan that it began with.
    poll_interval
        Seconds between two questions to SLURM, or `None` for the usual.
    fail_fast
        Whether the first failure for good skips whatever is not submitted.
    """

    executor: str
    file: str
    poll_interval: float | None = None
    fail_fast: bool = False


@dataclass(frozen=True)
class Run:
    """The folder of a run: plan, options, journal, and a folder for each attempt.

    Parameters
    ----------
    path
        Of the folder.
    """

    path: Path

    @classmethod
    def create(cls, plan: Plan, options: Options, path: Path | None = None) -> Run:
        """Make the folder of a new run.

        Parameters
        ----------
        path
            Where; ``socm-runs/NAME-N`` if not given, with the first N that is free.

        Raises
        ------
        RunError
            If it cannot be made.
        ConfigError
            If it is a run already, or holds other files.
        """
        try:
            folder = _numbered(plan.campaign.name) if path is None else path.absolute()
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                begun = (folder / "run.json").exists()
                message = "is a run already" if begun else "is not empty"
                hint = f"`socm resume {path}` carries it on" if begun else "name another folder"
                raise ConfigError(Problem(file=str(path), message=message, hint=hint))
            run = cls(folder)
            run.write_plan(plan)
            identity = {
                "schema": RUN_SCHEMA,
                "id": f"{slug(plan.campaign.name)[:40]}-{secrets.token_hex(4)}",
                "epoch": time.time(),
                **asdict(options),
            }
            _write(folder / "run.json", identity)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            where = path or Path(RUNS)
            raise RunError(
                f"a run cannot be kept in {where}: {reason}",
                hint="name a folder that can be written with --run-dir",
            ) from error
        return run

    @classmethod
    def find(cls, name: str | None, runs: Path = Path(RUNS)) -> Run:
        """Return a run by its folder or its name; the one begun last if nothing is said.

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
                f"known are {', '.join(sorted(known))}" if known else "`socm run FILE` begins one"
            )
            raise ConfigError(Problem(message=f"there is no run {name!r}", hint=hint))
        if not known:
            hint = "name its folder, or begin one with `socm run FILE`"
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
            raise RunError(f"{path} is not of a run of this version of socm")
        return data

    @property
    def id(self) -> str:
        """What the names of its jobs begin with."""
        return str(self._identity["id"])

    @property
    def epoch(self) -> float:
        """When its campaign began, in seconds of the epoch."""
        return float(self._identity["epoch"])

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        inside = self.path.parent == Path(RUNS).absolute()
        return self.path.name if inside else os.path.relpath(self.path)

    @cached_property
    def options(self) -> Options:
        """What was decided when it began."""
        return Options(**{k: self._identity[k] for k in Options.__dataclass_fields__})

    @cached_property
    def plan(self) -> Plan:
        """The plan that it carries out."""
        return of_jobs(read_plan(self.path / "plan.json"))

    @property
    def journal(self) -> Path:
        """Its journal."""
        return self.path / "journal.jsonl"

    def events(self) -> list[Event]:
        """Return what has happened so far."""
        return read_journal(self.journal) if self.journal.exists() else []

    def state(self) -> CampaignState:
        """Return where it stands."""
        return CampaignState.of(self.plan, self.events())

    def write_plan(self, plan: Plan) -> None:
        """Keep a plan: the first, or one that takes its place."""
        _write(self.path / "plan.json", plan_document(plan))
        self.__dict__.pop("plan", None)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Be the only process that carries this run on.

        Raises
        ------
        RunError
            If another one does, or the folder cannot be written.
        """
        path = self.path / "lock"
        try:
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - held, not only opened
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise RunError(f"{path} cannot be written: {reason}") from error
        with file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                raise RunError(
                    f"{self.name} is being carried out by {file.read().strip() or 'a process'}",
                    hint=f"`socm status {self.name}` shows how far it is",
                ) from error
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            yield
            file.truncate(0)

    def is_running(self) -> bool:
        """Whether a process carries it on just now."""
        try:
            with open(self.path / "lock", "a+", encoding="utf-8") as file:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def slug(name: str) -> str:
    """Return a name that is fit for files and jobs.

    Examples
    --------
    >>> slug("maps & spectra, 2026")
    'maps-spectra-2026'
    """
    return re.sub(r"[^A-Za-z0-9_.]+", "-", name).strip("-.") or "campaign"


def _numbered(name: str) -> Path:
    """Make a folder that was not there."""
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
    """Write JSON, whole or not at all."""
    new = path.with_name(path.name + ".new")
    with open(new, "w", encoding="utf-8") as file:
        json.dump(data, file, indent=1, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
