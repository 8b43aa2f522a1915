"""The command group, and the conversion of errors into messages and exit codes."""

import contextlib
import errno
import importlib
import keyword
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import click

from cloudtune.cli import streams
from cloudtune.errors import CloudtuneError, DriverError, nearest
from cloudtune.errors.masking import masked_text
from cloudtune.plugins.version import __version__

_COMMANDS = {
    "init": "cloudtune.cli.starting",
    "run": "cloudtune.cli.launching",
    "plan": "cloudtune.cli.planning",
    "validate": "cloudtune.cli.validating",
    "check": "cloudtune.cli.planning",
    "providers": "cloudtune.cli.planning",
    "schema": "cloudtune.cli.planning",
    "machines": "cloudtune.cli.machines",
    "prices": "cloudtune.cli.prices",
    "notify": "cloudtune.cli.notifying",
    "import": "cloudtune.cli.exchange",
    "export": "cloudtune.cli.exchange",
    "port": "cloudtune.cli.porting",
    "ls": "cloudtune.cli.looking",
    "show": "cloudtune.cli.looking",
    "trials": "cloudtune.cli.looking",
    "best": "cloudtune.cli.looking",
    "logs": "cloudtune.cli.looking",
    "fetch": "cloudtune.cli.looking",
    "report": "cloudtune.cli.looking",
    "ui": "cloudtune.cli.ui",
    "replay": "cloudtune.cli.replaying",
    "publish": "cloudtune.cli.publishing",
    "resume": "cloudtune.cli.continuing",
    "retry": "cloudtune.cli.continuing",
    "try": "cloudtune.cli.continuing",
    "attach": "cloudtune.cli.launching",
    "drive": "cloudtune.cli.launching",
    "cancel": "cloudtune.cli.launching",
    "rm": "cloudtune.cli.removing",
    "gc": "cloudtune.cli.removing",
    "emulate": "cloudtune.cli.emulating",
    "verify": "cloudtune.cli.verifying",
    "mcp": "cloudtune.cli.mcp_server",
    "completion": "cloudtune.cli.starting",
}
"""The module of each command, imported when the command is called or its help is printed."""

_SUMMARIES = {
    "init": "Write a job and a script to start from.",
    "run": "Run a job and follow it to its end.",
    "plan": "Show what a provider will do with each field of a job.",
    "validate": "Say what is wrong with job files.",
    "check": "Say what each profile needs and lacks.",
    "providers": "List the providers that are installed.",
    "schema": "Print the JSON Schema of a job, for editors.",
    "machines": "List the machine types of services, the cheapest first.",
    "prices": "Say what is known of prices, or update it.",
    "notify": "Say who is told how runs go, and try it.",
    "import": "Make a job of what another tool or service wrote.",
    "export": "Print a job as a service's request, step or Experiment.",
    "port": "Write a job in the words of another service.",
    "ls": "List the runs of this project.",
    "show": "Show a run: state, counts, best trial, what happened.",
    "trials": "List the trials of a run.",
    "best": "Print the best trial of a run.",
    "logs": "Print what a trial printed.",
    "fetch": "Copy what a trial left into a folder.",
    "report": "Write a run's report, one HTML page.",
    "ui": "Show runs in the browser, live.",
    "replay": "Say whether a run's suggestions can be derived anew.",
    "publish": "Bring a run to Optuna, MLflow or TensorBoard.",
    "resume": "Go on with a run that is interrupted, or longer.",
    "retry": "Run trials without a result again.",
    "try": "Have a trial of your own run next.",
    "attach": "Take a job that was started elsewhere into this project.",
    "drive": "Drive a run in the foreground, without display.",
    "cancel": "End a run now, for good.",
    "rm": "Remove runs from this machine.",
    "gc": "Remove what removed and broken runs left behind.",
    "emulate": "Serve a cloud service's API on this machine.",
    "verify": "Compare a real service with its emulator.",
    "mcp": "Serve an assistant: plan, run and read jobs.",
    "completion": "Print the shell's completion script.",
}

_OF_OUTPUT = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)
"""Errors of printing, which name no file: a full disk, a closed terminal."""

EXIT_CODES = """\b
Exit codes:
  0  all went well              4    the provider or the store has a problem
  1  the run failed             5    there is no such run
  2  wrong usage, job, config   6    another process drives the run
  3  refused by the plan        130  interrupted; the run can be resumed"""


class Commands(click.Group):
    """A click group that imports its commands on demand and suggests the nearest command for a typo."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the base's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        function = f"{cmd_name}_" if keyword.iskeyword(cmd_name) else cmd_name
        command: click.Command = getattr(importlib.import_module(_COMMANDS[cmd_name]), function)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = nearest(args[0], _COMMANDS)
            hint = f" Did you mean {near!r}?" if near else " `cloudtune --help` lists the commands."
            raise click.UsageError(f"{error.message.rstrip('.')}.{hint}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands with their summaries, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_SUMMARIES.items()))


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="cloudtune", message="%(prog)s %(version)s")
@click.option(
    "-C",
    "--project",
    metavar="FOLDER",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The project with the config and the runs; default: the nearest folder above this one that has a cloudtune.toml or .cloudtune, else this one.",
)
@click.pass_context
def app(context: click.Context, project: Path | None) -> None:
    """One hyperparameter-tuning job, written once, run by any managed tuner or on this machine.

    Start with `cloudtune init`, then `cloudtune run job.yaml`; `cloudtune run --help` has examples, as each command's help.
    """
    if project is not None:
        from cloudtune.store.projects import chosen_project  # noqa: PLC0415  # only for --project

        context.with_resource(chosen_project(project))


def run_app(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; print a message for every error.

    Args:
        arguments: the words after ``cloudtune``; None for those of ``sys.argv``.
    """
    streams.open_missing()
    try:
        return _main(arguments)
    finally:
        streams.flush()


def _main(arguments: list[str] | None) -> int:
    try:
        _refuse_bytes(sys.argv[1:] if arguments is None else arguments)
        began = time.monotonic()  # what looks at runs waits for no service longer than a moment after that
        return _exit_code(app.main(arguments, prog_name="cloudtune", standalone_mode=False, obj=began))
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # the reader of stdout has closed it
        return 0
    except Exception as error:  # noqa: BLE001  # a user gets a message, not a traceback
        code = _exit_code_of(error)
        with contextlib.suppress(OSError):  # stderr may be closed
            _explain(error)
        return code


def _refuse_bytes(arguments: list[str]) -> None:
    """Raise click.UsageError for an argument that is not UTF-8: neither the store nor a service can keep it."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            message = argument.encode(errors="backslashreplace").decode()
            raise click.UsageError(
                f"the argument {message[:200]} is not UTF-8; rename the file, or write it as text"
            ) from None


def _exit_code(result: Any) -> int:  # the return value of a command
    return result if isinstance(result, int) else 0


def _exit_code_of(error: Exception) -> int:
    if isinstance(error, CloudtuneError):
        return error.exit_code
    return 2 if isinstance(error, OSError) and (error.filename or error.errno in _OF_OUTPUT) else 1


def _explain(error: Exception) -> None:
    if os.environ.get("CLOUDTUNE_DEBUG"):
        click.echo(masked_text(traceback.format_exc()), err=True)
    from cloudtune.plugins.extras import missing  # noqa: PLC0415  # few commands fail

    where = "(CLOUDTUNE_DEBUG=1 shows where)"
    if isinstance(error, DriverError):
        message = f"{error}\n{where}"
    elif isinstance(error, CloudtuneError):
        message = str(error)
    elif isinstance(error, OSError) and error.filename:
        message = f"{error.filename}: {error.strerror}"
    elif isinstance(error, OSError) and error.errno in _OF_OUTPUT:
        message = f"the output cannot be written: {error.strerror}"
    elif isinstance(error, ModuleNotFoundError) and (hint := missing(error)) is not None:
        message = hint
    else:
        message = f"unexpected: {type(error).__name__}: {error}\n{where}"
    click.secho("error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(masked_text("\n".join([message, *getattr(error, "__notes__", [])])), err=True)
