"""What sotodlib, so3g, TOAST and astropy answer: run by their Python, not by socm's.

``python answers.py FUNCTION`` reads the arguments as JSON from standard input, and writes the
answer to a file that is named there, since TOAST talks on standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any


class _Parser(argparse.ArgumentParser):
    """Takes full names only, and raises what is wrong."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"allow_abbrev": False})

    def error(self, message: str) -> Any:
        raise ValueError(message)


def _map_parser() -> argparse.ArgumentParser:
    from sotodlib.site_pipeline.cli import ELEMENTS

    parser = _Parser()
    ELEMENTS["make-ml-map"].get_parser(parser)
    return parser


def _parsed(parse: Any, arguments: list[str]) -> dict[str, Any]:
    try:
        return {"error": None, "values": parse(arguments)}
    except ValueError as error:
        return {"error": str(error), "values": {}}


def map_options() -> list[str]:
    """Name all options and positional arguments of make-ml-map."""
    actions = _map_parser()._actions  # noqa: SLF001  # argparse lists its options nowhere else
    return [action.dest for action in actions if action.dest != "help"]


def map_commands(commands: list[list[str]]) -> list[dict[str, Any]]:
    """Parse the arguments of make-ml-map."""
    parser = _map_parser()
    return [_parsed(lambda a: vars(parser.parse_args(a)), command) for command in commands]


def map_values() -> dict[str, Any]:
    """Say which values the code behind make-ml-map takes, where its parser takes any text."""
    import so3g
    from so3g.proj import Ranges, RangesMatrix
    from so3g.proj.coords import SITES
    from so3g.proj.wcs import INTERPOLS
    from sotodlib.mapmaking.pointing_matrix import PmatCut
    from sotodlib.site_pipeline.make_ml_map import unit_defs

    def takes(cut_type: str) -> bool:
        cuts = RangesMatrix([Ranges(1000)])
        cuts.ranges[0].add_interval(10, 400)
        try:
            return bool(PmatCut(cuts, model=cut_type).njunk)
        except ValueError:
            return False

    engines = {name.split("_")[2] for name in dir(so3g) if name.startswith("ProjEng_CAR_")}
    return {
        "comps": sorted(engines),
        "interpol": list(INTERPOLS),
        "unit": list(unit_defs),
        "site": [name for name in SITES if not name.startswith("_")],
        "cut_type": [name for name in ("full", "poly", "bin", "exp", "linear") if takes(name)],
        "places": {name: [site.lon, site.lat, site.elev] for name, site in SITES.items()},
    }


def queries(context: str, each: list[tuple[str, list[str]]]) -> list[list[str] | None]:
    """Select as a context does; `None` where it refuses."""
    import sqlite3
    import warnings

    from sotodlib.core import Context

    obsdb = Context(context).obsdb
    found: list[list[str] | None] = []
    for query, tags in each:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that quotes were replaced
            try:
                found.append([str(row["obs_id"]) for row in obsdb.query(query, tags)])
            except sqlite3.Error:
                found.append(None)
    return found


def detector_sets(context: str, maps: list[dict[str, Any]]) -> list[list[str]]:
    """List what make-ml-map would map: its own steps from query to detector sets."""
    from sotodlib import mapmaking
    from sotodlib.core import Context

    def split(text: str | None) -> list[str] | None:
        return text.split(",") if text else None

    read, found = Context(context), []
    for of in maps:
        ids = mapmaking.get_subids(of["query"], context=read)
        try:
            kept = mapmaking.filter_subids(
                ids, wafers=split(of["wafers"]), bands=split(of["bands"]), ots=split(of["ots"])
            )
        except ValueError:  # of nothing it cannot select
            kept = ids[:0]
        if of["tods"]:
            kept = eval("kept" + of["tods"])  # as it does
        found.append([str(name) for name in kept[: of["ntod"]]])
    return found


def simulations(commands: list[list[str]]) -> list[dict[str, Any]]:
    """Parse the arguments of toast_so_sim, up to where it would begin to work."""
    from sotodlib.toast import workflows
    from sotodlib.toast.scripts import so_sim

    class Parsed(Exception):
        pass

    set_up = workflows.setup_job

    def stop(**kwargs: Any) -> None:
        _, config, others, job = set_up(**kwargs)
        operators = {
            name: {trait: str(of["value"]) for trait, of in traits.items() if "value" in of}
            for name, traits in config["operators"].items()
            if isinstance(traits, dict)
        }
        raise Parsed({"general": vars(others) | {"job": str(job)}, "operators": operators})

    so_sim.wrk.setup_job = stop
    so_sim.argparse = SimpleNamespace(ArgumentParser=_Parser)

    def parse(arguments: list[str]) -> Any:
        sys.argv = ["toast_so_sim", *arguments]
        try:
            so_sim.main()
        except Parsed as parsed:
            return parsed.args[0]
        except SystemExit as error:
            raise ValueError(str(error)) from error
        raise AssertionError("it went on")

    return [_parsed(parse, command) for command in commands]


def simulation_options() -> list[str]:
    """Name the options of toast_so_sim that are no traits of operators."""
    from sotodlib.toast.scripts import so_sim

    names: list[str] = []

    class Listing(_Parser):
        def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
            names.extend(action.dest for action in self._actions)
            raise SystemExit

    so_sim.argparse = SimpleNamespace(ArgumentParser=Listing)
    sys.argv = ["toast_so_sim"]
    with suppress(SystemExit):
        so_sim.main()
    return [name for name in dict.fromkeys(names) if "." not in name and name != "help"]


def schedules(folder: str) -> dict[str, dict[str, float]]:
    """Write observing schedules as TOAST does, and say what is in them."""
    from datetime import UTC, datetime, timedelta

    from astropy import units as u
    from toast.schedule import GroundScan, GroundSchedule

    start = datetime(2025, 3, 1, 4, 30, tzinfo=UTC)
    scans = [
        GroundScan(
            name="field",
            start=start + timedelta(hours=2 * k),
            stop=start + timedelta(hours=2 * k, minutes=50 + k),
            boresight_angle=0 * u.deg, az_min=100 * u.deg, az_max=140 * u.deg, el=50 * u.deg,
            scan_indx=k, subscan_indx=0,
        )
        for k in range(5)
    ]  # fmt: skip
    schedule = GroundSchedule(
        scans=scans, site_name="ATACAMA", telescope_name="SAT1",
        site_lat=-22.96 * u.deg, site_lon=-67.79 * u.deg, site_alt=5188 * u.m,
    )  # fmt: skip
    seconds = sum((scan.stop - scan.start).total_seconds() for scan in scans)
    for name in ("schedule.txt", "schedule.ecsv"):
        schedule.write(str(Path(folder) / name))
        again = GroundSchedule()
        again.read(str(Path(folder) / name))
        assert len(again.scans) == len(scans)
    return {"scans": len(scans), "seconds": seconds}


def sky(
    times: list[float], azimuth: list[float], elevation: list[float], place: list[float]
) -> dict[str, Any]:
    """Return altitudes of Sun and Moon, and their separations from directions, by astropy."""
    from astropy import units as u
    from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_body
    from astropy.time import Time
    from astropy.utils import iers

    iers.conf.auto_download = False
    iers.conf.auto_max_age = None
    iers.conf.iers_degraded_accuracy = "warn"
    longitude, latitude, height = place
    site = EarthLocation.from_geodetic(longitude * u.deg, latitude * u.deg, height * u.m)
    time = Time(times, format="unix", scale="utc")
    frame = AltAz(obstime=time, location=site)
    # Of bodies only the directions: distances would turn the frames' origins into angles.
    scan = SkyCoord(az=azimuth * u.deg, alt=elevation * u.deg, frame=frame)
    found = {}
    for body in ("sun", "moon"):
        seen = get_body(body, time, site).transform_to(frame)
        direction = SkyCoord(az=seen.az, alt=seen.alt, frame=frame)
        found[body] = {
            "altitude": seen.alt.deg.tolist(),
            "separation": scan.separation(direction).deg.tolist(),
        }
    icrs = scan.transform_to("gcrs")
    return {**found, "ra": icrs.ra.deg.tolist(), "dec": icrs.dec.deg.tolist()}


if __name__ == "__main__":
    request = json.load(sys.stdin)
    answer = globals()[sys.argv[1]](**request["arguments"])
    Path(request["answer"]).write_text(json.dumps(answer, default=str), encoding="utf-8")
