"""Maximum-likelihood maps: sotodlib's ``so-site-pipeline make-ml-map``.

Options are those of sotodlib 0.6.24's parser, under their own names.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field, field_validator

from socm.workflows.base import (
    FILE_SCHEME,
    CommaList,
    FilePath,
    Options,
    WorkflowType,
    local_path,
    options_of,
)

LONGEST_QUERY = 255
"""make-ml-map first tries to open the query as a file, and fails on a name longer than this."""


class MLMapmakingOptions(Options):
    """What a section ``[campaign.ml-mapmaking]`` may say."""

    context: FilePath
    area: FilePath
    output_dir: FilePath
    preprocess_config: FilePath | None = None
    prefix: str | None = None
    query: str = "1"
    comps: str = "TQU"
    wafers: CommaList | None = Field(default=None, validation_alias=AliasChoices("wafers", "wafer"))
    ots: CommaList | None = None
    bands: CommaList | None = None
    nmat: Literal["corr", "uncorr", "corr_dct", "debug"] | None = None
    max_dets: int | None = None
    site: Literal["act", "so_lat", "so_sat1", "so_sat2", "so_sat3", "so"] | None = None
    downsample: CommaList | None = None
    maxiter: CommaList | None = None
    interpol: CommaList | None = None
    downgrade: int | None = None
    tiled: Literal[0, 1] | None = None
    srcsamp: FilePath | None = None
    unit: str | None = None
    iunit: str | None = None
    maxcut: float | None = None
    cut_type: str | None = None
    center_at: str | None = None
    window: float | None = None
    inject: FilePath | None = None
    nmat_dir: FilePath | None = None
    nmat_mode: Literal["build", "cache", "load", "save"] | None = None
    sun_mask: FilePath | None = None
    moon_mask: FilePath | None = None
    tods: str | None = None
    ntod: int | None = None
    no_sidelobe: bool = False
    nocal: bool = False
    hits: bool = False
    verbose: int = Field(default=0, ge=0, le=5)
    quiet: int = Field(default=0, ge=0, le=5)

    @field_validator("comps")
    @classmethod
    def _of_tqu(cls, comps: str) -> str:
        if not comps or not set(comps) <= set("TQU") or len(set(comps)) < len(comps):
            raise ValueError(f"{comps!r} is not made of T, Q and U")
        return comps

    @field_validator("query")
    @classmethod
    def _not_too_long(cls, query: str) -> str:
        if not query.startswith(FILE_SCHEME) and len(query) > LONGEST_QUERY:
            raise ValueError(
                f"a query of {len(query)} characters is more than the {LONGEST_QUERY} that "
                "make-ml-map takes; put the obs_ids in a file and give 'file:///path/to/it'"
            )
        return query


_POSITIONAL = ("query", "area", "output_dir", "preprocess_config", "prefix")
_COUNTED = ("verbose", "quiet")


def command(options: MLMapmakingOptions) -> tuple[str, ...]:
    """Return the argument vector of make-ml-map.

    Examples
    --------
    >>> command(MLMapmakingOptions(
    ...     context="file:///c.yaml", area="/a.fits", output_dir="/out",
    ...     preprocess_config="/p.yaml", wafer="ws0", query="type='obs'", nmat_dir="/n", hits=True,
    ... ))[2:]
    ("type='obs'", '/a.fits', '/out', '/p.yaml', '--comps=TQU', '--wafers=ws0', '--hits', \
'--nmat-dir=/n', '--context=/c.yaml')
    """
    positional = [local_path(options.query), options.area, options.output_dir]
    positional += [x for x in (options.preprocess_config, options.prefix) if x is not None]
    named = [
        (name.replace("_", "-"), getattr(options, name))
        for name in (
            "comps", "wafers", "ots", "bands", "nmat", "max_dets", "site", "downsample", "maxiter",
            "interpol", "downgrade", "tiled", "srcsamp", "unit", "iunit", "maxcut", "cut_type",
            "center_at", "window", "inject", "no_sidelobe", "nocal", "hits", "sun_mask",
            "moon_mask", "nmat_dir", "nmat_mode", "tods", "ntod", "context",
        )
    ]  # fmt: skip
    loud = ["-v"] * options.verbose + ["-q"] * options.quiet
    return (
        "so-site-pipeline", "make-ml-map", *positional, *options_of(named), *loud,
        *options.extra_args,
    )  # fmt: skip


def inputs(options: MLMapmakingOptions) -> tuple[str, ...]:
    """List the files that make-ml-map reads."""
    files = [options.context, options.area, options.preprocess_config, options.srcsamp]
    if options.query.startswith(FILE_SCHEME):
        files.append(local_path(options.query))
    files += [options.sun_mask, options.moon_mask, options.inject]
    return tuple(f for f in files if f is not None)


def lacks(options: MLMapmakingOptions) -> tuple[str, ...]:
    """List what make-ml-map needs and was not given."""
    return () if options.preprocess_config else ("preprocess_config",)


ML_MAPMAKING = WorkflowType(
    name="ml-mapmaking",
    options=MLMapmakingOptions,
    command=command,
    inputs=inputs,
    lacks=lacks,
)
