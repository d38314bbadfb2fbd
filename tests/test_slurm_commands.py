"""What SLURM's commands are given and how their answers are read; real ones are in tests/slurm."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import job, plan_of
from hypothesis import given
from hypothesis import strategies as st

from socm.engine.events import JobState
from socm.errors import BackendUnavailable, ConfigError, SubmitError
from socm.executor.slurm import client, jobs
from socm.executor.slurm.answers import SEPARATOR, parse_sacct, parse_squeue, submitted_id
from socm.executor.slurm.client import sbatch_at_work, slurm_environment
from socm.executor.slurm.executor import SlurmExecutor
from socm.executor.slurm.jobs import Slurm
from socm.executor.slurm.refusals import TESTED, key_of


def rows(*lines: str) -> str:
    """Return lines with the separator of columns that is asked for."""
    return "".join(f"{line}\n" for line in lines).replace("|", SEPARATOR)


def test_squeue_is_read_whatever_its_reasons_hold() -> None:
    text = rows(
        "1|PENDING|T|a|/a b.sh||ReqNodeNotAvail, Reserved for maintenance:x",
        "2|RUNNING|T|b|(null)|cn[1-2]|None",
        "a line of something else",
        "3|TIMEOUT|T|c|/c.sh||TimeLimit",
        "4|SOMETHING_NEW|T|d|/d.sh||None",
        "5|PENDING|T|e|/e.sh||JobHeldAdmin",
        "6|SUSPENDED|T|f|/f.sh||None",
        "7|REQUEUE_HOLD|T|g|/g.sh||JobHeldUser",
    )
    seen = parse_squeue(text.replace(":x", "|x"))
    assert [(s.state, s.reason) for s in seen.values()] == [
        (JobState.QUEUED, "ReqNodeNotAvail, Reserved for maintenance|x"),
        (JobState.RUNNING, ""),
        (JobState.TIMEOUT, "TimeLimit"),
        (JobState.RUNNING, ""),  # what is not known ends nothing
        (JobState.QUEUED, "held by an administrator (JobHeldAdmin)"),
        (JobState.RUNNING, "suspended"),
        (JobState.QUEUED, "held by its user (JobHeldUser)"),
    ]
    assert seen["2"].nodes == ("cn1", "cn2")
    assert (seen["1"].name, seen["1"].script, seen["1"].submitted) == ("a", "/a b.sh", "T")


def test_sacct_is_read_with_its_steps() -> None:
    seen = parse_sacct(
        rows(
            "1|FAILED|7:0||2026-11-24T12:00:00|T|a",
            "1.batch|FAILED|7:0|3000K|2026-11-24T12:00:00|T|batch",
            "1.0|FAILED|7:0|2.50G|2026-11-24T12:00:00|T|sh",
            "2|CANCELLED by 0|0:0||Unknown|T|b",
            "3|COMPLETED|0:0||Unknown|T|c",
            "3.0|OUT_OF_MEMORY|0:125||Unknown|T|sh",
            "4|RUNNING|0:0||Unknown|T|d",
            "4.0|OUT_OF_MEMORY|0:125||Unknown|T|sh",
            "5|FAILED|0:9||Unknown|T|e",
        )
    )
    [[one], [two], [three], [four], [five]] = seen.values()
    assert (one.exit_code, one.peak_memory, one.name) == (7, 2560, "a")
    assert one.end is not None
    assert (two.state, two.reason) == (JobState.CANCELLED, "CANCELLED by root")
    assert three.state is JobState.OUT_OF_MEMORY
    assert four.state is JobState.RUNNING
    assert five.exit_code is None


def test_an_id_that_was_used_again_has_several_records() -> None:
    """Of a job that was requeued, and of another one after a cold start of the controller."""
    seen = parse_sacct(
        rows(
            "7|CANCELLED by 0|0:0||Unknown|2026-11-28T11:03:22|thesis",
            "7|REQUEUED|0:0||2026-11-28T11:02:59|2026-11-28T11:02:56|b",
            "7.batch|CANCELLED|0:15|3112K|2026-11-28T11:02:59|2026-11-28T11:02:56|batch",
            "7|CANCELLED|0:0||2026-11-28T11:03:03|2026-11-28T11:02:59|b",
        )
    )
    assert [(r.name, r.state, r.peak_memory) for r in seen["7"]] == [
        ("b", JobState.QUEUED, 3),
        ("b", JobState.CANCELLED, None),
        ("thesis", JobState.CANCELLED, None),
    ]


def test_an_id_is_digits_and_nothing_else() -> None:
    assert submitted_id("4711\n") == "4711"
    assert submitted_id("4711;tiger3\n") == "4711"
    with pytest.raises(BackendUnavailable):
        submitted_id("Submitted batch job\n")


def test_what_is_said_to_any_command_of_slurm_is_taken_out_of_the_environment() -> None:
    """A user's SINFO_PARTITION hides the other partitions, a job's SLURM_* ask for its nodes."""
    ours = {"SBATCH_QOS": "x", "SLURM_MEM_PER_CPU": "1", "SINFO_PARTITION": "gpu", "SQUEUE_ALL": ""}
    ours |= {"SCONTROL_ALL": "1", "SACCT_FORMAT": "jobid", "SCANCEL_STATE": "PENDING"}
    ours |= {"SLURM_TIME_FORMAT": "%s", "SLURM_CLUSTERS": "all", "SQUEUE_FORMAT": "%i"}
    kept = {"SLURM_CONF": "c", "SLURM_JWT": "j", "PATH": "p", "SLURMISH": "s", "SINFONIA": "5"}
    assert slurm_environment(ours | kept, "sbatch") == kept
    assert slurm_environment(ours | kept | {"LC_ALL": "de_DE"}, "squeue") == {**kept, "LC_ALL": "C"}


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
    assert slurm.listed() == slurm.accounted("-j", "17") == {}
    assert submitted_id(slurm.sbatch("script")) == "17"
    listed = rows("17|PENDING|T|a-1|/a.sh||Priority")
    commands(squeue=f"{BANNER} echo '{listed}'; {BANNER}", sbatch=BANNER)
    assert slurm.find("a-1", time.time()) == "17"
    recorded = rows("18|COMPLETED|0:0||Unknown|T|a-1")
    commands(squeue=BANNER, sacct=f"{BANNER} echo '{recorded}'; {BANNER}")
    assert slurm.find("a-1", time.time()) == "18"


@given(
    st.lists(
        st.lists(st.sampled_from(["17", "²", "FAILED", "0:0", "9" * 400 + "G", "", "a b", "7.0"])
                 | st.text(max_size=5), min_size=4, max_size=8)
    )
)  # fmt: skip
def test_ids_are_digits_whatever_is_printed(table: list[list[str]]) -> None:
    text = "\n".join(SEPARATOR.join(row) for row in table)
    for native_id in [*parse_squeue(text), *parse_sacct(text)]:
        assert re.fullmatch("[0-9]+", native_id)
    with contextlib.suppress(BackendUnavailable):
        assert re.fullmatch("[0-9]+", submitted_id(text.replace(SEPARATOR, "\n")))


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
        lambda: slurm.accounted("-j", "17"),
        lambda: slurm.find("a", time.time()),
        lambda: slurm.cancel(["17"]),
    ):
        with pytest.raises(BackendUnavailable):
            ask()
    commands(sbatch=silence)
    with pytest.raises(BackendUnavailable):
        slurm.sbatch("script")


def test_a_sinfo_that_prints_nothing_does_not_say_that_a_partition_is_missing(
    commands: Commands,
) -> None:
    commands(sinfo="exit 0")
    with pytest.raises(BackendUnavailable, match="`sinfo` lists no partition"):
        Slurm().partitions()


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
NO_NODES = FAILED + "Requested node configuration is not available"
DENIED = (
    FAILED + "Invalid account or account/partition combination specified",
    f"sbatch: error: invalid partition specified: zz\n{FAILED}Invalid partition name specified",
    FAILED + "Invalid qos specification",
    FAILED + "User's group not permitted to use this partition",
    FAILED + "Access/permission denied",
    FAILED + "Requested reservation is invalid",
    NO_NODES,
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


def as_tested(said: str) -> str:
    """What sbatch --test-only says of it."""
    return said.replace(FAILED, f"{TESTED}: ")


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


@pytest.mark.parametrize("said", [s for s in (*IMPOSSIBLE, *DENIED) if s != NO_NODES])
def test_what_would_be_refused_is_known_before(commands: Commands, said: str) -> None:
    commands(sbatch=f"cat >&2 << 'END'\n{as_tested(said)}\nEND\nexit 1")
    words = Slurm().refusal_of("--nodes=1")
    assert words
    assert all(words.count(mark) == 0 for mark in ("sbatch: ", "allocation failure", "\n"))
    assert key_of(words).startswith("`")


@pytest.mark.parametrize("said", [*LATER, NO_NODES])
def test_what_passes_is_no_refusal_before_either(commands: Commands, said: str) -> None:
    """Nor that all nodes that would do are drained just now."""
    commands(sbatch=f"cat >&2 << 'END'\n{as_tested(said)}\nEND\nexit 1")
    assert Slurm().refusal_of("--nodes=1") is None


@pytest.mark.parametrize("said", UNKNOWN)
def test_what_is_not_understood_is_no_answer_before_either(commands: Commands, said: str) -> None:
    commands(sbatch=f"cat >&2 << 'END'\n{as_tested(said)}\nEND\nexit 1")
    with pytest.raises(BackendUnavailable, match="--test-only"):
        Slurm().refusal_of("--nodes=1")


def test_each_distinct_request_is_asked_once_and_all_refusals_are_told(commands: Commands) -> None:
    commands(
        sinfo="echo cpu",
        sbatch='case "$*" in *--time=0-09*) word=time;; *--cpus-per-task=3*) word=cpu;; esac\n'
        f'test -z "$word" || {{ echo "{TESTED}: Invalid qos specification $word" >&2; exit 1; }}',
    )
    plan = plan_of(
        [
            *(job(f"good-{k}") for k in range(3)),
            *(job(f"long-{k}", minutes=360) for k in range(2)),
            job("wide", threads=3),
        ]
    )
    with pytest.raises(ConfigError) as raised:
        SlurmExecutor(Path("/nowhere"), plan.cluster, 0.0).check(plan)
    keys = "`qos` and `account` in its resources, in the campaign or in the cluster file"
    assert [str(problem) for problem in raised.value.problems] == [
        f"SLURM refuses what is asked for {who}: Invalid qos specification {what}; look at {keys}"
        for who, what in (("long-0 and long-1", "time"), ("wide", "cpu"))
    ]
    asked = (Path(os.environ["PATH"].partition(":")[0]).parent / "given").read_text()
    assert asked.count("--test-only") == 3
    assert not Path("/nowhere").exists()


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
        Slurm().cancel(["17", "18"])
    commands(scancel="echo 'Access/permission denied' >&2; exit 1")
    with pytest.raises(BackendUnavailable, match="`scancel` failed: Access/permission denied"):
        Slurm().cancel(["17"])


def test_what_a_wrapper_has_started_ends_with_it(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An sbatch that goes on after it was given up would submit the job later."""
    monkeypatch.setattr(client, "PATIENCE", 0.5)
    commands(sbatch=f"(sleep 600; touch {tmp_path}/late) & echo $! > {tmp_path}/pid; wait")
    with pytest.raises(BackendUnavailable, match=r"gave no answer in 0\.5 s"):
        Slurm().sbatch("script")
    pid = int((tmp_path / "pid").read_text())
    while Path(f"/proc/{pid}").exists() and not is_zombie(pid):
        time.sleep(0.01)


def is_zombie(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_an_sbatch_that_outlived_its_socm_is_noticed(commands: Commands, tmp_path: Path) -> None:
    """Whatever wraps it; and who only looks at the script is no sbatch."""
    script = tmp_path / "script.sh"
    script.touch()
    commands(sbatch="sleep 600 & wait")
    assert sbatch_at_work(script) is None
    viewer = subprocess.Popen(["tail", "-f", script], start_new_session=True)
    try:
        assert sbatch_at_work(script) is None
        path = tmp_path / "bin" / "sbatch"
        sbatch = subprocess.Popen([path, "--parsable", script], start_new_session=True)
        try:
            while sbatch_at_work(script) is None:
                time.sleep(0.01)
            assert sbatch_at_work(script) == sbatch.pid
            assert sbatch_at_work(tmp_path / "another.sh") is None
        finally:
            os.killpg(sbatch.pid, 9)
            sbatch.wait()
    finally:
        viewer.kill()
        viewer.wait()


@pytest.mark.parametrize(
    "refusal", ["Too wide of a date range in query", "Access/permission denied"]
)
def test_where_sacct_tells_nothing_the_controller_tells_whether_there_is_a_job(
    commands: Commands, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    monkeypatch.setattr(jobs, "SECOND_LOOK", 0.0)
    commands(squeue="true", sacct=f"echo 'sacct: error: {refusal}' >&2; exit 1")
    slurm = Slurm()
    assert slurm.find("a-1", time.time()) is None
    assert slurm.silent == {"sacct": f"`sacct` failed: sacct: error: {refusal}"}
    commands(squeue="exit 1", sacct=f"echo '{rows('18|PENDING|0:0||Unknown|T|a-1')}'")
    assert slurm.find("a-1", time.time()) == "18"  # what one of them has is there
    assert [*slurm.silent] == ["squeue"]
    commands(squeue="exit 1", sacct="true")
    with pytest.raises(BackendUnavailable):
        slurm.find("a-1", time.time())


def test_sacct_is_asked_about_two_days_at_most(commands: Commands, tmp_path: Path) -> None:
    """Sites refuse wider ranges, and a run may be resumed after months."""
    commands(squeue="true", sacct="true")
    for days in (0, 100):
        Slurm().find("a-1", time.time() - days * 86400)
    asked = [line for line in (tmp_path / "given").read_text().splitlines() if "sacct" in line]
    spans = [re.findall(r"-[SE] (\S+)", line) for line in asked]
    assert [len(span) for span in spans] == [1, 1, 2, 2]
    begin, end = (time.mktime(time.strptime(t, "%Y-%m-%dT%H:%M:%S")) for t in spans[-1])
    assert end - begin < 2 * 86400
