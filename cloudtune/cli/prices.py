"""The command prices: what is known of prices and how old it is; and prices update, which asks the public price lists."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from cloudtune.cli.looking import json_option
from cloudtune.cli.machines import services_option
from cloudtune.cli.output import print_json, print_table
from cloudtune.errors import ConfigError, ProviderError
from cloudtune.store.projects import project_folder

if TYPE_CHECKING:
    from cloudtune.config import Profile
    from cloudtune.machines import Catalogue


@click.group(invoke_without_command=True)
@services_option
@json_option
@click.pass_context
def prices(context: click.Context, on: str | None, *, as_json: bool) -> None:
    """Say what is known of prices, from where, and how old it is.

    A price of [prices] in cloudtune.toml counts before one that `cloudtune prices update` fetched, and that before the
    shipped one.

    \b
    Examples:
      cloudtune prices --on aws
      cloudtune prices update --on aws,azure
    """
    from cloudtune.looking.machines import catalogues  # noqa: PLC0415

    if context.invoked_subcommand is not None:
        return
    rows = [row for profile, catalogue in catalogues(on, project_folder()) for row in _known(profile, catalogue)]
    if as_json:
        print_json(rows)
        return
    columns = ("profile", "region", "machines", "price from", "listed", "days old")
    cells = [
        [row["profile"], row["region"], row["machines"], row["source"], row["date"] or "", _days(row)] for row in rows
    ]
    print_table(columns, cells, right=("machines", "days old"), styles=False)


def _days(row: dict[str, Any]) -> str:
    return "" if row["days_old"] is None else str(row["days_old"])


def _known(profile: "Profile", catalogue: "Catalogue") -> Iterator[dict[str, Any]]:
    """Yield the regions of a service with how many machines have a price there, from where, and since when."""
    today = datetime.now(UTC).date()
    for region in catalogue.prices.regions():
        found = [offer.price for offer in catalogue.find(_all(), region) if offer.price is not None]
        for source in dict.fromkeys(_kind(price.source) for price in found):
            of = [price for price in found if _kind(price.source) == source]
            listed = min((price.date for price in of if price.date is not None), default=None)
            yield {
                "profile": profile.name,
                "region": region,
                "machines": len(of),
                "source": source + (", estimated" if any(price.estimated for price in of) else ""),
                "date": None if listed is None else listed.isoformat(),
                "days_old": None if listed is None else (today - listed).days,
            }


def _all() -> Any:
    from cloudtune.machines import Needs  # noqa: PLC0415  # only these commands need it

    return Needs()


def _kind(source: str) -> str:
    """Return a source without the factors that differ from machine to machine."""
    return source.partition(" × ")[0]


@prices.command()
@services_option
@click.option(
    "--region",
    "regions",
    metavar="REGION",
    multiple=True,
    help="A region to ask for; repeatable. Default: the profile's, else the main ones.",
)
@click.option("--seconds", type=click.FloatRange(min=1), default=300, show_default=True, help="How long it may take.")
def update(on: str | None, regions: tuple[str, ...], seconds: float) -> int:
    """Fetch the present prices of services from their public price lists.

    AWS's and Azure's need no account; Google's needs your credentials, or an API key in GOOGLE_API_KEY. What cannot be
    fetched leaves the prices as they were.

    \b
    Examples:
      cloudtune prices update
      cloudtune prices update --on aws --region eu-west-1
    """
    from cloudtune.looking.machines import catalogues  # noqa: PLC0415

    failed = 0
    for profile, catalogue in catalogues(on, project_folder()):
        try:
            click.echo(_updated(profile, catalogue, regions, seconds))
        except (ProviderError, ConfigError) as error:
            click.echo(f"{profile.name}: {error}", err=True)
            failed = max(failed, error.exit_code)
    return failed


def _updated(profile: "Profile", catalogue: "Catalogue", regions: tuple[str, ...], seconds: float) -> str:
    from cloudtune.machines.data import machine_data  # noqa: PLC0415
    from cloudtune.machines.fetching import Fetcher  # noqa: PLC0415  # urllib is loaded when something is fetched
    from cloudtune.machines.price_cache import keep  # noqa: PLC0415

    data = machine_data(catalogue.service)
    if data is None or data.price_list is None:
        raise ConfigError(f"{catalogue.service} has no public price list")
    named = profile.settings.get(data.setting)
    asked = regions or ((named,) if isinstance(named, str) else data.regions)
    rows = list(data.price_list(Fetcher(seconds), asked, profile.settings))
    if not rows:
        raise ProviderError(f"the price list has no known machine in {', '.join(asked)}; the prices stay as they were")
    path = keep(catalogue.service, rows)
    return f"{profile.name}: {len(rows)} prices in {', '.join(asked)}, kept in {path}"
