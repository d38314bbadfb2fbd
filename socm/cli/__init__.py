"""The command line: the only place where planner, engine and emulator meet.

Heavy libraries are imported by the verbs that need them, inside their functions, so that
``socm --help`` answers at once.
"""

from __future__ import annotations

import io
import json
import os
import sys
from typing import Annotated, Any

import typer

from socm._version import __version__
from socm.cli import (
    clusters,
    diff,
    export,
    import_,
    init,
    plan,
    run,
    simulate,
    status,
    validate,
    workflows,
)
from socm.errors import ConfigError, Infeasible, InvalidPlan, Problem, SocmError

# What typer raises for a wrong command line; newer versions carry a click of their own, so that
# click's classes are reached through one that typer exports.
CommandLineError: type[Exception] = next(
    c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"
)

INTERRUPTED = 130

app = typer.Typer(
    name="socm",
    help="Plan, simulate and run campaigns of workflows on SLURM clusters.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)
app.command(name="simulate", epilog=simulate.EXAMPLES)(simulate.simulate)
app.command(name="plan", epilog=plan.EXAMPLES)(plan.plan)
app.command(name="diff", epilog=diff.EXAMPLES)(diff.diff)
app.command(name="run", epilog=run.RUN_EXAMPLES)(run.run)
app.command(name="resume", epilog=run.RESUME_EXAMPLES)(run.resume)
app.command(name="status", epilog=status.STATUS_EXAMPLES)(status.status)
app.command(name="logs", epilog=status.LOGS_EXAMPLES)(status.logs)
app.command(name="cancel", epilog=status.CANCEL_EXAMPLES)(status.cancel)
app.command(name="import", epilog=import_.EXAMPLES)(import_.import_)
app.command(name="export", epilog=export.EXAMPLES)(export.export)
app.command(name="init", epilog=init.EXAMPLES)(init.init)
app.command(name="validate", epilog=validate.EXAMPLES)(validate.validate)
app.add_typer(clusters.app, name="clusters")
app.add_typer(workflows.app, name="workflows")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"socm {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Plan, simulate and run campaigns of workflows on SLURM clusters."""


def main() -> None:
    """Run the command line; every error is one for people, with its exit code."""
    sys.argv[1:] = arguments = _as_of_old(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a bar is worth less than an answer
    try:
        if arguments[:1] in (["lat-mapmaking"], ["spectra"]):
            _hint_at_run(arguments)
        code = app(standalone_mode=False)
    except SocmError as error:
        if "--debug" in arguments:
            raise
        code = _tell(error, as_json="--json" in arguments)
    except CommandLineError as error:
        code = _tell_usage(error, as_json="--json" in arguments)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except OSError as error:
        # Of standard output: files that are read or written tell their own errors.
        reason = (error.strerror or str(error)).lower()
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        code = 0 if isinstance(error, BrokenPipeError) else _tell_output(reason)
    if code == INTERRUPTED:  # typer returns it, too
        sys.stderr.write("interrupted\n")
    sys.exit(code if isinstance(code, int) else 0)


def _as_of_old(arguments: list[str]) -> list[str]:
    """Take ``-t FILE`` for ``run FILE``, as the user guide writes it.

    Examples
    --------
    >>> _as_of_old(["--toml", "campaign.toml", "--yes"]), _as_of_old(["plan", "campaign.toml"])
    (['run', 'campaign.toml', '--yes'], ['plan', 'campaign.toml'])
    """
    if arguments and arguments[0] in ("-t", "--toml"):
        return ["run", *arguments[1:]]
    if arguments and arguments[0].startswith("--toml="):
        return ["run", arguments[0].removeprefix("--toml="), *arguments[1:]]
    return arguments


def _hint_at_run(arguments: list[str]) -> None:
    """Say what takes the place of so_campaign_manager's two verbs."""
    files = [word for word in arguments if word.endswith((".toml", ".yaml", ".yml"))]
    file = files[0] if files else "FILE"
    raise ConfigError(
        Problem(
            message=f"there is no verb {arguments[0]!r}: what a file holds is in the file",
            hint=f"`socm run {file}` carries it out, `socm simulate {file}` tries it",
        )
    )


def _tell_output(reason: str) -> int:
    sys.stderr.write(f"error: output cannot be written: {reason}\n")
    return ConfigError.exit_code


def _tell(error: SocmError, *, as_json: bool) -> int:
    """Say what is wrong; return the exit code."""
    if as_json:
        sys.stdout.write(json.dumps(error_document(error)) + "\n")
    else:
        from socm.report.problem import print_error

        print_error(error)
    return error.exit_code


def _tell_usage(error: Any, *, as_json: bool) -> int:
    """Say what is wrong with the command line; return the exit code."""
    if as_json:
        problem = Problem(message=error.format_message(), hint="`socm --help` lists the verbs")
        return _tell(ConfigError(problem), as_json=True)
    error.show()
    return ConfigError.exit_code


def error_document(error: SocmError) -> dict[str, Any]:
    """Return an error as JSON data."""
    problems = error.problems if isinstance(error, ConfigError) else ()
    reasons = (
        error.reasons
        if isinstance(error, Infeasible)
        else error.violations
        if isinstance(error, InvalidPlan)
        else ()
    )
    return {
        "schema": "socm.error/1",
        "errors": [
            {
                "file": p.file,
                "line": p.line,
                "column": p.column,
                "message": p.message,
                "hint": p.hint,
                "text": p.text,
            }
            for p in problems or (Problem(message=error.message, hint=error.hint),)
        ],
        "reasons": list(reasons),
        "remedies": list(error.remedies) if isinstance(error, Infeasible) else [],
    }
