"""A run on the disk: the folder that holds everything that is needed to resume it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from socm.engine.events import Replanned
from socm.engine.history import History
from socm.engine.journal import FileJournal, last_plan
from socm.engine.life import Life, life_at, lock, show_sign
from socm.engine.state import CampaignState
from socm.errors import ConfigError, Problem, RunError, did_you_mean
from socm.files import read_whole, write_whole
from socm.misfits import misfits
from socm.model.allocation import AllocationPlan, of_jobs, of_steps
from socm.model.document import plan_document, read_plan
from socm.model.plan import Plan
from socm.words import listed, reason_of

RUNS = "socm-runs"
INSIDE, ALLOCATIONS = "inside", "allocations.json"
"""The run within the allocations of a run, and the file of these."""
PLAN = "plan.json"
"""The first plan of a run; those that replace it after an edit have numbers."""
RUN_SCHEMA = "socm.run/1"
_RESTORE = "put back a copy of the file, or begin a new run with `socm run FILE`"


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
    poll_interval: Annotated[float, Field(ge=0.1, allow_inf_nan=False)] | None = None
    fail_fast: bool = False


@dataclass(frozen=True, kw_only=True)
class Identity(RunSettings):
    """What is in ``run.json``.

    Parameters
    ----------
    id
        The prefix of the names of its jobs.
    epoch
        When it was started, in seconds since 1970 (UTC).
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,80}$")]
    epoch: Annotated[float, Field(ge=0, le=1e11)]


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
    def create(
        cls,
        plan: Plan,
        settings: RunSettings,
        path: Path | None = None,
        *,
        allocations: AllocationPlan | None = None,
        executor_inside: str = "",
    ) -> Run:
        """Make the folder of a new run.

        Parameters
        ----------
        path
            Path of the folder (default: ``socm-runs/NAME-N`` with the first N that is free).
        allocations
            In which the workflows run, if the plan is one of these allocations.
        executor_inside
            The executor within them.

        Raises
        ------
        RunError
            If the folder cannot be made, or not all that belongs into it: then none of it is left.
        ConfigError
            If it is the folder of a run already, or is not empty.
        """
        ours = path is None or not path.exists()
        try:
            folder = _numbered(plan.campaign.name) if path is None else path.absolute()
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                begun = (folder / "run.json").exists()
                message = "is a run already" if begun else "is not empty"
                hint = f"`socm resume {path}` continues it" if begun else "name another folder"
                raise ConfigError(Problem(file=str(path), message=message, hint=hint))
            identity = Identity(
                id=f"{slug(plan.campaign.name)[:40]}-{secrets.token_hex(4)}",
                epoch=time.time(),
                **asdict(settings),
            )
            try:
                _write(folder / PLAN, plan_document(plan))
                if allocations is not None:
                    _write(folder / ALLOCATIONS, plan_document(allocations))
                    of_it = replace(settings, executor=executor_inside, file="", poll_interval=None)
                    cls.create(of_steps(allocations), of_it, folder / INSIDE)
                _write(folder / "run.json", {"schema": RUN_SCHEMA, **asdict(identity)})
            except BaseException:
                with suppress(OSError):
                    (folder / PLAN).unlink(missing_ok=True)
                    (folder / ALLOCATIONS).unlink(missing_ok=True)
                    shutil.rmtree(folder / INSIDE, ignore_errors=True)
                    if ours:
                        folder.rmdir()
                raise
        except OSError as error:
            raise RunError(
                f"{path or Path(RUNS)} cannot be written: {reason_of(error)}",
                hint="--run-dir names another folder for the run",
            ) from error
        return cls(folder)

    @classmethod
    def find(
        cls,
        name: str | None,
        runs: Path = Path(RUNS),
        *,
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> Run:
        """Return a run by its folder or its name, or else the run that was started last.

        Parameters
        ----------
        tell
            Is told of each folder that is passed over, because its ``run.json`` cannot be used.

        Raises
        ------
        ConfigError
            If there is none.
        RunError
            If there is one by this name, and its ``run.json`` cannot be used.
        """
        known = {p.parent.name: p.parent.absolute() for p in sorted(runs.glob("*/run.json"))}
        if name is not None:
            for path in (Path(name), runs / name):
                if os.path.exists(path / "run.json"):
                    run = cls(path.absolute())
                    _ = run.settings  # or what is wrong with them
                    return run
            hint = did_you_mean(name, known) or (
                f"known are {listed(known, most=20)}" if known else "`socm run FILE` starts one"
            )
            raise ConfigError(Problem(message=f"there is no run {name!r}", hint=hint))
        found = []
        for path in known.values():
            try:
                found.append((cls(path).epoch, path))
            except RunError as error:
                tell(f"passed over: {error.message}")
        if not found:
            hint = "name its folder, or start one with `socm run FILE`"
            raise ConfigError(Problem(message=f"there is no run in {runs}", hint=hint))
        return cls(max(found)[1])

    @cached_property
    def _identity(self) -> Identity:
        path = self.path / "run.json"
        try:
            data = json.loads(read_whole(path, most=1))
        except OSError as error:
            raise RunError(f"{path} cannot be read: {reason_of(error)}", hint=_RESTORE) from error
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path} is not JSON: {error}", hint=_RESTORE) from error
        if not isinstance(data, dict) or data.pop("schema", None) != RUN_SCHEMA:
            raise RunError(f"{path} does not belong to a run of this version of socm")
        try:
            return TypeAdapter(Identity).validate_python(data)
        except ValidationError as error:
            [first, *_] = misfits(error, data)
            where = ".".join(map(str, first["loc"]))
            raise RunError(f"{path}: {where}: {first['msg']}", hint=_RESTORE) from error

    @property
    def id(self) -> str:
        """The prefix of the names of its jobs, unique to this run."""
        return self._identity.id

    @property
    def epoch(self) -> float:
        """When its campaign started, in seconds since 1970 (UTC)."""
        return self._identity.epoch

    @property
    def name(self) -> str:
        """Its name on the command line."""
        inside = self.path.parent == Path(RUNS).absolute()
        return self.path.name if inside else os.path.relpath(self.path)

    @property
    def settings(self) -> RunSettings:
        """What was set when it was started."""
        return self._identity

    @cached_property
    def plan(self) -> Plan:
        """The plan that is carried out: its first, or the last that its journal names."""
        name = last_plan(self.journal) or PLAN
        if name not in self._plans:
            self._plans[name] = of_jobs(read_plan(self.path / name))
        return self._plans[name]

    @cached_property
    def allocations(self) -> AllocationPlan | None:
        """The allocations that are its jobs; `None` if its workflows are."""
        path = self.path / ALLOCATIONS
        plan = read_plan(path) if path.exists() else None
        return plan if isinstance(plan, AllocationPlan) else None

    @cached_property
    def inside(self) -> Run | None:
        """The run of the workflows within its allocations; `None` if they are its jobs."""
        path = self.path / INSIDE
        return Run(path) if (path / "run.json").exists() else None

    @property
    def is_inside(self) -> bool:
        """Whether it is the run within the allocations of another one."""
        return self.path.name == INSIDE and (self.path.parent / ALLOCATIONS).exists()

    def begin(self) -> None:
        """Let its campaign start now, in which nothing has happened yet."""
        identity = replace(self._identity, epoch=time.time())
        _write(self.path / "run.json", {"schema": RUN_SCHEMA, **asdict(identity)})
        self.__dict__["_identity"] = identity

    @cached_property
    def _plans(self) -> dict[str, Plan]:
        """The plans that were read, by the names of their files: none is written twice."""
        return {}

    @property
    def journal(self) -> Path:
        """Path of its journal."""
        return self.path / "journal.jsonl"

    def state(self) -> CampaignState:
        """Return the state that its events up to now amount to."""
        return self.history().state()

    def history(self) -> History:
        """Return what has happened in it, to be read on as more happens."""
        return History(self._plan_now, self.journal)

    def _plan_now(self) -> Plan:
        self.__dict__.pop("plan", None)
        return self.plan

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

    def lock(self) -> AbstractContextManager[str]:
        """Be the only process that carries this run on; see `socm.engine.life.lock`."""
        return lock(self._lock_path, self.name)

    def life(self) -> Life | None:
        """Return the process that carries this run on; `None` if there is none."""
        return life_at(self._lock_path)

    def show_sign(self) -> None:
        """Show that this process, which holds the lock, is alive."""
        show_sign(self._lock_path)

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
