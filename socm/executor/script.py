"""The script of a job: its sbatch options, and the commands that it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from shlex import join, quote

from socm.engine.backend import Job
from socm.errors import SubmitError
from socm.executor.folder import JobFolder
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.site import is_literal

PATIENCE = 60
"""Seconds that a script waits for notes of ranks, which may come late from other nodes."""
_GUARD, _RANK_SH, _RANK_PY = (
    Path(__file__).with_name(name).read_text() for name in ("guard.sh", "rank.sh", "rank.py")
)


def sbatch_options(
    job: Job, cluster: Cluster, folder: JobFolder
) -> Iterator[tuple[str, str | int | None]]:
    """Yield the sbatch options of a job, as names and values.

    Nodes are counted: those of a plan are virtual. Named are those that are shared with other jobs
    to stay within a budget of nodes, and those that failed under an earlier attempt. Of what else
    is asked, the workflow has the last word, then the campaign, the QOS, the partition, the
    cluster.
    """
    partition, qos = cluster.by_partition[job.partition], cluster.by_qos[job.qos or ""]
    cpus = job.demand.threads * partition.threads_per_core
    yield "job-name", job.name
    yield "comment", f"socm:{job.workflow.name}:{job.attempt}"
    if partition.send:
        yield "partition", partition.slurm_name or partition.name
    if job.qos and qos.send:
        yield "qos", qos.slurm_name or qos.name
    if account := cluster.account_of(job.workflow.request.account, partition):
        yield "account", account
    yield "nodes", len(job.placements)
    yield "ntasks", job.demand.ranks
    yield "cpus-per-task", cpus
    if job.demand.exclusive:
        if partition.exclusive or qos.exclusive:
            yield "exclusive", None
        yield "mem", 0
    elif job.demand.memory:
        yield from _memory_options(job, cpus, partition)
    if job.demand.gpus:
        yield "gpus-per-task", job.demand.gpus
    yield "time", slurm_time(job.walltime)
    yield "chdir", str(folder.path)
    yield "output", str(folder.stdout)
    yield "error", str(folder.stderr)
    yield "open-mode", "append"
    yield "no-requeue", None
    options = {
        **cluster.options,
        **partition.options,
        **qos.options,
        **job.workflow.options,
        **({"nodelist": ",".join(job.nodes)} if job.nodes else {}),
    }
    if job.avoid and "nodelist" not in options:
        options["exclude"] = ",".join(filter(None, [options.get("exclude"), *job.avoid]))
    yield from ((name, value or None) for name, value in options.items())


def _memory_options(job: Job, cpus: int, partition: Partition) -> Iterator[tuple[str, str | int]]:
    """Yield options that ask of each node for what the plan takes of it.

    SLURM counts whole MB of each node, or of each cpu. Of each cpu is right however the ranks are
    distributed; but what is rounded up for each of a hundred cpus may be more than the node has.
    Then the ranks of each node are fixed, or, where they differ, each cpu gets a bit less.

    Parameters
    ----------
    cpus
        Number of cpus of each rank.
    """
    demand, ranks = job.demand, {placement.ranks for placement in job.placements}
    per_cpu, rest = divmod(demand.memory, demand.ranks * cpus)
    of_node = demand.load(max(ranks), partition.node).memory
    if rest and len(ranks) == 1:
        if len(job.placements) > 1:
            yield "ntasks-per-node", max(ranks)
        yield "mem", f"{of_node}M"
        return
    fits = max(ranks) * cpus * (per_cpu + 1) <= partition.memory
    yield "mem-per-cpu", f"{per_cpu + (rest > 0 and (fits or per_cpu == 0))}M"


def slurm_time(seconds: int) -> str:
    """Write a time limit as SLURM reads it.

    Examples
    --------
    >>> slurm_time(93784)
    '1-02:03:04'
    """
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours // 24}-{hours % 24:02}:{minutes:02}:{seconds:02}"


def option_lines(options: Iterable[tuple[str, str | int | None]]) -> Iterator[str]:
    """Write options as lines of a script.

    Raises
    ------
    SubmitError
        If a value has a character that SLURM interprets: quotes, backslashes, percent signs, #.
    """
    for name, value in options:
        if value is None:
            yield f"#SBATCH --{name}"
            continue
        text = str(value)
        if not is_literal(text):
            raise SubmitError(
                f"--{name}={text!r}: SLURM does not accept quotes, backslashes, % or # here",
                transient=False,
                hint="choose another name or folder",
            )
        yield f'#SBATCH --{name}="{text}"' if " " in text else f"#SBATCH --{name}={text}"


def job_script(
    job: Job,
    folder: JobFolder,
    *,
    options: Iterable[str] = (),
    local: bool = False,
    launch: Iterable[str] | None = None,
    result: Path | None = None,
) -> str:
    """Return the script that a job runs. It is all that the job needs.

    Its command and environment are quoted: no shell interprets them. A shell reads all of the
    script before it does anything, so a script that was cut does nothing. Setup and command run in
    a subshell; the guard around it makes the file that marks the start, so that a second copy of
    the script does nothing, and writes the result file from the notes of the ranks.

    Parameters
    ----------
    options
        Lines of sbatch options.
    local
        Whether it runs without SLURM, and so starts its ranks itself.
    launch
        Lines that start the ranks and wait for them, instead of the usual ones.
    result
        File for how it ended, instead of the result file of its folder.
    """
    workflow = job.workflow
    directory = workflow.directory or str(folder.path)
    setup = (*(f"module load {quote(module)}" for module in workflow.modules), *workflow.setup)
    inside = [
        f"export SOCM_RUN_DIR={quote(str(folder.run))} SOCM_WORKFLOW={quote(workflow.name)}",
        *(f"export {name}={quote(value)}" for name, value in workflow.environment.items()),
        *(["type module > /dev/null 2>&1 || . /etc/profile"] if workflow.modules else []),
        *(f'eval {quote(entry)} || socm_fail "$?" {quote("setup: " + entry)}' for entry in setup),
        f"cd -- {quote(directory)} || socm_fail 125 {quote('no folder ' + directory)}",
        *(_launch(job, local=local) if launch is None else launch),
    ]
    lines = [
        "#!/bin/bash",
        *options,
        "",
        f"# Attempt {job.attempt} at {workflow.name}.",
        "{",
        "socm_job() {",
        *inside,
        "}",
        f"socm_folder={quote(str(folder.path))}",
        f"socm_started={quote(folder.from_within(folder.started))}",
        f"socm_result={quote(folder.from_within(result or folder.result))}",
        f"socm_ranks={ranks_started(job)}",
        f"socm_patience={0 if local else PATIENCE}",
        f"socm_python={quote(sys.executable)}",
        f"socm_program={quote(_RANK_PY)}",
        f"socm_rank=(/bin/sh -c {quote(_RANK_SH)} socm-rank)",
        'socm_rank+=("$socm_folder/ranks" "$socm_python" "$socm_program")',
        "",
        _GUARD,
        "}",
    ]
    return "\n".join(lines) + "\n"


def ranks_started(job: Job) -> int:
    """Return how many ranks the script of a job starts."""
    return 1 if job.workflow.launcher == "none" else job.demand.ranks


def rank_command(job: Job) -> str:
    """Return what each rank runs, with the variables of a script."""
    return f'"${{socm_rank[@]}}" {join(job.workflow.command)}'


def _launch(job: Job, *, local: bool) -> Iterator[str]:
    """Yield the lines that start the ranks and wait for them."""
    command = rank_command(job)
    launcher = job.workflow.launcher
    if launcher == "mpirun":
        yield f"mpirun -n {job.demand.ranks} {command}"
    elif launcher == "none" or (local and job.demand.ranks == 1):
        yield command
    elif local:
        yield f"export SLURM_NTASKS={job.demand.ranks}"
        yield "socm_pids=()"
        yield f"for ((SLURM_PROCID = 0; SLURM_PROCID < {job.demand.ranks}; SLURM_PROCID++)); do"
        yield "    export SLURM_PROCID"
        yield f"    {command} &"
        yield '    socm_pids+=("$!")'
        yield "done"
        yield "socm_code=0"
        yield 'for socm_pid in "${socm_pids[@]}"; do wait "$socm_pid" || socm_code=$?; done'
        yield 'exit "$socm_code"'
    else:
        yield "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK"
        yield f"srun --kill-on-bad-exit=1 {command}"
