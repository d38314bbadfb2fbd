"""``socm simulate``: the probability that a plan meets the deadline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from socm.cli.common import (
    AssumeSplits,
    CampaignOrPlan,
    ClusterOption,
    EffortOption,
    JsonOption,
    MaintenanceOption,
    OutputOption,
    console,
    effort_of,
    print_json,
    warn,
    write_json,
)
from socm.cli.intake import take_in

if TYPE_CHECKING:
    from socm.model.allocation import AnyPlan
    from socm.model.outcome import Simulation

EXAMPLES = """
[bold]Examples[/bold]

  socm simulate campaign.toml

  socm simulate plan.json --replications 2000 --seed 7

  socm simulate dag.yaml --cluster my-cluster.toml --plot gantt.svg
"""


REPLICATIONS = 200


def simulate(
    file: CampaignOrPlan,
    cluster: ClusterOption = None,
    assume_splits: AssumeSplits = False,
    maintenance: MaintenanceOption = None,
    effort: EffortOption = None,
    replications: Annotated[
        int | None,
        typer.Option(
            "--replications",
            "-n",
            min=0,
            max=1_000_000,
            help=f"Number of simulated runs with random runtimes (default: {REPLICATIONS}).",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            "--seed",
            min=0,
            help="Random seed; the same seed reproduces the same runtimes (default: 0).",
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes", min=1, help="Maximum number of processes (default: one per core)."
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Draw the Gantt chart and the utilisation: .html, .svg, .png or .pdf.",
        ),
    ] = None,
    output: OutputOption = None,
    json: JsonOption = False,
) -> int:
    """Simulate a plan on an emulated cluster: the probability of meeting the deadline.

    Runs once with the expected runtimes, and many times with random ones. Exit code 0 if the run
    with the expected runtimes meets the deadline or there is none, 3 if it does not.
    """
    from socm.cli import whynot
    from socm.config.settings import load_settings
    from socm.model.document import simulation_document
    from socm.model.plan import Plan

    settings = load_settings()

    def chosen(name: str, given: int | None, default: int | None) -> int | None:
        setting = settings.find("simulate", name)
        value = given if given is not None else setting.value if setting else default
        assert value is None or isinstance(value, int)
        return value

    if plot is not None:
        from socm.report.picture import picture_format

        picture_format(plot)  # a wrong suffix is an error before the work, not after it
    taken = take_in(file, cluster, assume_splits=assume_splits, maintenance=maintenance)
    plan = taken.any_plan(effort_of(effort))
    if not json:
        warn(plan.warnings)
    simulation = _simulate(
        plan,
        chosen("replications", replications, REPLICATIONS) or 0,
        chosen("seed", seed, 0) or 0,
        chosen("processes", processes, usable_cores()) or 1,
    )
    # Remedies are planned as jobs.
    why = whynot.explain(plan) if isinstance(plan, Plan) else None
    document = {**simulation_document(simulation), "why_not": whynot.document_of(why)}
    if output is not None:
        write_json(document, output)
    if plot is not None:
        from socm.report.picture import draw

        draw(simulation, plot)
    if json:
        print_json(document)
    else:
        from socm.report.gantt import gantt
        from socm.report.table import facts_table
        from socm.report.verdict import simulation_facts, simulation_verdict

        out = console()
        out.print(f"{plan.campaign.name} on {plan.cluster.name}", style="bold")
        out.print(gantt(simulation, width=min(out.width, 120)))
        out.print()
        out.print(facts_table(simulation_facts(simulation)))
        out.print()
        verdict = simulation_verdict(simulation)
        out.print(verdict, style="bold green" if simulation.feasible else "bold red")
        whynot.tell(out, why, file)
        for path in (plot, output):
            if path is not None:
                out.print(f"written to {path}", style="dim")
    return 0 if simulation.feasible else 3


def usable_cores() -> int:
    """Return the number of cores that this process may use; in a job, often not all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _simulate(plan: AnyPlan, replications: int, seed: int, processes: int) -> Simulation:
    """Simulate, with a progress bar on a terminal."""
    from rich.progress import Progress

    from sim.montecarlo import simulate
    from socm.report.terminal import Terminal

    errors = Terminal(stderr=True)
    with Progress(console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("replications", total=replications)
        return simulate(
            plan,
            replications=replications,
            seed=seed,
            processes=processes,
            progress=lambda done: bar.update(task, completed=done),
        )
