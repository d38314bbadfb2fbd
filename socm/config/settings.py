"""Values from outside a campaign file: those of the user's file and of the environment.

The order is command line, environment, campaign file, user's file, built-in; the first that has a
value counts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from socm.config.reading import in_words, read_section
from socm.config.schema import CampaignSection
from socm.config.source import read
from socm.config.values import Count, CountOrNone, Section, not_bool
from socm.errors import ConfigError, Problem
from socm.misfits import misfits

PREFIX = "SOCM_"
NOT_FROM_ENVIRONMENT = frozenset(
    {"name", "description", "resources", "budget", "limits", "environment"}
)
"""Keys that make sense only within one campaign."""


class ResourceDefaults(Section):
    """Keys of ``resources`` that apply to every workflow of a user."""

    partition: str | None = None
    qos: str | None = None
    account: str | None = None
    spread: Annotated[float, BeforeValidator(not_bool), Field(ge=0, le=3)] | None = None


class SimulateDefaults(Section):
    """Options of ``socm simulate``."""

    replications: CountOrNone | None = None
    seed: CountOrNone | None = None
    processes: Count | None = None


class UserFile(Section):
    """The user's file."""

    campaign: CampaignSection = CampaignSection()
    resources: ResourceDefaults = ResourceDefaults()
    simulate: SimulateDefaults = SimulateDefaults()


@dataclass(frozen=True)
class Setting:
    """A value and its origin."""

    value: object
    origin: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The values of the environment and of the user's file, by section and key."""

    environment: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    user: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)

    def over(self, section: str, key: str) -> Setting | None:
        """Return the setting that overrides a campaign file."""
        return self.environment.get(section, {}).get(key)

    def under(self, section: str, key: str) -> Setting | None:
        """Return the setting that is the default of a campaign file."""
        return self.user.get(section, {}).get(key)

    def find(self, section: str, key: str) -> Setting | None:
        """Return the setting that counts outside of campaign files."""
        return self.over(section, key) or self.under(section, key)


def user_file() -> Path:
    """Return the path of the user's file, which need not exist."""
    if named := os.environ.get("SOCM_CONFIG"):
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(home) / "socm" / "config.toml"


def load_settings() -> Settings:
    """Read the environment and the user's file.

    Raises
    ------
    ConfigError
        With every problem in both.
    """
    problems: list[Problem] = []
    environment = _from_environment(problems)
    user: dict[str, dict[str, Setting]] = {}
    path = user_file()
    if "SOCM_CONFIG" in os.environ or os.path.isfile(path):
        source = read(path)
        data = read_section(UserFile, source.data, source, (), problems)
        for name in _SECTIONS if data is not None else ():
            section = getattr(data, name)
            user[name] = {
                key: Setting(getattr(section, key), str(path)) for key in section.model_fields_set
            }
    if problems:
        raise ConfigError(*problems)
    return Settings(environment=environment, user=user)


_SECTIONS: Mapping[str, type[BaseModel]] = {
    "campaign": CampaignSection,
    "resources": ResourceDefaults,
    "simulate": SimulateDefaults,
}


def variables() -> dict[str, tuple[str, str]]:
    """Return the section and the key that each environment variable sets.

    Examples
    --------
    >>> variables()["SOCM_SEED"]
    ('simulate', 'seed')
    """
    return {
        PREFIX + key.upper(): (section, key)
        for section, model in _SECTIONS.items()
        for key in model.model_fields
        if key not in NOT_FROM_ENVIRONMENT
    }


def _from_environment(problems: list[Problem]) -> dict[str, dict[str, Setting]]:
    """Read the variables, by section and key."""
    settings: dict[str, dict[str, Setting]] = {}
    for variable, (section, key) in variables().items():
        if variable not in os.environ:
            continue
        model, data = _SECTIONS[section], {key: os.environ[variable]}
        try:
            read = model.model_validate(data)
        except ValidationError as error:
            [first, *_] = misfits(error, data)
            message, hint = in_words(model, first, (variable,), ())
            problems.append(Problem(message=message, hint=hint, file="environment"))
            continue
        settings.setdefault(section, {})[key] = Setting(getattr(read, key), f"${variable}")
    return settings
