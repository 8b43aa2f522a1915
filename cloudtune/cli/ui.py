"""The command ui, which serves the live page."""

import threading
from pathlib import Path

import click

from cloudtune.errors import ConfigError
from cloudtune.plugins.extras import install
from cloudtune.store.projects import known_projects, project_folder


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), help="The port; default: 8790, or a free one.")
@click.option("--no-browser", is_flag=True, help="Print the address, and open nothing.")
@click.option(
    "--control", is_flag=True, help="Let the page cancel, stop, extend, retry and try; without it, it only looks."
)
@click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The folder whose runs are shown; default: as for every command.",
)
@click.option("--all-projects", is_flag=True, help="Show the runs of every project that you used.")
def ui(port: int | None, *, no_browser: bool, control: bool, project: Path | None, all_projects: bool) -> None:
    """Show runs in the browser while they go on: one page, served on this machine alone.

    The address holds a token, without which nobody on this machine is answered. Runs that a service keeps are asked for in the
    background, seldom; otherwise the page shows them as they were last seen.

    \b
    Examples:
      cloudtune ui
      cloudtune ui --no-browser --port 8790
      cloudtune ui --control --all-projects
    """
    try:
        from cloudtune.ui.server import PageServer  # noqa: PLC0415  # needs the extra
    except ModuleNotFoundError as error:
        if error.name and error.name.partition(".")[0] in ("starlette", "uvicorn"):
            raise ConfigError(f"the live page needs {error.name}: {install('ui')}") from None
        raise
    here = project_folder(project)
    projects = list(dict.fromkeys([here, *(known_projects() if all_projects else [])]))
    server = PageServer(projects, port=port, control=control)
    click.echo(server.access.address_with_token)
    what = "may change runs" if control else "only looks; --control lets it change runs"
    click.echo(f"the page {what}; end it with Ctrl-C", err=True)
    server.run(started=(lambda: None) if no_browser else server.open_browser)
    from cloudtune.looking.asking import abandoned  # noqa: PLC0415  # is loaded by the server

    # Ctrl-C waits for no chart that is being computed, and no service that is being asked.
    abandoned.extend(thread for thread in threading.enumerate() if thread is not threading.main_thread())
