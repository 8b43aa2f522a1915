"""The command mcp: an MCP server, by which an assistant plans, runs and reads jobs."""

from pathlib import Path

import click

from cloudtune.errors import ConfigError
from cloudtune.store.projects import project_folder


@click.command()
@click.option(
    "--project",
    "projects",
    metavar="FOLDER",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A project that it may know; repeatable; default: this one.",
)
@click.option("--read-only", is_flag=True, help="Start and end nothing.")
@click.option("--allow-paid", is_flag=True, help="Let it start runs that cost money, each confirmed; needs --max-cost.")
@click.option("--max-cost", metavar="AMOUNT", help="What all paid runs that it starts may cost together: 'USD 20'.")
def mcp(projects: tuple[Path, ...], max_cost: str | None, *, read_only: bool, allow_paid: bool) -> None:
    """Serve the Model Context Protocol on stdin and stdout, for an assistant that plans, runs and reads jobs.

    Without --allow-paid no run that costs money is started. With it, each takes a budget and the confirmation of its plan
    at its price, and the user is asked where the assistant's program can ask.

    \b
    Examples:
      cloudtune mcp --read-only
      cloudtune mcp --project ~/digits --allow-paid --max-cost 'USD 20'
    """
    from cloudtune.spec.money import parse_money  # noqa: PLC0415

    if read_only and allow_paid:
        raise click.UsageError("--read-only and --allow-paid exclude each other")
    if max_cost is not None and not allow_paid:
        raise click.UsageError("--max-cost goes with --allow-paid")
    try:
        most = None if max_cost is None else parse_money(max_cost)
    except ValueError as error:
        raise ConfigError(f"--max-cost: {error}") from None
    from cloudtune.mcp.policy import Policy  # noqa: PLC0415
    from cloudtune.mcp.server import server_of  # noqa: PLC0415

    policy = Policy(projects or (project_folder(),), read_only=read_only, allow_paid=allow_paid, max_cost=most)
    server_of(policy).run("stdio")
