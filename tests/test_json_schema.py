"""The schemas for editors accept what socm accepts, and refuse what is misspelt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli
import yaml
from jsonschema import ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

from socm.config import builtin_clusters
from socm.config.json_schema import campaign_schema, cluster_schema

ROOT = Path(__file__).parent.parent
CAMPAIGNS = [
    *sorted((ROOT / "examples").glob("*.[ty]*ml")),
    *(ROOT / "tests" / "data" / "user_guide" / name for name in ("campaign.toml", "dag.yaml")),
]


@pytest.fixture(scope="module")
def campaigns() -> Validator:
    return checked(campaign_schema())


@pytest.fixture(scope="module")
def clusters() -> Validator:
    return checked(cluster_schema())


def checked(schema: dict[str, Any]) -> Validator:
    """Hold the schema itself to its standard: once, for that takes a second."""
    kind = validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def data(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    return tomli.loads(text) if path.suffix == ".toml" else yaml.safe_load(text)


@pytest.mark.parametrize("path", CAMPAIGNS, ids=lambda p: p.name)
def test_campaigns_that_socm_reads_fit_the_schema(path: Path, campaigns: Validator) -> None:
    campaigns.validate(data(path))


@pytest.mark.parametrize("name", sorted(builtin_clusters()))
def test_clusters_that_come_with_socm_fit_the_schema(name: str, clusters: Validator) -> None:
    text = builtin_clusters()[name].read_text(encoding="utf-8")
    content = tomli.loads(text)
    content["checked"] = str(content["checked"])
    for part in content["partitions"] + content.get("qos", []):
        part["checked"] = str(part["checked"])
    clusters.validate(content)


@pytest.mark.parametrize(
    "change",
    [
        {"campaign": {"deadlin": "2d"}},
        {"campaign": {"execution_schema": "far"}},
        {"stages": {"a": {"executable": "x"}}},
        {"stages": {"a": {"executable": "x", "resources": {"runtime": "1h", "rank": 3}}}},
        {"campaign": {"ml-mapmaking": {"resources": {"runtime": "1h"}, "context": "c"}}},
        {},
    ],
)
def test_what_socm_refuses_does_not_fit(change: dict[str, Any], campaigns: Validator) -> None:
    with pytest.raises(ValidationError):
        campaigns.validate(change)


def test_both_spellings_of_a_key_fit(campaigns: Validator) -> None:
    for spelling in ("script-args", "script_args"):
        stage = {"executable": "x", "resources": {"runtime": 60}, spelling: ["p"]}
        campaigns.validate({"stages": {"a": stage}})
