"""What the documentation says is what happens."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from test_cli import socm

from socm.config.keys import keys_of
from socm.config.schema import (
    BudgetSection,
    CampaignSection,
    ClusterFile,
    PartitionSection,
    QosSection,
    ResourcesSection,
    Section,
    WorkflowSection,
    kebab,
)
from socm.workflows import WORKFLOW_TYPES

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)


def _blocks() -> list[tuple[str, str]]:
    return [
        (page.name, block)
        for page in PAGES
        for block in CONSOLE.findall(page.read_text(encoding="utf-8"))
    ]


def _plain(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize(("page", "block"), _blocks())
def test_commands_print_what_the_page_shows(
    page: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines of a block must come in that order; `...` stands for any lines."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, *expected = step.splitlines()
        program, *arguments = shlex.split(command)
        assert program == "socm"
        done = socm(*arguments)
        assert done.returncode == 0, done.stderr
        printed = iter(_plain(done.stdout))
        skipping = False
        for line in _plain("\n".join(expected)):
            if line == "...":
                skipping = True
            elif skipping:
                assert line in printed, f"{page}: {command} does not print {line!r}"
                skipping = False
            else:
                assert next(printed) == line
        assert skipping or next(printed, None) is None, f"{page}: {command} prints more"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", text):
        if target in ("verbs.md", "workflows.md"):
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
