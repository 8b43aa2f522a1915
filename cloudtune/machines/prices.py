"""Look a price up: what the user says, then what was fetched, then what is shipped; an unknown price is None, never a guess."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from cloudtune.machines.data import machine_data
from cloudtune.machines.machine import Machine, Price
from cloudtune.machines.own_prices import OwnPrices
from cloudtune.machines.price_cache import cached
from cloudtune.machines.rows import Key, Priced, read_prices

Table = Mapping[tuple[Key, str], Price]
"""Prices by machine and region."""


class Prices:
    """The prices of one service's machines.

    Args:
        service: the provider's name.
        own: what the user says.
        tables: price lists; the first one that has a machine in a region counts.
    """

    def __init__(self, service: str, own: OwnPrices | None = None, tables: Sequence[Table] = ()) -> None:
        self.service = service
        self.own = own or OwnPrices()
        self._tables = tables

    @classmethod
    def listed(cls, service: str, own: OwnPrices | None = None) -> "Prices":
        """Return the prices by what was fetched and what is shipped.

        Raises:
            ConfigError: what was fetched is damaged.
        """
        return cls(service, own, (table_of(cached(service)), shipped(service)))

    def of(self, machine: Machine, region: str) -> Price | None:
        """Return what a machine costs in a region; None if that is not known."""
        listed = next((table[machine.key, region] for table in self._tables if (machine.key, region) in table), None)
        return self.own.of(machine, listed, region)

    def regions(self) -> list[str]:
        """Return the regions that the price lists have."""
        return sorted({region for table in self._tables for _, region in table})


def table_of(rows: Iterable[Priced]) -> Table:
    """Return rows as a table."""
    return {(key, price.region): price for key, price in rows}


@cache
def shipped(service: str) -> Table:
    """Return the prices that a provider's package ships."""
    data = machine_data(service)
    if data is None:
        return {}
    return table_of(read_prices(data.folder.joinpath("prices.csv").read_text("utf-8")))
