"""The programs that socm writes command lines for, and the libraries it computes like, agree.

They are asked in an environment of their own, which ``.ci/sotodlib`` makes.
"""

from __future__ import annotations

import json
import os
import subprocess
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from socm.config import load_campaign
from socm.errors import ConfigError
from socm.workflows.ml_mapmaking import MLMapmakingOptions, sizes
from socm.workflows.obsdb import read_observations
from socm.workflows.sat_sims import SatSimsOptions
from socm.workflows.sat_sims import sizes as simulated
from socm.workflows.sky import SITES, equatorial, horizon, separation

pytestmark = pytest.mark.sotodlib

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "lat_null_tests.toml"
CONTEXT = ROOT / "examples" / "so" / "context.yaml"
PYTHON = os.environ.get("SOCM_SOTODLIB_PYTHON")


def ask(tmp_path: Path, function: str, **arguments: Any) -> Any:
    """Ask a function of `answers`."""
    if PYTHON is None:
        pytest.skip("needs sotodlib: run .ci/sotodlib")
    answer = tmp_path / "answer.json"
    done = subprocess.run(
        [PYTHON, Path(__file__).with_name("answers.py"), function],
        input=json.dumps({"arguments": arguments, "answer": str(answer)}),
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(answer.read_text(encoding="utf-8"))


# Command lines of make-ml-map

EVERY_MAP_OPTION = """
[campaign]
resource = "tiger3"
environment = { SOMEWHERE = "/x" }
[campaign.ml-mapmaking]
name = "all"
context = "file:///context.yaml"
area = "file:///area.fits"
output_dir = "/out"
preprocess_config = "/preprocess.yaml"
prefix = "deep"
query = "type='obs' and subtype=\\"cmb\\""
comps = "TQU"
wafers = ["ws0", "ws1"]
ots = "i1"
bands = ["f090", "f150"]
nmat = "corr_dct"
max_dets = 200
site = "lat"
downsample = [4, 2]
maxiter = [200, 100]
interpol = "bilinear"
downgrade = 2
tiled = 0
srcsamp = "file:///sources.fits"
unit = "uK"
iunit = "K"
maxcut = 0.4
cut_type = "full"
center_at = "Saturn,up=hor"
window = 2.5
inject = "/sky.fits"
nmat_dir = "/noise"
nmat_mode = "cache"
sun_mask = "/sun.fits"
moon_mask = "/moon.fits"
tods = "[::2]"
ntod = 100
no_sidelobe = true
nocal = true
hits = true
verbose = 2
quiet = 1
depends = []
resources = { runtime = "1h", memory = "10G" }
[campaign.ml-mapmaking.environment]
OMP_NUM_THREADS = 8
"""


def arguments_of_maps(path: Path) -> dict[str, list[str]]:
    workflows = load_campaign(path).campaign.workflows
    return {
        name: list(w.command[2:])
        for name, w in workflows.items()
        if w.command[:2] == ("so-site-pipeline", "make-ml-map")
    }


def test_every_map_of_the_example_is_parsed_without_abbreviations(tmp_path: Path) -> None:
    commands = arguments_of_maps(EXAMPLE)
    assert len(commands) > 60
    answers = ask(tmp_path, "map_commands", commands=[*commands.values()])
    assert [name for name, a in zip(commands, answers, strict=True) if a["error"]] == []
    parsed = dict(zip(commands, (a["values"] for a in answers), strict=True))
    one = parsed["wafer_i1_ws0_split_1"]
    assert one["wafers"] == "ws0"
    assert one["query"] == one["odir"] + "/query.txt"
    assert one["no_sidelobe"] is True


def test_a_map_with_every_option_is_parsed_as_it_is_meant(tmp_path: Path) -> None:
    path = tmp_path / "every.toml"
    path.write_text(EVERY_MAP_OPTION)
    given = {line.split(" = ")[0] for line in EVERY_MAP_OPTION.splitlines() if " = " in line}
    assert MLMapmakingOptions.model_fields.keys() - given == {"extra_args"}
    [answer] = ask(tmp_path, "map_commands", commands=[*arguments_of_maps(path).values()])
    assert answer["error"] is None
    assert answer["values"] == {
        "query": "type='obs' and subtype=\"cmb\"", "area": "/area.fits", "odir": "/out",
        "preprocess_config": "/preprocess.yaml", "prefix": "deep", "comps": "TQU",
        "wafers": "ws0,ws1", "ots": "i1", "bands": "f090,f150", "context": "/context.yaml",
        "tods": "[::2]", "ntod": 100, "nmat": "corr_dct", "max_dets": 200, "site": "so_lat",
        "verbose": 2, "quiet": 1, "center_at": "Saturn,up=hor", "window": 2.5,
        "inject": "/sky.fits", "nocal": True, "nmat_dir": "/noise", "nmat_mode": "cache",
        "downsample": "4,2", "downgrade": 2, "maxiter": "200,100", "interpol": "bilinear",
        "tiled": 0, "srcsamp": "/sources.fits", "unit": "uK", "iunit": "K", "maxcut": 0.4,
        "no_sidelobe": True, "sun_mask": "/sun.fits", "moon_mask": "/moon.fits", "hits": True,
        "cut_type": "full",
    }  # fmt: skip


def test_the_options_of_maps_are_those_of_the_parser(tmp_path: Path) -> None:
    theirs = {*ask(tmp_path, "map_options")}
    ours = MLMapmakingOptions.model_fields.keys() - {"extra_args", "output_dir"}
    assert ours == theirs - {"odir"}


def test_the_values_of_maps_are_those_of_the_code_behind_the_parser(tmp_path: Path) -> None:
    theirs = ask(tmp_path, "map_values")

    def ours(field: str) -> set[str]:
        def leaves(annotation: Any) -> set[str]:
            parts = get_args(annotation)
            texts = {part for part in parts if isinstance(part, str)}
            return texts.union(*(leaves(part) for part in parts if not isinstance(part, str)))

        return leaves(MLMapmakingOptions.model_fields[field].annotation)

    for field in ("comps", "interpol", "unit", "site", "cut_type"):
        assert ours(field) == {*theirs[field]}, field
    for name, site in SITES.items():
        longitude, latitude, height = theirs["places"][name]
        assert site == pytest.approx((longitude, latitude, height), abs=1e-6), name


# Observations

CONDITIONS = (
    "1", "type='obs'", 'type="obs"', "type='oper'", "subtype='cmb'", "tube_slot='i1'",
    "telescope='lat'", "az_center<0", "az_center>360", "pwv_mean is null", "pwv_mean > 2",
    "wafer_count<3", "el_center between 45 and 55", "start_time > 1750000000",
    "tube_slot in ('i1', 'c1')", "obs_id like '%satp1%'", "not (type='obs')",
    "wafer_slots_list like '%ws2%'", "abs(az_center - 180) < 1", "duration > 3000",
    "stop_time - start_time < 3600",
)  # fmt: skip
TAGS: tuple[list[str], ...] = ([], ["planet=1"], ["planet=0"], ["planet"], ["south=1", "planet=0"])
WRONG = ("telescop='lat'", "type='obs", "1 limit 5", "type=", "(1", "1; drop table obs")


def test_queries_select_what_sotodlib_selects(tmp_path: Path) -> None:
    both = [f"{a} and {b}" for a, b in product(CONDITIONS[1:], CONDITIONS[:3])]
    either = [f"({a} or {b})" for a, b in product(CONDITIONS[3:9], CONDITIONS[9:15])]
    each = [*product((*CONDITIONS, *both, *either), TAGS)]
    each += [("planet=1 or south=1", ["planet", "south"]), ("1 -- all", [])]
    answers = ask(tmp_path, "queries", context=str(CONTEXT), each=each)
    assert sum(map(bool, answers)) > 300
    for (query, tags), theirs in zip(each, answers, strict=True):
        ours = read_observations(CONTEXT, query, tags).obs_id.tolist()
        if "obs_id" in query and tags:
            assert theirs is None  # to sotodlib it is ambiguous then
        else:
            assert sorted(ours) == sorted(theirs), (query, tags)


def test_queries_that_sotodlib_refuses_are_refused(tmp_path: Path) -> None:
    answers = ask(tmp_path, "queries", context=str(CONTEXT), each=[(q, []) for q in WRONG])
    assert answers == [None] * len(WRONG)
    for query in WRONG:
        with pytest.raises(ConfigError):
            read_observations(CONTEXT, query)


def test_sizes_count_the_detector_sets_that_make_ml_map_finds(tmp_path: Path) -> None:
    ids = read_observations(CONTEXT, "type='obs' and telescope='lat'").obs_id.tolist()
    file = tmp_path / "ids.txt"
    file.write_text(f"# some\n\n{ids[0]}\n{ids[1]}:ws0:f090\n  {ids[2]}  # part\n")
    common = {"context": str(CONTEXT), "area": "/a", "output_dir": "/o"}
    maps = [
        MLMapmakingOptions(**common, query=query, wafers=wafers, bands=bands, ots=ots, **some)
        for query, wafers, bands, ots, some in product(
            ("type='obs' and subtype='cmb'", "tube_slot='i5'", f"file://{file}"),
            (None, "ws0", "ws0,ws2"),
            (None, "f090", "f220,f280"),
            (None, "i1"),
            ({}, {"tods": "[:7]"}, {"tods": "[::3]", "ntod": 5}),
        )
    ]
    asked = [
        {"query": o.query.removeprefix("file://")}
        | {name: getattr(o, name) for name in ("wafers", "bands", "ots", "tods", "ntod")}
        for o in maps
    ]
    answers = ask(tmp_path, "detector_sets", context=str(CONTEXT), maps=asked)
    assert max(map(len, answers)) > 900
    for options, theirs in zip(maps, answers, strict=True):
        found = read_observations(CONTEXT, options.query)
        if options.ots:
            found = found.of_tubes(options.ots)
        assert sizes(options, found)["detector_sets"] == len(theirs), options


def test_of_several_tubes_sotodlib_takes_the_others_and_we_do_not_ask_it(tmp_path: Path) -> None:
    of = {"query": "telescope='lat'", "wafers": None, "bands": None, "tods": None, "ntod": None}
    [theirs] = ask(tmp_path, "detector_sets", context=str(CONTEXT), maps=[of | {"ots": "c1,i1"}])
    # Where this fails the fault is mended: --ots can be passed on again.
    assert {name.split("_")[2] for name in theirs}.isdisjoint({"latc1", "lati1"})
    path = tmp_path / "tubes.toml"
    path.write_text(
        f'[campaign.ml-mapmaking]\ncontext = "{CONTEXT}"\narea = "/a"\noutput_dir = "{tmp_path}"\n'
        'ots = "c1,i1"\nquery = "telescope=\'lat\'"\nresources = {runtime = 60}\n'
    )
    [made] = load_campaign(path).campaign.workflows.values()
    assert not any(word.startswith("--ots") for word in made.command)
    [(file, text)] = made.files.items()
    Path(file).write_text(text)
    [mapped] = ask(
        tmp_path, "detector_sets", context=str(CONTEXT),
        maps=[of | {"query": made.command[2], "ots": None}],
    )  # fmt: skip
    assert {name.split("_")[2] for name in mapped} == {"latc1", "lati1"}
    assert len(mapped) == made.sizes["detector_sets"]


# Command lines of toast_so_sim

SIMULATION: dict[str, Any] = {
    "output_dir": "/out", "schedule": "/schedule.txt", "bands": ["SAT_f090", "SAT_f150"],
    "sample_rate": 37.0, "thinfp": 4, "hardware": "/hardware.toml.gz",
    "det_info_file": "/info.csv", "det_info_version": "Cv4", "realization": 3, "pwv_limit": 3.0,
    "sort_schedule": True, "obsmaps": True, "detmaps": True, "intervalmaps": True,
    "full_pointing": True, "zero_loaded_data": True, "preprocess_copy": True, "dry_run": True,
    "job_group_size": 4, "job_node_mem": 1000000000, "log_config": "/log.yml",
    "sim_noise": True, "sim_atmosphere": False, "sim_sss": True, "sim_hwpss": True,
    "scan_map": False, "sim_hwpss_atmo_data": "/atmosphere.h5", "pixels_healpix_radec_nside": 512,
    "filterbin_name": "binned", "processing_mask_file": "/mask.h5",
    "traits": {
        "mapmaker.iter_max": 10, "demodulate": True, "mapmaker.write_hits": False,
        "mapmaker.save_cleaned": True,
    },
}  # fmt: skip


def test_simulations_are_parsed_as_they_are_meant(tmp_path: Path) -> None:
    from socm.workflows.sat_sims import command

    where: list[dict[str, Any]] = [
        {"telescope": "SAT1"}, {"tube_slots": ["ST1", "ST2"]}, {"wafer_slots": "w25"},
    ]  # fmt: skip
    commands = [command(SatSimsOptions(**SIMULATION, **of))[1:] for of in where]
    answers = ask(tmp_path, "simulations", commands=commands)
    assert [a["error"] for a in answers] == [None] * len(where)
    assert answers[1]["values"]["general"]["tube_slots"] == "ST1,ST2"
    general = answers[0]["values"]["general"]
    for name in ("sample_rate", "thinfp", "realization", "pwv_limit", "schedule", "dry_run",
                 "obsmaps", "full_pointing", "preprocess_copy", "log_config"):  # fmt: skip
        assert general[name] == SIMULATION[name], name
    assert general["out_dir"] == "/out"
    assert general["bands"] == "SAT_f090,SAT_f150"
    assert general["telescope"] == "SAT1"
    operators = answers[0]["values"]["operators"]
    set_to = {
        ("sim_noise", "enabled"): "True", ("sim_atmosphere", "enabled"): "False",
        ("sim_sss", "enabled"): "True", ("sim_hwpss", "enabled"): "True",
        ("scan_map", "enabled"): "False", ("demodulate", "enabled"): "True",
        ("sim_hwpss", "atmo_data"): "/atmosphere.h5", ("mapmaker", "iter_max"): "10",
        ("mapmaker", "write_hits"): "False", ("mapmaker", "save_cleaned"): "True",
        ("pixels_healpix_radec", "nside"): "512", ("filterbin", "name"): "binned",
        ("processing_mask", "file"): "/mask.h5",
    }  # fmt: skip
    assert {key: operators[key[0]][key[1]] for key in set_to} == set_to


def test_the_options_of_simulations_are_those_of_the_parser(tmp_path: Path) -> None:
    ours = SatSimsOptions.model_fields.keys() | {"out_dir"}
    assert {*ask(tmp_path, "simulation_options")} <= ours


def test_schedules_have_the_sizes_that_toast_gave_them(tmp_path: Path) -> None:
    told = ask(tmp_path, "schedules", folder=str(tmp_path))
    for name in ("schedule.txt", "schedule.ecsv"):
        options = SatSimsOptions(
            output_dir="/o", schedule=str(tmp_path / name), wafer_slots="w25,w26", sample_rate=37
        )
        found = simulated(options)
        assert found["observations"] == told["scans"], name
        assert found["samples"] == round(2 * 37 * told["seconds"]), name


# Sky


def test_sun_and_moon_are_where_astropy_sees_them(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    count = 2000
    times = random.uniform(1.70e9, 1.80e9, count)
    azimuth, elevation = random.uniform(0, 360, count), random.uniform(30, 70, count)
    for name in ("so_lat", "so_sat3"):
        site = SITES[name]
        theirs = ask(
            tmp_path, "sky", times=times.tolist(), azimuth=azimuth.tolist(),
            elevation=elevation.tolist(), place=[*site],
        )  # fmt: skip
        for body in ("sun", "moon"):
            az, alt = horizon(body, times, site)  # type: ignore[arg-type]
            assert np.abs(alt - theirs[body]["altitude"]).max() < 0.01, body
            apart = separation(azimuth, elevation, az, alt)
            assert np.abs(apart - theirs[body]["separation"]).max() < 0.01, body


def test_scans_are_where_astropy_sees_them_on_the_sky(tmp_path: Path) -> None:
    """Of date, not of 2000: precession is 0.4°, less than a pixel of coverage."""
    random = np.random.default_rng(2)
    times = random.uniform(1.74e9, 1.76e9, 500)
    azimuth, elevation = random.uniform(0, 360, 500), random.uniform(30, 70, 500)
    site = SITES["so_lat"]
    theirs = ask(
        tmp_path, "sky", times=times.tolist(), azimuth=azimuth.tolist(),
        elevation=elevation.tolist(), place=[*site],
    )  # fmt: skip
    ra, dec = equatorial(azimuth, elevation, times, site)
    assert separation(ra, dec, np.array(theirs["ra"]), np.array(theirs["dec"])).max() < 0.5
