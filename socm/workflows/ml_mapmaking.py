"""Maximum-likelihood maps: sotodlib's ``so-site-pipeline make-ml-map``.

Options are those of sotodlib 0.6.24's parser, under their own names.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from socm.errors import ConfigError, Problem
from socm.model.campaign import Workflow
from socm.spelling import spellings
from socm.workflows.base import (
    FILE_SCHEME,
    CommaList,
    Context,
    FilePath,
    Options,
    Unit,
    WorkflowType,
    local_path,
    options_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from socm.workflows.observations import Observations

HOME_OF_THE_MASKS = "perlmutter"
LONGEST_QUERY = 255
"""make-ml-map first tries to open the query as a file, and fails on a name of more bytes."""
_PATH = re.compile(r"[^\s'\"<>=!()]*(?:/[^\s'\"<>=!()]+|\.(?:txt|lst|list|dat|csv))")
"""What can only be the path of a file, and no condition."""
FEWEST_DETECTORS = 50
"""make-ml-map skips observations of fewer detectors."""

_PATTERNS = {
    "bands": ("band", r"f\d{3}", "f090"),
    "wafers": ("wafer slot", r"ws\d+", "ws0"),
    "downsample": ("whole factor", r"[1-9]\d*", "4"),
    "maxiter": ("number of iterations", r"[1-9]\d*", "200"),
}


def _site(name: object) -> object:
    """Take the LAT's other name; refuse a name that could be any of the SATs."""
    if name in ("sat", "so_sat"):
        raise ValueError(f"{name!r} is none of so3g's sites: which of so_sat1, so_sat2, so_sat3?")
    return "so_lat" if name == "lat" else name


Site = Annotated[
    Literal["act", "so_lat", "so_sat1", "so_sat2", "so_sat3", "so"], BeforeValidator(_site)
]


def _query(query: str) -> str:
    """Take nothing for all; keep what begins with a dash from looking like an option."""
    query = query.strip() or "1"
    return f"({query})" if query.startswith("-") else query


Query = Annotated[str, AfterValidator(_query)]
Temperature = Literal["nK", "uK", "mK", "K", "kK", "MK", "GK"]


class MLMapmakingOptions(Options):
    """A maximum-likelihood map: ``so-site-pipeline make-ml-map`` of sotodlib 0.6.24."""

    context: FilePath
    """The sotodlib context: ``context.yaml``."""
    area: FilePath
    """FITS file with the geometry of the map."""
    output_dir: FilePath
    """Folder of the maps."""
    preprocess_config: FilePath | None = None
    """Configuration of the preprocessing; make-ml-map needs it."""
    prefix: str | None = None
    """Prefix of the names of the maps."""
    query: Query = "1"
    """SQL condition that selects observations, or a file with the ID of one in each line."""
    comps: Literal["T", "QU", "TQU"] = "TQU"
    """Stokes components; only TQU agrees with the response of the detectors."""
    wafers: CommaList | None = Field(default=None, validation_alias=spellings("wafers", "wafer"))
    """Wafer slots, such as ws0,ws1 (default: all)."""
    ots: CommaList | None = None
    """Optics tubes, such as c1,i1 (default: all)."""
    bands: CommaList | None = None
    """Bands, such as f090,f150 (default: all)."""
    nmat: Literal["corr", "uncorr", "corr_dct", "debug"] | None = None
    """Noise model (make-ml-map's default: corr)."""
    max_dets: Annotated[int | None, Unit("detectors")] = Field(default=None, ge=1)
    """Maximum number of detectors per wafer and band; fewer than 50 are skipped."""
    site: Site | None = None
    """Site of the telescope, by so3g's name; lat means so_lat."""
    downsample: CommaList | None = None
    """Downsampling factor in time, one for each pass."""
    maxiter: CommaList | None = None
    """Maximum number of iterations, one for each pass (make-ml-map's default: 500)."""
    interpol: Literal["nearest", "bilinear"] | None = None
    """Interpolation of the pointing, the same in all passes (default: nearest)."""
    downgrade: int | None = Field(default=None, ge=1)
    """Downsampling factor of the map's resolution."""
    tiled: Literal[0, 1] | None = None
    """Whether the map is tiled: 1 (default) or 0."""
    srcsamp: FilePath | None = None
    """Mask of the pixels in which each sample is solved for separately."""
    unit: Temperature | None = None
    """Unit of the maps (default: uK)."""
    iunit: Temperature | None = None
    """Unit of the data (default: K)."""
    maxcut: float | None = Field(default=None, ge=0, le=1)
    """Largest fraction of a detector's samples that may be cut (default: 0.3)."""
    cut_type: Literal["full", "poly"] | None = None
    """Model of the cut samples (default: full)."""
    center_at: str | None = None
    """Centre of the map: ra:dec in degrees, or a body such as Saturn."""
    window: Annotated[float | None, Unit("s")] = Field(default=None, ge=0)
    """Length of the taper at both ends (default: 2)."""
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
    """Slice of the list of detector sets, such as [:10] or [::100]."""
    ntod: int | None = Field(default=None, ge=1)
    """Maximum number of detector sets: one is a wafer in a band of an observation."""
    no_sidelobe: bool = False
    """Do not cut sidelobes; then no masks are needed."""
    nocal: bool = False
    """Do not calibrate."""
    hits: bool = False
    """Also write the map of hits."""
    verbose: int = Field(default=0, ge=0, le=5)
    """Verbosity: the number of -v."""
    quiet: int = Field(default=0, ge=0, le=5)
    """Quietness: the number of -q."""

    def under(self, base: Path) -> Self:
        """Return the same with relative paths under a folder, that of a query file too."""
        whole = super().under(base)
        if not _names_a_file(self.query, base):
            return whole
        path = base / local_path(self.query)
        return whole.model_copy(update={"query": f"{FILE_SCHEME}{path}"})

    @field_validator("bands", "wafers", "downsample", "maxiter")
    @classmethod
    def _each_fits(cls, value: str | None, info: ValidationInfo) -> str | None:
        what, pattern, like = _PATTERNS[info.field_name or ""]
        for item in value.split(",") if value is not None else ():
            if not re.fullmatch(pattern, item) and not item.startswith("$"):
                raise ValueError(f"{item!r} is not a {what} such as {like}")
        return value

    @field_validator("tods")
    @classmethod
    def _is_a_slice(cls, tods: str | None) -> str | None:
        """make-ml-map evaluates it as Python: let nothing else through."""
        if tods is not None:
            try:
                _index(tods)
            except ValueError as error:
                raise ValueError(f"{tods!r} is not a slice such as [:10]") from error
        return tods

    @model_validator(mode="after")
    def _prefix_comes_after(self) -> Self:
        if self.prefix is not None and self.preprocess_config is None:
            raise ValueError("prefix needs preprocess_config: make-ml-map would take it for that")
        return self


def _names_a_file(query: str, base: Path) -> bool:
    """Whether a query is a list of observations: make-ml-map, too, tries to open it first.

    Examples
    --------
    >>> [_names_a_file(q, Path("/nowhere")) for q in ("obslist.txt", "lists/deep", "file://a")]
    [True, True, True]
    >>> [_names_a_file(q, Path("/nowhere")) for q in ("1", "cmb", "a/b > 2", "type='a.txt'")]
    [False, False, False, False]
    """
    if query.startswith(FILE_SCHEME):
        return True
    if query.startswith("$") or query.isdigit() or len(query.encode()) > LONGEST_QUERY:
        return False
    return _PATH.fullmatch(query) is not None or os.path.isfile(base / query)


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
    import numpy as np

    sets = observations.detector_sets(options.wafers, options.bands)
    of_set = np.repeat(np.arange(len(sets)), sets)
    if options.tods is not None:
        try:
            of_set = of_set[_index(options.tods)]
        except IndexError as error:
            message = f"tods {options.tods} picks beyond the {len(of_set)} detector sets there are"
            raise ConfigError(Problem(message=message, subject="tods")) from error
    of_set = of_set[: options.ntod]
    return {
        "observations": len(np.unique(of_set)),
        "detector_sets": len(of_set),
        "samples": int(observations.n_samples[of_set].sum()),
    }


def _index(tods: str) -> slice | NDArray[np.int64]:
    """Read what picks of a list: ``[:10]``, ``[::100]``, ``[[0,5]]``."""
    import numpy as np

    if match := re.fullmatch(r"\[(-?\d*):(-?\d*)(?::(-?[1-9]\d*)?)?\]", tods):
        return slice(*(int(part) if part else None for part in match.groups()))
    if not re.fullmatch(r"\[\[[\d, -]+\]\]", tods):
        raise ValueError(tods)
    return np.array(json.loads(tods)[0], dtype=np.int64)


def read(options: MLMapmakingOptions, context: Context, tags: tuple[str, ...] = ()) -> Observations:
    """Read the observations that a map is made of: the query's, of the optics tubes asked for."""
    from socm.workflows.obsdb import read_observations

    found = context.once(read_observations, Path(options.context), options.query, tags)
    return found if options.ots is None else found.of_tubes(options.ots)


def check(options: MLMapmakingOptions, context: Context) -> None:
    """Say what make-ml-map needs and was not given."""
    if options.preprocess_config is None:
        context.warn("preprocess_config is not given, but a run needs it")
    masks = options.sun_mask and options.moon_mask
    if not (masks or options.no_sidelobe or context.cluster.name == HOME_OF_THE_MASKS):
        context.warn(
            "make-ml-map's Sun and Moon masks are files at NERSC: elsewhere give "
            "sun_mask and moon_mask, or no_sidelobe = true"
        )
    if options.max_dets is not None and options.max_dets < FEWEST_DETECTORS:
        context.warn(
            f"max_dets is {options.max_dets}, but make-ml-map skips what has fewer than "
            f"{FEWEST_DETECTORS} detectors"
        )


def listed(options: MLMapmakingOptions, file: Path) -> MLMapmakingOptions:
    """Return the same with a query file, which lists the observations of its optics tubes."""
    return options.model_copy(update={"query": f"{FILE_SCHEME}{file}", "ots": None})


def query_file(observations: Observations) -> str:
    """Write observations as make-ml-map reads them: a line for each, or for each of its parts."""
    return "".join(f"{line}\n" for lines in observations.lines for line in lines)


def _must_be_listed(options: MLMapmakingOptions) -> tuple[str, str] | None:
    """Say why make-ml-map could not select for itself, if so, and what else would do."""
    if options.ots is not None and "," in options.ots:
        tubes = ", ".join(f"'{tube}'" for tube in options.ots.split(","))
        return (
            "of several optics tubes make-ml-map 0.6.24 takes all but those",
            f"say it in the query, tube_slot in ({tubes})",
        )
    raw = not options.query.startswith(FILE_SCHEME)
    if raw and (length := len(options.query.encode())) > LONGEST_QUERY:
        return (
            f"a query of {length} bytes is more than the {LONGEST_QUERY} that make-ml-map takes",
            "give the query as 'file:///path/to/a/list'",
        )
    return None


def expand(options: MLMapmakingOptions, context: Context) -> list[Workflow]:
    """Make one map; what make-ml-map would not select rightly is listed in a query file."""
    from socm.workflows.obsdb import ContextUnavailable

    check(options, context)
    if other := context.claim(Path(options.output_dir) / (options.prefix or "")):
        both = f"the maps of {other} and {context.section.name}"
        message = f"{both} would overwrite each other in {options.output_dir}"
        hint = "give each an output_dir of its own, or a prefix"
        raise ConfigError(Problem(message=message, hint=hint, subject="output_dir"))
    why = _must_be_listed(options)
    file = Path(options.output_dir) / f"{context.section.name}_query.txt"
    mapped = listed(options, file) if why else options
    needed = tuple(name for name in inputs(mapped) if name != str(file))
    try:
        observations = read(options, context)
    except ContextUnavailable as error:
        # Where the query can be left to make-ml-map, nothing is amiss but the sizes.
        if why and not context.assume:
            (reason, instead), unread = why, error.problems[0].message
            message = f"{reason}: these have to be listed in a file, but {unread}"
            hint = f"{instead}, or take --assume-splits to plan"
            raise ConfigError(Problem(message=message, hint=hint, subject="query")) from error
        return [context.workflow(command(mapped), inputs=needed, assumed=why is not None)]
    size = sizes(mapped, observations)
    if not size["detector_sets"]:
        context.warn("its query selects nothing to map")
    files = {str(file): query_file(observations)} if why else {}
    return [context.workflow(command(mapped), inputs=needed, files=files, sizes=size)]


ML_MAPMAKING = WorkflowType(name="ml-mapmaking", options=MLMapmakingOptions, expand=expand)
