"""Power spectra: a script of PSpipe under Python."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from socm.model.campaign import Workflow
from socm.workflows.base import Context, FilePath, WorkflowType
from socm.workflows.script import ScriptOptions, command, inputs


class PowerSpectraOptions(ScriptOptions):
    """What a section ``[campaign.power-spectra]`` may say."""

    executable: str | None = "python -u"
    script: FilePath | None = Field(
        default=None, validation_alias=AliasChoices("script", "subcommand")
    )


def expand(options: PowerSpectraOptions, context: Context) -> list[Workflow]:
    """Run one script of PSpipe."""
    if not options.script:
        context.warn(f"{context.section.name}: script is not given; a run would need it")
    return [context.workflow(command(options), inputs=inputs(options))]


POWER_SPECTRA = WorkflowType(name="power-spectra", options=PowerSpectraOptions, expand=expand)
