"""What files say is shown on a terminal, and never obeyed by it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table
from rich.text import Text
from test_cli import ROOT, SMALL_CLUSTER, socm

from socm.report.terminal import Terminal, printable

NASTY = '"\\e[2Jgone\\a \\u009b31m \\u202e \\b \\x7f [red]x[/red] :smile:"'
"""As YAML writes it; the terminal would be cleared, ring, and write from right to left."""
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@given(st.text())
def test_printable_text_is_obeyed_by_nobody_and_stays_as_it_is(text: str) -> None:
    shown = printable(text)
    assert not OBEYED.search(shown)
    shown.encode()
    assert printable(shown) == shown
    if not OBEYED.search(text) and text.isprintable():
        assert shown == text


@pytest.mark.parametrize("styled", [False, True])
def test_whatever_is_printed_is_printable(styled: bool) -> None:
    text = "\x1b]0;title\x07\x1b[2J"
    environment = {"COLUMNS": "99", **({"FORCE_COLOR": "1", "TERM": "xterm"} if styled else {})}
    out = io.StringIO()
    with mock.patch("sys.stdout", out), mock.patch.dict("os.environ", environment):
        terminal = Terminal()
        table = Table(title=text)
        table.add_column(text)
        table.add_row(text)
        for thing in (text, Text(text, style="bold"), table, [text]):
            terminal.print(thing)
    printed = out.getvalue()
    assert printed.count("\\x1b]0;title") == 6
    assert not re.search("\x1b[^[]|\x1b\\[2J|\x07", printed)
    assert ("\x1b[1m" in printed) == styled


def test_only_one_module_makes_terminals() -> None:
    """So that no text can reach a terminal around it."""
    assert not [
        path.name
        for folder in ("socm", "sim")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\bConsole\(", path.read_text(encoding="utf-8"))
    ]


def campaign(folder: Path, *, description: str = NASTY) -> Path:
    (folder / "bench.toml").write_text(SMALL_CLUSTER)
    path = folder / "campaign.yaml"
    path.write_text(
        f"campaign:\n  name: {NASTY}\n  resource: bench.toml\n  deadline: 30m\nstages:\n"
        f"  first:\n    description: {description}\n    executable: 'true'\n"
        f"    script-args: [{NASTY}]\n    environment: {{ODD: {NASTY}}}\n"
        "    resources: {ranks: 4, runtime: 1h, memory: 1G}\n"
    )
    return path


@pytest.mark.parametrize(
    "command",
    ["plan", "simulate", "validate", "validate --show", "workflows expand", "run --dry-run --yes"],
)
def test_names_and_arguments_are_shown(command: str, tmp_path: Path) -> None:
    file = campaign(tmp_path)
    options = ["--run-dir", tmp_path / "run", "--executor", "slurm"] if "run" in command else []
    verb, *rest = command.split()
    done = socm(verb, *rest, file) if verb == "workflows" else socm(verb, file, *rest, *options)
    assert not OBEYED.search(done.stdout + done.stderr)
    assert "\\x1b[2Jgone" in "".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize("verb", ["plan", "validate", "run", "diff"])
@pytest.mark.parametrize(
    "text",
    [
        "campaign:\n  name: \x1b[2J\x07\n",
        "campaign:\n  nam\u202ee: x\nstages: {}\n",
        f"campaign: {{{NASTY}: 1}}\nstages: {{}}\n",
        f"campaign: {{resource: {NASTY}}}\nstages: {{a: {{executable: x}}}}\n",
        f"stages: {{{NASTY}: {{executable: x, depends: [{NASTY}]}}}}\n",
    ],
)
def test_quoted_lines_and_values_of_errors_are_shown(verb: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "campaign.yaml"
    file.write_text(text, encoding="utf-8")
    done = socm(verb, file, *([file] if verb == "diff" else []))
    assert done.returncode == 2
    assert not OBEYED.search(done.stdout + done.stderr)
    document = socm(verb, file, *([file] if verb == "diff" else []), "--json").stdout
    assert not OBEYED.search(document)
    assert json.loads(document)["errors"]
