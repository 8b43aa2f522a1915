"""What services rent out, the cheapest first, as the commands list it and as plain data."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.config import Profile, catalogue_of, load_profile
from cloudtune.errors import ConfigError
from cloudtune.machines.accelerators import accelerator as accelerator_of
from cloudtune.machines.catalogue import Catalogue, Needs, Offer
from cloudtune.machines.data import services
from cloudtune.spec.units import parse_size

if TYPE_CHECKING:
    from cloudtune.machines import Accelerator, Price


def needs_of(accelerator: str | None, cpus: float | None, memory: str | None) -> Needs:
    """Return what a machine is asked to have.

    Raises:
        ConfigError: an accelerator or a size is none.
    """
    try:
        size = None if memory is None else parse_size(memory)
        return Needs(cpus, size, None if accelerator is None else _accelerator(accelerator))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _accelerator(text: str) -> "Accelerator":
    kind, _, count = text.partition(":")
    if count and not count.isdecimal():
        raise ValueError(f"an accelerator is KIND:COUNT, not {text!r}")
    return accelerator_of(kind, int(count or 1))


def catalogues(on: str | None, project: Path) -> list[tuple[Profile, Catalogue]]:
    """Return the catalogues of the named profiles with the user's prices; of all services that have one for None."""
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


def offers_of(needs: Needs, on: str | None, region: str | None, project: Path, *, spot: bool) -> list[Offer]:
    """Return the machines that have what is needed, the cheapest first.

    Args:
        needs: of a machine.
        on: profiles or providers with commas between them; None for all that list machines.
        region: whose prices count; None for the profile's.
        project: the folder whose config counts.
        spot: whether to sort by the price of capacity that may be taken away.
    """
    offers = [
        offer
        for profile, catalogue in catalogues(on, project)
        for offer in catalogue.find(needs, region or catalogue.region_of(profile.settings), spot=spot)
    ]
    return sorted(offers, key=lambda offer: offer.order(spot=spot))


def offer_data(offer: Offer) -> dict[str, Any]:
    """Return an offer as plain data."""
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
