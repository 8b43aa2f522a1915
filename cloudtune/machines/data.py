"""What a provider's package knows of its service's machines.

Found through an entry point of the group ``cloudtune.machines``, by the provider's name::

    [project.entry-points."cloudtune.machines"]
    mycloud = "cloudtune_mycloud.machine_data:DATA"
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.machines.rows import Priced
from cloudtune.plugins.entry_points import MACHINES
from cloudtune.plugins.installed import entry_points

if TYPE_CHECKING:
    from cloudtune.machines.fetching import Fetcher

PriceList = Callable[["Fetcher", Iterable[str], Mapping[str, Any]], Iterable[Priced]]
"""Yields the present prices of a service's machines, from its public price list.

Takes how to ask it, the regions to ask for, and the settings of the profile.
"""


@dataclass(frozen=True, slots=True)
class MachineData:
    """A service's machines.

    Attributes:
        folder: with ``machines.csv`` and ``prices.csv``; see `cloudtune.machines.rows`.
        region: the region whose prices are shown where nothing names one.
        regions: those that ``cloudtune prices update`` asks for where the profile names none.
        setting: the profile's setting that names the region.
        price_list: reads the service's public price list; None where it has none.
    """

    folder: Path
    region: str
    regions: tuple[str, ...] = ()
    setting: str = "region"
    price_list: PriceList | None = None


def machine_data(service: str) -> MachineData | None:
    """Return what a provider's package knows of its service's machines; None if it ships nothing."""
    for point in entry_points(group=MACHINES):
        if point.name == service:
            loaded: MachineData = point.load()
            return loaded
    return None


def services() -> list[str]:
    """Return the names of the providers whose packages ship a catalogue."""
    return sorted(point.name for point in entry_points(group=MACHINES))
