"""The nine null tests that hold one kind of observation against another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from socm.spelling import spellings
from socm.workflows.base import Unit
from socm.workflows.null_tests.base import Group, Grouping, NullTest, NullTestOptions, null_test
from socm.workflows.observations import Observations

UNPOINTED = "have no pointing: left out"


def _partition(
    groups: Mapping[str, NDArray[np.bool_]],
    noted: Mapping[str, NDArray[np.bool_]],
    limit: str = "",
) -> Grouping:
    """Make groups of masks."""
    return Grouping(
        groups=tuple(
            Group(name=name, members=np.flatnonzero(mask)) for name, mask in groups.items()
        ),
        noted={what: int(mask.sum()) for what, mask in noted.items()},
        limit=limit,
    )


def _limit(
    given: float | Literal["median"], values: NDArray[np.float64], unit: str
) -> tuple[float, str]:
    """Return what parts the groups, and how to tell it if the data said so."""
    if given != "median":
        return given, ""
    median = float(np.median(values)) if len(values) else 0.0
    return median, f"median {median:.2f} {unit}"


def _named(*names: str) -> Any:
    """Return the groups of a test whose names do not depend on the data."""
    groups = [Group(name=name, members=np.empty(0, dtype=np.int64)) for name in names]
    return lambda options: groups


# Mission


class MissionOptions(NullTestOptions):
    """Splits of all observations."""

    nsplits: int = Field(default=8, ge=2, le=1000)
    """Splits of all observations; an even number."""


def by_mission(options: MissionOptions, observations: Observations) -> Grouping:
    """Put all observations into one group."""
    return _partition({"": np.ones(len(observations), dtype=bool)}, {})


# Wafer


class WaferOptions(NullTestOptions):
    """Splits of the observations of each wafer; `wafers` restricts which."""

    nsplits: int = Field(default=8, ge=2, le=1000)
    """Splits of each wafer's observations; an even number."""


def by_wafer(options: WaferOptions, observations: Observations) -> Grouping:
    """Put the observations of each wafer of each tube into a group; a tube is named if several."""
    wanted = set(options.wafers.split(",")) if options.wafers else None
    groups = []
    places = [*zip(observations.telescope.tolist(), observations.tube.tolist(), strict=True)]
    telescopes, tubes = {t for t, _ in places}, set(places)
    for place in sorted(tubes):
        here = np.array([p == place for p in places], dtype=bool)
        slots = {wafer for on in observations.wafers[here] for wafer in on}
        for slot in sorted(slots if wanted is None else slots & wanted):
            has = np.array([slot in on for on in observations.wafers], dtype=bool)
            parts = [place[0]] if len(telescopes) > 1 else []
            parts += [place[1]] if len(tubes) > 1 else []
            name = "_".join([*parts, slot])
            groups.append(Group(name=name, members=np.flatnonzero(here & has), wafers=slot))
    without = np.array([not on for on in observations.wafers], dtype=bool)
    return Grouping(groups=tuple(groups), noted={"have no wafers: left out": int(without.sum())})


def _assumed_wafers(options: WaferOptions) -> list[Group]:
    """Take the wafers asked for, else as many as one tube of such a telescope has."""
    of_sat = (options.site or "").startswith("so_sat")
    slots = (
        options.wafers.split(",")
        if options.wafers
        else [f"ws{i}" for i in range(7 if of_sat else 3)]
    )
    none = np.empty(0, dtype=np.int64)
    return [Group(name=slot, members=none, wafers=slot) for slot in slots]


# Direction


class DirectionOptions(NullTestOptions):
    """Rising against setting: east of the meridian, where the sky rises, and west of it."""

    middle_width: Annotated[float, Unit("deg")] = Field(default=0.1, ge=0, le=90)
    """Scans whose centre is this near to the meridian, south or north, are ``middle``."""


def by_direction(options: DirectionOptions, observations: Observations) -> Grouping:
    """Group by the azimuth of the scan's centre."""
    azimuth, pointed = observations.azimuth, observations.pointed
    from_meridian = np.abs((azimuth + 90) % 180 - 90)
    middle = pointed & (from_meridian <= options.middle_width)
    return _partition(
        {
            "rising": pointed & ~middle & (azimuth < 180),
            "setting": pointed & ~middle & (azimuth > 180),
            "middle": middle,
        },
        {UNPOINTED: ~pointed},
    )


# Precipitable water vapour


class PWVOptions(NullTestOptions):
    """High water vapour against low; observations without a value are in neither group."""

    pwv_limit: Annotated[float | Literal["median"], Unit("mm")] = 2.0
    """Observations above this are high; ``"median"`` makes two halves."""
    pwv_quality: float = Field(default=0.0, ge=0, le=1)
    """Smallest share of an observation in which its water vapour must be known."""


def by_pwv(options: PWVOptions, observations: Observations) -> Grouping:
    """Group by the mean water vapour of each."""
    pwv, quality = observations.pwv, observations.pwv_quality
    known = np.isfinite(pwv) & ~(quality < options.pwv_quality)
    limit, told = _limit(options.pwv_limit, pwv[known], "mm")
    return _partition(
        {"high": known & (pwv > limit), "low": known & (pwv <= limit)},
        {"lack water vapour (pwv): left out": ~known},
        told,
    )


# Sun and Moon above the horizon


class HorizonOptions(NullTestOptions):
    """Where a body stands, and what holds for an observation during which that changes."""

    straddle: Literal["mid", "majority", "drop"] = "mid"
    """How to classify an observation that spans a change: by its midpoint, by majority, or drop."""


class DayNightOptions(HorizonOptions):
    """Day against night."""

    sun_altitude: Annotated[float, Unit("deg")] = Field(default=-0.833, ge=-90, le=90)
    """Altitude of the Sun's centre above which it is day: -0.833 is sunrise, -18 astronomical."""


class MoonOptions(HorizonOptions):
    """Moon in the sky against out of it."""

    moon: Literal["up", "rising"] = "up"
    """Compare above with below the horizon, or rising with setting (east with west)."""


_TIMES = np.linspace(0, 1, 13)


def _straddling(
    observations: Observations, straddle: str, above: Any
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return for which it holds, for which that changes, and which of them are left out."""
    spans = observations.stop - observations.start
    during: NDArray[np.bool_] = np.array([above(observations.start + x * spans) for x in _TIMES])
    always, ever = np.all(during, axis=0), np.any(during, axis=0)
    changes = np.asarray(ever & ~always)
    most = np.asarray(np.mean(during, axis=0) > 0.5)
    holds = most if straddle == "majority" else during[len(_TIMES) // 2]
    out = changes if straddle == "drop" else np.zeros(len(observations), dtype=bool)
    return holds, changes, out


def by_day(options: DayNightOptions, observations: Observations) -> Grouping:
    """Group by the Sun's altitude."""
    from socm.workflows.sky import horizon, site_of

    site = site_of(options.site)
    day, changes, out = _straddling(
        observations,
        options.straddle,
        lambda time: horizon("sun", time, site)[1] > options.sun_altitude,
    )
    return _partition(
        {"day": day & ~out, "night": ~day & ~out},
        _told("see the Sun rise or set", options.straddle, changes),
    )


def _told(what: str, straddle: str, changes: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    how = {"mid": "taken by their middle", "majority": "taken by most of their time"}
    return {f"{what}: {how.get(straddle, 'left out')}": changes}


def by_moon(options: MoonOptions, observations: Observations) -> Grouping:
    """Group by whether the Moon is up, or by which side of the meridian it is on."""
    from socm.workflows.sky import horizon, site_of

    site = site_of(options.site)

    def above(time: NDArray[np.float64]) -> NDArray[np.bool_]:
        azimuth, altitude = horizon("moon", time, site)
        return altitude > 0 if options.moon == "up" else azimuth < 180

    there, changes, out = _straddling(observations, options.straddle, above)
    up = options.moon == "up"
    names = ("insky", "outsky") if up else ("rising", "setting")
    what = "see the Moon rise or set" if up else "see the Moon cross the meridian"
    return _partition(
        {names[0]: there & ~out, names[1]: ~there & ~out}, _told(what, options.straddle, changes)
    )


def _assumed_moon(options: MoonOptions) -> list[Group]:
    names = ("insky", "outsky") if options.moon == "up" else ("rising", "setting")
    groups: list[Group] = _named(*names)(options)
    return groups


# Elevation


class ElevationOptions(NullTestOptions):
    """Low elevations against high ones."""

    elevation_threshold: Annotated[float | Literal["median"], Unit("deg")] = 45.0
    """Observations below this are low; ``"median"`` makes two halves."""


def by_elevation(options: ElevationOptions, observations: Observations) -> Grouping:
    """Group by the elevation of the scan."""
    elevation, pointed = observations.elevation, observations.pointed
    limit, told = _limit(options.elevation_threshold, elevation[pointed], "deg")
    return _partition(
        {"low": pointed & (elevation < limit), "high": pointed & (elevation >= limit)},
        {UNPOINTED: ~pointed},
        told,
    )


# Close to Sun or Moon


class CloseOptions(NullTestOptions):
    """Close to a body against far from it: the least angle of the scan, less the field's radius."""

    field_radius: Annotated[float | None, Unit("deg")] = Field(default=None, ge=0, le=90)
    """Radius of the focal plane (default: 3.72 for the LAT, 17.8 for SATs)."""


class SunCloseOptions(CloseOptions):
    """Close to the Sun against far from it."""

    sun_distance_threshold: Annotated[float | Literal["median"], Unit("deg")] = 60.0
    """Observations nearer than this are close; SO stays 41 away. ``"median"`` makes halves."""


class MoonCloseOptions(CloseOptions):
    """Close to the Moon against far from it."""

    moon_distance_threshold: Annotated[float | Literal["median"], Unit("deg")] = Field(
        default=10.0,
        validation_alias=spellings("moon_distance_threshold", "sun_distance_threshold"),
    )
    """Observations nearer than this are close; ``"median"`` makes two halves."""


def _by_distance(
    body: Literal["sun", "moon"],
    threshold: float | Literal["median"],
    options: CloseOptions,
    observations: Observations,
) -> Grouping:
    from socm.workflows.sky import FIELD_RADIUS, closest, site_of

    o, pointed = observations, observations.pointed
    least = closest(
        body, site_of(options.site), start=o.start, stop=o.stop,
        azimuth=o.azimuth, elevation=o.elevation, throw=o.throw,
    )  # fmt: skip
    of_sat = np.char.startswith(o.telescope, "sat")
    if (options.site or "").startswith("so_sat"):
        of_sat |= o.telescope == ""  # the database does not say
    radius = np.where(of_sat, FIELD_RADIUS["sat"], FIELD_RADIUS["lat"])
    distance = least - (radius if options.field_radius is None else options.field_radius)
    limit, told = _limit(threshold, distance[pointed], "deg")
    return _partition(
        {"close": pointed & (distance <= limit), "far": pointed & (distance > limit)},
        {UNPOINTED: ~pointed},
        told,
    )


def by_sun(options: SunCloseOptions, observations: Observations) -> Grouping:
    """Group by how near the scan comes to the Sun."""
    return _by_distance("sun", options.sun_distance_threshold, options, observations)


def by_moon_distance(options: MoonCloseOptions, observations: Observations) -> Grouping:
    """Group by how near the scan comes to the Moon."""
    return _by_distance("moon", options.moon_distance_threshold, options, observations)


MISSION = null_test(
    "mission-tests",
    MissionOptions,
    NullTest(tag="mission", group=by_mission, assumed=_named("")),
)
WAFER = null_test(
    "wafer-tests", WaferOptions, NullTest(tag="wafer", group=by_wafer, assumed=_assumed_wafers)
)
DIRECTION = null_test(
    "direction-tests",
    DirectionOptions,
    NullTest(tag="direction", group=by_direction, assumed=_named("rising", "setting", "middle")),
)
PWV = null_test(
    "pwv-tests", PWVOptions, NullTest(tag="pwv", group=by_pwv, assumed=_named("high", "low"))
)
DAY_NIGHT = null_test(
    "day-night-tests",
    DayNightOptions,
    NullTest(tag="", group=by_day, assumed=_named("day", "night")),
)
MOONRISE_SET = null_test(
    "moonrise-set-tests",
    MoonOptions,
    NullTest(tag="moon", group=by_moon, assumed=_assumed_moon),
)
ELEVATION = null_test(
    "elevation-tests",
    ElevationOptions,
    NullTest(tag="elevation", group=by_elevation, assumed=_named("low", "high")),
)
SUN_CLOSE = null_test(
    "sun-close-tests",
    SunCloseOptions,
    NullTest(tag="sun", group=by_sun, assumed=_named("close", "far")),
)
MOON_CLOSE = null_test(
    "moon-close-tests",
    MoonCloseOptions,
    NullTest(tag="moon", group=by_moon_distance, assumed=_named("close", "far")),
)
