"""What a site does with jobs: the QOS that their walltime leads to, and their accounts."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_cli import socm
from test_clusters import imported, recorded

from socm.config.cluster import load_cluster
from socm.engine.attempts import job_of
from socm.engine.backend import JobUpdate
from socm.engine.events import JobState
from socm.engine.retry import RetryPolicy
from socm.engine.state import CampaignState
from socm.errors import Infeasible, InvalidPlan
from socm.exchange.cluster_file import cluster_toml
from socm.executor.folder import JobFolder
from socm.executor.script import sbatch_options
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.check import check_plan
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.plan import Plan
from socm.model.qos import Qos
from socm.planner import plan_campaign
from socm.planner.sizing.allocation import plan_allocation

HOUR = 3600
CPU = Partition(name="cpu", nodes=4, cores=8, memory=1000)
TEST = Qos(name="test", walltime=HOUR, running_jobs=1, debug=True, send=False)
SHORT = Qos(name="short", walltime=5 * HOUR, running_jobs=1, send=False)
LONG = Qos(name="long", walltime=24 * HOUR, send=False)
ROUTED = Cluster(name="routed", partitions=(CPU,), qos=(TEST, SHORT, LONG))


def one(cluster: Cluster, **asked: Any) -> Plan:
    asked = {"threads": 8, "runtime": HOUR, **asked}
    work = Workflow(name="map", request=ResourceRequest(**asked))
    return plan_campaign(Campaign.of("maps", [work]), cluster)


def options(plan: Plan) -> dict[str, Any]:
    job = job_of(plan, "map", CampaignState.of(plan).workflows["map"], "run", 0)
    return dict(sbatch_options(job, plan.cluster, JobFolder(Path("/run"), "map", 1)))


# Routed by the walltime


@pytest.mark.parametrize(
    ("asked", "qos", "walltime"),
    [
        ({"runtime": 2 * HOUR}, "short", 3 * HOUR),
        ({"walltime": 5 * HOUR}, "short", 5 * HOUR),
        ({"walltime": 5 * HOUR + 60}, "long", 5 * HOUR + 60),
        ({"runtime": 600}, "short", HOUR + 60),  # longer than test allows
        ({"runtime": 600, "qos": "test"}, "test", 900),
        ({"runtime": 6 * HOUR, "qos": "long"}, "long", 9 * HOUR),
        ({"runtime": HOUR, "qos": "long"}, "long", 5 * HOUR + 60),  # as it was asked for
    ],
)
def test_the_walltime_decides_the_qos(asked: dict[str, Any], qos: str, walltime: int) -> None:
    plan = one(ROUTED, **asked)
    assert [(w.qos, w.walltime) for w in plan.workflows] == [(qos, walltime)]
    assert options(plan).keys().isdisjoint({"qos"})


def test_a_larger_limit_is_not_to_be_had_by_a_short_job() -> None:
    work = [Workflow(name=f"m{k}", request=ResourceRequest(runtime=HOUR)) for k in range(3)]
    plan = plan_campaign(Campaign.of("maps", work), ROUTED)
    assert {w.qos for w in plan.workflows} == {"short"}
    assert plan.makespan == 3 * HOUR  # one after the other, though long limits nothing


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"qos": "long", "walltime": 2 * HOUR}, "long: SLURM takes QOS short for a walltime of 2:"),
        ({"runtime": 60, "walltime": 1800}, "short: SLURM takes QOS test for a walltime of 0:30:"),
    ],
)
def test_a_qos_that_slurm_would_not_take_is_refused(asked: dict[str, Any], reason: str) -> None:
    with pytest.raises(Infeasible) as refused:
        one(ROUTED, **asked)
    assert reason in " ".join(refused.value.reasons)


def test_a_plan_whose_walltime_leads_elsewhere_is_not_valid() -> None:
    plan = one(ROUTED, runtime=4 * HOUR)
    [w] = plan.workflows
    assert w.qos == "long"
    with pytest.raises(InvalidPlan, match="map: SLURM takes QOS short for 18000 s, not long"):
        check_plan(replace(plan, workflows=(replace(w, walltime=5 * HOUR),)))


def test_a_retry_goes_where_its_longer_walltime_leads() -> None:
    plan = one(ROUTED, walltime=4 * HOUR)
    job = job_of(plan, "map", CampaignState.of(plan).workflows["map"], "run", 0)
    after = RetryPolicy().after(JobUpdate(time=9, job=job, state=JobState.TIMEOUT), ROUTED)
    assert after is not None
    assert (after.qos, after.walltime) == ("long", 6 * HOUR)


def test_an_allocation_asks_for_a_walltime_that_leads_to_its_qos() -> None:
    work = [Workflow(name=f"m{k}", request=ResourceRequest(runtime=HOUR)) for k in range(3)]
    narrow = replace(ROUTED, qos=(replace(SHORT, nodes_per_job=1, cores=1), LONG))
    plan = plan_allocation(Campaign.of("maps", work), narrow, plan_campaign)
    assert [(a.qos, a.walltime) for a in plan.allocations] == [("long", 5 * HOUR + 60)]
    [a] = plan.allocations
    with pytest.raises(InvalidPlan, match="SLURM takes QOS short"):
        check_plan(replace(plan, allocations=(replace(a, walltime=4 * HOUR),)))


def test_a_qos_is_called_by_its_name_in_slurm() -> None:
    named = replace(LONG, send=True, slurm_name="regular_1")
    assert options(one(replace(ROUTED, qos=(named,))))["qos"] == "regular_1"


# Accounts


@pytest.mark.parametrize("bound", ["qos", "partition"])
def test_what_is_for_some_accounts_is_used_by_their_jobs_alone(bound: str) -> None:
    own = ("maps", "spectra")
    cluster = Cluster(
        name="own",
        partitions=(replace(CPU, accounts=own if bound == "partition" else ()),),
        qos=(Qos(name="usual", accounts=own if bound == "qos" else ()),),
    )
    assert options(one(cluster, account="maps"))["account"] == "maps"
    assert options(one(replace(cluster, account="spectra")))["account"] == "spectra"
    for asked, said in ((None, "no account is given"), ("m9", "the account is m9")):
        with pytest.raises(Infeasible) as refused:
            one(cluster, account=asked)
        reason = f"usual: only for account maps or spectra; {said}"
        assert reason in " ".join(refused.value.reasons)
        assert "account maps or spectra" in " ".join(refused.value.remedies)
        with pytest.raises(Infeasible, match="no allocation"):
            plan_allocation(
                Campaign.of("a", [Workflow(name="a", request=ResourceRequest(runtime=1))]),
                cluster,
                plan_campaign,
            )


@pytest.mark.parametrize("given", ["m1", "m1_g"])
def test_accounts_of_a_partition_get_its_ending_once(given: str) -> None:
    gpu = replace(CPU, name="gpu", gpus=4, account_suffix="_g")
    cluster = Cluster(name="two", partitions=(CPU, gpu), account=given)
    assert options(one(cluster, gpus=1, threads=1))["account"] == "m1_g"
    assert options(one(cluster))["account"] == given


def test_accounts_are_imported_with_qos_and_partitions() -> None:
    text = recorded().partitions.replace("AllowAccounts=ALL", "AllowAccounts=maps,project", 1)
    cluster, _ = imported(recorded(partitions=text))
    assert cluster.by_qos["short"].accounts == ("project",)
    assert cluster.by_partition["cpu"].accounts == ("maps", "project")
    _, warnings = imported(recorded(user=None))
    assert "some QOS or partitions are only for some accounts: set yours" in warnings
    text = recorded().partitions.replace("AllowAccounts=ALL", "DenyAccounts=maps", 1)
    assert "partition cpu: not kept: DenyAccounts=maps" in imported(recorded(partitions=text))[1]


def test_files_keep_all_of_it_and_it_is_shown(tmp_path: Path) -> None:
    gpu = replace(CPU, name="gpu", gpus=4, account_suffix="_g", accounts=("m1_g",), send=False)
    test = replace(TEST, slurm_name="site-test", accounts=("m1",))
    cluster = Cluster(name="kept", partitions=(CPU, gpu), qos=(test, SHORT))
    file = tmp_path / "kept.toml"
    file.write_text(cluster_toml(cluster))
    assert load_cluster(str(file)) == cluster
    shown = " ".join(socm("clusters", file).stdout.split())
    assert "gpu not named to SLURM, only for account m1_g, accounts end in _g" in shown
    assert "test site-test in SLURM, not named to SLURM: by the walltime" in shown


# Clusters that come with socm

ROOT = Path(__file__).parents[1]
ASKED = {
    "perlmutter": {
        "map": {"qos": "regular", "constraint": "cpu", "account": "m1", "exclusive": None},
        "transforms": {"qos": "regular", "constraint": "gpu", "account": "m1_g"},
        "spectra": {"qos": "shared", "constraint": "cpu", "account": "m1"},
    },
    "tiger3": {"map": {"account": "m1"}, "spectrum": {"account": "m1", "time": "0-01:01:00"}},
}


@pytest.mark.parametrize("name", ASKED)
def test_jobs_ask_for_what_the_site_wants_and_for_nothing_that_it_refuses(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = ROOT / "examples" / f"{name}.toml"
    command = ("run", example, "--dry-run", "--executor", "slurm", "--run-dir", tmp_path / "dry")
    refused = socm(*command)
    assert refused.returncode == 2
    assert "set SOCM_ACCOUNT, or `account`" in refused.stderr
    assert not (tmp_path / "dry").exists()
    monkeypatch.setenv("SOCM_ACCOUNT", "m1")
    assert socm(*command).returncode == 0
    for workflow, wanted in ASKED[name].items():
        text = (tmp_path / "dry" / "jobs" / workflow / "1" / "script.sh").read_text()
        lines = re.findall(r"^#SBATCH --([a-z-]+)(?:=(.*))?$", text, re.MULTILINE)
        asked = {option: value or None for option, value in lines}
        assert {option: asked[option] for option in wanted} == wanted
        assert "partition" not in asked
        if name == "tiger3":
            assert "qos" not in asked


@pytest.mark.parametrize("name", ASKED)
def test_each_figure_of_a_site_has_its_source_and_date(name: str) -> None:
    cluster = load_cluster(name)
    for part in (cluster, *cluster.partitions, *cluster.qos):
        assert part.source
        assert part.checked
    text = (ROOT / "socm" / "clusters" / f"{name}.toml").read_text()
    assert all(command in text for command in ("scontrol show config", "show qos", "sinfo"))
