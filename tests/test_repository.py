"""Files beside the source say what the source says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import tomli
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import socm

ROOT = Path(__file__).parent.parent
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())


def requirements() -> list[Requirement]:
    extras = PROJECT["optional-dependencies"].values()
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]
    return [Requirement(text) for text in texts if not text.startswith("socm[")]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_dependency_has_a_version_known_to_work(requirement: Requirement) -> None:
    pins = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    known = {canonicalize_name(name): version for name, version in pins}
    version = known[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version, prereleases=True)


def test_constraints_are_versions_alone() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", line), line


def test_every_supported_python_is_promised_and_tested() -> None:
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    classified = re.findall(r":: (3\.\d+)", " ".join(PROJECT["classifiers"]))
    assert classified == PYTHONS
    assert WORKFLOW["jobs"]["readme"]["strategy"]["matrix"]["python"] == PYTHONS


def test_ci_runs_what_a_reader_and_a_contributor_run() -> None:
    runs = [step.get("run") for job in WORKFLOW["jobs"].values() for step in job["steps"]]
    assert {"make simulate", "make test", ".ci/run", "make coverage"} <= {*runs}
    assert WORKFLOW["env"]["CONSTRAINTS"] == "constraints.txt"


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == socm.__version__
    assert citation["license"] == PROJECT["license"]
    assert [author["name"] for author in citation["authors"]] == [
        author["name"] for author in PROJECT["authors"]
    ]


@pytest.mark.parametrize("form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")))
def test_forms_for_issues_ask_for_something(form: Path) -> None:
    fields = yaml.safe_load(form.read_text())["body"]
    assert any(field.get("validations", {}).get("required") for field in fields)


def test_a_report_of_a_bug_asks_for_what_shows_it() -> None:
    text = (ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text()
    assert "socm validate FILE --show" in text
    assert "socm status --json" in text
