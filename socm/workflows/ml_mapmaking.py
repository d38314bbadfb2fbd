"""Maximum-likelihood maps: sotodlib's ``so-site-pipeline make-ml-map``.

Options are those of sotodlib 0.6.24's parser, under their own names.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)

from socm.model.campaign import Workflow
from socm.workflows.base import (
    FILE_SCHEME,
    CommaList,
    Context,
    FilePath,
    Options,
    WorkflowType,
    local_path,
    options_of,
)

if TYPE_CHECKING:
    from socm.workflows.obsdb import Observations

HOME_OF_THE_MASKS = "perlmutter"
LONGEST_QUERY = 255
"""make-ml-map first tries to open the query as a file, and fails on a name longer than this."""


_PATTERNS = {"bands": ("band", r"f\d{3}", "f090"), "wafers": ("wafer slot", r"ws\d+", "ws0")}


def _site(name: object) -> object:
    """Take the LAT's other name; refuse a name that could be any of the SATs."""
    if name in ("sat", "so_sat"):
        raise ValueError(f"{name!r} is none of so3g's sites: which of so_sat1, so_sat2, so_sat3?")
    return "so_lat" if name == "lat" else name


Site = Annotated[
    Literal["act", "so_lat", "so_sat1", "so_sat2", "so_sat3", "so"], BeforeValidator(_site)
]


Query = Annotated[str, AfterValidator(lambda query: query.strip() or "1")]


class MLMapmakingOptions(Options):
    """A maximum-likelihood map: ``so-site-pipeline make-ml-map`` of sotodlib 0.6.24."""

    context: FilePath
    """The sotodlib context: ``context.yaml``."""
    area: FilePath
    """Map whose geometry is taken: a FITS file."""
    output_dir: FilePath
    """Folder of the maps."""
    preprocess_config: FilePath | None = None
    """Configuration of the preprocessing; make-ml-map needs it."""
    prefix: str | None = None
    """Begins the names of the maps."""
    query: Query = "1"
    """Condition in SQL on the observations, or ``file://`` and a list of them."""
    comps: str = "TQU"
    """Stokes components: some of T, Q and U."""
    wafers: CommaList | None = Field(default=None, validation_alias=AliasChoices("wafers", "wafer"))
    """Wafer slots, such as ws0,ws1; all if not given."""
    ots: CommaList | None = None
    """Optics tubes, such as c1,i1; all if not given."""
    bands: CommaList | None = None
    """Bands, such as f090,f150; all if not given."""
    nmat: Literal["corr", "uncorr", "corr_dct", "debug"] | None = None
    """Noise model; make-ml-map takes corr if not given."""
    max_dets: int | None = None
    """The most detectors of one observation."""
    site: Site | None = None
    """Where the telescope is, by so3g's name; lat is so_lat."""
    downsample: CommaList | None = None
    """Factor in time, one for each pass."""
    maxiter: CommaList | None = None
    """The most iterations, one for each pass; make-ml-map takes 500."""
    interpol: CommaList | None = None
    """Pointing interpolation, one for each pass: nearest or linear."""
    downgrade: int | None = None
    """Factor in map resolution."""
    tiled: Literal[0, 1] | None = None
    """Whether the map is in tiles: 1 (if not given) or 0."""
    srcsamp: FilePath | None = None
    """Mask of where samples are solved for one by one."""
    unit: str | None = None
    """Unit of the maps; uK if not given."""
    iunit: str | None = None
    """Unit of the data; K if not given."""
    maxcut: float | None = None
    """The largest fraction of samples that may be cut; 0.3 if not given."""
    cut_type: str | None = None
    """How cuts are solved for; full if not given."""
    center_at: str | None = None
    """What the map is centred at."""
    window: float | None = None
    """Seconds over which the ends are tapered; 2 if not given."""
    inject: FilePath | None = None
    """Map to inject into the data."""
    nmat_dir: FilePath | None = None
    """Folder of the noise models."""
    nmat_mode: Literal["build", "cache", "load", "save"] | None = None
    """Whether noise models are built, cached, loaded or saved."""
    sun_mask: FilePath | None = None
    """Mask of the Sun's sidelobes; make-ml-map's own is a file at NERSC."""
    moon_mask: FilePath | None = None
    """Mask of the Moon's sidelobes; make-ml-map's own is a file at NERSC."""
    tods: str | None = None
    """Slice of the list of observations."""
    ntod: int | None = None
    """The most observations."""
    no_sidelobe: bool = False
    """Cuts no sidelobes, and needs no masks."""
    nocal: bool = False
    """Does not calibrate."""
    hits: bool = False
    """Writes the map of hits, too."""
    verbose: int = Field(default=0, ge=0, le=5)
    """How much more it says: -v so often."""
    quiet: int = Field(default=0, ge=0, le=5)
    """How much less it says: -q so often."""

    def under(self, base: Path) -> Self:
        """Return the same with relative paths under a folder, that of a query file too."""
        whole = super().under(base)
        if not self.query.startswith(FILE_SCHEME):
            return whole
        path = base / local_path(self.query)
        return whole.model_copy(update={"query": f"{FILE_SCHEME}{path}"})

    @field_validator("comps")
    @classmethod
    def _of_tqu(cls, comps: str) -> str:
        if not comps or not set(comps) <= set("TQU") or len(set(comps)) < len(comps):
            raise ValueError(f"{comps!r} is not made of T, Q and U")
        return comps

    @field_validator("bands", "wafers")
    @classmethod
    def _each_fits(cls, value: str | None, info: ValidationInfo) -> str | None:
        what, pattern, like = _PATTERNS[info.field_name or ""]
        for item in value.split(",") if value else ():
            if not re.fullmatch(pattern, item) and not item.startswith("$"):
                raise ValueError(f"{item!r} is no {what}, such as {like}")
        return value

    @field_validator("query")
    @classmethod
    def _not_too_long(cls, query: str) -> str:
        if not query.startswith(FILE_SCHEME) and len(query) > LONGEST_QUERY:
            raise ValueError(
                f"a query of {len(query)} characters is more than the {LONGEST_QUERY} that "
                "make-ml-map takes; put the obs_ids in a file and give 'file:///path/to/it'"
            )
        return query


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


def sizes(options: MLMapmakingOptions, observations: Observations) -> dict[str, int]:
    """Return what drives the cost of a map of these observations."""
    sets = observations.detector_sets(options.wafers, options.bands)
    return {
        "observations": len(observations),
        "detector_sets": int(sets.sum()),
        "samples": int((sets * observations.n_samples).sum()),
    }


def check(options: MLMapmakingOptions, context: Context) -> None:
    """Say what make-ml-map needs and was not given."""
    name = context.section.name
    if options.preprocess_config is None:
        context.warn(f"{name}: preprocess_config is not given; a run would need it")
    masks = options.sun_mask and options.moon_mask
    if not (masks or options.no_sidelobe or context.cluster.name == HOME_OF_THE_MASKS):
        context.warn(
            f"{name}: make-ml-map's Sun and Moon masks are files at NERSC: elsewhere give "
            "sun_mask and moon_mask, or no_sidelobe = true"
        )


def expand(options: MLMapmakingOptions, context: Context) -> list[Workflow]:
    """Make one map."""
    from socm.workflows.obsdb import ContextUnavailable

    check(options, context)
    size: dict[str, int] = {}
    try:
        observations = context.observations(Path(options.context), options.query, ())
    except ContextUnavailable:
        pass  # that it is not here is told of all inputs that are not
    else:
        size = sizes(options, observations)
        if not size["detector_sets"]:
            context.warn(f"{context.section.name}: its query selects nothing to map")
    return [context.workflow(command(options), inputs=inputs(options), sizes=size)]


ML_MAPMAKING = WorkflowType(name="ml-mapmaking", options=MLMapmakingOptions, expand=expand)
