"""Simulated observations of the SATs: ``toast_so_sim``.

Options are those of toast-cmb 2.3.14 with sotodlib 0.6.24: a few of its own, and the traits of
its operators, written ``--operator.trait``.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from socm.model.campaign import Workflow
from socm.workflows.base import (
    CommaList,
    Context,
    FilePath,
    Options,
    WorkflowType,
    options_of,
)
from socm.workflows.script import Scalar


class SatSimsOptions(Options):
    """What a section ``[campaign.sat-sims]`` may say.

    `traits` reaches every operator: ``"pixels_healpix_radec.nside" = 512`` sets a trait, and
    ``sim_noise = true`` enables an operator.
    """

    output_dir: FilePath
    schedule: FilePath | None = None
    bands: CommaList = "SAT_f090"
    telescope: str | None = None
    tube_slots: CommaList | None = None
    wafer_slots: CommaList | None = None
    sample_rate: float | None = None
    thinfp: int | None = None
    hardware: FilePath | None = None
    det_info_file: FilePath | None = None
    det_info_version: str | None = None
    realization: int | None = None
    pwv_limit: float | None = None
    sort_schedule: bool = False
    obsmaps: bool = False
    detmaps: bool = False
    intervalmaps: bool = False
    full_pointing: bool = False
    dry_run: CommaList | None = None
    config: tuple[FilePath, ...] = ()
    defaults: FilePath | None = None
    job_group_size: int | None = None
    job_node_mem: int | None = None
    log_config: FilePath | None = None
    sim_noise: bool | None = None
    sim_atmosphere: bool | None = None
    sim_sss: bool | None = None
    sim_hwpss: bool | None = None
    scan_map: bool | None = None
    sim_hwpss_atmo_data: FilePath | None = None
    pixels_healpix_radec_nside: int | None = None
    filterbin_name: str | None = None
    processing_mask_file: FilePath | None = None
    traits: dict[str, Scalar] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_focal_plane(self) -> Self:
        given = [n for n in ("telescope", "tube_slots", "wafer_slots") if getattr(self, n)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other")
        return self


_GENERAL = (
    "schedule", "bands", "telescope", "tube_slots", "wafer_slots", "sample_rate", "thinfp",
    "hardware", "det_info_file", "det_info_version", "realization", "pwv_limit", "sort_schedule",
    "obsmaps", "detmaps", "intervalmaps", "full_pointing", "dry_run", "job_group_size",
    "job_node_mem", "log_config", "defaults",
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
'--sim_noise.enable', '--scan_map.disable', '--mapmaker.iter_max=10')
    """
    traits = {name: getattr(options, name) for name in _OPERATORS}
    traits |= {trait: getattr(options, name) for name, trait in _TRAITS.items()}
    traits |= options.traits
    return (
        "toast_so_sim",
        *options_of([("out_dir", options.output_dir)]),
        *options_of([(name, getattr(options, name)) for name in _GENERAL]),
        *(["--config", *options.config] if options.config else []),
        *(_trait(name, value) for name, value in traits.items() if value is not None),
        *options.extra_args,
    )


def _trait(name: str, value: Scalar) -> str:
    if isinstance(value, bool):
        return f"--{name}.{'enable' if value else 'disable'}"
    return f"--{name}={value}"


def inputs(options: SatSimsOptions) -> tuple[str, ...]:
    """List the files that toast_so_sim reads."""
    files = [options.schedule, options.hardware, options.det_info_file, *options.config]
    files += [options.sim_hwpss_atmo_data, options.processing_mask_file]
    return tuple(f for f in files if f is not None)


def expand(options: SatSimsOptions, context: Context) -> list[Workflow]:
    """Run one simulation."""
    if not options.schedule:
        context.warn(f"{context.section.name}: schedule is not given; a run would need it")
    return [context.workflow(command(options), inputs=inputs(options))]


SAT_SIMS = WorkflowType(name="sat-sims", options=SatSimsOptions, expand=expand)
