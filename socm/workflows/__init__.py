"""Workflow types: how the options of a campaign section become a command line.

A type is a `WorkflowType`; built-in ones load when they are named, those of other packages
come by the entry-point group ``socm.workflows``.
"""

from __future__ import annotations

from socm.registry import Registry
from socm.workflows.base import WorkflowType

__all__ = ["WORKFLOW_GROUPS", "WORKFLOW_TYPES", "WorkflowType"]

WORKFLOW_TYPES: Registry[WorkflowType] = Registry(
    "workflow type",
    {
        "ml-mapmaking": "socm.workflows.ml_mapmaking:ML_MAPMAKING",
        "power-spectra": "socm.workflows.power_spectra:POWER_SPECTRA",
        "sat-sims": "socm.workflows.sat_sims:SAT_SIMS",
        "stage": "socm.workflows.script:STAGE",
    },
    group="socm.workflows",
)
"""Workflow types by the name of their section."""

WORKFLOW_GROUPS: dict[str, tuple[str, ...]] = {
    "ml-null-tests": (
        "mission-tests",
        "wafer-tests",
        "direction-tests",
        "pwv-tests",
        "day-night-tests",
        "moonrise-set-tests",
        "elevation-tests",
        "sun-close-tests",
        "moon-close-tests",
        "smart-split-tests",
    ),
}
"""Sections that hold sections of types, ``[campaign.<group>.<type>]``, and share their keys."""
