"""Command lines on files with mistakes: what they print, write and end with."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import socm.executor
from socm.cli.app import command_line
from socm.errors import BackendUnavailable, SocmError

CAMPAIGN = [
    ["validate"],
    ["validate", "--show"],
    ["plan", "--effort", "0"],
    ["plan", "--effort", "0", "--all"],
    ["plan", "--effort", "0", "--json"],
    ["plan", "--effort", "0", "--plot", "plan.html"],
    ["simulate", "--effort", "0", "--replications", "2", "--processes", "1"],
    ["simulate", "--effort", "0", "--replications", "0", "--json"],
    ["workflows", "expand"],
    ["clusters", "match"],
    ["export"],
    ["run", "--executor", "slurm", "--dry-run", "--run-dir", "scripts"],
]
PLAN = [
    ["plan"],
    ["plan", "--json"],
    ["plan", "--plot", "plan.html"],
    ["simulate", "--replications", "0", "--plot", "plan.html"],
    ["export"],
    ["run", "--executor", "slurm", "--dry-run", "--run-dir", "scripts"],
]
RUN = [["status"], ["status", "--json"], ["resume"], ["cancel"], ["logs", "map", "--run"]]
CLUSTER = [["clusters"], ["clusters", "--json"]]
IMPORT = [["import"], ["import", "--json"]]
CODES = {0, 1, 2, 3, 5}
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def may_write(command: Sequence[str]) -> set[str]:
    """Return the names of what a command may write."""
    return {"run"} if command[0] in ("resume", "cancel") else {"plan.html", "scripts"}


def tell(command: Sequence[str], folder: Path, name: str) -> None:
    """Run a command on a file of a folder; what it tells must be right.

    Raises
    ------
    SocmError
        If it refuses the file.
    AssertionError
        If it does anything else than to refuse it or to do what it should.
    """
    command = [*command, name]
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        mock.patch.object(socm.executor, "open_executor", _nowhere),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = command_line(command)
    told = out.getvalue() + err.getvalue()
    assert code in CODES, f"{command}: exit code {code}"
    assert code == 0 or told, f"{command}: nothing is told"
    assert "Traceback" not in told, f"{command}: {told}"
    assert not _OBEYED.search(told), f"{command}: {told!r}"
    page = folder / "plan.html"
    if page.exists():
        text = page.read_text(encoding="utf-8")
        assert not _OBEYED.search(text), f"{command}: the page has control characters"
    if code in (2, 5):
        raise SocmError(told)


def _nowhere(*_: object, **__: object) -> None:
    """Nothing runs: the commands of these files might do anything."""
    raise BackendUnavailable("nothing runs here")
