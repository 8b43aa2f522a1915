"""What is known of the service's machines: ``machines.csv`` and ``prices.csv``, written by `cloudtune_vertex.machine_update`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.machines.data import MachineData
from cloudtune.machines.rows import Priced

if TYPE_CHECKING:
    from cloudtune.machines.fetching import Fetcher

_REGIONS = (
    "us-central1",
    "us-east1",
    "us-west1",
    "europe-west1",
    "europe-west3",
    "europe-west4",
    "asia-southeast1",
    "asia-northeast1",
)


def _prices(fetcher: "Fetcher", regions: Iterable[str], settings: Mapping[str, Any]) -> Iterable[Priced]:
    from cloudtune_vertex.price_list import prices  # noqa: PLC0415  # only `cloudtune prices update` asks

    return prices(fetcher, regions, settings)


DATA = MachineData(
    Path(__file__).parent, region="us-central1", setting="location", regions=_REGIONS, price_list=_prices
)
