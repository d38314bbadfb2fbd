"""From a file on the command line to a campaign and a plan: read once, and complete."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_cli import socm

from socm import files
from socm.cli.changes import changes_of
from socm.cli.intake import take_in
from socm.config import load_campaign
from socm.errors import ConfigError
from socm.model.document import read_plan

DOCUMENTS = Path(__file__).parent / "data" / "documents" / "0.1.0"

# Where a variable that is not set may stand: keys of the campaign, and of its one workflow.
PLACES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "environment": ({}, {"environment": {"DATA": "$NOPE/x"}}),
    "the campaign's environment": ({"environment": {"DATA": "${NOPE}"}}, {}),
    "an argument": ({}, {"script-args": ["$NOPE"]}),
    "a named argument": ({}, {"script-kwargs": {"bands": ["f090", "$NOPE"]}}),
    "an extra argument": ({}, {"extra-args": ["--data=$NOPE"]}),
    "the path of the script": ({}, {"script": "$NOPE/s.py"}),
    "the executable": ({}, {"executable": "$NOPE/bin/python"}),
    "an output": ({}, {"outputs": ["$NOPE/map.fits"]}),
    "the folder": ({}, {"base-path": "$NOPE/work"}),
    "the campaign's folder": ({"base-path": "/$NOPE"}, {}),
}


def _written(folder: Path, suffix: str, campaign: dict[str, Any], work: dict[str, Any]) -> Path:
    """Write a campaign of one workflow; JSON's values are YAML's, and near enough TOML's."""
    stage = {"executable": "true", **work, "resources": {"runtime": 60, "memory": 10}}
    campaign = {"execution_schema": "local", **campaign}
    path = folder / f"campaign.{suffix}"
    if suffix == "yaml":
        text = json.dumps({"campaign": campaign, "stages": {"work": stage}})
    else:
        sections = {"campaign": campaign, "campaign.power-spectra": {"name": "work", **stage}}
        text = ""
        for name, section in sections.items():
            text += f"[{name}]\n"
            text += "".join(f"{key} = {_toml(value)}\n" for key, value in section.items())
    path.write_text(text)
    return path


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + "}"
    return json.dumps(value)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOPE", raising=False)


@pytest.mark.parametrize("suffix", ["toml", "yaml"])
@pytest.mark.parametrize("place", PLACES)
def test_a_variable_that_is_not_set_keeps_a_campaign_and_its_plan_from_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, suffix: str
) -> None:
    campaign = _written(tmp_path, suffix, *PLACES[place])
    plan = tmp_path / "plan.json"
    assert socm("plan", campaign, "--output", plan).returncode == 0
    # It was not set when the plan was made: to set it later does not change the plan.
    for file, later in ((campaign, None), (plan, None), (plan, "/somewhere")):
        if later is not None:
            monkeypatch.setenv("NOPE", later)
        for mode in ("--yes", "--dry-run"):
            done = socm("run", file, mode)
            assert done.returncode == 2, done.stdout
            assert "$NOPE is not set in the environment; work needs it" in done.stderr
            assert not (tmp_path / "socm-runs").exists()
    assert f"socm plan {campaign} --output {plan}" in " ".join(done.stderr.split())
    done = socm("run", campaign, "--dry-run")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("suffix", ["toml", "yaml"])
@pytest.mark.parametrize("keys", [{"setup": ["export X=$NOPE"]}, {"script-args": ["$$NOPE"]}])
def test_what_a_shell_expands_and_dollars_that_are_escaped_are_no_variables(
    tmp_path: Path, suffix: str, keys: dict[str, Any]
) -> None:
    campaign = _written(tmp_path, suffix, {}, keys)
    assert socm("run", campaign, "--dry-run").returncode == 0


def test_a_changed_campaign_is_not_taken_in_while_a_variable_is_not_set(tmp_path: Path) -> None:
    campaign = _written(tmp_path, "yaml", {}, {})
    plan = take_in(campaign).plan()
    _written(tmp_path, "yaml", {}, {"script-args": ["$NOPE"]})
    settings = SimpleNamespace(file=str(campaign))
    run: Any = SimpleNamespace(name="r", plan=plan, settings=settings, allocations=None)
    with pytest.raises(ConfigError, match="NOPE is not set in the environment; work needs it"):
        changes_of(run)


def test_each_variable_is_told_with_the_workflows_that_need_it(tmp_path: Path) -> None:
    stages = {
        name: {"executable": f"echo {text}", "resources": {"runtime": 60, "memory": 10}}
        for name, text in (("a", "$NOPE"), ("b", "$NOPE ${NEITHER}"), ("c", "all is well"))
    }
    campaign = tmp_path / "c.yaml"
    campaign.write_text(json.dumps({"campaign": {"resource": "local"}, "stages": stages}))
    done = socm("run", campaign, "--yes", "--json")
    assert [error["message"] for error in json.loads(done.stdout)["errors"]] == [
        "$NOPE is not set in the environment; a and b need it",
        "$NEITHER is not set in the environment; b needs it",
    ]


def test_a_plan_says_where_its_campaign_is_from_and_where_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, plan = _written(tmp_path, "toml", {}, {}), tmp_path / "plan.json"
    assert socm("plan", campaign, "--output", plan).returncode == 0
    read = read_plan(plan).campaign
    assert (read.source, read.execution_schema) == (str(campaign), "local")
    campaign.write_text(campaign.read_text().replace('"local"', '"batch"'))
    monkeypatch.setenv("SOCM_ACCOUNT", "simonsobs")
    assert socm("plan", campaign, "--output", plan).returncode == 0
    for file in (campaign, plan):
        done = socm("run", file, "--dry-run", "--run-dir", tmp_path / "scripts")
        assert done.returncode == 0, done.stderr
        assert "on tiger3, by slurm (in allocations, as the campaign says)" in done.stdout


def test_how_a_campaign_was_read_is_no_part_of_its_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = {"a": {"executable": "echo $NOPE", "resources": {"runtime": 60, "memory": 10}}}
    path, moved = tmp_path / "c.yaml", tmp_path / "folder" / "c.yaml"
    moved.parent.mkdir()
    for file in (path, moved):
        file.write_text(json.dumps({"campaign": {"resource": "tiger3"}, "stages": stages}))
    here, there = load_campaign(path).campaign, load_campaign(moved).campaign
    assert here.source != there.source
    assert here.fingerprint == there.fingerprint
    monkeypatch.setenv("NOPE", "$NOPE")  # the same text, but it was set
    same = load_campaign(path).campaign
    assert (here.workflows["a"].unset, same.workflows["a"].unset) == (("NOPE",), ())
    assert here.fingerprint == same.fingerprint


@pytest.mark.parametrize("path", sorted(DOCUMENTS.rglob("plan*.json")), ids=str)
def test_plans_of_earlier_versions_lack_what_was_added_and_are_read(path: Path) -> None:
    text = path.read_text()
    campaign = read_plan(path).campaign
    assert '"unset"' not in text
    assert campaign.fingerprint == json.loads(text)["fingerprint"]
    assert (campaign.source, campaign.execution_schema) == (None, None)
    assert not any(w.unset for w in campaign.workflows.values())


@pytest.mark.parametrize(
    "verb", ["simulate", "run", "plan", "diff", "export", "export --simulated"]
)
@pytest.mark.parametrize("kind", ["campaign", "plan"])
def test_a_file_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, kind: str
) -> None:
    file = _written(tmp_path, "yaml", {}, {})
    if kind == "plan":
        socm("plan", file, "--output", tmp_path / "plan.json")
        file = tmp_path / "plan.json"
    reads: list[Path] = []

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def read(path: Path, *arguments: Any, **keywords: Any) -> Any:
            if path.name == file.name:
                reads.append(path)
            return real(path, *arguments, **keywords)

        return read

    for owner, name in ((files, "open_regular"), (Path, "read_bytes"), (Path, "read_text")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    more = {"run": ["--dry-run"], "simulate": ["-n", "0"], "diff": [file]}.get(verb, [])
    done = socm(*verb.split(), file, *more)
    assert done.returncode == 0, done.stderr
    assert len(reads) == (2 if verb == "diff" else 1)


def test_a_named_cluster_and_this_machine_exclude_each_other(tmp_path: Path) -> None:
    campaign = _written(tmp_path, "yaml", {}, {})
    done = socm("run", campaign, "--cluster", "tiger3", "--yes")
    assert done.returncode == 2
    assert "--cluster is tiger3, but the executor is local" in done.stderr
    assert socm("run", campaign, "--cluster", "local", "--dry-run").returncode == 0


def test_a_plan_has_its_own_cluster_policy_and_effort(tmp_path: Path) -> None:
    campaign, plan = _written(tmp_path, "yaml", {}, {}), tmp_path / "plan.json"
    socm("plan", campaign, "--output", plan)
    for options, word in (
        (["--cluster", "tiger3"], "its cluster already"),
        (["--policy", "lpt"], "its policy already"),
        (["--effort", "0"], "made already"),
    ):
        done = socm("plan", plan, *options)
        assert (done.returncode, word in done.stderr) == (2, True)
    assert take_in(plan).plan() == read_plan(plan)
