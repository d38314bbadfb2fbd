"""Where the files of one attempt are, and what they say."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from socm.engine.backend import Job
from socm.errors import RunError
from socm.model.campaign import Workflow

RANK = Path(__file__).with_name("rank.py")
"""What runs each rank of a job."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a job says of its own end.

    Parameters
    ----------
    exit_code
        Of its command.
    start, end
        Seconds of the epoch.
    peak_memory
        MB of all ranks together.
    memory_kills
        How many of its processes were killed for memory.
    ranks_well
        How many of its ranks noted that they ended well.
    node
        Where its script ran.
    state, reason
        What whoever watched it has to add.
    """

    exit_code: int
    start: float
    end: float
    peak_memory: int | None = None
    memory_kills: int = 0
    ranks_well: int = 0
    node: str = ""
    state: str = ""
    reason: str = ""


@dataclass(frozen=True)
class JobFolder:
    """The files of one attempt at a workflow, within the folder of its run."""

    run: Path
    workflow: str
    attempt: int

    @classmethod
    def of(cls, run: Path, job: Job) -> JobFolder:
        """Return the folder of a job."""
        return cls(run, job.workflow.name, job.attempt)

    @cached_property
    def path(self) -> Path:
        """The folder itself."""
        return self.run / "jobs" / self.workflow / str(self.attempt)

    @property
    def script(self) -> Path:
        """The job's script."""
        return self.path / "script.sh"

    @property
    def stdout(self) -> Path:
        """What it prints."""
        return self.path / "stdout"

    @property
    def stderr(self) -> Path:
        """What it complains of."""
        return self.path / "stderr"

    @property
    def key(self) -> str:
        """What its marks are called: all are in one folder, which is quickly looked through."""
        return f"{self.workflow}.{self.attempt}"

    @property
    def started(self) -> Path:
        """Made when the script begins: native id, time and node."""
        return self.run / "results" / f"{self.key}.started"

    @property
    def result(self) -> Path:
        """Made, whole, when it is over."""
        return self.run / "results" / f"{self.key}.json"

    def make(self, script: str, files: Mapping[str, str]) -> None:
        """Make the folder and the script in it, and the files of its workflow.

        A file that is there and says something else is kept beside, as ``<name>.old``.

        Raises
        ------
        RunError
            If that cannot be written.
        """
        try:
            (self.path / "ranks").mkdir(parents=True, exist_ok=True)
            self.result.parent.mkdir(exist_ok=True)
            self.script.write_text(script, encoding="utf-8")
            for name, text in files.items():
                _write(Path(name), text)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            path = error.filename or self.path
            raise RunError(f"{path} cannot be written: {reason}") from error

    def read_started(self) -> tuple[str, float] | None:
        """Return native id and time of the start, once they are there."""
        try:
            native_id, time, _ = self.started.read_text().split(maxsplit=2)
        except (OSError, ValueError):
            return None
        return native_id, float(time)

    def read_result(self) -> Result | None:
        """Return what the job says of its end, once it does."""
        try:
            told = json.loads(self.result.read_text())
            peak = told.get("peak_kb")
            return Result(
                exit_code=int(told["exit_code"]),
                start=float(told["start"]),
                end=float(told["end"]),
                peak_memory=-(-int(peak) // 1024) if peak else None,
                memory_kills=int(told.get("memory_kills", 0)),
                ranks_well=int(told.get("ranks_well", 0)),
                node=str(told.get("node", "")),
                state=str(told.get("state", "")),
                reason=str(told.get("reason", "")),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def missing_outputs(self, workflow: Workflow) -> list[str]:
        """Return the declared outputs that are not there."""
        return [o for o in workflow.outputs if not (self._base(workflow) / o).exists()]

    def _base(self, workflow: Workflow) -> Path:
        return Path(workflow.directory) if workflow.directory else self.path


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all; one that says the same stays as old as it is."""
    if path.exists():
        if path.read_text(encoding="utf-8", errors="replace") == text:
            return
        path.replace(path.with_name(f"{path.name}.old"))
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def reusable(workflow: Workflow) -> bool:
    """Whether all declared outputs are there, and none is older than an input or another file.

    Only where a workflow runs in a folder of its own choice: an attempt's own folder is new.
    """
    if not workflow.outputs:
        return False
    base = Path(workflow.directory or "")
    outputs = [base / name for name in workflow.outputs]
    if not workflow.directory and not all(path.is_absolute() for path in outputs):
        return False
    try:
        oldest = min(os.stat(path).st_mtime for path in outputs)
        if any(Path(f).read_text(encoding="utf-8") != text for f, text in workflow.files.items()):
            return False
        read = (*workflow.inputs, *workflow.files)
        return all(os.stat(path).st_mtime <= oldest for path in read)
    except (OSError, UnicodeDecodeError):
        return False


def make_run_folder(run: Path) -> None:
    """Put into the folder of a run what every job of it needs.

    Raises
    ------
    RunError
        If that cannot be written.
    """
    try:
        (run / "results").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(RANK, run / RANK.name)  # where all nodes can read it
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise RunError(f"{run} cannot be written: {reason}") from error
