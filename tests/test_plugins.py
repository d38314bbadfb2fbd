"""A workflow type of another package: installed, listed, shown and used."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tomli

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "how-to-workflow-type.md"


def install(page: Path, folder: Path, broken: str) -> set[str]:
    """Install the package of a page in a folder, and a broken one; return the page's files.

    A wheel is built as pip would, and unpacked: pip itself takes seconds to begin.
    """
    blocks = re.findall(r"`([^`\n]+)`:\n\n```\w+\n(.*?)```", page.read_text(), re.DOTALL)
    for name, text in blocks:
        (folder / name).write_text(text)
    target = folder / "site"
    system = tomli.loads((folder / "pyproject.toml").read_text())["build-system"]
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        wheel = importlib.import_module(system["build-backend"]).build_wheel(str(folder))
    with zipfile.ZipFile(folder / wheel) as file:
        file.extractall(target)
    (folder / wheel).unlink()
    info = target / "broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text(broken)
    return {name for name, _ in blocks}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the how-to, and a broken one, installed in a folder."""
    folder = tmp_path_factory.mktemp("plugin")
    files = install(PAGE, folder, "[socm.workflows]\nbroken-maps = nowhere:TYPE\n")
    assert files == {"pyproject.toml", "beam_maps.py", "campaign.toml"}
    return folder


def socm(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site / "site"), "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", "socm", *arguments],
        capture_output=True, text=True, env=environment, cwd=site, check=False,
    )  # fmt: skip


def test_it_is_listed_and_a_broken_one_with_its_error(site: Path) -> None:
    done = socm(site, "workflows", "--json")
    types = {t["name"]: t for t in json.loads(done.stdout)["types"]}
    assert types["beam-maps"]["help"] == "A map of the beam of each band."
    assert "No module named 'nowhere'" in types["broken-maps"]["error"]


def test_it_is_shown_from_its_model(site: Path) -> None:
    done = socm(site, "workflows", "show", "beam-maps")
    assert "Planet to map." in done.stdout


def test_its_campaign_is_expanded_planned_and_simulated(site: Path) -> None:
    done = socm(site, "workflows", "expand", "campaign.toml", "--json")
    names = [w["name"] for w in json.loads(done.stdout)]
    assert names == ["beam-maps-f090", "beam-maps-f150"]
    assert socm(site, "simulate", "campaign.toml").returncode == 0


def test_its_campaign_runs(site: Path) -> None:
    done = socm(site, "run", "campaign.toml", "--yes")
    assert done.returncode == 0, done.stderr
    assert "mars f090" in socm(site, "logs", "beam-maps-f090").stdout


def test_a_broken_one_fails_only_when_named(site: Path) -> None:
    (site / "broken.toml").write_text("[campaign.broken-maps]\nresources = {runtime = 60}\n")
    done = socm(site, "plan", "broken.toml")
    assert done.returncode == 2
    assert "No module named 'nowhere'" in done.stderr
