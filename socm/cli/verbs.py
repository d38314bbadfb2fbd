"""Groups of commands of which two may be left out."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


def verbs(alone: str, before_a_name: str) -> type[TyperGroup]:
    """Return a group that adds a command where there is none.

    Parameters
    ----------
    alone
        The command if no word follows the group.
    before_a_name
        The command if the first word is not a command.
    """

    class Verbs(TyperGroup):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            words = [argument for argument in args if not argument.startswith("-")]
            if not words and not ctx.resilient_parsing and not {"-h", "--help"} & {*args}:
                args = [alone, *args]
            elif words and words[0] not in self.commands:
                args = [before_a_name, *args]
            return super().parse_args(ctx, args)

    return Verbs
