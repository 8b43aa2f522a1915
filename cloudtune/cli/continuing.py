"""The commands resume, retry and try, by which a run goes on: as it was, for longer, or with trials of the user's own."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloudtune.cli.launching import complete_runs, follow_to_its_end, go_on_detached, how_to_go_on, run_argument
from cloudtune.cli.output import print_json
from cloudtune.cli.spending import ask_before_spending
from cloudtune.errors import ConfigError
from cloudtune.store.commands import as_read_here, command, learning_from, path_word

if TYPE_CHECKING:
    from collections.abc import Callable

    from cloudtune.run import Run
    from cloudtune.spec.job import TuningJob

_EXTENDED = ("trials", "cost", "time")
_LIMITS = "limits."


def _going_on(of: "Callable[..., object]") -> "Callable[..., object]":
    """Add the options of commands after which a run goes on."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
        click.option("--quiet", "-q", is_flag=True, help="Show no progress."),
        click.option("--detach", is_flag=True, help="Let it go on without this terminal."),
        click.option(
            "--env",
            "environment",
            metavar="NAME[=VALUE]",
            multiple=True,
            help="A variable of trial.environment, forgotten when the run ended; without a value this shell's. Repeatable.",
        ),
    ):
        of = option(of)
    return of


@click.command()
@run_argument
@click.option("--trials", metavar="+N|N", help="So many more trials, or so many in all.")
@click.option("--cost", metavar="+AMOUNT|AMOUNT", help="So much more to spend, or so much in all.")
@click.option("--time", metavar="+TIME|TIME", help="So much longer, or so long in all, e.g. +1h.")
@click.option(
    "--set",
    "overrides",
    metavar="limits.NAME=VALUE",
    multiple=True,
    help="Another limit, e.g. --set limits.target=0.95; null takes it away. Repeatable.",
)
@click.option("--yes", "-y", is_flag=True, help="Go on with longer limits whatever they cost, without being asked.")
@_going_on
def resume(
    run_id: str, trials: str | None, cost: str | None, time: str | None, overrides: tuple[str, ...],
    *, yes: bool, environment: tuple[str, ...], detach: bool, quiet: bool, as_json: bool,
) -> int:  # fmt: skip
    """Go on with an interrupted run (or watch one that is running); with longer limits also with one that has ended.

    \b
    Examples:
      cloudtune resume
      cloudtune resume --trials +20 --cost +10 --time +1h
      cloudtune resume latest --set limits.target=0.95 --detach
    """
    from cloudtune import api  # noqa: PLC0415
    from cloudtune.remote.resolving import config_folder  # noqa: PLC0415

    _refuse_job_file(run_id)
    made = api.attach(run_id)
    given = {"trials": trials, "cost": cost, "time": time}
    said = {name: text.strip() for name, text in given.items() if text is not None}
    limits = {name: _value(text) for name, text in said.items() if not text.startswith("+")} | _limits(overrides, made)
    if said or limits:
        api.check_detachable(made, detach=detach)
        more: Any = {name: text.removeprefix("+") for name, text in said.items() if text.startswith("+")}

        def agree(job: "TuningJob") -> None:
            asked = f"Go on with {made.id} on {made.record.profile}, at that cost in all?"
            near = config_folder(made.record)
            ask_before_spending(made, job, yes=yes, quiet=quiet or as_json, near=near, question=asked)

        made.extend(**more, limits=limits, environment=_environment(environment), agree=agree)
        _print_last_event(made, quiet=quiet or as_json)
    elif made.state.ended:
        _print_why_ended(made)
        return follow_to_its_end(made, made.job, quiet=quiet, as_json=as_json, report=None)
    return _go_on(made, detach=detach, quiet=quiet, as_json=as_json)


@click.command()
@click.argument("words", metavar="[RUN] [TRIAL]...", nargs=-1, shell_complete=complete_runs)
@click.option("--failed", is_flag=True, help="Only those that failed, not those that were cancelled.")
@_going_on
def retry(
    words: tuple[str, ...], *, failed: bool, environment: tuple[str, ...], detach: bool, quiet: bool, as_json: bool
) -> int:
    """Run trials without a result again, with the same parameters: all that failed or were cancelled, or those named.

    The run may have ended or be interrupted, and goes on.

    \b
    Examples:
      cloudtune retry
      cloudtune retry latest --failed
      cloudtune retry latest 3 7 --detach
    """
    from cloudtune import api  # noqa: PLC0415

    run_id, rest = (words[0], words[1:]) if words and not words[0].isdecimal() else ("latest", words)
    odd = [word for word in rest if not word.isdecimal()]
    if odd:
        raise click.UsageError(f"{odd[0]!r} is no number of a trial")
    if rest and failed:
        raise click.UsageError("name trials, or say --failed for all that failed")
    made = api.attach(run_id)
    api.check_detachable(made, detach=detach)
    made.retry(*map(int, rest), failed=failed, environment=_environment(environment))
    return _go_on(made, detach=detach, quiet=quiet, as_json=as_json)


@click.command(name="try")
@click.argument("words", metavar="[RUN] NAME=VALUE...", nargs=-1, required=True, shell_complete=complete_runs)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def try_(words: tuple[str, ...], *, as_json: bool) -> None:
    """Have a trial of your own run before the next suggestion, while a run goes on or when it is resumed.

    The strategy chooses the values that you leave open. The trial counts among limits.trials.

    \b
    Examples:
      cloudtune try lr=0.01 depth=6
      cloudtune try latest optimizer=adam --json
    """
    from cloudtune import api  # noqa: PLC0415
    from cloudtune.looking.given import given_values  # noqa: PLC0415
    from cloudtune.store.enqueued import shown  # noqa: PLC0415

    run_id, rest = ("latest", words) if "=" in words[0] else (words[0], words[1:])
    made = api.attach(run_id)
    given = given_values(rest, made.job.search_space())
    state = made.enqueue(given)
    if as_json:
        print_json({"run": made.id, "state": state.value, "enqueued": made.enqueued})
        return
    resume_it = command("resume", made.id, made.project)
    when = "is run before the next suggestion"
    if state.ended:
        when = f"is run after: {resume_it} --trials +{len(made.enqueued)} (the run has ended: {state.value})"
    elif state.value in ("waiting", "interrupted"):
        when = f"comes first when the run goes on: {resume_it}"
    click.echo(f"{made.id}: {shown(given)} {when}")


def _go_on(made: "Run", *, detach: bool, quiet: bool, as_json: bool) -> int:
    from cloudtune import api  # noqa: PLC0415
    from cloudtune.cli.jobfile import edited_job_file  # noqa: PLC0415

    edited = edited_job_file(made.record)
    if edited is not None:
        anew = learning_from(made.id, path_word(edited))
        click.echo(
            f"{edited} has changed since {made.id} was launched: it goes on as it was launched. The job as it is now is a new "
            f"run, which learns from this one: {anew}",
            err=True,
        )
    with api.revived(made, detach=detach), how_to_go_on(made):
        if detach:
            made.resume()
            return go_on_detached(made, as_json=as_json)
        return follow_to_its_end(made, made.job, quiet=quiet, as_json=as_json, report=None)


def _refuse_job_file(run_id: str) -> None:
    """Raise ConfigError for the file of a job in place of a run."""
    path = Path(run_id)
    if path.suffix in (".yaml", ".yml", ".json") and path.is_file():
        word = path_word(path)
        raise ConfigError(
            f"{run_id} is the file of a job, not a run: `cloudtune resume RUN` goes on with a run as it was launched (with longer limits: "
            f"--trials +N); a changed space or program is a new run, which learns from an earlier one: "
            f"`{learning_from('RUN', word)}`"
        )


def _print_why_ended(made: "Run") -> None:
    reason = as_read_here(made.record.reason, made.id, made.project)
    why = f" ({reason})" if reason else ""
    more = f"go on with: {command('resume', made.id, made.project)} --trials +N"
    hint = "" if made.plan.mode == "managed" else f"; {more}"
    click.echo(f"{made.id} has ended already: {made.state.value}{why}{hint}", err=True)


def _print_last_event(made: "Run", *, quiet: bool) -> None:
    events = made.events()
    if events and not quiet:
        click.echo(f"{made.id}: {events[-1][2]}", err=True)


def _limits(overrides: tuple[str, ...], made: "Run") -> dict[str, object]:
    """Return the limits that --set names.

    Raises:
        click.UsageError: it names no limit, or says no value.
    """
    found: dict[str, object] = {}
    for override in overrides:
        place, equals, text = override.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes limits.NAME=VALUE, such as limits.target=0.95, not {override!r}")
        if not place.startswith(_LIMITS):
            raise click.UsageError(
                f"--set {place}: a run goes on with other limits and nothing else; a changed job is a new run, which learns from this one: "
                f"{learning_from(made.id)} --set {place}=…"
            )
        found[place.removeprefix(_LIMITS)] = _value(text)
    return found


def _value(text: str) -> Any:  # a value in YAML
    from cloudtune.spec.text.changing import yaml_value  # noqa: PLC0415

    return yaml_value(text, "the value") if text.strip() else None


def _environment(words: tuple[str, ...]) -> dict[str, str]:
    """Return the variables that --env gives.

    Raises:
        click.UsageError: one without a value is not set in this shell.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals and name not in os.environ:
            raise click.UsageError(f"--env {name}: this shell has no such variable; give {name}=VALUE")
        found[name] = value if equals else os.environ[name]
    return found
