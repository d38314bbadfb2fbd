"""Simulated observations of the SATs: ``toast_so_sim``.

Options are those of toast-cmb 2.3.14 with sotodlib 0.6.24: a few of its own, and the traits of
its operators, written ``--operator.trait``.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from socm.files import read_whole
from socm.model.campaign import Workflow
from socm.workflows.base import (
    LARGEST_LIST,
    CommaList,
    Context,
    FilePath,
    Options,
    Scalar,
    Unit,
    WorkflowType,
    options_of,
)

SAMPLE_RATE = 10.0
"""Hz, where toast_so_sim is told nothing else."""


class SatSimsOptions(Options):
    """Simulated observations of the SATs: ``toast_so_sim`` of toast-cmb 2.3.14.

    `traits` reaches every operator: ``"pixels_healpix_radec.nside" = 512`` sets a trait,
    ``"mapmaker.write_hits" = false`` one that is true otherwise, and ``sim_noise = true`` enables
    an operator.
    """

    output_dir: FilePath
    """Output folder (--out_dir)."""
    schedule: FilePath | None = None
    """Observing schedule; toast_so_sim needs it."""
    bands: CommaList = "SAT_f090"
    """Bands, such as SAT_f090."""
    telescope: str | None = None
    """Telescope to simulate, such as SAT1."""
    tube_slots: CommaList | None = None
    """Tubes to simulate, such as ST1."""
    wafer_slots: CommaList | None = None
    """Wafers to simulate, such as w25."""
    sample_rate: Annotated[float | None, Unit("Hz")] = Field(default=None, gt=0)
    """Sample rate of the detectors (default: 10)."""
    thinfp: int | None = Field(default=None, ge=1)
    """Thinning: keep one of this many detectors."""
    hardware: FilePath | None = None
    """File of the hardware model."""
    det_info_file: FilePath | None = None
    """File of detector information."""
    det_info_version: str | None = None
    """Version of the detector information."""
    realization: int | None = None
    """Number of the realisation, the seed of noise and atmosphere."""
    pwv_limit: Annotated[float | None, Unit("mm")] = None
    """Largest simulated water vapour; observations above it are left out."""
    sort_schedule: bool = False
    """Sort the schedule by size."""
    obsmaps: bool = False
    """Make a map of each observation."""
    detmaps: bool = False
    """Make a map of each detector."""
    intervalmaps: bool = False
    """Make a map of each interval."""
    full_pointing: bool = False
    """Keep the pointing of all detectors in memory."""
    zero_loaded_data: bool = False
    """Set loaded detector data to zero."""
    preprocess_copy: bool = False
    """Preprocess a copy of the data."""
    dry_run: bool = False
    """Only read the options and log the configuration."""
    config: tuple[FilePath, ...] = ()
    """Configuration files of TOAST."""
    defaults: FilePath | None = None
    """File to write the default configuration to."""
    job_group_size: Annotated[int | None, Unit("processes")] = Field(default=None, ge=1)
    """Number of processes in a group."""
    job_node_mem: Annotated[int | None, Unit("bytes")] = Field(default=None, ge=1)
    """Memory of a node, if TOAST does not find it correctly."""
    log_config: FilePath | None = None
    """File that configures logging."""
    sim_noise: bool | None = None
    """Simulate noise."""
    sim_atmosphere: bool | None = None
    """Simulate the atmosphere."""
    sim_sss: bool | None = None
    """Simulate the scan-synchronous signal."""
    sim_hwpss: bool | None = None
    """Simulate the signal that is synchronous with the half-wave plate."""
    scan_map: bool | None = None
    """Scan a map."""
    sim_hwpss_atmo_data: FilePath | None = None
    """File of atmospheric data of sim_hwpss."""
    pixels_healpix_radec_nside: int | None = None
    """NSIDE of the maps."""
    filterbin_name: str | None = None
    """Name of the filter-and-bin operator."""
    processing_mask_file: FilePath | None = None
    """Mask of the pixels that are not filtered."""
    traits: dict[str, Scalar] = Field(default_factory=dict)
    """Any trait of any operator: a table of operator.trait."""

    @field_validator("bands")
    @classmethod
    def _each_is_a_band(cls, bands: str) -> str:
        for band in bands.split(","):
            if not re.fullmatch(r"(SAT|LAT)_f\d{3}", band) and not band.startswith("$"):
                raise ValueError(f"{band!r} is not a band such as SAT_f090")
        return bands

    @field_validator("traits")
    @classmethod
    def _each_is_a_trait(cls, traits: dict[str, Scalar]) -> dict[str, Scalar]:
        for name, value in traits.items():
            if "." not in name and not isinstance(value, bool):
                raise ValueError(f"{name!r} is neither operator.trait nor true or false")
        return traits

    @model_validator(mode="after")
    def _one_focal_plane(self) -> Self:
        given = [n for n in ("telescope", "tube_slots", "wafer_slots") if getattr(self, n)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other")
        return self


_GENERAL = (
    "schedule", "bands", "telescope", "tube_slots", "wafer_slots", "sample_rate", "thinfp",
    "hardware", "det_info_file", "det_info_version", "realization", "pwv_limit", "sort_schedule",
    "obsmaps", "detmaps", "intervalmaps", "full_pointing", "zero_loaded_data", "preprocess_copy",
    "dry_run", "job_group_size", "job_node_mem", "log_config", "defaults",
)  # fmt: skip
_OPERATORS = ("sim_noise", "sim_atmosphere", "sim_sss", "sim_hwpss", "scan_map")
_TRAITS = {
    "sim_hwpss_atmo_data": "sim_hwpss.atmo_data",
    "pixels_healpix_radec_nside": "pixels_healpix_radec.nside",
    "filterbin_name": "filterbin.name",
    "processing_mask_file": "processing_mask.file",
}


def command(options: SatSimsOptions) -> tuple[str, ...]:
    """Return the argument vector of toast_so_sim.

    Examples
    --------
    >>> command(SatSimsOptions(
    ...     output_dir="/out", schedule="file:///s.txt", wafer_slots="w25", sim_noise=True,
    ...     scan_map=False, traits={"mapmaker.iter_max": 10},
    ... ))[1:]
    ('--out_dir=/out', '--schedule=/s.txt', '--bands=SAT_f090', '--wafer_slots=w25', \
'--sim_noise.enable', '--scan_map.disable', '--mapmaker.iter_max', '10')
    """
    traits = {name: getattr(options, name) for name in _OPERATORS}
    traits |= {trait: getattr(options, name) for name, trait in _TRAITS.items()}
    traits |= options.traits
    return (
        "toast_so_sim",
        *options_of([("out_dir", options.output_dir)]),
        *options_of([(name, getattr(options, name)) for name in _GENERAL]),
        *(["--config", *options.config] if options.config else []),
        *(word for n, v in traits.items() if v is not None for word in _trait(n, v)),
        *options.extra_args,
    )


def _trait(name: str, value: Scalar) -> tuple[str, ...]:
    """Write a trait, in the forms that TOAST takes it in.

    A value is a word of its own: ``--operator.trait=value`` is parsed, and then left unused. Of
    what is true or false there is only the form that changes the default.

    Examples
    --------
    >>> _trait("mapmaker.iter_max", 10), _trait("sim_noise", True)
    (('--mapmaker.iter_max', '10'), ('--sim_noise.enable',))
    >>> _trait("mapmaker.write_hits", False)
    ('--mapmaker.no_write_hits',)
    """
    if not isinstance(value, bool):
        return f"--{name}", str(value)
    operator, dot, trait = name.rpartition(".")
    if not dot:
        return (f"--{name}.{'enable' if value else 'disable'}",)
    return (f"--{operator}.{trait if value else f'no_{trait}'}",)


def inputs(options: SatSimsOptions) -> tuple[str, ...]:
    """List the files that toast_so_sim reads."""
    files = [options.schedule, options.hardware, options.det_info_file, *options.config]
    files += [options.sim_hwpss_atmo_data, options.processing_mask_file]
    return tuple(f for f in files if f is not None)


def sizes(options: SatSimsOptions) -> dict[str, int]:
    """Return what drives the cost of a simulation, as far as its schedule can be read here.

    A detector set is one wafer, tube or telescope, whatever is named, in one band.
    """
    scans = _scans(Path(options.schedule or ""))
    if not scans:
        return {}
    where = options.wafer_slots or options.tube_slots or options.telescope or "all"
    each = len(where.split(",")) * len(options.bands.split(","))
    rate = options.sample_rate or SAMPLE_RATE
    return {
        "observations": len(scans),
        "detector_sets": each * len(scans),
        "samples": round(each * rate * sum(scans)),
    }


_TIME = r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?)\S*"
_SCAN = re.compile(rf"\W*{_TIME}\W+{_TIME}")


def _scans(schedule: Path) -> list[float]:
    """Return the seconds of each scan of a TOAST schedule, which begins with start and stop."""
    try:
        lines = read_whole(schedule, LARGEST_LIST).decode().splitlines()
        spans = (_SCAN.match(line) for line in lines if not line.startswith("#"))
        return [
            (datetime.fromisoformat(span[2]) - datetime.fromisoformat(span[1])).total_seconds()
            for span in spans
            if span
        ]
    except (OSError, ValueError):
        return []


def expand(options: SatSimsOptions, context: Context) -> list[Workflow]:
    """Run one simulation."""
    if not options.schedule:
        context.warn("schedule is not given, but a run needs it")
    return [context.workflow(command(options), inputs=inputs(options), sizes=sizes(options))]


SAT_SIMS = WorkflowType(name="sat-sims", options=SatSimsOptions, expand=expand)
