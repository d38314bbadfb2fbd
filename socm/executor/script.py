"""The script of a job: its sbatch options, and the commands that it runs."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from shlex import join, quote

from socm.engine.backend import Job
from socm.errors import SubmitError
from socm.executor.folder import RANK, JobFolder
from socm.model.cluster import Cluster


def sbatch_options(
    job: Job, cluster: Cluster, folder: JobFolder
) -> Iterator[tuple[str, str | int | None]]:
    """Yield the sbatch options of a job, as names and values.

    Nodes are counted, not named: those of a plan are virtual. Memory is per cpu, which is right
    however the ranks are distributed.
    """
    partition = cluster.by_partition[job.partition]
    cpus = job.demand.threads * partition.threads_per_core
    yield "job-name", job.name
    yield "comment", f"socm:{job.workflow.name}:{job.attempt}"
    yield "partition", partition.slurm_name or partition.name
    if job.qos:
        yield "qos", job.qos
    if job.workflow.request.account:
        yield "account", job.workflow.request.account
    yield "nodes", len(job.placements)
    yield "ntasks", job.demand.ranks
    yield "cpus-per-task", cpus
    if job.demand.exclusive:
        yield "exclusive", None
        yield "mem", 0
    elif job.demand.memory:
        yield "mem-per-cpu", f"{-(-job.demand.memory // (job.demand.ranks * cpus))}M"
    if job.demand.gpus:
        yield "gpus-per-task", job.demand.gpus
    yield "time", slurm_time(job.walltime)
    yield "chdir", str(folder.path)
    yield "output", str(folder.stdout)
    yield "error", str(folder.stderr)
    yield "open-mode", "append"
    yield "no-requeue", None


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
        if not text.isprintable() or re.search(r"""["'\\%#]""", text):
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
    result: Path | None = None,
) -> str:
    """Return the script that a job runs.

    Its command and environment are quoted: no shell interprets them. The result file is written
    before the script ends. A second copy of the script does nothing, because the first has made
    the file that marks its start.

    Parameters
    ----------
    options
        Lines of sbatch options.
    local
        Whether it runs without SLURM, and so starts its ranks itself.
    result
        File for how it ended, instead of the result file of its folder.
    """
    workflow = job.workflow
    setup = [f"module load {quote(module)}" for module in workflow.modules]
    lines = [
        "#!/bin/bash",
        *options,
        "",
        f"# Attempt {job.attempt} at {workflow.name}.",
        f"folder={quote(str(folder.path))}",
        f"started={quote(str(folder.started))}",
        f"result={quote(str(result or folder.result))}",
        _BEGINNING,
        f"export SOCM_RUN_DIR={quote(str(folder.run))} SOCM_WORKFLOW={quote(workflow.name)}",
        *(f"export {name}={quote(value)}" for name, value in workflow.environment.items()),
    ]
    if workflow.modules:
        lines.append("type module > /dev/null 2>&1 || . /etc/profile")
    lines += [
        f"{{\n{entry}\n}} || socm_fail $? {quote('setup: ' + entry)}"
        for entry in (*setup, *workflow.setup)
    ]
    directory = workflow.directory or str(folder.path)
    lines += [
        f"cd -- {quote(directory)} || socm_fail 125 {quote('no folder ' + directory)}",
        _RANK.format(python=quote(sys.executable), rank=quote(str(folder.run / RANK.name))),
        *_launch(job, local=local),
    ]
    return "\n".join(lines) + "\n"


_BEGINNING = r"""
socm_began=$(date +%s.%N)
socm_node=$(uname -n)
if ! (set -o noclobber; echo "${SLURM_JOB_ID:-$$} $socm_began $socm_node" > "$started") 2> /dev/null
then
    echo "socm: this attempt already started, or $started is not writable; it does not run" >&2
    exit 125
fi
socm_noted=false
socm_reason=
socm_fail() {
    socm_reason='it failed before its command'
    echo "socm: exit code $1: $2" >&2
    exit "$1"
}
socm_end() {
    local code=$? peak=0 kills=0 well=0 rank kb killed note
    trap - EXIT
    for note in "$folder"/ranks/*; do
        if read -r rank kb killed < "$note"; then
            peak=$((peak + kb)) kills=$((kills + killed)) well=$((well + (rank == 0)))
        fi
    done 2> /dev/null
    {
        printf '{"exit_code": %d, "start": %s, ' "$code" "$socm_began"
        printf '"end": %s, "node": "%s", ' "$(date +%s.%N)" "$socm_node"
        printf '"peak_kb": %d, "memory_kills": %d, "ranks_well": %d, ' "$peak" "$kills" "$well"
        printf '"noted": %s, "reason": "%s"}\n' "$socm_noted" "$socm_reason"
    } > "$result.new" && mv -- "$result.new" "$result"
    exit "$code"
}
trap socm_end EXIT
trap 'exit 143' TERM
"""

_RANK = """
# Each rank notes how it ended, where Python is available.
rank=()
if {python} -I -S -c '' 2> /dev/null; then
    rank=({python} -I -S {rank} "$folder/ranks") socm_noted=true
fi"""


def _launch(job: Job, *, local: bool) -> Iterator[str]:
    """Yield the lines that start the ranks and wait for them."""
    command = join(job.workflow.command)
    launcher = job.workflow.launcher
    if launcher == "mpirun":
        yield f'mpirun -n {job.demand.ranks} "${{rank[@]}}" {command}'
    elif launcher == "none" or (local and job.demand.ranks == 1):
        yield f'"${{rank[@]}}" {command}'
    elif local:
        yield f"export SLURM_NTASKS={job.demand.ranks}"
        yield "socm_ranks=()"
        yield f"for ((SLURM_PROCID = 0; SLURM_PROCID < {job.demand.ranks}; SLURM_PROCID++)); do"
        yield "    export SLURM_PROCID"
        yield f'    "${{rank[@]}}" {command} &'
        yield "    socm_ranks+=($!)"
        yield "done"
        yield "socm_code=0"
        yield 'for pid in "${socm_ranks[@]}"; do wait "$pid" || socm_code=$?; done'
        yield 'exit "$socm_code"'
    else:
        yield "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK"
        yield f'srun --kill-on-bad-exit=1 "${{rank[@]}}" {command}'
