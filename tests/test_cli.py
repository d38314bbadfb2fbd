"""The command line, as a user meets it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from builders import TIGER

import socm as package
from socm.cli.app import command_line

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
GUIDE = Path(__file__).parent / "data" / "user_guide"

SMALL_CLUSTER = """\
name = "bench"
[[partitions]]
name = "cpu"
nodes = 28
cores-per-node = 112
memory-per-node = 1000000   # MB
"""
TWO_STAGES = """\
campaign:
  deadline: {deadline}
  resource: bench.toml
stages:
  first:
    executable: "true"
    resources: {{ranks: 4, threads: 8, memory: 48G, runtime: 1h}}
  second:
    executable: "true"
    depends: [first]
    resources: {{ranks: 4, threads: 8, memory: 48G, runtime: 1h}}
"""


@dataclass
class Done:
    """What a command came to."""

    returncode: int
    stdout: str
    stderr: str


def socm(*arguments: str | Path) -> Done:
    """Run the command line here, as if its output were piped."""
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with (
        mock.patch.object(sys, "argv", ["socm", *map(str, arguments)]),
        mock.patch.dict(os.environ, {"COLUMNS": "80"}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = command_line([*map(str, arguments)])
        except SystemExit as done:
            code = int(done.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def socm_process(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "socm", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """A campaign of two stages, an hour each, with a cluster file beside it."""
    (tmp_path / "bench.toml").write_text(SMALL_CLUSTER)
    path = tmp_path / "two.yaml"
    path.write_text(TWO_STAGES.format(deadline="3h"))
    return path


_FILES = {"numpy", "pydantic", "socm.config", "socm.planner", "tomli", "yaml"}
_HEAVY = {*_FILES, "erfa", "matplotlib", "networkx", "numba", "ortools", "psij", "psutil", "sim"}
_HEAVY |= {"numpy.ma", "simpy", "socm.cli.torture", "socm.engine", "socm.exchange", "socm.executor"}
LOADED = {
    "--help": {"socm.cli.torture"},  # it shows what each command says of itself
    "init --help": {"pydantic"},  # typer reads the words of a command with it
    "validate two.yaml": _FILES,
    "plan two.yaml": _FILES,
}


@pytest.mark.parametrize("words", LOADED)
def test_a_command_loads_no_more_than_it_uses(words: str, campaign: Path) -> None:
    code = (
        "import atexit, sys\n"
        f"sys.argv = {['socm', *words.split()]}\n"
        f"heavy = {sorted(_HEAVY)}\n"
        "told = lambda: print(*(m for m in heavy if m in sys.modules), file=sys.stderr)\n"
        "atexit.register(told)\n"
        "from socm.cli import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=campaign.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {*done.stderr.splitlines()[-1].split()} <= LOADED[words]


def test_version() -> None:
    assert socm_process("--version").stdout == f"socm {package.__version__}\n"


@pytest.mark.parametrize("verb", ["simulate", "plan", "validate", "clusters"])
def test_each_verb_has_help_with_examples(verb: str) -> None:
    done = socm(verb, "--help")
    assert done.returncode == 0
    assert f"socm {verb}" in done.stdout.split("Examples")[1]


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.[ty]*ml")), ids=lambda p: p.name)
def test_examples_are_simulated_and_in_time(example: Path) -> None:
    done = socm("simulate", example, "--json", "--replications", "20")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "socm.simulation/1"
    assert document["feasible"] is True
    assert document["makespan_s"]["exact"] == document["planned_makespan_s"]
    assert {w["status"] for w in document["workflows"]} == {"completed"}


@pytest.mark.parametrize(("guide", "makespan"), [("campaign.toml", 80_000), ("dag.yaml", 55 * 60)])
def test_the_user_guides_examples_work_as_they_stand(guide: str, makespan: int) -> None:
    assert socm("validate", GUIDE / guide).returncode == 0
    document = json.loads(socm("plan", GUIDE / guide, "--json").stdout)
    assert document["makespan_s"] == makespan
    simulated = socm("simulate", GUIDE / guide)
    assert simulated.returncode == 0
    assert "needed by a run" in simulated.stderr


def test_without_its_observations_a_null_test_is_refused_unless_splits_are_assumed() -> None:
    done = socm("simulate", GUIDE / "null_tests.toml")
    assert done.returncode == 2
    assert "/path/to/context.yaml cannot be read" in done.stderr
    assert "--assume-splits" in done.stderr
    done = socm("plan", GUIDE / "null_tests.toml", "--assume-splits", "--json")
    names = [w["name"] for w in json.loads(done.stdout)["workflows"]]
    assert len(names) == 8 + 3 * 8
    assert {"mission_split_8", "wafer_ws2_split_1"} <= {*names}
    refused = socm("run", GUIDE / "null_tests.toml", "--yes", "--executor", "local")
    assert refused.returncode == 2


def test_plan_document_has_all_that_its_contract_names(campaign: Path) -> None:
    document = json.loads(socm("plan", campaign, "--json").stdout)
    assert {
        "schema", "campaign", "cluster", "fingerprint", "policy", "shape", "deadline_s",
        "makespan_s", "lower_bound_s", "gap", "feasible", "nodes", "core_hours", "workflows",
    } <= set(document)  # fmt: skip
    assert {
        "name", "start_s", "finish_s", "runtime_s", "walltime_s", "partition", "qos", "ranks",
        "threads", "memory_mb", "depends", "placements",
    } <= set(document["workflows"][0])  # fmt: skip
    assert document["schema"] == "socm.plan/1"
    assert document["workflows"][1]["start_s"] == 3600
    assert document["workflows"][0]["placements"] == [{"partition": "cpu", "node": 0, "ranks": 4}]
    assert document["core_hours"] == 64


def test_simulation_document_has_all_that_its_contract_names(campaign: Path) -> None:
    document = json.loads(socm("simulate", campaign, "--json").stdout)
    assert {
        "schema", "campaign", "cluster", "deadline_s", "feasible", "planned_makespan_s",
        "makespan_s", "probability", "probability_interval", "replications", "seed",
        "assumptions", "core_hours", "utilisation", "workflows",
    } <= set(document)  # fmt: skip
    assert set(document["makespan_s"]) == {"exact", "mean", "p05", "p50", "p95", "max"}
    assert {"name", "start_s", "finish_s", "criticality"} <= set(document["workflows"][0])
    low, high = document["probability_interval"]
    assert 0 <= low <= document["probability"] <= high <= 1
    assert document["replications"] == 200


def test_a_plan_is_simulated_as_its_campaign_is(campaign: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    assert socm("plan", campaign, "--output", plan).returncode == 0
    assert socm("simulate", plan, "--json").stdout == socm("simulate", campaign, "--json").stdout


def _damage(plan: Path, change: str) -> None:
    document: dict[str, Any] = json.loads(plan.read_text())
    first, second = document["workflows"]
    match change:
        case "overlap":
            second["start_s"] -= 60
            second["finish_s"] -= 60
        case "campaign":
            document["campaign"]["workflows"]["first"]["request"]["memory"] = 1
        case "version":
            document["schema"] = "socm.plan/99"
        case "missing":
            del first["placements"]
    plan.write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("overlap", "second: starts at 3540 s, before first ends at 3600 s"),
        ("campaign", "its campaign was changed after it was planned"),
        ("version", "is not a plan: its schema is 'socm.plan/99'"),
        ("missing", "workflows.0.placements"),
    ],
)
def test_a_damaged_plan_is_refused(
    campaign: Path, tmp_path: Path, change: str, message: str
) -> None:
    plan = tmp_path / "plan.json"
    socm("plan", campaign, "--output", plan)
    _damage(plan, change)
    done = socm("simulate", plan)
    assert done.returncode == 2
    assert message in done.stderr
    assert str(plan) in done.stderr


def test_a_missed_deadline_is_told_with_bound_makespan_and_deadline(campaign: Path) -> None:
    campaign.write_text(TWO_STAGES.format(deadline="90m"))
    done = socm("plan", campaign)
    assert done.returncode == 3
    text = " ".join(done.stdout.split())
    assert "no plan can meet it" in text
    assert "lower bound 2 h, makespan 2 h, deadline 1 h 30 min" in text
    simulated = socm("simulate", campaign)
    assert simulated.returncode == 3
    assert "Late" in simulated.stdout


def test_what_fits_nowhere_is_told_at_once_with_reasons(campaign: Path) -> None:
    text = TWO_STAGES.format(deadline="3h").replace("memory: 48G", "memory: 8T", 1)
    campaign.write_text(text.replace("ranks: 4", "ranks: 1", 1))
    done = socm("simulate", campaign)
    assert done.returncode == 3
    assert "first: cpu: one rank needs 8 388 608 MB, a node has 1 000 000" in done.stderr
    assert "Traceback" not in done.stderr
    as_json = json.loads(socm("plan", campaign, "--json").stdout)
    assert as_json["schema"] == "socm.error/1"
    assert as_json["reasons"] == ["first: cpu: one rank needs 8 388 608 MB, a node has 1 000 000"]


def test_reasons_are_listed_per_workflow_and_option(campaign: Path) -> None:
    long = TWO_STAGES.format(deadline="30d").replace("bench.toml", "tiger3")
    campaign.write_text(long.replace("runtime: 1h", "runtime: 20d", 1))
    done = socm("plan", campaign)
    assert done.returncode == 3
    assert "first: vshort: walltime 30-00:00:00 > 5:00:00" in done.stderr
    assert "first: vlong: walltime 30-00:00:00 > 15-00:00:00" in done.stderr


def test_json_of_an_error_is_all_that_is_printed(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere.toml"
    done = socm("plan", missing, "--json")
    assert done.returncode == 2
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document["errors"][0]["file"] == str(missing)
    assert "no such file" in document["errors"][0]["message"]


def test_a_wrong_option_is_a_usage_error(campaign: Path) -> None:
    done = socm("simulate", campaign, "--replicatoins", "3")
    assert done.returncode == 2
    assert "--replications" in done.stderr


def test_the_seed_decides_what_chance_does(campaign: Path) -> None:
    answer = socm("simulate", campaign, "--json", "--seed", "3").stdout
    assert socm("simulate", campaign, "--json", "--seed", "3", "--processes", "1").stdout == answer
    assert socm("simulate", campaign, "--json", "--seed", "4").stdout != answer


def test_no_replications_leave_probability_open(campaign: Path) -> None:
    document = json.loads(socm("simulate", campaign, "--json", "--replications", "0").stdout)
    assert document["probability"] is None
    assert document["makespan_s"]["p95"] is None
    assert document["feasible"] is True


def test_a_cluster_of_ones_own_replaces_the_campaigns(campaign: Path, tmp_path: Path) -> None:
    small = tmp_path / "one.toml"
    small.write_text(SMALL_CLUSTER.replace("28", "1").replace("bench", "one"))
    document = json.loads(socm("plan", campaign, "--cluster", small, "--json").stdout)
    assert document["cluster"]["name"] == "one"


def test_clusters_are_listed_and_shown_with_their_sources() -> None:
    listed = socm("clusters").stdout
    assert {"perlmutter", "tiger3", "universe"} <= set(listed.split())
    shown = socm("clusters", "tiger3").stdout
    assert "vshort" in shown
    assert "checked 2026-11-22" in " ".join(shown.split())


def test_an_unknown_cluster_is_refused_with_a_suggestion() -> None:
    done = socm("clusters", "tigre3")
    assert done.returncode == 2
    assert "did you mean 'tiger3'?" in done.stderr


def test_no_colour_codes_where_output_is_piped(campaign: Path) -> None:
    assert "\x1b" not in socm_process("simulate", campaign, "-n", "5").stdout


def test_colour_can_be_forced_and_no_color_wins(campaign: Path) -> None:
    coloured = socm_process("simulate", campaign, "-n", "5", FORCE_COLOR="1").stdout
    assert "\x1b[" in coloured
    plain = socm_process("simulate", campaign, "-n", "5", FORCE_COLOR="1", NO_COLOR="1").stdout
    assert "\x1b[3" not in plain.replace("\x1b[3m", "")


def test_an_unwritable_output_is_told_without_a_traceback(campaign: Path, tmp_path: Path) -> None:
    done = socm("plan", campaign, "--output", tmp_path / "nowhere" / "plan.json")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = socm_process("--debug", "plan", tmp_path / "nowhere.toml")
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "-t {}",
        "-t{}",
        "--toml {}",
        "--toml={}",
        "--debug -t {}",
        "--debug --toml={}",
        "-t{} --debug",
    ],
)
def test_a_file_alone_is_run(words: str, tmp_path: Path, campaign: Path) -> None:
    folder = tmp_path / "scripts"
    options = ("--executor", "slurm", "--dry-run", "--run-dir", folder)
    done = socm(*words.format(campaign).split(), *options)
    assert done.returncode == 0, done.stderr
    assert any(folder.rglob("*.sh"))
    assert "--toml" in socm("--help").stdout


def test_a_dry_run_that_cannot_write_all_scripts_leaves_none(tmp_path: Path) -> None:
    campaign = tmp_path / "two.yaml"
    campaign.write_text(
        "campaign: {name: two, resource: universe}\n"
        "stages:\n"
        '  a: {executable: "true", depends: null, resources: {runtime: 1m}}\n'
        '  b: {executable: "true", depends: [a], resources: {runtime: 1m}}\n'
    )
    options = ("--executor", "slurm", "--dry-run", "--run-dir", tmp_path / "scripts")
    blocked = tmp_path / "scripts" / "jobs" / "b"
    blocked.parent.mkdir(parents=True)
    blocked.touch()
    done = socm("run", campaign, *options)
    assert done.returncode == 5
    assert "cannot be written" in done.stderr
    assert [*(tmp_path / "scripts").rglob("*")] == [blocked.parent, blocked]
    blocked.unlink()
    assert socm("run", campaign, *options).returncode == 0
    before = {path: path.read_bytes() for path in (tmp_path / "scripts").rglob("*.sh")}
    assert len(before) == 2
    shutil.rmtree(tmp_path / "scripts" / "jobs" / "b")
    blocked.touch()
    assert socm("run", campaign, *options).returncode == 5
    left = {path: path.read_bytes() for path in (tmp_path / "scripts").rglob("*.sh")}
    assert left == {path: text for path, text in before.items() if path.parts[-3] == "a"}


@pytest.mark.parametrize(
    ("home", "folder", "why"),
    [
        (None, "~/x", "HOME is not set"),
        ("here", "~no-such-user/x", "there is no user 'no-such-user'"),
        ("here", "~/x", None),
    ],
)
def test_no_folder_is_called_by_the_sign_for_home(
    home: str | None,
    folder: str,
    why: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    campaign: Path,
) -> None:
    """A shell leaves it where it is quoted."""
    monkeypatch.chdir(tmp_path)
    if home is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", str(tmp_path / home))
    done = socm("run", campaign, "--executor", "slurm", "--dry-run", "--run-dir", folder)
    if why is None:
        assert done.returncode == 0, done.stderr
        assert any((tmp_path / "here" / "x").rglob("*.sh"))
    else:
        assert done.returncode == 2
        assert why in " ".join(done.stderr.split())
    assert not [*tmp_path.glob("~*")]


@pytest.mark.parametrize("name", ["it's", "50%", "a#b", "a\\b", "two\nlines"])
def test_a_folder_that_slurm_does_not_accept_is_refused_before_the_run_begins(
    tmp_path: Path, campaign: Path, name: str
) -> None:
    """Else there would be a run of which every workflow fails."""
    commands, run = tmp_path / "bin", tmp_path / name / "run"
    commands.mkdir()
    for command, does in {"sinfo": "echo cpu", "sbatch": f"touch {tmp_path}/asked"}.items():
        (commands / command).write_text(f"#!/bin/sh\n{does}\n")
        (commands / command).chmod(0o755)
    options = ("--yes", "--executor", "slurm", "--cluster", TIGER, "--run-dir", str(run))
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    done = socm_process("run", str(campaign), *options, PATH=path)
    assert done.returncode == 5, done.stdout + done.stderr
    assert "SLURM does not accept quotes" in done.stderr
    assert "hint: choose another name or folder" in done.stderr
    assert not run.parent.exists()
    assert not (tmp_path / "asked").exists()


def test_plot_writes_a_picture(campaign: Path, tmp_path: Path) -> None:
    picture = tmp_path / "gantt.svg"
    assert socm("simulate", campaign, "--plot", picture).returncode == 0
    assert "<svg" in picture.read_text()


def test_completion_is_there() -> None:
    done = socm_process(
        "--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1"
    )
    assert "complete" in done.stdout


def test_init_writes_a_campaign_that_is_simulated_as_it_stands(tmp_path: Path) -> None:
    for name in ("maps.toml", "dag.yaml"):
        path = tmp_path / name
        assert socm("init", path, "--deadline", "36h", "--resource", "tiger3").returncode == 0
        document = json.loads(socm("simulate", path, "--json", "-n", "5").stdout)
        assert document["deadline_s"] == 36 * 3600
        assert document["feasible"] is True


def test_init_overwrites_nothing_unless_told_to(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("mine")
    refused = socm("init", path)
    assert refused.returncode == 2
    assert "already exists" in refused.stderr
    assert path.read_text() == "mine"
    assert socm("init", path, "--force").returncode == 0
    assert "stages:" in path.read_text()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [("--deadline", "soon", "is not a duration"), ("--resource", "tigre3", "did you mean")],
)
def test_init_checks_what_it_is_told(tmp_path: Path, option: str, value: str, message: str) -> None:
    done = socm("init", tmp_path / "c.yaml", option, value)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "c.yaml").exists()


def test_validate_shows_every_value_and_where_it_comes_from(campaign: Path) -> None:
    shown = socm("validate", campaign, "--show").stdout
    assert re.search(r"deadline +3 h ", shown)
    assert re.search(r"policy +time +built-in", shown)
    resolved = json.loads(socm("validate", campaign, "--json").stdout)["resolved"]
    assert {
        "table": "first",
        "key": "memory",
        "value": 49152,
        "origin": f"{campaign}:7",
    } in resolved


def test_validate_without_a_file_says_so() -> None:
    done = socm("validate")
    assert done.returncode == 2
    assert "name a campaign file" in done.stderr


def test_a_mistake_is_shown_with_its_line_and_a_caret(campaign: Path) -> None:
    campaign.write_text(campaign.read_text().replace("deadline", "deadlin"))
    done = socm("plan", campaign)
    assert "  2 |   deadlin: 3h\n    |   ^^^^^^^\n  hint: did you mean 'deadline'?" in done.stderr
    told = json.loads(socm("plan", campaign, "--json").stdout)["errors"][0]
    assert (told["line"], told["column"], told["text"]) == (2, 3, "  deadlin: 3h")


def test_a_long_plan_is_summed_up_and_its_exceptions_are_named(tmp_path: Path) -> None:
    stages = [
        f"  s{k}: {{executable: x, resources: {{runtime: {k + 1}m, memory: 1G}}}}\n"
        for k in range(50)
    ]
    path = tmp_path / "long.yaml"
    path.write_text("campaign: {resource: tiger3}\nstages:\n" + "".join(stages))
    text = socm("plan", path).stdout
    assert re.search(r"stage +50 ", text)
    assert "s49" in text
    assert not re.search(r"\bs0\b", text)
    assert re.search(r"\bs0\b", socm("plan", path, "--all").stdout)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_completes_verbs(shell: str) -> None:
    variables = {
        "bash": {"COMP_WORDS": "socm sim", "COMP_CWORD": "1"},
        "zsh": {"_TYPER_COMPLETE_ARGS": "socm sim"},
        "fish": {"_TYPER_COMPLETE_ARGS": "socm sim", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("socm"))],
        env={**os.environ, **variables, "_SOCM_COMPLETE": f"complete_{shell}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "simulate" in done.stdout
    assert "validate" not in done.stdout


def test_the_package_gives_what_the_guide_names() -> None:
    for name in package.__all__:
        assert getattr(package, name) is not None, name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_resource_is_the_guides_with_memory_in_mb() -> None:
    tiger3 = package.Resource(
        name="tiger3",
        nodes=4,
        cores_per_node=112,
        memory_per_node=1_000_000,
        default_queue="tiger-test",
        maximum_walltime=3_600_000,
    )
    assert tiger3.partitions[0].memory == 1_000_000
    assert tiger3.qos_by_size[0].walltime == 3_600_000


def test_names_are_never_taken_for_markup(tmp_path: Path, campaign: Path) -> None:
    name = "[/red] [v2] :smile:"
    campaign.write_text(
        campaign.read_text().replace("campaign:", f"campaign:\n  name: '{name}'", 1)
    )
    for verb in ("plan", "simulate", "validate"):
        assert name in socm(verb, campaign).stdout
    output = tmp_path / "x[v3].json"
    assert "x[v3].json" in "".join(socm("plan", campaign, "--output", output).stdout.split())


def test_output_may_be_read_by_the_group_and_follows_links(campaign: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to(tmp_path / "real.json")
    socm("plan", campaign, "--output", link)
    assert link.is_symlink()
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "real.json").stat().st_mode & 0o777 == 0o666 & ~mask


def test_output_to_a_device_leaves_the_device(campaign: Path) -> None:
    assert socm("plan", campaign, "--output", "/dev/null").returncode == 0
    assert not Path("/dev/null").is_file()


def test_a_reader_that_has_seen_enough_is_no_error(campaign: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m socm plan {campaign} 2>&1 | head -n 1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "0"


def test_an_output_that_takes_nothing_is_told(campaign: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "socm", "plan", str(campaign), "--json"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr


def test_what_a_terminal_cannot_show_is_left_out(campaign: Path) -> None:
    done = socm_process("simulate", campaign, "-n", "5", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "In time" in done.stdout


def test_warnings_of_loading_are_in_the_documents(campaign: Path) -> None:
    campaign.write_text(campaign.read_text().replace("memory: 48G, ", ""))
    for verb in ("plan", "simulate"):
        warnings = json.loads(socm(verb, campaign, "--json").stdout)["warnings"]
        assert any("memory is not given for first and second" in w for w in warnings)


def _mangle(document: dict[str, Any], change: str) -> None:
    first = document["workflows"][0]
    partition = document["cluster"]["partitions"][0]
    window = {"partition": "cpu", "node": 0, "start": 0, "finish": 9}
    match change:
        case "end before start":
            first |= {"fixed": True, "finish_s": first["start_s"]}
        case "unknown reservation":
            document["reservations"] = [window | {"partition": "zz"}]
        case "reservation beyond":
            document["reservations"] = [window | {"node": 99}]
        case "reservation backwards":
            document["reservations"] = [window | {"start": 10}]
        case "speed":
            partition["speed"] = 0
        case "huge":
            partition["nodes"] = 10**12
        case "no number":
            first["upward_rank_s"] = float("nan")
        case "far":
            document["start_s"] = 10**30
        case "twin partitions":
            document["cluster"]["partitions"] *= 2
        case "shape":
            document["shape"] = "allocation"
        case "campaign":
            document["campaign"] = []
        case "order":
            document["workflows"].reverse()


@pytest.mark.parametrize(
    "change",
    [
        "end before start", "unknown reservation", "reservation beyond", "reservation backwards",
        "speed", "huge", "no number", "far", "twin partitions", "shape", "campaign", "order",
    ],
)  # fmt: skip
def test_a_plan_that_was_mangled_is_refused(campaign: Path, tmp_path: Path, change: str) -> None:
    plan = tmp_path / "plan.json"
    socm("plan", campaign, "--output", plan)
    document = json.loads(plan.read_text())
    _mangle(document, change)
    plan.write_text(json.dumps(document))
    for verb in ("plan", "simulate"):
        done = socm(verb, plan)
        assert done.returncode == 2, done.stdout
        assert str(plan) in done.stderr


def test_a_narrow_terminal_shows_who_runs_when(campaign: Path) -> None:
    with mock.patch.dict(os.environ, {"COLUMNS": "40"}):
        done = socm_process("plan", campaign, COLUMNS="40")
    assert re.search(r"second +1 +1:00:00 +2:00:00", done.stdout)
