"""What is handed to SLURM, and how its answers are read; that of real ones is in tests/slurm."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import share

from socm.config.cluster import load_cluster
from socm.engine.driver import job_of, run_plan
from socm.engine.events import JobState
from socm.engine.state import CampaignState
from socm.errors import BackendUnavailable, SubmitError
from socm.executor.folder import JobFolder, make_run_folder, reusable
from socm.executor.local import LocalExecutor
from socm.executor.machine import this_machine
from socm.executor.processes import ARGUMENTS, PYTHON, SUPERVISOR, supervised_job
from socm.executor.psij import psij_type
from socm.executor.script import job_script, option_lines, sbatch_options
from socm.executor.slurm import client, jobs
from socm.executor.slurm.answers import named_ids, parse_sacct, parse_squeue, submitted_id
from socm.executor.slurm.client import slurm_environment
from socm.executor.slurm.executor import SlurmExecutor
from socm.executor.slurm.jobs import Slurm
from socm.executor.tracker import refuse_what_cannot_run
from socm.model.campaign import Campaign, ResourceRequest, Workflow
from socm.model.cluster import Cluster, Partition
from socm.planner import plan_campaign

ROOT = Path(__file__).parents[1]


def job_for(workflow: Workflow, cluster: Cluster | None = None):  # type: ignore[no-untyped-def]
    plan = plan_campaign(Campaign.of("test", [workflow]), cluster or load_cluster("tiger3"))
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
    options = dict(sbatch_options(job, load_cluster("tiger3"), JobFolder(tmp_path, "a", 1)))
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
    assert options["mem-per-cpu"] == "2M"
    assert "qos" not in options


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


def test_squeue_is_read_whatever_its_reasons_hold() -> None:
    seen = parse_squeue(
        "1|PENDING|ReqNodeNotAvail, Reserved for maintenance|x\n"
        "2|RUNNING|None\n"
        "a line of something else\n"
        "3|TIMEOUT|TimeLimit\n"
        "4|SOMETHING_NEW|None\n"
    )
    assert [(s.state, s.reason) for s in seen.values()] == [
        (JobState.QUEUED, "ReqNodeNotAvail, Reserved for maintenance|x"),
        (JobState.RUNNING, ""),
        (JobState.TIMEOUT, "TimeLimit"),
        (JobState.RUNNING, ""),  # what is not known ends nothing
    ]


def test_sacct_is_read_with_its_steps() -> None:
    seen = parse_sacct(
        "1|FAILED|7:0||2026-11-24T12:00:00\n"
        "1.batch|FAILED|7:0|3000K|2026-11-24T12:00:00\n"
        "1.0|FAILED|7:0|2.50G|2026-11-24T12:00:00\n"
        "2|CANCELLED by 0|0:0||Unknown\n"
        "3|COMPLETED|0:0||Unknown\n"
        "3.0|OUT_OF_MEMORY|0:125||Unknown\n"
        "4|RUNNING|0:0||Unknown\n"
        "4.0|OUT_OF_MEMORY|0:125||Unknown\n"
        "5|FAILED|0:9||Unknown\n"
    )
    assert seen["1"].exit_code == 7
    assert seen["1"].peak_memory == 2560
    assert seen["1"].end is not None
    assert (seen["2"].state, seen["2"].reason) == (JobState.CANCELLED, "CANCELLED by root")
    assert seen["3"].state is JobState.OUT_OF_MEMORY
    assert seen["4"].state is JobState.RUNNING
    assert seen["5"].exit_code is None


def test_an_id_is_digits_and_nothing_else() -> None:
    assert submitted_id("4711\n") == "4711"
    assert submitted_id("4711;tiger3\n") == "4711"
    with pytest.raises(BackendUnavailable):
        submitted_id("Submitted batch job\n")


def test_what_is_said_to_any_command_of_slurm_is_taken_out_of_the_environment() -> None:
    """A user's SINFO_PARTITION hides the other partitions, a job's SLURM_* ask for its nodes."""
    ours = {"SBATCH_QOS": "x", "SLURM_MEM_PER_CPU": "1", "SINFO_PARTITION": "gpu", "SQUEUE_ALL": ""}
    ours |= {"SCONTROL_ALL": "1", "SACCT_FORMAT": "jobid", "SCANCEL_STATE": "PENDING"}
    kept = {"SLURM_CONF": "c", "SLURM_JWT": "j", "PATH": "p", "SLURMISH": "s", "SINFONIA": "5"}
    assert slurm_environment(ours | kept) == kept


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Write commands that stand for SLURM's; what they are given is in the file ``given``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def write(**scripts: str) -> None:
        for name, script in scripts.items():
            path = folder / name
            path.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path}/given\n{script}\n')
            path.chmod(0o755)

    return write


Commands = Callable[..., None]
BANNER = "echo 'Welcome to tiger3'; echo; echo '2 | nodes are down'; echo 12;"
"""What a site's wrapper prints around the answers of SLURM."""


def test_a_banner_is_not_a_job_whichever_command_prints_it(
    commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "SECOND_LOOK", 0.0)
    commands(squeue=BANNER, sacct=BANNER, sinfo=BANNER, sbatch="echo Welcome; echo 17; echo bye")
    slurm = Slurm()
    assert slurm.find("a-1", time.time()) is None
    assert slurm.listed() == slurm.accounted(["17", "Welcome"]) == {}
    assert submitted_id(slurm.sbatch("script")) == "17"
    commands(squeue=f"{BANNER} echo '17|a-1'; {BANNER}", sbatch=BANNER)
    assert slurm.find("a-1", time.time()) == "17"
    commands(squeue=BANNER, sacct=f"{BANNER} echo '18|a-1'; {BANNER}")
    assert slurm.find("a-1", time.time()) == "18"


@given(st.text(), st.lists(st.text(alphabet="0123456789|;\n ab²٣", max_size=20)))
def test_ids_are_digits_whatever_is_printed(name: str, lines: list[str]) -> None:
    text = "\n".join(lines)
    for native_id in [*parse_squeue(text), *parse_sacct(text), *named_ids(text, name)]:
        assert re.fullmatch("[0-9]+", native_id)
    with contextlib.suppress(BackendUnavailable):
        assert re.fullmatch("[0-9]+", submitted_id(text))


def test_no_command_is_told_of_an_id_that_is_not_one(commands: Commands, tmp_path: Path) -> None:
    """As a journal may have it from an earlier version: sacct would refuse all of them."""
    commands(sacct="", scancel="")
    slurm = Slurm()
    slurm.accounted(["17", "Welcome"])
    slurm.accounted(["Welcome"])
    slurm.cancel("Welcome")
    assert (tmp_path / "given").read_text().splitlines() == [
        "sacct -n -P -o JobIDRaw,State,ExitCode,MaxRSS,End -j 17"
    ]


@pytest.mark.parametrize(
    "silence",
    [
        "echo 'error: Unable to contact slurm controller' >&2; exit 1",
        "echo 'Socket timed out on send/recv operation' >&2; exit 1",
        "echo 'error: something new' >&2; exit 1",
        "kill -9 $$",
        "exec sleep 600",
    ],
)
def test_no_answer_is_no_conclusion_whatever_was_asked(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, silence: str
) -> None:
    monkeypatch.setattr(client, "PATIENCE", 0.5)
    commands(**dict.fromkeys(("squeue", "sacct", "scancel", "sinfo"), silence))
    slurm = Slurm()
    for ask in (
        slurm.listed,
        slurm.partitions,
        lambda: slurm.accounted(["17"]),
        lambda: slurm.find("a", time.time()),
        lambda: slurm.cancel("17"),
    ):
        with pytest.raises(BackendUnavailable):
            ask()
    commands(sbatch=silence)
    with pytest.raises(BackendUnavailable):
        slurm.sbatch("script")


POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
FAILED = "sbatch: error: Batch job submission failed: "
HELP = 'Try "sbatch --help" for more information'
IMPOSSIBLE = (
    FAILED + "Requested time limit is invalid (missing or exceeds some limit)",
    FAILED + "Node count specification invalid",
    FAILED + "More processors requested than permitted",
    FAILED + "Invalid feature specification",
    FAILED + "Invalid license specification",
    "sbatch: error: Memory specification can not be satisfied\n"
    f"{FAILED}Requested node configuration is not available",
    "sbatch: error: CPU count per node can not be satisfied\n"
    f"{FAILED}Requested node configuration is not available",
    f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{FAILED}{POLICY}",
    f"sbatch: error: QOSMaxCpuPerUserLimit\n{FAILED}{POLICY}",
    f"sbatch: error: AssocGrpMemLimit\n{FAILED}{POLICY}",
    f"sbatch: error: MaxGRESPerAccount\n{FAILED}{POLICY}",
    f"sbatch: unrecognized option '--nonsense'\n{HELP}",
    "sbatch: error: Invalid --time specification",
    'sbatch: error: "x" is not a valid node count',
    "sbatch: error: Invalid generic resource (gres) specification",
    "sbatch: error: This does not look like a batch script.  The first\n"
    "sbatch: error: line must start with #! followed by the path to an interpreter.",
    "sbatch: error: Batch script contains DOS line breaks (\\r\\n)",
)
DENIED = (
    FAILED + "Invalid account or account/partition combination specified",
    f"sbatch: error: invalid partition specified: zz\n{FAILED}Invalid partition name specified",
    FAILED + "Invalid qos specification",
    FAILED + "User's group not permitted to use this partition",
    FAILED + "Access/permission denied",
    FAILED + "Requested reservation is invalid",
    FAILED + "Requested node configuration is not available",
)
LATER = (
    f"sbatch: error: AssocMaxSubmitJobLimit\n{FAILED}{POLICY}",
    f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{FAILED}{POLICY}",
    f"sbatch: error: QOSGrpSubmitJobsLimit\n{FAILED}{POLICY}",
    f"sbatch: error: MaxSubmitJobsPerAccount\n{FAILED}{POLICY}",
    FAILED + POLICY,
    FAILED + "Slurm backup controller in standby mode",
    FAILED + "Required partition not available (inactive or drain)",
    FAILED + "Requested nodes are busy",
    FAILED + "Job/step submission currently disabled",
    "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
    "sbatch: error: RPC rate limit exceeded 30 times with rl_bucket_size\n"
    f"{FAILED}Resource temporarily unavailable",
)
UNKNOWN = (
    FAILED + "Socket timed out on send/recv operation",
    FAILED + "Unable to contact slurm controller (connect failure)",
    FAILED + "Zero Bytes were transmitted or received",
    FAILED + "I/O error writing script/environment to file",
    FAILED + "Unspecified error",
    FAILED + "Slurm database connection failure",
    FAILED + "Stale file handle",
    FAILED + "Job credential revoked",
    FAILED + "Address already in use",
    FAILED + "Invalid user id",
    "sbatch: error: Invalid user for SlurmUser slurm, ignored\n"
    "sbatch: fatal: Unable to process configuration file",
    "sbatch: error: If munged is up, restart with --num-threads=10\n"
    'sbatch: error: Munge encode failed: Failed to access "/run/munge/munge.socket.2"\n'
    f"{FAILED}Protocol authentication error",
    "sbatch: error: resolve_ctls_from_dns_srv: res_nsearch error: Host name lookup failure\n"
    "sbatch: fatal: Could not establish a configuration source",
    "sbatch: error: Unable to open file /runs/jobs/a/1/script.sh",
    "sbatch: error: lua: ask for the architecture",
    f"sbatch: error: invalid account 'x', yours is used instead\n{FAILED}Zero Bytes were received",
    "sbatch: warning: Access/permission denied to a burst buffer",
    "Welcome! --qos=long is not a valid choice on Tuesdays",
    "",
)


@pytest.mark.parametrize("said", IMPOSSIBLE)
def test_what_slurm_never_accepts_is_refused_for_good(commands: Commands, said: str) -> None:
    commands(sbatch=f"cat >&2 << 'END'\n{said}\nEND\nexit 1")
    with pytest.raises(SubmitError) as raised:
        Slurm().sbatch("script")
    assert not raised.value.transient
    assert "sbatch: error:" not in raised.value.message


@pytest.mark.parametrize("said", DENIED)
def test_what_a_controller_may_not_know_yet_is_tried_a_few_times(
    commands: Commands, said: str
) -> None:
    """Just started, it has neither the accounts of slurmdbd nor all nodes."""
    commands(sbatch=f"cat >&2 << 'END'\n{said}\nEND\nexit 1")
    slurm = Slurm()
    for again in (True, True, False):
        with pytest.raises(SubmitError) as raised:
            slurm.sbatch("script")
        assert raised.value.transient is again
    with pytest.raises(SubmitError) as raised:
        slurm.sbatch("of another job")
    assert raised.value.transient


@pytest.mark.parametrize("said", LATER)
def test_what_passes_is_never_refused_for_good(commands: Commands, said: str) -> None:
    commands(sbatch=f"cat >&2 << 'END'\n{said}\nEND\nexit 1")
    slurm = Slurm()
    for _ in range(5):
        with pytest.raises(SubmitError) as raised:
            slurm.sbatch("script")
        assert raised.value.transient


@pytest.mark.parametrize("code", [1, 137, 255])
@pytest.mark.parametrize("said", UNKNOWN)
def test_whatever_else_sbatch_says_there_may_be_a_job(
    commands: Commands, said: str, code: int
) -> None:
    """Also where it was killed after SLURM had taken the job, and a wrapper reports that."""
    commands(sbatch=f"cat >&2 << 'END'\n{said}\nEND\nexit {code}")
    with pytest.raises(BackendUnavailable):
        Slurm().sbatch("script")


def test_what_is_over_is_left_alone_by_a_cancellation(commands: Commands) -> None:
    for said in ("error on job id 17: Invalid job id", "Job/step already completing or completed"):
        commands(scancel=f"echo 'scancel: error: {said}' >&2; exit 1")
        Slurm().cancel("17")
    commands(scancel="echo 'Access/permission denied' >&2; exit 1")
    with pytest.raises(BackendUnavailable, match="`scancel 17` failed: Access/permission denied"):
        Slurm().cancel("17")


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
    assert supervised_job(words) == (words[4] if ours else None)
    assert supervised_job([*PYTHON, *words]) == (words[0] if len(words) == ARGUMENTS else None)


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


def test_without_slurm_no_conclusion_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackendUnavailable, match="there is no sbatch here"):
        Slurm().sbatch("script")
    backend = SlurmExecutor(tmp_path, load_cluster("tiger3"), 0.0, poll_interval=0.01)
    job = job_for(a())
    backend.attach(job, "17")
    assert list(backend.wait(backend.now() + 0.1)) == []
    assert backend.outage is not None
    with pytest.raises(BackendUnavailable):
        backend.find(job)


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
