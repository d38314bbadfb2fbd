"""Maps, simulations and spectra: command lines in every option; and what `socm workflows` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from test_cli import socm

from socm.config import load_campaign
from socm.config.campaign import LoadedCampaign
from socm.config.keys import keys_of
from socm.errors import ConfigError
from socm.workflows import WORKFLOW_TYPES
from socm.workflows.ml_mapmaking import MLMapmakingOptions, command, sizes
from socm.workflows.obsdb import read_observations
from socm.workflows.sat_sims import SatSimsOptions
from socm.workflows.sat_sims import command as simulation
from socm.workflows.sat_sims import sizes as sizes_of_simulation

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "lat_null_tests.toml"
CONTEXT = ROOT / "examples" / "so" / "context.yaml"
CMB = "type='obs' and subtype='cmb'"
LONG = f"{CMB} and tube_slot in ('i1', 'i3') and obs_id not in ({', '.join(['0'] * 100)})"


def mapped(tmp_path: Path, keys: str = "", assume: bool = False, **more: str) -> LoadedCampaign:
    values = {"context": str(CONTEXT), "area": "/a", "output_dir": "/out", "query": CMB} | more
    lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in values.items())
    path = tmp_path / "c.toml"
    path.write_text(
        f"[campaign.ml-mapmaking]\n{lines}\n{keys}\nresources = {{runtime = 60, memory = 1}}\n"
    )
    return load_campaign(path, assume_splits=assume)


def map_options(**given: Any) -> MLMapmakingOptions:
    return MLMapmakingOptions(context="/c", area="/a", output_dir="/o", **given)


# Maps


def test_options_that_are_not_given_are_not_passed() -> None:
    assert command(map_options())[2:] == ("1", "/a", "/o", "--comps=TQU", "--context=/c")


def test_flags_are_flags_and_dashes_are_dashes() -> None:
    words = command(
        map_options(hits=True, no_sidelobe=False, max_dets=99, nmat_dir="/n", verbose=2)
    )
    assert {"--hits", "--max-dets=99", "--nmat-dir=/n"} <= {*words}
    assert words.count("-v") == 2
    assert not any("sidelobe" in word or "_" in word for word in words)


def test_a_query_that_begins_with_a_dash_is_no_option() -> None:
    assert command(map_options(query="-az_center > 0"))[2] == "(-az_center > 0)"


def test_relative_paths_are_made_whole_but_not_those_in_the_output_folder(tmp_path: Path) -> None:
    keys = 'nmat_dir = "{odir}/noise"\nsun_mask = "masks/sun.fits"'
    [made] = mapped(tmp_path, keys).campaign.workflows.values()
    assert "--nmat-dir={odir}/noise" in made.command
    assert f"--sun-mask={tmp_path}/masks/sun.fits" in made.command


def test_what_a_section_says_beside_its_options_is_not_passed(tmp_path: Path) -> None:
    loaded = mapped(tmp_path, 'name = "deep"\ndepends = []\nenvironment = {A = "b"}')
    words = loaded.campaign.workflows["deep"].command
    for name in ("name", "depends", "environment", "resources", "subcommand", "executable"):
        assert not any(word.startswith(f"--{name}") for word in words)


def test_a_query_too_long_for_make_ml_map_becomes_a_file(tmp_path: Path) -> None:
    [made] = mapped(tmp_path, query=LONG).campaign.workflows.values()
    assert len(LONG) > 255
    [(file, text)] = made.files.items()
    assert file == made.command[2] == "/out/ml-mapmaking_query.txt"
    assert text.splitlines() == read_observations(CONTEXT, LONG).obs_id.tolist()
    assert file not in made.inputs
    short = LONG[:254].rpartition(" and")[0]
    [raw] = mapped(tmp_path, query=short).campaign.workflows.values()
    assert (raw.command[2], dict(raw.files)) == (short, {})


@pytest.mark.parametrize(("keys", "query"), [("", LONG), ('ots = "i1,c1"', "1")])
def test_without_its_observations_what_must_be_listed_is_refused(
    tmp_path: Path, keys: str, query: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        mapped(tmp_path, keys, context="/nowhere/c.yaml", query=query)
    [problem] = caught.value.problems
    assert "these have to be listed in a file, but the context /nowhere/c.yaml" in problem.message
    assert "--assume-splits" in (problem.hint or "")
    loaded = mapped(tmp_path, keys, context="/nowhere/c.yaml", query=query, assume=True)
    assert [w.assumed for w in loaded.campaign.workflows.values()] == [True]


def test_several_optics_tubes_are_listed_since_make_ml_map_takes_the_others(
    tmp_path: Path,
) -> None:
    [made] = mapped(tmp_path, 'ots = ["i1", "c1"]').campaign.workflows.values()
    assert not any(word.startswith("--ots") for word in made.command)
    tubes = {line.split("_")[2] for text in made.files.values() for line in text.splitlines()}
    assert tubes == {"lati1", "latc1"}
    [one] = mapped(tmp_path, 'ots = "i1"').campaign.workflows.values()
    assert "--ots=i1" in one.command
    assert one.sizes["observations"] == 25


def test_picking_beyond_the_detector_sets_there_are_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"tods \[\[0, 99999\]\] picks beyond the \d+ detector sets"
    ):
        mapped(tmp_path, 'tods = "[[0, 99999]]"')


def test_masks_are_missed_where_they_are_not(tmp_path: Path) -> None:
    def warned(keys: str) -> bool:
        return any("Sun and Moon masks" in w for w in mapped(tmp_path, keys).warnings)

    assert warned("")
    assert warned('sun_mask = "/s"')
    assert not warned('sun_mask = "/s"\nmoon_mask = "/m"')
    assert not warned("no_sidelobe = true")


@given(
    wafers=st.sampled_from([None, "ws0", "ws0,ws2"]),
    bands=st.sampled_from([None, "f090", "f220,f280"]),
    start=st.none() | st.integers(-5, 30),
    stop=st.none() | st.integers(-5, 30),
    step=st.none() | st.integers(1, 4),
    most=st.none() | st.integers(1, 50),
)
def test_sizes_are_those_of_the_detector_sets_that_are_left(
    wafers: str | None, bands: str | None, start: int | None, stop: int | None, step: int | None,
    most: int | None,
) -> None:  # fmt: skip
    read = read_observations(CONTEXT, "tube_slot in ('i1', 'i5')")
    tods = ":".join("" if part is None else str(part) for part in (start, stop, step))
    found = sizes(map_options(wafers=wafers, bands=bands, tods=f"[{tods}]", ntod=most), read)
    whole = [
        (i, samples)
        for i, samples, on, flavor in zip(
            read.obs_id, read.n_samples, read.wafers, read.flavor, strict=True
        )
        for wafer in on
        for band in {"mf": ("f090", "f150"), "uhf": ("f220", "f280")}[flavor]
        if (wafers is None or wafer in wafers) and (bands is None or band in bands)
    ]
    left = whole[start:stop:step][:most]
    assert found == {
        "observations": len({i for i, _ in left}),
        "detector_sets": len(left),
        "samples": sum(int(samples) for _, samples in left),
    }


def test_the_wafers_are_those_of_the_mask_in_the_name(tmp_path: Path) -> None:
    read = read_observations(CONTEXT, CMB)
    for name, wafers in zip(read.obs_id.tolist(), read.wafers, strict=True):
        assert [f"ws{i}" for i, on in enumerate(name.split("_")[-1]) if on == "1"] == [*wafers]
    assert np.unique([len(w) for w in read.wafers]).size > 1


# Simulations and spectra


def test_values_of_traits_are_words_of_their_own() -> None:
    options = SatSimsOptions(output_dir="/o", pixels_healpix_radec_nside=512, sim_noise=True)
    words = simulation(options)
    assert words[words.index("--pixels_healpix_radec.nside") + 1] == "512"
    assert "--sim_noise.enable" in words
    assert not any(word.startswith(("--subcommand", "--context", "--out=")) for word in words)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"bands": "f090"}, "'f090' is not a band such as SAT_f090"),
        ({"telescope": "SAT1", "wafer_slots": "w25"}, "exclude each other"),
        ({"traits": {"iter_max": 3}}, "'iter_max' is neither operator.trait"),
        ({"sim_nois": True}, "Extra inputs"),
    ],
)
def test_wrong_options_of_simulations_are_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        SatSimsOptions(output_dir="/o", **given)


def test_a_simulation_is_as_large_as_its_schedule(tmp_path: Path) -> None:
    schedule = tmp_path / "schedule.txt"
    schedule.write_text(
        "# Site | Telescope | Latitude [deg] | Longitude [deg] | Elevation [m]\n"
        "ATACAMA | SAT1 | -22.960 | -67.790 | 5188.0\n"
        "# Start time UTC | Stop time UTC | Rotation | Patch name | ...\n"
        " 2025-03-01 04:30:00 | 2025-03-01 05:20:00 | 0.00 | field | 100 | 140 | 50 | 0 | 0\n"
        " 2025-03-01 06:30:00 | 2025-03-01 07:30:00 | 0.00 | field | 100 | 140 | 50 | 1 | 0\n"
    )
    options = SatSimsOptions(
        output_dir="/o", schedule=str(schedule), bands="SAT_f090,SAT_f150", wafer_slots="w25",
        sample_rate=20,
    )  # fmt: skip
    assert sizes_of_simulation(options) == {
        "observations": 2, "detector_sets": 4, "samples": 2 * 20 * (3000 + 3600),
    }  # fmt: skip
    assert sizes_of_simulation(SatSimsOptions(output_dir="/o", schedule="/nowhere")) == {}


def test_every_argument_of_a_spectrum_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        "[campaign.power-spectra]\nsubcommand = '/s.py'\n"
        "script-args = ['p.dict', 'file:///p2.dict']\nresources = {runtime = 60, memory = 1}\n"
    )
    [made] = load_campaign(path).campaign.workflows.values()
    assert made.command == ("python", "-u", "/s.py", "p.dict", "/p2.dict")


# The command line


def test_types_are_listed_without_marks_of_their_docstrings() -> None:
    done = socm("workflows")
    assert done.returncode == 0
    for name in WORKFLOW_TYPES:
        assert name in done.stdout
    assert "``" not in done.stdout


@pytest.mark.parametrize("kind", [*WORKFLOW_TYPES])
def test_every_type_is_shown_with_its_keys(kind: str) -> None:
    document = json.loads(socm("workflows", "show", kind, "--json").stdout)
    assert document["schema"] == "socm.workflow-type/1"
    assert document["keys"] == json.loads(json.dumps(keys_of(WORKFLOW_TYPES[kind].options)))
    shown = socm("workflows", "show", kind).stdout
    for key in document["keys"]:
        assert key["name"] in shown


def test_keys_have_units() -> None:
    keys = {k["name"]: k for k in keys_of(WORKFLOW_TYPES["ml-null-tests.pwv-tests"].options)}
    assert keys["pwv_limit"]["unit"] == "mm"
    assert keys["pwv_limit"]["type"] == "number or 'median'"
    assert keys["pwv_limit"]["default"] == 2.0
    assert keys["window"]["unit"] == "s"
    assert "number (s)" in socm("workflows", "ml-mapmaking").stdout
    assert keys["comps"]["unit"] is None


def test_an_expanded_campaign_has_all_that_its_contract_names() -> None:
    workflows = json.loads(socm("workflows", "expand", EXAMPLE, "--json").stdout)
    assert len(workflows) > 60
    for made in workflows:
        assert {
            "name", "type", "command", "depends", "environment", "files", "resources", "samples",
        } <= made.keys()  # fmt: skip
        assert {*made["resources"]} == {"ranks", "threads", "memory_mb", "runtime_s"}
        assert all(isinstance(word, str) for word in made["command"])
        if made["type"] != "power-spectra":
            assert made["samples"] > 0
    named = {made["name"]: made for made in workflows}
    assert named["null-spectra"]["depends"][:2] == ["mission_split_1", "mission_split_2"]
    assert named["mission_split_1"]["files"].keys() == {named["mission_split_1"]["command"][2]}


def test_commands_are_quoted_as_a_person_would() -> None:
    expanded = socm("workflows", "expand", EXAMPLE).stdout
    assert "make-ml-map \"type='obs' and subtype='cmb' and" in expanded
