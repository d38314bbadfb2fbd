"""Import of a cluster from a SLURM that runs."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from mini_slurm import MiniSlurm
from slurm_conf import Nodes
from test_cli import socm
from test_clusters import TODAY, imported, recorded

from socm.config import load_cluster
from socm.exchange.slurm import ask, imported_cluster
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.qos import Qos
from socm.units import HOUR, MINUTE

pytestmark = pytest.mark.slurm


def use(cluster: MiniSlurm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it the SLURM of this process."""
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    monkeypatch.setenv("PATH", cluster.env["PATH"])


def import_file(path: Path) -> Cluster:
    done = socm("clusters", "import", "--output", path)
    assert done.returncode == 0, done.stderr
    return load_cluster(str(path))


def test_the_file_has_the_figures_of_the_cluster(
    slurm: MiniSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(slurm, monkeypatch)
    cluster = import_file(tmp_path / "mini.toml")
    cpu, large, gpu, quick = cluster.partitions
    assert (cpu.nodes, cpu.cores, cpu.memory) == (3, 16, 60000)  # one of four is drained
    assert (large.name, large.nodes, large.memory) == ("cpu-2", 2, 252000)
    assert (gpu.cores, gpu.threads_per_core, gpu.gpus, gpu.exclusive) == (8, 2, 4, True)
    assert (gpu.walltime, quick.walltime) == (12 * HOUR, 30 * MINUTE)
    short = cluster.by_qos["short"]
    assert (short.walltime, short.running_jobs, short.cores) == (5 * HOUR, 20, 64)
    assert "other" not in cluster.by_qos


def test_what_was_recorded_is_what_slurm_says(
    slurm: MiniSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The recorded answers that other tests rest on are those of this cluster."""
    use(slurm, monkeypatch)
    now, told_now = imported_cluster(ask(), checked=TODAY)
    then, told_then = imported(recorded())

    def without_source(cluster: Cluster) -> Cluster:
        return replace(
            cluster,
            source=None,
            partitions=tuple(replace(p, source=None) for p in cluster.partitions),
            qos=tuple(replace(q, source=None) for q in cluster.qos),
        )

    assert without_source(now) == without_source(then)
    assert "\n".join(told_now) == told_then


def accepts(cluster: MiniSlurm, partition: Partition, qos: Qos, **changes: int) -> bool:
    """Whether SLURM takes a job of one node with all that a partition and a QOS allow."""
    limits = [limit for limit in (partition.walltime, qos.walltime) if limit]
    cores = min(partition.cores, qos.cores or partition.cores)
    asked = {
        "time": min(limits) // MINUTE,
        "nodes": 1,
        "cpus-per-task": cores * partition.threads_per_core,
        "mem": partition.memory,
        **changes,
    }
    options = [f"--{key}={value}" for key, value in asked.items()]
    options += [f"--partition={partition.name.removesuffix('-2')}", f"--qos={qos.name}"]
    done = subprocess.run(
        ["sbatch", "--test-only", "--ntasks=1", *options, "--wrap=true"],
        env=cluster.env, cwd=cluster.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode == 0


def test_slurm_takes_what_the_imported_cluster_allows_and_no_more(
    slurm: MiniSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(slurm, monkeypatch)
    cluster = import_file(tmp_path / "mini.toml")
    allowed = [(partition.name, qos.name) for partition, qos in cluster.pairs()]
    assert len(allowed) == 15
    for partition in cluster.partitions:
        for qos in cluster.qos:
            pair = f"{qos.name} on {partition.name}"
            if (partition.name, qos.name) not in allowed:
                assert not accepts(slurm, partition, qos), pair
                continue
            assert accepts(slurm, partition, qos), pair
            limits = [limit for limit in (partition.walltime, qos.walltime) if limit]
            assert not accepts(slurm, partition, qos, time=min(limits) // MINUTE + 1), pair
            if partition.name != "cpu":  # there SLURM would take a larger node of cpu-2
                assert not accepts(slurm, partition, qos, mem=partition.memory + 1), pair


def test_without_accounting_there_are_partitions_and_no_qos(
    plain_slurm: MiniSlurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(plain_slurm, monkeypatch)
    done = socm("clusters", "import", "--output", tmp_path / "mini.toml")
    assert done.returncode == 0
    assert "no QOS: this SLURM has no accounting" in done.stderr
    cluster = load_cluster(str(tmp_path / "mini.toml"))
    assert cluster.qos == ()
    assert {p.name: p.nodes for p in cluster.partitions} == {
        "cpu": 4, "cpu-2": 2, "gpu": 2, "quick": 2,
    }  # fmt: skip


def test_a_controller_that_is_away_is_an_error_of_the_cluster(
    plain_slurm: MiniSlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(plain_slurm, monkeypatch)
    plain_slurm.end("slurmctld")
    try:
        done = socm("clusters", "import")
    finally:
        plain_slurm.launch("slurmctld")
        plain_slurm.wait_until_idle()
    assert done.returncode == 5
    assert "scontrol" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_of_a_cluster_is_left_when_it_is_stopped(plain_slurm: MiniSlurm) -> None:
    with MiniSlurm(nodes=[Nodes(count=1)]) as cluster:
        job = cluster.run("sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 600").strip()
        cluster.wait_for(lambda: cluster.run("squeue", "-h", "-j", job, "-o", "%t") == "R\n")
        assert cluster.processes()
    assert cluster.processes() == []
    assert not cluster.folder.exists()
    assert plain_slurm.processes()  # another cluster is not touched
