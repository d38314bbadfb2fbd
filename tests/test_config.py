"""Campaign and cluster files: what they come to, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from socm.config import builtin_clusters, load_campaign, load_cluster
from socm.config.campaign import LoadedCampaign
from socm.errors import ConfigError
from socm.model.campaign import Budget

STAGE = "executable: x, resources: {runtime: 1h, memory: 1G}"


def load(tmp_path: Path, text: str, suffix: str = "yaml", **options: str) -> LoadedCampaign:
    path = tmp_path / f"campaign.{suffix}"
    path.write_text(text, encoding="utf-8")
    return load_campaign(path, **options)


def problems(tmp_path: Path, text: str, suffix: str = "yaml") -> list[str]:
    """What is said of a wrong file, without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, suffix)
    return [str(p).replace(f"{tmp_path}/", "") for p in caught.value.problems]


def test_stage_command_has_every_argument_in_order(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        """
campaign: {deadline: 1d, resource: tiger3}
stages:
  sims:
    executable: python -u
    script: /w/sims.py
    script-args: [p.dict, 7, file:///data/q.dict]
    script-kwargs: {start: 0, bands: [f090, f150], apodize: true}
    script-flags: [simulate-syst]
    environment: {OMP_NUM_THREADS: 4}
    resources: {ranks: 2, threads: 4, memory: 48G, runtime: 10m}
""",
    )
    workflow = loaded.campaign.workflows["sims"]
    assert workflow.command == (
        "python", "-u", "/w/sims.py", "p.dict", "7", "/data/q.dict", "--start=0",
        "--bands=f090,f150", "--apodize=true", "--simulate-syst",
    )  # fmt: skip
    assert workflow.environment == {"OMP_NUM_THREADS": "4"}
    assert workflow.request.memory == 48 * 1024
    assert workflow.request.runtime == 600


def test_anchors_and_merge_keys_of_which_the_own_keys_win(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        """
size: &size {ranks: 2, threads: 4, memory: 8G, runtime: 10m}
campaign: {deadline: 1d, resource: tiger3}
stages:
  a: {executable: x, resources: *size}
  b: {executable: x, depends: [a], resources: {<<: *size, ranks: 9}}
""",
    )
    assert loaded.campaign.workflows["a"].request.ranks == 2
    request = loaded.campaign.workflows["b"].request
    assert (request.ranks, request.threads, request.memory) == (9, 4, 8192)


def test_priorities_are_of_workflows_and_a_group_shares_its_own(tmp_path: Path) -> None:
    stages = load(
        tmp_path, f"campaign: {{}}\nstages: {{a: {{{STAGE}, priority: -2}}, b: {{{STAGE}}}}}"
    )
    assert {w.name: w.priority for w in stages.campaign.workflows.values()} == {"a": -2, "b": 0}
    text = """
[campaign.ml-null-tests]
context = "c.yaml"
area = "a.fits"
output_dir = "out"
resources = { runtime = "1h" }
priority = 1
[campaign.ml-null-tests.mission-tests]
nsplits = 2
[campaign.ml-null-tests.day-night-tests]
nsplits = 2
priority = 3
"""
    (tmp_path / "nulls.toml").write_text(text)
    nulls = load_campaign(tmp_path / "nulls.toml", assume_splits=True).campaign
    found = {w.kind.rpartition(".")[2]: w.priority for w in nulls.workflows.values()}
    assert found == {"mission-tests": 1, "day-night-tests": 3}


@pytest.mark.parametrize("priority", ["high", "1.5", "true", str(10**10)])
def test_a_priority_is_a_whole_number(tmp_path: Path, priority: str) -> None:
    text = f"campaign: {{}}\nstages: {{a: {{{STAGE}, priority: {priority}}}}}"
    assert "stages.a.priority" in problems(tmp_path, text)[0]


def test_yaml_words_and_clocks_are_not_what_yaml_1_1_made_of_them(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        f"""
campaign: {{resource: tiger3, deadline: 1:30:00}}
stages:
  a: {{{STAGE}, script-args: [no, on, 010, 1_000, 1.50, 1575600533.1575611468, 7, 0.5]}}
""",
    )
    assert loaded.campaign.deadline == 5400
    assert loaded.campaign.workflows["a"].command == (
        "x", "no", "on", "010", "1_000", "1.50", "1575600533.1575611468", "7", "0.5",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("memory", "megabytes"),
    [
        ("memory: 80000", 80_000),
        ('memory: "80000"', 80_000),
        ("memory: 48G", 48 * 1024),
        ("memory-per-rank: 2G", 6 * 1024 * 2 // 2),
        ("memory-per-cpu: 1G", 3 * 40 * 1024),
        # A node holds two ranks of 40 cores: full it has 100 GB, and three ranks have 150.
        ("memory-per-node: 100G", 150 * 1024),
        # Nothing said: 40 of a node's 112 cores have 40/112 of its memory.
        ("gpus: 0", 3 * (1_000_000 * 40 // 112)),
    ],
)
def test_memory_is_for_the_whole_workflow_however_given(
    tmp_path: Path, memory: str, megabytes: int
) -> None:
    text = f"""
campaign: {{resource: tiger3}}
stages:
  a: {{executable: x, resources: {{ranks: 3, threads: 40, runtime: 60, {memory}}}}}
"""
    assert load(tmp_path, text).campaign.workflows["a"].request.memory == megabytes


def test_typed_sections_are_named_and_depend_on_names_and_types(tmp_path: Path) -> None:
    maps = 'context = "/c"\narea = "/a"\nresources = {runtime = 60, memory = 1}\n'
    loaded = load(
        tmp_path,
        f"""
[campaign]
resource = "tiger3"
requested_resources = 300
resources = {{ nodes = 4 }}
[[campaign.ml-mapmaking]]
output_dir = "/1"
{maps}
[[campaign.ml-mapmaking]]
output_dir = "/2"
{maps}
[[campaign.ml-mapmaking]]
name = "deep"
output_dir = "/3"
{maps}
[campaign.power-spectra]
script = "/s.py"
depends = "ml-mapmaking"
resources = {{ runtime = "1h", memory = "1G" }}
""",
        "toml",
    )
    assert list(loaded.campaign.workflows) == [
        "ml-mapmaking-1", "ml-mapmaking-2", "deep", "power-spectra",
    ]  # fmt: skip
    assert loaded.campaign.workflows["power-spectra"].depends == (
        "ml-mapmaking-1", "ml-mapmaking-2", "deep",
    )  # fmt: skip
    assert loaded.campaign.budget == Budget(cores=300, nodes=4)


def test_wafer_is_wafers_and_lists_are_comma_lists(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        """
[campaign]
[campaign.ml-mapmaking]
context = "file:///c"
area = "file:///a"
output-dir = "/o"
wafer = ["ws0", "ws1"]
bands = "f090,f150"
maxiter = [200, 100]
extra-args = ["--new-option"]
resources = { runtime = 60, memory = 1 }
""",
        "toml",
    )
    command = loaded.campaign.workflows["ml-mapmaking"].command
    assert {"--wafers=ws0,ws1", "--bands=f090,f150", "--maxiter=200,100"} <= set(command)
    assert command[-1] == "--new-option"
    assert "no resource is given: assuming tiger3" in loaded.warnings


def test_variables_are_expanded_and_undefined_ones_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAPS", "/maps")
    monkeypatch.delenv("NOWHERE", raising=False)
    loaded = load(
        tmp_path,
        """
campaign: {resource: tiger3}
stages:
  a:
    executable: x
    script: $MAPS/a.py
    script-args: ["${MAPS}/b", "$$5", $NOWHERE/c]
    resources: {runtime: 60, memory: 1}
""",
    )
    command = loaded.campaign.workflows["a"].command
    assert command == ("x", "/maps/a.py", "/maps/b", "$5", "$NOWHERE/c")
    assert "not set in the environment: $NOWHERE" in loaded.warnings


def test_relative_scripts_are_relative_to_base_path_else_to_the_file(tmp_path: Path) -> None:
    text = """
campaign: {resource: tiger3}
stages:
  a: {executable: x, script: s.py, resources: {runtime: 60, memory: 1}}
  b: {executable: x, script: s.py, base-path: sub, resources: {runtime: 60, memory: 1}}
"""
    workflows = load(tmp_path, text).campaign.workflows
    assert workflows["a"].command == ("x", f"{tmp_path}/s.py")
    assert workflows["b"].command == ("x", f"{tmp_path}/sub/s.py")
    assert workflows["b"].directory == f"{tmp_path}/sub"


def test_every_problem_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    text = """\
campaign:
  deadlin: 24h
  resource: tigre3
stages:
  one:
    executable: python -u
    script-flag: [x]
    depends: [two, thre]
    resources: {ranks: 0, memory: 48Q, runtime: 10:30, thread: 4}
  two:
    executable: "python 'x"
    resources: {memory: 4G}
  three: 5
"""
    assert problems(tmp_path, text) == [
        "campaign.yaml:2:3: unknown key 'deadlin' in campaign; did you mean 'deadline'?",
        "campaign.yaml:3:3: unknown cluster 'tigre3'; did you mean 'tiger3'?",
        "campaign.yaml:7:5: unknown key 'script-flag' in stages.one; did you mean 'script-flags'?",
        "campaign.yaml:8:20: 'one' depends on 'thre', which is not in the campaign; "
        "did you mean 'three'?",
        "campaign.yaml:9:17: stages.one.resources.ranks: should be greater than or equal to 1, "
        "not 0",
        "campaign.yaml:9:27: stages.one.resources.memory: '48Q' is not an amount of memory; write "
        "'48G', '1.5T' or a number of MB",
        "campaign.yaml:9:40: stages.one.resources.runtime: '10:30' is ambiguous; write '10h30m' or "
        "'10m30s'",
        "campaign.yaml:9:56: unknown key 'thread' in stages.one.resources; did you mean 'threads'?",
        'campaign.yaml:11:5: stages.two.executable: "python \'x" has a quote that is not closed',
        "campaign.yaml:12:5: stages.two.resources lacks 'runtime'",
        "campaign.yaml:13:3: stages.three is a table, not 5",
    ]


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        ("yaml", "", "campaign.yaml: is empty"),
        ("toml", "", "campaign.toml: is empty"),
        ("toml", "[campaign\n", "campaign.toml:1:10: expected ']' at the end of a table"),
        ("yaml", "a: [1\n", "campaign.yaml:2:1: "),
        ("yaml", "[1, 2]", "campaign.yaml:1:1: is not a mapping"),
        ("yaml", "a: 1\na: 2\n", "campaign.yaml:2:1: key 'a' is given twice"),
        ("yaml", "a: !!python/object/apply:os.system [ls]\n", "campaign.yaml:1:4: the tag"),
        (
            "yaml",
            "campaign: {}\nstages: {a: {executable: x, script-args: [~], resources: {runtime: 1}}}",
            "stages.a.script-args[0]: should be text or a number, not nothing",
        ),
        ("yaml", "[" * 100_000, "campaign.yaml:1:101: is nested too deeply"),
        ("yaml", "- " * 100_000 + "a", "campaign.yaml:1:201: is nested too deeply"),
        ("toml", "[campaign]\n" + "a." * 20_000 + "a = 1", "campaign.toml:2:1: is nested too"),
        ("toml", "a = " + "9" * 5000, "campaign.toml:1:5: is a number too long to read"),
        ("yaml", "a: {<<: !foo {b: 1}}", "the tag '!foo' is not supported"),
        ("yaml", "campaign: {resource: '~nobody/x.toml'}\nstages: {}", "cannot be read"),
        ("toml", 'campaign = {resource = "a\\u0000b.toml"}', "cannot be read"),
        ("yaml", "a: !!int\n", "campaign.yaml:1:4: '' is not of type int"),
        ("yaml", "a: !!bool maybe\n", "campaign.yaml:1:4: 'maybe' is not of type bool"),
        ("yaml", "campain: {x: 1}\n", "campaign.yaml:1:1: there is no campaign section; did you"),
        ("yaml", "campaign: {}\n", "there are no workflows in this campaign"),
        ("yaml", "campaign: {}\nstages: 5\n", "stages is a table of stages by name"),
        ("toml", "[campaign]\nstarts = 3\n", "unknown key 'starts' in campaign"),
        ("toml", "[campaign]\n[power-spectra]\n", "did you mean [campaign.power-spectra]?"),
        ("toml", "[campaign.ml-null-tests.pwv-test]\n", "did you mean 'pwv-tests'?"),
        ("yaml", "campaign: {}\nb: \x07\n", "campaign.yaml:2:4: holds the character 0x07"),
        ("yaml", "a: &a [b, *a]\n", ": is nested too deeply"),
        ("ini", "x", "has the suffix '.ini'; a campaign is a .toml, .yaml or .yml file"),
        (
            "toml",
            "[campaign]\nrequested_resources = 500\nresources = {nodes = 4}\n"
            "[campaign.power-spectra]\nscript = 's'\nresources = {runtime = 1}\n",
            "requested_resources = 500 cores are more than 4 nodes of 112 cores",
        ),
        (
            "yaml",
            f"campaign: {{}}\nstages:\n  a: {{{STAGE}, depends: [c]}}\n"
            f"  b: {{{STAGE}, depends: [a]}}\n  c: {{{STAGE}, depends: [b]}}\n",
            "dependencies form a cycle: a → c → b → a",
        ),
        (
            "yaml",
            "campaign: {}\nstages:\n  a: {executable: x, resources: {runtime: 2h, walltime: 1h}}\n",
            "a: walltime is shorter than runtime",
        ),
        (
            "yaml",
            "campaign: {}\nstages:\n"
            "  a: {executable: x, resources: {runtime: 2h, memory: 1, memory-per-cpu: 1}}\n",
            "a: memory and memory-per-cpu are both given; keep one of them",
        ),
        (
            "yaml",
            f"campaign: {{}}\nstages:\n  'a b': {{{STAGE}}}\n",
            "stages.a b.name: 'a b' is not a valid name",
        ),
    ],
)  # fmt: skip
def test_wrong_files_are_told_in_plain_words(
    tmp_path: Path, suffix: str, text: str, message: str
) -> None:
    assert any(message in problem for problem in problems(tmp_path, text, suffix))


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        ("campaign", ("base-path = '/a'", "base_path = '/b'")),
        ("campaign", ("requested_resources = 4", "requested-resources = 4")),
        ("campaign.resources", ("cores-per-node = 4", "cores_per_node = 4")),
        ("campaign.power-spectra", ("script-args = []", "script_args = []")),
        ("campaign.power-spectra", ("script = 's'", "subcommand = 's'")),
        ("campaign.power-spectra.resources", ("memory-per-cpu = 4", "memory_per_cpu = 4")),
    ],
)
def test_a_key_in_two_spellings_is_given_twice(
    tmp_path: Path, table: str, keys: tuple[str, str]
) -> None:
    tables = ["campaign", "campaign.resources", "campaign.power-spectra"]
    needed = {"campaign.power-spectra.resources": ["runtime = 1"]}
    for both in (keys, keys[::-1]):
        text = ""
        for name in [*tables, *needed]:
            lines = [*needed.get(name, []), *(both if name == table else ())]
            text += "\n".join([f"[{name}]", *lines, ""])
        [told] = problems(tmp_path, text, "toml")
        assert told.startswith("campaign.toml:")
        assert any(f"key {key.split()[0]!r} is given twice" in told for key in keys)
        assert told.split(":")[1].isdigit()


def test_a_file_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not UTF-8: byte 0 is 0xff"):
        load_campaign(path)


def test_a_bomb_of_aliases_ends_in_an_error(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "unfolds to more than 1 000 000 values" in problems(tmp_path, "\n".join(lines))[0]


def test_deep_nesting_ends_in_an_error(tmp_path: Path) -> None:
    for suffix, text in (("yaml", "a: " + "[" * 5000 + "]" * 5000), ("toml", "a = " + "[" * 5000)):
        assert len(problems(tmp_path, text, suffix)) == 1


@given(text=st.text(max_size=200), suffix=st.sampled_from(["toml", "yaml"]))
def test_whatever_is_typed_is_read_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, text: str, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("typed") / f"c.{suffix}"
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    with pytest.raises(ConfigError) as caught:
        load_campaign(path)
    assert all(p.message for p in caught.value.problems)


def test_the_smallest_cluster_file_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "bench.toml"
    path.write_text(
        'name = "bench"\n[[partitions]]\nname = "cpu"\nnodes = 28\n'
        "cores-per-node = 112\nmemory-per-node = 1000000   # MB\n"
    )
    cluster = load_cluster(str(path))
    assert cluster.name == "bench"
    assert (cluster.partitions[0].nodes, cluster.partitions[0].memory) == (28, 1_000_000)
    assert [q.name for q in cluster.qos_by_size] == [""]


def test_wrong_cluster_files_are_told_in_plain_words(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(
        'name = "bad"\n[[partitions]]\nname = "cpu"\nnodes = 0\ncores-per-nod = 1\n'
        'memory-per-node = 1\n[[qos]]\nname = "short"\nwalltime = "1x"\n'
    )
    with pytest.raises(ConfigError) as caught:
        load_cluster(str(path))
    told = "\n".join(map(str, caught.value.problems))
    assert "partitions[0].nodes: should be greater than or equal to 1, not 0" in told
    assert "unknown key 'cores-per-nod' in partitions[0]; did you mean 'cores-per-node'?" in told
    assert "qos[0].walltime: '1x' is not a duration" in told


@pytest.mark.parametrize("name", sorted(builtin_clusters()))
def test_every_figure_of_a_built_in_cluster_has_source_and_date(name: str) -> None:
    cluster = load_cluster(name)
    assert cluster.name == name
    for part in (cluster, *cluster.partitions, *cluster.qos):
        assert part.source, part.name
        assert part.checked, part.name


def test_a_qos_of_an_unknown_partition_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        'name = "c"\n[[partitions]]\nname = "cpu"\nnodes = 1\ncores-per-node = 1\n'
        'memory-per-node = 1\n[[qos]]\nname = "q"\npartitions = ["gpu"]\n'
    )
    with pytest.raises(ConfigError, match="there is no partition 'gpu'"):
        load_cluster(str(path))
