"""Power spectra: a script of PSpipe under Python."""

from __future__ import annotations

from pydantic import Field

from socm.model.campaign import Workflow
from socm.spelling import spellings
from socm.workflows.base import Context, FilePath, WorkflowType
from socm.workflows.script import ScriptOptions, command, inputs


class PowerSpectraOptions(ScriptOptions):
    """A script of PSpipe, under Python."""

    executable: str | None = "python -u"
    """Interpreter, with arguments as a shell would split them."""
    script: FilePath | None = Field(
        default=None, validation_alias=spellings("script", "subcommand")
    )
    """Path of the script; ``subcommand`` is its old name."""


def expand(options: PowerSpectraOptions, context: Context) -> list[Workflow]:
    """Run one script of PSpipe."""
    if not options.script:
        context.warn("script is not given, but a run needs it")
    return [context.workflow(command(options), inputs=inputs(options))]


POWER_SPECTRA = WorkflowType(name="power-spectra", options=PowerSpectraOptions, expand=expand)
