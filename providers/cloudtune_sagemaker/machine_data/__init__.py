"""What is known of the service's machines: ``machines.csv`` and ``prices.csv``, written by `cloudtune_sagemaker.machine_update`."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudtune.machines.data import MachineData
from cloudtune.machines.rows import Priced

if TYPE_CHECKING:
    from cloudtune.machines.fetching import Fetcher

_REGIONS = ("us-east-1", "us-east-2", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-1", "ap-northeast-1")


def _prices(fetcher: "Fetcher", regions: Iterable[str], settings: Mapping[str, Any]) -> Iterable[Priced]:
    from cloudtune_sagemaker.price_list import prices  # noqa: PLC0415  # only `cloudtune prices update` asks

    return prices(fetcher, regions, settings)


DATA = MachineData(Path(__file__).parent, region="us-east-1", regions=_REGIONS, price_list=_prices)
