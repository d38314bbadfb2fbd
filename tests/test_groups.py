"""Sections within a group share its keys, and their own win."""

from __future__ import annotations

from pathlib import Path

import pytest

from socm.config import load_campaign
from socm.errors import ConfigError
from socm.registry import Registry
from socm.workflows import WorkflowType
from socm.workflows.ml_mapmaking import ML_MAPMAKING

GROUP = """\
[campaign]
resource = "tiger3"
[campaign.splits]
context = "/c"
area = "/a"
output_dir = "/shared"
bands = "f090"
resources = { ranks = 4, threads = 8, memory = "80G", runtime = "4h" }
environment = { A = "shared", B = "shared" }
[campaign.splits.early]
output-dir = "/early"
environment = { B = "own" }
[[campaign.splits.late]]
bands = "f150"
[[campaign.splits.late]]
output_dir = "/late"
resources = { ranks = 9 }
[campaign.power-spectra]
script = "/s.py"
depends = ["splits"]
resources = { runtime = "1h", memory = "1G" }
"""


@pytest.fixture(autouse=True)
def splits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of two types, which are maps by other names."""
    types = Registry[WorkflowType](
        "workflow type",
        {
            "splits.early": "socm.workflows.ml_mapmaking:ML_MAPMAKING",
            "splits.late": "socm.workflows.ml_mapmaking:ML_MAPMAKING",
            "power-spectra": "socm.workflows.power_spectra:POWER_SPECTRA",
        },
        group="socm.tests",
    )
    assert types["splits.early"] is ML_MAPMAKING
    for module in ("drafts", "workflows"):
        monkeypatch.setattr(f"socm.config.{module}.WORKFLOW_TYPES", types)


def read(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(text)
    return path


def test_members_have_the_groups_keys_and_their_own_win(tmp_path: Path) -> None:
    workflows = load_campaign(read(tmp_path, GROUP)).campaign.workflows
    assert list(workflows) == ["early", "late-1", "late-2", "power-spectra"]
    assert "/early" in workflows["early"].command
    assert "/shared" in workflows["late-1"].command
    assert "--bands=f090" in workflows["early"].command
    assert "--bands=f150" in workflows["late-1"].command
    assert workflows["early"].environment == {"A": "shared", "B": "own"}
    assert (workflows["late-2"].request.ranks, workflows["late-2"].request.threads) == (9, 8)


def test_a_group_stands_for_all_its_workflows(tmp_path: Path) -> None:
    spectra = load_campaign(read(tmp_path, GROUP)).campaign.workflows["power-spectra"]
    assert spectra.depends == ("early", "late-1", "late-2")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[campaign.splits.early]", "[campaign.splits.erly]", "unknown section 'erly' in splits"),
        ('bands = "f150"', 'bnds = "f150"', "unknown key 'bnds' in campaign.splits.late[0]"),
        ('bands = "f150"', 'name = "early"', "two workflows are called 'early'"),
    ],
)
def test_mistakes_within_a_group_are_told(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_campaign(read(tmp_path, GROUP.replace(old, new)))
    assert any(message in p.message and p.line for p in caught.value.problems)


def test_a_misspelt_section_is_no_unknown_key_of_the_others_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_campaign(
            read(tmp_path, GROUP.replace("[campaign.splits.early]", "[campaign.splits.erly]"))
        )
    assert [p.message for p in caught.value.problems] == ["unknown section 'erly' in splits"]


def test_a_group_without_sections_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has none of its sections"):
        load_campaign(read(tmp_path, "[campaign.splits]\narea = '/a'\n"))
