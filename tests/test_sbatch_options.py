"""Options of sbatch that the planner does not decide: read, ordered by level, refused, written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_cli import socm

from socm.config.campaign import load_campaign
from socm.config.cluster import load_cluster
from socm.config.sbatch import OURS, PLANNED, SYNONYMS, SbatchOptions
from socm.config.schema import ResourcesSection, WorkflowSection
from socm.engine.attempts import job_of, same_again
from socm.engine.events import Ended, JobState, Started
from socm.engine.state import CampaignState, apply
from socm.errors import ConfigError
from socm.exchange.cluster_file import cluster_toml
from socm.executor.folder import JobFolder
from socm.executor.script import sbatch_options
from socm.model.document import plan_document, read_plan
from socm.planner import plan_campaign

CLUSTER = """\
name = "own"
constraint = "cpu"
nice = 1
mail-user = "site@example.org"

[[partitions]]
name = "wide"
nodes = 4
cores-per-node = 8
memory-per-node = "16G"
send = false
nice = 2
licenses = ["scratch", "cfs"]
mail-user = "partition@example.org"

[[qos]]
name = "usual"
walltime = "1d"
send = false
nice = 3
mail-user = "qos@example.org"
"""
CAMPAIGN = """\
[campaign]
resource = "own.toml"
mail-user = "campaign@example.org"
sbatch-options = ["--switches=1"]

[campaign.power-spectra]
executable = "true"
[campaign.power-spectra.resources]
runtime = "1h"
memory = "1G"
"""


def written(folder: Path, *resources: str, cluster: str = CLUSTER) -> Path:
    (folder / "own.toml").write_text(cluster)
    path = folder / "campaign.toml"
    path.write_text(CAMPAIGN + "".join(f"{line}\n" for line in resources))
    return path


def asked(path: Path, *failed: tuple[str, ...]) -> dict[str, Any]:
    """Return the options of sbatch of the only workflow of a campaign.

    Before, a node failed under an attempt on each of these nodes.
    """
    loaded = load_campaign(path)
    plan = plan_campaign(loaded.campaign, loaded.cluster)
    [name] = plan.by_name
    state = CampaignState.of(plan)
    for nodes in failed:
        apply(state, Started(time=0, workflow=name, attempt=1, nodes=nodes))
        apply(state, Ended(time=0, workflow=name, attempt=1, state=JobState.NODE_FAILED))
        job = job_of(plan, name, state.workflows[name], "run", 0)
        apply(state, same_again(job, 0, "node failed"))
    job = job_of(plan, name, state.workflows[name], "run", 0)
    return dict(sbatch_options(job, loaded.cluster, JobFolder(path.parent, name, 1)))


def test_the_nearest_level_has_the_last_word(tmp_path: Path) -> None:
    options = asked(written(tmp_path, 'exclude = ["n1", "n2"]', 'sbatch-options = "--spread-job"'))
    wanted = {
        "constraint": "cpu",
        "licenses": "scratch,cfs",
        "nice": "3",
        "mail-user": "campaign@example.org",
        "exclude": "n1,n2",
        "switches": "1",
        "spread-job": None,
    }
    assert {name: options[name] for name in wanted} == wanted
    assert (
        asked(written(tmp_path, 'mail-user = "own@example.org"'))["mail-user"] == "own@example.org"
    )


def test_what_is_not_sent_is_planned_all_the_same(tmp_path: Path) -> None:
    assert not {"partition", "qos"} & asked(written(tmp_path)).keys()
    sent = CLUSTER.replace("send = false", "send = true")
    options = asked(written(tmp_path, cluster=sent))
    assert (options["partition"], options["qos"]) == ("wide", "usual")


def test_a_node_that_failed_under_a_job_is_excluded_from_then_on(tmp_path: Path) -> None:
    path = written(tmp_path, 'exclude = "n9"')
    assert asked(path, ("n1",))["exclude"] == "n9,n1"
    assert asked(path, ("n1",), ("n2",), ("n1",))["exclude"] == "n9,n1,n2"
    assert asked(path, ("n1", "n2"))["exclude"] == "n9"  # one of two, and nobody knows which
    every = [(f"n{k}",) for k in range(load_campaign(path).cluster.partitions[0].nodes)]
    assert asked(path, *every)["exclude"] == "n9"
    named = asked(written(tmp_path, 'nodelist = "n1"'), ("n1",))
    assert (named["nodelist"], "exclude" in named) == ("n1", False)


@pytest.mark.parametrize("name", [*PLANNED, *OURS])
def test_what_contradicts_the_plan_is_refused_by_name(name: str, tmp_path: Path) -> None:
    path = written(tmp_path, f'sbatch-options = ["--hint=compute_bound", "--{name}=1", "-N 4"]')
    with pytest.raises(ConfigError) as refused:
        load_campaign(path)
    assert f"--{name} " in str(refused.value)
    assert "'-N 4' is not an option such as --switches=1" in str(refused.value)


def test_every_key_that_stands_in_for_an_option_exists() -> None:
    keys = ResourcesSection.model_fields.keys() | WorkflowSection.model_fields.keys()
    assert {*SYNONYMS.values()} <= keys
    known = {word for text in PLANNED.values() for word in text.replace("-", "_").split()}
    known -= {"and", "of", "a", "or", "partition", "QOS", "exclusive"}
    assert known <= keys


@pytest.mark.parametrize(
    ("word", "meant"), [x for x in SYNONYMS.items() if x[1] in ResourcesSection.model_fields]
)
def test_words_of_other_systems_are_recognised(word: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{meant.replace('_', '-')}'"):
        load_campaign(written(tmp_path, f"{word} = 1"))


@pytest.mark.parametrize("value", ['"a\\"b"', '"50%"', '"a#b"', '""', '"a\\nb"', '["x", true]'])
def test_what_slurm_would_interpret_is_refused(value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="constraint"):
        load_campaign(written(tmp_path, f"constraint = {value}"))


def test_on_this_machine_they_are_ignored_and_that_is_said(tmp_path: Path) -> None:
    loaded = load_campaign(written(tmp_path), cluster="local")
    assert "ignored on this machine: mail-user and switches" in loaded.warnings
    assert [w.options for w in loaded.campaign.workflows.values()] == [{}]


def test_cluster_files_and_plans_keep_them(tmp_path: Path) -> None:
    free = CLUSTER.replace(
        "nice = 1", 'nice = 1\nsbatch-options = ["--switches=1", "--spread-job"]'
    )
    loaded = load_campaign(written(tmp_path, cluster=free))
    again = tmp_path / "again.toml"
    again.write_text(cluster_toml(loaded.cluster))
    assert load_cluster(str(again)) == loaded.cluster
    plan = plan_campaign(loaded.campaign, loaded.cluster)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan_document(plan)))
    assert read_plan(path).campaign == plan.campaign
    assert read_plan(path).cluster == plan.cluster


def test_each_option_has_one_name() -> None:
    options = SbatchOptions(mail_user="a@example.org", sbatch_options=("--spread-job",))
    assert options.sbatch() == {"mail-user": "a@example.org", "spread-job": ""}


def test_jobs_for_perlmutter_ask_for_its_cpu_nodes_and_name_no_partition(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace("own.toml", "perlmutter"))
    options = asked(path)
    assert options["constraint"] == "cpu"
    assert "partition" not in options
    assert options["qos"] == "shared"


def test_where_an_account_is_wanted_a_run_without_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, cluster="account-required = true\n" + CLUSTER)
    command = ("run", path, "--dry-run", "--executor", "slurm", "--run-dir", tmp_path / "dry")
    refused = socm(*command)
    assert refused.returncode == 2
    assert "own wants an account for each job; none is given for power-spectra" in refused.stderr
    assert "SOCM_ACCOUNT" in refused.stderr
    assert not (tmp_path / "dry").exists()
    monkeypatch.setenv("SOCM_ACCOUNT", "m123")
    assert socm(*command).returncode == 0
    assert asked(path)["account"] == "m123"
    monkeypatch.delenv("SOCM_ACCOUNT")
    assert asked(written(tmp_path, cluster='account = "m4"\n' + CLUSTER))["account"] == "m4"


def test_what_a_cluster_is_asked_is_shown(tmp_path: Path) -> None:
    written(tmp_path, cluster="account-required = true\n" + CLUSTER)
    shown = " ".join(socm("clusters", tmp_path / "own.toml").stdout.split())
    assert (
        "own an account, which each workflow has to name, --constraint=cpu, --mail-user=" in shown
    )
    assert (
        "wide not named to SLURM, --licenses=scratch,cfs, --mail-user=partition@example.org"
        in shown
    )
    assert "Asked of SLURM" not in socm("clusters", "universe").stdout
