"""The command machines: what services rent out, and what it costs."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from cloudtune.cli.launching import complete_profiles
from cloudtune.cli.looking import json_option
from cloudtune.cli.output import print_json, print_table
from cloudtune.spec.money import decimals
from cloudtune.store.projects import project_folder

if TYPE_CHECKING:
    from cloudtune.machines import Offer, Price

services_option = click.option(
    "--on",
    metavar="PROFILE,…",
    help="One profile or provider, or several; default: all that list machines.",
    shell_complete=complete_profiles,
)


@click.command()
@services_option
@click.option(
    "--accelerator", "-a", metavar="KIND[:COUNT]", help="Those with such accelerators: A100, T4:2, TPU-v5e, …."
)
@click.option("--cpus", type=click.FloatRange(min=0, min_open=True), metavar="N", help="At least so many processors.")
@click.option("--memory", metavar="SIZE", help="At least so much memory: 32GB, 64GiB, ….")
@click.option("--region", metavar="REGION", help="The region whose prices count; default: the profile's.")
@click.option("--spot", is_flag=True, help="Sort by the price of capacity that may be taken away.")
@json_option
def machines(
    on: str | None, accelerator: str | None, cpus: float | None, memory: str | None, region: str | None,
    *, spot: bool, as_json: bool,
) -> None:  # fmt: skip
    """List the machine types of services with their prices, the cheapest first; needs no network.

    Prices are the service's own for an hour, less the discount that cloudtune.toml names; ? is one that is not known.

    \b
    Examples:
      cloudtune machines --accelerator T4
      cloudtune machines --on aws,gcp --cpus 8 --memory 32GB --spot
    """
    from cloudtune.looking.machines import needs_of, offer_data, offers_of  # noqa: PLC0415

    needs = needs_of(accelerator, cpus, memory)
    offers = offers_of(needs, on, region, project_folder(), spot=spot)
    if as_json:
        print_json([offer_data(offer) for offer in offers])
    elif not offers:
        click.echo(f"no machine that is known has {needs}", err=True)
    else:
        _print(offers)


def _print(offers: "Iterable[Offer]") -> None:
    today = datetime.now(UTC).date()
    rows = [
        (
            offer.machine.service,
            offer.machine.name,
            f"{offer.machine.cpus:g}",
            f"{offer.machine.memory / 1024**3:g} GiB",
            offer.machine.accelerator or "",
            _money(offer.price, None if offer.price is None else offer.price.on_demand),
            _money(offer.price, None if offer.price is None else offer.price.spot),
            "" if offer.price is None else offer.price.region,
            "price not known" if offer.price is None else offer.price.described(today),
        )
        for offer in offers
    ]
    columns = ("service", "machine", "cpus", "memory", "accelerator", "an hour", "spot", "region", "price from")
    print_table(columns, rows, right=("cpus", "memory", "an hour", "spot"), styles=False)


def _money(price: "Price | None", amount: Decimal | None) -> str:
    return "?" if price is None or amount is None else f"{amount:.{decimals(amount)}f} {price.currency}"
