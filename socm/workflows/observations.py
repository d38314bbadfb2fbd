"""Observations of a campaign: one array for each of their properties."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

BANDS: Mapping[str, tuple[str, str]] = {
    "lf": ("f030", "f040"),
    "mf": ("f090", "f150"),
    "hf": ("f150", "f220"),
    "uhf": ("f220", "f280"),
}
"""The two bands of a tube's flavour, as sotodlib's mapmaking takes them."""

LARGEST = 1e12
"""Larger numbers are none of an observation; they count as missing."""

SAME_START = 60.0
"""Seconds within which the tubes of one telescope begin what is one scan."""


@dataclass(frozen=True, kw_only=True)
class Observations:
    """Observations in order of time: one array for each of their properties.

    Parameters
    ----------
    obs_id
        Names.
    lines
        What stands for each in a query file: its name, or its parts ``obs_id:wafer:band``.
    start, stop
        Seconds of the epoch (UTC).
    n_samples
        Samples of each detector.
    telescope, tube, flavor
        Where from: ``"lat"``, ``"i1"``, ``"mf"``; empty where the database does not say.
    wafers
        Wafer slots of each.
    azimuth, elevation, throw
        Centre of the scan and how far it goes to either side, in degrees; NaN without pointing.
        A telescope over the zenith is told as what it looks at.
    pwv
        Precipitable water vapour in mm; NaN where it is missing.
    pwv_quality
        How much of the observation `pwv` is known for, from 0 to 1; NaN where nothing is said.
    session_id
        Of the telescope's own; empty where the database does not say.
    """

    obs_id: NDArray[np.str_]
    lines: NDArray[np.object_]
    start: NDArray[np.float64]
    stop: NDArray[np.float64]
    n_samples: NDArray[np.int64]
    telescope: NDArray[np.str_]
    tube: NDArray[np.str_]
    flavor: NDArray[np.str_]
    wafers: NDArray[np.object_]
    azimuth: NDArray[np.float64]
    elevation: NDArray[np.float64]
    throw: NDArray[np.float64]
    pwv: NDArray[np.float64]
    pwv_quality: NDArray[np.float64]
    session_id: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.obs_id)

    def __getitem__(self, which: NDArray[Any]) -> Observations:
        """Return some of them, by a mask or by indices."""
        return replace(self, **{f.name: getattr(self, f.name)[which] for f in fields(self)})

    @cached_property
    def middle(self) -> NDArray[np.float64]:
        """Middle of each, in seconds of the epoch."""
        return (self.start + self.stop) / 2

    @cached_property
    def pointed(self) -> NDArray[np.bool_]:
        """Whether it is known where each points."""
        return np.isfinite(self.azimuth) & np.isfinite(self.elevation)

    @cached_property
    def session(self) -> NDArray[np.int64]:
        """Number each session: what one telescope does at one time, with all its tubes.

        By the database's own ids where it has them, else by starts within a minute.
        """
        sessions = np.zeros(len(self), dtype=np.int64)
        last: dict[str, tuple[float, str, int]] = {}
        count = 0
        for i in range(len(self)):
            telescope, begin, own = str(self.telescope[i]), self.start[i], str(self.session_id[i])
            first, name, number = last.get(telescope, (-np.inf, "", -1))
            same = own == name if own or name else begin - first <= SAME_START
            if number < 0 or not same:
                number, first, count = count, begin, count + 1
            last[telescope] = (first, own, number)
            sessions[i] = number
        return sessions

    def of_tubes(self, tubes: str) -> Observations:
        """Return those of optics tubes, with commas; a tube is told by the name of an observation.

        So does make-ml-map, of one tube. Of several, sotodlib 0.6.24 takes what is in none of
        them, if their number is even.
        """
        names = tubes.split(",")
        mask = [any(name in obs_id for name in names) for obs_id in self.obs_id.tolist()]
        return self[np.array(mask, dtype=bool)]

    def detector_sets(self, wafers: str | None, bands: str | None) -> NDArray[np.int64]:
        """Count the detector sets that are mapped of each: one is a wafer in a band.

        Parameters
        ----------
        wafers, bands
            Those asked for, with commas; `None` is all.
        """
        slots = set(wafers.split(",")) if wafers else None
        wanted = set(bands.split(",")) if bands else None
        return np.array(
            [
                sum(
                    (slots is None or wafer in slots) and (wanted is None or band in wanted)
                    for wafer, band in _detector_sets(lines, on, flavor)
                )
                for lines, on, flavor in zip(self.lines, self.wafers, self.flavor, strict=True)
            ],
            dtype=np.int64,
        )


def _detector_sets(
    lines: tuple[str, ...], wafers: tuple[str, ...], flavor: str
) -> Iterable[tuple[str, str]]:
    for line in lines:
        _, *parts = line.split(":")
        if len(parts) == 2:
            yield parts[0], parts[1]
        else:
            yield from ((w, b) for w in wafers for b in BANDS.get(flavor, ("",)))


def observations_of(
    rows: Iterable[Mapping[str, Any]], lines: Mapping[str, tuple[str, ...]]
) -> Observations:
    """Gather rows in arrays; a database may have one for each wafer and band."""
    by_id: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        by_id.setdefault(row["obs_id"], []).append(row)
    firsts = [several[0] for several in by_id.values()]

    def numbers(*names: str) -> NDArray[np.float64]:
        """Return the first of these columns that there is; NaN where it is missing."""
        return np.array([_number(row, names) for row in firsts], dtype=np.float64)

    def texts(name: str) -> NDArray[np.str_]:
        given = [row.get(name) for row in firsts]
        return np.array(["" if x is None else str(x) for x in given], dtype=np.str_)

    start = np.nan_to_num(numbers("start_time", "timestamp"))
    stop = numbers("stop_time")
    duration = np.nan_to_num(numbers("duration"))
    azimuth, elevation = numbers("az_center"), numbers("el_center")
    over = elevation > 90
    return Observations(
        obs_id=np.array([*by_id], dtype=np.str_),
        lines=_objects([lines.get(name, (name,)) for name in by_id]),
        start=start,
        stop=np.where(np.isfinite(stop), stop, start + duration),
        n_samples=np.nan_to_num(numbers("n_samples")).astype(np.int64),
        telescope=texts("telescope"),
        tube=texts("tube_slot"),
        flavor=np.char.lower(texts("tube_flavor")),
        wafers=_objects([_wafers(several) for several in by_id.values()]),
        azimuth=np.where(over, azimuth + 180, azimuth) % 360,
        elevation=np.where(over, 180 - elevation, elevation),
        throw=np.nan_to_num(numbers("az_throw")),
        pwv=numbers("pwv_mean", "pwv"),
        pwv_quality=numbers("pwv_qual"),
        session_id=texts("session_id"),
    )


def _number(row: Mapping[str, Any], names: Sequence[str]) -> float:
    value = next((row[name] for name in names if name in row), None)
    try:
        number = float("nan") if value is None else float(value)
    except (TypeError, ValueError):
        return float("nan")
    return number if abs(number) <= LARGEST else float("nan")


def _objects(values: Sequence[Any]) -> NDArray[np.object_]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _wafers(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the wafer slots of an observation.

    As make-ml-map does by the mask that ends its name; else from what its database says of them.
    """
    mask = str(rows[0]["obs_id"]).rpartition("_")[2]
    if mask and not mask.strip("01"):
        return tuple(f"ws{i}" for i, on in enumerate(mask) if on == "1")
    slots: list[Any] = [row.get("wafer_slot") for row in rows]
    if not all(slots):
        slots = str(rows[0].get("wafer_slots_list") or "").split(",")
    return tuple(sorted({str(slot).strip() for slot in slots if slot}))
