"""The commands, and what becomes of their errors.

A command line loads the module of its own command only. Heavy libraries are imported by the
commands that need them, inside their functions, so that ``socm --help`` answers at once.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from socm._version import __version__
from socm.cli.interrupts import INTERRUPTED
from socm.errors import ConfigError, Problem, RunError, SocmError
from socm.words import reason_of

# What typer raises for a wrong command line; newer versions carry a click of their own, so that
# click's classes are reached through one that typer exports.
CommandLineError: type[Exception] = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)


class Commands(TyperGroup):
    """The commands of socm, and the ways in which so_campaign_manager's users call them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line, with ``-t FILE`` for ``run FILE``."""
        return super().parse_args(ctx, _as_run(args))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command, or say what takes the place of one that there was."""
        if args[0] in ("lat-mapmaking", "spectra"):
            file = next(
                (word for word in args if word.endswith((".toml", ".yaml", ".yml"))), "FILE"
            )
            message = f"there is no command {args[0]!r}: the file says which workflows there are"
            hint = f"`socm run {file}` runs them, `socm simulate {file}` simulates them"
            raise ConfigError(Problem(message=message, hint=hint))
        return super().resolve_command(ctx, args)


def _as_run(words: list[str]) -> list[str]:
    """Read ``-t FILE`` as ``run FILE``, wherever a global option may stand.

    Examples
    --------
    >>> _as_run(["--debug", "-tcampaign.toml", "--yes"])
    ['--debug', 'run', 'campaign.toml', '--yes']
    >>> _as_run(["--toml", "campaign.toml", "--debug"]), _as_run(["logs", "-t"])
    (['--debug', 'run', 'campaign.toml'], ['logs', '-t'])
    """
    for k, word in enumerate(words):
        if not word.startswith("-"):
            break
        if word.startswith("--toml=") or (word.startswith("-t") and word != "-t"):
            file = [word.removeprefix("--toml=").removeprefix("-t")]
        elif word in ("--toml", "-t"):
            file = []
        else:
            continue
        before, rest = words[:k], [*file, *words[k + 1 :]]
        others = [word for word in rest if word in ("--debug", "--version")]
        return [*before, *others, "run", *(word for word in rest if word not in others)]
    return words


COMMANDS = {
    "simulate": ("simulate", "EXAMPLES"),
    "plan": ("plan", "EXAMPLES"),
    "diff": ("diff", "EXAMPLES"),
    "run": ("run", "RUN_EXAMPLES"),
    "resume": ("run", "RESUME_EXAMPLES"),
    "status": ("status", "STATUS_EXAMPLES"),
    "logs": ("status", "LOGS_EXAMPLES"),
    "cancel": ("cancel", "CANCEL_EXAMPLES"),
    "import": ("import_", "EXAMPLES"),
    "export": ("export", "EXAMPLES"),
    "init": ("init", "EXAMPLES"),
    "validate": ("validate", "EXAMPLES"),
    "torture": ("torture", "EXAMPLES"),
}
"""The module of each command, and the name that its examples have there."""
GROUPS = ("clusters", "workflows")
"""The groups of commands: each is a module with an `app`."""


def app_for(words: Sequence[str]) -> typer.Typer:
    """Return the application that a command line needs: the command that it names, else all."""
    named = next((word for word in _as_run([*words]) if not word.startswith("-")), None)
    return app_of(named if named in COMMANDS or named in GROUPS else None)


@cache
def app_of(only: str | None = None) -> typer.Typer:
    """Return the application with one command or group; with all of them if none is named."""
    app = typer.Typer(
        cls=Commands,
        name="socm",
        help="Plan, simulate and run campaigns of workflows on SLURM clusters.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode="rich",
    )
    app.callback()(options)
    for name, (place, examples) in COMMANDS.items():
        if only in (None, name):
            module = import_module(f"socm.cli.{place}")
            function = getattr(module, "import_" if name == "import" else name)
            app.command(name=name, epilog=getattr(module, examples))(function)
    for name in GROUPS:
        if only in (None, name):
            app.add_typer(import_module(f"socm.cli.{name}").app, name=name)
    return app


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"socm {__version__}")
        raise typer.Exit


def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    toml: Annotated[
        Path | None,
        typer.Option("--toml", "-t", metavar="FILE", help="The same as `run FILE`."),
    ] = None,
) -> None:
    """Plan, simulate and run campaigns of workflows on SLURM clusters."""


def command_line(arguments: Sequence[str]) -> int:
    """Do what a command line says, and return its exit code; every error is told.

    Raises
    ------
    KeyboardInterrupt
        If it was interrupted.
    SocmError
        If the command line says ``--debug``.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a bar is worth less than an answer
    as_json = "--json" in arguments
    try:
        code = app_for(arguments)([*arguments], prog_name="socm", standalone_mode=False)
        sys.stdout.flush()
    except SocmError as error:
        if "--debug" in arguments:
            raise
        code = _tell(error, as_json=as_json)
    except CommandLineError as error:
        code = _tell_usage(error, as_json=as_json)
    except typer.Abort:
        code = INTERRUPTED
    except (MemoryError, ImportError, OSError, RuntimeError) as error:
        if refusal := _refusal(error):
            if "--debug" in arguments:
                raise
            return _tell_refusal(refusal, as_json=as_json)
        if not isinstance(error, OSError):
            raise
        # Of standard output: files that are read or written tell their own errors.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        code = 0 if isinstance(error, BrokenPipeError) else _tell_output(reason_of(error))
    return code if isinstance(code, int) else 0


def _refusal(error: Exception) -> RunError | None:
    """Return what is to be told if the machine allows no more; `None` if it is something else."""
    code = error.errno if isinstance(error, OSError) else None
    unmapped = isinstance(error, ImportError) and "failed to map segment" in str(error)
    if isinstance(error, MemoryError) or unmapped:
        what, limit = "memory", "v"
    elif "can't start new thread" in str(error):
        what, limit = "threads", "u"
    elif code in (errno.EAGAIN, errno.ENOMEM):
        what, limit = "processes", "u"
    elif code in (errno.EMFILE, errno.ENFILE):
        what, limit = "open files", "n"
    else:
        return None
    hint = f"`ulimit -{limit}` says how much is allowed"
    return RunError(f"this machine allows no more {what}", hint=hint)


def _tell_refusal(error: RunError, *, as_json: bool) -> int:
    """Say what the machine refuses, plainly if it refuses what it takes to say it better."""
    try:
        return _tell(error, as_json=as_json)
    except (MemoryError, ImportError, OSError, SystemError):
        sys.stderr.write(f"error: {error.message}\n  hint: {error.hint}\n")
        return error.exit_code


def _tell_output(reason: str) -> int:
    sys.stderr.write(f"error: output cannot be written: {reason}\n")
    return ConfigError.exit_code


def _tell(error: SocmError, *, as_json: bool) -> int:
    """Say what is wrong; return the exit code."""
    from socm.report.problem import error_document, print_error

    if as_json:
        sys.stdout.write(json.dumps(error_document(error)) + "\n")
    else:
        print_error(error)
    return error.exit_code


def _tell_usage(error: Any, *, as_json: bool) -> int:
    """Say what is wrong with the command line; return the exit code."""
    if as_json:
        problem = Problem(message=error.format_message(), hint="`socm --help` lists the commands")
        return _tell(ConfigError(problem), as_json=True)
    error.show()
    return ConfigError.exit_code
