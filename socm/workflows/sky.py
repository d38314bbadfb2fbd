"""Where Sun and Moon stand over a telescope: vectorised, offline, to 0.01°.

Positions are those of ERFA (IAU 2000B; VSOP87 for the Earth, and Meeus' theory for the
Moon), seen from the telescope: the Moon's parallax is a degree. Directions are compared in the
horizon frame, without distances and without refraction. UT1 is taken as UTC, which moves a body
by at most 0.004°.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import erfa  # type: ignore[import-untyped]  # has no annotations
import numpy as np
from numpy.typing import ArrayLike, NDArray

Body = Literal["sun", "moon"]
Array = NDArray[np.float64]


class Site(NamedTuple):
    """Where a telescope is: degrees east and north, metres above the sea."""

    longitude: float
    latitude: float
    height: float


_LAT = Site(-67.78768889, -22.96096389, 5188.0)
SITES: dict[str, Site] = {
    "act": Site(-67.7876, -22.9585, 5188.0),
    "so": _LAT,
    "so_lat": _LAT,
    "so_sat1": Site(-67.78836389, -22.96010556, 5188.0),
    "so_sat2": Site(-67.78813333, -22.96009722, 5188.0),
    "so_sat3": Site(-67.787925, -22.95999167, 5188.0),
}
"""The sites that so3g 0.2.9 knows, under its names."""


def site_of(name: str | None) -> Site:
    """Return a site by its name; the LAT's where none is given."""
    return SITES[name or "so_lat"]


FIELD_RADIUS = {"lat": 3.72, "sat": 17.80}
"""Radius of a focal plane on the sky in degrees, as sotodlib 0.6.24 has them."""

_AU = 149_597_870.7  # km
_UNIX_EPOCH = 2_440_587.5  # Julian date
_DAY = 86_400.0


def horizon(body: Body, time: ArrayLike, site: Site) -> tuple[Array, Array]:
    """Return azimuth and altitude of a body in degrees, as seen from a site.

    Parameters
    ----------
    body
        Sun or Moon.
    time
        Seconds of the epoch (UTC).
    site
        Where it is seen from.

    Examples
    --------
    Noon at the equinox: the Sun stands as high as the latitude lets it, in the north.

    >>> azimuth, altitude = horizon("sun", 1742488200.0, SITES["so_lat"])
    >>> float(altitude.round(0))
    67.0
    """
    t = np.asarray(time, dtype=np.float64)
    utc = (_UNIX_EPOCH, t / _DAY)
    tt = erfa.taitt(*erfa.utctai(*utc))
    around = _geocentric(body, tt)
    # From the celestial frame to the Earth's, and from its centre to the telescope.
    to_earth = erfa.c2t00b(*tt, *utc, 0.0, 0.0)
    east, north = np.radians(site.longitude), np.radians(site.latitude)
    here = erfa.gd2gc(1, east, north, site.height) / 1e3
    direction = np.einsum("...ij,...j->...i", to_earth, around) - here
    up = np.array([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)])
    to_north = np.array(
        [-np.sin(north) * np.cos(east), -np.sin(north) * np.sin(east), np.cos(north)]
    )
    to_east = np.array([-np.sin(east), np.cos(east), 0.0])
    azimuth = np.degrees(np.arctan2(direction @ to_east, direction @ to_north)) % 360
    altitude = np.degrees(np.arcsin(direction @ up / np.linalg.norm(direction, axis=-1)))
    return azimuth, altitude


def _geocentric(body: Body, tt: tuple[Array, Array]) -> Array:
    """Return where a body is from the Earth's centre, in km along the celestial axes.

    Of the Sun the apparent place, as the Earth's velocity shifts it by 0.006°.
    """
    if body == "moon":
        return np.asarray(erfa.moon98(*tt)["p"]) * _AU
    heliocentric, barycentric = erfa.epv00(*tt)
    earth = np.asarray(heliocentric["p"])
    distance = np.linalg.norm(earth, axis=-1)[..., None]
    velocity = np.asarray(barycentric["v"])  # au/day; light takes 1/173.1446 of a day for an au
    apparent = -earth / distance + velocity / 173.144_632_67
    apparent /= np.linalg.norm(apparent, axis=-1)[..., None]
    return np.asarray(apparent * distance * _AU)


def equatorial(
    azimuth: ArrayLike, elevation: ArrayLike, time: ArrayLike, site: Site
) -> tuple[Array, Array]:
    """Return right ascension and declination of date, in degrees; good for maps of coverage.

    Examples
    --------
    The pole that is up stands in the south, as high as the latitude.

    >>> _, declination = equatorial(180.0, 22.96096389, 1.7e9, SITES["so_lat"])
    >>> float(declination.round(3))
    -90.0
    """
    az, el, north = np.radians(azimuth), np.radians(elevation), np.radians(site.latitude)
    sin_dec = np.sin(el) * np.sin(north) + np.cos(el) * np.cos(north) * np.cos(az)
    hour_angle = np.arctan2(
        -np.sin(az) * np.cos(el),
        np.sin(el) * np.cos(north) - np.cos(el) * np.sin(north) * np.cos(az),
    )
    turned = erfa.era00(_UNIX_EPOCH, np.asarray(time, dtype=np.float64) / _DAY)
    ra = np.degrees(turned - hour_angle) + site.longitude
    return ra % 360, np.degrees(np.arcsin(np.clip(sin_dec, -1, 1)))


def separation(azimuth: ArrayLike, altitude: ArrayLike, az: ArrayLike, alt: ArrayLike) -> Array:
    """Return the angle between two directions, all in degrees.

    Examples
    --------
    >>> separation([0.0, 10.0], [0.0, 90.0], [90.0, 200.0], [0.0, 50.0]).round(6).tolist()
    [90.0, 40.0]
    """
    a1, h1 = np.radians(azimuth), np.radians(altitude)
    a2, h2 = np.radians(az), np.radians(alt)
    half = np.sin((h1 - h2) / 2) ** 2 + np.cos(h1) * np.cos(h2) * np.sin((a1 - a2) / 2) ** 2
    return np.asarray(np.degrees(2 * np.arcsin(np.sqrt(np.clip(half, 0, 1)))))


def closest(
    body: Body,
    site: Site,
    *,
    start: Array,
    stop: Array,
    azimuth: Array,
    elevation: Array,
    throw: Array,
) -> Array:
    """Return how near the scans come to a body, in degrees, from the centre of the field.

    The least angle between the body at start, middle and end, and any azimuth of the scan.
    NaN without pointing.

    Parameters
    ----------
    body, site
        What is kept away from, and where.
    start, stop
        Seconds of the epoch (UTC).
    azimuth, elevation, throw
        Of the scans: the centre, and how far to either side, in degrees.
    """
    least = np.full(len(start), np.inf)
    for time in (start, (start + stop) / 2, stop):
        az, alt = horizon(body, time, site)
        # At one elevation, the nearest is where the azimuth comes nearest.
        nearest = np.clip((az - azimuth + 180) % 360 - 180, -throw, throw)
        least = np.minimum(least, separation(azimuth + nearest, elevation, az, alt))
    return least
