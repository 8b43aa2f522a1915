"""SageMaker's prices by AWS's public price list, which needs no account.

https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-the-aws-price-list-bulk-api-fetching-price-list-files-manually.html:
an index of regions names the offer file of each; beside its JSON lies the same as CSV, which is read line by line. A
training machine's row has the usage type ``USE1-Train:ml.m5.large``. Of managed spot training AWS lists no price.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from cloudtune.errors import ConfigError, ProviderError, suggest
from cloudtune.machines.catalogue import machines_of
from cloudtune.machines.fetching import Fetcher
from cloudtune.machines.machine import Price
from cloudtune.machines.rows import Priced

ADDRESS = "https://pricing.us-east-1.amazonaws.com"
_INDEX = "/offers/v1.0/aws/AmazonSageMaker/current/region_index.json"
_TRAINING = re.compile(r"(?:[A-Z0-9]+-)?Train:(ml\..+)")
_COLUMNS = ("TermType", "Unit", "PricePerUnit", "Currency", "usageType")


def prices(fetcher: Fetcher, regions: Iterable[str], settings: Mapping[str, Any]) -> Iterator[Priced]:
    """Yield the present prices of training machines on demand.

    Raises:
        ProviderError: the list cannot be read, or is not of the documented form.
        ConfigError: it has no such region.
    """
    address = str(settings.get("price_list") or ADDRESS).rstrip("/")
    index = fetcher.json(address + _INDEX)
    offers = index.get("regions") if isinstance(index, dict) else None
    if not isinstance(offers, dict):
        raise ProviderError(f"{address}{_INDEX} is no index of regions")
    for region in regions:
        offer = offers.get(region)
        path = offer.get("currentVersionUrl") if isinstance(offer, dict) else None
        if not isinstance(path, str):
            raise ConfigError(f"AWS lists no prices of SageMaker in {region!r}; {suggest(region, offers)}")
        yield from _in_region(fetcher.lines(address + path.removesuffix(".json") + ".csv"), region)


def _in_region(lines: Iterator[str], region: str) -> Iterator[Priced]:
    known = {machine.name: machine for machine in machines_of("sagemaker")}
    table, listed = _table(lines)
    for row in table:
        match = _TRAINING.fullmatch(row["usageType"] or "")
        machine = None if match is None else known.get(match[1])
        if machine is None or (row["TermType"], row["Unit"]) != ("OnDemand", "Hrs"):
            continue
        try:
            amount = Decimal(row["PricePerUnit"])
        except InvalidOperation:
            raise ProviderError(f"AWS's price list has {row['PricePerUnit']!r} for a price") from None
        yield machine.key, Price(region, row["Currency"], amount, None, "AWS's price list", listed)


def _table(lines: Iterator[str]) -> "tuple[csv.DictReader[str], date]":
    """Return the rows of an offer file, whose first lines say what it is, and the day that it was published."""
    published = None
    rows = csv.reader(lines)
    for row in rows:
        if row[:1] == ["Publication Date"] and len(row) > 1:
            published = date.fromisoformat(row[1][:10])
        if row[:1] == ["SKU"]:
            if published is None or not {*_COLUMNS} <= {*row}:
                break
            return csv.DictReader(lines, row), published
    raise ProviderError("AWS's price list is not of the form that its documents say")
