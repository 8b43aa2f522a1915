"""A machine type of a service, its accelerators, and its price."""

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Accelerator:
    """The accelerators of a machine, or those that a job asks for.

    Attributes:
        kind: the name that means the same everywhere, such as ``A100``; see `cloudtune.machines.accelerators`.
        count: how many; a part of one where a machine has but a share.
        memory: of one of them, in bytes; None where it is not known.
    """

    kind: str
    count: float = 1
    memory: int | None = None

    def __str__(self) -> str:
        return self.kind if self.count == 1 else f"{self.count:g} × {self.kind}"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine type.

    Attributes:
        service: the provider's name.
        name: the service's name of the type.
        cpus: virtual processors.
        memory: in bytes.
        accelerator: None for a machine without.
        architecture: of the processors, such as ``x86_64``.
        spelling: the service's word for the accelerator, where a request has to say it beside the type; else "".
    """

    service: str
    name: str
    cpus: float
    memory: int
    accelerator: Accelerator | None = None
    architecture: str = "x86_64"
    spelling: str = ""

    @property
    def size(self) -> str:
        """What it has, for messages: ``8 CPUs, 32 GiB, A100``."""
        plain = f"{self.cpus:g} CPU{'s' if self.cpus != 1 else ''}, {self.memory / GIB:g} GiB"
        return plain if self.accelerator is None else f"{plain}, {self.accelerator}"

    @property
    def key(self) -> tuple[str, str, float]:
        """What a price is listed by: the name, the kind of accelerator and their number."""
        own = self.accelerator
        return (self.name, "", 0) if own is None else (self.name, own.kind, own.count)


@dataclass(frozen=True, slots=True)
class Price:
    """What a machine costs in a region.

    Attributes:
        region: the service's name of the region; "" for a price that holds in all.
        currency: such as ``USD``.
        on_demand: an hour; None if it is not known.
        spot: an hour of capacity that may be taken away; None if it is not known.
        source: where the price is from, for people.
        date: the day that it was listed; None for one of the user's own.
        estimated: whether it was derived from other prices, not listed by the service.
    """

    region: str
    currency: str
    on_demand: Decimal | None
    spot: Decimal | None
    source: str
    date: dt.date | None = None
    estimated: bool = False

    def hourly(self, *, spot: bool = False) -> Decimal | None:
        """Return the price of one machine for an hour; None if it is not known."""
        return self.spot if spot else self.on_demand

    def age(self, today: dt.date) -> int | None:
        """Return how many days ago the price was listed; None for one of the user's own."""
        return None if self.date is None else (today - self.date).days

    def described(self, today: dt.date) -> str:
        """Return its source and age for messages: ``the shipped list, 130 days old, estimated``."""
        days = self.age(today)
        old = "" if days is None else f", {days} day{'s' if days != 1 else ''} old"
        return f"{self.source}{old}{', estimated' if self.estimated else ''}"
