"""Workflow types: how the options of a campaign section become a command line.

A type is a `WorkflowType`; built-in ones load when they are named, those of other packages
come by the entry-point group ``socm.workflows``.
"""

from __future__ import annotations

from collections.abc import Iterable

from socm.registry import Registry
from socm.workflows.base import Context, Options, WorkflowType

__all__ = ["WORKFLOW_TYPES", "Context", "Options", "WorkflowType", "groups_of"]

_NULL_TESTS = {
    "mission-tests": "MISSION",
    "wafer-tests": "WAFER",
    "direction-tests": "DIRECTION",
    "pwv-tests": "PWV",
    "day-night-tests": "DAY_NIGHT",
    "moonrise-set-tests": "MOONRISE_SET",
    "elevation-tests": "ELEVATION",
    "sun-close-tests": "SUN_CLOSE",
    "moon-close-tests": "MOON_CLOSE",
}

WORKFLOW_TYPES: Registry[WorkflowType] = Registry(
    "workflow type",
    {
        "ml-mapmaking": "socm.workflows.ml_mapmaking:ML_MAPMAKING",
        "power-spectra": "socm.workflows.power_spectra:POWER_SPECTRA",
        "sat-sims": "socm.workflows.sat_sims:SAT_SIMS",
        "stage": "socm.workflows.script:STAGE",
        **{
            f"ml-null-tests.{name}": f"socm.workflows.null_tests.groups:{attribute}"
            for name, attribute in _NULL_TESTS.items()
        },
        "ml-null-tests.smart-split-tests": "socm.workflows.null_tests.smart:SMART_SPLIT",
    },
    group="socm.workflows",
)
"""Workflow types by the name of their section."""


def groups_of(types: Iterable[str]) -> dict[str, list[str]]:
    """Return the sections that hold others, ``[campaign.<group>.<type>]``, and what they hold.

    Examples
    --------
    >>> groups_of(["sat-sims", "ml-null-tests.pwv-tests", "ml-null-tests.wafer-tests"])
    {'ml-null-tests': ['pwv-tests', 'wafer-tests']}
    """
    found: dict[str, list[str]] = {}
    for name in types:
        group, dot, member = name.rpartition(".")
        if dot:
            found.setdefault(group, []).append(member)
    return found
