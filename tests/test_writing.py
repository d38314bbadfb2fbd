"""Whatever a text holds, what is written into a file of TOML or YAML is read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from test_cli import socm

from socm.config import load_campaign, load_cluster
from socm.config.source import read
from socm.config.writing import comment_text, quoted, yaml_text
from socm.exchange.cluster_file import cluster_toml
from socm.model.cluster import Cluster
from socm.model.partition import Partition
from socm.model.qos import Qos

AWKWARD = [
    'a"b',
    "a'b",
    "back\\slash",
    "two\nlines\r\n",
    "\x00\x07\x1b[31m\x7f",
    "\x85\x9f\u2028\u2029\ufeff",
    "# no comment",
    "key: value",
    "[x]",
    "{}",
    "- ",
    "~",
    "yes",
    "010",
    "1e3",
    " blank ",
    "@NAME@",
    "@DEADLINE@",
    "ünïcödé",
    "\U0001f52d",
    "$HOME",
    "!!str x",
    "&a",
    "*a",
    "<<",
    "\\u0041",
]
TEXTS = st.one_of(st.sampled_from(AWKWARD), st.text())


def _from_yaml(folder: Path, text: str) -> object:
    path = folder / "x.yaml"
    path.write_text(f"value: {text}\n", encoding="utf-8")
    return read(path).data["value"]


@given(TEXTS)
@example('a"b')
def test_any_text_is_read_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("written")
    assert tomli.loads(f"value = {quoted(text)}") == {"value": text}
    for written in (quoted(text), yaml_text(text)):
        assert _from_yaml(folder, written) == text
        assert yaml.safe_load(f"value: {written}") == {"value": text}


@given(st.text(st.characters(categories=["Cs", "L", "P"])))
def test_lone_surrogates_are_replaced(text: str) -> None:
    plain = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)
    assert tomli.loads(f"value = {quoted(text)}") == {"value": plain}
    assert yaml.safe_load(f"value: {yaml_text(text)}") == {"value": plain}


@given(st.one_of(TEXTS, st.text(st.characters(categories=["Cs", "Cc", "Zl"]))))
def test_a_comment_stays_one(text: str) -> None:
    written = f"# {comment_text(text)}\nvalue = 1\n"
    assert tomli.loads(written.encode().decode()) == {"value": 1}
    assert yaml.safe_load(written.replace(" = ", ": ")) == {"value": 1}


@pytest.mark.parametrize("name", AWKWARD)
@pytest.mark.parametrize("suffix", ["toml", "yaml"])
def test_init_writes_any_name(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"c.{suffix}"
    assert socm("init", path, "--name", name, "--deadline", "2-00:00:00").returncode == 0
    campaign = load_campaign(path).campaign
    assert (campaign.name, campaign.deadline) == (name, 172_800)


@pytest.mark.parametrize("suffix", ["toml", "yaml"])
def test_init_writes_any_path_of_a_cluster(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / 'a"b\\c # ü'
    folder.mkdir()
    cluster = folder / "own.toml"
    cpu = Partition(name="cpu", nodes=200, cores=112, memory=10**6)
    cluster.write_text(cluster_toml(Cluster(name="own", partitions=(cpu,))))
    path = tmp_path / f"c.{suffix}"
    assert socm("init", path, "--resource", str(cluster)).returncode == 0
    assert load_campaign(path).cluster.name == "own"


@given(TEXTS, TEXTS, st.lists(TEXTS, min_size=1, max_size=3, unique=True))
def test_any_names_of_a_cluster_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, name: str, note: str, names: list[str]
) -> None:
    cluster = Cluster(
        name=name,
        description=note,
        partitions=tuple(
            Partition(name=n, nodes=1, cores=1, memory=1, note=note, slurm_name=note) for n in names
        ),
        qos=(Qos(name=f"q{name}", partitions=tuple(names), note=note),),
    )
    path = tmp_path_factory.mktemp("cluster") / "c.toml"
    path.write_text(cluster_toml(cluster, comments=[name, note]), encoding="utf-8")
    assert load_cluster(str(path)) == cluster
