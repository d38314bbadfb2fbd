"""Clusters: listed, shown, matched against a campaign, and imported from SLURM's answers."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st
from test_cli import EXAMPLES, SMALL_CLUSTER, TWO_STAGES, socm

from socm.config import builtin_clusters, load_cluster
from socm.errors import BackendError, BackendUnavailable, ConfigError
from socm.exchange import slurm
from socm.exchange.cluster_file import cluster_toml
from socm.exchange.node_sets import in_sets
from socm.exchange.sacctmgr import Slot, qos_of, read_table
from socm.exchange.scontrol import read_node, read_records
from socm.exchange.slurm import Answers, imported_cluster
from socm.executor.slurm import client
from socm.model.allowance import Allowance
from socm.model.campaign import ResourceRequest
from socm.model.cluster import Cluster
from socm.model.maintenance import Maintenance
from socm.model.partition import Partition
from socm.units import DAY, HOUR, MINUTE

ANSWERS = Path(__file__).parent / "data" / "slurm"
"""What a real SLURM 22.05 said of the cluster in slurm/conftest.py."""
TODAY = "2026-11-22"


def recorded(**changes: str | None) -> Answers:
    """The recorded answers, some of them changed."""
    names = ("config", "nodes", "partitions", "qos", "associations", "user")
    texts = {name: (ANSWERS / f"{name}.txt").read_text() for name in names}
    return Answers(**{**texts, **changes})  # type: ignore[arg-type]


def imported(answers: Answers, *only: str) -> tuple[Cluster, str]:
    cluster, warnings = imported_cluster(answers, checked=TODAY, only=only)
    return cluster, "\n".join(warnings)


# Listing and showing


def test_known_clusters_are_listed_with_and_without_the_verb() -> None:
    assert socm("clusters").stdout == socm("clusters", "list").stdout
    assert set(builtin_clusters()) <= set(socm("clusters").stdout.split())
    document = json.loads(socm("clusters", "--json").stdout)
    assert document["schema"] == "socm.clusters/1"
    assert {c["name"] for c in document["clusters"]} == {*builtin_clusters()}


def test_a_cluster_is_shown_with_and_without_the_verb(tmp_path: Path) -> None:
    shown = socm("clusters", "show", "tiger3")
    assert shown.returncode == 0
    assert socm("clusters", "tiger3").stdout == shown.stdout
    assert "vshort" in shown.stdout
    file = tmp_path / "bench.toml"
    file.write_text(SMALL_CLUSTER)
    document = json.loads(socm("clusters", "--json", file).stdout)
    assert document["cluster"]["partitions"][0]["nodes"] == 28


@pytest.mark.parametrize(
    ("partitions", "complaints"),
    [
        ("partitions = []", ["partitions: needs at least one"]),
        (
            "[[partitions]]\nname = 'cpu'\nnodes = 2\ncores = 16\nmemory-per-node = '64G'",
            ["partitions[0] lacks 'cores-per-node'", "unknown key 'cores' in partitions[0]"],
        ),
    ],
)
def test_a_mistake_in_a_partition_is_told_once_and_has_no_other_in_its_wake(
    tmp_path: Path, partitions: str, complaints: list[str]
) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(f"name = 'mini'\n{partitions}\n")
    with pytest.raises(ConfigError) as caught:
        load_cluster(str(path))
    assert [problem.message for problem in caught.value.problems] == complaints
    hints = {problem.hint for problem in caught.value.problems} - {None}
    assert hints <= {"did you mean 'cores-per-node'?"}


def test_the_help_of_the_group_names_the_verbs() -> None:
    done = socm("clusters", "--help")
    assert done.returncode == 0
    assert {"list", "show", "match", "import"} <= set(done.stdout.split())
    assert "socm clusters match" in done.stdout.split("Examples")[1]
    assert "NAME|FILE" in socm("clusters", "show", "--help").stdout


# Matching


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """Two stages of 4 × 8 cores, 48 GB and an hour, on a cluster of the campaign's own."""
    (tmp_path / "bench.toml").write_text(SMALL_CLUSTER)
    path = tmp_path / "two.yaml"
    path.write_text(TWO_STAGES.format(deadline="3h"))
    return path


def matches(*arguments: str | Path) -> tuple[int, dict[str, dict[str, Any]]]:
    done = socm("clusters", "match", *arguments, "--json")
    document = json.loads(done.stdout)
    assert document["schema"] == "socm.match/1", done.stdout
    return done.returncode, {m["name"]: m for m in document["clusters"]}


def test_a_campaign_is_tried_on_all_known_clusters_and_its_own(campaign: Path) -> None:
    code, found = matches(campaign)
    assert code == 0
    assert {*found} == {"bench", *builtin_clusters()}
    assert found["tiger3"]["fits"]
    assert found["tiger3"]["feasible"]
    assert found["tiger3"]["makespan_s"] == 2 * HOUR
    assert found["tiger3"]["used"] == [{"partition": "cpu", "qos": "vshort", "workflows": 2}]
    assert found["bench"]["used"] == [{"partition": "cpu", "qos": None, "workflows": 2}]


def test_a_match_is_what_plan_says(campaign: Path) -> None:
    _, found = matches(campaign)
    for name in builtin_clusters():
        plan = json.loads(socm("plan", campaign, "--cluster", name, "--json").stdout)
        for key in ("makespan_s", "lower_bound_s", "nodes", "core_hours", "feasible"):
            assert found[name][key] == plan[key]


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.[ty]*ml")), ids=lambda p: p.name)
def test_every_workflow_of_a_match_is_counted_once(example: Path) -> None:
    plan = json.loads(socm("plan", example, "--json").stdout)
    _, found = matches(example, "--cluster", plan["cluster"]["name"])
    (match,) = found.values()
    assert sum(use["workflows"] for use in match["used"]) == len(plan["workflows"])


def test_a_missed_deadline_is_told_of_a_cluster_that_holds_the_campaign(campaign: Path) -> None:
    campaign.write_text(TWO_STAGES.format(deadline="90m"))
    done = socm("clusters", "match", campaign, "--cluster", "tiger3")
    assert done.returncode == 0
    assert "missed" in done.stdout
    assert matches(campaign, "--cluster", "tiger3")[1]["tiger3"]["feasible"] is False


def test_a_reason_is_told_once_for_all_workflows_and_places(tmp_path: Path) -> None:
    stage = "{executable: 'true', resources: {ranks: 1, memory: 8T, runtime: 1h}}"
    stages = "".join(f"  big{k}: {stage}\n" for k in range(12))
    path = tmp_path / "big.yaml"
    path.write_text(
        f"campaign: {{deadline: 3h, resource: tiger3}}\nstages:\n{stages}"
        "  small: {executable: 'true', resources: {memory: 1G, runtime: 1h}}\n"
    )
    code, found = matches(path, "--cluster", "tiger3")
    assert code == 3
    (reason,) = found["tiger3"]["reasons"]
    assert reason["reason"] == "one rank needs 8 388 608 MB, a node has 1 000 000"
    assert reason["where"] == ["vshort", "short", "medium", "long", "vlong"]
    assert reason["workflows"] == [f"big{k}" for k in range(12)]
    done = socm("clusters", "match", path)
    assert done.returncode == 3
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    text = " ".join(done.stdout.split())
    assert "Not on tiger3 12 workflows (big0, big1, big2 and 9 more): one rank needs" in text
    assert "Not on perlmutter" in text


def test_a_budget_beyond_one_cluster_is_a_reason_against_that_one(tmp_path: Path) -> None:
    path = tmp_path / "wide.yaml"
    path.write_text(
        "campaign: {resource: tiger3, requested_resources: 224, resources: {nodes: 1}}\n"
        "stages: {one: {executable: 'true', resources: {memory: 1G, runtime: 1h}}}\n"
    )
    code, found = matches(path)
    assert code == 0
    assert found["universe"]["fits"]
    assert not found["tiger3"]["fits"]
    assert "requested_resources = 224" in found["tiger3"]["reasons"][0]["reason"]


def test_a_wrong_campaign_or_cluster_is_no_mismatch(campaign: Path, tmp_path: Path) -> None:
    assert "tiger3" in socm("clusters", "match", campaign, "--cluster", "tigre3").stderr
    assert socm("clusters", "match", campaign, "--cluster", "tigre3").returncode == 2
    campaign.write_text(TWO_STAGES.format(deadline="soon"))
    assert socm("clusters", "match", campaign).returncode == 2
    assert socm("clusters", "match", tmp_path / "nowhere.yaml").returncode == 2


# Cluster files


TEXTS = st.none() | st.text()


@st.composite
def documented_clusters(draw: st.DrawFn) -> Cluster:
    """Random clusters with any text where text is for people, and dates."""
    dates = st.none() | st.dates().map(lambda d: f"{d:%Y-%m-%d}".zfill(10))

    def sources() -> dict[str, str | None]:
        return {"source": draw(TEXTS), "checked": draw(dates)}

    cluster = draw(own.clusters())
    charges = st.floats(min_value=0, max_value=1000)
    return replace(
        cluster,
        name=draw(st.text()),
        description=draw(TEXTS),
        partitions=tuple(replace(p, note=draw(TEXTS), **sources()) for p in cluster.partitions),
        qos=tuple(
            replace(q, note=draw(TEXTS), charge=draw(charges), **sources()) for q in cluster.qos
        ),
        **sources(),
    )


@given(documented_clusters(), st.lists(st.text(), max_size=2))
def test_a_cluster_file_loads_as_the_cluster_it_was_made_from(
    tmp_path_factory: pytest.TempPathFactory, cluster: Cluster, comments: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "written.toml"
    path.write_bytes(cluster_toml(cluster, comments=comments).encode())
    assert load_cluster(str(path)) == cluster


@pytest.mark.parametrize("name", builtin_clusters())
def test_built_in_clusters_are_written_with_their_sources(name: str, tmp_path: Path) -> None:
    cluster = load_cluster(name)
    path = tmp_path / "again.toml"
    path.write_text(cluster_toml(cluster))
    assert load_cluster(str(path)) == cluster
    assert "checked = 2026-11-22" in path.read_text()


# What SLURM says


def test_the_recorded_cluster_is_imported_with_its_figures() -> None:
    cluster, warnings = imported(recorded())
    assert cluster.name == "mini"
    assert {p.checked for p in cluster.partitions} == {q.checked for q in cluster.qos} == {TODAY}
    assert {p.source for p in cluster.partitions} == {"scontrol show node on mini, SLURM 22.05.8"}
    assert {q.source for q in cluster.qos} == {"sacctmgr show qos on mini, SLURM 22.05.8"}
    figures = {
        p.name: (p.nodes, p.cores, p.threads_per_core, p.memory, p.gpus, p.exclusive, p.walltime)
        for p in cluster.partitions
    }
    assert figures == {
        "cpu": (3, 16, 1, 60000, 0, False, 3 * DAY),
        "cpu-2": (2, 16, 1, 252000, 0, False, 3 * DAY),
        "gpu": (2, 8, 2, 128000, 4, True, 12 * HOUR),
        "quick": (2, 16, 1, 60000, 0, False, 30 * MINUTE),
    }
    assert "1 of 4 nodes are down or drained" in str(cluster.by_partition["cpu"].note)
    assert cluster.by_partition["cpu"].default_memory_per_core == 3000
    assert "cpu (3 nodes), cpu-2 (2 nodes); in SLURM there is only cpu" in warnings
    assert "partition closed is left out: its state is DOWN" in warnings
    assert cluster.by_partition["quick"].nodes_per_job == 1
    assert "counted in each" not in warnings
    shared = cluster.by_partition["quick"]
    assert (shared.nodes_of, shared.numbers) == ("cpu", range(2))


@given(
    st.dictionaries(
        st.sampled_from("abcd"), st.sets(st.integers(0, 5), min_size=1), min_size=1, max_size=4
    )
)
def test_partitions_share_as_many_nodes_as_in_slurm_or_it_is_told(
    nodes: dict[str, set[int]],
) -> None:
    names = {
        Partition(name=name, nodes=len(mine), cores=1, memory=1): [f"n{k}" for k in mine]
        for name, mine in nodes.items()
    }
    made, told = in_sets(names)
    for one in made:
        assert len(one.numbers) == len(nodes[one.name])
        for other in made:
            common = {*one.numbers} & {*other.numbers} if one.home == other.home else set()
            if one is not other and not told:
                assert len(common) == len(nodes[one.name] & nodes[other.name])
    assert {p.name: p.numbers for p in made} == {p.name: p.numbers for p in in_sets(names)[0]}
    Cluster(name="c", partitions=tuple(made))


def test_what_has_no_order_in_which_each_is_in_one_piece_is_told() -> None:
    of = {"a": "1234", "b": "15", "c": "26", "d": "37"}
    parts = {
        Partition(name=name, nodes=len(mine), cores=1, memory=1): mine for name, mine in of.items()
    }
    made, (told, *_) = in_sets(parts)
    assert [p.nodes_of for p in made] == [None] * 4
    assert "1 node is in a and b and counted in each" in told
    differ = {replace(p, cores=k + 1): mine for k, (p, mine) in enumerate(parts.items())}
    assert "counted in each" in in_sets(differ)[1][0]


def test_the_recorded_qos_are_imported_with_their_limits() -> None:
    cluster, warnings = imported(recorded())
    limits = {
        q.name: (q.walltime, q.running_jobs, q.cores, q.cores_per_job, q.nodes_per_job, q.charge)
        for q in cluster.qos
    }
    assert limits == {
        "normal": (None, None, None, None, None, 1),
        "short": (5 * HOUR, 20, 64, None, None, 1),
        "long": (15 * DAY, 8, 48, 32, 2, 1),
        "gpu": (1 * DAY, None, 12, None, None, 2),  # 24 CPUs, two of which are a core
        "debug": (30 * MINUTE, 1, None, None, None, 1),
    }
    assert {q.name: q.partitions for q in cluster.qos} == {
        "normal": (),
        "short": ("cpu", "cpu-2", "quick"),
        "long": ("cpu", "cpu-2", "quick"),
        "gpu": ("gpu", "quick"),
        "debug": ("cpu", "cpu-2", "quick"),
    }
    assert {q.name for q in cluster.qos if q.debug} == {"debug", "gpu"}
    assert "its name contains debug" in str(cluster.by_qos["debug"].note)
    assert "its charge is 2" in str(cluster.by_qos["gpu"].note)
    assert "all users together: GrpJobs=8" in str(cluster.by_qos["long"].note)
    assert cluster.by_qos["short"].accounts == ("project",)
    assert cluster.account == "project"
    assert "QOS gpu: not kept: MaxTRESPU gres/gpu=4" in warnings
    assert "left out, because you may not use them: QOS other" in warnings


def test_only_the_partitions_that_are_named_are_kept() -> None:
    cluster, warnings = imported(recorded(), "gpu")
    assert [p.name for p in cluster.partitions] == ["gpu"]
    assert [q.name for q in cluster.qos] == ["normal", "gpu"]
    assert "QOS short is left out: no partition admits it" in warnings
    with pytest.raises(ConfigError, match="no partition 'gpus'; did you mean 'gpu'"):
        imported(recorded(), "gpus")


def test_without_accounting_there_are_no_qos_and_that_is_told() -> None:
    cluster, warnings = imported(recorded(qos=None, associations=None))
    assert cluster.qos == ()
    assert len(cluster.partitions) == 4
    assert "no QOS: this SLURM has no accounting" in warnings


def test_every_qos_is_kept_where_slurm_enforces_none_or_does_not_know_the_user() -> None:
    config = recorded().config.replace("associations,limits,qos", "none")
    cluster, warnings = imported(recorded(config=config))
    assert "other" in cluster.by_qos
    assert "does not enforce QOS" in warnings
    cluster, warnings = imported(recorded(associations="Account|QOS\n"))
    assert "other" in cluster.by_qos
    assert "you have no account" in warnings


def test_a_partition_without_a_qos_of_the_user_is_left_out() -> None:
    cluster, warnings = imported(recorded(associations="Account|QOS\nproject|short\n"))
    assert [p.name for p in cluster.partitions] == ["cpu", "cpu-2", "quick"]
    assert "partition gpu is left out: none of your QOS may be used there" in warnings
    assert cluster.by_qos["short"].accounts == ()  # the only account is no news


def test_the_qos_of_a_partition_limits_all_its_jobs() -> None:
    text = recorded().partitions.replace("QoS=N/A", "QoS=long", 1)
    cluster, warnings = imported(recorded(partitions=text))
    cpu = cluster.by_partition["cpu"]
    assert (cpu.walltime, cpu.limits) == (
        3 * DAY,
        Allowance(walltime=15 * DAY, running_jobs=8, cores=48, cores_per_job=32, nodes_per_job=2),
    )
    assert "of its QOS" not in warnings
    # Its walltime comes before that of the job's QOS, and after that of the partition.
    asked = ResourceRequest(runtime=HOUR, walltime=2 * DAY, partition="cpu", qos="short")
    assert cluster.admit(asked)[0]
    assert not cluster.admit(replace(asked, walltime=4 * DAY))[0]
    assert not cluster.admit(replace(asked, ranks=33))[0]
    over = str(recorded().qos).replace("DenyOnLimit", "DenyOnLimit,OverPartQOS")
    cluster, _ = imported(recorded(partitions=text, qos=over))
    assert not cluster.admit(asked)[0]
    assert cluster.admit(replace(asked, walltime=5 * HOUR))[0]
    text = recorded().partitions.replace("QoS=N/A", "QoS=debug", 1)
    cluster, _ = imported(recorded(partitions=text))
    limits = cluster.by_partition["cpu-2"].limits
    assert limits == Allowance(walltime=30 * MINUTE, running_jobs=1)
    _, warnings = imported(recorded(partitions=text, qos=None))
    assert "partition cpu: not kept: its QOS debug" in warnings


def test_the_most_memory_of_a_cpu_is_that_of_the_partition_or_else_of_all() -> None:
    config = recorded().config.replace("MaxMemPerNode           = UNLIMITED", "MaxMemPerCPU = 2000")
    assert config != recorded().config
    said = recorded().partitions.replace("MaxMemPerNode=UNLIMITED", "MaxMemPerCPU=4000", 1)
    cluster, told = imported(recorded(config=config, partitions=said))
    assert {p.name: p.memory_per_core for p in cluster.partitions} == {
        "cpu": 4000, "cpu-2": 4000, "gpu": 2 * 2000, "quick": 2000,
    }  # fmt: skip
    assert "MaxMemPerCPU" not in told
    assert {p.memory_per_core for p in imported(recorded())[0].partitions} == {None}


def test_a_qos_may_outrank_the_walltime_of_a_partition() -> None:
    flags = recorded(
        qos=str(recorded().qos).replace("DenyOnLimit", "DenyOnLimit,PartitionTimeLimit")
    )
    cluster, _ = imported(flags)
    by_partition = cluster.by_partition["quick"].walltime, cluster.by_qos["short"].walltime
    assert by_partition == (30 * MINUTE, 5 * HOUR)
    asked = ResourceRequest(runtime=HOUR, walltime=5 * HOUR, partition="quick", qos="short")
    assert [mode.walltime for mode in cluster.admit(asked)[0]] == [5 * HOUR]
    assert not cluster.admit(replace(asked, walltime=6 * HOUR))[0]
    assert not cluster.admit(replace(asked, qos="normal"))[0]  # it has no such flag
    assert not imported(recorded())[0].admit(asked)[0]


def test_the_jobs_that_may_be_submitted_are_a_limit() -> None:
    qos = str(recorded().qos).replace("|05:00:00|cpu=64|20||||", "|05:00:00|cpu=64|20|6||9|4|")
    cluster, told = imported(recorded(qos=qos))
    short = cluster.by_qos["short"]
    assert (short.running_jobs, short.submit_jobs) == (9, 4)
    assert "Submit" not in told


ASSOC = (
    "Account|User|Partition|GrpJobs|GrpTRES|GrpSubmit|MaxJobs|MaxTRES|MaxSubmit|MaxWall|QOS|"
    "GrpTRESRunMins\n"
)


def test_the_limits_of_the_user_and_of_the_account_are_those_of_all_jobs() -> None:
    user = f"{ASSOC}project|me|||cpu=40||5||9|1-00:00:00|normal,short|cpu=1000\n"
    account = f"{ASSOC}project||||cpu=32,mem=1T|7||||||\n"
    cluster, told = imported(recorded(associations=user, accounts=account))
    assert cluster.limits == Allowance(  # two CPUs are a core of some nodes
        walltime=DAY, running_jobs=5, submit_jobs=7, cores=16
    )
    assert "account project: not kept: GrpTRESRunMins=cpu=1000" in told
    assert "account project: not kept: GrpTRES mem=1T" in told
    config = recorded().config.replace("associations,limits,qos", "associations,qos")
    assert imported(recorded(config=config, associations=user))[0].limits is None


def test_limits_that_differ_by_account_are_those_of_the_usual_account_or_told() -> None:
    rows = "one|me|||||5||||normal|\ntwo|me|||||6||9||normal|\n"
    cluster, told = imported(recorded(associations=ASSOC + rows, user="two\n"))
    assert cluster.limits == Allowance(running_jobs=6, submit_jobs=9)
    cluster, told = imported(recorded(associations=ASSOC + rows, user=None))
    assert cluster.limits is None
    assert "your limits differ by account (one, two): only what is the same is kept" in told


@pytest.mark.parametrize(
    ("said", "groups", "host", "reason"),
    [
        ("AllowGroups=maps", ("users",), "", "it is only for group maps"),
        ("AllowGroups=maps,cmb", ("users",), "", "it is only for groups maps and cmb"),
        ("AllowGroups=maps,cmb", ("cmb", "users"), "", None),
        ("AllowGroups=maps", None, "", None),
        ("AllocNodes=login[1-2],head", ("users",), "login3", "submitted on login[1-2],head only"),
        ("AllocNodes=login[1-2],head", ("users",), "login2", None),
    ],
)
def test_partitions_of_others_are_left_out(
    said: str, groups: tuple[str, ...] | None, host: str, reason: str | None
) -> None:
    usual = said.partition("=")[0] + "=ALL"
    text = recorded().partitions.replace(usual, said, 1)
    cluster, told = imported(replace(recorded(partitions=text), groups=groups, host=host))
    assert ("cpu" in cluster.by_partition) == (reason is None)
    assert reason is None or reason in told


def test_a_partition_has_the_fewest_and_the_most_nodes_of_a_job() -> None:
    text = recorded().partitions.replace("MinNodes=0", "MinNodes=3", 1)
    cluster, told = imported(recorded(partitions=text))
    assert cluster.by_partition["cpu"].least_nodes_per_job == 3
    assert "cpu-2" not in cluster.by_partition  # it has two nodes
    _, told = imported(recorded(partitions=text.replace("MinNodes=3", "MinNodes=4")))
    assert "partition cpu is left out: a job there has at least 4 nodes" in told


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("State=DRAIN", "its state is DRAIN"),
        ("RootOnly=YES", "it is only for root"),
        ("ReqResv=YES", "it needs a reservation"),
    ],
)
def test_a_partition_that_is_closed_is_left_out(said: str, reason: str) -> None:
    key = said.partition("=")[0]
    first, _, rest = recorded().partitions.partition("\n")
    old = next(word for word in first.split() if word.startswith(f"{key}="))
    cluster, warnings = imported(recorded(partitions=f"{first.replace(old, said)}\n{rest}"))
    assert "cpu" not in cluster.by_partition
    assert f"partition cpu is left out: {reason}" in warnings


def test_a_cluster_that_is_down_is_an_error() -> None:
    nodes = "".join(
        line.replace("State=IDLE", "State=DOWN*+DRAIN", 1) + "\n"
        for line in recorded().nodes.splitlines()
    )
    with pytest.raises(BackendError, match="no partition has a node on which jobs can start"):
        imported(recorded(nodes=nodes))
    with pytest.raises(BackendError, match="no partition"):
        imported(recorded(nodes="No nodes in the system\n"))


def test_whole_nodes_are_given_where_slurm_selects_them_linearly() -> None:
    config = recorded().config.replace("select/cons_tres", "select/linear")
    cluster, _ = imported(recorded(config=config))
    assert all(p.exclusive for p in cluster.partitions)


@pytest.mark.parametrize(
    ("said", "whole", "told"),
    [
        ("OverSubscribe=EXCLUSIVE", True, ""),
        ("OverSubscribe=NO Exclusive=NODE", True, ""),
        ("OverSubscribe=NO Exclusive=TOPO", True, "a job gets all nodes of a block"),
        ("OverSubscribe=NO ExclusiveTopo=YES", True, "a job gets all nodes of a block"),
        ("OverSubscribe=NO Exclusive=USER", False, "only with those of the same user"),
        ("OverSubscribe=NO ExclusiveUser=YES", False, "only with those of the same user"),
        ("OverSubscribe=NO Exclusive=NO", False, ""),
    ],
)
def test_whole_nodes_in_the_words_of_each_version(said: str, whole: bool, told: str) -> None:
    text = recorded().partitions.replace("ExclusiveUser=NO", "").replace("OverSubscribe=NO", said)
    cluster, warnings = imported(recorded(partitions=text), "cpu")
    cpu = cluster.by_partition["cpu"]
    assert cpu.exclusive == whole
    assert told in f"{warnings} {cpu.note}"


def test_a_limit_of_cpus_on_each_node_is_kept() -> None:
    text = recorded().partitions.replace("MaxCPUsPerNode=UNLIMITED", "MaxCPUsPerNode=12")
    cluster, _ = imported(recorded(partitions=text))
    assert {p.name: p.cores for p in cluster.partitions} == {
        "cpu": 12, "cpu-2": 12, "gpu": 6, "quick": 12,
    }  # fmt: skip


def test_names_of_kinds_do_not_collide_with_partitions() -> None:
    text = recorded().partitions.replace("PartitionName=quick", "PartitionName=cpu-2")
    nodes = recorded().nodes.replace("quick", "cpu-2")
    cluster, _ = imported(recorded(partitions=text, nodes=nodes))
    assert [p.name for p in cluster.partitions] == ["cpu", "cpu-3", "gpu", "cpu-2"]


NODE = (
    "NodeName=a1 Arch=x86_64 CoresPerSocket=32 CPUAlloc=0 {cpus} Gres={gres} NodeAddr=a1 "
    "Version={version} OS=Linux 5.14.0-427.el9 #1 SMP Fri Jan 16 09:29:05 UTC 2026 "
    "RealMemory=515000 AllocMem=0 FreeMem=1 Sockets=2 Boards=1 {spec} State={state} "
    "ThreadsPerCore=2 TmpDisk=0 Partitions=cpu,all BootTime=None Comment=CPUTot=1 State=DOWN"
)


@pytest.mark.parametrize(
    ("cpus", "spec", "cores", "threads"),
    [
        ("CPUTot=128", "", 64, 2),
        ("CPUTot=64", "", 64, 1),  # told to count cores
        ("CPUTot=128", "CoreSpecCount=4 CPUSpecList=0-7", 60, 2),  # before 22.05
        ("CPUEfctv=120 CPUTot=128", "CoreSpecCount=4 CPUSpecList=0-7", 60, 2),
    ],
)
def test_cores_are_physical_and_without_those_of_the_system(
    cpus: str, spec: str, cores: int, threads: int
) -> None:
    line = NODE.format(cpus=cpus, gres="(null)", version="20.11.9", spec=spec, state="IDLE")
    (record,) = read_records(line)
    node = read_node(record)
    assert node.hardware == (cores, threads, 515000, 0)
    assert node.partitions == ("cpu", "all")


@pytest.mark.parametrize(
    ("state", "away"),
    [
        ("IDLE", False),
        ("MIXED+PLANNED", False),
        ("ALLOCATED", False),
        ("IDLE+CLOUD+POWERED_DOWN", False),  # is woken by a job
        ("RESERVED", False),
        ("IDLE+DRAIN", True),
        ("MIXED+DRAIN+MAINTENANCE", True),
        ("DOWN", True),
        ("DOWN*", True),
        ("IDLE*", True),  # does not answer
        ("DOWN+NOT_RESPONDING", True),
        ("FUTURE", True),
    ],
)
def test_states_in_which_no_job_starts_on_a_node(state: str, away: bool) -> None:
    line = NODE.format(cpus="CPUTot=128", gres="(null)", version="24.11.3", spec="", state=state)
    (record,) = read_records(line)
    assert read_node(record).away is away


def test_an_answer_that_is_not_understood_is_told_with_the_node() -> None:
    with pytest.raises(
        BackendError, match="the record of a1 from scontrol cannot be read: 'State'"
    ):
        read_node({"NodeName": "a1", "Sockets": "2", "CoresPerSocket": "1", "CPUTot": "2",
                   "RealMemory": "1"})  # fmt: skip

    text = recorded().partitions.replace("MaxTime=3-00:00:00", "MaxTime=soon")
    with pytest.raises(BackendError, match="the answer of SLURM cannot be read: 'soon'"):
        imported(recorded(partitions=text))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"MinTRES": "node=128"}, "a job must ask for at least node=128"),
        ({"Flags": "NoReserve,RequiresReservation"}, "it needs a reservation"),
        ({"Name": "gpu-interactive"}, "its name contains interactive"),
    ],
)
def test_qos_that_a_plan_should_not_take_by_itself(row: dict[str, str], expected: str) -> None:
    slot = Slot(
        record={"PartitionName": "cpu"},
        kinds=(Partition(name="cpu", nodes=1, cores=1, memory=1),),
    )
    (qos,), _ = qos_of([{"Name": "some", **row}], [slot], None, {})
    assert qos.debug
    assert expected in str(qos.note)


@pytest.mark.parametrize("limit", ["MaxJobsPU|0", "GrpTRES|cpu=0", "MaxWall|00:00:00"])
def test_qos_that_let_nothing_run_are_left_out(limit: str) -> None:
    key, value = limit.split("|")
    rows = read_table(f"Name|{key}\nclosed|{value}\n")
    slot = Slot(
        record={"PartitionName": "cpu"},
        kinds=(Partition(name="cpu", nodes=1, cores=1, memory=1),),
    )
    qos, warnings = qos_of(rows, [slot], None, {})
    assert qos == ()
    assert warnings == (f"QOS closed is left out: with {key}={value} no job can run",)


# The command


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with commands that say what was recorded, and nothing else on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    _command(
        folder / "scontrol",
        f"case $2 in config) cat {ANSWERS}/config.txt;; node) cat {ANSWERS}/nodes.txt;;"
        f" partition) cat {ANSWERS}/partitions.txt;; esac",
    )
    _command(
        folder / "sacctmgr",
        f"case $3 in qos) cat {ANSWERS}/qos.txt;; assoc) cat {ANSWERS}/associations.txt;;"
        f" user) cat {ANSWERS}/user.txt;; esac",
    )
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def _command(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_import_writes_a_file_that_loads_as_the_cluster(commands: Path, tmp_path: Path) -> None:
    file = tmp_path / "mini.toml"
    done = socm("clusters", "import", "--output", file, "--name", "ours")
    assert done.returncode == 0, done.stderr
    assert "warning: QOS gpu: not kept: MaxTRESPU gres/gpu=4" in done.stderr
    assert "# QOS gpu: not kept: MaxTRESPU gres/gpu=4" in file.read_text()
    loaded = load_cluster(str(file))
    checked = loaded.checked
    assert checked is not None
    expected, _ = imported_cluster(recorded(), checked=checked, name="ours")
    assert loaded == expected
    assert socm("clusters", file).returncode == 0


def test_import_prints_the_file_or_json(commands: Path, tmp_path: Path) -> None:
    file = tmp_path / "printed.toml"
    file.write_text(socm("clusters", "import", "--partition", "gpu").stdout)
    assert [p.name for p in load_cluster(str(file)).partitions] == ["gpu"]
    done = socm("clusters", "import", "--json")
    document = json.loads(done.stdout)
    assert done.stderr == ""
    assert document["schema"] == "socm.cluster/1"
    assert "QOS gpu: not kept: MaxTRESPU gres/gpu=4" in document["warnings"]


def test_import_overwrites_a_file_only_if_told_to(commands: Path, tmp_path: Path) -> None:
    file = tmp_path / "mini.toml"
    file.write_text("# mine\n")
    assert socm("clusters", "import", "--output", file).returncode == 2
    assert file.read_text() == "# mine\n"
    assert socm("clusters", "import", "--output", file, "--force").returncode == 0
    assert "[[qos]]" in file.read_text()
    assert socm("clusters", "import", "--output", tmp_path / "mini.json").returncode == 2


def test_import_without_sacctmgrs_answer_has_no_qos(commands: Path) -> None:
    _command(
        commands / "sacctmgr", "echo 'sacctmgr: error: Unable to contact slurmdbd' >&2; exit 1"
    )
    done = socm("clusters", "import")
    assert done.returncode == 0
    assert "[[qos]]" not in done.stdout
    assert "no QOS: `sacctmgr show qos` failed: sacctmgr: error: Unable to contact" in done.stderr


def test_import_where_there_is_no_slurm_says_where_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = socm("clusters", "import")
    assert done.returncode == 5
    assert "there is no scontrol here" in done.stderr
    assert "login nodes" in done.stderr


def test_import_tells_what_scontrol_says_when_it_fails(commands: Path) -> None:
    _command(commands / "scontrol", "echo 'Unable to contact slurm controller' >&2; exit 1")
    done = socm("clusters", "import")
    assert done.returncode == 5
    assert "`scontrol show config` failed: Unable to contact slurm controller" in done.stderr


def test_a_command_that_hangs_is_given_up(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _command(commands / "scontrol", "exec sleep 600")
    monkeypatch.setattr(client, "PATIENCE", 0.2)
    with pytest.raises(BackendUnavailable, match="gave no answer in 0"):
        slurm.ask()


def test_a_qos_without_a_name_is_told() -> None:
    answers = recorded()
    with pytest.raises(BackendError, match="sacctmgr tells of a QOS without a name"):
        imported(replace(answers, qos=str(answers.qos).replace("Name|", "Nome|", 1)))


# Reservations


def reserved(**fields: str) -> str:
    """A line of `scontrol show reservation`."""
    usual = {
        "ReservationName": "upgrade",
        "StartTime": "2026-12-08T06:00:00",
        "EndTime": "2026-12-08T10:00:00",
        "Duration": "04:00:00",
        "Nodes": "f1",
        "Features": "(null)",
        "PartitionName": "(null)",
        "Flags": "MAINT,SPEC_NODES",
        "Users": "root",
        "Accounts": "(null)",
        "State": "INACTIVE",
    }
    return " ".join(f"{key}={value}" for key, value in (usual | fields).items()) + "\n"


def closed_by(*lines: str) -> tuple[tuple[Maintenance, ...], str]:
    answers = recorded(reservations="".join(lines), login="ada")
    cluster, warnings = imported_cluster(answers, checked=TODAY, zone=UTC)
    return cluster.maintenance, "\n".join(warnings)


def test_without_reservations_there_is_no_maintenance() -> None:
    assert closed_by("No reservations in the system\n")[0] == ()


def test_maintenance_is_imported_with_the_nodes_of_each_partition() -> None:
    cluster, _ = imported(recorded())
    sizes = {p.name: p.nodes for p in cluster.partitions}
    names = [read_node(record).name for record in read_records(recorded().nodes)]
    [window], _ = closed_by(reserved(Nodes=",".join(names)))
    assert window.partitions == tuple(sizes)
    assert window.nodes is None
    assert (window.start, window.end) == ("2026-12-08T06:00:00+00:00", "2026-12-08T10:00:00+00:00")
    windows, _ = closed_by(reserved(Nodes="f[1-1]"))
    assert [(w.partitions, w.nodes) for w in windows] == [(("cpu-2",), 1)]


@pytest.mark.parametrize(
    ("fields", "blocks", "told"),
    [
        ({"Flags": "MAINT", "Users": "ada"}, True, ""),
        ({"Flags": "SPEC_NODES", "Users": "bob"}, True, ""),
        ({"Flags": "SPEC_NODES", "Users": "bob,ada"}, False, "reservation upgrade is open to you"),
        ({"Flags": "", "Users": "(null)", "Accounts": "project"}, False, "is open to you"),
        ({"Flags": "", "Users": "-ada"}, True, ""),
        ({"Flags": "", "Users": "-bob"}, False, "is open to you"),
        ({"Flags": "MAINT,WEEKLY"}, True, "is weekly: only the next time is kept"),
        ({"StartTime": "Unknown"}, False, "its times cannot be read"),
        ({"Nodes": "(null)", "Licenses": "maps:2"}, False, ""),
        ({"Nodes": "elsewhere[01-20]"}, False, ""),
    ],
)
def test_what_is_reserved_for_others_is_not_for_us(
    fields: dict[str, str], blocks: bool, told: str
) -> None:
    windows, warnings = closed_by(reserved(**fields))
    assert bool(windows) == blocks
    assert told in warnings
    assert told or "reservation" not in warnings


# What is said of QOS, and the commands that hints name


@pytest.mark.parametrize("listed", ["", "Name|MaxWall\n"])
@pytest.mark.parametrize("associations", ["", "Account|QOS\n"])
def test_where_sacctmgr_lists_no_qos_that_is_all_that_is_said(
    listed: str, associations: str
) -> None:
    cluster, warnings = imported(recorded(qos=listed, associations=associations))
    said = [line for line in warnings.splitlines() if "QOS" in line and "partition " not in line]
    assert said == ["no QOS: sacctmgr lists none, so only the limits of partitions count"]
    assert cluster.qos == ()
    assert cluster.partitions


def test_a_hint_names_a_cluster_by_what_commands_find_it_by(tmp_path: Path) -> None:
    folder = tmp_path / "my clusters"
    folder.mkdir()
    (folder / "own.toml").write_text(
        'name = "mini"\n[[partitions]]\nname = "cpu"\nnodes = 1\ncores-per-node = 2\n'
        'memory-per-node = "1G"\n'
    )
    campaign = folder / "big.yaml"
    campaign.write_text(
        "campaign: {resource: own.toml}\n"
        "stages: {a: {executable: x, resources: {runtime: 1h, threads: 512}}}\n"
    )
    for more in ((), ("--cluster", "tiger3")):
        done = socm("plan", campaign, *more)
        assert done.returncode == 3
        [command] = re.findall(r"`socm (clusters [^`]+)`", " ".join(done.stderr.split()))
        assert socm(*shlex.split(command)).returncode == 0
