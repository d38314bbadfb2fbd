"""Power spectra: a script of PSpipe under Python."""

from __future__ import annotations

from pydantic import AliasChoices, Field

from socm.workflows.base import FilePath, WorkflowType
from socm.workflows.script import ScriptOptions, command, inputs


class PowerSpectraOptions(ScriptOptions):
    """What a section ``[campaign.power-spectra]`` may say."""

    executable: str | None = "python -u"
    script: FilePath | None = Field(
        default=None, validation_alias=AliasChoices("script", "subcommand")
    )


def lacks(options: PowerSpectraOptions) -> tuple[str, ...]:
    """List what the interpreter needs and was not given."""
    return () if options.script else ("script",)


POWER_SPECTRA = WorkflowType(
    name="power-spectra",
    options=PowerSpectraOptions,
    command=command,
    inputs=inputs,
    lacks=lacks,
)
