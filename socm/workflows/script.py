"""A script under an interpreter: the stages of a DAG."""

from __future__ import annotations

import shlex
from functools import lru_cache
from typing import Self

from pydantic import Field, field_validator, model_validator

from socm.model.campaign import Workflow
from socm.workflows.base import Context, FilePath, Options, Scalar, WorkflowType, text_of


class ScriptOptions(Options):
    """A stage of a DAG: a script under an interpreter, or a program."""

    executable: str | None = None
    """Interpreter or program, with arguments as a shell would split them."""
    script: FilePath | None = None
    """Path of the script."""
    script_args: tuple[Scalar, ...] = ()
    """Arguments, in order."""
    script_kwargs: dict[str, Scalar | list[Scalar]] = Field(default_factory=dict)
    """Arguments --key=value; a list is joined with commas."""
    script_flags: tuple[str, ...] = ()
    """Arguments --flag."""

    @field_validator("script_args", "script_flags", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        """A single value is a list of one; nothing is an empty list."""
        if value is None:
            return ()
        return value if isinstance(value, list | tuple) else (value,)

    @field_validator("script_kwargs", mode="before")
    @classmethod
    def _maybe_none(cls, value: object) -> object:
        return {} if value is None else value

    @field_validator("executable")
    @classmethod
    def _splits(cls, value: str | None) -> str | None:
        try:
            _split(value or "")
        except ValueError as error:
            raise ValueError(f"{value!r} has a quote that is not closed") from error
        return value

    @model_validator(mode="after")
    def _something_to_run(self) -> Self:
        if not _split(self.executable or "") and not self.script:
            raise ValueError("needs an executable, a script or both")
        return self


@lru_cache
def _split(executable: str) -> tuple[str, ...]:
    """Split as a shell would; the stages of a campaign share a few executables."""
    return tuple(shlex.split(executable))


def command(options: ScriptOptions) -> tuple[str, ...]:
    """Return the argument vector: interpreter, script, arguments, then options and flags.

    Examples
    --------
    >>> command(ScriptOptions(
    ...     executable="python -u", script="/w/spectra.py", script_args=("p.dict",),
    ...     script_kwargs={"start": 0, "stop": 10}, script_flags=("simulate-syst",),
    ... ))
    ('python', '-u', '/w/spectra.py', 'p.dict', '--start=0', '--stop=10', '--simulate-syst')
    """
    return (
        *_split(options.executable or ""),
        *([options.script] if options.script else []),
        *(_text(arg).removeprefix("file://") for arg in options.script_args),
        *(f"--{key}={_text(value)}" for key, value in options.script_kwargs.items()),
        *(f"--{flag}" for flag in options.script_flags),
        *options.extra_args,
    )


def _text(value: Scalar | list[Scalar]) -> str:
    return ",".join(map(text_of, value)) if isinstance(value, list) else text_of(value)


def inputs(options: ScriptOptions) -> tuple[str, ...]:
    """List the script."""
    return (options.script,) if options.script else ()


def expand(options: ScriptOptions, context: Context) -> list[Workflow]:
    """Run one script."""
    return [context.workflow(command(options), inputs=inputs(options))]


STAGE = WorkflowType(name="stage", options=ScriptOptions, expand=expand)
