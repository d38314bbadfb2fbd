"""Runs on this machine: what they ask, what they tell, what becomes of them when things break."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import pytest
from test_cli import Done
from test_cli import socm as socm_here

from socm.engine.events import Ended, Started
from socm.engine.journal import read_journal
from socm.engine.run import Run
from socm.engine.state import CampaignState

ROOT = Path(__file__).parents[1]
SOCM = [sys.executable, "-m", "socm"]
STAGE = """
[stages.{name}]
executable = '''{command}'''
depends = {depends}
resources = {{ ranks = 1, threads = 1, memory = "50M", runtime = "5s"{more} }}
{keys}
"""


def stage(name: str, command: str, *depends: str, more: str = "", keys: str = "") -> str:
    quoted = command.replace("'", "'\\''").replace("$", "$$")
    shell = f"sh -c '{quoted}'"
    return STAGE.format(
        name=name, command=shell, depends=json.dumps([*depends]), more=more, keys=keys
    )


def write(folder: Path, *stages: str, head: str = "") -> Path:
    path = folder / "campaign.toml"
    path.write_text(f'[campaign]\nexecution_schema = "local"\n{head}\n' + "".join(stages))
    return path


def socm(folder: Path, *arguments: str | Path, **env: str) -> Done:
    """Run the command line here, in a folder: a process of its own takes a second to begin."""
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ, env),
        mock.patch.object(sys, "stdin", io.StringIO()),
    ):
        return socm_here(*arguments)


def start(
    folder: Path, *arguments: str | Path, before: Sequence[str] = ()
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, *SOCM, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def wait_for(ready: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)


def until(path: Path) -> str:
    """Return the line of shell that waits for a file, which a test makes when it has looked."""
    return f"until test -e {path}; do sleep 0.05; done"


def status(folder: Path, *arguments: str) -> dict[str, Any]:
    done = socm(folder, "status", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def states(folder: Path) -> dict[str, str]:
    return {w["name"]: w["state"] for w in status(folder)["workflows"]}


def test_the_local_example_runs(tmp_path: Path) -> None:
    done = socm(tmp_path, "run", ROOT / "examples" / "local.toml", "--yes")
    assert done.returncode == 0, done.stderr
    assert "All 3 workflows completed" in done.stdout
    spectrum = tmp_path / "socm-runs/local-1/jobs/spectrum/1/spectrum.txt"
    assert len(spectrum.read_text().splitlines()) == 32
    document = status(tmp_path)
    assert document["state"] == "completed"
    assert [w["exit_code"] for w in document["workflows"]] == [0, 0, 0]
    assert "most power at mode 3" in socm(tmp_path, "logs", "spectrum").stdout
    log = (tmp_path / "socm-runs/local-1/log.txt").read_text()
    assert "created: 3 workflows, 2 dependencies" in log
    assert "map-f090: completed after" in log


def test_the_form_of_the_user_guide_runs_too(tmp_path: Path) -> None:
    path = write(tmp_path, stage("a", "true"))
    for form in (["-t", path], ["--toml", path]):
        assert socm(tmp_path, *form, "--yes").returncode == 0
    assert sorted(p.name for p in (tmp_path / "socm-runs").iterdir()) == [
        "campaign-1",
        "campaign-2",
    ]


@pytest.mark.parametrize("verb", ["lat-mapmaking", "spectra"])
def test_the_verbs_of_old_hint_at_run(tmp_path: Path, verb: str) -> None:
    done = socm(tmp_path, verb, "-t", "campaign.toml")
    assert done.returncode == 2
    assert "socm run campaign.toml" in done.stderr


def test_this_machine_is_the_cluster_whatever_the_campaign_names(tmp_path: Path) -> None:
    path = write(tmp_path, stage("a", "true", more=", qos = 'short'"), head='resource = "tiger3"')
    done = socm(tmp_path, "run", path, "--yes")
    assert done.returncode == 0, done.stderr
    assert "planning for this machine, not for tiger3" in done.stderr
    assert "partitions, QOS and accounts are ignored on this machine" in done.stderr


def test_without_a_terminal_and_without_yes_nothing_is_submitted(tmp_path: Path) -> None:
    done = socm(tmp_path, "run", write(tmp_path, stage("a", "true")))
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert not (tmp_path / "socm-runs").exists()


def test_a_dry_run_writes_the_scripts_and_submits_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, stage("a", "echo it ran > ran"))
    done = socm(tmp_path, "run", path, "--dry-run", "--run-dir", tmp_path / "dry")
    assert done.returncode == 0, done.stderr
    script = (tmp_path / "dry/jobs/a/1/script.sh").read_text()
    assert "echo it ran > ran" in script
    assert not [*tmp_path.rglob("ran")]
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_what_a_cluster_would_get_is_seen_without_one(tmp_path: Path) -> None:
    nothing = tmp_path / "bin"
    nothing.mkdir()
    piso = ROOT / "examples" / "piso.yaml"
    site = {"PATH": str(nothing), "SOCM_ACCOUNT": "simonsobs"}
    done = socm(tmp_path, "run", piso, "--dry-run", "--json", **site)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    scripts = json.loads(done.stdout)["scripts"]
    assert len(scripts) == 15
    text = Path(next(s for s in scripts if "/get_windows/" in s)).read_text()
    assert "#SBATCH --account=simonsobs" in text
    assert "--qos" not in text
    assert "#SBATCH --cpus-per-task=10" in text


def test_what_fails_is_told_with_its_stderr_and_the_rest_goes_on(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        stage("bad", "echo the map is empty >&2; exit 3"),
        stage("after", "true", "bad"),
        stage("other", "true"),
    )
    done = socm(tmp_path, "run", path, "--yes")
    assert done.returncode == 1
    assert "bad failed: exit code 3" in done.stdout
    assert "the map is empty" in done.stdout
    assert "after: skipped, because bad did not complete" in done.stdout
    assert states(tmp_path) == {"bad": "failed", "after": "skipped", "other": "completed"}
    shown = socm(tmp_path, "status").stdout
    assert "exit code 3" in shown
    assert "the map is empty" in shown
    assert "--retry-failed" in shown


def test_those_that_failed_are_tried_again_on_request(tmp_path: Path) -> None:
    path = write(
        tmp_path, stage("once", f"test -e {tmp_path}/mended"), stage("after", "true", "once")
    )
    assert socm(tmp_path, "run", path, "--yes").returncode == 1
    assert socm(tmp_path, "resume").returncode == 1
    (tmp_path / "mended").touch()
    done = socm(tmp_path, "resume", "campaign-1", "--retry-failed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {w["name"]: w["attempt"] for w in status(tmp_path)["workflows"]} == {
        "once": 2,
        "after": 1,
    }


def test_the_walltime_ends_the_whole_tree(tmp_path: Path) -> None:
    token = f"79.{os.getpid()}"
    path = write(
        tmp_path,
        stage("late", f"(setsid sleep {token} &) ; sleep {token}", more=', walltime = "5s"'),
        head="retries = 0",
    )
    done = socm(tmp_path, "run", path, "--yes")
    assert done.returncode == 1
    assert "late failed: timeout" in done.stdout
    assert "the walltime of 5 s is over" in done.stdout
    assert not _alive(token)


def _alive(token: str) -> list[int]:
    return [p.pid for p in psutil.process_iter(["cmdline"]) if token in (p.info["cmdline"] or [])]


def test_no_more_runs_at_once_than_this_machine_holds(tmp_path: Path) -> None:
    """Each of them counts how many run beside it; with all the memory that is one."""
    memory = psutil.virtual_memory().total // 2**20 * 2 // 3
    more = stage("x", "").replace("50M", f"{memory}M")
    assert more
    count = f"echo x >> {tmp_path}/running; wc -l < {tmp_path}/running; sleep 0.3; "
    count += f"sed -i 1d {tmp_path}/running"
    path = write(tmp_path, *(stage(f"w{k}", count).replace("50M", f"{memory}M") for k in range(4)))
    done = socm(tmp_path, "run", path, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "completed"
    run = Run.find("campaign-1", tmp_path / "socm-runs")
    assert {(run.path / f"jobs/w{k}/1/stdout").read_text().strip() for k in range(4)} == {"1"}


def test_ranks_are_started_and_counted(tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    path = write(tmp_path, stage("ranks", "echo $SLURM_PROCID of $SLURM_NTASKS; exit 0"))
    path.write_text(path.read_text().replace("ranks = 1", f"ranks = {cores}"))
    done = socm(tmp_path, "run", path, "--yes")
    assert done.returncode == 0, done.stderr
    out = socm(tmp_path, "logs", "ranks").stdout
    assert sorted(out.splitlines()) == sorted(f"{k} of {cores}" for k in range(cores))


def test_a_missing_output_is_no_success_and_one_that_is_there_saves_the_work(
    tmp_path: Path,
) -> None:
    keys = f'outputs = ["map.fits"]\nskip-if-outputs-exist = true\nbase-path = "{tmp_path}"'
    path = write(tmp_path, stage("a", "test -e ready && echo x > map.fits; true", keys=keys))
    done = socm(tmp_path, "run", path, "--yes")
    assert done.returncode == 1
    assert "a failed: exit code 0, but no map.fits" in done.stdout
    (tmp_path / "ready").touch()
    assert socm(tmp_path, "run", path, "--yes").returncode == 0
    done = socm(tmp_path, "run", path, "--yes")
    assert done.returncode == 0
    assert "a: not run, its outputs exist" in done.stdout


def test_killed_and_resumed_a_run_takes_its_job_up_again(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        stage("long", f"echo x >> {tmp_path}/ran; {until(tmp_path / 'go')}"),
        stage("quick", "true"),
        stage("after", "true", "long"),
    )
    process = start(tmp_path, "run", path, "--yes")
    wait_for((tmp_path / "ran").exists)
    refused = socm(tmp_path, "resume")
    assert refused.returncode == 5
    assert "campaign-1 is active: process" in refused.stderr
    left_alone = socm(tmp_path, "resume", "--if-idle")
    assert left_alone.returncode == 0
    assert f"campaign-1: process {process.pid} on " in left_alone.stdout
    followed = socm(tmp_path, "resume", "--if-idle", "--json")
    assert json.loads(followed.stdout)["state"] == "running"
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert status(tmp_path)["state"] == "stopped"
    (tmp_path / "go").touch()
    done = socm(tmp_path, "resume", "--if-idle")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(states(tmp_path).values()) == {"completed"}
    assert (tmp_path / "ran").read_text() == "x\n"


def test_killed_at_every_line_of_its_journal_a_run_does_all_of_it_once(tmp_path: Path) -> None:
    """The run is cut after each event; what jobs did meanwhile stays done."""
    count = f"echo $SOCM_WORKFLOW >> {tmp_path}/ran"
    path = write(tmp_path, stage("a", count), stage("b", count, "a"), stage("c", "exit 1", "a"))
    assert socm(tmp_path, "run", path, "--yes", "--run-dir", "whole").returncode == 1
    lines = (tmp_path / "whole/journal.jsonl").read_text().splitlines(keepends=True)
    for kept in range(0, len(lines), 2):
        cut = tmp_path / f"cut-{kept}"
        shutil.copytree(tmp_path / "whole", cut)
        (cut / "journal.jsonl").write_text("".join(lines[:kept]) + '{"event": "Sta')
        for name in ("script.sh", "end.json"):
            for file in cut.rglob(name):
                file.write_text(file.read_text().replace("/whole/", f"/cut-{kept}/"))
        done = socm(tmp_path, "resume", cut)
        assert done.returncode == 1, done.stdout + done.stderr
        run = Run(cut)
        state = CampaignState.of(run.plan, read_journal(run.journal))
        assert [p.status.value for p in state.workflows.values()] == [
            "completed",
            "completed",
            "failed",
        ]
    assert sorted((tmp_path / "ran").read_text().split()) == ["a", "b"]


def test_a_job_whose_processes_are_gone_is_tried_again(tmp_path: Path) -> None:
    """As after a reboot."""
    script = f"echo x >> {tmp_path}/ran; test $(wc -l < {tmp_path}/ran) -gt 1 || sleep 60"
    process = start(tmp_path, "run", write(tmp_path, stage("a", script)), "--yes")
    wait_for((tmp_path / "ran").exists)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for p in psutil.process_iter(["cmdline"]):
        if any(str(tmp_path) in word for word in p.info["cmdline"] or []):
            p.kill()
    done = socm(tmp_path, "resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "next attempt: node failed" in done.stdout


def test_once_interrupted_it_leaves_and_says_how_to_go_on(tmp_path: Path) -> None:
    script = f"touch {tmp_path}/ran; {until(tmp_path / 'go')}"
    path = write(tmp_path, stage("long", script), stage("after", "true", "long"))
    process = start(tmp_path, "run", path, "--yes")
    wait_for((tmp_path / "ran").exists)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "socm resume campaign-1" in out
    assert states(tmp_path)["long"] == "running"
    (tmp_path / "go").touch()
    assert socm(tmp_path, "resume").returncode == 0


def test_twice_interrupted_it_cancels_its_jobs(tmp_path: Path) -> None:
    path = write(
        tmp_path, stage("long", f"touch {tmp_path}/ran; sleep 60"), stage("b", "true", "long")
    )
    process = start(tmp_path, "run", path, "--yes")
    wait_for((tmp_path / "ran").exists)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert states(tmp_path) == {"long": "cancelled", "b": "cancelled"}


def test_a_run_is_cancelled_from_elsewhere_whether_it_goes_on_or_not(tmp_path: Path) -> None:
    path = write(tmp_path, stage("a", f"touch {tmp_path}/a; sleep 60"), stage("b", "sleep 60"))
    process = start(tmp_path, "run", path, "--yes")
    wait_for((tmp_path / "a").exists)
    assert socm(tmp_path, "cancel", "campaign-1", "a").returncode == 0
    wait_for(lambda: states(tmp_path)["a"] == "cancelled")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert states(tmp_path)["b"] == "running"
    done = socm(tmp_path, "cancel")
    assert done.returncode == 0, done.stderr
    assert states(tmp_path) == {"a": "cancelled", "b": "cancelled"}
    assert "campaign-1 has nothing left to cancel" in socm(tmp_path, "cancel").stdout


def test_to_resume_a_run_that_has_ended_touches_nothing_and_says_how_it_ended(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, stage("a", "true"), stage("b", f"test -e {tmp_path}/mended", "a"))
    first = socm(tmp_path, "run", path, "--yes")
    assert first.returncode == 1, first.stderr
    folder = tmp_path / "socm-runs" / "campaign-1"

    def files() -> dict[Path, tuple[int, bytes]]:
        every = [folder, *folder.rglob("*")]
        return {f: (f.stat().st_mtime_ns, f.read_bytes() if f.is_file() else b"") for f in every}

    before = files()
    again = socm(tmp_path, "resume")
    assert again.returncode == 1, again.stderr
    assert files() == before
    end = first.stdout.splitlines()[-3:]
    assert "1 failed, 1 completed" in end[0]
    assert again.stdout.splitlines()[-3:] == end
    (tmp_path / "mended").touch()
    assert socm(tmp_path, "resume", "--retry-failed").returncode == 0
    assert states(tmp_path) == {"a": "completed", "b": "completed"}
    before = files()
    last = socm(tmp_path, "resume", "--retry-failed", "--json")
    assert last.returncode == 0, last.stderr
    assert json.loads(last.stdout)["state"] == "completed"
    assert files() == before


def test_a_request_to_a_process_that_dies_is_carried_out_and_never_again(tmp_path: Path) -> None:
    script = f"touch {tmp_path}/ran; test -e {tmp_path}/go || sleep 60"
    path = write(tmp_path, stage("a", script))
    process = start(tmp_path, "run", path, "--yes")
    wait_for((tmp_path / "ran").exists)
    process.send_signal(signal.SIGSTOP)
    requests = tmp_path / "socm-runs" / "campaign-1" / "requests"
    cancelling = start(tmp_path, "cancel")
    wait_for(lambda: [*requests.glob("*.json")])
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    out, _ = cancelling.communicate(timeout=60)
    assert cancelling.returncode == 0, out
    assert "1 workflow cancelled" in out
    assert [*requests.glob("*.json")], "of a process that is no more"
    (tmp_path / "go").touch()
    done = socm(tmp_path, "resume", "--retry-failed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(tmp_path) == {"a": "completed"}
    assert [*requests.glob("*.json")] == []


def test_a_changed_campaign_is_refused_until_it_is_accepted(tmp_path: Path) -> None:
    script = f"touch {tmp_path}/a; {until(tmp_path / 'go')}"
    path = write(tmp_path, stage("a", script), stage("b", "exit 1", "a"))
    process = start(tmp_path, "run", path, "--yes")
    wait_for((tmp_path / "a").exists)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    path.write_text(path.read_text().replace("exit 1", "exit 0") + stage("c", "true", "b"))
    done = socm(tmp_path, "resume")
    assert done.returncode == 2
    assert "b: command was" in done.stderr
    assert "c is new in the campaign" in done.stderr
    (tmp_path / "go").touch()
    done = socm(tmp_path, "resume", "--accept-changes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(tmp_path) == dict.fromkeys("abc", "completed")


def test_an_edit_is_taken_wholly_or_not_at_all(tmp_path: Path) -> None:
    """The line in the journal decides: a plan that was only written changes nothing."""
    path = write(tmp_path, stage("a", "true"), stage("b", "exit 1"), stage("c", "true", "b"))
    assert socm(tmp_path, "run", path, "--yes").returncode == 1
    run = tmp_path / "socm-runs" / "campaign-1"
    before = path.read_text()
    path.write_text(write(tmp_path, stage("a", "true"), stage("b", "exit 0")).read_text())
    (run / "plan-2.json").write_text("{")
    assert states(tmp_path) == {"a": "completed", "b": "failed", "c": "skipped"}
    done = socm(tmp_path, "resume", "--accept-changes", "--retry-failed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(tmp_path) == {"a": "completed", "b": "completed"}
    assert [p.name for p in run.glob("plan*.json")].count("plan-3.json") == 1
    for command in ("status", "cancel", "resume"):
        assert socm(tmp_path, command).returncode == 0, command
    path.write_text(before)
    done = socm(tmp_path, "resume", "--accept-changes")
    assert done.returncode == 2
    assert "but it is completed already" in done.stderr


def killed(folder: Path, path: Path, begun: Path) -> None:
    """Begin a run, and kill its process once a job has begun."""
    process = start(folder, "run", path, "--yes")
    wait_for(begun.exists)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_job_that_waits_is_withdrawn_and_submitted_as_edited(tmp_path: Path) -> None:
    """Here, where its first process ended between the lines that it was submitted and began."""
    path = write(tmp_path, stage("a", "exit 1"), stage("b", "true", "a"))
    assert socm(tmp_path, "run", path, "--yes").returncode == 1
    run = tmp_path / "socm-runs" / "campaign-1"
    lines = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    (run / "journal.jsonl").write_text("".join(lines[:3]))
    for left in (run / "results").iterdir():
        left.unlink()
    path.write_text(path.read_text().replace("exit 1", "exit 0"))
    done = socm(tmp_path, "resume", "--accept-changes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert states(tmp_path) == {"a": "completed", "b": "completed"}
    assert "a: its job waits and is withdrawn, to be submitted as edited" in done.stdout
    assert "a: its job was withdrawn" in done.stdout
    assert (run / "jobs" / "a" / "2" / "script.sh").exists(), "another attempt"


def test_a_job_that_began_meanwhile_is_not_edited(tmp_path: Path) -> None:
    """The journal does not say that it began, but it has: nothing is changed."""
    script = f"touch {tmp_path}/a; {until(tmp_path / 'go')}"
    path = write(tmp_path, stage("a", script), stage("b", "true", "a"))
    killed(tmp_path, path, tmp_path / "a")
    run = tmp_path / "socm-runs" / "campaign-1"
    lines = (run / "journal.jsonl").read_text().splitlines(keepends=True)
    (run / "journal.jsonl").write_text("".join(lines[:3]))
    before = path.read_text()
    path.write_text(before.replace("touch", "true"))
    done = socm(tmp_path, "resume", "--accept-changes")
    assert done.returncode == 2
    assert "but it is running already" in done.stderr
    path.write_text(before)
    (tmp_path / "go").touch()
    assert socm(tmp_path, "resume").returncode == 0
    assert states(tmp_path) == {"a": "completed", "b": "completed"}
    assert not (run / "jobs" / "a" / "2").exists()


def test_what_runs_is_edited_as_the_refusal_says(tmp_path: Path) -> None:
    script = f"touch {tmp_path}/a; {until(tmp_path / 'never')}"
    path = write(tmp_path, stage("a", script), stage("b", "true", "a"))
    killed(tmp_path, path, tmp_path / "a")
    path.write_text(path.read_text().replace(script, "exit 0"))
    done = socm(tmp_path, "resume", "--accept-changes")
    assert done.returncode == 2
    assert "but it is running already" in done.stderr
    commands = re.findall("`socm (.*?)`", done.stderr.replace("\n", " "))
    assert len(commands) == 2
    for command in commands:
        done = socm(tmp_path, *command.split())
        assert done.returncode == 0, done.stdout + done.stderr
    assert states(tmp_path) == {"a": "completed", "b": "completed"}


def test_a_clock_that_is_set_back_between_two_processes_does_not_set_back_a_run(
    tmp_path: Path,
) -> None:
    script = f"touch {tmp_path}/a; {until(tmp_path / 'go')}"
    path = write(tmp_path, stage("a", script), stage("b", "true", "a"))
    process = start(tmp_path, "run", path, "--yes")
    wait_for((tmp_path / "a").exists)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    identity = tmp_path / "socm-runs" / "campaign-1" / "run.json"
    document = json.loads(identity.read_text())
    document["epoch"] += 7200  # it began two hours from now
    identity.write_text(json.dumps(document))
    (tmp_path / "go").touch()
    done = socm(tmp_path, "resume")
    assert done.returncode == 0, done.stdout + done.stderr
    events = read_journal(tmp_path / "socm-runs" / "campaign-1" / "journal.jsonl")
    started = {e.workflow: e.time for e in events if isinstance(e, Started)}
    ended = {e.workflow: e.time for e in events if isinstance(e, Ended)}
    assert 0 <= started["a"] <= ended["a"] <= started["b"] <= ended["b"] < 3600


def test_plans_for_elsewhere_and_schemas_that_are_not_there_are_refused(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    piso = ROOT / "examples" / "piso.yaml"
    assert socm(tmp_path, "plan", piso, "-o", plan).returncode == 0
    done = socm(tmp_path, "run", plan, "--yes", "--executor", "local")
    assert done.returncode == 2
    assert "was planned for tiger3, not for this machine" in done.stderr
    assert "--cluster local" in done.stderr
    path = write(tmp_path, stage("a", "true"))
    path.write_text(path.read_text().replace('"local"', '"batch"'))
    assert socm(tmp_path, "run", path, "--yes").returncode == 2
    path.write_text(path.read_text().replace('"batch"', '"remote"'))
    nothing = tmp_path / "bin"
    nothing.mkdir()
    done = socm(tmp_path, "run", path, "--yes", PATH=str(nothing), SOCM_ACCOUNT="simonsobs")
    assert done.returncode == 5
    assert "there is no sbatch" in done.stderr
    assert "--executor local" in done.stderr


def test_another_executor_of_psij_is_passed_through(tmp_path: Path) -> None:
    path = write(tmp_path, stage("a", "echo hello"), stage("b", "exit 4"))
    path.write_text(path.read_text().replace('"local"', '"remote"'))
    done = socm(tmp_path, "run", path, "--yes", "--executor", "nobody")
    assert done.returncode == 2
    assert "unknown executor 'nobody'" in done.stderr


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_submitted(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, stage("a", f"touch {tmp_path}/a"))
    (tmp_path / "file").touch()
    done = socm(tmp_path, "run", path, "--yes", "--run-dir", tmp_path / "file" / "run")
    assert done.returncode == 5
    assert "--run-dir" in done.stderr
    done = socm(tmp_path, "run", path, "--yes", "--run-dir", tmp_path)
    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert not (tmp_path / "a").exists()
