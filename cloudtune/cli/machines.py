"""The command machines: what services rent out, and what it costs."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from cloudtune.cli.launching import complete_profiles
from cloudtune.cli.looking import json_option
from cloudtune.cli.output import print_json, print_table
from cloudtune.errors import ConfigError
from cloudtune.store.projects import project_folder

if TYPE_CHECKING:
    from cloudtune.config import Profile
    from cloudtune.machines import Accelerator, Catalogue, Needs, Offer, Price

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
    needs = _needs(accelerator, cpus, memory)
    offers = [
        offer
        for profile, catalogue in catalogues(on)
        for offer in catalogue.find(needs, region or catalogue.region_of(profile.settings), spot=spot)
    ]
    offers.sort(key=lambda offer: offer.order(spot=spot))
    if as_json:
        print_json([_data(offer) for offer in offers])
    elif not offers:
        click.echo(f"no machine that is known has {needs}", err=True)
    else:
        _print(offers)


def _needs(accelerator: str | None, cpus: float | None, memory: str | None) -> "Needs":
    from cloudtune.machines import Needs  # noqa: PLC0415
    from cloudtune.spec.units import parse_size  # noqa: PLC0415  # only these commands need them

    try:
        size = None if memory is None else parse_size(memory)
        return Needs(cpus, size, None if accelerator is None else _accelerator(accelerator))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _accelerator(text: str) -> "Accelerator":
    from cloudtune.machines.accelerators import accelerator  # noqa: PLC0415

    kind, _, count = text.partition(":")
    if count and not count.isdecimal():
        raise ValueError(f"--accelerator takes KIND:COUNT, not {text!r}")
    return accelerator(kind, int(count or 1))


def catalogues(on: str | None) -> "list[tuple[Profile, Catalogue]]":
    """Return the catalogues of the named profiles with the user's prices; of all services that have one for None."""
    from cloudtune.config import catalogue_of, load_profile  # noqa: PLC0415
    from cloudtune.machines.data import services  # noqa: PLC0415

    project = project_folder()
    names = services() if on is None else on.split(",")
    profiles = [load_profile(name, project) for name in names]
    found = [(profile, catalogue_of(profile, project)) for profile in profiles]
    empty = [profile.name for profile, catalogue in found if not catalogue.machines]
    if on is not None and len(empty) == len(found):
        raise ConfigError(
            f"{', '.join(empty)} lists no machines; those are listed of: {', '.join(services())}. "
            "What your own cost, [prices] in cloudtune.toml says"
        )
    return found


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
    return "?" if price is None or amount is None else f"{amount:.4f} {price.currency}"


def _data(offer: "Offer") -> dict[str, Any]:
    machine, price = offer.machine, offer.price
    own = machine.accelerator
    return {
        "service": machine.service,
        "machine": machine.name,
        "cpus": machine.cpus,
        "memory": machine.memory,
        "architecture": machine.architecture,
        "accelerator": None if own is None else {"kind": own.kind, "count": own.count, "memory": own.memory},
        "price": None if price is None else _price_data(price),
    }


def _price_data(price: "Price") -> dict[str, Any]:
    """Return a price as plain data; amounts as text, which is exact."""
    return {
        "region": price.region,
        "currency": price.currency,
        "on_demand": None if price.on_demand is None else str(price.on_demand),
        "spot": None if price.spot is None else str(price.spot),
        "source": price.source,
        "date": None if price.date is None else price.date.isoformat(),
        "estimated": price.estimated,
    }
