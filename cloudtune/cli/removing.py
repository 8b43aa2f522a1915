"""The commands rm and gc, which remove runs and unused files."""

from typing import TYPE_CHECKING

import click

from cloudtune.cli.launching import complete_runs
from cloudtune.cli.output import print_json
from cloudtune.errors import CloudtuneError, DamagedRun
from cloudtune.store.projects import project_folder

if TYPE_CHECKING:
    from cloudtune.cli.garbage import Unused
    from cloudtune.store.store import RunStore


@click.command()
@click.argument("run_ids", metavar="RUN…", nargs=-1, shell_complete=complete_runs)
@click.option("--all-ended", is_flag=True, help="All runs of this project that have ended.")
@click.option("--force", is_flag=True, help="Also one that a service may still run, if no process here follows it.")
@click.option("--json", "as_json", is_flag=True, help="Print what was removed as JSON.")
def rm(run_ids: tuple[str, ...], *, all_ended: bool, force: bool, as_json: bool) -> int:
    """Remove runs from this machine, with their trials, logs and files; one that is running is refused.

    What a run left at a service (its jobs, their logs, files in its storage) stays there; it is named.

    \b
    Examples:
      cloudtune rm digits-svc-2f9c31aa
      cloudtune rm --all-ended
    """
    from cloudtune import api  # noqa: PLC0415
    from cloudtune.cli.garbage import at_the_service, remove  # noqa: PLC0415
    from cloudtune.store.finding import refuse_shortened  # noqa: PLC0415

    if bool(run_ids) == all_ended:
        raise click.UsageError("name the runs to remove, or give --all-ended")
    ids = [record.id for record in api.runs() if record.state.ended] if all_ended else list(dict.fromkeys(run_ids))
    removed, code = [], 0
    for run_id in ids:
        try:
            found = api.find_run(run_id, project_folder())
            refuse_shortened(run_id, found.id)
            stays, emulated = at_the_service(found), _emulated(found)
            remove(found, force=force)
        except CloudtuneError as error:
            if len(ids) == 1:
                raise
            click.echo(f"error: {error}", err=True)
            code = code or error.exit_code
            continue
        removed.append({"id": found.id, "emulated": emulated, "stays": stays})
        if not as_json:
            click.echo(f"removed {found.id}" + "".join(f"\n  stays: {each}" for each in stays))
    if as_json:
        print_json(removed)
    elif not ids:
        click.echo("no run has ended", err=True)
    return code


def _emulated(run: "RunStore") -> bool | None:
    """Return whether a run is in an emulator; None if its record is damaged."""
    try:
        return run.record().emulated
    except DamagedRun:
        return None


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def gc(*, dry_run: bool, as_json: bool) -> None:
    """Remove what is no longer needed: folders of runs that are gone, packed code of ended runs, leftovers of killed programs.

    Machines that a service keeps for runs which nothing drives any more (`compute.keep`) are given back.

    Runs themselves, their trials, logs and files stay; `cloudtune rm` removes those.

    \b
    Examples:
      cloudtune gc --dry-run
    """
    from cloudtune.cli.garbage import kept_at_services, unused_files  # noqa: PLC0415

    found, kept = unused_files(project_folder()), list(kept_at_services(project_folder()))
    if not dry_run:
        for each in found:
            each.remove()
        for one in kept:
            one.release()
    if as_json:
        files = [{"path": str(each.path), "why": each.why, "bytes": each.size} for each in found]
        print_json([*files, *({"run": one.run.id, "kept": one.what, "why": one.why} for one in kept)])
        return
    for one in kept:
        click.echo(f"{one.what}: {one.why}")
    for each in found:
        click.echo(f"{each.path}: {each.why} ({_megabytes(each)})")
    word = "would be" if dry_run else "was"
    click.echo(f"{sum(each.size for each in found) / 1e6:,.1f} MB {word} removed", err=True)


def _megabytes(unused: "Unused") -> str:
    return f"{unused.size / 1e6:,.1f} MB"
