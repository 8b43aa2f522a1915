"""What the machines of a plan cost an hour."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of a machine of a trial, as it was known when the job was planned.

    Attributes:
        machine: the machine type, or what takes its place.
        per_hour: of one machine, accelerators and the service's own fee included.
        currency: an ISO 4217 code.
        spot: whether it is the price of capacity that may be taken away.
        source: where the price is from, with its date.
        estimated: whether it was derived rather than read.
        count: number of such machines of a trial; None for that of the plan's machines.
        kept: seconds for which they stay, and are billed, after a trial, as `Machines.kept`; None for that of the plan's.
        otherwise: an hour of the same machine on demand where this is spot, and the other way round; None if it is not known.
    """

    machine: str
    per_hour: Decimal
    currency: str
    spot: bool = False
    source: str = ""
    estimated: bool = False
    count: int | None = None
    kept: float | None = None
    otherwise: Decimal | None = None

    def amount(self, seconds: float, machines: int = 1) -> Decimal:
        """Return what machines cost for a time, exact: rounding is for those who show it."""
        return self.per_hour * machines * Decimal(repr(float(seconds))) / 3600

    def to_data(self) -> dict[str, JsonValue]:
        """Return the rate as plain data for JSON; the price is a text, since JSON has no decimal numbers."""
        return {
            "machine": self.machine,
            "per_hour": str(self.per_hour),
            "currency": self.currency,
            "spot": self.spot,
            "source": self.source,
            "estimated": self.estimated,
            "count": self.count,
            "kept": "inf" if self.kept is not None and math.isinf(self.kept) else self.kept,  # JSON has no such number
            "otherwise": None if self.otherwise is None else str(self.otherwise),
        }

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Return the rate for data from `to_data`."""
        kept, otherwise = data.get("kept"), data.get("otherwise")  # older stores have rates without them
        return cls(
            **{
                **data,
                "per_hour": Decimal(data["per_hour"]),
                "kept": None if kept is None else float(kept),
                "otherwise": None if otherwise is None else Decimal(otherwise),
            }
        )
