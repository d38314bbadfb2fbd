"""A plan carried out on a real SLURM: what is asked for, what ends how, and what breaks."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import time
from dataclasses import replace

import pytest
from carrying import MPIRUN, ROOT, World, kinds, shell, statuses

from socm.config import load_campaign
from socm.engine import refused
from socm.engine.driver import job_of
from socm.engine.events import JobState, Retrying, Started, Submitted
from socm.engine.retry import RetryPolicy
from socm.engine.state import CampaignState
from socm.executor.slurm import executor
from socm.executor.slurm.executor import SlurmExecutor
from socm.executor.slurm.jobs import Slurm
from socm.model.campaign import Budget, Workflow
from socm.planner import plan_campaign

pytestmark = pytest.mark.slurm


def test_the_dag_of_piso_runs_as_it_was_planned(world: World) -> None:
    """Each job has the QOS, nodes, tasks and memory of its plan, by SLURM's own word."""
    loaded = load_campaign(ROOT / "examples" / "piso.yaml")
    brief = {
        name: replace(workflow, command=("sleep", "0.1"), directory=None)
        for name, workflow in loaded.campaign.workflows.items()
    }
    plan = plan_campaign(replace(loaded.campaign, workflows=brief), loaded.cluster)
    state = world.carry_out(plan=plan)
    assert set(statuses(state).values()) == {"completed"}
    said = world.sacct("QOS", "AllocNodes", "AllocCPUS", "ReqMem")
    assert len(said) == len(plan.workflows)
    for planned in plan.workflows:
        request = plan.campaign.workflows[planned.name].request
        cpus = request.ranks * planned.threads
        status, qos, nodes, allocated, memory = said[f"{planned.name}-1"]
        assert (status, qos) == ("COMPLETED", planned.qos)
        assert int(nodes) == len(planned.placements)
        assert int(allocated) == cpus
        per_cpu = math.ceil(request.memory / cpus)
        megabytes = {"M": 1, "G": 1024, "T": 1024**2}
        assert float(memory[:-1]) * megabytes[memory[-1]] == pytest.approx(per_cpu * cpus, rel=0.01)


def test_a_job_that_fills_its_nodes_by_plan_is_one_that_slurm_takes(world: World) -> None:
    """To the MB, on one node or on several, evenly or not."""
    node = 1_000_000
    plan = world.plan(
        shell("one", "true", request={"ranks": 112, "memory": node}),
        shell("even", "true", "one", request={"ranks": 6, "threads": 37, "memory": 2 * node}),
        shell(
            "odd", "true", "even", request={"ranks": 130, "threads": 2, "memory": node * 130 // 56}
        ),
    )
    ranks = {w.name: sorted(p.ranks for p in w.placements) for w in plan.workflows}
    assert ranks == {"one": [112], "even": [3, 3], "odd": [18, 56, 56]}
    assert set(statuses(world.carry_out(plan=plan)).values()) == {"completed"}


def test_two_jobs_that_fill_a_node_by_plan_run_side_by_side(world: World) -> None:
    """Each waits for the other one."""

    def half(name: str, other: str) -> Workflow:
        script = f"touch ../../../{name}; until [ -e ../../../{other} ]; do sleep 0.1; done"
        return shell(name, script, request={"threads": 56, "memory": 500_000})

    plan = world.plan(half("left", "right"), half("right", "left"), budget=Budget(nodes=1))
    assert {w.start for w in plan.workflows} == {0}
    everywhere = world.slurm.run(
        "sbatch", "--parsable", "--output=/dev/null", "--qos=vshort", "--time=5", "--nodes=3",
        "--exclusive", "--wrap=sleep 300",
    ).strip()  # fmt: skip
    try:
        running = ("squeue", "-h", "-j", everywhere, "-o", "%T")
        world.slurm.wait_for(lambda: world.slurm.run(*running).strip() == "RUNNING")
        state = world.carry_out(plan=plan, retry=RetryPolicy(attempts=1))
        assert statuses(state) == {"left": "completed", "right": "completed"}
    finally:
        world.slurm.run("scancel", everywhere)


def test_ranks_on_several_nodes_each_run_once(world: World) -> None:
    wide = shell(
        "wide",
        "echo $SLURM_PROCID $SLURMD_NODENAME",
        request={"ranks": 150, "threads": 2, "memory": 30000},
    )
    state = world.carry_out(wide)
    assert statuses(state) == {"wide": "completed"}
    lines = (world.folder / "jobs/wide/1/stdout").read_text().split("\n")[:-1]
    assert sorted(int(line.split()[0]) for line in lines) == list(range(150))
    assert len({line.split()[1] for line in lines}) == len(world.plan(wide).by_name["wide"].nodes)
    assert (state.workflows["wide"].peak_memory or 0) > 150


def test_mpirun_starts_the_ranks_where_it_is_asked_to(world: World) -> None:
    if shutil.which("mpirun") is None:
        assert os.environ.get("SOCM_REQUIRE_SLURM") != "1", ".ci/slurm installs mpirun"
        pytest.skip("there is no mpirun (.ci/slurm installs it)")
    ranks = shell(
        "ranks",
        "echo $OMPI_COMM_WORLD_RANK",
        launcher="mpirun",
        environment=MPIRUN,
        request={"ranks": 4},
    )
    fails = replace(ranks, name="fails", command=("sh", "-c", "exit 6"))
    state = world.carry_out(ranks, fails)
    assert statuses(state) == {"ranks": "completed", "fails": "failed"}
    assert state.workflows["fails"].exit_code == 6
    out = (world.folder / "jobs/ranks/1/stdout").read_text()
    assert sorted(out.split()) == ["0", "1", "2", "3"]
    assert len([*(world.folder / "jobs/ranks/1/ranks").iterdir()]) == 4


ODD = (
    "a b",
    "'",
    '"',
    ";",
    "$(touch broken)",
    "`touch broken`",
    "new\nline",
    "ünï",
    "*",
    "\\n",
    "%j",
)


def test_arguments_and_values_arrive_as_they_were_written(world: World) -> None:
    code = "import json,os,sys; print(json.dumps([sys.argv[1:], os.environ['ODD'], os.getcwd()]))"
    there = world.folder.parent / "a 'folder' $HOME"
    there.mkdir()
    plain = shell("odd", "")
    odd = replace(
        plain,
        command=("python3", "-c", code, *ODD),
        environment={"ODD": "\n".join(ODD)},
        directory=str(there),
    )
    state = world.carry_out(odd, replace(odd, name="bare", launcher="none"))
    assert set(statuses(state).values()) == {"completed"}
    for name in ("odd", "bare"):
        out = json.loads((world.folder / f"jobs/{name}/1/stdout").read_text())
        assert out == [[*ODD], "\n".join(ODD), str(there)]
    assert not [*world.folder.rglob("broken")]


def test_a_run_may_be_kept_in_a_folder_with_spaces(world: World) -> None:
    world.folder = world.folder.parent / "my runs" / "größte $HOME; ok"
    world.folder.mkdir(parents=True)
    state = world.carry_out(shell("a", "pwd; echo no >&2"))
    assert statuses(state) == {"a": "completed"}
    folder = world.folder / "jobs/a/1"
    assert (folder / "stdout").read_text() == f"{folder}\n"
    assert (folder / "stderr").read_text() == "no\n"


def test_how_jobs_end(world: World) -> None:
    """Each by its cause, with SLURM's word where the job has none, and its dependants skipped."""
    more = {"memory": 100_000}
    ends = [
        shell("well", "exit 0"),
        shell("seven", "echo no such file >&2; exit 7"),
        shell("after", "true", "seven"),
        shell("killed", "kill -9 $$"),
        shell("nothing", "true"),
        shell("empty", "true", outputs=("map.fits",)),
        shell("full", "echo x > map.fits", outputs=("map.fits",), request=more),
        shell("late", "echo begun; sleep 300"),
        shell("stopped", "echo begun; sleep 300"),
        shell("unset", "true", setup=("false",)),
        shell("set", 'test "$FOUND" = yes', setup=("FOUND=yes\nexport FOUND",)),
    ]
    ends[4] = replace(ends[4], command=("no-such-program",))

    def interfere() -> None:
        world.time_out(world.running("late"))
        world.slurm.run("scancel", world.running("stopped"))

    with world.meanwhile(interfere):
        state = world.carry_out(*ends, retry=RetryPolicy(attempts=1))
    assert statuses(state) == {
        "well": "completed",
        "seven": "failed",
        "after": "skipped",
        "killed": "failed",
        "nothing": "failed",
        "empty": "failed",
        "full": "completed",
        "late": "failed",
        "stopped": "cancelled",
        "unset": "failed",
        "set": "completed",
    }
    found = {n: (p.outcome, p.exit_code) for n, p in state.workflows.items()}
    assert found["well"] == (JobState.COMPLETED, 0)
    assert found["seven"] == (JobState.FAILED, 7)
    assert found["killed"] == (JobState.FAILED, 137)
    assert found["nothing"] == (JobState.FAILED, 127)
    assert found["late"][0] is JobState.TIMEOUT
    assert found["stopped"][0] is JobState.CANCELLED
    assert state.workflows["stopped"].reason.startswith("CANCELLED by ")
    assert "map.fits" in state.workflows["empty"].reason
    assert "no-such-program cannot be run" in (world.folder / "jobs/nothing/1/stderr").read_text()


def test_a_timeout_gets_longer_and_a_lost_node_gets_another(world: World) -> None:
    """The first attempts are ended, the second ones left to complete."""
    script = "case $PWD in */1) echo begun; sleep 300;; esac"

    def interfere() -> None:
        world.time_out(world.running("late"))
        lost = world.running("lost")
        node = world.slurm.run("squeue", "-h", "-j", lost, "-o", "%N").strip()
        world.slurm.run("scontrol", "update", f"nodename={node}", "state=down", "reason=broken")
        # Of another node its daemon is killed; SLURM takes a while to notice.
        dead = world.running("dead")
        broken = world.slurm.run("squeue", "-h", "-j", dead, "-o", "%N").strip()
        world.slurm.end(broken, signal.SIGKILL)
        # The first may be back by itself: that its daemon lives is enough for that.
        world.slurm.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        asked = ("sacct", "-nPX", "-j", dead, "-o", "State")
        world.slurm.wait_for(lambda: "NODE_FAIL" in world.slurm.run(*asked), "the lost node")
        world.slurm.launch(broken)

    late = shell("late", script, request={"walltime": 120})
    lost = shell("lost", script, request={"ranks": 1, "threads": 112})
    dead = shell("dead", script, request={"ranks": 1, "threads": 112})
    with world.meanwhile(interfere):
        state = world.carry_out(late, lost, dead)
    assert set(statuses(state).values()) == {"completed"}
    again = {e.workflow: e for e in world.events if isinstance(e, Retrying)}
    assert again["late"].walltime == 180
    assert again["lost"].reason.startswith("node failed")
    assert again["dead"].reason.startswith("node failed")
    said = world.sacct("Timelimit")
    assert said["late-1"][0] == "TIMEOUT"
    assert said["late-2"] == ["COMPLETED", "00:03:00"]
    assert said["lost-1"][0] == said["dead-1"][0] == "NODE_FAIL"
    nodes = {
        (e.workflow, e.attempt): e.nodes
        for e in world.events
        if isinstance(e, Started) and e.workflow != "late"
    }
    for name in ("lost", "dead"):
        assert len(nodes[name, 1]) == len(nodes[name, 2]) == 1
        assert nodes[name, 1] != nodes[name, 2]


def test_a_refusal_is_told_in_sbatchs_own_words(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused, "PAUSE", 1.0)
    plan = world.plan(shell("a", "true", request={"account": "nobody"}), shell("b", "true"))
    state = world.carry_out(plan=plan)
    assert statuses(state) == {"a": "failed", "b": "completed"}
    assert "Invalid account or account/partition combination" in state.workflows["a"].reason
    assert kinds(world.events, "a") == [
        *(["Submitting", "Retrying"] * 2),
        "Submitting",
        "SubmitRefused",
    ]


def test_a_drained_node_whose_reason_has_spaces_blinds_nobody(world: World) -> None:
    """A job of somebody else waits for it, with a reason that is not one word."""
    world.slurm.run("scontrol", "update", "nodename=n4", "state=drain", "reason=a bad disk, again")
    waits = world.slurm.run(
        "sbatch",
        "--parsable",
        "--output=/dev/null",
        "-w",
        "n4",
        "--qos=vshort",
        "--time=5",
        "--wrap=true",
    ).strip()
    try:
        world.slurm.wait_for(
            lambda: " " in world.slurm.run("squeue", "-h", "-j", waits, "-o", "%r").strip(),
            "the odd reason",
        )
        state = world.carry_out(shell("a", "sleep 2"), shell("b", "exit 3", "a"))
        assert statuses(state) == {"a": "completed", "b": "failed"}
    finally:
        world.slurm.run("scancel", waits)
        world.slurm.run("scontrol", "update", "nodename=n4", "state=resume")


def test_a_controller_that_is_away_costs_nobody_anything(world: World) -> None:
    """While it is, jobs run on and what is to be submitted waits; afterwards all is done once."""
    first = shell("first", "echo begun; sleep 3")
    failing = shell("failing", "echo begun; sleep 4; exit 3")
    second = shell("second", "true", "first")

    def interfere() -> None:
        world.running("first")
        world.running("failing")
        world.slurm.end("slurmctld")
        time.sleep(35)
        world.slurm.launch("slurmctld")

    with world.meanwhile(interfere):
        state = world.carry_out(first, failing, second)
    assert statuses(state) == {"first": "completed", "failing": "failed", "second": "completed"}
    assert state.workflows["failing"].exit_code == 3
    assert len(world.sacct()) == 3


def test_a_controller_that_hangs_while_a_job_is_submitted_gets_it_once(world: World) -> None:
    """Its answer is lost, and the job is there all the same: it is looked for, not sent again."""

    def interfere() -> None:
        world.running("first")
        world.slurm.send_signal("slurmctld", signal.SIGSTOP)
        time.sleep(25)
        world.slurm.send_signal("slurmctld", signal.SIGCONT)

    with world.meanwhile(interfere):
        state = world.carry_out(
            shell("first", "echo begun; sleep 2"), shell("second", "true", "first")
        )
    assert statuses(state) == {"first": "completed", "second": "completed"}
    assert kinds(world.events, "second").count("Submitted") == 1
    assert len(world.sacct()) == 2
    names = world.slurm.run("sacct", "-nPX", "-S", "now-1day", "-o", "JobName").split()
    assert names.count(f"{world.run_id}-second-1") == 1


def test_what_nobody_knows_has_not_completed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "LOST", 3.0)
    plan = world.plan(shell("a", "true"))
    backend = SlurmExecutor(world.folder, plan.cluster, time.time(), poll_interval=0.5)
    progress = CampaignState.of(plan).workflows["a"]
    backend.attach(job_of(plan, "a", progress, world.run_id, 0), "999999")
    began = time.monotonic()
    updates = [u for u in backend.wait(30.0) if u.state.final]
    assert [u.state for u in updates] == [JobState.NODE_FAILED]
    assert time.monotonic() - began >= 3.0


def test_a_copy_of_a_job_that_has_begun_does_not_run(world: World) -> None:
    state = world.carry_out(shell("a", "echo once >> ../../../runs"))
    assert statuses(state) == {"a": "completed"}
    script = world.folder / "jobs/a/1/script.sh"
    again = Slurm().sbatch("--parsable", str(script)).strip()

    def over() -> bool:
        return world.slurm.run("squeue", "-h", "-j", again, "-o", "%T", check=False).strip() in (
            "FAILED",
            "",
        )

    world.slurm.wait_for(over, "the copy")
    assert (world.folder / "runs").read_text() == "once\n"


def test_five_hundred_jobs_need_one_question_a_tick(world: World) -> None:
    many = [shell(f"w{k:03}", "true", launcher="none", request={"memory": 100}) for k in range(500)]
    began = time.monotonic()
    state = world.carry_out(*many)
    seconds = time.monotonic() - began
    assert set(statuses(state).values()) == {"completed"}
    submitted = [e.time for e in world.events if isinstance(e, Submitted)]
    rate = (len(submitted) - 1) / (submitted[-1] - submitted[0])
    assert world.backend is not None
    asked = world.backend.slurm.client.asked
    print(f"500 jobs in {seconds:.1f} s, {rate:.0f} submitted a second, {dict(asked)}")
    assert asked["sbatch"] == 500
    # A poll a second at the most, each with one squeue and at most one sacct.
    assert asked["squeue"] <= seconds + 2
    assert asked["sacct"] <= asked["squeue"]
