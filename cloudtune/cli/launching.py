"""The commands run, attach, drive and cancel, which start or end a run."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloudtune.cli.output import best_lines, new_or_own_report, print_json
from cloudtune.cli.spending import ask_before_spending
from cloudtune.cli.streams import may_be_lost
from cloudtune.errors import CloudtuneError
from cloudtune.looking.data import nearest_data, run_data, trial_data
from cloudtune.looking.words import STATE_STYLES, console, counts_text, number
from cloudtune.results.constraints import nothing_feasible
from cloudtune.spec.units import brief_duration
from cloudtune.store.commands import as_read_here, command
from cloudtune.store.projects import project_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloudtune.run import Run
    from cloudtune.spec.job import TuningJob
    from cloudtune.store.records import RunState

INTERRUPTED = 130


def complete_runs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Return the ids of this project's runs, for the shell's completion."""
    from cloudtune import api  # noqa: PLC0415

    return [record.id for record in api.runs() if record.id.startswith(incomplete)]


def complete_profiles(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """Return the names of profiles and providers, for the shell's completion."""
    from cloudtune.config import profiles  # noqa: PLC0415
    from cloudtune.plugins.entry_points import providers  # noqa: PLC0415

    names = sorted({*profiles(project_folder()), *providers()})
    return [name for name in names if name.startswith(incomplete)]


run_argument = click.argument("run_id", metavar="[RUN]", default="latest", shell_complete=complete_runs)
on_option = click.option(
    "--on",
    metavar="PROFILE",
    help="Profile or provider, or several with commas between them; default: the config's, else local.",
    shell_complete=complete_profiles,
)


class _JobFile(click.Path):
    """The type of the argument for an existing job file; its message for a missing argument names a likely file."""

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:  # noqa: ARG002  # the base's
        usual = Path("job.yaml")
        if not usual.is_file():
            return "Name the job's file, such as job.yaml; `cloudtune init` writes one to start from"
        return f"Name the job's file, such as {usual}, which is here"


job_argument = click.argument(
    "job_file", metavar="JOB.yaml", type=_JobFile(path_type=Path, dir_okay=False, exists=True)
)


@click.command()
@job_argument
@on_option
@click.option(
    "--set",
    "overrides",
    metavar="PATH=VALUE",
    multiple=True,
    help="Override a field, e.g. --set limits.trials=10; repeatable.",
)
@click.option("--trials", type=int, help="Short for --set limits.trials=N.")
@click.option("--parallel", type=int, help="Short for --set limits.parallel=N.")
@click.option("--seed", type=int, help="Short for --set strategy.seed=N.")
@click.option("--detach", is_flag=True, help="Start it and return; it goes on without this terminal.")
@click.option(
    "--report",
    callback=new_or_own_report,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the report to this file at the end.",
)
@click.option(
    "--driver",
    metavar="PROFILE",
    help="Drive it from a small job on this profile's service; this machine may then be switched off.",
    shell_complete=complete_profiles,
)
@click.option("--emulate", is_flag=True, help="Run it in an emulator of the service, on this machine.")
@click.option(
    "--rehearse", is_flag=True, help="First run one trial on this machine, or in an emulator; go on only if it reports."
)
@click.option("--yes", "-y", is_flag=True, help="Launch it whatever it costs, without being asked.")
@click.option("--quiet", "-q", is_flag=True, help="Show no progress.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def run(  # noqa: PLR0913  # one for each option
    job_file: Path, on: str | None, overrides: tuple[str, ...], trials: int | None, parallel: int | None, seed: int | None,
    *, detach: bool, report: Path | None, driver: str | None, emulate: bool, rehearse: bool, yes: bool, quiet: bool, as_json: bool,
) -> int:  # fmt: skip
    """Run a job and follow it to its end.

    Ctrl-C once lets the running trials come to their end, twice stops them; either way `cloudtune resume` goes on.

    \b
    Examples:
      cloudtune run job.yaml
      cloudtune run job.yaml --trials 10 --report report.html
      cloudtune run job.yaml --seed 7 --detach
      cloudtune run job.yaml --on aws --rehearse
    """
    from cloudtune import api  # noqa: PLC0415
    from cloudtune.cli.jobfile import JOB_FILE, file_note, load_job, with_lines_of  # noqa: PLC0415
    from cloudtune.config import config_near  # noqa: PLC0415

    short = {"limits.trials": trials, "limits.parallel": parallel, "strategy.seed": seed}
    words = [*(f"{path}={value}" for path, value in short.items() if value is not None), *overrides]
    job = load_job(job_file, words)
    project = project_folder()
    near = config_near(job_file.parent, project)
    if detach and emulate:
        raise click.UsageError(_cannot_detach(api.emulators_for(on, driver, project, near, job.strategy.services)))
    if rehearse:
        with with_lines_of(job_file):
            _rehearse(job, on, project, job_file.parent, quiet=quiet)
    emulators = api.emulated(on, driver=driver, project=project, near=near, services=job.strategy.services)
    with emulators if emulate else contextlib.nullcontext():
        noted = {JOB_FILE: file_note(job_file)}
        with with_lines_of(job_file):
            made = api.prepare(job, on, project=project, base=job_file.parent, driver=driver, native=noted)
        with how_to_go_on(made), made.unless_refused():
            ask_before_spending(made, job, yes=yes, quiet=quiet, near=near)
            if detach:
                return go_on_detached(made, as_json=as_json)
            return follow_to_its_end(made, job, quiet=quiet, as_json=as_json, report=report)


def _rehearse(job: "TuningJob", on: str | None, project: Path, base: Path, *, quiet: bool) -> None:
    """Run one trial of a job before it is launched, and say what came of it."""
    from cloudtune.tuning.rehearsal import rehearse as run_one  # noqa: PLC0415  # few runs are rehearsed

    rehearsed = run_one(job, on, project=project, base=base)
    if not quiet:
        reported = " ".join(f"{name}={number(value)}" for name, value in rehearsed.trials()[0].metrics.items())
        click.echo(f"rehearsed on {rehearsed.record.where}: {reported}  ({rehearsed.id})", err=True)


def _cannot_detach(emulators: list[str]) -> str:
    """Return the message that --detach and --emulate cannot be combined, with the commands to use instead."""
    starts = " and ".join(f"`cloudtune emulate {name}`" for name in emulators)
    return (
        f"--emulate ends with this command; start an emulator with {starts} in another terminal, set the variables that it "
        "prints, then --detach without --emulate"
    )


@contextlib.contextmanager
def how_to_go_on(made: "Run") -> "Iterator[None]":
    """Add to an error of cloudtune the command that resumes the run, if the run still exists and has not ended."""
    try:
        yield
    except CloudtuneError as error:
        with contextlib.suppress(CloudtuneError):  # the run was refused and removed, or its store is damaged
            if not made.state.ended and "cloudtune resume" not in str(error):
                error.add_note(f"go on with: {command('resume', made.id, made.project)}")
        raise


def go_on_detached(made: "Run", *, as_json: bool) -> int:
    """Start a run that goes on without this terminal, and print how to watch it; return the exit code."""
    made.start()
    if as_json:
        print_json(run_data(made.record))
    else:
        click.echo(f"{made.id} is running; watch it with: {command('show', made.id, made.project)}")
    return 0


def follow_to_its_end(made: "Run", job: "TuningJob", *, quiet: bool, as_json: bool, report: Path | None) -> int:
    """Follow a run to its end with a display, and print what came of it; return the exit code."""
    from cloudtune.looking.progress import display  # noqa: PLC0415

    title = f"{job.name} on {made.record.where}: run {made.id}"
    try:
        with display(title, job.objective, job.constraints, quiet=quiet, note=made.note) as shown:
            state = made.wait(shown)
    except KeyboardInterrupt:
        return _stopped_watching(made)
    written = made.report(report) if report is not None else None
    with may_be_lost():
        if as_json:
            print_json(_result(made, written))
        else:
            _summary(made, written)
    return _exit_code(state)


def _exit_code(state: "RunState") -> int:
    if state.value == "interrupted":
        return INTERRUPTED
    return 0 if state.value == "completed" else 1


def _stopped_watching(made: "Run") -> int:
    """Print, after Ctrl-C, that a run driven by another process goes on; return the exit code."""
    with may_be_lost():
        if made.state.value in ("running", "stopping"):
            click.echo(
                f"stopped watching; {made.id} goes on, since another process drives it\n"
                f"watch it again with: {command('resume', made.id, made.project)}; "
                f"end it with: {command('cancel', made.id, made.project)}",
                err=True,
            )
    return INTERRUPTED


def _result(made: "Run", written: Path | None) -> dict[str, Any]:
    best, record, cost = made.best, made.record, made.cost
    return {
        **run_data(record),
        "cost": cost and cost.to_data(),
        "counts": made.counts(),
        "best": None if best is None else trial_data(best, record, made.job),
        **nearest_data(made),
        "confirmed": [each.to_data() for each in made.confirmed.values()],
        "front": [trial_data(trial, record, made.job) for trial in made.front] if len(made.job.objective) > 1 else None,
        "report": None if written is None else str(written),
    }


def _summary(made: "Run", written: Path | None) -> None:
    from rich.markup import escape  # noqa: PLC0415

    record, out = made.record, console()
    best_it, resume_it, show_it, trials_it, logs_it, report_it = (
        escape(command(verb, made.id, made.project)) for verb in ("best", "resume", "show", "trials", "logs", "report")
    )
    style = STATE_STYLES[record.state.value]
    reason = as_read_here(record.reason, made.id, made.project)
    why = f": {escape(reason)}" if reason else ""
    out.print(f"[{style}]{record.state.value}[/]{why}", soft_wrap=True)
    cost = made.cost
    spent = "" if cost is None else f", {cost}"
    out.print(f"[dim]{counts_text(made.counts())} in {brief_duration(record.elapsed)}{spent}[/]", soft_wrap=True)
    best = made.best
    if best is not None:
        out.print(
            "[bold green]best[/] " + escape("\n".join(best_lines(best, made.job.objective, made.confirmed))),
            soft_wrap=True,
        )
    front = made.front if len(made.job.objective) > 1 else []
    if front:
        out.print(
            f"[bold green]front[/] {len(front)} trials that no other beats: {best_it}",
            soft_wrap=True,
        )
    if nothing := nothing_feasible(made.job.objective, made.job.constraints, made.trials()):
        out.print(f"[bold yellow]nothing feasible[/] {escape(nothing)}", soft_wrap=True)
    if written is not None:
        out.print(f"report: {escape(str(written))}", soft_wrap=True)
    if record.state.value == "interrupted" and "cloudtune resume" not in record.reason:
        out.print(f"go on with: [bold]{resume_it}[/]", soft_wrap=True)
    elif record.state.value == "failed":
        started = any(trial.attempt for trial in made.trials())
        ways = [trials_it, logs_it] if started else [show_it]
        out.print(f"see why with: {' and '.join(f'[bold]{way}[/]' for way in ways)}", soft_wrap=True)
    elif written is None:
        out.print(f"[dim]more: {trials_it}, {report_it}[/]", soft_wrap=True)


@click.command()
@click.argument("name")
@on_option
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON.")
def attach(name: str, on: str | None, *, as_json: bool) -> None:
    """Take a job that was started elsewhere into this project, by the service's name of it.

    Afterwards `show`, `trials`, `logs`, `resume` (which follows it) and `cancel` know it.

    \b
    Examples:
      cloudtune attach my-tuning-job --on sagemaker
      cloudtune attach my-tuning-job --on vertex --json
    """
    from cloudtune import api  # noqa: PLC0415
    from cloudtune.config import load_profile  # noqa: PLC0415
    from cloudtune.looking.asking import ask  # noqa: PLC0415

    project = project_folder()
    made = api.attach(name, on or load_profile(None, project).name, project=project)
    trouble = ask([made]).get(made.id, "")
    if as_json:
        print_json(run_data(made.record, trouble))
    else:
        click.echo(f"{made.id}: {made.state.value}; follow it with: {command('resume', made.id, made.project)}")


@click.command()
@run_argument
def drive(run_id: str) -> int:
    """Drive a run in the foreground, without display: for a supervisor such as systemd.

    \b
    Examples:
      cloudtune drive
      cloudtune drive latest
    """
    from cloudtune import api  # noqa: PLC0415

    made = api.attach(run_id)
    state = made.wait()
    with may_be_lost():
        click.echo(f"{made.id}: {state.value}", err=True)
    return _exit_code(state)


@click.command()
@run_argument
@click.option("--trial", "-t", type=int, help="Stop this trial alone; the run goes on.")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON.")
def cancel(run_id: str, trial: int | None, *, as_json: bool) -> int:
    """End a run now, for good: running trials are stopped, and it cannot be resumed. Or stop one of its trials.

    \b
    Examples:
      cloudtune cancel
      cloudtune cancel latest --trial 7
    """
    from cloudtune import api  # noqa: PLC0415
    from cloudtune.store.finding import refuse_shortened  # noqa: PLC0415

    made = api.attach(run_id)
    refuse_shortened(run_id, made.id)
    if trial is not None:
        made.stop_trial(trial)
    elif made.state.ended or made.refresh().ended:
        click.echo(f"{made.id} has ended already: {made.state.value}", err=True)
    else:
        made.cancel()
        made.wait()
    if as_json:
        print_json(run_data(made.record))
    elif trial is not None:
        click.echo(f"{made.id}: trial {trial} is being stopped")
    else:
        click.echo(f"{made.id}: {made.record.state.value}")
    return 0
