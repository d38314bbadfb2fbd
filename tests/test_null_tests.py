"""Null tests: groups as they are in the sky, splits that are fair, and nothing lost on the way."""

from __future__ import annotations

import csv
import gzip
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import share

from socm.config import load_campaign
from socm.config.campaign import LoadedCampaign
from socm.errors import ConfigError
from socm.model.check import check_plan
from socm.planner import plan_campaign
from socm.workflows.null_tests.groups import DirectionOptions, MissionOptions, by_direction
from socm.workflows.null_tests.smart import SmartOptions, smart_split
from socm.workflows.null_tests.splits import chunks, split
from socm.workflows.obsdb import read_observations
from socm.workflows.observations import Observations
from socm.workflows.sky import SITES, closest, horizon, separation

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "lat_null_tests.toml"
CONTEXT = ROOT / "examples" / "so" / "context.yaml"
CMB = "type='obs' and subtype='cmb'"
TESTS = (
    "mission", "wafer", "direction", "pwv", "day-night", "moonrise-set", "elevation", "sun-close",
    "moon-close", "smart-split",
)  # fmt: skip


def campaign(tmp_path: Path, test: str, keys: str = "", **shared: str) -> LoadedCampaign:
    values = {"context": str(CONTEXT), "query": CMB, "area": "/a", "output_dir": "/out"} | shared
    lines = "\n".join(f'{key} = "{value}"' for key, value in values.items())
    path = tmp_path / "c.toml"
    path.write_text(
        f'[campaign]\nresource = "tiger3"\n[campaign.ml-null-tests]\n{lines}\n'
        'resources = {ranks = 2, memory = "8G", runtime = "1h"}\n'
        f"[campaign.ml-null-tests.{test}-tests]\n{keys}\n"
    )
    return load_campaign(path)


def splits_of(loaded: LoadedCampaign) -> dict[str, list[str]]:
    return {
        w.name: next(iter(w.files.values())).splitlines()
        for w in loaded.campaign.workflows.values()
    }


def counts(loaded: LoadedCampaign) -> dict[str, int]:
    groups: dict[str, int] = {}
    for name, lines in splits_of(loaded).items():
        group = name.rpartition("_split_")[0]
        groups[group] = groups.get(group, 0) + len(lines)
    return groups


def problems(tmp_path: Path, test: str, keys: str = "", **shared: str) -> str:
    with pytest.raises(ConfigError) as caught:
        campaign(tmp_path, test, keys, **shared)
    return " ".join(f"{p.line} {p.message} {p.hint}" for p in caught.value.problems)


# Groups


@pytest.mark.parametrize(
    ("test", "keys", "expected"),
    [
        ("mission", "", {"mission": 300}),
        ("day-night", "", {"day": 141, "night": 159}),
        ("moonrise-set", "", {"moon_insky": 159, "moon_outsky": 141}),
        (
            "direction",
            "",
            {"direction_rising": 142, "direction_setting": 138, "direction_middle": 20},
        ),
        ("pwv", "", {"pwv_high": 47, "pwv_low": 222}),
        ("moon-close", "", {"moon_close": 29, "moon_far": 271}),
        ("sun-close", "", {"sun_close": 99, "sun_far": 201}),
    ],
)
def test_groups_of_the_example_database(
    tmp_path: Path, test: str, keys: str, expected: dict[str, int]
) -> None:
    assert counts(campaign(tmp_path, test, keys)) == expected


def test_water_vapour_that_is_missing_is_counted_and_never_low(tmp_path: Path) -> None:
    loaded = campaign(tmp_path, "pwv")
    assert any("31 of 300 observations lack water vapour" in w for w in loaded.warnings)


def test_rows_without_pointing_are_counted_and_left_out(tmp_path: Path) -> None:
    for test in ("direction", "elevation", "sun-close", "moon-close", "smart-split"):
        loaded = campaign(tmp_path, test, query="1")
        assert sum(counts(loaded).values()) == 317, test
        assert any("1 of 318 observations have no pointing" in w for w in loaded.warnings), test


def test_a_column_pwv_is_read_where_there_is_no_other(tmp_path: Path) -> None:
    context = database(tmp_path, [(f"a{k}", 4000.0 * k, "lat", "i1", 90.0, 50.0) for k in range(3)])
    with sqlite3.connect(tmp_path / "obsdb.sqlite") as connection:
        connection.execute("alter table obs add column pwv float")
        connection.execute("update obs set pwv = 3.5 where obs_id = 'a1'")
    connection.close()
    assert read_observations(context, "1").pwv.tolist() == pytest.approx(
        [np.nan, 3.5, np.nan], nan_ok=True
    )


def test_water_vapour_that_was_hardly_measured_is_not_known(tmp_path: Path) -> None:
    with_all = counts(campaign(tmp_path, "pwv"))
    strict = counts(campaign(tmp_path, "pwv", "pwv_quality = 0.9"))
    assert 0 < sum(strict.values()) < sum(with_all.values())


def test_a_median_makes_halves_and_is_told(tmp_path: Path) -> None:
    loaded = campaign(tmp_path, "pwv", 'pwv_limit = "median"')
    found = counts(loaded)
    assert abs(found["pwv_high"] - found["pwv_low"]) <= 1
    assert any(re.search(r"\(median \d\.\d\d mm\)", note) for note in loaded.notes)


def test_scans_across_the_meridian_to_the_north_are_middle_too(tmp_path: Path) -> None:
    rows = [
        (f"a{k}", 4000.0 * k, "lat", "i1", azimuth, 50.0)
        for k, azimuth in enumerate((0.05, -0.05, 180.05, 179.8, 180.2, 540.0))
    ]
    read = read_observations(database(tmp_path, rows), "1")
    options = DirectionOptions(context="/c", area="/a", output_dir="/o")
    groups = {group.name: group.members.tolist() for group in by_direction(options, read).groups}
    assert groups == {"rising": [3], "setting": [4], "middle": [0, 1, 2, 5]}


def test_every_wafer_of_every_telescope_comes_from_the_data(tmp_path: Path) -> None:
    names = {n.rpartition("_split_")[0] for n in splits_of(campaign(tmp_path, "wafer"))}
    assert {"wafer_lat_i6_ws2", "wafer_satp1_st1_ws6", "wafer_satp3_st3_ws0"} <= names
    one = campaign(tmp_path, "wafer", query=f"{CMB} and tube_slot='i1'")
    assert {n.rpartition("_split_")[0] for n in splits_of(one)} == {
        "wafer_ws0", "wafer_ws1", "wafer_ws2",
    }  # fmt: skip
    ws1 = one.campaign.workflows["wafer_ws1_split_1"]
    assert "--wafers=ws1" in ws1.command
    read = read_observations(CONTEXT, CMB)
    wafers = dict(zip(read.obs_id.tolist(), read.wafers, strict=True))
    assert all("ws1" in wafers[i] for i in splits_of(one)["wafer_ws1_split_1"])


@pytest.mark.parametrize("straddle", ["mid", "majority", "drop"])
def test_those_that_see_sunrise_are_counted_and_go_as_asked(tmp_path: Path, straddle: str) -> None:
    loaded = campaign(tmp_path, "day-night", f'straddle = "{straddle}"')
    told = [w for w in loaded.warnings if "see the Sun rise or set" in w]
    assert told
    number = int(told[0].split(": ")[1].split()[0])
    assert 15 < number < 30
    assert sum(counts(loaded).values()) == 300 - (number if straddle == "drop" else 0)


def test_true_moonrise_is_an_option(tmp_path: Path) -> None:
    found = counts(campaign(tmp_path, "moonrise-set", 'moon = "rising"'))
    assert set(found) == {"moon_rising", "moon_setting"}


# Sky


def test_sun_and_moon_are_where_another_library_sees_them() -> None:
    with (ROOT / "tests" / "data" / "sky" / "golden.csv").open() as file:
        golden = {row["obs_id"]: row for row in csv.DictReader(file)}
    o = read_observations(CONTEXT, CMB)

    def column(name: str) -> Any:
        return np.array([float(golden[i][name]) for i in o.obs_id])

    site = SITES["so_lat"]
    for body in ("sun", "moon"):
        azimuth, altitude = horizon(body, o.middle, site)
        assert np.abs(altitude - column(f"{body}_alt")).max() < 0.01
        apart = separation(o.azimuth, o.elevation, azimuth, altitude)
        assert np.abs(apart - column(f"{body}_sep")).max() < 0.01
        least = closest(
            body, site, start=o.start, stop=o.stop,
            azimuth=o.azimuth, elevation=o.elevation, throw=o.throw,
        )  # fmt: skip
        # The golden minimum is over steps of azimuth, ours over all of it.
        assert (least < column(f"{body}_sep_min") + 0.01).all()
        assert (least > column(f"{body}_sep_min") - 0.05).all()


@pytest.mark.parametrize("body", ["sun", "moon"])
def test_a_telescope_that_points_at_a_body_is_no_distance_from_it(body: Any) -> None:
    time = np.array([1.75e9])
    azimuth, altitude = horizon(body, time, SITES["so_lat"])
    nothing = np.zeros(1)
    least = closest(
        body, SITES["so_lat"], start=time, stop=time,
        azimuth=azimuth, elevation=altitude, throw=nothing,
    )  # fmt: skip
    assert least[0] < 1e-5


def test_the_whole_width_of_a_scan_counts(tmp_path: Path) -> None:
    time = np.array([1.75e9])
    azimuth, altitude = horizon("moon", time, SITES["so_lat"])
    for throw, apart in ((0.0, True), (30.0, False)):
        least = closest(
            "moon", SITES["so_lat"], start=time, stop=time,
            azimuth=azimuth + 30, elevation=altitude, throw=np.array([throw]),
        )  # fmt: skip
        assert (least[0] > 1) == apart


def test_there_is_a_moon_on_every_day_of_the_year(tmp_path: Path) -> None:
    """On some days of UTC it never rises, or never sets; it is somewhere all the same."""
    times = 1.735e9 + 3600.0 * np.arange(24 * 366)
    _, altitude = horizon("moon", times, SITES["so_lat"])
    assert np.isfinite(altitude).all()
    assert 0.45 < np.mean(altitude > 0) < 0.55
    assert np.abs(np.diff(altitude)).max() < 16


@pytest.mark.parametrize("site", ["lat", *SITES])
@pytest.mark.parametrize("test", ["sun-close", "moon-close", "day-night", "moonrise-set"])
def test_every_site_is_known_to_every_test(tmp_path: Path, test: str, site: str) -> None:
    found = counts(campaign(tmp_path, test, site=site))
    assert len(found) == 2
    assert sum(found.values()) == 300


def test_the_field_of_a_sat_is_wider_than_that_of_the_lat(tmp_path: Path) -> None:
    def close(query: str, keys: str = "") -> int:
        return counts(campaign(tmp_path, "moon-close", keys, query=query)).get("moon_close", 0)

    sat = f"{CMB} and telescope like 'sat%'"
    assert close(sat) > close(sat, "field_radius = 3.72")
    lat = f"{CMB} and telescope = 'lat'"
    assert close(lat) == close(lat, "field_radius = 3.72")


def test_over_the_zenith_is_mirrored(tmp_path: Path) -> None:
    context = database(tmp_path, [("a", 0.0, "lat", "i1", 350.0, 120.0)])
    read = read_observations(context, "1")
    assert (read.azimuth[0], read.elevation[0]) == (170.0, 60.0)


# Splits


def database(tmp_path: Path, rows: Sequence[tuple[Any, ...]]) -> Path:
    path = tmp_path / "obsdb.sqlite"
    path.unlink(missing_ok=True)
    with sqlite3.connect(path) as connection:
        connection.execute(
            "create table obs (obs_id text, timestamp float, telescope text, tube_slot text, "
            "az_center float, el_center float, stop_time float, n_samples int, "
            "wafer_slots_list text, tube_flavor text)"
        )
        connection.executemany(
            "insert into obs values (?,?,?,?,?,?,?,?,?,?)",
            [(*row, row[1] + 3600, 1000, "ws0,ws1", "mf") for row in rows],
        )
    connection.close()
    context = tmp_path / "context.yaml"
    context.write_text("tags: {here: '.'}\nobsdb: '{here}/obsdb.sqlite'\n")
    return context


scans = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from(["c1", "i1", "i3"]), st.integers(0, 359)),
    min_size=1,
    max_size=60,
    unique_by=lambda scan: scan[:2],
)
rules = st.fixed_dictionaries(
    {
        "nsplits": st.sampled_from([2, 4, 8]),
        "simultaneous": st.sampled_from(["together", "apart"]),
        "seed": st.none() | st.integers(0, 9),
    },
) .flatmap(
    lambda rule: st.sampled_from(
        [
            rule,
            rule | {"chunk_nobs": 3},
            rule | {"chunk_nobs": 100},
            rule | {"chunk_duration": "6h"},
            rule | {"chunk_sessions": 2},
        ]
    )
)  # fmt: skip


def observed(tmp_path: Path, scans: Sequence[tuple[int, str, int]]) -> Observations:
    rows = [
        (f"obs_{hour}_lat{tube}_11", 1.75e9 + 3700.0 * hour, "lat", tube, float(azimuth), 50.0)
        for hour, tube, azimuth in scans
    ]
    return read_observations(database(tmp_path, rows), "1")


@given(scans=scans, rule=rules)
def test_splits_are_disjoint_and_whole_and_chunks_contiguous(
    tmp_path_factory: pytest.TempPathFactory,
    scans: list[tuple[int, str, int]],
    rule: dict[str, Any],
) -> None:
    observations = observed(tmp_path_factory.mktemp("db"), scans)
    options = MissionOptions(context="/c", area="/a", output_dir="/o", **rule)
    splits = split(observations, options)
    assert len(splits) == options.nsplits
    assert sorted(np.concatenate(splits).tolist()) == [*range(len(observations))]
    again = split(observations, options)
    assert all((a == b).all() for a, b in zip(splits, again, strict=True))
    parts = chunks(observations, options)
    assert np.concatenate(parts).tolist() == [*range(len(observations))]
    if options.simultaneous == "together":
        session_of = observations.session
        homes: dict[int, set[int]] = {}
        for number, members in enumerate(splits):
            for member in members:
                homes.setdefault(int(session_of[member]), set()).add(number)
        assert all(len(home) == 1 for home in homes.values())


@pytest.mark.parametrize(
    ("count", "size", "expected"), [(26, 5, [5, 5, 4, 4, 4, 4]), (21, 10, [7, 7, 7])]
)
def test_chunks_of_a_count_are_evened_out(
    tmp_path: Path, count: int, size: int, expected: list[int]
) -> None:
    observations = observed(tmp_path, [(h, "i1", 100) for h in range(count)])
    options = MissionOptions(
        context="/c", area="/a", output_dir="/o", chunk_nobs=size, simultaneous="apart"
    )
    assert [len(c) for c in chunks(observations, options)] == expected


def test_chunks_of_a_duration_are_what_begins_in_it(tmp_path: Path) -> None:
    observations = observed(tmp_path, [(h, "i1", 100) for h in (0, 1, 2, 3, 9, 10, 30)])
    options = MissionOptions(context="/c", area="/a", output_dir="/o", chunk_duration="3h")
    assert [len(c) for c in chunks(observations, options)] == [3, 1, 2, 1]


def test_chunks_go_to_splits_in_turn(tmp_path: Path) -> None:
    observations = observed(tmp_path, [(h, "i1", 100) for h in range(9)])
    options = MissionOptions(context="/c", area="/a", output_dir="/o", nsplits=2, chunk_sessions=2)
    assert [s.tolist() for s in split(observations, options)] == [[0, 1, 4, 5, 8], [2, 3, 6, 7]]


def test_tubes_of_one_scan_are_in_one_split_unless_asked_for_apart(tmp_path: Path) -> None:
    def torn(keys: str) -> int:
        loaded = campaign(tmp_path, "mission", f"nsplits = 2\nchunk_nobs = 4\n{keys}")
        read = read_observations(CONTEXT, CMB)
        session = dict(zip(read.obs_id.tolist(), read.session.tolist(), strict=True))
        one, other = ({session[i] for i in lines} for lines in splits_of(loaded).values())
        return len(one & other)

    assert torn("") == 0
    assert torn("simultaneous = 'apart'") > 10


@share(0.25)
@given(
    scans=scans,
    mode=st.sampled_from(["plain", "crosslink", "scanpat"]),
    block=st.sampled_from(["day", "day:0.5", "tod"]),
    opt_mode=st.sampled_from(["linear", "random"]),
)
def test_smart_splits_are_disjoint_and_whole(
    tmp_path_factory: pytest.TempPathFactory,
    scans: list[tuple[int, str, int]],
    mode: Any,
    block: str,
    opt_mode: Any,
) -> None:
    observations = observed(tmp_path_factory.mktemp("db"), scans)
    options = SmartOptions(
        context="/c", area="/a", output_dir="/o", mode=mode, block=block, opt_mode=opt_mode,
        nopt=50,
    )  # fmt: skip
    splits = smart_split(observations, options)
    assert sorted(np.concatenate(splits.parts).tolist()) == [*range(len(observations))]
    assert len(splits.notes) in (0, options.nsplits)


def test_smart_splits_cover_alike_what_plain_ones_do_not(tmp_path: Path) -> None:
    # By turns one field and the other: dealt in turn, each of two splits sees one of them.
    sidereal_day = 86_164.1
    rows = [
        (f"obs_{k}_lati1_11", 1.75e9 + k * sidereal_day, "lat", "i1", 90.0 if k % 2 else 270.0, 50)
        for k in range(32)
    ]
    observations = read_observations(database(tmp_path, rows), "1")
    common: dict[str, Any] = {"context": "/c", "area": "/a", "output_dir": "/o", "nsplits": 2}
    plain = split(observations, MissionOptions(**common))
    smart = smart_split(observations, SmartOptions(**common)).parts
    east = observations.azimuth < 180
    assert [int(east[s].sum()) for s in plain] in ([0, 16], [16, 0])
    assert [int(east[s].sum()) for s in smart] == [8, 8]


def test_a_constraint_keeps_blocks_where_they_were(tmp_path: Path) -> None:
    first = splits_of(campaign(tmp_path, "smart-split"))
    for name, lines in first.items():
        (tmp_path / "old" / name).mkdir(parents=True)
        (tmp_path / "old" / name / "query.txt").write_text("\n".join(lines[:9]))
    again = splits_of(campaign(tmp_path, "smart-split", f'constraint = "{tmp_path}/old"'))
    for name, lines in first.items():
        assert set(lines[:9]) <= set(again[name])
    assert "constraint" in problems(tmp_path, "smart-split", 'constraint = "/nowhere"')


def test_how_well_smart_splits_are_balanced_is_told(tmp_path: Path) -> None:
    day = 86_164.1  # sidereal: the same sky each time
    rows = [(f"o_{k}_11", 1.75e9 + k * day, "lat", "i1", 90.0, 50.0) for k in range(9)]
    common: dict[str, Any] = {"context": "/c", "area": "/a", "output_dir": "/o", "nsplits": 2}
    often = smart_split(
        read_observations(database(tmp_path, rows[:8]), "1"), SmartOptions(**common)
    )
    assert not often.warning
    for note in often.notes:
        assert note.startswith("covers 100.0% of the well-covered sky, 0.9") or " 1.0" in note
    apart = [(*row[:4], 40.0 * k, 50.0) for k, row in enumerate(rows)]
    once = smart_split(read_observations(database(tmp_path, apart), "1"), SmartOptions(**common))
    assert "0.00 of their share at the worst pixel" in once.warning
    loaded = campaign(tmp_path, "smart-split")
    assert all("of the well-covered sky" in w.description for w in _workflows(loaded))
    assert any("smart-split-tests: its splits cover" in w for w in loaded.warnings)


def _workflows(loaded: LoadedCampaign) -> list[Any]:
    return [*loaded.campaign.workflows.values()]


# Workflows


def test_every_test_of_the_example_is_planned() -> None:
    loaded = load_campaign(EXAMPLE)
    kinds = {w.kind for w in loaded.campaign.workflows.values()}
    assert {f"ml-null-tests.{test}-tests" for test in TESTS} <= kinds
    plan = plan_campaign(loaded.campaign, loaded.cluster)
    assert plan.feasible
    check_plan(plan)


def test_a_split_says_its_place_query_and_sizes(tmp_path: Path) -> None:
    work = campaign(tmp_path, "mission", "nsplits = 4\nchunk_nobs = 10").campaign.workflows
    assert list(work) == [f"mission_split_{k}" for k in (1, 2, 3, 4)]
    one = work["mission_split_1"]
    assert list(one.files) == ["/out/mission_split_1/query.txt"]
    assert one.command[2:5] == ("/out/mission_split_1/query.txt", "/a", "/out/mission_split_1")
    assert not any("nsplits" in word or "chunk" in word for word in one.command)
    read = read_observations(CONTEXT, CMB)
    whole = int((read.detector_sets(None, None) * read.n_samples).sum())
    assert sum(w.sizes["samples"] for w in work.values()) == whole


@pytest.mark.parametrize("test", TESTS)
def test_no_option_of_a_test_reaches_the_command(tmp_path: Path, test: str) -> None:
    from socm.workflows import WORKFLOW_TYPES
    from socm.workflows.ml_mapmaking import MLMapmakingOptions

    own = (
        WORKFLOW_TYPES[f"ml-null-tests.{test}-tests"].options.model_fields.keys()
        - MLMapmakingOptions.model_fields.keys()
    )
    for workflow in campaign(tmp_path, test).campaign.workflows.values():
        words = {w.removeprefix("--").partition("=")[0].replace("-", "_") for w in workflow.command}
        assert not words & own


def test_loading_writes_nothing(tmp_path: Path) -> None:
    campaign(tmp_path, "mission", output_dir=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_member_may_share_keys_that_only_another_knows(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        f'[campaign.ml-null-tests]\ncontext = "{CONTEXT}"\narea = "/a"\noutput_dir = "/o"\n'
        'straddle = "drop"\nresources = {runtime = "1h", memory = "1G"}\n'
        "[campaign.ml-null-tests.mission-tests]\n[campaign.ml-null-tests.day-night-tests]\n"
    )
    assert "day_split_1" in load_campaign(tmp_path / "c.toml").campaign.workflows


def test_a_name_comes_before_those_of_the_splits(tmp_path: Path) -> None:
    work = campaign(tmp_path, "elevation", 'name = "wide"').campaign.workflows
    assert "wide_elevation_low_split_1" in work


def test_optics_tubes_restrict_what_is_split_and_are_not_passed_on(tmp_path: Path) -> None:
    loaded = campaign(tmp_path, "mission", 'nsplits = 2\nots = "i1,c1"')
    lines = [line for lines in splits_of(loaded).values() for line in lines]
    read = read_observations(CONTEXT, CMB)
    assert set(lines) == {i for i in read.obs_id.tolist() if "lati1" in i or "latc1" in i}
    assert not any("--ots" in word for w in _workflows(loaded) for word in w.command)


def test_a_mistake_in_shared_keys_is_told_once_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        f'[campaign.ml-null-tests]\ncontext = "{CONTEXT}"\narea = "/a"\noutput_dir = "/o"\n'
        "query = \"telescop='lat'\"\nresources = {runtime = '1h', memory = '1G'}\n"
        "[campaign.ml-null-tests.mission-tests]\n[campaign.ml-null-tests.pwv-tests]\n"
        "[campaign.ml-null-tests.elevation-tests]\nquery = \"typ='obs'\"\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_campaign(path)
    assert [(p.line, p.hint) for p in caught.value.problems] == [
        (5, "did you mean 'telescope'?"), (10, "did you mean 'type'?"),
    ]  # fmt: skip


def test_what_is_the_same_for_several_tests_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        '[campaign.ml-null-tests]\ncontext = "/nowhere/c.yaml"\narea = "/a"\noutput_dir = "/o"\n'
        "resources = {runtime = '1h', memory = '1G'}\n"
        "[campaign.ml-null-tests.mission-tests]\n[campaign.ml-null-tests.pwv-tests]\n"
    )
    warnings = load_campaign(path, assume_splits=True).warnings
    for what in (
        "every group and split is assumed to be present",
        "files at NERSC",
        "preprocess_conf",
    ):
        assert [w.partition(":")[0] for w in warnings if what in w] == [
            "mission-tests and pwv-tests"
        ]


def test_a_query_file_is_there_when_its_map_is_made_and_not_before(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "so-site-pipeline"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\ncp "$2" "$3.out" || { mkdir -p "$4"; cp "$2" "$4/seen"; }\n')
    program.chmod(0o755)
    (tmp_path / "c.toml").write_text(
        '[campaign]\nexecution_schema = "local"\n'
        f'[campaign.ml-null-tests]\ncontext = "{CONTEXT}"\narea = "{tmp_path}/area"\n'
        f'output_dir = "{tmp_path}/maps"\npreprocess_config = "{tmp_path}/area"\n'
        f"query = \"{CMB} and tube_slot='i1'\"\nno_sidelobe = true\n"
        "resources = {runtime = '5s', memory = '50M'}\n"
        f'environment = {{PATH = "{program.parent}:$PATH"}}\n'
        "[campaign.ml-null-tests.mission-tests]\nnsplits = 2\n"
    )
    (tmp_path / "area").touch()
    expected = splits_of(load_campaign(tmp_path / "c.toml"))
    done = subprocess.run(
        [sys.executable, "-m", "socm", "run", "c.toml", "--yes"],
        cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name, lines in expected.items():
        assert (tmp_path / "maps" / name / "query.txt").read_text().splitlines() == lines


@pytest.mark.parametrize(
    ("test", "keys", "told"),
    [
        ("mission", "bands = 'f030'", "nothing to map in these wafers and bands"),
        ("mission", "max_dets = 10", "skips what has fewer than 50 detectors"),
        ("elevation", "elevation_threshold = 10", "low: this group has no observations"),
        ("mission", "nsplits = 8\nchunk_nobs = 100", "300 observations make 3 of the 8 splits"),
        (
            "mission",
            "chunk_duration = '100d'\nnsplits = 2\ntolerance = 0",
            "its splits are unequal",
        ),
    ],
)
def test_what_is_lopsided_is_told(tmp_path: Path, test: str, keys: str, told: str) -> None:
    assert any(told in warning for warning in campaign(tmp_path, test, keys).warnings)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("nsplits = 3", "3 is odd"),
        ("chunk_nobs = 3\nchunk_duration = '1d'", "exclude each other"),
        ("chunk_nbos = 3", "did you mean 'chunk_nobs'?"),
        ("site = 'so_sat'", "which of so_sat1, so_sat2, so_sat3?"),
        ("bands = 'f90'", "'f90' is not a band such as f090"),
        ("tags = ['planet=2']", "'planet=2' is not a tag"),
        ("comps = 'TQ'", "should be 'T', 'QU' or 'TQU'"),
        ("interpol = 'linear'", "should be 'nearest' or 'bilinear'"),
        ("tiled = 2", "should be 0 or 1"),
        ("maxiter = [200, 0]", "'0' is not a number of iterations"),
        ("tods = '[0]; import os'", "is not a slice such as [:10]"),
        ("prefix = 'deep'", "prefix needs preprocess_config"),
    ],
)
def test_wrong_options_are_told(tmp_path: Path, keys: str, told: str) -> None:
    assert told in problems(tmp_path, "mission", keys)


# The database


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("1", 318),
        (CMB, 300),
        (f"{CMB} and telescope='lat'", 172),
        (f"{CMB} and tube_slot='i1'", 25),
        ("az_center<0", 6),
        ("az_center>360", 13),
        ("pwv_mean is null", 39),
        ("type='oper'", 8),
        ("wafer_count<3 and telescope='lat'", 54),
        ('type="oper"', 8),
        ("type='oper' -- a comment", 8),
    ],
)
def test_queries_select_as_sotodlib_does(query: str, rows: int) -> None:
    assert len(read_observations(CONTEXT, query)) == rows


def test_tags_select() -> None:
    planets = len(read_observations(CONTEXT, "1", ["planet=1"]))
    assert planets == 10
    assert len(read_observations(CONTEXT, "1", ["planet=0"])) == 318 - planets
    assert len(read_observations(CONTEXT, "planet=1 or south=1", ["planet", "south"])) == 138


def test_lists_have_comments_and_blank_lines(tmp_path: Path) -> None:
    ids = read_observations(CONTEXT, CMB).obs_id.tolist()
    listed = tmp_path / "ids.txt"
    listed.write_text(f"# first\n\n{ids[0]}\n{ids[1]}:ws0:f090  # part\n{ids[1]}:ws1:f090\n")
    loaded = campaign(tmp_path, "mission", "nsplits = 2", query=f"file://{listed}")
    lines = [line for lines in splits_of(loaded).values() for line in lines]
    assert sorted(lines) == sorted([ids[0], f"{ids[1]}:ws0:f090", f"{ids[1]}:ws1:f090"])
    listed.write_text(f"{ids[0]}:ws0\n")
    told = problems(tmp_path, "mission", query=f"file://{listed}")
    assert f"ids.txt:1: '{ids[0]}:ws0' is neither obs_id nor obs_id:wafer:band" in told
    listed.write_text("# nothing\n\n")
    told = problems(tmp_path, "mission", query=f"file://{listed}")
    assert "no workflows in this campaign mission-tests: the query selects no obs" in told
    listed.write_text("obs_0_none\n")
    assert "obs_0_none" in problems(tmp_path, "mission", query=f"file://{listed}")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("telescop='lat'", "no such column: telescop did you mean 'telescope'?"),
        ("type='obs", "unrecognized token"),
        ("1; drop table obs", "query"),
        ("1) union select 1 from obs; --", "SELECTs to the left and right of UNION"),
        ("load_extension('x')", "a query can only select"),
    ],
)
def test_a_wrong_query_is_told_in_sqlites_words(tmp_path: Path, query: str, told: str) -> None:
    assert told in problems(tmp_path, "mission", query=query)
    assert len(read_observations(CONTEXT, "1")) == 318


@pytest.mark.parametrize("packed", [False, True])
def test_dumps_are_read(tmp_path: Path, packed: bool) -> None:
    with sqlite3.connect(CONTEXT.parent / "obsdb.sqlite") as connection:
        text = "\n".join(connection.iterdump())
    connection.close()
    path = tmp_path / ("db.gz" if packed else "db.sql")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    (tmp_path / "context.yaml").write_text(f"obsdb: {path.name}\n")
    assert len(read_observations(tmp_path / "context.yaml", CMB)) == 300


# Statements with which a dump could reach beyond itself, and whether they write where they may.
REACHING = {
    "attach 'precious.sqlite' as p; delete from p.obs": True,
    "attach 'new.sqlite' as n; create table n.x (a)": True,
    "vacuum into 'new.sqlite'": True,
    "pragma temp_store_directory = '.'; pragma journal_mode = wal": False,
    "pragma writable_schema = on; delete from sqlite_master": False,
    "create virtual table v using fts5(x)": False,
    "create trigger t after insert on obs begin select load_extension('x'); end; "
    "insert into obs values ('a', 1)": False,
}


def _files(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder; readers and writers share an index, which is not compared."""
    return {
        str(p): b"" if p.name.endswith("-shm") else p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file()
    }


@pytest.mark.parametrize(("statement", "writes"), REACHING.items())
def test_a_dump_reaches_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str, writes: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect("precious.sqlite")) as connection:
        connection.execute("create table obs (obs_id text)")
        connection.execute("insert into obs values ('a')")
        connection.commit()
    dump = f"create table obs (obs_id text, timestamp real);\n{statement};\n"
    (tmp_path / "dump.sql").write_text(dump)
    (tmp_path / "context.yaml").write_text("obsdb: dump.sql\n")
    before = _files(tmp_path)
    with suppress(ConfigError):  # a pragma has no effect, and is not an error
        read_observations(tmp_path / "context.yaml", "1")
    assert _files(tmp_path) == before
    if writes:  # else this would prove nothing
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript(dump)
        assert _files(tmp_path) != before


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("state", ["closed", "open", "copied while open"])
def test_reading_a_database_writes_nothing(tmp_path: Path, mode: str, state: str) -> None:
    folder = tmp_path / "original"
    folder.mkdir()
    writer = sqlite3.connect(folder / "db")
    writer.execute(f"pragma journal_mode = {mode}")
    writer.execute("create table obs (obs_id text, timestamp real)")
    writer.execute("insert into obs values ('a', 1)")
    writer.commit()
    if state == "closed":
        writer.close()
    if state == "copied while open":
        copy = tmp_path / "copy"
        copy.mkdir()
        for path in folder.iterdir():
            if not path.name.endswith("-shm"):
                shutil.copy(path, copy)
        folder = copy
    (folder / "context.yaml").write_text("obsdb: db\n")
    before = _files(folder)
    if mode == "wal" and state == "copied while open":
        with pytest.raises(ConfigError, match="db-wal holds changes of a program"):
            read_observations(folder / "context.yaml", "1")
    else:
        assert len(read_observations(folder / "context.yaml", "1")) == 1
    assert _files(folder) == before
    writer.close()


def test_a_database_with_a_row_for_each_wafer_is_one_observation(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute("create table obs (obs_id text, wafer_slot text, start_time float)")
        rows = [("a", "ws0", 1.0), ("a", "ws2", 1.0)]
        connection.executemany("insert into obs values (?,?,?)", rows)
    connection.close()
    (tmp_path / "context.yaml").write_text("obsdb: db\n")
    read = read_observations(tmp_path / "context.yaml", "1")
    assert read.wafers.tolist() == [("ws0", "ws2")]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}", "does not name an obsdb"),
        ("", "does not name an obsdb"),
        ("obsdb: nowhere.sqlite", "cannot be read"),
        ("obsdb: '{x}/db'", "no tag"),
        ("obsdb: context.yaml", "is not an observation database"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_broken_context_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "context.yaml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_observations(tmp_path / "context.yaml", "1")


def test_expanding_imports_neither_sotodlib_nor_astropy() -> None:
    code = (
        "import sys; from socm.config import load_campaign; "
        f"load_campaign({str(EXAMPLE)!r}); "
        "print([m for m in sys.modules if m.split('.')[0] in "
        "('sotodlib', 'so3g', 'astropy', 'scipy', 'pandas')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
