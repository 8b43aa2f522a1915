"""Say in a plan which machine was chosen, why, for how much, and which come next."""

import datetime as dt
from dataclasses import dataclass

from cloudtune.machines.catalogue import Needs, Offer

_NEXT = 2
"""How many further machines a plan names."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Machines that have what a job needs.

    Attributes:
        needs: of the job.
        region: whose prices count.
        spot: whether the prices of capacity that may be taken away count.
        offers: the chosen one first.
    """

    needs: Needs
    region: str
    spot: bool
    offers: tuple[Offer, ...]

    def reason(self, default: str | None) -> str:
        """Return which machine was chosen, why, and what comes next.

        Args:
            default: the profile's own machine type; None if it names none.
        """
        first, *rest = self.offers
        why = f"the cheapest that is known to have {self.needs} in {self.region}"
        if first.machine.name == default:
            why = f"the profile's own, which has {self.needs}"
        elif first.price is None or first.price.hourly(spot=self.spot) is None:
            why = f"the smallest that is known to have {self.needs}, since no price is known in {self.region}"
        following = ", ".join(f"{_named(offer)} at {amount(offer, self.spot)}" for offer in rest[:_NEXT])
        return f"{described(first, self.spot)} is {why}" + (f"; next come {following}" if following else "")


def described(offer: Offer, spot: bool) -> str:
    """Return a machine with its size and price, and where the price is from."""
    source = "" if offer.price is None else f" ({offer.price.described(dt.datetime.now(dt.UTC).date())})"
    return f"{offer.machine.name} ({offer.machine.size}), {amount(offer, spot)}{source},"


def _named(offer: Offer) -> str:
    """Return a machine's name, and its accelerators where the name alone does not tell them."""
    machine = offer.machine
    return f"{machine.name} with {machine.accelerator}" if machine.spelling else machine.name


def amount(offer: Offer, spot: bool) -> str:
    """Return what a machine costs an hour, in words where that is not known."""
    price = offer.price
    if price is None or price.on_demand is None:
        return "a price that is not known"
    on_demand = f"{price.on_demand.normalize():f} {price.currency} an hour"
    if not spot:
        return on_demand
    return (
        on_demand + " on demand, its spot price not known"
        if price.spot is None
        else f"{price.spot.normalize():f} {price.currency} an hour (spot)"
    )
