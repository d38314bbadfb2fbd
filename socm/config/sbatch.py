"""Options of sbatch that the planner does not decide, as keys of sections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from socm.config.values import Lines, Section, not_bool
from socm.model.site import is_literal
from socm.spelling import kebab

_OPTION = re.compile(r"--([a-z][a-z0-9-]*)(?:=(.*))?", re.DOTALL)

PLANNED = {
    "nodes": "ranks and threads",
    "ntasks": "ranks",
    "ntasks-per-node": "ranks and threads",
    "ntasks-per-core": "ranks and threads",
    "ntasks-per-socket": "ranks and threads",
    "cpus-per-task": "threads",
    "mincpus": "threads",
    "cores-per-socket": "threads",
    "threads-per-core": "cpus",
    "mem": "memory",
    "mem-per-cpu": "memory",
    "mem-per-gpu": "memory",
    "gpus": "gpus",
    "gpus-per-task": "gpus",
    "gpus-per-node": "gpus",
    "gpus-per-socket": "gpus",
    "time": "walltime",
    "time-min": "walltime",
    "partition": "partition",
    "qos": "qos",
    "account": "account",
    "exclusive": "exclusive of a partition or a QOS",
    "oversubscribe": "exclusive of a partition or a QOS",
    "dependency": "depends",
    "chdir": "base-path",
    "export": "environment",
    "export-file": "environment",
}
"""Options that the planner decides or a key of a workflow sets, and that key."""
SYNONYMS = {
    "ntasks": "ranks",
    "tasks": "ranks",
    "cpus-per-task": "threads",
    "cores": "threads",
    "mem": "memory",
    "mem-mb": "memory",
    "mem-per-cpu": "memory_per_cpu",
    "gpus-per-task": "gpus",
    "time": "walltime",
    "time-limit": "walltime",
    "duration": "runtime",
    "queue": "partition",
    "features": "constraint",
    "after": "depends",
    "dependency": "depends",
    "dependencies": "depends",
    "needs": "depends",
}
"""The words of sbatch and of other systems for keys of a workflow."""
OURS = (
    "array",
    "clusters",
    "comment",
    "error",
    "get-user-env",
    "hold",
    "input",
    "job-name",
    "kill-on-invalid-dep",
    "no-requeue",
    "open-mode",
    "output",
    "parsable",
    "quiet",
    "requeue",
    "test-only",
    "wait",
    "wait-all-nodes",
    "wrap",
)
"""Options with which a run sees what becomes of its jobs."""


def _text(value: object) -> object:
    """Join a list with commas, as sbatch has it."""
    if isinstance(value, list | tuple) and all(
        isinstance(part, str | int) and not isinstance(part, bool) for part in value
    ):
        return ",".join(map(str, value))
    return value


def _safe(value: str) -> str:
    if not value.strip() or not is_literal(value):
        raise ValueError(
            f"{value!r} is empty, or has a character that SLURM interprets: quotes, \\, % or #"
        )
    return value


def _free(options: Sequence[str]) -> Sequence[str]:
    if refused := [why for option in options for why in _refusals(option)]:
        raise ValueError("; ".join(refused))
    return options


def _refusals(option: str) -> Iterator[str]:
    match = _OPTION.fullmatch(option)
    if match is None:
        yield f"{option!r} is not an option such as --switches=1"
        return
    name, value = match.groups()
    if name in PLANNED:
        yield f"--{name} would contradict the plan: give {PLANNED[name]} instead"
    elif name in OURS:
        yield f"--{name} is set by socm, which follows its jobs by it"
    elif name.replace("-", "_") in SbatchOptions.model_fields:
        yield f"--{name} has a key of its own, {name}"
    elif value is not None and (not value.strip() or not is_literal(value)):
        yield f"{option!r} has no value, or a character that SLURM interprets: quotes, \\, % or #"


Words = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(_safe),
    WithJsonSchema({"type": ["string", "array"], "items": {"type": "string"}}),
]
"""A text, or a list of texts that is joined with commas."""


class SbatchOptions(Section):
    """Options of sbatch that the planner does not decide."""

    constraint: Words | None = None
    licenses: Words | None = None
    reservation: Words | None = None
    gres: Words | None = None
    exclude: Words | None = None
    nodelist: Words | None = None
    mail_user: Words | None = None
    mail_type: Words | None = None
    signal: Words | None = None
    begin: Words | None = None
    nice: Annotated[int, BeforeValidator(not_bool), Field(ge=-(2**31), le=2**31)] | None = None
    sbatch_options: Annotated[Lines, AfterValidator(_free)] = ()

    def sbatch(self) -> dict[str, str]:
        """Return the options by name; one without a value has an empty text.

        Examples
        --------
        >>> SbatchOptions(constraint="cpu", sbatch_options=("--switches=1",)).sbatch()
        {'constraint': 'cpu', 'switches': '1'}
        """
        return dict(self._options())

    def _options(self) -> Iterator[tuple[str, str]]:
        for name in SbatchOptions.model_fields:
            value = getattr(self, name)
            if name != "sbatch_options" and value is not None:
                yield kebab(name), str(value)
        for option in self.sbatch_options:
            name, _, value = option.removeprefix("--").partition("=")
            yield name, value
