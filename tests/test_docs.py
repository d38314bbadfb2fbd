"""What the documentation says is what happens."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import tomli
import yaml
from test_cli import Done, socm

from socm.config.keys import keys_of
from socm.config.schema import (
    BudgetSection,
    CampaignSection,
    ClusterFile,
    PartitionSection,
    QosSection,
    ResourcesSection,
    WorkflowSection,
)
from socm.config.values import Section
from socm.spelling import kebab
from socm.workflows import WORKFLOW_TYPES

ROOT = Path(__file__).parent.parent
MADE = ("commands.md", "workflows.md")  # when the documentation is
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name not in MADE),
]

INSTALLERS = ("pip", "make", "pytest", "git")
"""What would install something, or run the tests once more: only names are looked at."""
RUNS = ("run", "resume", "cancel")
"""Verbs that need a process of their own."""


@dataclass
class Block:
    """A fenced block of a page, and what HTML comments right before it say to the tests.

    CONTRIBUTING.md lists these comments.
    """

    page: Path
    line: int
    language: str
    text: str
    notes: dict[str, str]

    @property
    def where(self) -> str:
        return f"{self.page.name}:{self.line}"

    def commands(self) -> Iterator[tuple[str, list[str] | None]]:
        """Give each command, and what it prints if the page shows that."""
        if self.language == "sh":
            lines = (line for line in self.text.splitlines() if shlex.split(line, comments=True))
            yield from ((line, None) for line in lines)
        elif "output of" in self.notes:
            yield self.notes["output of"], self.text.splitlines()
        else:
            for step in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
                command, *printed = step.splitlines()
                yield command, printed


FILE = re.compile(r"^`[\w./-]+`:\n\n\Z", re.MULTILINE)
BLOCK = re.compile(
    r"(?P<notes>(?:^<!-- test: (?:(?!-->).)*-->\n+)*)"
    r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
NOTE = re.compile(
    r"<!-- test: (not run,|first|output of|exits with)\s(.*?)\s*-->", re.MULTILINE | re.DOTALL
)


def blocks(page: Path) -> list[Block]:
    """Find the blocks of a page, but for files: their names stand in the line before."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page=page,
            line=text.count("\n", 0, match.start("language")) + 1,
            language=match["language"],
            text=match["text"],
            notes=dict(NOTE.findall(match["notes"])),
        )
        for match in BLOCK.finditer(text)
        if not FILE.search(text, 0, match.start())
    ]


def plain(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def shell(command: str) -> Done:
    """Run a line in a shell, as for a reader who says yes to what is asked."""
    reader, terminal = pty.openpty()
    os.write(reader, b"y\n")
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        ["bash", "-euc", command],
        env={**environment, "COLUMNS": "80", "PYTHONPATH": str(ROOT)},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    printed = b""
    with contextlib.suppress(OSError):  # how Linux tells that all who wrote there are gone
        while chunk := os.read(reader, 4096):
            printed += chunk
    os.close(reader)
    # Without what the terminal echoes of the answer, and without colours.
    text = printed.decode().replace("\r\n", "\n").removeprefix("y\n")
    text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return Done(process.wait(), text, text)


def run(command: str) -> Done:
    """Run a line; here if it is one of socm that changes nothing but files."""
    words = shlex.split(command, comments=True)
    variables = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
    program, *arguments = words[len(variables) :]
    if program != "socm" or {*arguments[:1]} & {*RUNS} or {"|", ">", ";", "&&"} & {*words}:
        return shell(command)
    with mock.patch.dict(os.environ, variables):
        return socm(*arguments)


def compare(printed: list[str], shown: list[str], where: str) -> None:
    """Lines of a block must come in that order; `...` stands for any lines."""
    left = iter(printed)
    skipping = False
    for line in shown:
        if line.strip() == "...":
            skipping = True
        elif skipping:
            assert line in left, f"{where}: {line!r} is not printed, but\n" + "\n".join(printed)
            skipping = False
        else:
            assert next(left, None) == line, f"{where}: printed is\n" + "\n".join(printed)
    assert skipping or next(left, None) is None, f"{where}: more is printed"


@pytest.mark.usefixtures("as_users_have_it")
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_page_is_followed_from_top_to_bottom_and_shows_what_is_printed(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the effort, and the compiled code, that users have."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for folder in ("examples", "tests"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    for block in blocks(page):
        if block.language not in ("console", "python", "sh", "text") or "not run," in block.notes:
            continue
        if "first" in block.notes:
            done = shell(block.notes["first"])
            assert done.returncode == 0, f"{block.where}: {done.stderr}"
        if block.language == "python":
            exec(compile(block.text, block.where, "exec"), {"__name__": block.where})
            continue
        commands = list(block.commands())
        assert commands, f"{block.where}: no command, and no reason why"
        for command, shown in commands:
            program = shlex.split(command, comments=True)[0]
            if program in INSTALLERS:
                continue
            done = run(command)
            expected = int(block.notes.get("exits with", 0))
            assert done.returncode == expected, f"{block.where}: {command}\n{done.stderr}"
            if shown is not None:
                compare(plain(done.stdout or done.stderr), plain("\n".join(shown)), block.where)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_note_for_the_tests_is_understood(page: Path) -> None:
    written = len(re.findall("^<!-- test:", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert sum(len(block.notes) for block in blocks(page)) == written


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_examples_are_of_their_language(page: Path) -> None:
    readers = {"toml": tomli.loads, "yaml": yaml.safe_load}
    for block in blocks(page):
        if block.language in readers:
            readers[block.language](block.text)


def test_what_the_pages_install_and_make_is_there() -> None:
    project = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for extras in re.findall(r"(?:socm|\.)\[([a-z,]+)\]'", text):
            assert {*extras.split(",")} <= {*project["optional-dependencies"]}, page
        for target in re.findall(r"(?:^|`)make\s([a-z]+)", text, re.MULTILINE):
            assert target in targets, page


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", text):
        if target in ("commands.md", "workflows.md"):
            continue  # made when the documentation is
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    ("page", "model"),
    [
        ("campaign.md", CampaignSection),
        ("campaign.md", BudgetSection),
        ("campaign.md", WorkflowSection),
        ("campaign.md", ResourcesSection),
        ("cluster.md", ClusterFile),
        ("cluster.md", PartitionSection),
        ("cluster.md", QosSection),
    ],
)
def test_every_key_is_in_the_reference(page: str, model: type[Section]) -> None:
    text = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    for name in model.model_fields:
        assert re.search(rf"[`.\[]({name}|{kebab(name)})[`\].]", text), name


@pytest.mark.parametrize("kind", [*WORKFLOW_TYPES])
def test_every_option_of_a_workflow_type_has_help(kind: str) -> None:
    for key in keys_of(WORKFLOW_TYPES[kind].options):
        assert key["help"], key["name"]
