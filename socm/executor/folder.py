"""The files of one attempt in the folder of its run, and what they say."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shlex import split

from socm.errors import RunError
from socm.files import write_whole
from socm.model.campaign import Workflow
from socm.words import reason_of

WAITS = ".waits"
"""How the names of notes end that say why a job does not begin."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a job ended, by its own result file.

    Parameters
    ----------
    exit_code
        Exit code of its command.
    start, end
        Seconds of the epoch.
    peak_memory
        MB of all ranks together.
    memory_kills
        Number of its processes that were killed for memory.
    ranks_begun, ranks_well
        Number of its ranks that began to run its command, and that noted that they ended well;
        `None` if it is not known how many began.
    node
        Node on which its script ran.
    state, reason
        What its supervisor adds, where it has one.
    """

    exit_code: int
    start: float
    end: float
    peak_memory: int | None = None
    memory_kills: int = 0
    ranks_begun: int | None = None
    ranks_well: int = 0
    node: str = ""
    state: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Start:
    """Who has started a job: its native id, when (in seconds of the epoch), and where.

    `node` is the host that runs the script; `nodes` are all nodes of the job, as SLURM writes them.
    """

    native_id: str
    time: float
    node: str
    nodes: str = ""


@dataclass(frozen=True)
class JobFolder:
    """The files of one attempt at a workflow, within the folder of its run."""

    run: Path
    workflow: str
    attempt: int

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
        """Its standard output."""
        return self.path / "stdout"

    @property
    def stderr(self) -> Path:
        """Its standard error."""
        return self.path / "stderr"

    @property
    def key(self) -> str:
        """The name of its marks, which all attempts have in one folder: it is quickly searched."""
        return f"{self.workflow}.{self.attempt}"

    @cached_property
    def started(self) -> Path:
        """The file that its script makes when it starts: native id, time and node."""
        return self.run / "results" / f"{self.key}.started"

    @cached_property
    def result(self) -> Path:
        """The file that is written, whole, when it is over."""
        return self.run / "results" / f"{self.key}.json"

    @cached_property
    def waits(self) -> Path:
        """The file that says why it does not begin, after its native id; only on this machine."""
        return self.result.with_suffix(WAITS)

    def from_within(self, path: Path) -> str:
        """Return the path of a file from the folder itself, right also after a rename of the run.

        Examples
        --------
        >>> folder = JobFolder(Path("/runs/maps-1"), "a", 2)
        >>> folder.from_within(folder.result)
        '../../../results/a.2.json'
        """
        return os.path.relpath(path, self.path)

    def make(self, script: str, files: Mapping[str, str]) -> None:
        """Make the folder, the script in it, and the files of its workflow.

        A file with another content is kept as ``<name>.old``.

        Raises
        ------
        RunError
            If something cannot be written.
        """
        path = self.script
        try:
            (self.path / "ranks").mkdir(parents=True, exist_ok=True)
            for note in (self.path / "ranks").iterdir():
                note.unlink()  # of one that was started and given up
            self.result.parent.mkdir(exist_ok=True)
            # A path may hold bytes that are no text; they are written as they are.
            write_whole(path, script.encode(errors="surrogateescape"))
            for name, text in files.items():
                path = Path(name)
                _write(path, text)
        except OSError as error:
            raise RunError(f"{path} cannot be written: {reason_of(error)}") from error

    def read_started(self) -> Start | None:
        """Return who has started it; `None` before it starts."""
        try:
            native_id, time, *where = self.started.read_text().split()
            return Start(native_id, float(time), *where)
        except (OSError, TypeError, ValueError):
            return None

    def origin(self) -> Path | None:
        """Return the folder of the run that its script was written for, if that is another one."""
        try:
            lines = self.script.read_text(encoding="utf-8").splitlines()
            said = next((line for line in lines if line.startswith("socm_folder=")), "")
            there = Path(*split(said.removeprefix("socm_folder=")))
        except (OSError, ValueError):
            return None
        whole = there.is_absolute() and there.parts[-3:] == self.path.parts[-3:]
        if not whole or (there.exists() and there.samefile(self.path)):
            return None
        return there.parents[2]

    def read_result(self) -> Result | None:
        """Return how it ended; `None` as long as it has not."""
        try:
            said = json.loads(self.result.read_text())
            peak, begun = said.get("peak_kb"), said.get("ranks_begun")
            return Result(
                exit_code=int(said["exit_code"]),
                start=float(said["start"]),
                end=float(said["end"]),
                peak_memory=-(-int(peak) // 1024) if peak else None,
                memory_kills=int(said.get("memory_kills", 0)),
                ranks_begun=None if begun is None else int(begun),
                ranks_well=int(said.get("ranks_well", 0)),
                node=str(said.get("node", "")),
                state=str(said.get("state", "")),
                reason=str(said.get("reason", "")),
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def missing_outputs(self, workflow: Workflow) -> list[str]:
        """Return the declared outputs that do not exist."""
        return [o for o in workflow.outputs if not (self._base(workflow) / o).exists()]

    def _base(self, workflow: Workflow) -> Path:
        return Path(workflow.directory) if workflow.directory else self.path


def _write(path: Path, text: str) -> None:
    """Write a file; one with the same content stays as old as it is, another is kept."""
    if path.exists():
        if (before := path.read_bytes()) == text.encode():
            return
        write_whole(path.with_name(f"{path.name}.old"), before)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def read_note(path: Path) -> str:
    """Return the line in a note; nothing if there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def reusable(workflow: Workflow) -> bool:
    """Whether all declared outputs exist, and none is older than an input or another file.

    Only where a workflow names its directory: the folder of an attempt is always new.
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
    """Make what every job needs in the folder of a run, which all nodes can read.

    Raises
    ------
    RunError
        If something cannot be written.
    """
    try:
        (run / "results").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{run} cannot be written: {reason_of(error)}") from error
