"""Environment variables in the texts of a campaign file."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

_VARIABLE = re.compile(r"\$\$|\$(\w+)|\$\{(\w+)\}")


@dataclass
class Variables:
    """Replaces ``$VAR`` and ``${VAR}`` by their values, and ``$$`` by a dollar.

    A variable that is not set stays as it is written, and is noted.

    Examples
    --------
    >>> os.environ["MAPS"], _ = "/maps", os.environ.pop("NOWHERE", None)
    >>> variables = Variables()
    >>> variables.expand(["$MAPS/a", {"cost": "$$5"}, "${NOWHERE}/b"]), [*variables.unset]
    (['/maps/a', {'cost': '$5'}, '${NOWHERE}/b'], ['NOWHERE'])
    """

    unset: dict[str, None] = field(default_factory=dict)
    """Names of the variables that are not set, in the order in which they came."""

    def text(self, text: str) -> str:
        """Expand one text."""
        return _VARIABLE.sub(self._value, text)

    def expand(self, value: object) -> object:
        """Expand every text in a value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list | tuple):
            return type(value)(self.expand(item) for item in value)
        if isinstance(value, dict):
            return {key: self.expand(item) for key, item in value.items()}
        return value

    def _value(self, match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        name = match[1] or match[2]
        if name not in os.environ:
            self.unset[name] = None
        return os.environ.get(name, match[0])
