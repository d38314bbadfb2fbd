"""``socm run`` and ``socm resume``: run a campaign to its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from socm.cli.common import (
    DRY_RUN,
    CampaignOrPlan,
    ClusterOption,
    JsonOption,
    MaintenanceOption,
    console,
    finite,
    print_json,
    run_document,
    warn,
    warn_of,
)
from socm.cli.intake import Intake, refuse_unready, take_in, with_maintenance
from socm.cli.interrupts import INTERRUPTED
from socm.cli.streams import telling_kills_nothing
from socm.errors import ActiveRun, ConfigError, Problem
from socm.words import count

if TYPE_CHECKING:
    from socm.engine.backend import Job
    from socm.engine.life import Life
    from socm.engine.run import Run
    from socm.engine.state import CampaignState
    from socm.executor import Executor
    from socm.model.allocation import AnyPlan

RUN_EXAMPLES = """
[bold]Examples[/bold]

  socm run campaign.toml

  socm run plan.json --yes --run-dir /scratch/me/maps

  socm run campaign.toml --executor local --dry-run
"""
RESUME_EXAMPLES = """
[bold]Examples[/bold]

  socm resume

  socm resume maps-3 --retry-failed
"""

RunArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="RUN",
        help="Name or folder of a run (default: the last one started).",
        show_default=False,
    ),
]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Write the job scripts and submit nothing.")
]


def _from_home(path: Path | None) -> Path | None:
    """Replace `~`, where the shell has left it: a folder would be made that is called so."""
    if path is None or not str(path).startswith("~"):
        return path
    try:
        if path.parts[0] == "~":
            return Path(os.environ["HOME"], *path.parts[1:])
        return path.expanduser()
    except KeyError:
        why = "HOME is not set"
    except RuntimeError:
        why = f"there is no user {path.parts[0][1:]!r}"
    raise typer.BadParameter(f"{path}: {path.parts[0]} stands for no folder, {why}")


_RunDir = Annotated[
    Path | None,
    typer.Option(
        "--run-dir",
        metavar="DIR",
        callback=_from_home,
        help="Folder of the run (default: socm-runs/NAME-N).",
    ),
]
_Executor = Annotated[
    str | None,
    typer.Option(
        "--executor",
        metavar="NAME",
        help="Where to run: slurm, local, steps (within an allocation), an executor of PSI/J, or "
        "one of another package.",
    ),
]
_Interval = Annotated[
    float | None,
    typer.Option(
        "--poll-interval",
        metavar="SECONDS",
        min=0.1,
        callback=finite,
        help="Seconds between two queries to SLURM (default: 30 s, longer while nothing changes).",
    ),
]
_FailFast = Annotated[
    bool,
    typer.Option("--fail-fast", help="Stop submitting once any workflow has failed permanently."),
]


@telling_kills_nothing()
def run(
    file: CampaignOrPlan,
    cluster: ClusterOption = None,
    maintenance: MaintenanceOption = None,
    executor: _Executor = None,
    run_dir: _RunDir = None,
    poll_interval: _Interval = None,
    fail_fast: _FailFast = False,
    dry_run: _DryRun = False,
    yes: _Yes = False,
    json: JsonOption = False,
) -> int:
    """Run a campaign: each workflow as a job of SLURM, or inside of an allocation as a step of it.

    Without SLURM, it runs on this machine. Shows the plan and asks for confirmation before it
    submits anything. Exit code 0 if every workflow completed, 1 if some did not, 4 if the
    allocation has no time left for the rest, 5 if the cluster cannot be reached, 130 if
    interrupted.
    """
    from socm.cli.allocated import to_submit
    from socm.engine.attempts import first_attempts
    from socm.engine.run import Run, RunSettings
    from socm.executor import STEPS, choose_executor, executor_type
    from socm.report.run import plan_preview

    taken = _taken_in(file, cluster, executor)
    taken = replace(taken, cluster=with_maintenance(taken.cluster, maintenance))
    if executor is None:
        chosen, why = choose_executor(taken.campaign.execution_schema, taken.cluster.name)
    else:
        chosen, why = executor, "as --executor says"
    _check_cluster(taken, chosen, cluster)
    refuse_unready(taken.campaign, taken.cluster, file)
    made = taken.any_plan()
    plan, allocations = to_submit(made, chosen)
    folder = (run_dir or DRY_RUN).absolute()
    preview = executor_type(chosen)(folder, plan.cluster, epoch=0.0)
    if not dry_run:
        preview.check(plan)
    out = console()
    if not json:
        warn(made.warnings)
        for part in plan_preview(made, chosen, why, width=out.width):
            out.print(part)
    if dry_run:
        scripts = _scripts(preview, first_attempts(plan), folder)
        if json:
            print_json({"schema": "socm.dry-run/1", "scripts": [str(path) for path in scripts]})
        else:
            written = count(len(scripts), "job script")
            out.print(f"{written} written to {folder}; nothing was submitted")
        return 0
    if not yes:
        _ask(made)
    settings = RunSettings(
        executor=chosen,
        file=str(file.absolute()),
        poll_interval=poll_interval,
        fail_fast=fail_fast,
    )
    run = Run.create(plan, settings, run_dir, allocations=allocations, executor_inside=STEPS)
    return _carry_out(run, json=json)


@telling_kills_nothing()
def resume(
    name: RunArgument = None,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="Retry failed workflows and everything that was skipped because of them.",
        ),
    ] = False,
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes",
            help="Continue with the edited campaign file: withdraw the jobs that wait of edited "
            "workflows, and replan the remaining ones.",
        ),
    ] = False,
    if_idle: Annotated[
        bool,
        typer.Option(
            "--if-idle",
            help="Do nothing, with exit code 0, if a process carries the run on (for cron).",
        ),
    ] = False,
    poll_interval: _Interval = None,
    json: JsonOption = False,
) -> int:
    """Resume a run after a crash, a logout or Ctrl-C.

    Follows the jobs that are still there, records those that have ended, and submits what is
    missing. Nothing is submitted twice.
    """
    from socm.engine.run import Run

    found = Run.find(name, tell=warn_of)
    if if_idle and (life := found.life()) is not None:
        return _left_alone(found, life, json=json)
    try:
        return _carry_out(
            found,
            retry_failed=retry_failed,
            accept=accept_changes,
            poll_interval=poll_interval,
            json=json,
        )
    except ActiveRun:
        if if_idle and (life := found.life()) is not None:  # it began a moment ago
            return _left_alone(found, life, json=json)
        raise


def _left_alone(run: Run, life: Life, *, json: bool) -> int:
    """Say that another process carries a run on."""
    if json:
        print_json(run_document(run, life=life))
    else:
        console().print(f"{run.name}: {life.owner} carries it on; nothing to do", markup=False)
    return 0


# Before it starts


def _taken_in(file: Path, cluster: str | None, executor: str | None) -> Intake:
    """Read a campaign for the cluster of the executor, or a plan, which has its cluster."""
    from socm.executor import default_schema, executor_type

    if executor is None:
        return take_in(file, cluster, execution_schema=default_schema())
    kind = executor_type(executor)
    return take_in(file, cluster if file.suffix == ".json" else kind.cluster_for(cluster))


def _check_cluster(taken: Intake, executor: str, named: str | None) -> None:
    """Refuse what is planned for a cluster that the executor does not run on."""
    from socm.executor import executor_type

    kind = executor_type(executor)
    why_not = kind.why_not(taken.cluster)
    if why_not is None:
        return
    message = f"was planned for {taken.cluster.name}, {why_not}"
    again = kind.cluster_for(None) or "CLUSTER"
    hint = f"`socm plan CAMPAIGN --cluster {again} --output {taken.file.name}` plans it again"
    if named is not None and taken.made is None:
        message = f"--cluster is {named}, but the executor is {executor}"
        hint = "leave --cluster out, or name another --executor"
    raise ConfigError(Problem(file=str(taken.file), message=message, hint=hint))


def _ask(plan: AnyPlan) -> None:
    """Ask for confirmation."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(
            Problem(
                message="confirmation needs a terminal; nothing was submitted",
                hint="--yes submits without asking, --dry-run shows what would be submitted",
            )
        )
    if not typer.confirm(f"Submit {count(len(plan.workflows), 'workflow')}?"):
        typer.echo("nothing was submitted", err=True)
        raise typer.Abort


def _scripts(executor: Executor, jobs: Iterable[Job], folder: Path) -> list[Path]:
    """Write the scripts of jobs: all of them, or none that was not there before."""

    def there() -> set[Path]:
        found = [path for part in ("jobs", "results") for path in folder.glob(f"{part}/**/*")]
        tops = (folder, folder / "jobs", folder / "results")
        return {*found, *(path for path in tops if path.exists())}

    before = there()
    try:
        return [executor.write_script(job) for job in jobs]
    except BaseException:
        for path in sorted(there() - before, reverse=True):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


# While it runs


def _carry_out(
    run: Run,
    *,
    retry_failed: bool = False,
    accept: bool = False,
    poll_interval: float | None = None,
    json: bool = False,
) -> int:
    """Run the remaining workflows of a run, and report how it ended."""
    from socm.cli.allocated import locked, retry_inside, retry_policy
    from socm.cli.changes import accept_changes, changes_of, refuse_changes
    from socm.cli.progress import Reporter
    from socm.cli.requests import UserRequests
    from socm.engine.driver import run_plan
    from socm.engine.journal import MENDED, FileJournal
    from socm.executor import open_executor
    from socm.executor.folder import make_run_folder, reusable

    fail_fast = run.settings.fail_fast
    if not accept and run.journal.exists():
        refuse_changes(run)
        state = run.state()
        if state.is_finished(run.plan, retry_failed=retry_failed, fail_fast=fail_fast):
            return _ending(run, state, json=json)
    with locked(run) as life, FileJournal(run.journal) as journal:
        if retry_failed:
            retry_inside(run)
        if not journal.events:
            run.begin()
        make_run_folder(run.path)
        changes = changes_of(run) if accept and journal.events else None
        executor = open_executor(run, poll_interval=poll_interval, not_before=journal.latest)
        with (
            Reporter(run, executor, quiet=json) as reporter,
            UserRequests(run, life, reporter.say) as requests,
        ):
            if journal.mended:
                reporter.say(MENDED)
            if changes is not None:
                accept_changes(changes, run, journal, executor, requests, reporter)
            state = run_plan(
                run.plan,
                executor,
                journal,
                job_prefix=run.id,
                retry=retry_policy(run),
                events=[*journal.events],
                retry_failed=retry_failed,
                fail_fast=fail_fast,
                reusable=reusable,
                closes=executor.closes,
                requests=requests,
                reporter=reporter,
            )
    code = _ending(run, state, json=json)
    return INTERRUPTED if requests.interrupts else code


def _ending(run: Run, state: CampaignState, *, json: bool) -> int:
    """Report how a run ended; return the exit code."""
    from socm.engine.allocations import UNFINISHED
    from socm.engine.state import Status
    from socm.report.run import ending

    if json:
        print_json(run_document(run, state, life=None))
    else:
        out = console()
        if (inside := run.inside) is not None:
            for part in ending(inside, inside.plan, inside.state()):
                out.print(part)
        for part in ending(run, run.plan, state):
            out.print(part)
    if all(p.status is Status.COMPLETED for p in state.workflows.values()):
        return 0
    return UNFINISHED if state.ended is None else 1
