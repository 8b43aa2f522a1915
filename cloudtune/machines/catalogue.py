"""The machine types of one service: find those that a job needs, the cheapest first, and equivalents of others' types."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from cloudtune.errors import nearest
from cloudtune.machines.accelerators import kinds
from cloudtune.machines.data import machine_data, services
from cloudtune.machines.machine import Accelerator, Machine, Price
from cloudtune.machines.prices import Prices
from cloudtune.machines.rows import read_machines

_SMALLER = 2.0
"""How much worse a machine is that has less of something than one that has as much more."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a job needs of a machine.

    Attributes:
        cpus: at least so many processors; None for any.
        memory: at least so many bytes; None for any.
        accelerator: at least these; None for none.
    """

    cpus: float | None = None
    memory: int | None = None
    accelerator: Accelerator | None = None

    def __bool__(self) -> bool:
        return (self.cpus, self.memory, self.accelerator) != (None, None, None)

    def __str__(self) -> str:
        cpus = None if self.cpus is None else f"{self.cpus:g} CPUs"
        memory = None if self.memory is None else f"{self.memory / 1e9:g} GB"
        return ", ".join(str(each) for each in (self.accelerator, cpus, memory) if each is not None)

    def met_by(self, machine: Machine) -> bool:
        """Return whether a machine has all of it; one with accelerators does not do where none are needed."""
        enough = machine.cpus >= (self.cpus or 0) and machine.memory >= (self.memory or 0)
        if self.accelerator is None or machine.accelerator is None:
            return enough and self.accelerator is None and machine.accelerator is None
        kind = kinds()[self.accelerator.kind]
        right = machine.accelerator.kind in (kind.name, *kind.also)
        return enough and right and machine.accelerator.count >= self.accelerator.count


@dataclass(frozen=True, slots=True)
class Offer:
    """A machine and its price in one region; None if the price is not known."""

    machine: Machine
    price: Price | None

    def order(self, *, spot: bool) -> tuple[Any, ...]:
        """Return what offers are sorted by: the cheapest first, those whose price is not known last."""
        hourly = None if self.price is None else self.price.hourly(spot=spot)
        accelerators = 0 if self.machine.accelerator is None else self.machine.accelerator.count
        return (hourly is None, hourly or 0, accelerators, self.machine.cpus, self.machine.memory, self.machine.name)


@dataclass(frozen=True)
class Catalogue:
    """The machine types of a service that are known.

    Attributes:
        service: the provider's name.
        machines: each once; a type that takes several kinds of accelerators once with each.
        prices: of the machines.
        region: the region where nothing names one; "" for a service that has none.
    """

    service: str
    machines: tuple[Machine, ...]
    prices: Prices
    region: str = ""

    def machine(self, name: str, accelerator: Accelerator | None = None) -> Machine | None:
        """Return a machine by the service's name of it; None if it is not known.

        Args:
            name: of the type.
            accelerator: those of a type that takes several; None for those that the type has itself.
        """
        found = self._by_name.get(name, ())
        if accelerator is None:
            return next(iter(found), None)
        wanted = [each for each in found if each.accelerator is not None]
        return next((each for each in wanted if _same(each.accelerator, accelerator)), None)

    def find(self, needs: Needs, region: str | None = None, *, spot: bool = False) -> list[Offer]:
        """Return the machines that have what a job needs, the cheapest first; those without a known price last.

        Args:
            needs: of the job; none for all machines.
            region: whose prices count; None for the service's main one.
            spot: whether the prices of capacity that may be taken away count.
        """
        met = (each for each in self.machines if not needs or needs.met_by(each))
        return sorted((self.offer(each, region) for each in met), key=lambda offer: offer.order(spot=spot))

    def offer(self, machine: Machine, region: str | None = None) -> Offer:
        """Return a machine with its price in a region; None for the service's main one."""
        return Offer(machine, self.prices.of(machine, region or self.region))

    def region_of(self, settings: Mapping[str, Any]) -> str:
        """Return the region that a profile's settings name; the service's main one where they name none."""
        data = machine_data(self.service)
        said = None if data is None else settings.get(data.setting) or settings.get("region")
        return said if isinstance(said, str) else self.region

    def nearest(self, name: str) -> str | None:
        """Return the name of the type that is most similar; None if none is."""
        return nearest(name, self._by_name)

    def equivalent(self, machine: Machine, region: str | None = None, *, spot: bool = False) -> Offer | None:
        """Return the machine of this service that is most like one of another; None if there is none.

        It has the same accelerators, or else those that have as much memory; then processors and memory as near as can
        be, and of the same size the cheaper one.
        """
        offers = [self.offer(each, region) for each in _alike(self.machines, machine.accelerator)]
        likest = [(_distance(machine, offer.machine), offer.order(spot=spot), offer) for offer in offers]
        return min(likest)[-1] if likest else None

    @cached_property
    def _by_name(self) -> Mapping[str, tuple[Machine, ...]]:
        found: dict[str, tuple[Machine, ...]] = {}
        for each in sorted(self.machines, key=lambda machine: machine.accelerator is not None):
            found[each.name] = (*found.get(each.name, ()), each)
        return found


def _same(one: Accelerator | None, other: Accelerator) -> bool:
    return one is not None and (one.kind, one.count) == (other.kind, other.count)


def _alike(machines: Iterable[Machine], accelerator: Accelerator | None) -> list[Machine]:
    """Return the machines whose accelerators come nearest to those of another service's machine."""
    if accelerator is None:
        return [each for each in machines if each.accelerator is None]
    kind = kinds()[accelerator.kind]
    own = [(each, each.accelerator) for each in machines if each.accelerator is not None]
    for names in ((kind.name,), kind.also, _as_large(kind.name, {found.kind for _, found in own})):
        alike = [each for each, found in own if found.kind in names]
        if alike:
            return alike
    return []


def _as_large(name: str, offered: set[str]) -> list[str]:
    """Return the kinds of the same maker, of those offered, that have the least memory which is not less."""
    kind = kinds()[name]
    enough = {
        each.name: each.memory
        for each in kinds().values()
        if each.name in offered and each.maker == kind.maker and each.memory >= kind.memory
    }
    return [each for each, memory in enough.items() if memory == min(enough.values())]


def _distance(wanted: Machine, found: Machine) -> tuple[float, float]:
    """Return how unlike two machines are, in doublings: of the number of accelerators first, then of all other sizes."""
    counts = [1.0 if each is None else each.count for each in (wanted.accelerator, found.accelerator)]
    return _doublings(*counts), _doublings(wanted.cpus, found.cpus) + _doublings(wanted.memory, found.memory)


def _doublings(wanted: float, found: float) -> float:
    """Return how often a size has to be doubled or halved to be the other; too little weighs more than too much."""
    doublings = math.log2(found / wanted)
    return doublings if doublings >= 0 else -doublings * _SMALLER


def catalogue(service: str, prices: Prices | None = None) -> Catalogue:
    """Return the catalogue of a service; an empty one where its provider ships none.

    Args:
        service: the provider's name.
        prices: those of the user; None for those of the price lists alone.

    Raises:
        ConfigError: the cached prices are damaged.
    """
    data = machine_data(service)
    known = prices or Prices.listed(service)
    return Catalogue(service, machines_of(service), known, "" if data is None else data.region)


@cache
def machines_of(service: str) -> tuple[Machine, ...]:
    """Return the machines that a provider's package ships."""
    data = machine_data(service)
    if data is None:
        return ()
    return tuple(read_machines(service, data.folder.joinpath("machines.csv").read_text("utf-8")))


def find_catalogues() -> list[Catalogue]:
    """Return the catalogues of all installed providers that ship one."""
    return [catalogue(service) for service in services()]
