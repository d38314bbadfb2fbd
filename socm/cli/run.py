"""``socm run`` and ``socm resume``: a plan carried out, and carried on."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from socm.cli.common import (
    CampaignOrPlan,
    ClusterOption,
    JsonOption,
    console,
    print_json,
    warn,
)
from socm.cli.intake import Intake, refuse_unready, take_in
from socm.errors import BackendUnavailable, ConfigError, Problem

if TYPE_CHECKING:
    from socm.engine.run import Options, Run
    from socm.executor.local import LocalBackend
    from socm.executor.psij import OtherBackend, SlurmBackend
    from socm.model.plan import Plan

    RunBackend = LocalBackend | SlurmBackend | OtherBackend

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
        help="Name or folder of a run; the last one if not given.",
        show_default=False,
    ),
]
_Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Write the job scripts, and submit nothing.")
]
_RunDir = Annotated[
    Path | None,
    typer.Option(
        "--run-dir", metavar="DIR", help="Folder of the run; socm-runs/NAME-N if not given."
    ),
]
_Executor = Annotated[
    str | None,
    typer.Option("--executor", metavar="NAME", help="slurm, local, or another that PSI/J knows."),
]
_Interval = Annotated[
    float | None,
    typer.Option(
        "--poll-interval",
        metavar="SECONDS",
        min=0.1,
        help="How often SLURM is asked; 30 s at first.",
    ),
]
_FailFast = Annotated[
    bool, typer.Option("--fail-fast", help="After a failure for good submit nothing more.")
]


def run(
    file: CampaignOrPlan,
    cluster: ClusterOption = None,
    executor: _Executor = None,
    run_dir: _RunDir = None,
    poll_interval: _Interval = None,
    fail_fast: _FailFast = False,
    dry_run: _DryRun = False,
    yes: _Yes = False,
    json: JsonOption = False,
) -> int:
    """Carry a campaign out: each workflow a job, on SLURM or on this machine.

    Shows the plan and what will be submitted, and asks. Exit code 0 if every workflow completed,
    1 if some did not, 5 if the cluster cannot be reached; 130 if interrupted.
    """
    from socm.engine.driver import need_jobs
    from socm.engine.run import Options, Run
    from socm.report.run import plan_preview

    taken = _taken_in(file, cluster, executor)
    chosen, why = _executor(taken, executor)
    refuse_unready(taken.campaign, file)
    if chosen == "slurm" and not dry_run:
        _need_sbatch(file)
    _check_place(taken, chosen, cluster)
    plan = taken.plan()
    need_jobs(plan)
    if chosen == "slurm" and not dry_run:
        _check_partitions(file, plan)
    options = Options(
        executor=chosen,
        file=str(file.absolute()),
        poll_interval=poll_interval,
        fail_fast=fail_fast,
    )
    out = console()
    if not json:
        warn(plan.warnings)
        for part in plan_preview(plan, chosen, why, width=out.width):
            out.print(part)
    if dry_run:
        folder = (run_dir or Path("socm-runs") / "dry-run").absolute()
        scripts = _write_scripts(plan, options, folder)
        if json:
            print_json({"schema": "socm.dry-run/1", "scripts": [str(path) for path in scripts]})
        else:
            out.print(f"{len(scripts)} job scripts written to {folder}; nothing was submitted")
        return 0
    if not yes:
        _ask(plan)
    begun = Run.create(plan, options, run_dir)
    return _carry_out(begun, json=json)


def resume(
    name: RunArgument = None,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Try those again that failed, and what they held up."),
    ] = False,
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes",
            help="Go on with the campaign file as it is now; plan what is left anew.",
        ),
    ] = False,
    poll_interval: _Interval = None,
    json: JsonOption = False,
) -> int:
    """Carry a run on after whatever ended it: a crash, a logout, Ctrl-C.

    Jobs that live are followed, those that ended meanwhile are taken in, and what is missing is
    submitted. Nothing is submitted twice.
    """
    from socm.engine.run import Run

    found = Run.find(name)
    return _carry_out(
        found,
        retry_failed=retry_failed,
        accept_changes=accept_changes,
        poll_interval=poll_interval,
        json=json,
    )


# Where to


def _taken_in(file: Path, cluster: str | None, executor: str | None) -> Intake:
    """Read a campaign for the place where it is to run, or a plan, whose place is settled."""
    from socm.config.cluster import LOCAL

    if executor == LOCAL and file.suffix != ".json":
        # A file may describe a part of this machine; any other cluster is elsewhere.
        cluster = cluster if cluster and cluster.endswith(".toml") else LOCAL
    here = executor is None and shutil.which("sbatch") is None
    return take_in(file, cluster, execution_schema=LOCAL if here else None)


def _executor(taken: Intake, asked: str | None) -> tuple[str, str]:
    """Say which executor runs a campaign, and why."""
    from socm.config.cluster import LOCAL

    schema, named = taken.campaign.execution_schema, taken.cluster.name
    has_slurm = shutil.which("sbatch") is not None
    if asked is not None:
        chosen, why = asked, "as --executor says"
    elif schema == "batch":
        raise ConfigError(
            Problem(
                file=str(taken.file),
                message="execution_schema 'batch' is not there yet",
                hint="use 'remote' for jobs on the cluster, or 'local' for this machine",
            )
        )
    elif LOCAL in (schema, named):
        chosen, why = LOCAL, "as the campaign says" if schema else "for which it was planned"
    elif schema == "remote":
        chosen, why = "slurm", "as the campaign says"
    else:
        chosen = "slurm" if has_slurm else LOCAL
        why = "sbatch is here" if has_slurm else "there is no sbatch here"
    return chosen, why


def _need_sbatch(file: Path) -> None:
    if shutil.which("sbatch") is None:
        raise BackendUnavailable(
            "there is no sbatch on this machine",
            hint=f"log in to the cluster, try it here with `socm run {file} --executor local`, or "
            "see with --dry-run what would be submitted",
        )


def _check_place(taken: Intake, executor: str, cluster: str | None) -> None:
    """Refuse what is planned for another place than the executor's."""
    from socm.config.cluster import LOCAL, this_machine

    name, planned, machine = taken.cluster.name, taken.cluster.partitions[0], None
    if executor == LOCAL and not (cluster and cluster.endswith(".toml")):
        machine = this_machine().partitions[0]
    if executor == "slurm" and name == LOCAL:
        _refuse(taken.file, "was planned for this machine, not for a cluster", "CLUSTER")
    if machine is not None and cluster is not None and name != LOCAL:
        message = f"--cluster is {cluster}, but this campaign would run on this machine"
        hint = "leave --cluster out, or run on the cluster with --executor slurm"
        raise ConfigError(Problem(file=str(taken.file), message=message, hint=hint))
    if machine is not None and name != LOCAL:
        _refuse(taken.file, f"was planned for {name}, not for this machine", LOCAL)
    if machine is not None and (planned.cores > machine.cores or planned.memory > machine.memory):
        _refuse(taken.file, "was planned for a larger machine than this one", LOCAL)


def _check_partitions(file: Path, plan: Plan) -> None:
    """Refuse a plan that this SLURM has not the partitions for."""
    from socm.executor.slurm import Slurm

    clusters = plan.cluster.by_partition
    used = {clusters[w.partition].slurm_name or w.partition for w in plan.workflows}
    there = Slurm().partitions()
    if missing := sorted(used - there):
        names = ", ".join(repr(name) for name in missing)
        message = (
            f"was planned for {plan.cluster.name}, but the SLURM here has no partition {names}; "
            f"it has {', '.join(sorted(there))}"
        )
        _refuse(file, message, "CLUSTER")


def _refuse(file: Path, message: str, cluster: str) -> None:
    hint = f"`socm plan CAMPAIGN --cluster {cluster} --output {file.name}` plans it again"
    raise ConfigError(Problem(file=str(file), message=message, hint=hint))


def backend_of(run: Run, plan: Plan, options: Options) -> RunBackend:
    """Return the backend that a run's executor stands for."""
    return _backend(run.path, plan, run.epoch, options)


def _backend(path: Path, plan: Plan, epoch: float, options: Options) -> RunBackend:
    from socm.executor.local import LocalBackend
    from socm.executor.psij import POLL_INTERVAL, OtherBackend, SlurmBackend

    if options.executor == "slurm":
        interval = options.poll_interval or POLL_INTERVAL
        return SlurmBackend(path, plan.cluster, epoch, poll_interval=interval)
    if options.executor == "local":
        return LocalBackend(path, plan.cluster, epoch)
    return OtherBackend(path, plan.cluster, epoch, name=options.executor)


def _write_scripts(plan: Plan, options: Options, folder: Path) -> list[Path]:
    """Write the script of each first attempt."""
    from socm.engine.driver import job_of
    from socm.engine.state import CampaignState

    backend = _backend(folder, plan, 0.0, options)
    state = CampaignState.of(plan)
    written = []
    for priority, planned in enumerate(plan.workflows):
        progress = state.workflows[planned.name]
        job = job_of(plan, planned.name, progress, "dry-run", priority)
        place, script = backend.script(job)
        place.make(script, {})
        written.append(place.script)
    return written


def _ask(plan: Plan) -> None:
    """Go on only if somebody says so."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ConfigError(
            Problem(
                message="there is no terminal to ask on, and nothing was submitted",
                hint="--yes submits without asking, --dry-run shows what would be",
            )
        )
    if not typer.confirm(f"Submit {len(plan.workflows)} workflows?"):
        typer.echo("nothing was submitted", err=True)
        raise typer.Abort


# Carrying out


def _carry_out(
    run: Run,
    *,
    retry_failed: bool = False,
    accept_changes: bool = False,
    poll_interval: float | None = None,
    json: bool = False,
) -> int:
    """Carry a run on from where it is, and say how it went."""
    from dataclasses import replace

    from socm.cli.changes import take_in_changes
    from socm.cli.progress import Control, Teller
    from socm.engine.driver import run_plan
    from socm.engine.journal import FileJournal
    from socm.executor.folder import make_run_folder, reusable
    from socm.report.run import ending
    from socm.report.status import status_document

    with run.lock():
        make_run_folder(run.path)
        journal = FileJournal(run.journal)
        events = [*journal.events]
        if events:
            take_in_changes(run, accept=accept_changes)
        plan = run.plan
        options = replace(run.options, poll_interval=poll_interval or run.options.poll_interval)
        backend = backend_of(run, plan, options)
        with Teller(run, backend, journal, events, quiet=json) as teller, Control(run) as control:
            control.listener = teller.refresh
            state = run_plan(
                plan,
                backend,
                teller,
                run=run.id,
                events=events,
                retry_failed=retry_failed,
                fail_fast=options.fail_fast,
                reusable=reusable,
                control=control,
            )
        journal.close()
    if json:
        running = False
        print_json(status_document(run.name, plan, state, run.epoch, running=running))
    else:
        out = console()
        for part in ending(run, plan, state, stopped=control.interrupts > 0):
            out.print(part)
    if control.interrupts:
        return 130
    good = all(p.status.value == "completed" for p in state.workflows.values())
    return 0 if good else 1
