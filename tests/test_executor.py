"""What is handed to SLURM, and how its answers are read; that of real ones is in tests/slurm."""

from __future__ import annotations

import errno
import gc
import json
import os
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from builders import TIGER
from hypothesis import given
from hypothesis import strategies as st
from strategies import share

from socm.config.cluster import load_cluster
from socm.engine.driver import job_of, run_plan
from socm.engine.events import JobState
from socm.engine.state import CampaignState
from socm.errors import SubmitError
from socm.executor.folder import JobFolder, make_run_folder, reusable
from socm.executor.local import LocalExecutor
from socm.executor.processes import ARGUMENTS, PYTHON, SUPERVISOR, supervised_job
from socm.executor.psij import psij_type
from socm.executor.script import job_script, option_lines, sbatch_options
from socm.executor.slurm.executor import SlurmExecutor
from socm.executor.tracker import refuse_what_cannot_run
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster
from socm.model.demand import Demand
from socm.model.machine import this_machine
from socm.model.partition import Partition
from socm.model.placement import Placement
from socm.planner import plan_campaign

ROOT = Path(__file__).parents[1]


def job_for(workflow: Workflow, cluster: Cluster | None = None):  # type: ignore[no-untyped-def]
    plan = plan_campaign(Campaign.of("test", [workflow]), cluster or load_cluster(TIGER))
    state = CampaignState.of(plan)
    return job_of(plan, workflow.name, state.workflows[workflow.name], "test", 0)


def a(*command: str, **more: object) -> Workflow:
    request = ResourceRequest(runtime=60, **more.pop("request", {}))  # type: ignore[arg-type]
    return Workflow(name="a", command=command or ("true",), request=request, **more)  # type: ignore[arg-type]


def test_psij_is_the_version_whose_methods_are_overridden() -> None:
    """Two of them are private to it: another version may not call them."""
    from psij.executors.batch.slurm import SlurmJobExecutor

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"psij-python=={version('psij-python')}" in project["dependencies"]
    assert hasattr(SlurmJobExecutor, "_start_queue_poll_thread")
    assert hasattr(SlurmJobExecutor, "_run_command")


def test_the_options_are_those_of_the_plan(tmp_path: Path) -> None:
    request = {"ranks": 130, "threads": 2, "memory": 1000, "account": "simonsobs"}
    job = job_for(a(request=request))
    options = dict(sbatch_options(job, load_cluster(TIGER), JobFolder(tmp_path, "a", 1)))
    assert options["nodes"] == 3
    assert options["ntasks"] == 130
    assert options["cpus-per-task"] == 2
    assert options["mem-per-cpu"] == "4M"  # 1000 MB / 260, rounded up
    assert (options["partition"], options["qos"]) == ("cpu", "vshort")
    assert options["account"] == "simonsobs"
    assert options["time"] == "0-00:02:00"
    assert options["job-name"] == "test-a-1"
    assert "no-requeue" in options


def test_a_partition_is_called_what_slurm_calls_it(tmp_path: Path) -> None:
    fat = Partition(name="cpu-2", slurm_name="cpu", nodes=1, cores=8, threads_per_core=2, memory=99)
    cluster = Cluster(name="two", partitions=(fat,))
    job = job_for(a(request={"threads": 3, "memory": 10}), cluster)
    options = dict(sbatch_options(job, cluster, JobFolder(tmp_path, "a", 1)))
    assert options["partition"] == "cpu"
    assert options["cpus-per-task"] == 6  # SLURM counts hardware threads
    assert options["mem"] == "10M"
    assert "qos" not in options


@given(st.data())
def test_what_a_node_holds_by_plan_it_holds_by_the_options(data: st.DataObject) -> None:
    """To the MB: or a job that fills its nodes would be refused, or two would not run together."""
    threads, on_nodes = (
        data.draw(st.integers(1, 9)),
        data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)),
    )
    per_core = data.draw(st.integers(1, 3))
    ranks, memory = sum(on_nodes), data.draw(st.integers(1, 10**6))
    demand = Demand(ranks=ranks, threads=threads, memory=memory)
    cores = max(on_nodes) * threads
    load = -(-max(on_nodes) * memory // ranks)
    spare = data.draw(st.sampled_from([0, 1, 1000]))
    node = max(load + spare, cores * per_core)
    partition = Partition(name="cpu", nodes=9, cores=cores, memory=node, threads_per_core=per_core)
    cluster = Cluster(name="one", partitions=(partition,))
    placements = tuple(Placement("cpu", k, r) for k, r in enumerate(on_nodes))
    job = replace(job_for(a(), cluster), demand=demand, placements=placements)
    options = dict(sbatch_options(job, cluster, JobFolder(Path("/run"), "a", 1)))
    cpus = threads * per_core
    if "mem" in options:
        assert len(set(on_nodes)) == 1
        assert (
            int(options["mem"].removesuffix("M")) == demand.load(on_nodes[0], partition.node).memory
        )
        if len(on_nodes) > 1:
            assert options["ntasks-per-node"] == on_nodes[0]
    else:
        of_cpu = int(options["mem-per-cpu"].removesuffix("M"))
        assert of_cpu * cpus * max(on_nodes) <= node
        assert abs(of_cpu * cpus * ranks - memory) < cpus * ranks
        if len(set(on_nodes)) == 1:
            assert of_cpu * cpus * ranks == memory


@pytest.mark.parametrize("value", ['a"b', "a'b", "a\\b", "50%", "a#b", "a\nb"])
def test_what_slurm_would_take_apart_is_refused(value: str) -> None:
    with pytest.raises(SubmitError, match="SLURM does not accept"):
        list(option_lines([("output", value)]))
    assert list(option_lines([("output", "a b")])) == ['#SBATCH --output="a b"']


@share(0.3)
@given(
    st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), max_size=4),
    st.text(st.characters(exclude_characters="\0", codec="utf-8")),
)
def test_arguments_and_values_are_never_looked_into(words: list[str], value: str) -> None:
    code = (
        "import json,os,sys; sys.stdout.reconfigure(errors='surrogateescape'); "
        "print(json.dumps([sys.argv[1:], os.environ['VALUE']]))"
    )
    with TemporaryDirectory() as folder:
        run = Path(folder)
        make_run_folder(run)
        job = job_for(a(sys.executable, "-c", code, *words, environment={"VALUE": value}))
        place = JobFolder(run, "a", 1)
        place.make(job_script(job, place, local=True), {})
        done = subprocess.run(["bash", place.script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [words, value]
        result = place.read_result()
        assert result is not None
        assert (result.exit_code, result.ranks_well) == (0, 1)


def test_a_script_runs_once_whoever_starts_it_again(tmp_path: Path) -> None:
    make_run_folder(tmp_path)
    job = job_for(a("sh", "-c", "exit 5"))
    place = JobFolder(tmp_path, "a", 1)
    place.make(job_script(job, place, local=True), {})
    assert subprocess.run(["bash", place.script], check=False).returncode == 5
    before = place.result.read_text()
    again = subprocess.run(["bash", place.script], capture_output=True, text=True, check=False)
    assert again.returncode == 125
    assert "already started" in again.stderr
    assert place.result.read_text() == before


def test_what_cannot_run_is_refused_before_it_is_handed_in(tmp_path: Path) -> None:
    for workflow, why in (
        (Workflow(name="a", request=ResourceRequest(runtime=60)), "no command"),
        (a(directory=str(tmp_path / "nowhere")), "there is no folder"),
        (a(environment={"A B": "c"}), "is not a valid name of a variable"),
        (a("echo", "a\0b"), "NUL"),
        (a(setup=("echo a\0b",)), "NUL"),
        (a("echo", "a\ud800b"), "has half a character"),
        (a(environment={"A": "\ud800"}), "has half a character"),
    ):
        with pytest.raises(SubmitError, match=why) as raised:
            refuse_what_cannot_run(job_for(workflow))
        assert not raised.value.transient


def test_an_end_is_not_before_its_start_though_clocks_differ(tmp_path: Path) -> None:
    """SLURM counts whole seconds, and a node's clock may be ahead or behind."""
    make_run_folder(tmp_path)
    job = job_for(a())
    for start, end in ((100.7, 100.0), (100.0, 100.0), (50.0, 200.0), (10**9, 5.0)):
        executor = SlurmExecutor(tmp_path, load_cluster("tiger3"), time.time() - 300)
        tracked = executor.track(job, "17")
        tracked.folder.started.write_text(f"17 {executor.epoch + start} n1\n")
        begun, over = executor.end(tracked, JobState.CANCELLED, moment=executor.epoch + end)
        assert 0 <= begun.time <= over.time <= executor.now()


def test_a_clock_that_is_set_back_does_not_set_the_run_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = SlurmExecutor(tmp_path, load_cluster("tiger3"), time.time())
    before, real = executor.now(), time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    assert executor.now() >= before


# Processes of this machine


@given(st.lists(st.text(max_size=5) | st.sampled_from(PYTHON[1:]), max_size=9))
def test_any_process_may_be_met_and_only_supervisors_are_taken_for_such(words: list[str]) -> None:
    """An editor of the supervisor's file, a search for it, a command line that ends with it."""
    ours = len(words) == 4 + ARGUMENTS and words[1:4] == PYTHON[1:]
    assert supervised_job(words) == (words[5] if ours else None)
    assert supervised_job([*PYTHON, *words]) == (words[1] if len(words) == ARGUMENTS else None)


def test_a_process_that_ends_with_the_path_of_the_supervisor_does_no_harm(tmp_path: Path) -> None:
    bystander = subprocess.Popen(["tail", "-f", SUPERVISOR], stdout=subprocess.DEVNULL)
    try:
        make_run_folder(tmp_path)
        executor = LocalExecutor(tmp_path, this_machine(), time.time())
        assert executor.find(job_for(a(), this_machine())) is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_job_that_cannot_be_started_just_now_is_started_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many processes: it waits. No such program: it has failed."""
    make_run_folder(tmp_path)
    real, left = os.posix_spawn, [errno.EAGAIN, errno.EAGAIN]

    def refused(*arguments: Any, **more: Any) -> int:
        if left:
            raise OSError(left[0], os.strerror(left.pop()))
        return real(*arguments, **more)

    monkeypatch.setattr(os, "posix_spawn", refused)
    executor = LocalExecutor(tmp_path, this_machine(), time.time())
    executor.submit(job_for(a(), this_machine()))
    executor.poll()
    assert "cannot be started" in executor.waiting()["a"]
    assert [u.state for u in executor.wait()] == [JobState.RUNNING]
    assert [u.state for u in executor.wait()] == [JobState.COMPLETED]
    left.append(errno.ENOENT)
    executor.submit(replace(job_for(a(), this_machine()), attempt=2, name="test-a-2"))
    assert [u.state for u in executor.wait()] == [JobState.FAILED]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_another_executor_of_psij_is_passed_through(tmp_path: Path) -> None:
    """Its own local one: which SLURM is not, and which has no supervisor of ours."""
    work = [
        a("sh", "-c", "echo $SOCM_WORKFLOW"),
        Workflow(name="b", command=("false",), request=ResourceRequest(runtime=60)),
        Workflow(name="c", command=("true",), request=ResourceRequest(runtime=60), depends=("b",)),
    ]
    plan = plan_campaign(Campaign.of("test", work), load_cluster("tiger3"))
    make_run_folder(tmp_path)
    backend = psij_type("local")(tmp_path, plan.cluster, time.time())
    state = run_plan(plan, backend, job_prefix="test")
    found = {name: progress.status.value for name, progress in state.workflows.items()}
    assert found == {"a": "completed", "b": "failed", "c": "skipped"}
    assert (tmp_path / "jobs/a/1/stdout").read_text() == "a\n"
    del backend
    gc.collect()  # PSI/J leaves pipes open, whose warnings would be taken for another test's


def test_outputs_that_are_newer_than_the_inputs_save_a_run(tmp_path: Path) -> None:
    (tmp_path / "in").touch()
    (tmp_path / "out").touch()
    workflow = a(outputs=("out",), inputs=(str(tmp_path / "in"),), directory=str(tmp_path))
    assert reusable(workflow)
    os.utime(tmp_path / "out", (1, 1))
    assert not reusable(workflow)
    assert not reusable(a(outputs=("nothing",), directory=str(tmp_path)))
    assert not reusable(a(directory=str(tmp_path)))
    assert not reusable(a(outputs=("out",)))  # in a folder that is always new
