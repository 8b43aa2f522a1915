"""Azure ML's prices by Azure's public list of retail prices, which needs no account.

https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices: a filter, and pages that name the
next one. Azure ML costs what its virtual machines cost; its clusters of low priority are billed by the meters whose
names end in ``Low Priority``.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlencode, urlsplit

from cloudtune.errors import ProviderError
from cloudtune.machines.catalogue import machines_of
from cloudtune.machines.fetching import Fetcher
from cloudtune.machines.machine import Machine, Price
from cloudtune.machines.rows import Priced

ADDRESS = "https://prices.azure.com"
_PATH = "/api/retail/prices"
_MOST_PAGES = 1000
"""Of one region; a page has 100 or 1,000 prices, a region some 8,000."""

Found = dict[tuple[str, str], Decimal]
"""Amounts by size and by kind: "" on demand, "Low Priority"."""


def prices(fetcher: Fetcher, regions: Iterable[str], settings: Mapping[str, Any]) -> Iterator[Priced]:
    """Yield the present prices of sizes with Linux, on demand and of low priority.

    Raises:
        ProviderError: the list cannot be read, or is not of the documented form.
    """
    address = str(settings.get("price_list") or ADDRESS).rstrip("/")
    known = {machine.name: machine for machine in machines_of("azureml")}
    for region in regions:
        found: Found = {}
        for item in _items(fetcher, address, region):
            _note(item, known, found)
        yield from _priced(found, known, region, datetime.now(UTC).date())


def _items(fetcher: Fetcher, address: str, region: str) -> Iterator[Mapping[str, Any]]:
    asked = f"serviceName eq 'Virtual Machines' and armRegionName eq '{region}' and priceType eq 'Consumption'"
    url = f"{address}{_PATH}?{urlencode({'currencyCode': 'USD', '$filter': asked})}"
    for _ in range(_MOST_PAGES):
        page = fetcher.json(url)
        if not isinstance(page, dict) or not isinstance(page.get("Items"), list):
            raise ProviderError(f"{address}{_PATH} answered with no list of prices")
        yield from (item for item in page["Items"] if isinstance(item, dict))
        following = page.get("NextPageLink")
        if not following:
            return
        url = _same_host(str(following), address)
    raise ProviderError(f"{address}{_PATH} has no end of pages for {region}")


def _same_host(url: str, address: str) -> str:
    """Return the address of the next page.

    Raises:
        ProviderError: it leads to another host.
    """
    next_page, first = urlsplit(url), urlsplit(address)
    if (next_page.scheme, next_page.hostname) != (first.scheme, first.hostname):
        raise ProviderError(f"{address}{_PATH} leads to another host, {next_page.hostname}")
    return url


def _note(item: Mapping[str, Any], known: Mapping[str, Machine], found: Found) -> None:
    """Write down what an item says of a known size with Linux."""
    size, product, sku = (str(item.get(name, "")) for name in ("armSkuName", "productName", "skuName"))
    kind = next((each for each in ("Low Priority", "Spot") if sku.endswith(each)), "")
    if size not in known or product.endswith("Windows") or kind == "Spot" or item.get("unitOfMeasure") != "1 Hour":
        return
    try:
        amount = Decimal(str(item.get("retailPrice")))
    except InvalidOperation:
        raise ProviderError(f"Azure's retail prices have {item.get('retailPrice')!r} for a price") from None
    if amount > 0:
        found[size, kind] = min(amount, found.get((size, kind), amount))


def _priced(found: Found, known: Mapping[str, Machine], region: str, day: date) -> Iterator[Priced]:
    for (size, kind), amount in found.items():
        if not kind:
            low = found.get((size, "Low Priority"))
            price = Price(region, "USD", amount, low, "Azure's retail prices", day)
            yield known[size].key, price
